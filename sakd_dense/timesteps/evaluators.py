"""One evaluator a T, since metrics keep what they have seen."""

import copy
from typing import Any

from mmengine.evaluator import Evaluator

#: Attributes of metrics of mmengine, mmdet and mmseg that say where they write.
_WRITES_TO = ("outfile_prefix", "out_file_path", "output_dir")
#: Annotations of a whole data set: big, and only read.
_SHARED = ("COCO", "LVIS")


def evaluator_for(name: str, evaluator: Evaluator) -> Evaluator:
    """A copy of ``evaluator`` for ``name``, as ``'T2'``: it keeps its own results and files.

    Loaded annotations are shared. A metric that writes to ``results.pkl`` writes to
    ``results_T2.pkl`` in the copy.
    """
    shared: dict[int, Any] = {}
    for metric in evaluator.metrics:
        for value in vars(metric).values():
            if any(cls.__name__ in _SHARED for cls in type(value).__mro__):
                shared[id(value)] = value
    copied = copy.deepcopy(evaluator, shared)
    for metric in copied.metrics:
        for attribute in _WRITES_TO:
            path = getattr(metric, attribute, None)
            if isinstance(path, str):
                setattr(metric, attribute, _named(path, name))
    return copied


def _named(path: str, name: str) -> str:
    folder, slash, file = path.rpartition("/")
    stem, dot, ending = file.rpartition(".")
    marked = f"{stem}_{name}.{ending}" if dot and stem else f"{file}_{name}"
    return f"{folder}{slash}{marked}"
