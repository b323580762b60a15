"""One evaluator a T, since metrics keep what they have seen."""

import copy
from typing import Any

from mmengine.evaluator import Evaluator

#: Attributes of metrics of mmengine, mmdet and mmseg that say where they write.
_WRITES_TO = ("outfile_prefix", "out_file_path", "output_dir")
#: Annotations of a whole data set: big, and only read.
_SHARED = ("COCO", "LVIS")


def evaluator_for(t: int, evaluator: Evaluator) -> Evaluator:
    """A copy of ``evaluator`` for T=``t``: it keeps its own results and writes its own files.

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
        for name in _WRITES_TO:
            path = getattr(metric, name, None)
            if isinstance(path, str):
                setattr(metric, name, _with_step(path, t))
    return copied


def _with_step(path: str, t: int) -> str:
    folder, slash, name = path.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    marked = f"{stem}_T{t}.{ending}" if dot and stem else f"{name}_T{t}"
    return f"{folder}{slash}{marked}"
