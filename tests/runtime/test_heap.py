"""Freed memory stays with the process, unless its user has told glibc something else."""

import os
import platform
import subprocess
import sys

import pytest

PROBE = """
import resource, torch
from sakd_dense.heap import keep_freed_memory
kept = keep_freed_memory()
before = 0
for _ in range(4):  # what the first two fault in, the others find
    torch.ones(2**24)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    last, before = faults - before, faults
print(kept, last)
"""
GLIBC = platform.libc_ver()[0] == "glibc"


def probe(**env):
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    plain |= {"CUDA_VISIBLE_DEVICES": ""} | env
    out = subprocess.run(
        [sys.executable, "-c", PROBE], env=plain, capture_output=True, text=True, check=True
    ).stdout
    kept, faults = out.split()[-2:]
    return kept == "True", int(faults)


def test_pages_are_faulted_in_once():
    kept, faults = probe()
    assert kept == GLIBC
    if GLIBC:
        assert faults < 100  # 64 MiB are 16384 pages


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_a_users_own_setting_wins(name):
    value = "glibc.malloc.trim_threshold=1024" if name.startswith("GLIBC") else "1024"
    kept, _ = probe(**{name: value})
    assert not kept
