"""Checks of the arguments of :class:`~sakd_dense.distill.SAKDHook`."""

from collections.abc import Mapping
from typing import Any

import torch

from ..runtime.errors import UserError

#: Values of the teacher's ``dtype`` and their torch types.
DTYPES = {None: None, "bfloat16": torch.bfloat16, "float16": torch.float16}
#: Keys of ``teacher``.
TEACHER = {"checkpoint", "config", "dtype", "weights", "cache", "cache_gib"}
TARGETS = ("teacher", "labels", "both")


def check_arguments(
    teacher: Mapping[str, Any],
    transfer: bool | str,
    calibrate: int,
    features: Mapping[str, Any] | None,
    prefix_share: float,
    prefix_targets: str,
) -> None:
    """Checks the values of the hook's arguments, whose types have been checked before.

    Raises:
        UserError: the hook cannot use a value.
    """
    unknown = sorted(set(teacher) - TEACHER)
    if unknown or not teacher.get("checkpoint"):
        raise UserError(
            f"SAKDHook: teacher={dict(teacher)!r}: must be dict(checkpoint='...'). Add "
            "config='...' if the teacher cannot be derived from the student's config, "
            "dtype='bfloat16' to compute in that type, weights='ema' (or 'raw', or a name) if the "
            "checkpoint holds several sets of weights, and cache='FOLDER' to keep its features"
        )
    if teacher.get("dtype") not in DTYPES:
        raise UserError(
            f"SAKDHook: teacher=dict(dtype={teacher['dtype']!r}): must be one of "
            + ", ".join(map(repr, DTYPES))
        )
    gib = teacher.get("cache_gib", 1)
    if isinstance(gib, bool) or not isinstance(gib, int | float) or not gib > 0:
        raise UserError(f"SAKDHook: teacher=dict(cache_gib={gib!r}): must be a size in GiB above 0")
    if not isinstance(teacher.get("cache") or "", str):
        raise UserError(f"SAKDHook: teacher=dict(cache={teacher['cache']!r}): must be a folder")
    if transfer not in (True, False, "head"):
        raise UserError(f"SAKDHook: transfer={transfer!r}: must be True, False or 'head'")
    if isinstance(calibrate, bool) or not isinstance(calibrate, int) or calibrate < 0:
        raise UserError(f"SAKDHook: calibrate={calibrate!r}: must be a number of batches, or 0")
    if features is not None and "type" not in features:
        raise UserError(f"SAKDHook: features={dict(features)!r} has no type")
    if not 0 <= prefix_share <= 1:
        raise UserError(f"SAKDHook: prefix_share={prefix_share!r}: must be a number from 0 to 1")
    if prefix_targets not in TARGETS:
        raise UserError(f"SAKDHook: prefix_targets={prefix_targets!r}: must be one of {TARGETS}")


__all__ = ["DTYPES", "TARGETS", "check_arguments"]
