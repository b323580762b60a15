"""What the tools share: arguments, configs from a path or ``package::path.py``, guarded files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import torch.distributed as dist
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.runner import find_latest_checkpoint

from ._mmengine import config_file
from .amp import with_amp
from .convert import initial_checkpoints, to_sakd, type_name
from .transfer import verify_checkpoint
from .twins import PREFIXES, sakd_hook, spiking_backbones

CONFIG_HELP = "a config file, or one of a package: mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"


def load_config(name: str, options: dict[str, Any] | None = None) -> Config:
    """The config ``name`` means (a path or ``package::path.py``), with ``--cfg-options`` merged.

    Raises:
        FileNotFoundError: there is no such file.
    """
    file = config_file(name)
    if not Path(file).is_file():
        raise FileNotFoundError(f"config {name} does not exist")
    cfg = Config.fromfile(file)
    if options:
        cfg.merge_from_dict(options)
    return cfg


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """CONFIG, ``--cfg-options``, ``--work-dir`` and ``--launcher``."""
    parser.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="change single settings: train_cfg.max_epochs=2 model.backbone.time_steps=8",
    )
    parser.add_argument(
        "--work-dir", help="where logs and checkpoints go (default: work_dirs/NAME OF CONFIG)"
    )
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm", "mpi"),
        default="none",
        help="how the processes of a distributed run were started (default: none)",
    )
    # torch.distributed.launch gives it, torchrun does not.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)


def add_sakd_arguments(parser: argparse.ArgumentParser) -> None:
    """What turns an ANN config into a spiking one: for ``train.py`` and ``convert_config.py``."""
    parser.add_argument(
        "--teacher-checkpoint",
        metavar="X",
        help="the trained ANN of the same architecture: a file, a URL, open-mmlab://...",
    )
    parser.add_argument("--time-steps", type=int, metavar="T", help="time steps (default: 4)")
    parser.add_argument(
        "--family",
        choices=PREFIXES,
        default="SEW",
        help="SEW-ResNet (default), or Spiking-ResNet: its blocks fire on the sum of both branches",
    )
    parser.add_argument(
        "--no-transfer",
        action="store_true",
        help="level 2 alone: do not start from the teacher's weights",
    )
    parser.add_argument(
        "--source",
        choices=("ann", "snn"),
        default="ann",
        help="where the first weights come from: from an ANN, BatchNorm is trained; from a "
        "distilled SNN (load_from), norm_eval and frozen_stages of the config stand",
    )


def apply_sakd(cfg: Config, args: argparse.Namespace) -> Config:
    """:func:`~sakd_dense.convert.to_sakd` by the arguments of :func:`add_sakd_arguments`."""
    return to_sakd(
        cfg,
        args.teacher_checkpoint,
        args.time_steps,
        transfer=not args.no_transfer,
        source=args.source,
        family=args.family,
    )


def apply_run_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """``--work-dir``, ``--launcher``, ``--amp``, ``--auto-scale-lr`` and ``--resume``, in place.

    Raises:
        ValueError: the config cannot do what an argument asks for.
    """
    cfg.launcher = args.launcher
    if args.local_rank is not None:
        os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / Path(config_file(args.config)).stem)
    if args.amp:
        if not cfg.get("optim_wrapper"):
            raise ValueError("--amp: the config has no optim_wrapper")
        cfg.optim_wrapper = ConfigDict(with_amp(cfg.optim_wrapper))
    if args.auto_scale_lr:
        if not (cfg.get("auto_scale_lr") or {}).get("base_batch_size"):
            raise ValueError(
                "--auto-scale-lr: the config does not say for which batch its learning rate is; "
                "set auto_scale_lr=dict(base_batch_size=16)"
            )
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == "auto" else args.resume


def watch_firing_rates(cfg: Config) -> None:
    """Adds a ``FiringRateHook``, in place, where the model spikes and nothing else was said.

    ``default_hooks.firing_rate=None`` leaves it out.
    """
    hooks = cfg.get("custom_hooks") or []
    named = any(type_name(h.get("type")) == "FiringRateHook" for h in hooks)
    if spiking_backbones(cfg.get("model") or {}) and not named:
        defaults = cfg.setdefault("default_hooks", ConfigDict())
        defaults.setdefault("firing_rate", ConfigDict(type="FiringRateHook"))


def join_process_group(cfg: Config) -> None:
    """Where there is no accelerator: the gloo group of ``--launcher pytorch``.

    MMEngine's own launcher would set a CUDA device; it takes a group that is there already.

    Raises:
        ValueError: this process was not started by a launcher.
    """
    if cfg.launcher != "pytorch" or get_device() != "cpu" or dist.is_initialized():
        return
    if "RANK" not in os.environ:
        raise ValueError(
            "--launcher pytorch: RANK is not set; start it by tools/dist_train.sh or "
            "tools/dist_test.sh"
        )
    dist.init_process_group("gloo")
    wrapper = cfg.get("model_wrapper_cfg") or dict(
        type="MMDistributedDataParallel",
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
    cfg.model_wrapper_cfg = ConfigDict(wrapper, device_ids=None)


def leave_process_group() -> None:
    """At the end of a run: a gloo group that is still there at exit may abort its process."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def guard_checkpoints(cfg: Config) -> None:
    """Check every checkpoint a run will load, before anything heavy is built.

    MMEngine falls back to unpickling a file that a safe load refuses; this raises instead. What
    lies at an address is fetched, for ``load_from`` alone.

    Raises:
        FileNotFoundError, ValueError: as :func:`~sakd_dense.transfer.verify_checkpoint`.
    """
    file = (sakd_hook(cfg).get("teacher") or {}).get("checkpoint")
    if file and "://" not in file:
        try:
            verify_checkpoint(file)
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f"SAKDHook's teacher: {error}") from error
    for file in initial_checkpoints(cfg.get("model") or {}):
        if "://" not in file:
            verify_checkpoint(file)
    load_from = cfg.get("load_from")
    if cfg.get("resume") and load_from is None:
        load_from = _latest(cfg.work_dir)
    if load_from is not None:
        if str(load_from).endswith(".safetensors"):
            raise ValueError(
                f"load_from={str(load_from)!r}: MMEngine loads .pth alone; start from it by "
                "tools/transfer.py, or publish the student as .pth"
            )
        verify_checkpoint(load_from)


def _latest(work_dir: str) -> str | None:
    if not (Path(work_dir) / "last_checkpoint").is_file():
        print_log(f"--resume: {work_dir} has no checkpoint yet; starting afresh", "current")
        return None
    return find_latest_checkpoint(work_dir)


__all__ = [
    "CONFIG_HELP",
    "add_config_arguments",
    "add_sakd_arguments",
    "apply_run_arguments",
    "apply_sakd",
    "guard_checkpoints",
    "join_process_group",
    "leave_process_group",
    "load_config",
    "watch_firing_rates",
]
