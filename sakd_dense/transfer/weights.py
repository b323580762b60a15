"""Choice among the sets of weights in a checkpoint that holds several.

A file may hold an average (EMA) and the raw weights that the optimizer updated. Their keys depend
on the writer of the file:

======================  ==============================  ==============================
writer                  average                         raw weights
======================  ==============================  ==============================
timm, torchvision       ``state_dict_ema, model_ema``   ``state_dict, model``
MMEngine's EMAHook      ``state_dict``                  ``ema_state_dict`` (swapped when saved)
MMDetection 2.x         ``ema_*`` in ``state_dict``     the other keys of ``state_dict``
======================  ==============================  ==============================

If the two have separate keys, the average is loaded unless the raw weights are requested, because
the author evaluated the average. Files of MMDetection 2.x do not show which set is which (a hook
with a priority above the checkpoint hook's, as in YOLOX's configs, swaps them), so the user must
choose.

If one checkpoint holds several models, the one that its author tests is loaded: ``architecture``
of mmrazor's distillers, ``teacher`` (the average) of mmdet's semi-supervised wrappers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ..runtime.errors import UserError
from .keys import backbone_prefixes, outermost

AVERAGES = ("state_dict_ema", "model_ema")
#: Other keys of weights in a checkpoint, best first.
CONTAINERS = ("state_dict", "model", "net", "module")
#: Prefixes that a wrapper puts before every key (DDP and averaged models, ``torch.compile``).
WRAPPERS = ("module.", "_orig_mod.")
#: Counters of averaged models, which are not weights.
COUNTERS = ("steps", "n_averaged")
KINDS = ("auto", "ema", "raw")
_BOTH = "the checkpoint holds an average (EMA) and raw weights; taken: the {} (weights={!r})"


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint file, accepted by this package's functions instead of its path.

    Attributes:
        name: name of the file, as the user gave it.
        state: the weights by name.
        meta: the file's metadata; empty if it has none.
        others: keys of the file that were not chosen -> reason.
        note: the set of weights that was chosen, if there were several; else empty.

    Example:
        >>> from torch import nn
        >>> from sakd_dense.transfer import Checkpoint
        >>> source = Checkpoint("in memory", nn.Conv2d(3, 8, 3).state_dict())
        >>> str(source), list(source.state)
        ('in memory', ['weight', 'bias'])
    """

    name: str
    state: dict[str, Tensor]
    meta: dict[str, Any] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def __str__(self) -> str:
        return self.name


def open_checkpoint(content: Any, name: str, weights: str = "auto") -> Checkpoint:
    """Returns the weights in the content of a checkpoint file.

    Args:
        content: result of ``torch.load``.
        name: name of the file, as the user gave it.
        weights: ``'ema'``, ``'raw'``, ``'auto'`` (default), or the name of a model in the
            checkpoint.

    Raises:
        UserError: the content has no weights, or none of that kind.
    """
    if not isinstance(content, Mapping):
        raise UserError(
            f"checkpoint {name} holds a {type(content).__name__}, not a dict of weights: save "
            "a model's state_dict()"
        )
    meta = content.get("meta")
    meta = dict(meta) if isinstance(meta, Mapping) else {}
    average = _first(content, AVERAGES)
    plain = _first(content, CONTAINERS)
    swapped = _tensors(content.get("ema_state_dict"))
    kind = weights if weights in KINDS else "auto"
    others: dict[str, str] = {}
    if average is not None or (plain is not None and swapped):
        ema, raw = (plain, swapped) if average is None else (average, plain)
        kind = "ema" if kind == "auto" else kind
        state = _unwrapped(_tensors(ema if kind == "ema" else raw))
        note = _BOTH.format("average" if kind == "ema" else "raw ones", kind)
    else:
        state = _unwrapped(_tensors(content if plain is None else plain))
        state, others, note = _of_mmdet2(state, kind, name)
    if not state:
        held = ", ".join(map(str, list(content)[:8])) or "nothing"
        raise UserError(
            f"checkpoint {name} holds no weights under {', '.join(AVERAGES + CONTAINERS)} or at "
            f"the top level; its keys: {held}."
        )
    checkpoint = Checkpoint(name, state, meta, others, note)
    return checkpoint if weights in KINDS else _model(checkpoint, weights)


