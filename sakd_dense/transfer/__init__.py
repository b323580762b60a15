"""Level 1: read a checkpoint safely, map its keys, load them, report every key."""

from .apply import transfer
from .initializer import SAKDTransfer
from .read import load_safely, read_state_dict, verify_checkpoint
from .report import TransferError, TransferReport

__all__ = [
    "SAKDTransfer",
    "TransferError",
    "TransferReport",
    "load_safely",
    "read_state_dict",
    "transfer",
    "verify_checkpoint",
]
