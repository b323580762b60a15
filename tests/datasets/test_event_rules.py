"""The rules by which event-camera benchmarks leave boxes out of the metric."""

import pytest
import torch
from mmengine.registry import METRICS


def sample(t: int, true: list, found: list) -> dict:
    """A test sample whose boxes are [x1, y1, x2, y2]; all of class 0."""
    return dict(
        img_id=t,
        timestamp=t,
        ori_shape=(240, 304),
        instances=[dict(bbox=b, bbox_label=0, ignore_flag=0) for b in true],
        pred_instances=dict(
            bboxes=torch.tensor(found, dtype=torch.float).reshape(-1, 4),
            scores=torch.linspace(0.9, 0.5, len(found)),
            labels=torch.zeros(len(found), dtype=torch.long),
        ),
    )


LARGE, FLAT, SMALL = [10, 10, 60, 60], [10, 100, 90, 109], [200, 50, 220, 70]


def measured(samples: list[dict], rules) -> float:
    metric = METRICS.build(dict(type="EventCocoMetric", rules=rules, metric_items=["mAP"]))
    metric.dataset_meta = dict(classes=("car", "pedestrian"))
    metric.process(None, samples)
    return metric.evaluate(len(samples))["coco/bbox_mAP"]


@pytest.mark.parametrize(
    "samples,rules,value",
    [
        # A small box that is not found, and one that is found where there is none.
        ([sample(600_000, [LARGE, SMALL], [LARGE])], None, 0.5),
        ([sample(600_000, [LARGE, SMALL], [LARGE])], "gen1", 1.0),
        ([sample(600_000, [LARGE, FLAT], [LARGE])], "gen1", 1.0),
        ([sample(600_000, [LARGE], [SMALL, LARGE])], None, 0.5),
        ([sample(600_000, [LARGE], [SMALL, LARGE])], "gen1", 1.0),
        # The first half second, the very end of it too.
        ([sample(500_000, [LARGE], []), sample(500_001, [LARGE], [LARGE])], None, 0.5),
        ([sample(500_000, [LARGE], []), sample(500_001, [LARGE], [LARGE])], "gen1", 1.0),
        # A time stamp whose boxes are all left out does not count, whatever is found there.
        ([sample(6 * 10**5, [SMALL], [LARGE]), sample(7 * 10**5, [LARGE], [LARGE])], "gen1", 1.0),
        ([sample(600_000, [LARGE, SMALL], [LARGE])], dict(diagonal=100), None),
    ],
)
def test_the_rules_of_the_metric(samples, rules, value):
    if value is None:
        with pytest.raises(ValueError, match="exclude every box of the test set"):
            measured(samples, rules)
    else:
        assert measured(samples, rules) == pytest.approx(value, abs=0.01)


def test_a_sample_that_comes_twice_counts_once():
    """Of an odd set two processes see one sample twice."""
    found, missed = sample(600_000, [LARGE], [LARGE]), sample(700_000, [LARGE], [])
    once = measured([found, missed], "gen1")
    assert measured([found, missed, missed, missed], "gen1") == pytest.approx(once)


def test_rules_and_samples_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="rules='gen2'"):
        METRICS.build(dict(type="EventCocoMetric", rules="gen2"))
    with pytest.raises(ValueError, match="the known rules are"):
        METRICS.build(dict(type="EventCocoMetric", rules=dict(sides=3)))
    metric = METRICS.build(dict(type="EventCocoMetric", rules="gen1"))
    with pytest.raises(ValueError, match="lack 'timestamp'"):
        metric.process(None, [dict(pred_instances={}, instances=[])])
