"""MMEngine hook for level 2 (and for level 1 from the same checkpoint)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from torch import Tensor, nn

from ..config.policy import check_norm_policy
from ..config.teacher import teacher_of
from ..neurons.counts import check_counts
from ..neurons.layer import at_counts
from ..runtime.arguments import typed
from ..runtime.errors import UserError
from ..runtime.processes import unwrapped
from ..transfer.read import Checkpoint, read_checkpoint
from ..transfer.thresholds import calibrate_on
from .adaptors import KEY, Adaptors, add_adaptors, kernel_size_of, resume
from .arguments import DEFAULT_FEATURES, DEFAULT_PREFIX_WEIGHT, LevelTwo, check_level_one
from .frames import stacks_frames, summed_over_frames
from .initial_weights import transfer_after_init
from .prefixes import (
    check_causal,
    read_at,
    resolve_prefixes,
    sample_count,
    sample_prefix,
    sample_read_steps,
)
from .responses import Response, find_response
from .teacher import build_teacher, check_classes
from .terms import Terms
from .wrappers import on_loss, spiking_student


@HOOKS.register_module()
class SAKDHook(Hook):
    """Self-Architectural Knowledge Distillation (Qiu et al., Neural Networks 178:106475, 2024).

    The paper defines the two levels. The losses, weights, stages and schedules are ours, and
    benchmarks/notebook has their measurements. The authors' code uses others
    (docs/distillation.md).

    The hook holds the teacher. The student's state dict, optimizer and checkpoints are those of
    the plain detector; only an adaptor (see ``features``) adds to the optimizer and the
    checkpoints. The terms are added to the loss dict inside the student's own forward, so that
    DDP, AMP, gradient accumulation and EMA see one forward and one loss.

    Args:
        teacher: ``dict(checkpoint=..., config=None, dtype=None, weights='auto')``. Without
            ``config`` the hook derives the teacher from the student's config by restoring the ANN
            backbone. For event frames the teacher sees the mean, or all T frames if its config's
            ``data_preprocessor`` has ``time='channels'`` (:mod:`.frames`). ``dtype``
            (``'bfloat16'``, ``'float16'``) sets the teacher's precision; None: the student's.
            ``weights`` chooses among several sets of weights in the checkpoint, as in
            :func:`sakd_dense.transfer.transfer`.
        transfer: level 1. True: the student starts from the teacher's weights. ``'head'``: only
            its neck and head do; the backbone starts from its ``init_cfg``, for example a
            distilled classifier's
            (``dict(type='Pretrained', checkpoint=..., prefix='backbone.')``). False: the student
            starts from ``init_cfg``. ``load_from`` and ``resume`` take precedence.
        calibrate: number of training batches on which the thresholds of neurons that fire integers
            are fitted to the teacher's activations (:func:`sakd_dense.transfer.calibrate`). 0: the
            thresholds start as configured. Calibration needs ``transfer=True`` and is skipped
            after ``load_from`` or ``resume``.
        features: a feature loss with its ``weight``, e.g. ``dict(type='FeaturePKD', weight=1.0)``
            (also ``FeatureMSE``, ``FeatureCWD``), computed at every backbone output; None: off.
            ``adaptor=1`` (or 3, a kernel size) puts a learned convolution and BatchNorm before
            the loss at every stage, as in the authors' code (:mod:`.adaptors`). Adaptors belong to
            the run and its checkpoints, not to the student.
        responses: weights of the response's terms, e.g. ``dict(cls=1.0, box=1.0)``, and its
            options. None: off. The terms depend on the kind of head
            (:mod:`sakd_dense.distill.responses`). Without responses the teacher may have been
            trained on other classes.
        prefixes: prefixes that are taught beside T. ``'image'``: three quarters of the images are
            read at a random t < T instead of T, by the same neck, head and losses;
            ``dict(type='image', share=0.75)`` sets the share. Only the features of all images are
            taught at one more t < T. ``'random'`` runs neck and head once more at one t < T per
            iteration. ``'auto'``: ``'random'`` for classifiers and event frames, else ``'image'``.
            None: off.
        prefix_weight: weight of all terms at prefixes; with ``'image'`` that of the features.
        counts: values of D to teach, for neurons that fire integers. The hook draws one of them in
            each iteration, so that one checkpoint serves all of them. None: only the config's D.

    A weight is a number or a schedule ``dict(start=1.0, stop=0.0, begin=0.5, end=1.0)`` over the
    completed fraction of the run.

    The hook adds these keys to the loss dict: ``loss_sakd_feat``, ``loss_sakd_TERM`` for each
    term of the responses, and the same with ``prefix_`` after ``sakd_``.

    Raises:
        UserError, MissingFileError: for a bad argument, or, before training starts, for a student
            that does not spike or a teacher that does not fit it.

    Example:
        >>> from sakd_dense import SAKDHook
        >>> hook = SAKDHook(
        ...     teacher=dict(checkpoint="retinanet_r50.pth"),  # read when training starts
        ... )

        In a config: ``custom_hooks=[dict(type='SAKDHook', teacher=dict(checkpoint=...))]``.
    """

    @typed
    def __init__(
        self,
        teacher: Mapping[str, Any],
        transfer: bool | str = True,
        calibrate: int = 10,
        features: Mapping[str, Any] | None = DEFAULT_FEATURES,
        responses: Mapping[str, Any] | None = {},
        prefixes: str | Mapping[str, Any] | None = "auto",
        prefix_weight: float | Mapping[str, Any] = DEFAULT_PREFIX_WEIGHT,
        counts: Sequence[int] | None = None,
    ) -> None:
        check_level_one(teacher, transfer, calibrate)
        self.teacher_args = dict(teacher)
        self.transfer, self.calibrate = transfer, calibrate
        self.options = LevelTwo(features, responses, prefixes, prefix_weight, teacher.get("dtype"))
        self.counts = None if counts is None else check_counts(counts)
        self._iteration = ExitStack()
        self.teacher: nn.Module | None = None
        self.adaptors: Adaptors | None = None
        self._response: Response | None = None
        self._terms: Terms | None = None
        self._unhook: Callable[[], None] | None = None
        self._seed, self._iter, self._progress = 0, 0, 0.0
        self._continues = False  # whether weights come from load_from or a resumed checkpoint

    def before_run(self, runner: Any) -> None:
        """Builds the teacher and schedules level 1 before weights are initialised or loaded."""
        # Runner.val() and Runner.test() also call this; they need neither teacher nor its file.
        if self.teacher is not None or not isinstance(runner.optim_wrapper, OptimWrapper):
            return
        student = spiking_student(runner)
        self.options = resolve_prefixes(self.options, student)
        self.teacher, checkpoint = self._build_teacher(runner, student)
        size = kernel_size_of(self.options.features or {})
        if size is not None:
            self.adaptors = add_adaptors(runner, self.teacher.backbone, size)
        for warning in check_norm_policy(runner.cfg):
            print_log(f"SAKDHook: {warning}", runner.logger, logging.WARNING)
        if self.transfer:
            if stacks_frames(self.teacher):
                checkpoint = summed_over_frames(checkpoint, student)
            part = "head" if self.transfer == "head" else "auto"
            transfer_after_init(student, checkpoint, part, any_classes=self._response is None)

    def _build_teacher(self, runner: Any, student: nn.Module) -> tuple[nn.Module, Checkpoint]:
        """Finds the response, and returns the teacher with its checkpoint."""
        if "model" not in runner.cfg:
            raise UserError(
                "SAKDHook: the teacher is derived from the model's config, but this Runner has "
                "none: build it with Runner.from_cfg(cfg), or pass cfg=Config(dict(model=...))"
            )
        if self.options.responses is not None:
            self._response = find_response(student, **self.options.responses)
            if self._response is None:
                kind = type(student).__name__
                text = f"SAKDHook: no response is defined for the head of {kind}: features only"
                print_log(text, runner.logger)
        given = self.teacher_args
        checkpoint = read_checkpoint(given["checkpoint"], given.get("weights", "auto"))
        model_cfg = teacher_of(runner.cfg, given.get("config"))
        teacher = build_teacher(model_cfg, checkpoint, student, self._response is None)
        return teacher, checkpoint

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        if self.adaptors is not None:
            checkpoint[KEY] = self.adaptors.state_dict()

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        self._continues = True
        if self.adaptors is not None and runner._resume:  # also of a Runner without a config
            resume(self.adaptors, checkpoint)

    def before_train(self, runner: Any) -> None:
        """Checks the student, calibrates its thresholds and attaches the terms to its loss."""
        student = spiking_student(runner)
        assert self.teacher is not None  # from before_run
        if self._response is not None:  # otherwise no term compares classes
            check_classes(self.teacher, runner.train_dataloader.dataset)
        check_causal(self.options, student.backbone)
        if self.transfer is True and self.calibrate and not self._continues:
            calibrate_on(runner.train_dataloader, student, self.calibrate)
        for count in self.counts or ():
            with at_counts(student, count):  # raises if neurons fire no integers
                pass
        self._terms = Terms(student, self.teacher, self.options, self._response, self.adaptors)
        self._unhook = on_loss(unwrapped(runner.model), self._add_terms)
        self._seed = runner.seed or 0

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._iter = runner.iter
        self._progress = runner.iter / max(runner.max_iters, 1)
        if self.counts is not None:
            count = sample_count(self.counts, self._seed, self._iter)
            self._iteration.enter_context(at_counts(spiking_student(runner), count))
        if self.options.prefixes == "image":
            share = self.options.prefix_share
            steps = sample_read_steps(share, self._seed, self._iter, get_rank())
            self._iteration.enter_context(read_at(spiking_student(runner), steps))

    def after_train_iter(self, *args: Any, **kwargs: Any) -> None:
        self._iteration.close()
        if self._terms is not None:
            self._terms.clear()

    def after_train(self, runner: Any) -> None:
        """Removes every hook; the student is the plain detector again."""
        self._iteration.close()
        if self._terms is not None and self._unhook is not None:
            self._unhook()
            self._terms.remove()
        self._unhook = self._terms = None

    def _add_terms(self, inputs: Tensor, samples: Any) -> dict[str, Tensor]:
        terms = self._terms
        assert terms is not None  # from before_train
        prefix = None
        if self.options.prefixes is not None:
            prefix = sample_prefix(terms.time_steps, self._seed, self._iter)
        return terms(inputs, samples, prefix, self._progress)
