"""A trial: stages that hand the neck an analogue value instead of their firing rate.

The last block of each output stage returns the ReLU of its last neuron's input, averaged over time,
with the shortcut as the block connects it. Its neuron fires as before, so no spike changes.
"""

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import Tensor, nn

from sakd_dense.backbones import ResidualBackbone
from sakd_dense.backbones.blocks import ResidualBlock


class _Analogue:
    """Runs a block and keeps its analogue output ``[T*B, C, H, W]``."""

    def __init__(self, block: ResidualBlock) -> None:
        self.block = block
        self.output: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        block = self.block
        saved = block.saved(x)
        fire, norm = getattr(block, block.last_neuron), getattr(block, block.last_norm)
        drive, identity = norm(block.current(saved)), block._identity(saved)
        if block.connect == "BEFORE":
            drive = drive + identity
            self.output = drive.relu()
            return fire(drive)
        self.output = drive.relu() + identity
        return fire(drive) + identity


def read_analogue(backbone: nn.Module) -> None:
    """Makes a SEW (ADD) or Spiking ResNet return analogue values from now on."""
    assert isinstance(backbone, ResidualBackbone)
    stages = [getattr(backbone, backbone.res_layers[i]) for i in backbone.out_indices]
    runs = [_Analogue(stage[-1]) for stage in stages]
    for stage, run in zip(stages, runs, strict=True):
        stage[-1].forward = run
    sequences = backbone.sequences

    def analogue(x: Tensor) -> tuple[Tensor, ...]:
        sequences(x)
        return tuple(run.output for run in runs)

    backbone.sequences = analogue


@HOOKS.register_module()
class AnalogueReadoutHook(Hook):
    """Applies :func:`read_analogue` to the student of a run."""

    def before_run(self, runner: Any) -> None:
        if not getattr(self, "_done", False):
            read_analogue(runner.model.backbone)
            self._done = True
