"""Checks of the classes of the data: those of the annotations, and those of the head.

mmdet ignores boxes of classes that the data set does not name. A run without any of them trains or
tests without a single box. A label above the head's number of classes is its background, or another
head's output. OpenMMLab raises no error in either case, except where a config adds mmdet's
``NumClassCheckHook``.
"""

import logging
from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from torch import nn

from ..runtime.errors import UserError
from .broken_images import plain_datasets


@HOOKS.register_module()
class KnownClassesHook(Hook):
    """Hook that ends a run whose annotations and head do not have the data set's classes.

    The hook warns if the annotations lack some classes.

    Raises:
        UserError: no category of the annotation file is a class of the data set, or the data set
            has more classes than the head.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def before_train(self, runner: Any) -> None:
        self._check(runner, runner.train_dataloader)

    def before_val(self, runner: Any) -> None:
        self._check(runner, runner.val_dataloader)

    def before_test(self, runner: Any) -> None:
        self._check(runner, runner.test_dataloader)

    def _check(self, runner: Any, loader: Any) -> None:
        for dataset in plain_datasets(loader.dataset):
            found = getattr(dataset, "cat_ids", None)
            classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
            if classes:
                _check_number(runner.model, type(dataset).__name__, classes)
            if not isinstance(found, list) or not classes or len(found) >= len(classes):
                continue
            file = str(getattr(dataset, "ann_file", ""))
            name, shown = type(dataset).__name__, ", ".join(map(str, classes[:5]))
            shown += ", ..." if len(classes) > 5 else ""
            if not found:
                raise UserError(
                    f"{name}: none of the categories in {file} is a class of the data set "
                    f"({shown}): set metainfo=dict(classes=...) and the head's num_classes"
                )
            if file not in self._warned:
                self._warned.add(file)
                print_log(
                    f"{name}: {file} has {len(found)} of the data set's {len(classes)} classes "
                    f"({shown}); there are no boxes of the others",
                    "current",
                    logging.WARNING,
                )


def _check_number(model: nn.Module, dataset: str, classes: Sequence[str]) -> None:
    if any(hasattr(module, "num_stuff_classes") for module in model.modules()):
        return  # of a panoptic model, each head has some of the classes
    for name, head in model.named_modules():
        number = getattr(head, "num_classes", None)
        # A head with fewer names than outputs can learn; an RPN has one class, objects.
        if "head" not in name or "rpn" in name or not isinstance(number, int):
            continue
        if number < len(classes):
            raise UserError(
                f"{dataset} has {len(classes)} classes, but {name} ({type(head).__name__}) has "
                f"num_classes={number}: set model.{name}.num_classes={len(classes)}, or the "
                "classes of the data set by metainfo=dict(classes=...)"
            )


__all__ = ["KnownClassesHook"]
