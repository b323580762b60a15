"""Tests of a checkpoint at several T and D: metrics, firing rates and times.

One pass gives every T. Another D changes the output of the first layer of neurons, and with it the
input of all later layers, so each D takes its own pass.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from ..backbones.time_steps import check_time_steps, find_spiking_backbone, spiking_backbones
from ..config.models import check_test_loop
from ..loading.load import load_for_test, runner_for_test
from ..neurons.counts import check_counts
from ..neurons.layer import at_counts
from ..runtime.errors import UserError
from .evaluators import evaluator_for
from .loops import TimeStepTestLoop
from .result import SweepResult
from .table import MS
from .timing import ms_per_image


def sweep(
    cfg: Config,
    checkpoint: str | None = None,
    time_steps: Iterable[int] | None = None,
    timed_batches: int = 4,
    fuse: bool = False,
    counts: Iterable[int] | None = None,
) -> SweepResult:
    """Tests a model at several T, from one backbone pass per batch, and at several D.

    Args:
        cfg: config of the model, its test data and its test evaluator.
        checkpoint: path of the checkpoint, loaded strictly and safely, see :func:`load_for_test`.
            None uses the config's ``load_from``.
        time_steps: the numbers of time steps T to read, in the order of the rows. None uses those
            of the config's ``TimeStepTestLoop``, or the model's own T without such a loop. A model
            without a spiking backbone (the ANN teacher) allows only None.
        timed_batches: number of batches over which each T is timed in a separate run; 0 measures no
            times.
        fuse: whether to fold the BatchNorms of spiking backbones (:meth:`SpikingBackbone.fuse`).
            The result is the same up to rounding, and faster.
        counts: values of D to test, in the order of the rows, for neurons that fire integers. None
            uses those of the neurons.

    Returns:
        The metrics, firing rates and times at every T and D.

    Raises:
        MissingFileError: the checkpoint does not exist.
        UserError: the checkpoint does not fit or is not given, ``time_steps`` is not valid, the
            config has no test set, the model does not allow reading several T, or its neurons do
            not fire integers.

    Example:
        >>> from mmengine.config import Config
        >>> from sakd_dense import sweep
        >>> cfg = Config.fromfile("configs/retinanet_sew18_sakd_bccd.py")  # doctest: +SKIP
        >>> print(sweep(cfg, "SNN.pth", (1, 2, 4)).table())  # doctest: +SKIP
    """
    check_test_loop(cfg)
    steps = None if time_steps is None else check_time_steps(time_steps)
    runner, checkpoint = runner_for_test(cfg, checkpoint)
    load_for_test(runner.model, checkpoint)
    if fuse:
        for backbone in spiking_backbones(runner.model).values():
            backbone.fuse()
    result = sweep_runner(runner, steps, timed_batches, counts)
    result.checkpoint = checkpoint
    return result


def sweep_runner(
    runner: Runner,
    time_steps: Iterable[int] | None = None,
    timed_batches: int = 4,
    counts: Iterable[int] | None = None,
) -> SweepResult:
    """Tests the model of a runner on its test data, as :func:`sweep` does, with its weights.

    The arguments are those of :func:`sweep`. The runner's own loop, evaluator and modes are kept.

    Raises:
        UserError: as :func:`sweep`.

    Example:
        >>> from mmengine.runner import Runner
        >>> from sakd_dense.timesteps import sweep_runner
        >>> runner = Runner.from_cfg(cfg)  # doctest: +SKIP
        >>> print(sweep_runner(runner, (1, 2, 4)).table())  # doctest: +SKIP
    """
    steps = None if time_steps is None else check_time_steps(time_steps)
    levels: tuple[int | None, ...] = (None,) if counts is None else check_counts(counts)
    rows: dict[tuple[int | None, int | None], dict[str, float]] = {}
    training = runner.model.training
    try:
        for d in levels:
            with at_counts(runner.model, d):
                found, loop, batches = _pass(runner, steps, timed_batches, f"D{d}" if d else "")
            rows |= {(t, d): row for t, row in found.items()}
    finally:
        runner.model.train(training)
    sizes = [_batch_size(batch) for batch in batches]
    one_pass = levels == (None,) and None not in found
    return SweepResult(
        rows=rows,
        config=str(runner.cfg.filename or ""),
        checkpoint=None,
        images=len(loop.dataloader.dataset),
        sweep_ms_per_image=1000 * loop.seconds_per_image if one_pass else None,
        timed_images=sum(sizes),
        batch_size=max(sizes, default=0),
        device=_device(runner.model),
    )


def _pass(
    runner: Runner, steps: tuple[int, ...] | None, timed_batches: int, name: str
) -> tuple[dict[int | None, dict[str, float]], Any, list[Any]]:
    """Tests at the D of the neurons; returns the rows by T, the loop and the timed batches."""
    loop = runner.test_loop
    if loop is None:
        raise UserError("sweep: the runner has no test set; give it a test_dataloader")
    if steps is None:
        steps = _steps_of(runner, loop)
    fp16 = getattr(loop, "fp16", False)
    if steps is not None:
        find_spiking_backbone(runner.model)
        evaluator = evaluator_for(name, loop.evaluator) if name else loop.evaluator
        loop = TimeStepTestLoop(runner, loop.dataloader, evaluator, fp16, steps)
    # As Runner.test() does, but with this loop, and without loading the config's checkpoint.
    runner.call_hook("before_run")
    metrics = loop.run()
    runner.call_hook("after_run")
    rows = {None: dict(metrics)} if steps is None else dict(loop.rows)
    batches = list(islice(iter(loop.dataloader), timed_batches)) if timed_batches else []
    if batches:
        for t, row in rows.items():
            row[MS] = ms_per_image(runner.model, batches, t, fp16)
    return rows, loop, batches


def _steps_of(runner: Runner, loop: Any) -> tuple[int, ...] | None:
    if isinstance(loop, TimeStepTestLoop):
        return loop.time_steps
    if not spiking_backbones(runner.model):
        return None
    return (find_spiking_backbone(runner.model).time_steps,)


def _batch_size(batch: Any) -> int:
    inputs = batch["inputs"] if isinstance(batch, dict) else batch[0]
    # With test-time augmentation, the inputs are a list of views, each a list of images.
    return len(inputs[0]) if inputs and isinstance(inputs[0], list) else len(inputs)


def _device(model: torch.nn.Module) -> str:
    device = next(model.parameters()).device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
