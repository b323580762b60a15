"""SpikingJelly's neurons and surrogate gradients, built from a config dict."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from spikingjelly.activation_based import neuron as sj_neuron
from spikingjelly.activation_based import surrogate as sj_surrogate
from spikingjelly.activation_based.base import StepModule
from torch import nn

from ..runtime.errors import UserError
from . import counts
from .counts import spike_count

#: Chosen by measurements on BCCD, CamVid and CIFAR-10 (benchmarks/notebook). SAKD's authors use a
#: hard reset, and start at rest.
DEFAULT_NEURON: dict[str, Any] = dict(
    type="LIFNode",
    tau=2.0,
    decay_input=False,
    v_init=0.5,
    v_threshold=1.0,
    v_reset=None,
    detach_reset=True,
    surrogate_function=dict(type="ATan", alpha=2.0),
)


#: Neurons that accept ``v_init``.
_START_ANYWHERE = (sj_neuron.IFNode, sj_neuron.LIFNode)


def _class_of(modules: Sequence[Any], name: Any, what: str, base: type) -> type:
    known = {
        n: c
        for module in reversed(modules)
        for n, c in vars(module).items()
        if inspect.isclass(c) and issubclass(c, base) and not n.startswith("_")
    }
    if isinstance(name, str) and name in known:
        return known[name]
    places = " or ".join(module.__name__ for module in modules)
    raise UserError(f"{what} type {name!r} is not in {places}; known: {', '.join(sorted(known))}")


def build_surrogate(cfg: Mapping[str, Any] | str) -> nn.Module:
    """Builds a SpikingJelly surrogate gradient from ``'ATan'`` or ``dict(type='ATan', alpha=2.0)``.

    Example:
        >>> from sakd_dense.neurons import build_surrogate
        >>> build_surrogate(dict(type="ATan", alpha=3.0)).alpha
        3.0
    """
    args = dict(type=cfg) if isinstance(cfg, str) else dict(cfg)
    cls = _class_of(
        (sj_surrogate,),
        args.pop("type", None),
        "surrogate_function",
        sj_surrogate.SurrogateFunctionBase,
    )
    try:
        return cls(**args)
    except Exception as error:  # SpikingJelly asserts, or fails in its arithmetic
        raise UserError(f"surrogate_function={cfg!r}: {error or type(error).__name__}") from error


def build_node(
    cfg: Mapping[str, Any] | str, time_steps: int, channels: int | None = None
) -> nn.Module:
    """Builds a multi-step SpikingJelly neuron.

    Args:
        cfg: ``'LIFNode'`` or ``dict(type='LIFNode', tau=2.0, surrogate_function='ATan', ...)``.
            The type is any class of ``spikingjelly.activation_based.neuron`` that supports step
            mode ``'m'``, or of :mod:`sakd_dense.neurons.counts`. ``surrogate_function`` may be a
            name or a dict; ``D=4`` is short for the one that counts up to 4 spikes. ``v_init=0.5``
            starts an IF or LIF neuron at half of its threshold instead of at rest. Arguments that
            are left out keep the defaults of the class.
        time_steps: number of time steps T. Only neurons whose weights depend on T use it (``PSN``).
        channels: number of input channels. Only neurons with a value for each channel use it
            (``NILIFNode``).

    Raises:
        UserError: the type is unknown or has no multi-step mode, or the neuron does not accept an
            argument.

    Example:
        >>> from sakd_dense.neurons import build_node
        >>> cfg = dict(type="LIFNode", tau=2.0, surrogate_function="ATan")
        >>> node = build_node(cfg, time_steps=4)
        >>> type(node).__name__, node.step_mode
        ('LIFNode', 'm')
    """
    args: dict[str, Any] = dict(type=cfg) if isinstance(cfg, str) else dict(cfg)
    cls: Any = _class_of((counts, sj_neuron), args.pop("type", None), "neuron", nn.Module)
    surrogate = args.get("surrogate_function")
    if isinstance(surrogate, str | Mapping):
        args["surrogate_function"] = build_surrogate(surrogate)
    elif surrogate is not None and not callable(surrogate):
        raise UserError(
            f"surrogate_function={surrogate!r}: must be a name such as 'ATan', or a dict"
        )
    v_init = args.pop("v_init", None)
    accepted = inspect.signature(cls.__init__).parameters
    if v_init is not None and cls not in _START_ANYWHERE:
        raise UserError(
            f"neuron={cfg!r}: v_init applies to IFNode and LIFNode, not to {cls.__name__}; leave "
            "it out"
        )
    if v_init is not None and (isinstance(v_init, bool) or not isinstance(v_init, int | float)):
        raise UserError(f"neuron={cfg!r}: v_init must be a number, as a share of the threshold")
    if "channels" in accepted:
        args.setdefault("channels", channels)
    if "D" in args and "D" not in accepted and "surrogate_function" in accepted:
        args["surrogate_function"] = spike_count(args.pop("D"))
    if "T" in accepted:
        args.setdefault("T", time_steps)
    if "step_mode" in accepted:
        args["step_mode"] = "m"
    try:
        node = cls(**args)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"neuron={cfg!r}: {cls.__name__} does not accept these values ({type(error).__name__}: "
            f"{error})"
        ) from error
    if not (isinstance(node, StepModule) and "m" in node.supported_step_mode()):
        raise UserError(
            f"neuron type {cls.__name__!r} has no multi-step mode; use IFNode, LIFNode ..."
        )
    node.step_mode = "m"
    if v_init is not None:
        node.v_init = float(v_init)
    return node


__all__ = ["DEFAULT_NEURON", "build_node", "build_surrogate"]
