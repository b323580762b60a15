r"""Predictions of a model at several T, from one pass of its spiking backbone.

Direct encoding shows the same image at every step, and in eval mode BatchNorm uses its running
statistics: what a neuron does at t depends on nothing after t. The features at T=2 are therefore
a prefix of those at T=8, and ::

    images -> data_preprocessor -> backbone at T = 8 -> rates at 8 -> neck, head -> predictions
                                        \-> first 4 steps: rates at 4 -> neck, head -> predictions
                                        \-> first 2 steps: rates at 2 -> neck, head -> predictions

Neck, head and post-processing are the model's own, run by its own ``test_step`` once a T; in all
runs but the first the data_preprocessor and the backbone only play back what was recorded.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, TypeVar

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..backbones import SpikingBackbone
from ..backbones.time_steps import check_time_steps, find_spiking_backbone
from ..runtime.errors import UserError
from ..runtime.patching import replaced_forward
from .tape import Tape, fresh_samples

Output = TypeVar("Output")


class PrefixReader:
    """Reads a model at several T from one backbone pass.

    ::

        reader = PrefixReader(model.eval(), (1, 2, 4, 8))
        predictions = reader.read(lambda: model.test_step(batch))   # {1: [...], 2: [...], ...}

    Outside of :meth:`read` the model is untouched; :meth:`read` restores it whatever happens.

    Args:
        model: with exactly one :class:`~sakd_dense.backbones.SpikingBackbone` in it. It may be
            wrapped (DistributedDataParallel, test-time augmentation).
        time_steps: the T to read, in any order.

    Raises:
        UserError: for bad ``time_steps``, for a model with no or several spiking backbones, and
            for one whose neurons look ahead in time (PSN).

    Example:
        >>> import torch
        >>> from sakd_dense import SEWResNet
        >>> from sakd_dense.timesteps import PrefixReader
        >>> backbone = SEWResNet(18, base_channels=8, stem_channels=8, time_steps=4).eval()
        >>> reader = PrefixReader(backbone, (1, 4))
        >>> list(reader.read(lambda: backbone(torch.rand(1, 3, 64, 64))))
        [1, 4]
    """

    def __init__(self, model: nn.Module, time_steps: Iterable[int]) -> None:
        self.time_steps = check_time_steps(time_steps)
        self.model = model
        self.backbone: SpikingBackbone = find_spiking_backbone(model)
        if not self.backbone.causal:
            raise UserError(
                f"{type(self.backbone).__name__} has neurons whose output at t depends on later "
                "steps (PSN): its features at a smaller T are not a prefix of those at a larger "
                "one. Test the model at the T that it was built for, without time_steps"
            )
        self._preprocessors = _preprocessors(model)

    @torch.no_grad()
    def read(self, step: Callable[[], Output]) -> dict[int, Output]:
        """``step()`` at every T.

        Args:
            step: runs the model on a batch, such as ``lambda: model.test_step(batch)``. It is
                called once a T, at the largest first. Preprocessed data samples are copied for
                each call, so predictions that a model writes into them do not overwrite another's.

        Returns:
            The outputs by T, in the order of ``time_steps``; equal to those of separate calls at
            each T.

        Raises:
            UserError: if the model, or a BatchNorm of it, is in train mode, and if the input has
                a time axis of its own that is not as long as the largest T.
            RuntimeError: if a call at another T uses the backbone in another way.
        """
        self._check_mode()
        longest = max(self.time_steps)
        features = {t: Tape("backbone") for t in self.time_steps if t != longest}
        inputs = {n: Tape(n) for n in self._preprocessors}
        before = self.backbone.time_steps
        try:
            outputs = {longest: self._record(step, longest, features, inputs)}
            for t, tape in features.items():
                outputs[t] = self._replay(step, t, tape, inputs)
        finally:
            self.backbone.time_steps = before
        return {t: outputs[t] for t in self.time_steps}

    def _record(
        self,
        step: Callable[[], Output],
        longest: int,
        features: dict[int, Tape],
        inputs: dict[str, Tape],
    ) -> Output:
        backbone, readout = self.backbone, self.backbone.readout
        run = backbone.forward
        prefixes: dict[int, Any] = {}

        def keep(_module: nn.Module, args: tuple[tuple[Tensor, ...]], _output: Any) -> None:
            (sequences,) = args
            steps = sequences[0].shape[0]
            if steps != longest:
                raise UserError(
                    f"the input has {steps} time steps, but the largest of time_steps is "
                    f"{longest}; set it to {steps}"
                )
            # The readout itself reads each prefix, so the rates are those of a separate pass to
            # the last bit. It reads some feature maps once more; the pass made hundreds.
            for t in features:
                read = readout.forward(tuple(s[:t] for s in sequences))
                prefixes[t] = backbone.handed_on(read)

        def record(*args: Any, **kwargs: Any) -> Any:
            output = run(*args, **kwargs)
            for t, tape in features.items():
                tape.append((args, kwargs), prefixes.pop(t))
            return output

        with ExitStack() as stack:
            handle = readout.register_forward_hook(keep)
            stack.callback(handle.remove)
            stack.enter_context(replaced_forward(backbone, record))
            for name, module in self._preprocessors.items():
                forward = _recording(module.forward, inputs[name])
                stack.enter_context(replaced_forward(module, forward))
            backbone.time_steps = longest
            return step()

    def _replay(
        self, step: Callable[[], Output], t: int, tape: Tape, inputs: dict[str, Tape]
    ) -> Output:
        with ExitStack() as stack:
            stack.enter_context(replaced_forward(self.backbone, _playing(tape)))
            for name, module in self._preprocessors.items():
                inputs[name].rewind()
                forward = _playing_samples(inputs[name])
                stack.enter_context(replaced_forward(module, forward))
            self.backbone.time_steps = t
            output = step()
        tape.check_end()
        return output

    def _check_mode(self) -> None:
        if self.model.training:
            raise UserError(
                f"{type(self.model).__name__} is in train mode; call model.eval() first"
            )
        for name, module in self.model.named_modules():
            if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
                raise UserError(
                    f"{name} computes its statistics from the batch (in train mode, or without "
                    "running statistics), so a time step depends on later ones; call model.eval()"
                )


def _preprocessors(model: nn.Module) -> dict[str, BaseDataPreprocessor]:
    """The data preprocessors of ``model`` that are not part of another."""
    preprocessors: dict[str, BaseDataPreprocessor] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in preprocessors)
        if isinstance(module, BaseDataPreprocessor) and not inside:
            preprocessors[name] = module
    return preprocessors


def _recording(run: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        output = run(*args, **kwargs)
        # The tape keeps a copy no pass writes into.
        tape.append(None, fresh_samples(output))
        return output

    return forward


def _playing(tape: Tape) -> Callable[..., Any]:
    return lambda *args, **kwargs: tape.play((args, kwargs))


def _playing_samples(tape: Tape) -> Callable[..., Any]:
    return lambda *args, **kwargs: fresh_samples(tape.play(None))
