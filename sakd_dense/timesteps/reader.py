r"""Predictions of a model at several T, from one pass of its spiking backbone.

Direct encoding presents the same image at every time step, and in eval mode BatchNorm uses its
running statistics, so the output of a neuron at t does not depend on later steps. The features at
T=2 are therefore a prefix of those at T=8::

    images -> data_preprocessor -> backbone at T = 8 -> rates at 8 -> neck, head -> predictions
                                        \-> first 4 steps: rates at 4 -> neck, head -> predictions
                                        \-> first 2 steps: rates at 2 -> neck, head -> predictions

The model's own ``test_step`` runs the neck, the head and the post-processing once for each T. In
all runs except the first, the data_preprocessor and the backbone only replay recorded outputs.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, TypeVar

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from ..backbones import SpikingBackbone
from ..backbones.time_steps import check_time_steps, find_spiking_backbone
from ..neurons.batchnorm import BatchNorm
from ..runtime.errors import UserError
from ..runtime.patching import replaced_forward, temporarily
from .tape import Tape, fresh_samples

Output = TypeVar("Output")


class PrefixReader:
    """Reader of a model's outputs at several T from one backbone pass.

    ::

        reader = PrefixReader(model.eval(), (1, 2, 4, 8))
        predictions = reader.read(lambda: model.test_step(batch))   # {1: [...], 2: [...], ...}

    The model is changed only during :meth:`read`, which always restores it, even after an error.

    Args:
        model: a model with exactly one :class:`~sakd_dense.backbones.SpikingBackbone`. It may be
            wrapped (DistributedDataParallel, test-time augmentation).
        time_steps: the numbers of time steps T to read, in any order.

    Raises:
        UserError: ``time_steps`` is not valid, the model has no or several spiking backbones, or
            the output of its neurons depends on later time steps (PSN).

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
        """Returns the output of ``step()`` at every T.

        Args:
            step: a function that runs the model on a batch, such as
                ``lambda: model.test_step(batch)``. It is called once for each T, first at the
                largest. Each call gets its own copy of the preprocessed data samples, so
                predictions that a model writes into them do not overwrite those at another T.

        Returns:
            The outputs by T, in the order of ``time_steps``. They equal those of separate calls at
            each T.

        Raises:
            UserError: the model is in train mode, a BatchNorm is in train mode or has no running
                statistics, or the input has a time axis whose length is not the largest T.
            RuntimeError: a call at another T uses the backbone in another way.
        """
        self._check_mode()
        longest = max(self.time_steps)
        features = {t: Tape("backbone") for t in self.time_steps if t != longest}
        inputs = {n: Tape(n) for n in self._preprocessors}
        with temporarily([self.backbone], time_steps=longest):
            outputs = {longest: self._record(step, longest, features, inputs)}
            for t, tape in features.items():
                outputs[t] = self._replay(step, t, tape, inputs)
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
            # The readout itself reads each prefix, so the rates are bit-identical to those of a
            # separate pass. The cost is small: a few feature maps are read once more.
            for t in features:
                read = readout.forward(tuple(s[:t] for s in sequences))
                prefixes[t] = backbone.format_features(read)

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
            if isinstance(module, BatchNorm) and (module.training or module.running_mean is None):
                raise UserError(
                    f"{name} computes its statistics from the batch (in train mode, or without "
                    "running statistics), so a time step depends on later ones; call model.eval()"
                )


def _preprocessors(model: nn.Module) -> dict[str, BaseDataPreprocessor]:
    """Returns the data preprocessors of ``model`` that are not part of another, by module name."""
    preprocessors: dict[str, BaseDataPreprocessor] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in preprocessors)
        if isinstance(module, BaseDataPreprocessor) and not inside:
            preprocessors[name] = module
    return preprocessors


def _recording(run: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        output = run(*args, **kwargs)
        # The tape keeps its own copy, since the model may write into the output.
        tape.append(None, fresh_samples(output))
        return output

    return forward


def _playing(tape: Tape) -> Callable[..., Any]:
    return lambda *args, **kwargs: tape.play((args, kwargs))


def _playing_samples(tape: Tape) -> Callable[..., Any]:
    return lambda *args, **kwargs: fresh_samples(tape.play(None))
