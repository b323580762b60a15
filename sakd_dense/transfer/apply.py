"""Level 1: transfer of an ANN's weights to the spiking model of the same architecture."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ..neurons.layer import SpikingNeuron
from ..runtime.errors import UserError
from ..runtime.processes import unwrapped
from .fit import PREPROCESSOR, KeyExceptions, fit
from .keys import choose_part, describe_resnet
from .read import Source, read_checkpoint
from .report import TransferError, TransferReport
from .weights import select_tested_model

#: Parts of a model that can be loaded.
SCOPES_OF_TRANSFER = ("auto", "all", "backbone", "head")


def transfer(
    model: nn.Module,
    checkpoint: Source,
    part: str = "auto",
    left_ok: Sequence[str] = (),
    missing_ok: Sequence[str] = (),
    weights: str = "auto",
) -> TransferReport:
    """Loads ``checkpoint`` into ``model`` and reports every key of both.

    Weights and BatchNorm's running statistics are copied unchanged. Nothing is copied unless every
    key is loaded or explained.

    Args:
        model: a detector, segmentor, classifier, or only a backbone.
        checkpoint: as in :func:`~sakd_dense.transfer.read_checkpoint`.
        part: ``'all'``, ``'backbone'``, ``'head'`` (all except the backbone), or ``'auto'``
            (default): all, if the checkpoint has a neck or head that the model has too, else the
            backbone.
        left_ok: glob patterns of checkpoint keys that may stay unused.
        missing_ok: glob patterns of model keys that may keep their initialisation, because the
            checkpoint lacks them or holds them in another shape.
        weights: set of weights to load, if the checkpoint holds several: ``'ema'``, ``'raw'``, the
            name of one of its models, or ``'auto'`` (default), see
            :mod:`sakd_dense.transfer.weights`.

    Returns:
        The report of every key.

    Raises:
        MissingFileError: the checkpoint does not exist.
        TransferError: keys are unexplained, no key fits, or a weight is NaN or infinite.
        UserError: the file cannot be read, the checkpoint holds several models and none is chosen,
            ``model`` contains several models, or ``part`` is unknown.

    Example:
        >>> import torch
        >>> from mmdet.models import ResNet
        >>> from sakd_dense import SEWResNet, transfer
        >>> ann = ResNet(18, base_channels=8, stem_channels=8)
        >>> torch.save(ann.state_dict(), "ann.pth")
        >>> report = transfer(SEWResNet(18, base_channels=8, stem_channels=8), "ann.pth")
        >>> len(report.loaded), list(report.left)
        (120, [])
    """
    if part not in SCOPES_OF_TRANSFER:
        raise UserError(f"part={part!r}: must be one of {SCOPES_OF_TRANSFER}")
    model = unwrapped(model)
    source = select_tested_model(read_checkpoint(checkpoint, weights))
    target = {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
    part = choose_part(source.state, target) if part == "auto" else part
    report = fit(source, target, _policy(model, left_ok, missing_ok), part)
    if report.unexplained:
        report.hints += _hints(report, source.state, target)
        raise TransferError(_complaint(report), report)
    if not report.pairs:
        raise TransferError(f"{source}: none of its keys fits the model", report)
    broken = [s for s in report.pairs if not bool(torch.isfinite(source.state[s]).all())]
    if broken:
        raise TransferError(f"{source}: NaN or infinite values in {', '.join(broken[:6])}", report)
    with torch.no_grad():
        for old, new in report.pairs.items():
            target[new].copy_(source.state[old])
    print_log(report.table(), logger="current", level=logging.INFO)
    return report


def _policy(model: nn.Module, left_ok: Sequence[str], missing_ok: Sequence[str]) -> KeyExceptions:
    allowed = dict.fromkeys(missing_ok, "allowed by missing_ok")
    return KeyExceptions(
        missing={**_neuron_keys(model), **PREPROCESSOR, **allowed},
        left={**_activation_keys(model), **dict.fromkeys(left_ok, "allowed by left_ok")},
        shape=allowed,
    )


def _neuron_keys(model: nn.Module) -> dict[str, str]:
    """Maps each key of a neuron to the reason why no ANN has it."""
    # By module, not by class: this covers any neuron of SpikingJelly without importing it.
    homes = ("spikingjelly.", "sakd_dense.neurons")
    keys = {}
    for name, module in model.named_modules():
        if type(module).__module__.startswith(homes):
            learned = dict(module.named_parameters())
            for key in module.state_dict():
                kind = "learnable parameter" if key in learned else "buffer"
                keys[f"{name}.{key}"] = f"{kind} of a neuron, which no ANN has"
    return keys


def _activation_keys(model: nn.Module) -> dict[str, str]:
    """Maps patterns of keys that an ANN has and ``model`` lacks to the reason."""
    neurons = [name for name, m in model.named_modules() if isinstance(m, SpikingNeuron)]
    reason = "of an activation (PReLU) that neurons replace"
    return {f"*{name.removeprefix('backbone.')}.weight": reason for name in neurons}


def _hints(
    report: TransferReport, source: Mapping[str, Tensor], target: Mapping[str, Tensor]
) -> list[str]:
    hints = []
    theirs, ours = describe_resnet(source), describe_resnet(target)
    if theirs and ours and theirs != ours:
        hints.append(
            f"the checkpoint's backbone is a {theirs}, but the model's is a {ours}; level 1 needs "
            "the same architecture"
        )
    elif ours and not theirs:
        hints.append(f"the checkpoint holds no ResNet, but the model's backbone is a {ours}")
    outside = [k for k, d in report.shape_differs.items() if d.reason is None]
    if outside and not hints:
        hints.append(
            "layers that differ only in shape usually have another number of classes: set the "
            "model's num_classes to the checkpoint's, or list the keys in missing_ok"
        )
    if not hints and report.part == "all":
        hints.append("part='backbone' transfers the backbone alone")
    return hints


def _complaint(report: TransferReport) -> str:
    lines = [f"{report.checkpoint}: unexplained keys (part={report.part!r})"]
    lines += [f"  - {line}" for line in report.unexplained]
    lines += [f"  {hint}" for hint in report.hints]
    lines.append(
        "  To accept keys, pass glob patterns: left_ok=['head.*'] for keys of the checkpoint, "
        "missing_ok=['head.*'] for keys of the model"
    )
    return "\n".join(lines)
