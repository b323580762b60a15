"""Firing rates while training: as scalars for every backend, and a warning where a layer died."""

import logging
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

from ..runtime.arguments import typed
from ..runtime.errors import UserError
from .counter import SpikeCounter, Spikes

DEAD = (
    "a layer that does not fire transmits nothing and learns little. Possible fixes: level 1 "
    "(SAKDHook, or init_cfg=dict(type='SAKDTransfer', ...)), norm_eval=False so that BatchNorm's "
    "statistics become those of spikes, a lower v_threshold, a longer warm-up or a smaller "
    "learning rate"
)
SATURATED = (
    "a layer that always fires carries no information. Possible fixes: a higher v_threshold, "
    "norm_eval=False, a smaller learning rate, weight decay"
)


@HOOKS.register_module()
class FiringRateHook(Hook):
    """Logs the firing rates of one training iteration in ``interval``.

    ``firing_rate`` (of all neurons) joins the log, and with it every backend of MMEngine's
    visualizer (TensorBoard, ...), as the terms of level 2 do; the rate of each layer,
    ``firing_rate/<layer>``, goes to the visualizer alone. Rates are those of the training batch on
    the first process.

    Args:
        interval: iterations from one reading to the next; in between no PyTorch hook is on.
        low, high: a layer whose rate is below or above is warned of, once, until it recovers.
        begin: no warning before this iteration: blocks start as the identity, with their last
            neurons silent (``zero_init_residual``).

    Raises:
        UserError: for numbers that cannot be.

    Example:
        >>> from mmengine.registry import HOOKS
        >>> HOOKS.build(dict(type="FiringRateHook", interval=10)).interval
        10
    """

    priority = "NORMAL"

    @typed
    def __init__(
        self, interval: int = 50, low: float = 1e-3, high: float = 0.95, begin: int = 200
    ) -> None:
        if interval < 1:
            raise UserError(f"FiringRateHook: interval={interval}: must be at least 1")
        if not 0 <= low < high <= 1:
            raise UserError(
                f"FiringRateHook: low={low}, high={high}: must be rates with 0 <= low < high <= 1"
            )
        self.interval, self.low, self.high, self.begin = interval, low, high, begin
        self._counter: SpikeCounter | None = None
        #: "layer died" and "layer saturated", as long as it is so.
        self._warned: set[str] = set()

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Counts the spikes of one iteration in ``interval``."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._counter = SpikeCounter(model)
        self._counter.start()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Logs the firing rates, if the spikes of this iteration were counted."""
        layers = self._stop()
        if not layers:
            return
        total = sum(layers.values(), Spikes()).rate
        runner.message_hub.update_scalar("train/firing_rate", total)
        rates = {name: spikes.rate for name, spikes in layers.items()}
        step = runner.iter + 1
        runner.visualizer.add_scalars({f"firing_rate/{n}": r for n, r in rates.items()}, step=step)
        if step >= self.begin:
            self._warn(rates, step, runner.logger)

    def after_train(self, runner: Any) -> None:
        """Leaves no hook behind."""
        self._stop()

    def _stop(self) -> dict[str, Spikes]:
        if self._counter is None:
            return {}
        self._counter.stop()
        layers, self._counter = self._counter.layers, None
        return layers

    def _warn(self, rates: dict[str, float], step: int, logger: Any) -> None:
        for word, layers, advice in (
            ("died", {n: r for n, r in rates.items() if r < self.low}, DEAD),
            ("saturated", {n: r for n, r in rates.items() if r > self.high}, SATURATED),
        ):
            new = {n: r for n, r in layers.items() if f"{n} {word}" not in self._warned}
            self._warned -= {f"{n} {word}" for n in rates if n not in layers}
            self._warned |= {f"{n} {word}" for n in new}
            if new:
                named = ", ".join(f"{n} ({100 * r:.2f} %)" for n, r in new.items())
                text = f"FiringRateHook: iteration {step}: {word} (firing rate): {named}; "
                print_log(text + advice, logger, logging.WARNING)
