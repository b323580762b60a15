"""Hook that logs firing rates in training and warns of layers that died or saturated."""

import logging
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from ..runtime.arguments import typed
from ..runtime.errors import UserError
from ..runtime.processes import unwrapped
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
    """Hook that logs the firing rates of one training iteration in ``interval``.

    The hook adds ``firing_rate`` (of all neurons) to the log, and thus to every backend of
    MMEngine's visualizer (TensorBoard, ...), as level 2 does with its terms. It sends the rate of
    each layer, ``firing_rate/<layer>``, only to the visualizer. The rates are those of the training
    batch on the first process.

    Args:
        interval: iterations between two readings; no PyTorch hook is registered during the others.
        low, high: bounds of a layer's firing rate. The hook warns once of a layer below ``low`` or
            above ``high``, and again only after the layer has recovered.
        begin: first iteration with warnings. Blocks start as the identity, with silent last
            neurons (``zero_init_residual``).

    Raises:
        UserError: an argument has the wrong type, ``interval`` is below 1, or the bounds are
            not ``0 <= low < high <= 1``.

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
        #: "<layer> died" and "<layer> saturated", until the layer recovers.
        self._warned: set[str] = set()

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Starts counting spikes in one iteration of ``interval``."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        model = unwrapped(runner.model)
        self._counter = SpikeCounter(model)
        self._counter.start()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Logs the firing rates and warns, if the spikes of this iteration were counted."""
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
        """Removes the PyTorch hooks."""
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
