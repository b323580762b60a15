"""Checkpoints from which a killed run resumes as if it had never stopped.

MMEngine's hook removes the previous checkpoint, writes the next in place, and saves no random
state. This hook writes to a temporary name, renames the file, and removes old checkpoints last. It
also saves the state that a resumed run needs to draw the same random numbers as an uninterrupted
run.
"""

import bisect
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    get_rank,
    get_world_size,
    is_main_process,
)
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS

from ..runtime.errors import UserError
from ..runtime.files import replacing, whole_local_files
from ..runtime.patching import untouched_random_state
from ..runtime.processes import unwrapped
from .data_workers import seed_workers_by_epoch
from .random_state import random_state, set_random_state

#: Key of the saved state in a checkpoint.
KEY = "sakd_run"
#: Name of the file with the iteration of the last finished validation of a run.
LAST_VALIDATION = "last_validation"


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """Checkpoint hook with complete files and exact resumption.

    The arguments are those of MMEngine's ``CheckpointHook``.

    - A checkpoint is complete or does not exist: after kill -9 or on a full disk, the previous one
      remains. Files that ``max_keep_ckpts`` or a better ``save_best`` makes superfluous are removed
      only after the new one is written.
    - Weights that are NaN or infinite are not saved; the run ends.
    - The random states of every process are saved, and with several processes also the BatchNorm
      statistics of each. A validation leaves the random states unchanged. A validation that the
      kill interrupted runs again.
    - In a loop of epochs, the random numbers of the training loader's worker processes depend only
      on seed, epoch, rank and worker number.

    To use the hook in a config, set
    ``default_hooks = dict(checkpoint=dict(type='WholeCheckpointHook'))``. ``tools/train.py``
    replaces every ``CheckpointHook`` with it.
    """

    file_backend: Any  # set by MMEngine's before_train
    _before_validation: dict[str, Any] | None = None  # this process's random state
    _to_save: dict[str, Any] | None = None
    _loaded: dict[str, Any] | None = None

    @classmethod
    def of(cls, hook: CheckpointHook) -> Self:
        """Creates a hook with the settings of an MMEngine hook that has not run yet."""
        new = cls.__new__(cls)
        new.__dict__.update(hook.__dict__)
        return new

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        if self._to_save is not None:
            checkpoint[KEY] = self._to_save

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        self._loaded = checkpoint.get(KEY, {})

    def before_train(self, runner: Any) -> None:
        super().before_train(runner)
        loaded, self._loaded = self._loaded, None
        if loaded is None or runner.iter == 0:  # weights to start from, not a run to resume
            return
        self._resume_random_state(loaded, runner)
        self._rerun_interrupted_validation(runner)

    def before_train_epoch(self, runner: Any) -> None:
        if not hasattr(runner.train_loop, "dataloader_iterator"):  # a loop of epochs
            seed_workers_by_epoch(runner.train_dataloader, runner.seed or 0, runner.epoch)

    def before_val(self, runner: Any) -> None:
        self._before_validation = random_state()

    def after_val(self, runner: Any) -> None:
        if self._before_validation is not None:
            set_random_state(self._before_validation)
        self._before_validation = None
        if is_main_process() and isinstance(runner.optim_wrapper, OptimWrapper) and runner.work_dir:
            with replacing(Path(runner.work_dir) / LAST_VALIDATION) as temporary:
                temporary.write_text(f"{runner.iter}\n")

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        self._check_finite_weights(runner, meta["iter"])
        outdated = self._outdated(runner, step)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        # Training resumes with the state before a validation, whether that runs again or not.
        states = all_gather_object(self._before_validation or random_state())
        self._to_save = dict(random=states)
        if get_world_size() > 1:
            # Each process has its own BatchNorm running statistics, from its own batches.
            self._to_save["buffers"] = all_gather_object(_buffers(runner))
        try:
            with whole_local_files():
                runner.save_checkpoint(
                    self.out_dir,
                    name,
                    self.file_client_args,
                    save_optimizer=self.save_optimizer,
                    save_param_scheduler=self.save_param_scheduler,
                    meta=meta,
                    by_epoch=self.by_epoch,
                    backend_args=self.backend_args,
                    **self.args,
                )
        finally:
            self._to_save = None
        if not is_main_process():
            return
        with replacing(Path(runner.work_dir) / "last_checkpoint") as temporary:
            temporary.write_text(str(self.last_ckpt))
        _remove(self.file_backend, outdated)

    def _outdated(self, runner: Any, step: int) -> list[str]:
        """Returns the files that this checkpoint makes superfluous, by ``max_keep_ckpts``."""
        if self.max_keep_ckpts <= 0 or (self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step):
            return []
        steps = []
        if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
            steps.append(self.keep_ckpt_ids.popleft())
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        join = partial(self.file_backend.join_path, self.out_dir)
        return [join(self.filename_tmpl.format(old)) for old in steps]

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        backend = self.file_backend
        self.file_backend = later = _RemovesLater(backend)
        try:
            with whole_local_files():
                super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        best = {getattr(self, "best_ckpt_path", None)}
        best |= set(getattr(self, "best_ckpt_path_dict", {}).values())
        _remove(backend, [path for path in later.removed if path not in best])

    def _check_finite_weights(self, runner: Any, iteration: int) -> None:
        bad = [
            name
            for name, value in unwrapped(runner.model).state_dict().items()
            if torch.is_tensor(value) and value.is_floating_point() and not value.isfinite().all()
        ]
        if bad:
            kept = f"the last one is {self.last_ckpt}" if self.last_ckpt else "there is none yet"
            raise UserError(
                f"iteration {iteration}: {len(bad)} weights or statistics are NaN or infinite "
                f"({', '.join(bad[:3])}{', ...' if len(bad) > 3 else ''}); no checkpoint was "
                f"written, {kept}. Try optim_wrapper.clip_grad=dict(max_norm=10), a lower learning "
                "rate, a longer warm-up or, with --amp, float32"
            )

    def _resume_random_state(self, loaded: dict[str, Any], runner: Any) -> None:
        states: Sequence[dict[str, Any]] = loaded.get("random", ())
        if len(states) != get_world_size():
            print_log(
                f"The checkpoint holds the random states of {len(states)} processes, but this run "
                f"has {get_world_size()}: random numbers start again, so the run differs from an "
                "uninterrupted one",
                runner.logger,
            )
            return
        set_random_state(states[get_rank()])
        mine = loaded["buffers"][get_rank()] if "buffers" in loaded else {}
        for name, buffer in unwrapped(runner.model).named_buffers():
            if name in mine:
                buffer.data.copy_(mine[name])
        iterator = getattr(runner.train_loop, "dataloader_iterator", None)
        if iterator is not None:
            _skip_untouched(iterator)

    def _rerun_interrupted_validation(self, runner: Any) -> None:
        """Runs the validation at the checkpoint's iteration, if it was due but did not finish."""
        done = [_last_validation(runner.work_dir)]
        broadcast_object_list(done)
        if runner.val_loop is not None and _is_due(runner.train_loop) and done[0] != runner.iter:
            print_log(
                f"The validation at iteration {runner.iter} was not finished and runs now",
                runner.logger,
            )
            runner.val_loop.run()


