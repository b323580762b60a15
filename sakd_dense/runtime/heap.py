"""Memory that a run has freed stays with its process, for its next tensors: CPUs, glibc.

Left to itself glibc gives large blocks back to the system as soon as they are freed, and the next
step's tensors fault their pages in anew. In a training step of RetinaNet-R50 that was a fifth of
the time (benchmarks/NOTES.md).
"""

import ctypes
import os
import platform

import torch

# <malloc.h>
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: Bytes. Larger blocks go back: kept, those of images of 800x1344 left holes that the next did not
#: fit in, and a step of 18 GiB took more than 23.
LARGEST = 2**27


def keep_freed_memory() -> bool:
    """Asks glibc to keep what is freed; whoever set ``MALLOC_*_`` or ``GLIBC_TUNABLES`` wins.

    Returns:
        Whether it was asked: not with a GPU, where nothing was measured, nor where the C library
        is another.
    """
    told = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if told or torch.cuda.is_available() or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # Before glibc 2.35 more than 32 MiB is refused.
    mallopt(_MMAP_THRESHOLD, LARGEST) or mallopt(_MMAP_THRESHOLD, 2**25)
    return bool(mallopt(_TRIM_THRESHOLD, -1))
