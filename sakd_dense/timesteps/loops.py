"""Test and validation loops of MMEngine that read several T from one pass.

    test_cfg = dict(type="TimeStepTestLoop", time_steps=(1, 2, 4, 8))
    val_cfg = dict(type="TimeStepValLoop", time_steps=(1, 2, 4))

The metrics at T=2 are named ``T2/coco/bbox_mAP``, and the firing rate ``T2/firing_rate``. The
metrics at the model's own T also appear under their plain names, ``coco/bbox_mAP``. ``save_best``,
early stopping and schedulers therefore work as they do with MMEngine's loops.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from mmengine.evaluator import Evaluator
from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import print_log
from mmengine.registry import LOOPS
from mmengine.runner import TestLoop, ValLoop
from mmengine.runner.amp import autocast
from mmengine.structures import BaseDataElement

from ..backbones.time_steps import check_time_steps, find_spiking_backbone
from ..firing.counter import SpikeCounter
from .evaluators import evaluator_for
from .reader import PrefixReader
from .table import FIRING_RATE

try:  # MMEngine logs validation losses since 0.10.5.
    from mmengine.runner.loops import _parse_losses, _update_losses
except ImportError:
    _parse_losses = _update_losses = None


class _TimeStepLoop:
    """Base of the two loops; ``phase`` is the word in the names of hooks and steps (``'val'``)."""

    phase: ClassVar[str]
    runner: Any
    dataloader: Any
    evaluator: Evaluator
    fp16: bool

    def __init__(
        self,
        runner: Any,
        dataloader: Any,
        evaluator: Any,
        fp16: bool = False,
        time_steps: Iterable[int] = (1, 2, 4, 8),
        firing_rate: bool = True,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)  # type: ignore[call-arg]
        self.time_steps = check_time_steps(time_steps)
        self.firing_rate = firing_rate
        #: Metrics and firing rate at each T of the last run, under the evaluator's names.
        self.rows: dict[int, dict[str, float]] = {}
        #: Wall-clock time of the last run for all T together, without data loading and metrics.
        self.seconds_per_image = float("nan")
        self._evaluators: dict[int, Evaluator] = {}

    def _steps_of_run(self) -> tuple[tuple[int, ...], int]:
        """Returns the T to read and the main T.

        The metrics at the main T have no prefix, and hooks get the outputs at that T.
        """
        steps = find_spiking_backbone(self.runner.model).time_steps
        return self.time_steps, steps if steps in self.time_steps else max(self.time_steps)

    def run(self) -> dict[str, float]:
        """Evaluates the data set once, at every T.

        Returns:
            The metrics at the model's own T without a prefix, and the metrics at every T with a
            prefix such as ``T2/``. If the model's own T is not read, the metrics without a prefix
            are those at the largest T.
        """
        hook, phase = self.runner.call_hook, self.phase
        hook(f"before_{phase}")
        hook(f"before_{phase}_epoch")
        self.runner.model.eval()
        steps, self._main = self._steps_of_run()
        self._reader = PrefixReader(self.runner.model, steps)
        for t in steps:
            if t != self._main and t not in self._evaluators:
                self._evaluators[t] = evaluator_for(f"T{t}", self.evaluator)
        self._losses: dict[str, Any] = {}
        self._times: list[tuple[float, int]] = []
        counter = SpikeCounter(self.runner.model) if self.firing_rate else None
        with counter.counting() if counter else nullcontext():
            for idx, data_batch in enumerate(self.dataloader):
                self.run_iter(idx, data_batch)
        # The first batch is a warm-up. Its time counts only if it is the only batch.
        times = self._times[1:] or self._times
        images = sum(n for _, n in times)
        self.seconds_per_image = sum(s for s, _ in times) / images if images else float("nan")
        self.rows = self._evaluate(steps)
        metrics = dict(self.rows[self._main])
        if self._losses:
            metrics.update(_parse_losses(self._losses, self.phase))
        if counter:
            for t, rate in counter.rates(steps).items():
                self.rows[t][FIRING_RATE] = rate
        prefixed = {f"T{t}/{k}": v for t, row in self.rows.items() for k, v in row.items()}
        hook(f"after_{phase}_epoch", metrics=self._metrics_for_hooks(metrics, prefixed))
        hook(f"after_{phase}")
        return {**metrics, **prefixed}

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Runs and evaluates one batch at every T."""
        hook, phase = self.runner.call_hook, self.phase
        hook(f"before_{phase}_iter", batch_idx=idx, data_batch=data_batch)
        step = getattr(self.runner.model, f"{phase}_step")
        start = time.perf_counter()
        with autocast(enabled=self.fp16):
            outputs = self._reader.read(lambda: step(data_batch))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        for t, samples in outputs.items():
            samples = self._without_losses(samples, t == self._main)
            outputs[t] = samples
            self._evaluator_at(t).process(data_samples=samples, data_batch=data_batch)
        self._times.append((seconds, len(outputs[self._main])))
        hook(
            f"after_{phase}_iter",
            batch_idx=idx,
            data_batch=data_batch,
            outputs=outputs[self._main],
        )

    def _evaluator_at(self, t: int) -> Evaluator:
        return self.evaluator if t == self._main else self._evaluators[t]

    def _without_losses(self, samples: list[Any], main: bool) -> list[Any]:
        # A model may append its losses to its predictions; MMEngine averages and logs them.
        if _update_losses is None or not samples or not isinstance(samples[-1], BaseDataElement):
            return samples
        return _update_losses(samples, self._losses if main else {})[0]

    def _evaluate(self, steps: tuple[int, ...]) -> dict[int, dict[str, float]]:
        size = len(self.dataloader.dataset)
        rows = {}
        for t in steps:
            print_log(f"Evaluating T={t}", logger="current")
            rows[t] = dict(self._evaluator_at(t).evaluate(size))
        return rows

    def _metrics_for_hooks(
        self, metrics: dict[str, float], prefixed: dict[str, float]
    ) -> dict[str, float]:
        return {**metrics, **prefixed}


