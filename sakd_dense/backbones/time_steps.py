"""Checks of the requested T, and the search for the spiking backbone of a model."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from ..runtime.arguments import is_integer
from ..runtime.errors import UserError
from .base import SpikingBackbone


def check_time_steps(time_steps: Iterable[int]) -> tuple[int, ...]:
    """Checks the numbers of time steps to read, and returns them in the given order.

    Raises:
        UserError: ``time_steps`` is empty, or contains a T that is not an integer of at least 1 or
            that is given more than once.

    Example:
        >>> from sakd_dense.backbones import check_time_steps
        >>> check_time_steps([1, 2, 4])
        (1, 2, 4)
    """
    steps = tuple(time_steps)
    if not steps:
        raise UserError("time_steps is empty: give at least one T, such as 4")
    for step in steps:
        if not is_integer(step) or step < 1:
            raise UserError(f"time_steps={steps}: {step!r} is not an integer of at least 1")
    doubles = sorted({step for step in steps if steps.count(step) > 1})
    if doubles:
        raise UserError(f"time_steps={steps}: T={doubles[0]} is given more than once")
    return steps


def spiking_backbones(model: nn.Module) -> dict[str, SpikingBackbone]:
    """Returns every spiking backbone in ``model``, which may be a wrapper or a TTA model.

    Returns:
        A dict from the name of each backbone's module to the backbone; empty for an ANN.
    """
    return {n: m for n, m in model.named_modules() if isinstance(m, SpikingBackbone)}


def find_spiking_backbone(model: nn.Module) -> SpikingBackbone:
    """Returns the only spiking backbone of ``model``.

    Raises:
        UserError: ``model`` has no spiking backbone, or more than one.

    Example:
        >>> from torch import nn
        >>> from sakd_dense import SEWResNet
        >>> from sakd_dense.backbones import find_spiking_backbone
        >>> backbone = SEWResNet(18, base_channels=8, stem_channels=8)
        >>> find_spiking_backbone(nn.Sequential(backbone, nn.Identity())) is backbone
        True
    """
    backbones = spiking_backbones(model)
    if not backbones:
        raise UserError(
            f"{type(model).__name__} has no spiking backbone, so there are no time steps to read; "
            "leave time_steps out to evaluate an ANN"
        )
    if len(backbones) > 1:
        raise UserError(
            f"{type(model).__name__} has {len(backbones)} spiking backbones "
            f"({', '.join(backbones)}); reading several T needs a model with exactly one"
        )
    return next(iter(backbones.values()))


@contextmanager
def at_time_steps(model: nn.Module, t: int | None) -> Iterator[None]:
    """Sets the spiking backbones of ``model`` to ``t`` time steps inside the ``with`` block.

    None changes nothing. Of event frames ``[T, B, C, H, W]``, the backbones read the first ``t``.

    Raises:
        UserError: A forward inside the block receives fewer than ``t`` event frames.
    """
    if t is None:
        yield
        return

    def first_frames(_backbone: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        frames = args[0]
        if frames.dim() != 5:
            return args
        if len(frames) < t:
            raise UserError(f"T={t} is more than the {len(frames)} event frames of the input")
        return (frames[:t], *args[1:])

    with ExitStack() as stack:
        for backbone in spiking_backbones(model).values():
            stack.callback(setattr, backbone, "time_steps", backbone.time_steps)
            stack.callback(backbone.register_forward_pre_hook(first_frames).remove)
            backbone.time_steps = t
        yield


__all__ = ["at_time_steps", "check_time_steps", "find_spiking_backbone", "spiking_backbones"]
