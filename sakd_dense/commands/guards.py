"""Guards that the tools put into every run, so that nothing spoils it and a killed one goes on."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import Runner

from ..runtime.broken_images import BrokenImageHook
from ..runtime.checkpoint_hook import WholeCheckpointHook
from ..runtime.errors import UserError
from ..runtime.files import remove_leftovers
from ..runtime.finite import FiniteLossHook
from ..runtime.known_classes import KnownClassesHook
from ..transfer.read import load_safely


def guard_run(runner: Runner) -> None:
    """Whole checkpoints, finite losses, images that can be read, known classes; in place.

    On the runner and not in the config, which a run writes to its work dir: upstream's tools must
    be able to read that. Hooks of these types, or other checkpoint hooks, that the config names
    stay as they are.
    """
    hooks = runner._hooks
    for place, hook in enumerate(hooks):
        if type(hook) is CheckpointHook:
            hooks[place] = WholeCheckpointHook.of(hook)
    for kind in (FiniteLossHook, BrokenImageHook, KnownClassesHook):
        if not any(isinstance(hook, kind) for hook in hooks):
            runner.register_hook(kind())


def tidy(work_dir: str) -> None:
    """Removes what a killed run has left half written in its work dir.

    Example:
        >>> from pathlib import Path
        >>> from sakd_dense.commands.guards import tidy
        >>> Path("_unfinished-99999999_epoch_1.pth").touch()  # no such process
        >>> tidy(".")
        >>> Path("_unfinished-99999999_epoch_1.pth").exists()
        False
    """
    if int(os.environ.get("RANK", 0)) == 0 and Path(work_dir).is_dir():
        removed = remove_leftovers(work_dir)
        if removed:
            names = ", ".join(file.name for file in removed)
            print_log(f"removed incomplete files of a killed run: {names}", "current")


def newest_whole_checkpoint(work_dir: str) -> str | None:
    """The checkpoint to resume from: the last, or, if that is damaged, the newest that is whole.

    Returns:
        None where no run has made a checkpoint yet.

    Raises:
        UserError: there are checkpoints, and none is whole.

    Example:
        >>> from sakd_dense.commands.guards import newest_whole_checkpoint
        >>> newest_whole_checkpoint("work_dirs/new") is None
        True
    """
    folder, pointer = Path(work_dir), Path(work_dir) / "last_checkpoint"
    named = pointer.read_text().strip() if pointer.is_file() else ""
    candidates = [Path(named)] if named else []
    folders = {folder, *(c.parent for c in candidates)}
    files = [f for place in folders for f in place.glob("*.pth") if not _is_other(f)]
    newest = sorted(files, key=lambda f: (f.stat().st_mtime_ns, f.name), reverse=True)
    candidates += [f for f in newest if f.resolve() not in {c.resolve() for c in candidates}]
    reasons: list[str] = []
    for file in candidates:
        reason = why_no_resume(file)
        if reason is None:
            if reasons:
                print_log(
                    f"--resume: {'; '.join(reasons)}. Resuming from {file}, the newest intact "
                    "checkpoint",
                    "current",
                    logging.WARNING,
                )
            elif not named:
                print_log(f"--resume: resuming from {file}", "current")
            return str(file)
        reasons.append(reason)
    if reasons:
        raise UserError(
            f"--resume: no checkpoint in {work_dir} is intact: {'; '.join(reasons)}. Pass one with "
            "--resume PATH, or start again without --resume"
        )
    return None


def _is_other(file: Path) -> bool:
    """Whether it is not a run's own: the best by a metric (without optimizer), or unfinished."""
    return file.name.startswith(("best_", "_unfinished-")) or not file.is_file()


def why_no_resume(file: Path) -> str | None:
    """Why a run cannot go on from ``file``; None: it can.

    Example:
        >>> from pathlib import Path
        >>> import torch
        >>> from sakd_dense.commands.guards import why_no_resume
        >>> torch.save(dict(state_dict={}), "weights.pth")
        >>> why_no_resume(Path("weights.pth"))
        'weights.pth is not a checkpoint of a training run (it has no message_hub, meta)'
    """
    try:
        content = load_safely(file)
    except UserError as error:
        return str(error)
    missing = {"state_dict", "meta", "message_hub"} - set(content if _is_dict(content) else ())
    if missing:
        return (
            f"{file} is not a checkpoint of a training run (it has no {', '.join(sorted(missing))})"
        )
    meta = content["meta"]
    if not _is_dict(meta) or not {"epoch", "iter"} <= set(meta):
        return f"{file} does not record its epoch and iteration"
    return None


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


__all__ = ["guard_run", "newest_whole_checkpoint", "tidy", "why_no_resume"]
