"""Level 1: read a checkpoint safely, map its keys, load them, report every key."""

from .apply import transfer
from .batchnorm import reestimate
from .initializer import SAKDTransfer
from .load import build_for_test, load_for_test
from .read import load_safely, read_checkpoint, read_state_dict, verify_checkpoint
from .report import TransferError, TransferReport
from .weights import Checkpoint

__all__ = [
    "Checkpoint",
    "SAKDTransfer",
    "TransferError",
    "TransferReport",
    "build_for_test",
    "load_for_test",
    "load_safely",
    "read_checkpoint",
    "read_state_dict",
    "reestimate",
    "transfer",
    "verify_checkpoint",
]
