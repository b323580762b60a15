"""Preparation of a run: completion of its config and checks of its checkpoints."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.logging import print_log

from ..config.models import initial_checkpoints
from ..config.sakd import to_sakd
from ..config.scopes import config_file
from ..config.teacher import sakd_hook
from ..config.types import SYNCED_NORMS, dicts, spiking_backbone_cfgs, type_name
from ..guards.run import newest_whole_checkpoint, why_no_resume
from ..runtime.amp import with_amp
from ..runtime.errors import UserError
from ..runtime.files import folder_for_test
from ..runtime.processes import join_process_group
from ..transfer import verify_checkpoint
from ..transfer.fetch import local_file


def apply_sakd(cfg: Config, args: argparse.Namespace) -> Config:
    """Converts a config with :func:`~sakd_dense.config.sakd.to_sakd`.

    ``args`` holds the parsed arguments of :func:`add_sakd_arguments`.
    """
    return to_sakd(
        cfg,
        args.teacher_checkpoint,
        args.time_steps,
        transfer=not args.no_transfer,
        source=args.source,
        family=args.family,
        counts=args.counts,
    )


def apply_run_arguments(cfg: Config, args: argparse.Namespace, trains: bool = False) -> None:
    """Applies ``--work-dir`` and ``--launcher`` to ``cfg``, in place.

    Without ``--work-dir``, a command that only reads a run gets a folder beside the run's.

    Raises:
        UserError: the config sets ``compile`` for a spiking model.

    Example:
        >>> from argparse import Namespace
        >>> from mmengine.config import Config
        >>> from sakd_dense.commands import apply_run_arguments
        >>> cfg = Config()
        >>> given = dict(config="student.py", work_dir=None, launcher="none", local_rank=None)
        >>> apply_run_arguments(cfg, Namespace(**given), trains=True)
        >>> cfg.work_dir
        'work_dirs/student'
    """
    if cfg.get("compile") and spiking_backbone_cfgs(cfg.get("model") or {}):
        raise UserError(
            f"compile={cfg.compile!r}: torch.compile of a whole training step took more than 550 s "
            "for the first iteration of a spiking model. Set compile=False; long runs compile the "
            "neurons anyway"
        )
    cfg.launcher = args.launcher
    if args.local_rank is not None:
        os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
        return
    if cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / Path(config_file(args.config)).stem)
    if not trains:
        cfg.work_dir = folder_for_test(cfg.work_dir)


def apply_training_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Applies ``--amp``, ``--auto-scale-lr`` and ``--resume`` to ``cfg``, in place.

    Raises:
        UserError: the config lacks a setting that ``--amp`` or ``--auto-scale-lr`` needs, or the
            type of its ``optim_wrapper`` does not support ``--amp``.

    Example:
        >>> from argparse import Namespace
        >>> from mmengine.config import Config
        >>> from sakd_dense.commands import apply_training_arguments
        >>> cfg = Config()
        >>> apply_training_arguments(cfg, Namespace(amp=False, auto_scale_lr=False, resume="auto"))
        >>> cfg.resume, cfg.load_from
        (True, None)
    """
    if args.amp:
        if not cfg.get("optim_wrapper"):
            raise UserError("--amp: the config has no optim_wrapper")
        cfg.optim_wrapper = ConfigDict(with_amp(cfg.optim_wrapper))
    if args.auto_scale_lr:
        if not (cfg.get("auto_scale_lr") or {}).get("base_batch_size"):
            raise UserError(
                "--auto-scale-lr: the config does not give the batch size of its learning rate; "
                "set auto_scale_lr=dict(base_batch_size=16)"
            )
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == "auto" else args.resume


def watch_firing_rates(cfg: Config) -> None:
    """Adds a ``FiringRateHook`` to the config of a spiking model, in place.

    The config stays unchanged if ``custom_hooks`` contains that hook or
    ``default_hooks.firing_rate`` is set. Set ``default_hooks.firing_rate=None`` to leave it out.
    """
    hooks = cfg.get("custom_hooks") or []
    named = any(type_name(h.get("type")) == "FiringRateHook" for h in hooks)
    if spiking_backbone_cfgs(cfg.get("model") or {}) and not named:
        defaults = cfg.setdefault("default_hooks", ConfigDict())
        defaults.setdefault("firing_rate", ConfigDict(type="FiringRateHook"))


