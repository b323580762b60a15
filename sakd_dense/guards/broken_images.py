"""Handling of images that cannot be read: they are logged and counted, or end the run.

MMEngine silently uses another image if a transform returns None. If a transform raises, the run
ends with a traceback that does not name the file.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from ..runtime.arguments import typed
from ..runtime.errors import MissingFileError, UserError, first_line

#: Share of a data set above which the set itself, and not single images, counts as broken.
LARGEST_SHARE = 0.1
#: Keys under which data sets store the path of an image.
PATHS = ("img_path", "filename", "file_name")
#: Names in a COCO file of what mmdet keeps of an annotation.
COCO_FIELDS = dict(mask="segmentation")


@HOOKS.register_module()
class BrokenImageHook(Hook):
    """Hook that reports images that cannot be read.

    In training, another image replaces one whose file is damaged or missing. The hook logs each
    such file once, and the number of replaced images at the end of each epoch. In validation and
    test, the run ends, since a metric over fewer images would be another metric.

    Args:
        share: largest share of a training set that may be broken, from 0 (none) to 1. Default: 0.1.

    Raises:
        UserError: ``share`` is not a number from 0 to 1, a larger share of the training set is
            broken, an image of a test set is broken, or the folder of the images does not exist.
    """

    priority = "VERY_HIGH"  # before a hook reads from the loader

    @typed
    def __init__(self, share: float = LARGEST_SHARE) -> None:
        if not 0 <= share <= 1:
            raise UserError(f"BrokenImageHook: share={share!r}: must be a number from 0 to 1")
        self.share = float(share)
        self._watched: list[_Watched] = []

    def before_train(self, runner: Any) -> None:
        self._watch(runner.train_dataloader)

    def before_val(self, runner: Any) -> None:
        self._watch(runner.val_dataloader)

    def before_test(self, runner: Any) -> None:
        self._watch(runner.test_dataloader)

    def after_train_epoch(self, runner: Any) -> None:
        for watched in self._watched:
            count = watched.take_count()
            if count:
                print_log(
                    f"epoch {runner.epoch + 1}: {count} of the {len(watched.dataset)} images of "
                    f"{type(watched.dataset).__name__} could not be read and were replaced by "
                    "others",
                    runner.logger,
                    logging.WARNING,
                )

    def _watch(self, loader: Any) -> None:
        for dataset in plain_datasets(loader.dataset):
            if not isinstance(dataset.prepare_data, _Watched):
                watched = _Watched(dataset, self.share)
                dataset.prepare_data = watched
                self._watched.append(watched)


def plain_datasets(dataset: Any) -> Iterator[Any]:
    """Yields the data sets with their own pipeline inside wrappers (concatenated, repeated)."""
    for inner in getattr(dataset, "datasets", None) or ():
        yield from plain_datasets(inner)
    if hasattr(dataset, "dataset"):
        yield from plain_datasets(dataset.dataset)
    elif hasattr(dataset, "prepare_data") and hasattr(dataset, "pipeline"):
        yield dataset


class _Watched:
    """Replacement of a data set's ``prepare_data`` that reports unreadable images.

    Worker processes get it with the data set. They share one byte per image in memory that marks
    broken images, so no image is counted twice.
    """

    def __init__(self, dataset: Any, share: float) -> None:
        self.dataset = dataset
        self.share = share
        self._prepare = dataset.prepare_data
        self._ever = torch.zeros(len(dataset), dtype=torch.uint8).share_memory_()
        self._in_epoch = torch.zeros_like(self._ever).share_memory_()

    def __call__(self, index: int) -> Any:
        try:
            data = self._prepare(index)
        except MemoryError:
            raise
        except Exception:
            broken = self._broken_file(index)
            if broken is None:
                raise
        else:
            broken = self._broken_file(index) if data is None else None
            if broken is None:
                return data
        self._note(index, *broken)
        return None

    def take_count(self) -> int:
        """Returns the number of images that were replaced since the last call."""
        count = int(self._in_epoch.sum())
        self._in_epoch.zero_()
        return count

    def _note(self, index: int, file: str, reason: str) -> None:
        name = type(self.dataset).__name__
        path = Path(file)
        if "://" not in file and not path.parent.is_dir():
            raise MissingFileError(
                f"{name}: the folder {path.parent} of {path.name} no longer exists: restore the "
                "data (data_root, data_prefix) and run again with --resume"
            )
        if getattr(self.dataset, "test_mode", False):
            raise UserError(
                f"{name}: {file} cannot be read ({reason}): skipping it would change the metric. "
                "Repair the file, or remove it from the annotations"
            )
        index %= len(self._ever)
        self._in_epoch[index] = 1
        if self._ever[index]:
            return
        self._ever[index] = 1
        print_log(
            f"{name}: {file} cannot be read ({reason}) and is replaced by another image",
            "current",
            logging.WARNING,
        )
        broken = int(self._ever.sum())
        if broken > self.share * len(self._ever):
            raise UserError(
                f"{name}: {broken} of {len(self._ever)} images cannot be read, the last is {file} "
                f"({reason}): more than the share of {self.share:g} that may be replaced by others "
                "(BrokenImageHook(share=...)). Repair the files or the annotations"
            )

    def _broken_file(self, index: int) -> tuple[str, str] | None:
        """Returns the file that cannot be read and the reason; None if all files can be read.

        Only the loading transforms at the start of the pipeline run. An error of another transform
        therefore does not count.
        """
        data: Any = self.dataset.get_data_info(index)
        image = next((data[k] for k in PATHS if isinstance(data.get(k), str)), f"image {index}")
        for transform in getattr(self.dataset.pipeline, "transforms", ()):
            name = type(transform).__name__
            if "Load" not in name:
                return None
            labels = data.get("seg_map_path") if "Annotation" in name else None
            file = labels if isinstance(labels, str) else image
            try:
                data = transform(data)
            except Exception as error:
                return file, f"{name}: {_reason(error, data)}"
            if data is None:
                return file, f"{name} returns None"
        return None


def _reason(error: Exception, data: dict[str, Any]) -> str:
    if isinstance(error, KeyError) and error.args:
        instances = data.get("instances") or []
        lacking = sum(error.args[0] not in instance for instance in instances)
        if lacking:
            field = COCO_FIELDS.get(error.args[0], error.args[0])
            return f"{lacking} of its {len(instances)} annotations have no {field!r}"
    first = first_line(error)
    return f"{type(error).__name__}: {first[:200]}"


__all__ = ["LARGEST_SHARE", "BrokenImageHook", "plain_datasets"]
