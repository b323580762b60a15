"""Level 2's loss terms for one batch, computed from the tapped calls."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..backbones import SpikingBackbone
from ..runtime.amp import autocast
from ..runtime.patching import outputs_as_in_training, replaced_forward
from .adaptors import Adaptors
from .cache import FeatureCache
from .frames import frames_for
from .judge import as_teacher
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
        student, teacher: models of the same architecture; the teacher is frozen.
        features: config of the feature loss, ``dict(type='FeaturePKD', weight=1.0, ...)``, or
            None.
        response: response from :func:`sakd_dense.distill.responses.find_response`, or None.
        prefix_weight: weight of all terms at prefixes.
        prefix_targets: targets at prefixes: ``'teacher'``, ``'labels'`` or ``'both'``.
        teacher_dtype: precision of the teacher; None: the student's.
        adaptors: modules between the student's rates and the feature loss, or None.
        judge: weight of the teacher's response to the student's features; None: 0.
        cache: the teacher's features on disk, or None.
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
        adaptors: Adaptors | None = None,
        judge: Weight | None = None,
        cache: FeatureCache | None = None,
    ) -> None:
        self.student, self.teacher, self.response = student, teacher, response
        self.backbone: SpikingBackbone = student.backbone
        args = dict(features or {})
        self.feature_weight = Weight(args.pop("weight", 1.0) if args else 0.0, "features: weight")
        self.feature_loss = MODELS.build(args) if args else None
        self.prefix_weight = prefix_weight
        self.prefix_targets = prefix_targets
        self.teacher_dtype = teacher_dtype
        self.adaptors = adaptors
        self.judge = judge or Weight(0.0, "judge")
        self.cache = cache
        self._inputs = Tap(self.backbone)
        self._readout = Tap(self.backbone.readout)
        self._heads = response.taps(student) if response is not None else []

    @property
    def time_steps(self) -> int:
        """Number of time steps T of the current forward."""
        return self.backbone.clock.time_steps

    def remove(self) -> None:
        """Removes every hook from the student."""
        for tap in (self._inputs, self._readout, *self._heads):
            tap.remove()

    def clear(self) -> None:
        """Clears the tapped calls, so that no record of an iteration reaches the next."""
        for tap in (self._inputs, self._readout, *self._heads):
            tap.take()

    def __call__(
        self, images: Tensor, samples: Any, prefixes: tuple[int, ...], progress: float
    ) -> Losses:
        """Computes the weighted terms ``loss_sakd_*`` for the batch of the student's last forward.

        Args:
            images: the student's own input, ``[B, C, H, W]``, or event frames ``[T, B, C, H, W]``.
            samples: data samples of the batch. They mark what to ignore and hold the labels, which
                the model's own losses at prefixes and some responses use.
            prefixes: the t to teach beside T.
            progress: completed fraction of the run, 0..1.

        Returns:
            ``loss_sakd_feat``; ``loss_sakd_TERM`` and, with a judge, ``loss_sakd_judge_TERM`` for
            each term of the response; at prefixes the same with ``prefix_`` after ``sakd_``, and
            ``loss_sakd_prefix_label_NAME`` for the model's own losses. Terms of weight 0 are left
            out.
        """
        sequences, rates = self._backbone_call()
        response = None
        if self.response is not None:
            response = self.response.gather([t.take() for t in self._heads], self.student)
        features, teacher_response = self._run_teacher(images, samples, response)
        batch = Batch(images, samples, progress, sequences, response, features, teacher_response)
        losses = self._compare(batch, rates, response)
        weight = self.prefix_weight.at(progress) / max(len(prefixes), 1)
        for t in prefixes if weight else ():
            for name, value in self._at_prefix(batch, t).items():
                name = name.replace("loss_sakd_", "loss_sakd_prefix_")
                losses[name] = losses.get(name, 0.0) + weight * value
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
            compute = self._teacher_features
            features = compute(inputs) if self.cache is None else self.cache(inputs, compute)
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
        """Returns the terms of the student, read at its first ``t`` time steps.

        If each image is read at a t of its own, neck and head do not run again.
        """
        losses: Losses = {}
        features_only = self.backbone.clock.reads is not None
        if features_only and self.feature_loss is None:
            return losses
        features = rates = prefix_rates(batch.sequences, t)
        if features_only:
            return self._features(batch, rates)
        if self.backbone.output == "sequence":
            features = tuple(s[:t] for s in batch.sequences)
        with norms_as_in_test(self.student, self.backbone):
            if self.prefix_targets in ("teacher", "both"):
                response = None
                if self.response is not None:
                    response = self.response.run(
                        self.student, features, batch.response, batch.samples
                    )
                losses.update(self._compare(batch, rates, response))
            if self.prefix_targets in ("labels", "both"):
                losses.update(self._labels(features, batch.images, batch.samples))
        for tap in self._heads:
            tap.take()
        return losses

    def _labels(self, features: tuple[Tensor, ...], images: Tensor, samples: Any) -> Losses:
        # The model's own loss, with ``features`` instead of its backbone's output.
        with replaced_forward(self.backbone, lambda *_: self.backbone.format_features(features)):
            task_losses = self.student.loss(images, samples)
        losses: Losses = {}
        for name, value in task_losses.items():
            if "loss" in name:
                levels = value if isinstance(value, list | tuple) else [value]
                label = name.replace("loss_", "").replace(".", "_")
                losses[f"loss_sakd_label_{label}"] = sum(level.mean() for level in levels)
        return losses

    def _compare(self, batch: Batch, rates: tuple[Tensor, ...], response: Any) -> Losses:
        """Compares the student's rates and response, at T or at a prefix, with the teacher's."""
        losses: Losses = {}
        judged = self._judge(batch, rates)
        losses.update(self._features(batch, rates))
        # Half precision is too coarse for sums over many pixels.
        with torch.autocast(rates[0].device.type, enabled=False):
            losses.update(self._responses(batch, response, "loss_sakd_"))
            if judged is not None:
                weight = self.judge.at(batch.progress)
                for name, value in self._responses(batch, judged, "loss_sakd_judge_").items():
                    losses[name] = weight * value
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

    def _responses(self, batch: Batch, response: Any, prefix: str) -> Losses:
        """Returns the weighted terms between ``response`` and the teacher's."""
        losses: Losses = {}
        if self.response is None:
            return losses
        terms = self.response.compare(response, batch.teacher_response, self.student, batch.samples)
        for name, value in terms.items():
            weight = self.response.weights[name].at(batch.progress)
            if weight:
                losses[prefix + name] = weight * value
        return losses

    def _judge(self, batch: Batch, rates: tuple[Tensor, ...]) -> Any:
        """Returns the teacher's response to the student's features; None if it is not needed."""
        if self.response is None or not self.judge.at(batch.progress):
            return None
        pairs = zip(rates, batch.teacher_features, strict=True)
        features = tuple(as_teacher(s, t) for s, t in pairs)
        with self._precision(batch.images):
            return self.response.run(self.teacher, features, batch.response, batch.samples)

    def _backbone_call(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        calls = self._readout.take()
        if len(calls) != 1:
            raise RuntimeError(
                f"SAKDHook: the student's backbone ran {len(calls)} times in one training forward, "
                "but level 2 needs exactly one run"
            )
        ((sequences,), rates) = calls[0]
        if self.backbone.output == "sequence":
            rates = tuple(self.backbone.clock.rate(s) for s in sequences)
        return sequences, rates
