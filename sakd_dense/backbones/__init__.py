"""Spiking backbones: images in, firing-rate features out."""

from .base import SpikingBackbone
from .sew_resnet import SEWResNet, SEWResNetV1c, SEWResNetV1d, SEWResNeXt

__all__ = ["SEWResNeXt", "SEWResNet", "SEWResNetV1c", "SEWResNetV1d", "SpikingBackbone"]
