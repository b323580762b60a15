r"""Segmentors (mmseg): the logits of every pixel, from main and auxiliary heads.

.. math:: L = \frac{\tau^2}{|V|} \sum_{i \in V} \mathrm{KL}\left(
          \mathrm{softmax}(z_{t,i} / \tau) \,\|\, \mathrm{softmax}(z_{s,i} / \tau)\right)

*V* is the set of pixels whose label is not ignored, at the resolution of the logits (each pixel
takes the nearest label). The loss is a mean over pixels, so its value does not grow with the
resolution. Heads with one output channel and a sigmoid are compared as binary variables.

``loss='cwd'`` compares where each class is active instead of what each pixel shows. Its softmax
runs over pixels, see :mod:`sakd_dense.distill.losses.cwd`.
"""

import sys
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...runtime.errors import UserError
from ...runtime.patching import outputs_as_in_training
from ...runtime.processes import mean_over_processes
from ..losses import channel_wise_distillation
from ..taps import Recorder, Tap, tapped
from .base import Response, neck
from .divergence import binary_kl, check_tau, softmax_kl

LOSSES = ("kl", "cwd")


def _heads(model: nn.Module, name: str) -> list[nn.Module]:
    heads = getattr(model, name, None)
    if heads is None:
        return []
    return list(heads) if isinstance(heads, nn.ModuleList) else [heads]


def _classifier(head: nn.Module) -> nn.Module | None:
    """Returns the convolution whose output is the logits.

    mmseg calls ``head.forward``, which bypasses PyTorch's hooks, and heads return the logits in
    different containers. The convolution is called as a module, so hooks see it.
    """
    # KNet's head refines the output of another head; that one is taught.
    return getattr(getattr(head, "kernel_generate_head", head), "conv_seg", None)


class SegmentorResponse(Response):
    """Response of an ``EncoderDecoder`` or a ``CascadeEncoderDecoder``.

    Args:
        decode, aux: weights of the main heads' mean (default: 1.0) and of the auxiliary heads'
            mean (default: 0.4).
        tau: temperature. Default: 1.0.
        loss: ``'kl'`` (per pixel, default) or ``'cwd'`` (per class).

    Heads without their own ``conv_seg`` (PointRend's point head) learn from the labels only.

    Example:
        >>> from sakd_dense.distill.responses import SegmentorResponse
        >>> response = SegmentorResponse(loss="cwd", decode=3.0, aux=0)
        >>> response.terms, response.weights["aux"].off
        ({'decode': 1.0, 'aux': 0.4}, True)
    """

    terms: ClassVar = {"decode": 1.0, "aux": 0.4}

    def __init__(self, tau: float = 1.0, loss: str = "kl", **weights: Any) -> None:
        super().__init__(**weights)
        if loss not in LOSSES:
            raise UserError(f"responses: loss={loss!r}: must be one of {LOSSES}")
        self.tau = check_tau(tau)
        self.loss = loss

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        segmentors = sys.modules.get("mmseg.models.segmentors")
        known = segmentors is not None and isinstance(model, segmentors.EncoderDecoder)
        return known and bool(cls._taught(model, "decode_head"))

    @staticmethod
    def _taught(model: nn.Module, name: str) -> list[nn.Module]:
        """Returns the heads up to the first one without logits to compare."""
        heads = []
        for head in _heads(model, name):
            if _classifier(head) is None:
                break
            heads.append(head)
        return heads

    def taps(self, model: nn.Module) -> list[Recorder]:
        return [Tap(m) for m in self._modules(model)]

    def _modules(self, model: nn.Module) -> list[nn.Module]:
        heads = self._taught(model, "decode_head") + self._taught(model, "auxiliary_head")
        return [_classifier(head) for head in heads]

    def gather(self, calls: list[list[Any]], model: nn.Module) -> list[Tensor]:
        # A cascade runs each head once for its own loss and once more for the next head.
        return [output for _, output in self.once([head_calls[:1] for head_calls in calls])]

    def run(
        self,
        model: nn.Module,
        features: tuple[Tensor, ...],
        reference: Any = None,
        samples: Any = None,
    ) -> list[Tensor]:
        features = neck(model, features)
        with tapped(self._modules(model)) as taps:
            previous: tuple[Any, ...] = ()
            for head in self._taught(model, "decode_head"):
                with outputs_as_in_training(head):
                    previous = (head.forward(features, *previous),)
            for head in self._taught(model, "auxiliary_head"):
                with outputs_as_in_training(head):
                    head.forward(features)
            return self.gather([tap.take() for tap in taps], model)

    def compare(
        self, student: list[Tensor], teacher: list[Tensor], model: nn.Module, samples: Any = None
    ) -> dict[str, Tensor]:
        main = self._taught(model, "decode_head")
        heads = main + self._taught(model, "auxiliary_head")
        masks: dict[Any, Tensor] = {}
        values = []
        for s, t, head in zip(student, teacher, heads, strict=True):
            key = (*s.shape[-2:], head.ignore_index)
            if key not in masks:
                masks[key] = _valid(samples, head.ignore_index, s)
            values.append(self._compare(s.float(), t.float(), masks[key]))
        terms = {"decode": torch.stack(values[: len(main)]).mean()}
        if len(values) > len(main):
            terms["aux"] = torch.stack(values[len(main) :]).mean()
        return terms

    def _compare(self, student: Tensor, teacher: Tensor, valid: Tensor) -> Tensor:
        if student.shape != teacher.shape:
            raise UserError(
                f"the student's logits {tuple(student.shape)} and the teacher's "
                f"{tuple(teacher.shape)} differ in shape: use a teacher with the same classes and "
                "strides"
            )
        if self.loss == "cwd":
            student, teacher = (x.masked_fill(~valid[:, None], -1e4) for x in (student, teacher))
            return channel_wise_distillation(student, teacher, self.tau)
        if student.shape[1] == 1:
            error = binary_kl(student, teacher)[:, 0]
        else:
            error = softmax_kl(student, teacher, self.tau)
        count = mean_over_processes(valid.sum().float()).clamp(min=1.0)
        return (error * valid).sum() / count


def _valid(samples: Any, ignore_index: int, logits: Tensor) -> Tensor:
    """Returns the pixels of ``logits`` whose label counts, ``[B, h, w]`` bool."""
    size = logits.shape[-2:]
    if not samples:
        return torch.ones(logits.shape[0], *size, dtype=torch.bool, device=logits.device)
    labels = torch.stack([s.gt_sem_seg.data for s in samples]).to(logits.device)
    nearest = F.interpolate(labels.float(), size=size, mode="nearest")
    return nearest[:, 0] != ignore_index
