"""COCO's metric with the rules of event-camera benchmarks."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.registry import METRICS

from ...runtime.errors import UserError
from .rules import BoxRules

with warnings.catch_warnings():
    # mmdet's metrics warn about a missing package that nothing here uses.
    warnings.filterwarnings("ignore", message="faster_coco_eval")
    from mmdet.evaluation import CocoMetric


@METRICS.register_module()
class EventCocoMetric(CocoMetric):
    """mmdet's ``CocoMetric`` with rules that exclude true and predicted boxes.

    As in Prophesee's toolbox, a time stamp counts only if the rules keep one of its true boxes.
    With rules, the pipeline must pack ``timestamp`` and ``instances`` among its ``meta_keys``, and
    ``ann_file`` must stay None.

    Args:
        rules: ``'gen1'``, ``'1mpx'``, a dict of the attributes of
            :class:`~sakd_dense.datasets.events.rules.BoxRules`, or None (default), with which every
            box counts.
        kwargs: arguments of ``CocoMetric``.

    Raises:
        UserError: the rules are unknown or exclude every box of the set, or they come with
            an ``ann_file`` or without the ``meta_keys``.

    Example:
        >>> from mmengine.registry import METRICS
        >>> METRICS.build(dict(type="EventCocoMetric", rules="gen1")).rules
        BoxRules(skip=500000, diagonal=30, side=10)
    """

    def __init__(self, rules: str | Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        self.rules = BoxRules.of(rules)
        super().__init__(**kwargs)
        if self.rules is not None and kwargs.get("ann_file") is not None:
            raise UserError(f"rules={rules!r} need the data set's own boxes: leave ann_file out")

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        if self.rules is not None:
            taken = (self._taken(sample) for sample in data_samples)
            data_samples = [sample for sample in taken if sample is not None]
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        if not results:
            raise UserError(
                f"EventCocoMetric: rules={self.rules} exclude every box of the test set; set "
                "rules=None, or test on longer recordings"
            )
        if self.rules is not None:
            # Several processes repeat samples to pad the set. MMEngine removes these by number,
            # which fails after the rules have left samples out.
            results = list({true["img_id"]: (true, found) for true, found in results}.values())
        return super().compute_metrics(results)

    def _taken(self, sample: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns the sample with the boxes that count, or None if no true box does."""
        rules = self.rules
        assert rules is not None
        if "timestamp" not in sample or "instances" not in sample:
            raise UserError(
                "EventCocoMetric: samples lack 'timestamp' or 'instances': add both to the "
                "meta_keys of the test pipeline's PackEventInputs"
            )
        if not rules.takes_time(int(sample["timestamp"])):
            return None
        true = sample["instances"]
        sides = np.array([i["bbox"] for i in true], dtype=np.float64).reshape(-1, 4)
        keep = rules.takes_boxes(*_sides(sides))
        if not keep.any():
            return None
        found = sample["pred_instances"]
        boxes = found["bboxes"]
        where = rules.takes_boxes(*_sides(boxes))
        return {
            **sample,
            "instances": [i for i, kept in zip(true, keep, strict=True) if kept],
            "pred_instances": {k: v[where] for k, v in found.items()},
        }


def _sides(boxes: Any) -> tuple[Any, Any]:
    return boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]


__all__ = ["EventCocoMetric"]
