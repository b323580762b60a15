"""How an upstream neck or head becomes a spiking one, known by name in every scope."""

from typing import Any

from mmengine.registry import MODELS
from torch import nn

from ..twins import PARTS
from .part import SpikingPart


def declare(
    upstream: type[nn.Module], kind: type[SpikingPart], name: str = "", **defaults: Any
) -> type[nn.Module]:
    """Registers ``Spiking<upstream>``; the ANN that teaches it is ``upstream`` itself.

    ::

        declare(ATSSHead, SpikingDenseHead)       # bbox_head=dict(type='SpikingATSSHead', ...)

    Args:
        upstream: a neck or head whose activations are modules (mmcv's ``ConvModule``).
        kind: :class:`SpikingNeck`, :class:`SpikingDenseHead` or :class:`SpikingDecodeHead`.
        name: instead of ``Spiking<upstream>``.
        defaults: arguments of ``upstream`` that are set where a config does not, in the student and
            in its teacher alike.
    """
    name = name or f"Spiking{upstream.__name__}"
    doc = f":class:`{upstream.__name__}` with neurons, see :mod:`sakd_dense.parts.part`."
    members = dict(defaults=defaults, __doc__=doc, __module__=kind.__module__)
    part = type(name, (kind, upstream), members)
    MODELS.register_module(name=name, module=part)
    PARTS[name] = dict(type=upstream.__name__, **defaults)
    return part
