"""Level 2: the teacher's features and responses as training targets beside the labels."""

from .hook import SAKDHook
from .losses import FeatureCWD, FeatureMSE, FeaturePKD

__all__ = ["FeatureCWD", "FeatureMSE", "FeaturePKD", "SAKDHook"]
