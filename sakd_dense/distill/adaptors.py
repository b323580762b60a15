"""Learned adaptors between the student's features and the feature loss, used in training only.

The authors' code has one adaptor per stage: a convolution and BatchNorm on the student's firing
rates, before they are compared with the teacher's activations. The hook owns the adaptors. The
optimizer trains them with the student, the run's checkpoints store them under ``sakd_adaptors``,
and a resume restores them. The student's weights do not contain them.
"""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from ..runtime.errors import UserError
from .losses.base import as_maps

#: Key of the adaptors in a checkpoint of a run.
KEY = "sakd_adaptors"


class Adaptors(nn.ModuleList):
    """One adaptor per stage: a k x k convolution from C channels to C, and BatchNorm.

    Args:
        channels: number of channels C of each stage.
        kernel_size: kernel size k, odd. The authors use 1 on ImageNet and 3 on CIFAR.
        seed: seed of the initial weights, the same on every process. Default: 0.
    """

    def __init__(self, channels: list[int], kernel_size: int, seed: int = 0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(_adaptor(c, kernel_size) for c in channels)
        for parameter in self.parameters():
            parameter.register_hook(_mean_over_processes)

    def __call__(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Maps the features of each stage to the same shapes, in float32.

        The features are ``[B, C, H, W]``, or ``[B, C]`` if the backbone pools them.
        """
        pairs = zip(self, features, strict=True)
        return tuple(f(as_maps(x).float()).view_as(x) for f, x in pairs)


def _adaptor(channels: int, kernel_size: int) -> nn.Module:
    conv = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    # Nothing reads running statistics: there is no adaptor at test time.
    return nn.Sequential(conv, nn.BatchNorm2d(channels, track_running_stats=False))


def _mean_over_processes(grad: Tensor) -> Tensor:
    # DDP averages only the student's gradients: no module that it wraps contains the adaptors.
    grad = grad.clone()
    all_reduce(grad, op="mean")
    return grad


def kernel_size_of(features: Mapping[str, Any]) -> int | None:
    """Checks and returns ``adaptor`` of the hook's ``features``; None if it is not set.

    Raises:
        UserError: ``adaptor`` is not a positive odd integer.
    """
    size = features.get("adaptor")
    odd = isinstance(size, int) and not isinstance(size, bool) and size > 0 and size % 2 == 1
    if size is not None and not odd:
        raise UserError(
            f"SAKDHook: features=dict(adaptor={size!r}): must be an odd kernel size, such as 1 or 3"
        )
    return size


def channels_of(backbone: nn.Module) -> list[int]:
    """Returns the number of channels C of each output of an ANN backbone."""
    weight = next(p for p in backbone.parameters() if p.dim() == 4)
    with torch.no_grad():
        return [f.shape[1] for f in backbone(weight.new_zeros(1, weight.shape[1], 64, 64))]


def add_adaptors(runner: Any, backbone: nn.Module, kernel_size: int) -> Adaptors:
    """Returns adaptors for the outputs of the teacher's ``backbone``, which the runner trains."""
    adaptors = Adaptors(channels_of(backbone), kernel_size, runner.seed or 0)
    adaptors.to(next(backbone.parameters()).device)
    join_optimizer(runner, adaptors)
    return adaptors


def join_optimizer(runner: Any, adaptors: nn.Module) -> None:
    """Adds the adaptors to the runner's optimizer and schedulers, before a resume.

    The adaptors get the learning rate, weight decay and schedule of the parameter group with the
    most parameters.

    Raises:
        UserError: the runner has several optimizers.
    """
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper):
        raise UserError(
            "SAKDHook: features=dict(adaptor=...) needs a single optimizer for the adaptors, but "
            f"the runner has a {type(wrapper).__name__}. Use one OptimWrapper, or no adaptor"
        )
    groups = wrapper.optimizer.param_groups
    model = max(range(len(groups)), key=lambda i: sum(p.numel() for p in groups[i]["params"]))
    settings = {name: value for name, value in groups[model].items() if name != "params"}
    wrapper.optimizer.add_param_group({"params": list(adaptors.parameters()), **settings})
    for scheduler in runner.param_schedulers or ():
        scheduler.base_values.append(scheduler.base_values[model])


def resume(adaptors: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Loads the adaptors' weights from the checkpoint of a run.

    Raises:
        UserError: the checkpoint has no adaptors, or adaptors of another shape.
    """
    state = checkpoint.get(KEY)
    try:
        adaptors.load_state_dict(state or {})
    except RuntimeError as error:
        raise UserError(
            "SAKDHook: the checkpoint to resume from has no adaptors or different ones: resume "
            f"with the features=dict(adaptor=...) of that run. {error}"
        ) from None


__all__ = [
    "KEY",
    "Adaptors",
    "add_adaptors",
    "channels_of",
    "join_optimizer",
    "kernel_size_of",
    "resume",
]
