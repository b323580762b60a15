"""Publication of a trained student as a slim file: only its weights, with a record of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from ..config.teacher import sakd_hook
from ..config.types import SPIKING_ARGS, spiking_backbone_cfgs, type_name
from ..runtime.errors import UserError
from ..runtime.files import replacing
from ..transfer import read_checkpoint
from ..transfer.keys import backbone_prefix
from ..transfer.weights import select_tested_model
from ..version import __version__

FORMS = ("model", "torchvision")
SUFFIXES = (".pth", ".safetensors")


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 of names, types, shapes and values, the same for any file format.

    Example:
        >>> import torch
        >>> from sakd_dense.export import weights_hash
        >>> weights_hash({"w": torch.ones(2)}) == weights_hash({"w": torch.ones(2)})
        True
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def torchvision_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the backbone (and a classifier's head) under the names of torchvision's ResNet.

    SpikingJelly's models use the same names.

    Raises:
        UserError: there is no backbone, or the backbone has a deep stem, for which torchvision
            has no name.
    """
    prefix = backbone_prefix(state)
    if prefix is None:
        raise UserError(
            "form='torchvision': no key starts with 'backbone.'; the first keys are "
            f"{list(state)[:3]}"
        )
    named = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    if any(k.startswith("stem.") for k in named):
        raise UserError(
            "form='torchvision': the backbone has a deep stem (V1c, V1d), but torchvision's ResNet "
            "has one convolution there; use form='model'"
        )
    outer = prefix.removesuffix("backbone.")
    for key in ("fc.weight", "fc.bias"):
        if f"{outer}head.{key}" in state:
            named[key] = state[f"{outer}head.{key}"]
    return named


def record_of(
    cfg: Config | None, metrics: Mapping[str, Any] | None, meta: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns a JSON-compatible record that describes the weights to their user.

    Returns:
        ``sakd_dense`` (the version); ``classes``, if ``meta`` has them; ``backbone`` (``type``, a
        ResNet's ``depth`` and the spiking arguments), ``config`` and ``teacher``, from ``cfg``;
        ``metrics``, as given.
    """
    record: dict[str, Any] = {"sakd_dense": __version__}
    classes = (meta.get("dataset_meta") or {}).get("classes")
    if classes:
        record["classes"] = list(classes)
    if cfg is not None:
        backbone = spiking_backbone_cfgs(cfg.model)[0]
        record["backbone"] = {"type": type_name(backbone["type"])}
        record["backbone"].update(
            {k: backbone[k] for k in ("depth", *SPIKING_ARGS) if k in backbone}
        )
        record["config"] = cfg.pretty_text
        hook = sakd_hook(cfg)
        if hook:
            record["teacher"] = hook["teacher"]["checkpoint"]
    if metrics is not None:
        record["metrics"] = dict(metrics)
    return record


def publish(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: Config | None = None,
    metrics: Mapping[str, Any] | None = None,
    form: str = "model",
) -> Path:
    """Writes the slim file and, next to it, its record as JSON; returns the path of the file.

    Args:
        checkpoint: checkpoint of a SAKD run, or anything that :func:`read_checkpoint` reads.
        out: ``name.pth`` or ``name.safetensors``. The first 8 digits of the hash of the weights are
            added before the suffix.
        config: config of the student, for the record.
        metrics: metrics by T, for the record: ``SweepResult.labelled()``.
        form: ``'model'``: the complete model under its own names. ``'torchvision'``: the backbone
            (and a classifier's head) under torchvision's names, which SpikingJelly's models load as
            well. A ``.pth`` file of this form is a bare state dict, like torchvision's.

    Returns:
        The path of the file. Its record has the keys of :func:`record_of`, ``form`` and ``sha256``.

    Raises:
        MissingFileError, UserError: the checkpoint cannot be read or does not fit ``form``,
            ``form`` or the suffix is unknown, or the config has no spiking backbone.

    Example:
        >>> from sakd_dense import publish
        >>> file = publish("work_dirs/run/epoch_12.pth", "student.safetensors")  # doctest: +SKIP
    """
    out = Path(out)
    if out.suffix not in SUFFIXES:
        raise UserError(f"out={str(out)!r}: must end in {' or '.join(SUFFIXES)}")
    if form not in FORMS:
        raise UserError(f"form={form!r}: must be one of {FORMS}")
    if config is not None and not spiking_backbone_cfgs(config.get("model") or {}):
        raise UserError(
            f"config {config.filename} has no spiking backbone: pass the student's config"
        )
    source = read_checkpoint(checkpoint)
    if form == "torchvision":
        source = select_tested_model(source)
    meta = source.meta
    state = {k: v for k, v in source.state.items() if "data_preprocessor." not in k}
    if form == "torchvision":
        state = torchvision_names(state)
    state = {k: v.detach().cpu().contiguous() for k, v in state.items()}
    digest = weights_hash(state)
    record = {**record_of(config, metrics, meta), "form": form, "sha256": digest}
    # The round trip through JSON leaves only weights and plain values in the file.
    text = json.dumps(record, indent=2, default=str)
    target = out.with_name(f"{out.stem}-{digest[:8]}{out.suffix}")
    with replacing(target) as temporary:
        if out.suffix == ".safetensors":
            from safetensors.torch import save_file

            save_file(state, temporary, metadata={"sakd_dense": text})
        elif form == "torchvision":
            torch.save(state, temporary)
        else:
            kept = {k: meta[k] for k in ("dataset_meta",) if k in meta}
            torch.save({"state_dict": state, "meta": {**kept, **json.loads(text)}}, temporary)
    with replacing(target.with_suffix(".json")) as temporary:
        temporary.write_text(text + "\n")
    return target