def add_speed_hooks(cfg: Config) -> None:
    """Adds a ``FreedMemoryHook`` and a ``CompileNeuronsHook`` to a config, in place.

    Set ``default_hooks.freed_memory=None`` or ``default_hooks.compile_neurons=None`` to leave one
    out.

    Configs that do not import sakd_dense stay unchanged: a run writes its config to its work dir,
    and upstream's tools must be able to read that file.
    """
    if "sakd_dense" not in ((cfg.get("custom_imports") or {}).get("imports") or ()):
        return
    if cfg.get("default_hooks") is None:
        cfg.default_hooks = ConfigDict()
    cfg.default_hooks.setdefault("freed_memory", ConfigDict(type="FreedMemoryHook"))
    cfg.default_hooks.setdefault("compile_neurons", ConfigDict(type="CompileNeuronsHook"))


def start_processes(cfg: Config) -> None:
    """Joins the process group of ``--launcher`` and, on CPUs, replaces SyncBN with BatchNorm.

    DDP refuses SyncBN on CPUs. The function changes the types in ``cfg``, in place, before the
    model is built, because neurons and hooks keep references to the norm layers. The keys in
    checkpoints stay the same.

    Raises:
        UserError: no launcher started this process, or ``env_cfg.dist_cfg.timeout`` is not a
            number.
    """
    join_process_group(cfg)
    if cfg.launcher == "none" or get_device() != "cpu":
        return
    norms = [d for d in dicts(cfg.get("model") or {}) if type_name(d.get("type")) in SYNCED_NORMS]
    for norm in norms:
        norm["type"] = "BN"
    if norms:
        print_log(
            "SyncBN does not run on CPUs: this run uses BatchNorm instead, with the statistics of "
            "each process's own batch",
            "current",
            logging.WARNING,
        )


def guard_checkpoints(cfg: Config) -> None:
    """Checks every checkpoint that a run will load, before anything heavy is built.

    MMEngine unpickles a file that a safe load refuses; this function raises instead. With
    ``resume``, it also sets ``load_from`` to the newest intact checkpoint if no checkpoint is
    named. URLs are downloaded and checked only for ``load_from``.

    Raises:
        MissingFileError, UserError: as :func:`~sakd_dense.transfer.verify_checkpoint`. A UserError
            also if ``load_from`` is a ``.safetensors`` file, or a run cannot resume from that
            checkpoint or from any in its work dir.
    """
    file = (sakd_hook(cfg).get("teacher") or {}).get("checkpoint")
    if file and "://" not in file:
        try:
            verify_checkpoint(file, keep=True)
        except UserError as error:
            raise type(error)(f"SAKDHook's teacher: {error}") from error
    for file in initial_checkpoints(cfg.get("model") or {}):
        if "://" not in file:
            verify_checkpoint(file)
    load_from = cfg.get("load_from")
    if cfg.get("resume") and load_from is None:
        cfg.load_from = _latest(cfg)
        return
    if load_from is not None and cfg.get("resume") and "://" not in str(load_from):
        reason = why_no_resume(Path(local_file(load_from)))
        if reason:
            raise UserError(f"--resume {load_from}: {reason}")
        return
    if load_from is not None:
        if str(load_from).endswith(".safetensors"):
            raise UserError(
                f"load_from={str(load_from)!r}: MMEngine loads only .pth files; load this file "
                "with tools/transfer.py, or publish the student as .pth"
            )
        verify_checkpoint(load_from)


def _latest(cfg: Config) -> str | None:
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    out_dir = hook.get("out_dir")
    # MMEngine adds the name of the work dir.
    folder = None if out_dir is None else str(Path(out_dir) / Path(cfg.work_dir).name)
    newest = newest_whole_checkpoint(cfg.work_dir, folder)
    if newest is None:
        print_log(
            f"--resume: {cfg.work_dir} has no checkpoint yet; starting from the beginning",
            "current",
        )
    return newest
