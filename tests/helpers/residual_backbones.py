"""Small residual backbones, and BatchNorm with which they spike."""

from torch import nn

from sakd_dense.backbones import ResidualBackbone, SEWResNet, SpikingResNet

CONNECTS = ("ADD", "AND", "IAND", "BEFORE")


def small(depth: int = 18, **kwargs) -> ResidualBackbone:
    """Of the family that ``connect`` belongs to."""
    family = SpikingResNet if kwargs.get("connect") == "BEFORE" else SEWResNet
    return family(depth, **{"base_channels": 8, "time_steps": 2, **kwargs})


def excite(model: nn.Module) -> nn.Module:
    """BatchNorm with which every layer spikes, so that nothing is compared at zero."""
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.weight, 0.5, 2.0)
            nn.init.uniform_(m.bias, 0.0, 0.8)
            nn.init.normal_(m.running_mean, 0.0, 0.1)
            nn.init.uniform_(m.running_var, 0.5, 1.5)
    return model
