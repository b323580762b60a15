r"""Level 1 for neurons that fire integers: thresholds that lose the least of the activations.

A ``NILIFNode`` (:mod:`sakd_dense.neurons.counts`) at T = 1 is its teacher's ReLU, clipped at
:math:`\theta` and rounded to :math:`D` steps. Without a leak, its mean over T time steps of one
input has :math:`L = T D` steps. (With a leak, :math:`L = D`.) The threshold of every channel
minimises the squared error

.. math::
    \sum_x \left(\operatorname{relu}(x) - \tfrac{\theta}{L}
    \operatorname{round}(\operatorname{clip}(x L / \theta, 0, L))\right)^2

over the channel's inputs for some images. Meanwhile all neurons act as a ReLU, so the inputs are
those of the ANN. Neurons share their thresholds if their outputs are summed (SEW's ADD, the levels
of a pyramid) or meet the same weights (a head's, at every level). The input of a layer then
consists of integer multiples of one scale.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from torch import Tensor, nn

from ..neurons.counts import NO_LEAK, NILIFNode
from ..neurons.spike_values import SpikeValueTracker, record_inputs
from ..runtime.errors import UserError
from ..runtime.patching import temporarily, untouched_random_state
from ..runtime.processes import unwrapped
from .batchnorm import feed

#: Number of thresholds that are tried, at equal distances up to the largest activation.
CANDIDATES = 48
#: Approximate number of values per channel that are sampled, over all batches.
SAMPLES = 8192


class _Seen:
    """Samples of what each channel of a layer outputs, ``[C, samples]`` per batch.

    A node with one threshold for all channels counts as one channel, because it may be called on
    several widths.
    """

    def __init__(self, most: int) -> None:
        self.samples: list[Tensor] = []
        self.most = most
        self.levels = 1

    def __call__(self, node: nn.Module, args: tuple[Tensor, ...], _out: Tensor) -> Tensor:
        positive = args[0].relu()
        self.levels = node.D * (len(positive) if node.tau == NO_LEAK else 1)
        values = positive.transpose(0, 2).flatten(1)  # [C, B * T * H * W]
        values = values if node.threshold.dim() else values.reshape(1, -1)
        stride = max(1, values.shape[1] // self.most)
        self.samples.append(values[:, ::stride].clone())
        return positive


@torch.no_grad()
def calibrate(
    model: nn.Module, loader: Iterable[Any], num_batches: int, by: str = "channel"
) -> dict[str, float]:
    """Fits the thresholds of every ``NILIFNode`` to ``num_batches`` batches.

    The model must hold the ANN's weights (:func:`sakd_dense.transfer.transfer`). No weight changes.

    Args:
        model: an OpenMMLab model, called as in training, or any module that accepts the loader's
            batches.
        loader: iterable of batches, such as a train dataloader.
        num_batches: largest number of batches to use.
        by: ``'channel'`` (default), or ``'layer'`` for one threshold for all channels of a layer.

    Returns:
        The squared error of each layer divided by its squared activations, by the node's name;
        empty if the model has no such neuron.

    Raises:
        UserError: ``num_batches`` < 1, an unknown ``by``, or the loader is empty.

    Example:
        >>> import torch
        >>> from sakd_dense import SpikingResNet
        >>> from sakd_dense.transfer import calibrate
        >>> narrow = dict(base_channels=8, stem_channels=8)
        >>> student = SpikingResNet(18, time_steps=1, neuron=dict(type="NILIFNode", D=4), **narrow)
        >>> errors = calibrate(student.eval(), [torch.rand(2, 3, 64, 64)], num_batches=1)
        >>> len(errors)
        17
    """
    if num_batches < 1:
        raise UserError(f"num_batches={num_batches}: must be at least 1")
    if by not in ("channel", "layer"):
        raise UserError(f"by={by!r}: must be 'channel' or 'layer'")
    model = unwrapped(model)
    names = {m: n for n, m in model.named_modules() if isinstance(m, NILIFNode)}
    if not names:
        return {}
    seen, together = _activations(model, names, loader, num_batches)
    errors: dict[str, float] = {}
    for group in _groups(seen, together, names):
        errors |= {names[n]: e for n, e in zip(group, _fit(group, seen, by), strict=True)}
    mean = sum(errors.values()) / len(errors)
    print_log(
        f"calibrated {len(errors)} layers of neurons, by {by}: they keep "
        f"{100 * (1 - mean):.1f} % of their activations' squares on average",
        logger="current",
        level=logging.INFO,
    )
    return errors


def calibrate_on(loader: Iterable[Any], model: nn.Module, num_batches: int) -> None:
    """Runs :func:`calibrate` at the start of a run, without effect on the run's random numbers.

    The thresholds are averaged over processes.
    """
    with untouched_random_state():
        calibrate(model, loader, num_batches)
    for module in model.modules():
        if isinstance(module, NILIFNode):
            all_reduce(module.threshold.data, "mean")


def _activations(
    model: nn.Module, names: Mapping[NILIFNode, str], loader: Iterable[Any], num_batches: int
) -> tuple[dict[NILIFNode, _Seen], list[frozenset[str]]]:
    """Returns the outputs of each node, and the names of layers that must share a scale."""
    seen = {node: _Seen(max(1, SAMPLES // num_batches)) for node in names}
    before = {node: node.threshold.detach().clone() for node in names}
    together: list[frozenset[str]] = []
    batches = 0
    with ExitStack() as stack:
        for node, watch in seen.items():
            stack.callback(node.register_forward_hook(watch).remove)
        stack.enter_context(temporarily(model.modules(), training=False))
        try:
            for node in names:  # equal, so that a sum of spikes is recognised as one
                node.threshold.data.fill_(node.D)
            for batch in islice(loader, num_batches):
                if batches:
                    feed(model, batch)
                else:
                    together = _run_watched(model, batch)
                batches += 1
        finally:
            for node, threshold in before.items():
                node.threshold.data.copy_(threshold)
    if not batches:
        raise UserError("the loader is empty: no batch to calibrate thresholds on")
    return {node: watch for node, watch in seen.items() if watch.samples}, together


def _run_watched(model: nn.Module, batch: Any) -> list[frozenset[str]]:
    tracker = SpikeValueTracker(model)
    with record_inputs(model, tracker) as read:
        feed(model, batch)
    together = list(tracker.sums)
    for values in read.values():
        sources = {v.sources for v in values if v is not None}
        if len(sources) > 1:
            together.append(frozenset().union(*sources))
    return together


def _groups(
    seen: Iterable[NILIFNode], together: Iterable[frozenset[str]], names: Mapping[NILIFNode, str]
) -> list[list[NILIFNode]]:
    """Groups the nodes that must share a scale."""
    groups = {names[node].removesuffix(".node"): [node] for node in seen}
    for sources in together:
        # Nodes of different widths are never summed, only concatenated.
        for shape in {n.threshold.shape for s in sources for n in groups.get(s, ())}:
            fit = [s for s in sources if s in groups and groups[s][0].threshold.shape == shape]
            merged = list(dict.fromkeys(node for s in fit for node in groups[s]))
            for node in merged:
                groups[names[node].removesuffix(".node")] = merged
    return list({id(group): group for group in groups.values()}.values())


def _fit(group: Sequence[NILIFNode], seen: dict[NILIFNode, _Seen], by: str) -> list[float]:
    """Sets the thresholds of the group and returns each layer's relative error."""
    samples = [torch.cat(seen[node].samples, 1) for node in group]
    largest = torch.stack([x.amax(1) for x in samples]).amax(0)
    whole = by == "layer" or group[0].threshold.dim() == 0
    # A channel that never fires takes the largest value of its layer.
    largest = torch.where((largest > 0) & (not whole), largest, largest.amax().clamp(min=1e-6))
    levels = seen[group[0]].levels
    shares = torch.arange(1, CANDIDATES + 1, device=largest.device) / CANDIDATES
    losses = torch.stack(
        [torch.stack([_loss(x, largest * s, levels) for x in samples]).sum(0) for s in shares]
    )  # [candidates, C]
    losses = losses.sum(1, keepdim=True).expand_as(losses) if whole else losses
    best = largest * shares[losses.argmin(0)]
    for node in group:
        node.threshold.data.copy_(best if node.threshold.dim() else best[0])
    power = [x.square().sum().clamp(min=1e-12) for x in samples]
    return [float(_loss(x, best, levels).sum() / p) for x, p in zip(samples, power, strict=True)]


def _loss(x: Tensor, threshold: Tensor, levels: int) -> Tensor:
    scale = (threshold / levels).unsqueeze(1)
    return (x - (x / scale).clamp(max=levels).round() * scale).square().sum(1)


__all__ = ["calibrate"]
