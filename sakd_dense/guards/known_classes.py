"""Check for data sets in COCO's format whose file has none of the config's classes.

mmdet ignores boxes of other classes. Such a run trains or tests without a single box, and mmdet
raises no error.
"""

import logging
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from ..runtime.errors import UserError
from .broken_images import plain_datasets


@HOOKS.register_module()
class KnownClassesHook(Hook):
    """Hook that ends a run whose annotations have none of the data set's classes.

    The hook warns if only some classes are missing.

    Raises:
        UserError: no category of the annotation file is a class of the data set.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def before_train(self, runner: Any) -> None:
        self._check(runner.train_dataloader)

    def before_val(self, runner: Any) -> None:
        self._check(runner.val_dataloader)

    def before_test(self, runner: Any) -> None:
        self._check(runner.test_dataloader)

    def _check(self, loader: Any) -> None:
        for dataset in plain_datasets(loader.dataset):
            found = getattr(dataset, "cat_ids", None)
            classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
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


__all__ = ["KnownClassesHook"]
