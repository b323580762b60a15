"""Level 2's terms for one batch, from what was tapped."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..backbones import SpikingBackbone
from ..neurons.layer import rate
from ..runtime.amp import autocast
from ..runtime.patching import replaced_forward
from .prefixes import norms_as_in_test, prefix_rates
from .responses import Response
from .schedule import Weight
from .taps import Tap

Losses = dict[str, Tensor]


class Terms:
    """Taps a student and compares it with its teacher.

    Args:
        student, teacher: of the same architecture, the teacher frozen.
        features: ``dict(type='FeaturePKD', weight=1.0, ...)``, or None.
        response: from :func:`sakd_dense.distill.responses.find_response`, or None.
        prefix_weight: of everything that is taught at a prefix.
        prefix_targets: ``'teacher'``, ``'labels'`` or ``'both'``: who teaches the prefixes.
        teacher_dtype: the teacher computes in it; None: as the student does.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        features: Mapping[str, Any] | None,
        response: Response | None,
        prefix_weight: Weight,
        prefix_targets: str,
        teacher_dtype: torch.dtype | None = None,
    ) -> None:
        self.student, self.teacher, self.response = student, teacher, response
        self.backbone: SpikingBackbone = student.backbone
        args = dict(features or {})
        self.feature_weight = Weight(args.pop("weight", 1.0) if args else 0.0, "features: weight")
        self.feature_loss = MODELS.build(args) if args else None
        self.prefix_weight = prefix_weight
        self.prefix_targets = prefix_targets
        self.teacher_dtype = teacher_dtype
        self._seen = Tap(self.backbone)
        self._readout = Tap(self.backbone.readout)
        self._heads = response.taps(student) if response is not None else []

    def remove(self) -> None:
        """Takes every hook off the student."""
        for tap in (self._seen, self._readout, *self._heads):
            tap.remove()

    def clear(self) -> None:
        """Forgets what was tapped: nothing of one iteration lives in the next."""
        for tap in (self._seen, self._readout, *self._heads):
            tap.take()

    def __call__(
        self, images: Tensor, samples: Any, prefixes: tuple[int, ...], progress: float
    ) -> Losses:
        """The weighted terms ``loss_sakd_*`` for the batch that the student has just seen.

        Args:
            images: the student's own input, ``[B, C, H, W]``, or event frames ``[T, B, C, H, W]``.
            samples: its data samples (marks of what to ignore; labels at prefixes alone).
            prefixes: the t to teach beside T.
            progress: share of the run that is done, 0..1.
        """
        sequences, rates = self._backbone_call()
        response = None
        if self.response is not None:
            response = self.response.gather([t.take() for t in self._heads], self.student)
        taught, answer = (), None
        if self.feature_loss is not None or response is not None:
            with torch.no_grad(), self._precision(images):
                # What the student's backbone saw; of event frames [T, B, C, H, W] the mean.
                seen = self._seen.take()[0].inputs[0]
                seen = seen.mean(0) if seen.dim() == 5 else seen
                taught = self.teacher.backbone(seen)
                if response is not None:
                    answer = self.response.run(self.teacher, taught, response, samples)

        def compare(rates: tuple[Tensor, ...], said: Any) -> Losses:
            return self._compare(rates, said, taught, answer, samples, progress)

        losses = compare(rates, response)
        weight = self.prefix_weight.at(progress) / max(len(prefixes), 1)
        for t in prefixes if weight else ():
            for name, value in self._at(t, sequences, images, samples, response, compare).items():
                name = name.replace("loss_sakd_", "loss_sakd_prefix_")
                losses[name] = losses.get(name, 0.0) + weight * value
        return losses

    def _precision(self, images: Tensor) -> AbstractContextManager[Any]:
        if self.teacher_dtype is None:
            return nullcontext()
        return autocast(images.device.type, self.teacher_dtype)

    def _at(
        self,
        t: int,
        sequences: tuple[Tensor, ...],
        images: Tensor,
        samples: Any,
        like: Any,
        compare: Callable[[tuple[Tensor, ...], Any], Losses],
    ) -> Losses:
        losses: Losses = {}
        given = rates = prefix_rates(sequences, t)
        if self.backbone.output == "sequence":
            given = tuple(s[:t] for s in sequences)
        with norms_as_in_test(self.student, self.backbone):
            if self.prefix_targets in ("teacher", "both"):
                response = None
                if like is not None:
                    response = self.response.run(self.student, given, like, samples)
                losses.update(compare(rates, response))
            if self.prefix_targets in ("labels", "both"):
                losses.update(self._labels(given, images, samples))
        for tap in self._heads:
            tap.take()
        return losses

    def _labels(self, given: tuple[Tensor, ...], images: Tensor, samples: Any) -> Losses:
        # The model's own loss, with ``given`` in the place of what its backbone would give.
        with replaced_forward(self.backbone, lambda *_: given):
            own = self.student.loss(images, samples)
        losses: Losses = {}
        for name, value in own.items():
            if "loss" in name:
                parts = value if isinstance(value, list | tuple) else [value]
                label = name.replace("loss_", "").replace(".", "_")
                losses[f"loss_sakd_label_{label}"] = sum(p.mean() for p in parts)
        return losses

    def _compare(
        self,
        rates: tuple[Tensor, ...],
        response: Any,
        taught: tuple[Tensor, ...],
        answer: Any,
        samples: Any,
        progress: float,
    ) -> Losses:
        losses: Losses = {}
        # Losses over many pixels lose their sums in half precision.
        with torch.autocast(rates[0].device.type, enabled=False):
            weight = self.feature_weight.at(progress)
            if self.feature_loss is not None and weight:
                pairs = [self.feature_loss(s, t) for s, t in zip(rates, taught, strict=True)]
                losses["loss_sakd_feat"] = weight * sum(pairs) / len(pairs)
            if response is not None:
                terms = self.response.compare(response, answer, self.student, samples)
                for name, value in terms.items():
                    weight = self.response.weights[name].at(progress)
                    if weight:
                        losses[f"loss_sakd_{name}"] = weight * value
        return losses

    def _backbone_call(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        calls = self._readout.take()
        if len(calls) != 1:
            raise RuntimeError(
                f"SAKDHook: the student's backbone ran {len(calls)} times in one training "
                "forward, not once; level 2 does not know which of them the teacher should answer"
            )
        ((sequences,), rates) = calls[0]
        if self.backbone.output == "sequence":
            rates = tuple(rate(s) for s in sequences)
        return sequences, rates
