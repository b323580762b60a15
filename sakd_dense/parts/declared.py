"""Declaration of spiking twins of upstream necks and heads, by name or in a config."""

import functools
from typing import Any

from mmengine.registry import MODELS
from torch import nn

from ..config.types import PART_TWINS
from ..runtime.errors import UserError
from .part import SpikingDecodeHead, SpikingDenseHead, SpikingNeck, SpikingPart


def declare_part(
    upstream: type[nn.Module], kind: type[SpikingPart], name: str = "", **defaults: Any
) -> type[nn.Module]:
    """Registers ``Spiking<upstream>``, whose teacher is ``upstream`` itself.

    ::

        declare_part(ATSSHead, SpikingDenseHead)  # bbox_head=dict(type='SpikingATSSHead', ...)

    Args:
        upstream: A neck or head class whose activations are modules (mmcv's ``ConvModule``).
        kind: :class:`SpikingNeck`, :class:`SpikingDenseHead` or :class:`SpikingDecodeHead`.
        name: name that replaces ``Spiking<upstream>``. Default: ``''``, which keeps that name.
        defaults: arguments of ``upstream`` that are set if a config does not set them, both in the
            student and in its teacher.

    Example:
        >>> from mmdet.models.necks import FPN
        >>> from sakd_dense.parts import SpikingNeck, declare_part
        >>> neck = declare_part(type("MyFPN", (FPN,), {}), SpikingNeck)
        >>> neck.__name__
        'SpikingMyFPN'
    """
    name = name or f"Spiking{upstream.__name__}"
    part = _class_of(upstream, kind, name, **defaults)
    MODELS.register_module(name=name, module=part)
    PART_TWINS[name] = dict(type=upstream.__name__, **defaults)
    return part


def _class_of(
    upstream: type[nn.Module], kind: type[SpikingPart], name: str, **defaults: Any
) -> type[nn.Module]:
    doc = f":class:`{upstream.__name__}` with neurons, see :mod:`sakd_dense.parts.part`."
    return type(
        name,
        (kind, upstream),
        dict(defaults=defaults, __doc__=doc, __module__=kind.__module__),
    )


@functools.cache
def _undeclared(upstream: Any, kind: Any) -> Any:
    return _class_of(upstream, kind, f"Spiking{upstream.__name__}")


def _offer(kind: Any) -> None:
    """Registers ``kind`` as ``dict(type='SpikingNeck', of='NASFCOS_FPN', ...)``."""

    def build(of: str, **arguments: Any) -> nn.Module:
        with MODELS.switch_scope_and_registry(None) as registry:
            upstream = registry.get(of)
        if not isinstance(upstream, type) or not issubclass(upstream, nn.Module):
            raise UserError(
                f"{kind.__name__}: of={of!r} is not in the registry {registry.name!r} of the scope "
                f"{registry.scope!r}: set it to the type of an upstream neck or head"
            )
        return _undeclared(upstream, kind)(**arguments)

    MODELS.register_module(name=kind.__name__, module=build)
    PART_TWINS[kind.__name__] = {}


for _kind in (SpikingNeck, SpikingDenseHead, SpikingDecodeHead):
    _offer(_kind)


__all__ = ["declare_part"]
