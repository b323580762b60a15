"""Spiking backbones, which turn images into firing-rate features."""

from .base import SpikingBackbone
from .declared import declare_backbone
from .families import (
    SEWResNet,
    SEWResNet_CIFAR,
    SEWResNetV1c,
    SEWResNetV1d,
    SEWResNeXt,
    SpikingResNet,
    SpikingResNet_CIFAR,
    SpikingResNetV1c,
    SpikingResNetV1d,
    SpikingResNeXt,
)
from .resnet import ResidualBackbone
from .time_steps import check_time_steps, find_spiking_backbone
from .upstream import UpstreamBackbone

__all__ = [
    "ResidualBackbone",
    "SEWResNeXt",
    "SEWResNet",
    "SEWResNetV1c",
    "SEWResNetV1d",
    "SEWResNet_CIFAR",
    "SpikingBackbone",
    "SpikingResNeXt",
    "SpikingResNet",
    "SpikingResNetV1c",
    "SpikingResNetV1d",
    "SpikingResNet_CIFAR",
    "UpstreamBackbone",
    "check_time_steps",
    "declare_backbone",
    "find_spiking_backbone",
]
