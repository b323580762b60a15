"""Reuse of freed memory for the next tensors, on CPUs with glibc and for small batches.

By default glibc returns large blocks to the system as soon as they are freed, and the tensors of
the next step cause page faults again. In a training step of RetinaNet-R50 at 256x320, these faults
took a fifth of the time (benchmarks/notebook/kernels.md). With large images, keeping the blocks
costs memory: at 800x1344 the next tensors did not fit into the holes between them. A step that
peaked at 18.4 GiB was then killed at 21.9 GiB.
"""

import ctypes
import os
import platform
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from ..runtime.arguments import typed

# <malloc.h>
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: Bytes. Larger blocks are returned to the system in any case.
LARGEST_BLOCK = 2**27
#: T x images x pixels of the largest batch for which keeping freed memory was measured to be faster
#: (T = 4, one image of 512x512). At eight times that size it was measured to cost memory.
LARGEST_BATCH = 2**20


def keep_freed_memory() -> bool:
    """Configures glibc to keep freed memory.

    Returns:
        True if glibc was configured. False if a variable ``MALLOC_*`` or ``GLIBC_TUNABLES`` is set,
        with a GPU (not measured), and with other C libraries.
    """
    is_set = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if is_set or torch.cuda.is_available() or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # glibc before 2.35 accepts at most 32 MiB.
    if not mallopt(_MMAP_THRESHOLD, LARGEST_BLOCK):
        mallopt(_MMAP_THRESHOLD, 2**25)
    return bool(mallopt(_TRIM_THRESHOLD, -1))


def return_freed_memory() -> None:
    """Reverts :func:`keep_freed_memory` and returns the kept memory to the system.

    glibc's own thresholds grow with the blocks that a process frees. This function sets them to
    their largest values.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, 2**25)
    libc.mallopt(_TRIM_THRESHOLD, 2**26)
    libc.malloc_trim(0)


@HOOKS.register_module()
class FreedMemoryHook(Hook):
    """Hook that keeps freed memory as long as batches are small, and logs its choice.

    The hook checks every batch before the model runs, since the images of a run may differ in size.
    The first larger batch turns it off for the rest of the run.

    Args:
        largest: T x images x pixels of the largest batch that counts as small. Default: 2**20.

    Example:
        In a config: ``default_hooks=dict(freed_memory=dict(type='FreedMemoryHook'))``.
    """

    priority = "LOW"

    @typed
    def __init__(self, largest: int = LARGEST_BATCH) -> None:
        self.largest = largest
        self._keeps: bool | None = None  # None: not decided yet
        self._spiking: list[Any] | None = None  # modules with time steps

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
    """Returns T x images x pixels of a batch of a data loader, or 0 for a batch without images.

    Args:
        data_batch: a dict whose ``inputs`` is a list or a stack of images ``[C, H, W]`` or of event
            frames ``[T, C, H, W]``; for test-time augmentation, a list of such lists.
        steps: number of time steps T for images; event frames have their own.
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
