"""MMEngine hook for level 2 (and for level 1 from the same checkpoint)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop
from torch import Tensor, nn

from ..backbones import SpikingBackbone
from ..config.policy import check_norm_policy
from ..config.teacher import teacher_of
from ..neurons.counts import check_counts
from ..neurons.layer import at_counts
from ..runtime.arguments import typed
from ..runtime.errors import UserError
from ..transfer import transfer
from ..transfer.read import Checkpoint, read_checkpoint
from ..transfer.thresholds import calibrate_on
from .adaptors import KEY, Adaptors, channels_of, join_optimizer, kernel_size_of, resume
from .arguments import DTYPES, check_arguments
from .cache import DEFAULT_GIB, FeatureCache
from .frames import stacks_frames, summed_over_frames
from .prefixes import check, choose, draw, draw_count, draw_reads, read_at
from .responses import Response, find_response
from .schedule import Weight
from .teacher import build_teacher, check_classes, resized_outside_backbone
from .terms import Terms
from .wrappers import on_loss, student_of

#: Measured on BCCD (docs/notebook.md): MSE, PKD and CWD perform alike; PKD spikes less than MSE.
DEFAULT_FEATURES = dict(type="FeaturePKD", weight=1.0)
#: Also measured there: of 1, 2, 4 and 8, the best on val at every T; 4 is equal within noise.
DEFAULT_PREFIX_WEIGHT = 8.0
#: Of 0.5 and 0.75, the better on BCCD's val (one seed) at every T.
DEFAULT_PREFIX_SHARE = 0.75


@HOOKS.register_module()
class SAKDHook(Hook):
    """Self-Architectural Knowledge Distillation (Qiu et al., Neural Networks 178:106475, 2024).

    The paper defines the two levels. The losses, weights, stages and schedules are ours, and
    docs/notebook.md has their measurements. The authors' code uses others (docs/distillation.md).

    The hook holds the teacher. The student's state dict, optimizer and checkpoints are those of
    the plain detector; only an adaptor (see ``features``) adds to the optimizer and the
    checkpoints. The terms are added to the loss dict inside the student's own forward, so that
    DDP, AMP, gradient accumulation and EMA see one forward and one loss.

    Args:
        teacher: ``dict(checkpoint=..., config=None, dtype=None, weights='auto', cache=None,
            cache_gib=10.0)``. Without ``config`` the hook derives the teacher from the student's
            config by restoring the ANN backbone. For event frames the teacher sees the mean, or
            all T frames if its config's ``data_preprocessor`` has ``time='channels'``
            (:mod:`.frames`). ``dtype`` (``'bfloat16'``, ``'float16'``) sets the teacher's
            precision; None: the student's. ``weights`` chooses among several sets of weights in
            the checkpoint, as in :func:`sakd_dense.transfer.transfer`. ``cache``: a
            folder for the features of images that the teacher sees again (:mod:`.cache`), up to
            ``cache_gib`` GiB.
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
        judge: weight of a second comparison (:mod:`.judge`); 0: off. The teacher's frozen neck and
            head process the student's features. The terms of ``responses`` compare their
            predictions with those from the teacher's own features. It brought nothing where it was
            measured (docs/notebook.md).
        prefixes: prefixes that are taught beside T. ``'image'``: a share ``prefix_share`` of the
            images is read at a random t < T instead of T, by the same neck, head and losses. Only
            the features of all images are taught at one more t < T. ``'random'`` (one t < T per
            iteration), ``'all'`` and one t (an int) run neck and head once more for each t.
            ``'auto'``: ``'random'`` for classifiers and event frames, else ``'image'``. None: off.
        prefix_share: share of the images read at a prefix with ``prefixes='image'``, from 0 to 1.
        prefix_weight: weight of all terms at prefixes; with ``'image'`` that of the features.
        counts: values of D to teach, for neurons that fire integers. The hook draws one of them in
            each iteration, so that one checkpoint serves all of them. None: only the config's D.
        prefix_targets: targets of a second pass: ``'teacher'``, or the controls ``'labels'`` and
            ``'both'``. With ``'image'`` both teach, so there is nothing to choose.

    A weight is a number or a schedule ``dict(start=1.0, stop=0.0, begin=0.5, end=1.0)`` over the
    completed fraction of the run.

    The hook adds these keys to the loss dict: ``loss_sakd_feat``, ``loss_sakd_TERM`` for each
    term of the responses, ``loss_sakd_judge_TERM``, and the same with ``prefix_`` after ``sakd_``.
    Labels at prefixes add ``loss_sakd_prefix_label_NAME`` for each of the model's own losses.

    Raises:
        UserError, MissingFileError: for a bad argument, or, before training starts, for a student
            that does not spike or a teacher that does not fit it.

    Example:
        >>> from sakd_dense import SAKDHook
        >>> hook = SAKDHook(
        ...     teacher=dict(checkpoint="retinanet_r50.pth"),  # read when training starts
        ...     responses=dict(cls=1.0, box=1.0),
        ...     prefixes="image",
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
        prefixes: str | int | None = "auto",
        prefix_weight: float | Mapping[str, Any] = DEFAULT_PREFIX_WEIGHT,
        prefix_targets: str = "teacher",
        counts: Sequence[int] | None = None,
        prefix_share: float = DEFAULT_PREFIX_SHARE,
        judge: float | Mapping[str, Any] = 0.0,
    ) -> None:
        check_arguments(teacher, transfer, calibrate, features, prefix_share, prefix_targets)
        check(prefixes, prefix_targets)
        self.teacher_args = dict(teacher)
        self.teacher_dtype = DTYPES[teacher.get("dtype")]
        self.transfer = transfer
        self.calibrate = calibrate
        self._adaptor_size = kernel_size_of(features or {})
        given = dict(features or {})
        given.pop("adaptor", None)
        self.features = given or None
        self.judge = Weight(judge, "judge")
        if not self.judge.off and responses is None:
            raise UserError("SAKDHook: judge compares responses: leave responses=None out")
        self.responses = responses
        self.prefixes = prefixes
        self.prefix_weight = Weight(prefix_weight, "prefix_weight")
        self.prefix_targets = prefix_targets
        self.prefix_share = prefix_share
        self.counts = None if counts is None else check_counts(counts)
        self._iteration = ExitStack()
        self.teacher: nn.Module | None = None
        self.adaptors: Adaptors | None = None
        self.cache: FeatureCache | None = None
        self._response: Response | None = None
        self._terms: Terms | None = None
        self._unhook: Callable[[], None] | None = None
        self._seed, self._iter, self._progress = 0, 0, 0.0

    def before_run(self, runner: Any) -> None:
        """Builds the teacher and schedules level 1 before weights are initialised or loaded."""
        # Runner.val() and Runner.test() also call this; they need neither teacher nor its file.
        if self.teacher is not None or not isinstance(runner._train_loop, BaseLoop):
            return
        if "model" not in runner.cfg:
            raise UserError(
                "SAKDHook: the teacher is derived from the model's config, but this Runner has "
                "none: build it with Runner.from_cfg(cfg), or pass cfg=Config(dict(model=...))"
            )
        student = self._student(runner)
        self.prefixes = choose(self.prefixes, student)
        response = self._find_response(student, runner)
        checkpoint = read_checkpoint(
            self.teacher_args["checkpoint"], self.teacher_args.get("weights", "auto")
        )
        model_cfg = teacher_of(runner.cfg, self.teacher_args.get("config"))
        self.teacher = build_teacher(model_cfg, checkpoint, student, response is None)
        self._response = response
        if self._adaptor_size is not None:
            channels = channels_of(self.teacher.backbone)
            self.adaptors = Adaptors(channels, self._adaptor_size, runner.seed or 0)
            self.adaptors.to(next(student.parameters()).device)
            join_optimizer(runner, self.adaptors)
        for warning in check_norm_policy(runner.cfg):
            print_log(f"SAKDHook: {warning}", runner.logger, logging.WARNING)
        if self.transfer:
            part = "head" if self.transfer == "head" else "auto"
            if stacks_frames(self.teacher):
                checkpoint = summed_over_frames(checkpoint, student)
            _transfer_after_init(student, checkpoint, part, any_classes=response is None)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        if self.adaptors is not None:
            checkpoint[KEY] = self.adaptors.state_dict()

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        if self.adaptors is not None and runner._resume:
            resume(self.adaptors, checkpoint)

    def before_train(self, runner: Any) -> None:
        """Checks the student, calibrates its thresholds and attaches the terms to its loss."""
        student = self._student(runner)
        if self._response is not None:  # otherwise no term compares classes
            check_classes(self.teacher, runner.train_dataloader.dataset)
        if self.prefixes is not None and not student.backbone.causal:
            raise UserError(
                f"SAKDHook: prefixes={self.prefixes!r} needs neurons whose spikes at t depend only "
                "on the input up to t; set prefixes=None, or use another neuron"
            )
        if self.transfer is True and self.calibrate and not _continues(runner):
            calibrate_on(runner.train_dataloader, student, self.calibrate)
        if self.teacher_args.get("cache"):
            gib = self.teacher_args.get("cache_gib", DEFAULT_GIB)
            self.cache = FeatureCache(self.teacher_args["cache"], self.teacher, gib)
        for count in self.counts or ():
            with at_counts(student, count):  # raises if neurons fire no integers
                pass
        self._terms = Terms(
            student,
            self.teacher,
            self.features,
            self._response,
            self.prefix_weight,
            self.prefix_targets,
            self.teacher_dtype,
            self.adaptors,
            self.judge,
            self.cache,
        )
        self._unhook = on_loss(self._model(runner), self._add_terms)
        self._seed = runner.seed or 0

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._iter = runner.iter
        self._progress = runner.iter / max(runner.max_iters, 1)
        if self.counts is not None:
            count = draw_count(self.counts, self._seed, self._iter)
            self._iteration.enter_context(at_counts(self._student(runner), count))
        if self.prefixes == "image":
            reads = draw_reads(self.prefix_share, self._seed, self._iter, get_rank())
            self._iteration.enter_context(read_at(self._student(runner), reads))

    def after_train_iter(self, *args: Any, **kwargs: Any) -> None:
        self._iteration.close()
        if self._terms is not None:
            self._terms.clear()

    def after_train(self, runner: Any) -> None:
        """Removes every hook; the student is the plain detector again."""
        self._iteration.close()
        if self.cache is not None:
            print_log(f"SAKDHook: {self.cache.summary()}", runner.logger)
        if self._unhook is not None:
            self._unhook()
        if self._terms is not None:
            self._terms.remove()
        self._unhook = self._terms = None

    def _add_terms(self, inputs: Tensor, samples: Any) -> dict[str, Tensor]:
        terms = self._terms
        assert terms is not None  # before_train creates them before it hooks the student
        prefixes = tuple(draw(self.prefixes, terms.time_steps, self._seed, self._iter))
        return terms(inputs, samples, prefixes, self._progress)

    @staticmethod
    def _model(runner: Any) -> nn.Module:
        return runner.model.module if is_model_wrapper(runner.model) else runner.model

    def _student(self, runner: Any) -> nn.Module:
        model = student_of(self._model(runner))
        backbone = getattr(model, "backbone", None)
        if not isinstance(backbone, SpikingBackbone):
            raise UserError(
                f"SAKDHook: model.backbone of {type(model).__name__} is "
                f"{type(backbone).__name__}, which does not spike: put SEW before its type"
            )
        return model

    def _find_response(self, student: nn.Module, runner: Any) -> Response | None:
        if self.responses is None:
            return None
        response = find_response(student, **self.responses)
        if response is None:
            heads = [n for n, _ in student.named_children() if n.endswith("head")]
            kind = type(getattr(student, heads[0]) if len(heads) == 1 else student).__name__
            print_log(f"SAKDHook: no response is defined for {kind}: features only", runner.logger)
        return response


def _continues(runner: Any) -> bool:
    """Returns whether the student's weights come from ``load_from`` or a resumed checkpoint.

    A run that was killed before its first checkpoint starts from the beginning with ``--resume``.
    """
    return bool(runner._has_loaded)


def _transfer_after_init(
    student: nn.Module, checkpoint: Checkpoint, part: str, any_classes: bool
) -> None:
    # Runner.train() calls init_weights() after this hook, then applies load_from and resume, which
    # must take precedence. Level 1 therefore runs right after init_weights(), also a model's own.
    def init_weights() -> None:
        del student.init_weights
        if hasattr(student, "init_weights"):
            student.init_weights()
        # If no term compares classes, layers for other classes keep their initialisation.
        missing_ok = resized_outside_backbone(checkpoint, student) if any_classes else []
        transfer(student, checkpoint, part, missing_ok=missing_ok)

    if part != "head":
        student.backbone.init_cfg = None
    student.init_weights = init_weights
