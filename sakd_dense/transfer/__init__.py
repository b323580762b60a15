"""Level 1: safe reading of a checkpoint, mapping and loading of its keys, report of every key."""

import sys
from types import ModuleType
from typing import Any

from .apply import transfer
from .batchnorm import reestimate
from .batchnorm_hook import ReestimateBatchNormHook
from .initializer import SAKDTransfer
from .read import load_safely, read_checkpoint, read_state_dict, verify_checkpoint
from .report import TransferError, TransferReport
from .thresholds import calibrate
from .weights import Checkpoint

__all__ = [
    "Checkpoint",
    "ReestimateBatchNormHook",
    "SAKDTransfer",
    "TransferError",
    "TransferReport",
    "calibrate",
    "load_safely",
    "read_checkpoint",
    "read_state_dict",
    "reestimate",
    "transfer",
    "verify_checkpoint",
]


class _CallableRoom(ModuleType):
    """Callable module: ``sakd_dense.transfer`` is both this package and level 1's function."""

    def __call__(self, *args: Any, **kwargs: Any) -> TransferReport:
        return transfer(*args, **kwargs)


_CallableRoom.__call__.__doc__ = transfer.__doc__
sys.modules[__name__].__class__ = _CallableRoom
