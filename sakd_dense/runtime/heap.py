"""Freed memory that stays with the process, for its next tensors: CPUs, glibc, small batches.

By default glibc returns large blocks to the system as soon as they are freed, and the next step's
tensors fault their pages in anew. In a training step of RetinaNet-R50 at 256x320 that was a fifth
of the time (benchmarks/NOTES.md). With large images it costs memory instead: at 800x1344 the kept
blocks left holes that the next tensors did not fit in, and a step that peaked at 18.4 GiB was
killed at 21.9.
"""

import ctypes
import os
import platform
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from .arguments import typed

# <malloc.h>
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: Bytes. Larger blocks are returned to the system in any case.
LARGEST_BLOCK = 2**27
#: T x images x pixels of a batch: the largest at which keeping freed memory was measured to gain
#: (T = 4, one image of 512x512); at eight times as many it was measured to cost memory.
LARGEST_BATCH = 2**20


def keep_freed_memory() -> bool:
    """Tells glibc to keep freed memory, unless ``MALLOC_*_`` or ``GLIBC_TUNABLES`` is set.

    Returns:
        True if glibc was configured; False on GPUs (not measured) and on other C libraries.
    """
    is_set = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if is_set or torch.cuda.is_available() or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # glibc before 2.35 refuses more than 32 MiB.
    if not mallopt(_MMAP_THRESHOLD, LARGEST_BLOCK):
        mallopt(_MMAP_THRESHOLD, 2**25)
    return bool(mallopt(_TRIM_THRESHOLD, -1))


def return_freed_memory() -> None:
    """Undoes :func:`keep_freed_memory`, and returns what was kept.

    The thresholds are those at which glibc's own, which grow with what a process frees, end.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, 2**25)
    libc.mallopt(_TRIM_THRESHOLD, 2**26)
    libc.malloc_trim(0)


@HOOKS.register_module()
class FreedMemoryHook(Hook):
    """Keeps freed memory for as long as batches are small, and logs its choice.

    It looks at every batch before the model does. The first larger one turns it off for good: the
    images of a run may differ in size.

    Args:
        largest: T x images x pixels of the largest batch that counts as small.

    Example:
        >>> from mmengine.registry import HOOKS
        >>> HOOKS.build(dict(type="FreedMemoryHook", largest=2**19)).largest
        524288
    """

    priority = "LOW"

    @typed
    def __init__(self, largest: int = LARGEST_BATCH) -> None:
        self.largest = largest
        self._keeps: bool | None = None  # None: not decided
        self._spiking: list[Any] | None = None  # what has time steps

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._look(runner, data_batch)

    def before_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._look(runner, data_batch)

    def before_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._look(runner, data_batch)

    def _look(self, runner: Any, data_batch: Any) -> None:
        if self._keeps is False:
            return
        if self._spiking is None:
            self._spiking = [m for m in runner.model.modules() if hasattr(m, "time_steps")]
        steps = max((m.time_steps for m in self._spiking), default=1)
        size = batch_size(data_batch, steps)
        if size > self.largest:
            if self._keeps:
                return_freed_memory()
            self._keeps = False
            print_log(
                f"Freed memory goes back to the system: a batch of {size:,} T x images x pixels is "
                f"above {self.largest:,}, the largest size at which keeping it was measured to be "
                "faster",
                runner.logger,
            )
        elif self._keeps is None and size:
            self._keeps = keep_freed_memory()
            if self._keeps:
                print_log(
                    "Freed memory stays with the process, which is faster for small batches; "
                    "default_hooks.freed_memory=None leaves it to glibc",
                    runner.logger,
                )


def batch_size(data_batch: Any, steps: int) -> int:
    """T x images x pixels of a batch as a data loader gives it; 0 where it shows no images.

    ``inputs`` is a list or a stack of images ``[C, H, W]`` or of event frames ``[T, C, H, W]``,
    or, for test-time augmentation, a list of such lists.

    Example:
        >>> import torch
        >>> from sakd_dense.runtime.heap import batch_size
        >>> batch_size(dict(inputs=[torch.zeros(3, 32, 32), torch.zeros(3, 16, 64)]), steps=4)
        16384
    """
    inputs: Any = data_batch.get("inputs", ()) if isinstance(data_batch, dict) else ()
    if len(inputs) and isinstance(inputs[0], list | tuple):
        return max(batch_size(dict(inputs=view), steps) for view in inputs)
    images = [x for x in inputs if isinstance(x, torch.Tensor) and x.dim() in (3, 4)]
    if not images:
        return 0
    # A batch is padded to its largest image.
    height, width = (max(x.shape[axis] for x in images) for axis in (-2, -1))
    frames = max(x.shape[0] if x.dim() == 4 else steps for x in images)
    return len(images) * frames * height * width


__all__ = [
    "LARGEST_BATCH",
    "FreedMemoryHook",
    "batch_size",
    "keep_freed_memory",
    "return_freed_memory",
]