@LOOPS.register_module()
class TimeStepTestLoop(_TimeStepLoop, TestLoop):
    """Test loop that reads several T from one backbone pass per batch.

    Hooks (visualisation, dumps) get the outputs at the model's own T. If that T is not in
    ``time_steps``, they get the outputs at the largest T.

    Args:
        time_steps: the numbers of time steps T to read.
        fp16: as in MMEngine's ``TestLoop``.
        firing_rate: whether to measure the firing rate at each T as well.

    Example:
        >>> from mmengine.evaluator import Evaluator
        >>> from mmengine.registry import LOOPS
        >>> from torch.utils.data import DataLoader
        >>> run = dict(runner=None, dataloader=DataLoader([0]), evaluator=Evaluator([]))
        >>> LOOPS.build(dict(type="TimeStepTestLoop", time_steps=(1, 2, 4), **run)).time_steps
        (1, 2, 4)

        In a config: ``test_cfg=dict(type='TimeStepTestLoop', time_steps=(1, 2, 4))``.
    """

    phase = "test"


@LOOPS.register_module()
class TimeStepValLoop(_TimeStepLoop, ValLoop):
    """Validation loop that reads several T from one backbone pass per batch.

    The loop always reads the T that the model is trained at, even if ``time_steps`` does not
    contain it: the metrics at that T select the best checkpoint. If the evaluator returns no metric
    at that T (a detector that finds nothing), hooks get an empty dict, as with MMEngine's
    ``ValLoop``.

    Args:
        time_steps: the numbers of time steps T to read.
        fp16: as in MMEngine's ``ValLoop``.
        firing_rate: whether to measure the firing rate at each T as well.

    Example:
        >>> from mmengine.evaluator import Evaluator
        >>> from mmengine.registry import LOOPS
        >>> from torch.utils.data import DataLoader
        >>> run = dict(runner=None, dataloader=DataLoader([0]), evaluator=Evaluator([]))
        >>> LOOPS.build(dict(type="TimeStepValLoop", time_steps=(1, 2, 4), **run)).time_steps
        (1, 2, 4)

        In a config: ``val_cfg=dict(type='TimeStepValLoop', time_steps=(1, 2, 4))``.
    """

    phase = "val"

    def _steps_of_run(self) -> tuple[tuple[int, ...], int]:
        trained_at = find_spiking_backbone(self.runner.model).time_steps
        if trained_at in self.time_steps:
            return self.time_steps, trained_at
        return (*self.time_steps, trained_at), trained_at

    def _metrics_for_hooks(
        self, metrics: dict[str, float], prefixed: dict[str, float]
    ) -> dict[str, float]:
        if metrics:
            return {**metrics, **prefixed}
        # mmdet returns no metrics for a detector that finds nothing. MMEngine's loop then passes an
        # empty dict to its hooks, and save_best skips this validation. With other names only,
        # save_best would miss its metric or use a firing rate. The log still gets all values.
        RuntimeInfoHook().after_val_epoch(self.runner, prefixed)
        return {}
