"""Matching of a checkpoint's keys with a model's, by names and shapes only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from torch import Tensor

from ..runtime.errors import UserError

BACKBONE = "backbone."
_FC = ("fc.weight", "fc.bias")
_CONTAINERS = [
    (re.compile(r"^(layer\d+\.\d+)\.conv(\d)\.(?:module\.)?0\."), r"\1.conv\2."),
    (re.compile(r"^(layer\d+\.\d+)\.conv(\d)\.(?:module\.)?1\."), r"\1.bn\2."),
    (re.compile(r"^(layer\d+\.\d+)\.downsample\.0\.(?:module\.)?([01])\."), r"\1.downsample.\2."),
    (re.compile(r"^(layer\d+\.\d+)\.downsample\.module\.([01])\."), r"\1.downsample.\2."),
]
#: mmpretrain's deep stem holds three ConvModules, mmdet's nine modules in a row.
_STEM = re.compile(r"^stem\.(\d)\.(conv|bn)\.")
_SHORTCUT = re.compile(r"^(layer\d+\.\d+\.downsample\.)(\d)\.")
_BLOCKS: dict[tuple[bool, tuple[int, ...]], int] = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}


def backbone_prefixes(keys: Iterable[str]) -> set[str]:
    """Returns the prefixes of backbones: ``'backbone.'``, ``'detector.backbone.'`` ..."""
    return {k[: k.index(BACKBONE) + len(BACKBONE)] for k in keys if _has_backbone(k)}


def outermost(prefixes: Collection[str]) -> str | None:
    """Returns the one of ``prefixes`` whose model contains all others, or None if none does."""
    first = min(sorted(prefixes), key=len, default=None)
    if first is None:
        return None
    outer = first.removesuffix(BACKBONE)
    return first if all(p.startswith(outer) for p in prefixes) else None


def backbone_prefix(keys: Iterable[str]) -> str | None:
    """Returns the outermost prefix, ``'backbone.'``, ``'detector.backbone.'`` ..., or None.

    Raises:
        UserError: the keys belong to several models side by side.
    """
    prefixes = backbone_prefixes(keys)
    if not prefixes:
        return None
    prefix = outermost(prefixes)
    if prefix is None:
        names = sorted(p.removesuffix(f".{BACKBONE}") for p in prefixes)
        raise UserError(
            f"the model contains several models ({', '.join(names)}): pass one of them, such as "
            f"model.{names[0]} instead of model, or only its config"
        )
    return prefix


def prefixes(source: Collection[str], target: Collection[str]) -> tuple[str | None, str | None]:
    """Returns the :func:`backbone_prefix` of a checkpoint's keys and of a model's keys.

    A backbone may itself contain a ``backbone.`` (``BiSeNetV1``, ``ICNet``). If both have a prefix,
    the pair under which most keys match decides whether one of them is only a backbone. Its prefix
    is then None.
    """
    found = backbone_prefix(source), backbone_prefix(target)
    if None in found:
        return found
    known = set(target)

    def common(pair: tuple[str | None, str | None]) -> int:
        old, new = (p or "" for p in pair)
        return sum(new + k.removeprefix(old) in known for k in source if k.startswith(old))

    return max(found, (None, found[1]), (found[0], None), key=common)


def _has_backbone(key: str) -> bool:
    return key.startswith(BACKBONE) or f".{BACKBONE}" in key


def choose_part(source: Iterable[str], target: Iterable[str]) -> str:
    """Returns ``'all'`` if source and target share a neck or head, else ``'backbone'``.

    A checkpoint of a complete classifier shares only the backbone with a detector. Without a
    backbone prefix in either, the result is ``'all'`` too.
    """
    source, target = list(source), list(target)
    in_source, in_target = prefixes(source, target)
    if in_source is None and _bare_classifier(source, target, in_target):
        return "all"
    if in_target is None:
        # The target is a backbone itself, or a model of another structure, then loaded as a whole.
        return "backbone" if in_source is not None else "all"
    if in_source is None:
        return "backbone"
    return "all" if _members(source, in_source) & _members(target, in_target) else "backbone"


def _members(keys: list[str], prefix: str) -> set[str]:
    outer = prefix.removesuffix(BACKBONE)
    rest = (k.removeprefix(outer) for k in keys if k.startswith(outer) and not k.startswith(prefix))
    return {k.split(".")[0] for k in rest} - {"data_preprocessor"}


def match_keys(source: Iterable[str], target: Iterable[str], part: str) -> dict[str, str | None]:
    """Maps every source key to its name in the model, or to None outside of ``part``.

    The model may lack a key of that name.

    Args:
        source: the checkpoint's keys.
        target: the model's keys.
        part: ``'all'``, ``'backbone'`` or ``'head'``.
    """
    source, target = list(source), list(target)
    in_source, in_target = prefixes(source, target)
    if part == "head":
        whole = match_keys(source, target, "all")
        inside = in_target or ""
        return {k: None if (v or "").startswith(inside) else v for k, v in whole.items()}
    if part == "backbone" or in_source is None:
        old, new = in_source or "", in_target or ""
    else:
        old, new = in_source.removesuffix(BACKBONE), (in_target or "").removesuffix(BACKBONE)
    inner = [k.removeprefix(old) for k in source if k.startswith(old)]
    known = {k.removeprefix(new) for k in target if k.startswith(new)}
    names: dict[str, str | None] = dict.fromkeys(source)
    for lead in (BACKBONE, ""):  # the names of a backbone, then all others
        bare = [k.removeprefix(lead) for k in inner if k.startswith(lead)]
        inner = [k for k in inner if not k.startswith(lead)]
        renamed = _names(bare, {k.removeprefix(lead) for k in known if k.startswith(lead)})
        names.update({old + lead + k: new + lead + name for k, name in renamed.items()})
    if part == "all" and in_source is None and _bare_classifier(source, target, in_target):
        outer = (in_target or "").removesuffix(BACKBONE)
        names.update({k: f"{outer}head.{k}" for k in _FC})
    return names


def _names(source: Sequence[str], known: Collection[str]) -> dict[str, str]:
    """Maps each of ``source`` to its name in a model that has the parameters ``known``."""
    # Shortcuts that begin with a pooling layer only in the model (V1d's first, in mmpretrain).
    places = {m[1] for m in map(_SHORTCUT.match, source) if m and m[2] == "0"}
    pooled = {p for p in places if f"{p}0.weight" not in known and f"{p}2.weight" in known}
    names = {}
    for key in source:
        shortcut = _SHORTCUT.match(key)
        if shortcut and shortcut[1] in pooled:
            names[key] = f"{shortcut[1]}{int(shortcut[2]) + 1}.{key[shortcut.end() :]}"
        else:
            names[key] = key if key in known else plain_name(key)
    return names


def _bare_classifier(source: list[str], target: list[str], in_target: str | None) -> bool:
    """Returns whether a classifier that ends in ``fc`` meets one that ends in ``head.fc``.

    Torchvision's and SpikingJelly's classifiers end in ``fc``, mmpretrain's in ``head.fc``.
    """
    outer = (in_target or "").removesuffix(BACKBONE)
    return set(_FC) <= set(source) and {f"{outer}head.{k}" for k in _FC} <= set(target)


def plain_name(key: str) -> str:
    """Returns torchvision's and mmdet's name of a parameter that others keep in containers.

    The others are the official SEW-ResNet release and mmpretrain's deep stem.

    ``layer1.0.conv1.0.weight`` or ``layer1.0.conv1.module.0.weight`` -> ``layer1.0.conv1.weight``,
    ``layer1.0.conv1.1.bias`` -> ``layer1.0.bn1.bias``, ``layer2.0.downsample.0.1.weight`` ->
    ``layer2.0.downsample.1.weight``, ``stem.1.bn.weight`` -> ``stem.4.weight``. Other names are
    returned unchanged.
    """
    stem = _STEM.match(key)
    if stem:
        return f"stem.{3 * int(stem[1]) + (stem[2] == 'bn')}.{key[stem.end() :]}"
    for pattern, name in _CONTAINERS:
        key, count = pattern.subn(name, key)
        if count:
            break
    return key


def matches(key: str, patterns: Sequence[str]) -> bool:
    """Returns whether one of the glob ``patterns`` fits the full key (``*`` also crosses dots)."""
    return any(fnmatchcase(key, p) for p in patterns)


def describe_resnet(weights: Mapping[str, Tensor]) -> str | None:
    """Describes a ResNet: ``'ResNet-50'``, ``'ResNet-101 with a deep stem'``, ...

    Args:
        weights: weights of a backbone or of a complete model.

    Returns:
        The description, or None if the weights do not look like a ResNet's.
    """
    prefix = backbone_prefix(weights) or ""
    names = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    blocks = tuple(
        len({k.split(".")[1] for k in names if k.startswith(f"layer{i}.")}) for i in (1, 2, 3, 4)
    )
    first = names.get("layer1.0.conv2.weight")
    if first is None or first.dim() != 4:
        return None
    bottleneck = "layer1.0.conv3.weight" in names
    depth = _BLOCKS.get((bottleneck, blocks))
    kind = "ResNet" if first.shape[0] == first.shape[1] else "ResNeXt"
    stem = " with a deep stem" if any(k.startswith("stem.") for k in names) else ""
    if depth is None:
        return f"{kind} of {blocks} blocks{stem}"
    groups = first.shape[0] // max(first.shape[1], 1)
    width = "" if kind == "ResNet" else f" {groups}x{first.shape[1]}d"
    return f"{kind}-{depth}{width}{stem}"
