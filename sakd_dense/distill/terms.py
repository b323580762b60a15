"""Level 2's loss terms for one batch, computed from the tapped calls."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..backbones import SpikingBackbone
from ..runtime.amp import autocast
from ..runtime.patching import outputs_as_in_training
from .adaptors import Adaptors
from .arguments import DTYPES, LevelTwo
from .frames import frames_for
from .prefixes import norms_as_in_test, prefix_rates
from .responses import Response
from .schedule import Weight
from .taps import Tap

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """Inputs and recorded outputs of one training forward of the student.

    Attributes:
        images, samples, progress: see :meth:`Terms.__call__`.
        sequences: outputs of the student's stages, ``[T, B, C, H, W]`` each.
        response: the student's response at T, or None.
        teacher_features: outputs of the teacher's stages, ``[B, C, H, W]`` each.
        teacher_response: the teacher's response, or None.
    """

    images: Tensor
    samples: Any
    progress: float
    sequences: tuple[Tensor, ...]
    response: Any
    teacher_features: tuple[Tensor, ...]
    teacher_response: Any


class Terms:
    """Level 2's terms of a tapped student, which is compared with its teacher.

    Args:
        student: a model with a spiking backbone.
        teacher: a frozen model of the same architecture.
        options: options of level 2, with prefixes of a known kind.
        response: response from :func:`sakd_dense.distill.responses.find_response`, or None.
        adaptors: modules between the student's rates and the feature loss, or None.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        options: LevelTwo,
        response: Response | None = None,
        adaptors: Adaptors | None = None,
    ) -> None:
        self.student, self.teacher, self.response = student, teacher, response
        self.backbone: SpikingBackbone = student.backbone
        loss = {k: v for k, v in (options.features or {}).items() if k != "adaptor"}
        self.feature_weight = Weight(loss.pop("weight", 1.0) if loss else 0.0, "features: weight")
        self.feature_loss = MODELS.build(loss) if loss else None
        self.prefix_weight = Weight(options.prefix_weight, "prefix_weight")
        # Each image is read at a t of its own, so neck and head do not run again at a prefix.
        self.features_only = options.prefixes == "image"
        self.teacher_dtype = DTYPES[options.dtype]
        self.adaptors = adaptors
        self._inputs = Tap(self.backbone)
        self._readout = Tap(self.backbone.readout)
        self._heads = response.taps(student) if response is not None else []

    @property
    def time_steps(self) -> int:
        """Number of time steps T of the current forward."""
        return self.backbone.state.time_steps

    def remove(self) -> None:
        """Removes every hook from the student."""
        for tap in (self._inputs, self._readout, *self._heads):
            tap.remove()

    def clear(self) -> None:
        """Clears the tapped calls, so that no record of an iteration reaches the next."""
        for tap in (self._inputs, self._readout, *self._heads):
            tap.take()

    def __call__(
        self, images: Tensor, samples: Any, prefix: int | None = None, progress: float = 0.0
    ) -> Losses:
        """Computes the weighted terms ``loss_sakd_*`` for the batch of the student's last forward.

        Args:
            images: the student's own input, ``[B, C, H, W]``, or event frames ``[T, B, C, H, W]``.
            samples: data samples of the batch. They mark what to ignore, and hold the labels that
                some responses use.
            prefix: the t to teach beside T; None: only T.
            progress: completed fraction of the run, 0..1.

        Returns:
            ``loss_sakd_feat``; ``loss_sakd_TERM`` for each term of the response; at the prefix the
            same with ``prefix_`` after ``sakd_``. Terms of weight 0 are left out.
        """
        sequences, rates = self._backbone_call()
        response = None
        if self.response is not None:
            response = self.response.gather([t.take() for t in self._heads], self.student)
        features, teacher_response = self._run_teacher(images, samples, response)
        batch = Batch(images, samples, progress, sequences, response, features, teacher_response)
        losses = self._compare(batch, rates, response)
        weight = self.prefix_weight.at(progress)
        if prefix is not None and weight:
            for name, value in self._at_prefix(batch, prefix).items():
                losses[name.replace("loss_sakd_", "loss_sakd_prefix_")] = weight * value
        return losses

    def _run_teacher(
        self, images: Tensor, samples: Any, response: Any
    ) -> tuple[tuple[Tensor, ...], Any]:
        """Returns the teacher's features and response; ``()`` and None if no term uses them."""
        if self.feature_loss is None and response is None:
            return (), None
        with torch.no_grad(), self._precision(images):
            # The student's backbone's input; frames_for adapts event frames [T, B, C, H, W].
            inputs = frames_for(self.teacher, self._inputs.take()[0].inputs[0])
            features = self._teacher_features(inputs)
            if self.response is None:
                return features, None
            return features, self.response.run(self.teacher, features, response, samples)

    def _teacher_features(self, inputs: Tensor) -> tuple[Tensor, ...]:
        with outputs_as_in_training(self.teacher.backbone):  # like the student's
            features = self.teacher.backbone(inputs)
        return (features,) if isinstance(features, Tensor) else tuple(features)

    def _precision(self, images: Tensor) -> AbstractContextManager[Any]:
        if self.teacher_dtype is None:
            return nullcontext()
        return autocast(images.device.type, self.teacher_dtype)

    def _at_prefix(self, batch: Batch, t: int) -> Losses:
        """Returns the terms of the student, read at its first ``t`` time steps."""
        if self.features_only and self.feature_loss is None:
            return {}
        features = rates = prefix_rates(batch.sequences, t)
        if self.features_only:
            return self._features(batch, rates)
        if self.backbone.output == "sequence":
            features = tuple(s[:t] for s in batch.sequences)
        response = None
        with norms_as_in_test(self.student, self.backbone):
            if self.response is not None:
                response = self.response.run(self.student, features, batch.response, batch.samples)
            losses = self._compare(batch, rates, response)
        for tap in self._heads:
            tap.take()
        return losses

    def _compare(self, batch: Batch, rates: tuple[Tensor, ...], response: Any) -> Losses:
        """Compares the student's rates and response, at T or at a prefix, with the teacher's."""
        losses = self._features(batch, rates)
        # Half precision is too coarse for sums over many pixels.
        with torch.autocast(rates[0].device.type, enabled=False):
            losses.update(self._responses(batch, response))
        return losses

    def _features(self, batch: Batch, rates: tuple[Tensor, ...]) -> Losses:
        """Returns the weighted term between ``rates`` and the teacher's features."""
        weight = self.feature_weight.at(batch.progress)
        if self.feature_loss is None or not weight:
            return {}
        with torch.autocast(rates[0].device.type, enabled=False):
            adapted = rates if self.adaptors is None else self.adaptors(rates)
            pairs = zip(adapted, batch.teacher_features, strict=True)
            stages = [self.feature_loss(s, t) for s, t in pairs]
            return {"loss_sakd_feat": weight * sum(stages) / len(stages)}

    def _responses(self, batch: Batch, response: Any) -> Losses:
        """Returns the weighted terms between ``response`` and the teacher's."""
        losses: Losses = {}
        if self.response is None:
            return losses
        terms = self.response.compare(response, batch.teacher_response, self.student, batch.samples)
        for name, value in terms.items():
            weight = self.response.weights[name].at(batch.progress)
            if weight:
                losses[f"loss_sakd_{name}"] = weight * value
        return losses

    def _backbone_call(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        calls = self._readout.take()
        if len(calls) != 1:
            raise RuntimeError(
                f"SAKDHook: the student's backbone ran {len(calls)} times in one training forward, "
                "but level 2 needs exactly one run"
            )
        ((sequences,), rates) = calls[0]
        if self.backbone.output == "sequence":
            rates = tuple(self.backbone.state.rate(s) for s in sequences)
        return sequences, rates
