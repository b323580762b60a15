"""COCO's metric by the rules of event-camera benchmarks."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.registry import METRICS

from ...runtime.errors import UserError
from .rules import BoxRules

with warnings.catch_warnings():
    # mmdet's metrics warn of one that needs a package which nothing here uses.
    warnings.filterwarnings("ignore", message="faster_coco_eval")
    from mmdet.evaluation import CocoMetric


@METRICS.register_module()
class EventCocoMetric(CocoMetric):
    """mmdet's ``CocoMetric``, in which rules leave true and predicted boxes out.

    As in Prophesee's toolbox a time stamp counts only if a true box of it is taken. The pipeline
    packs ``timestamp`` and ``instances`` among its ``meta_keys``; ``ann_file`` stays None.

    Args:
        rules: ``'gen1'``, ``'1mpx'``, a dict of
            :class:`~sakd_dense.datasets.events.rules.BoxRules`, or None: every box counts.
        kwargs: of ``CocoMetric``.

    Raises:
        UserError: for unknown rules, and where they leave no box of the whole set.

    Example:
        >>> from mmengine.registry import METRICS
        >>> METRICS.build(dict(type="EventCocoMetric", rules="gen1")).rules
        BoxRules(skip=500000, diagonal=30, side=10)
    """

    def __init__(self, rules: str | Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        self.rules = BoxRules.of(rules)
        super().__init__(**kwargs)
        if self.rules is not None and self._coco_api is not None:
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
            # Several processes pad the set by samples that it has; MMEngine cuts them off by
            # number, which does not hold where some were left out.
            results = list({true["img_id"]: (true, found) for true, found in results}.values())
        return super().compute_metrics(results)

    def _taken(self, sample: Mapping[str, Any]) -> dict[str, Any] | None:
        """The sample with the boxes that count, or None if no true one does."""
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
