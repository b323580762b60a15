"""Options of level 2, checked once, for the hook and everything else that computes its terms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..runtime.errors import UserError
from .adaptors import kernel_size_of
from .schedule import Weight

#: Values of the teacher's ``dtype`` and their torch types.
DTYPES = {None: None, "bfloat16": torch.bfloat16, "float16": torch.float16}
#: Keys of the hook's ``teacher``.
TEACHER = {"checkpoint", "config", "dtype", "weights"}
#: Kinds of prefixes, see :mod:`.prefixes`.
PREFIXES = ("auto", "random", "image")
#: Measured on BCCD (benchmarks/notebook): MSE, PKD and CWD perform alike; PKD spikes less than MSE.
DEFAULT_FEATURES = dict(type="FeaturePKD", weight=1.0)
#: Also measured there: of 1, 2, 4 and 8, the best on val at every T; 4 is equal within noise.
DEFAULT_PREFIX_WEIGHT = 8.0
#: Of 0.5 and 0.75, the better on BCCD's val (one seed) at every T.
DEFAULT_PREFIX_SHARE = 0.75


@dataclass(frozen=True)
class LevelTwo:
    """Options of level 2, of which :class:`~sakd_dense.distill.SAKDHook` documents the values.

    Args:
        features: config of the feature loss with its ``weight`` and ``adaptor``; None: off.
        responses: options of the responses; None: off.
        prefixes: a kind of prefixes, or a dict with it as ``type`` and ``share``; None: off.
        prefix_weight: weight of all terms at prefixes.
        dtype: precision of the teacher by name; None: the student's.
        prefix_share: share of the images that ``'image'`` reads at a prefix; a dict of
            ``prefixes`` sets it.

    Raises:
        UserError: an option has another value. The message names it.
    """

    features: Mapping[str, Any] | None = field(default_factory=lambda: DEFAULT_FEATURES)
    responses: Mapping[str, Any] | None = field(default_factory=dict)
    prefixes: str | Mapping[str, Any] | None = "auto"
    prefix_weight: float | Mapping[str, Any] = DEFAULT_PREFIX_WEIGHT
    dtype: str | None = None
    prefix_share: float = DEFAULT_PREFIX_SHARE

    def __post_init__(self) -> None:
        if self.features is not None and "type" not in self.features:
            raise UserError(f"SAKDHook: features={dict(self.features)!r} has no type")
        if self.dtype not in DTYPES:
            raise UserError(
                f"SAKDHook: teacher=dict(dtype={self.dtype!r}): must be one of "
                + ", ".join(map(repr, DTYPES))
            )
        if isinstance(self.prefixes, Mapping):
            self._unpack(self.prefixes)
        if self.prefixes is not None and self.prefixes not in PREFIXES:
            raise UserError(
                f"SAKDHook: prefixes={self.prefixes!r}: must be None or one of "
                + ", ".join(map(repr, PREFIXES))
            )
        Weight(self.prefix_weight, "prefix_weight")
        kernel_size_of(self.features or {})

    def _unpack(self, prefixes: Mapping[str, Any]) -> None:
        share = prefixes.get("share", DEFAULT_PREFIX_SHARE)
        unknown = set(prefixes) - {"type", "share"}
        is_number = isinstance(share, int | float) and not isinstance(share, bool)
        if unknown or prefixes.get("type") != "image" or not (is_number and 0 <= share <= 1):
            raise UserError(
                f"SAKDHook: prefixes={dict(prefixes)!r}: must be dict(type='image', share=0.75) "
                "with a share from 0 to 1"
            )
        # A frozen dataclass sets its own fields in this way only.
        object.__setattr__(self, "prefixes", "image")
        object.__setattr__(self, "prefix_share", float(share))


def check_level_one(teacher: Mapping[str, Any], transfer: bool | str, calibrate: int) -> None:
    """Checks the hook's ``teacher``, ``transfer`` and ``calibrate``.

    Raises:
        UserError: ``teacher`` has other keys or no checkpoint, or a value is not allowed.
    """
    if transfer not in (True, False, "head"):
        raise UserError(f"SAKDHook: transfer={transfer!r}: must be True, False or 'head'")
    if calibrate < 0:
        raise UserError(f"SAKDHook: calibrate={calibrate!r}: must be a number of batches, or 0")
    unknown = sorted(set(teacher) - TEACHER)
    if unknown or not teacher.get("checkpoint"):
        raise UserError(
            f"SAKDHook: teacher={dict(teacher)!r}: must be dict(checkpoint='...'). Add "
            "config='...' if the teacher cannot be derived from the student's config, "
            "dtype='bfloat16' to compute in that type, and weights='ema' (or 'raw', or a name) if "
            "the checkpoint holds several sets of weights"
        )


__all__ = ["DTYPES", "LevelTwo", "check_level_one"]
