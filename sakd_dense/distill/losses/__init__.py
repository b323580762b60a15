"""Feature losses, one per file: a pure function and a thin module around it."""

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
