"""Feature losses, one file each: a pure function under a thin module."""

from .cwd import FeatureCWD, channel_wise_distillation
from .mse import FeatureMSE, rate_mse
from .pkd import FeaturePKD, pearson_distance

__all__ = [
    "FeatureCWD",
    "FeatureMSE",
    "FeaturePKD",
    "channel_wise_distillation",
    "pearson_distance",
    "rate_mse",
]
