"""Spiking twins of upstream backbones, named ``Spiking`` plus the upstream type."""

from typing import Any

from mmengine.registry import MODELS
from torch import nn

from ..config.types import BACKBONE_TWINS
from ..runtime.errors import UserError
from .upstream import UpstreamBackbone

#: Convolutional backbones of mmdet, mmseg and mmpretrain whose activations are modules. A name that
#: several packages share refers to the class in the scope in which the model is built.
UPSTREAM = [
    "AlexNet",
    "BiSeNetV1",
    "BiSeNetV2",
    "CGNet",
    "CSPDarkNet",
    "CSPDarknet",
    "CSPNeXt",
    "CSPResNeXt",
    "CSPResNet",
    "ConvMixer",
    "ConvNeXt",
    "DDRNet",
    "Darknet",
    "DenseNet",
    "ERFNet",
    "EfficientNet",
    "EfficientNetV2",
    "FastSCNN",
    "HRNet",
    "HourglassNet",
    "ICNet",
    "MSCAN",
    "MobileNetV2",
    "MobileNetV3",
    "MobileOne",
    "PIDNet",
    "RegNet",
    "RepVGG",
    "Res2Net",
    "ResNeSt",
    "SEResNeXt",
    "SEResNet",
    "SSDVGG",
    "STDCContextPathNet",
    "STDCNet",
    "ShuffleNetV1",
    "ShuffleNetV2",
    "UNet",
    "VAN",
    "VGG",
]

_CLASSES: dict[type[nn.Module], type[UpstreamBackbone]] = {}


def declare_backbone(upstream: type[nn.Module] | str) -> None:
    """Registers ``Spiking<upstream>``, whose teacher is ``upstream`` itself.

    ::

        declare_backbone(MyNet)  # backbone=dict(type='SpikingMyNet', ...)

    Args:
        upstream: A convolutional backbone class whose activations are modules, or the name of its
            type. A name is looked up in the scope in which the model is built.

    Example:
        >>> from mmdet.models import ResNet
        >>> from sakd_dense.backbones import declare_backbone
        >>> declare_backbone(type("MyNet", (ResNet,), {}))  # any network of your own
    """
    name = upstream if isinstance(upstream, str) else upstream.__name__

    def build(**arguments: Any) -> UpstreamBackbone:
        return _class_of(_found(name) if isinstance(upstream, str) else upstream)(**arguments)

    MODELS.register_module(name=f"Spiking{name}", module=build)
    BACKBONE_TWINS[f"Spiking{name}"] = name


def _found(name: str) -> type[nn.Module]:
    with MODELS.switch_scope_and_registry(None) as registry:
        upstream = registry.get(name)
    if not isinstance(upstream, type):
        raise UserError(
            f"Spiking{name}: {name!r} is not in the registry of the scope {registry.scope!r}. "
            "Build the backbone in the scope of its package: set default_scope='mmdet', 'mmseg' "
            "or 'mmpretrain' in the config, or _scope_='mmpretrain' beside the type"
        )
    return upstream


def _class_of(upstream: type[nn.Module]) -> type[UpstreamBackbone]:
    if upstream not in _CLASSES:
        doc = f":class:`{upstream.__name__}` with neurons, see :mod:`.upstream`."
        _CLASSES[upstream] = type(
            f"Spiking{upstream.__name__}",
            (UpstreamBackbone, upstream),
            dict(__doc__=doc, __module__=__name__, upstream=upstream),
        )
    return _CLASSES[upstream]


for _name in UPSTREAM:
    declare_backbone(_name)


__all__ = ["UPSTREAM", "declare_backbone"]
