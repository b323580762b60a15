"""Functions that read or rewrite configs."""

from .models import (
    check_test_loop,
    initial_checkpoints,
    test_dataset_of,
    with_preprocessor,
    without_checkpoints,
)
from .policy import check_norm_policy
from .sakd import to_sakd
from .scopes import config_file, load_config, patch_config_scopes
from .teacher import sakd_hook, teacher_config, teacher_file, teacher_of
from .twins import ann_of, spiking_of
from .types import ANN_TYPES, ann_type, spiking_backbone_cfgs, type_name
from .write import read_as_base, write_config

__all__ = [
    "ANN_TYPES",
    "ann_of",
    "ann_type",
    "check_norm_policy",
    "check_test_loop",
    "config_file",
    "initial_checkpoints",
    "load_config",
    "patch_config_scopes",
    "read_as_base",
    "sakd_hook",
    "spiking_backbone_cfgs",
    "spiking_of",
    "teacher_config",
    "teacher_file",
    "teacher_of",
    "test_dataset_of",
    "to_sakd",
    "type_name",
    "with_preprocessor",
    "without_checkpoints",
    "write_config",
]