def averaged_keys(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Finds averages under MMDetection 2.x's names, such as ``ema_backbone_conv1_weight``.

    Returns:
        The keys of raw weights, each with the key of its average.
    """
    named = {key: "ema_" + key.replace(".", "_") for key in state}
    return {key: average for key, average in named.items() if average in state}


def select_tested_model(checkpoint: Checkpoint) -> Checkpoint:
    """Returns ``checkpoint`` or, if it holds several models, the one that its author tests.

    Raises:
        UserError: there are several models, and nothing in the file identifies that one.
    """
    prefixes = backbone_prefixes(checkpoint.state)
    if outermost(prefixes) is not None or not prefixes:
        return checkpoint
    names = sorted(p.removesuffix(".backbone.") for p in prefixes)
    outer = {name.split(".")[0] for name in names}
    if "architecture" in outer and len(outer) > 1:
        return _model(checkpoint, "architecture")
    if outer == {"student", "teacher"}:
        return _model(checkpoint, "teacher")
    raise UserError(
        f"checkpoint {checkpoint.name} holds several models ({', '.join(names)}): choose one, such "
        f"as weights={names[0]!r}"
    )


def _model(checkpoint: Checkpoint, name: str) -> Checkpoint:
    prefix = f"{name}."
    state = {k.removeprefix(prefix): v for k, v in checkpoint.state.items() if k.startswith(prefix)}
    if not state:
        raise UserError(
            f"checkpoint {checkpoint.name}, weights={name!r}: no key starts with {prefix!r}; use "
            f"one of {', '.join(KINDS)} or of {', '.join(_heads(checkpoint.state))}"
        )
    rest = [k for k in checkpoint.state if not k.startswith(prefix)]
    note = f"the checkpoint also holds {', '.join(_heads(rest))}; taken: {name}"
    return replace(
        checkpoint,
        state=state,
        others={**checkpoint.others, **dict.fromkeys(rest, f"not of {name}, which is taken")},
        note="; ".join(filter(None, [checkpoint.note, note])),
    )


def _heads(keys: Any) -> list[str]:
    return list(dict.fromkeys(k.split(".")[0] for k in keys))[:6]


def _of_mmdet2(
    state: dict[str, Tensor], kind: str, name: str
) -> tuple[dict[str, Tensor], dict[str, str], str]:
    averages = averaged_keys(state)
    if kind == "ema" and not averages:
        raise UserError(
            f"checkpoint {name}, weights='ema': the file holds one set of weights and no average; "
            "leave weights out"
        )
    if kind == "auto" or not averages:
        return state, {}, ""
    lost = averages.keys() if kind == "ema" else averages.values()
    plain = {k: v for k, v in state.items() if k not in averages.values()}
    if kind == "ema":
        plain |= {key: state[average] for key, average in averages.items()}
    why = "of the raw weights" if kind == "ema" else "of the average"
    note = _BOTH.format("average, ema_*" if kind == "ema" else "raw ones", kind)
    return plain, dict.fromkeys(lost, why), note


def _first(content: Mapping[Any, Any], keys: tuple[str, ...]) -> Any:
    return next((content[k] for k in keys if isinstance(content.get(k), Mapping)), None)


def _tensors(weights: Any) -> dict[str, Tensor]:
    items = weights.items() if isinstance(weights, Mapping) else ()
    return {str(k): v for k, v in items if isinstance(v, Tensor)}


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Strips wrappers' prefixes that all keys have, such as ``module.backbone.conv1.weight``'s."""
    while True:
        named = {k: v for k, v in tensors.items() if k not in COUNTERS}
        wrapper = next((w for w in WRAPPERS if named and all(k.startswith(w) for k in named)), None)
        if wrapper is None:
            return tensors
        tensors = {k.removeprefix(wrapper): v for k, v in named.items()}


__all__ = ["Checkpoint", "averaged_keys", "select_tested_model", "open_checkpoint"]
