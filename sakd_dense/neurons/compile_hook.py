"""MMEngine hook that decides once in a run whether its neurons run compiled."""

from typing import Any

from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from torch import nn

from .forward_state import forward_states

#: Elements of 5 ns whose saving equals the time of compiling: 20 s.
COST = 4e9
#: Key of the decision in MMEngine's message hub, which checkpoints contain.
KEY = "neurons_compiled"


def compile_neurons(model: nn.Module, compiled: bool = True) -> None:
    """Makes the neurons of ``model`` with ``backend='auto'`` run compiled, or not.

    Args:
        model: a model with a spiking backbone.
        compiled: whether they run compiled. Default: True.

    Example:
        >>> from sakd_dense import SEWResNet
        >>> from sakd_dense.neurons import compile_neurons
        >>> backbone = SEWResNet(18, base_channels=8, stem_channels=8)
        >>> compile_neurons(backbone)  # from the next forward on
    """
    for state in forward_states(model):
        state.compiled = compiled


@HOOKS.register_module()
class CompileNeuronsHook(Hook):
    """Hook that compiles the neurons of a run if that takes less time than it saves.

    Compiling takes some 20 s. A compiled pass saves 5 ns per element on a CPU
    (:func:`.compiling.saving`). The hook measures the first iteration, multiplies by the number of
    iterations of the run, and logs its decision, which applies from the second iteration on. A
    compiled pass gives the same spikes and differs only in the last digits of the gradients.
    Checkpoints contain the decision, so that a resumed run continues in the same way.

    ``tools/train.py`` and ``tools/test.py`` add the hook as ``default_hooks.compile_neurons``. Set
    that to None, or ``backend`` in the config of the neurons, to choose yourself.

    Example:
        In a config: ``default_hooks=dict(compile_neurons=dict(type='CompileNeuronsHook'))``.
    """

    priority = "LOW"

    def __init__(self) -> None:
        self._trains = self._decided = False

    def before_train(self, runner: Any) -> None:
        self._trains = True
        decision = runner.message_hub.get_info(KEY)
        if decision is not None:
            self._apply(runner, bool(decision), "as in the run that it continues")

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if not self._decided:
            runner.message_hub.update_info(KEY, self._decide(runner, runner.max_iters))

    def after_val_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if not self._decided and not self._trains:
            self._decide(runner, len(runner.val_dataloader))

    def after_test_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if not self._decided:
            self._decide(runner, len(runner.test_dataloader))

    def _decide(self, runner: Any, iterations: int) -> bool:
        elements = sum(state.saving for state in forward_states(runner.model))
        decision = [elements * iterations > COST]
        broadcast_object_list(decision)  # their batches differ
        saved = f"{iterations} iterations save about {5e-9 * elements * iterations:.0f} s"
        self._apply(runner, decision[0], f"{saved}, and compiling takes {5e-9 * COST:.0f} s")
        return decision[0]

    def _apply(self, runner: Any, compiled: bool, reason: str) -> None:
        self._decided = True
        compile_neurons(runner.model, compiled)
        how = "compiled" if compiled else "uncompiled"
        print_log(f"Neurons run {how}: {reason}", runner.logger)


__all__ = ["COST", "CompileNeuronsHook", "compile_neurons"]
