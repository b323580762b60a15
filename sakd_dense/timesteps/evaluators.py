"""A separate evaluator for each T, since metrics accumulate the results that they process."""

import copy
from typing import Any

from mmengine.evaluator import Evaluator

#: Output paths of the metrics of mmengine, mmdet and mmseg.
_WRITES_TO = ("outfile_prefix", "out_file_path", "output_dir")
#: Classes that hold the annotations of a complete data set: large, and only read.
_SHARED = ("COCO", "LVIS")


def evaluator_for(name: str, evaluator: Evaluator) -> Evaluator:
    """Returns a copy of ``evaluator`` with its own results and files, named by ``name`` (``'T2'``).

    Loaded annotations are shared. If a metric writes to ``results.pkl``, its copy writes to
    ``results_T2.pkl``.
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
