"""Level 2: what the teacher says, beside the labels."""

from .hook import SAKDHook
from .losses import FeatureCWD, FeatureMSE, FeaturePKD

__all__ = ["FeatureCWD", "FeatureMSE", "FeaturePKD", "SAKDHook"]
