"""Hooks and checks that protect every run of the tools and resume a killed one."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader

from ..runtime.errors import UserError
from ..runtime.files import remove_leftovers
from ..transfer.read import keep_verified, load_safely, resumable
from .broken_images import BrokenImageHook
from .checkpoint_hook import WholeCheckpointHook
from .finite import FiniteLossHook
from .known_classes import KnownClassesHook


def guard_run(runner: Runner) -> None:
    """Adds the hooks that protect a run to ``runner``, in place.

    They write complete checkpoints, stop at losses that are not finite, and report unreadable
    images and unknown classes. Hooks of these types and other checkpoint hooks in the config are
    kept. The hooks are added to the runner and not to the config, since a run writes its config to
    its work dir and upstream's tools must be able to read that file.
    """
    hooks = runner.hooks  # the runner's own list
    for place, hook in enumerate(hooks):
        if type(hook) is CheckpointHook:
            hooks[place] = WholeCheckpointHook.of(hook)
    for kind in (FiniteLossHook, BrokenImageHook, KnownClassesHook):
        if not any(isinstance(hook, kind) for hook in hooks):
            runner.register_hook(kind())


def tidy(work_dir: str) -> None:
    """Removes the incomplete files of a killed run from its work dir."""
    if int(os.environ.get("RANK", 0)) == 0 and Path(work_dir).is_dir():
        removed = remove_leftovers(work_dir)
        if removed:
            names = ", ".join(file.name for file in removed)
            print_log(f"removed incomplete files of a killed run: {names}", "current")


def newest_whole_checkpoint(work_dir: str, out_dir: str | None = None) -> str | None:
    """Returns the path of the checkpoint to resume from, whose content is kept for the run.

    Args:
        work_dir: folder of the run.
        out_dir: folder of its checkpoints, if they lie elsewhere (``CheckpointHook(out_dir=...)``).

    Returns:
        The last checkpoint, or the newest intact one if the last is damaged. None if no run has
        written a checkpoint yet.

    Raises:
        UserError: checkpoints exist, but none is intact; or ``last_checkpoint`` names a file of
            another folder, as in a copied run without its checkpoints.
    """
    folders = [Path(folder) for folder in (work_dir, out_dir) if folder is not None]
    files = [f for folder in folders for f in folder.glob("*.pth") if not _is_other(f)]
    newest = sorted(files, key=lambda f: (f.stat().st_mtime_ns, f.name), reverse=True)
    pointer = Path(work_dir) / "last_checkpoint"
    named = Path(pointer.read_text().strip()) if pointer.is_file() else Path()
    if named.name and not files:
        raise UserError(
            f"--resume: {work_dir} has no checkpoint, and {pointer} names {named}, of another "
            f"folder. Copy that file into {work_dir}, or pass one with --resume PATH"
        )
    # By its name: the folder may have been copied or moved since.
    newest.sort(key=lambda f: f.name != named.name)
    reasons: list[str] = []
    for file in newest:
        reason = why_no_resume(file)
        if reason is None:
            if reasons:
                print_log(
                    f"--resume: {'; '.join(reasons)}. Resuming from {file}, the newest intact "
                    "checkpoint",
                    "current",
                    logging.WARNING,
                )
            elif file.name != named.name:
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
    """Returns whether ``file`` is a best checkpoint (without optimizer) or an unfinished one."""
    return file.name.startswith(("best_", "_unfinished-")) or not file.is_file()


def why_no_resume(file: Path) -> str | None:
    """Returns the reason why a run cannot resume from ``file``, or None if it can.

    Then the content is kept, and MMEngine's next load of the file returns it.
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
    keep_verified(file, content)
    CheckpointLoader.register_scheme("", _load_verified, force=True)
    return None


def _load_verified(filename: str, map_location: Any) -> Any:
    """Loads a local file for MMEngine, safely, and without reading a verified file again."""
    return resumable(load_safely(filename))


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


__all__ = ["guard_run", "newest_whole_checkpoint", "tidy", "why_no_resume"]
