"""Tables for whatever metrics there are; files whole or not at all."""

import json

import numpy as np
import pytest

from sakd_dense.runtime.files import replacing
from sakd_dense.timesteps import SweepResult
from sakd_dense.timesteps.evaluators import _named
from sakd_dense.timesteps.table import main_metric, metric_columns, table

DETECTION = {
    t: {
        "coco/bbox_mAP": 0.1 * t,
        "coco/bbox_mAP_50": 0.2 * t,
        "coco/bbox_mAP_75": 0.05 * t,
        "coco/bbox_mAP_s": -1.0,
        "firing_rate": 0.1234,
        "ms_per_image": 10.04 * t,
    }
    for t in (1, 4)
}


def test_a_detectors_table_is_aligned():
    assert table(DETECTION).splitlines() == [
        "T    mAP  mAP50  mAP75  firing rate  ms per image",
        "1  0.100  0.200  0.050        0.123          10.0",
        "4  0.400  0.800  0.200        0.123          40.2",
    ]
    assert main_metric(DETECTION) == "coco/bbox_mAP"


@pytest.mark.parametrize("t", [1, 4])
@pytest.mark.parametrize("missing", [{}, {"coco/bbox_mAP": None, "coco/bbox_mAP_50": None}])
def test_a_t_without_metrics_hides_no_column(t, missing):
    """Of a detector that finds nothing at T=1; null is how JSON keeps NaN."""
    rows = {**DETECTION, t: {**missing, "firing_rate": 0.1234}}
    header, *lines = table(rows).splitlines()
    assert header.split()[:4] == ["T", "mAP", "mAP50", "mAP75"]
    (line,) = [line.split() for line in lines if line.split()[0] == str(t)]
    assert line == [str(t), "-", "-", "-", "0.123", "-"]
    assert main_metric(rows) == "coco/bbox_mAP"


def test_numpys_numbers_are_numbers():
    """mmseg's metrics are float32."""
    assert main_metric({1: dict(aAcc=np.float32(20.0), mIoU=np.float32(3.4))}) == "mIoU"


@pytest.mark.parametrize(
    ("metrics", "headings"),
    [
        (["coco/bbox_mAP", "coco/segm_mAP"], ["mAP", "segm mAP"]),
        (["pascal_voc/mAP", "pascal_voc/AP50"], ["mAP", "AP50"]),
        (["aAcc", "mIoU", "mAcc"], ["aAcc", "mIoU", "mAcc"]),
        (["accuracy/top1", "accuracy/top5"], ["top1", "top5"]),
        (["a/score", "b/score"], ["a/score", "b/score"]),
        ([f"m{i}" for i in range(9)], [f"m{i}" for i in range(6)]),
        ([], []),
    ],
)
def test_columns_follow_the_metrics(metrics, headings):
    rows = {2: {m: 50.0 for m in metrics} | {"table": "text", "firing_rate": 0.1}}
    assert list(metric_columns(rows).values()) == headings
    assert table(rows).count("\n") == 1


def test_json_keeps_everything_and_has_no_nan(tmp_path):
    rows = {(t, None): {**row, "coco/cat": np.array([0.5, np.nan])} for t, row in DETECTION.items()}
    rows[1, None]["coco/bbox_mAP_s"] = float("nan")
    result = SweepResult(rows, config="c.py", checkpoint="x.pth", sweep_ms_per_image=50.0)
    path = tmp_path / "new" / "sweep.json"
    result.to_json(path)
    content = json.loads(path.read_text())
    assert [row["T"] for row in content["rows"]] == [1, 4]
    assert content["rows"][0]["metrics"]["coco/bbox_mAP_s"] is None
    assert content["rows"][0]["metrics"]["coco/cat"] == [0.5, None]
    assert {"torch", "mmengine", "python", "sakd_dense"} <= set(content["versions"])
    assert content["command"] and content["date"].endswith("+00:00")
    again = SweepResult.from_json(path)
    assert again.rows[4, None]["ms_per_image"] == pytest.approx(40.16)
    assert again.checkpoint == "x.pth"


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("path", "marked"),
    [("a/b.pkl", "a/b_T2.pkl"), ("a.d/results", "a.d/results_T2"), ("results", "results_T2")],
)
def test_each_t_writes_its_own_files(path, marked):
    assert _named(path, "T2") == marked


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"notes": "", "rows": [{"T": 1}]}'])
def test_a_file_that_is_no_sweep_is_named(tmp_path, text):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ValueError, match=r"other\.json is not a sweep"):
        SweepResult.from_json(tmp_path / "other.json")