class _RemovesLater:
    """A file backend that records removals instead of carrying them out."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.removed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self.removed.append(path)

    rmtree = remove


def _buffers(runner: Any) -> dict[str, Any]:
    kept = unwrapped(runner.model).state_dict()
    named = unwrapped(runner.model).named_buffers()
    return {name: buffer.detach().cpu().clone() for name, buffer in named if name in kept}


def _remove(backend: Any, paths: Sequence[str]) -> None:
    for path in paths:
        if backend.isfile(path):
            backend.remove(path)
        elif backend.isdir(path):  # DeepSpeed writes folders
            backend.rmtree(path)


def _skip_untouched(iterator: Any) -> None:
    # Its loader draws a random number when it starts. The uninterrupted run has drawn it earlier.
    skip = getattr(iterator, "skip_iter", None)
    if skip is None:  # older versions of MMEngine load the batches that they skip
        return

    def skip_iter(iterations: int) -> None:
        del iterator.skip_iter
        with untouched_random_state():
            skip(iterations)
            getattr(iterator, "_ensure_iterator", lambda: None)()

    iterator.skip_iter = skip_iter


def _last_validation(work_dir: str) -> int | None:
    try:
        return int((Path(work_dir) / LAST_VALIDATION).read_text())
    except (OSError, ValueError):
        return None


def _is_due(loop: Any) -> bool:
    by_iteration = hasattr(loop, "dataloader_iterator")
    now, last = (loop.iter, loop.max_iters) if by_iteration else (loop.epoch, loop.max_epochs)
    place = bisect.bisect(loop.dynamic_milestones, now)
    interval = loop.dynamic_intervals[place - 1]
    return 0 < now >= loop.val_begin and (now % interval == 0 or now == last)


__all__ = ["KEY", "LAST_VALIDATION", "WholeCheckpointHook"]
