"""Freed memory stays with the process, unless its user has told glibc something else."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn

from sakd_dense.commands.prepare import add_speed_hooks
from sakd_dense.guards import heap
from sakd_dense.guards.heap import LARGEST_BATCH, FreedMemoryHook, batch_size

PROBE = """
import resource, torch
from sakd_dense.guards.heap import keep_freed_memory
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


@pytest.mark.nightly
def test_pages_are_faulted_in_once():
    kept, faults = probe()
    assert kept == GLIBC
    if GLIBC:
        assert faults < 100  # 64 MiB are 16384 pages


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_a_users_own_setting_wins(name):
    value = "glibc.malloc.trim_threshold=1024" if name.startswith("GLIBC") else "1024"
    kept, _ = probe(**{name: value})
    assert not kept


@pytest.fixture
def calls(monkeypatch):
    """What glibc was told."""
    made = []
    monkeypatch.setattr(heap, "keep_freed_memory", lambda: made.append("keep") or True)
    monkeypatch.setattr(heap, "return_freed_memory", lambda: made.append("return"))
    return made


def runner(t=None):
    model = nn.Sequential(nn.Identity())
    if t is not None:
        model[0].time_steps = t
    return SimpleNamespace(model=model, logger=MMLogger.get_instance("heap"))


def batch(count, height, width):
    return dict(inputs=[torch.empty(3, height, width) for _ in range(count)])


@pytest.mark.parametrize(
    "t,count,height,width,keeps",
    [
        (4, 8, 144, 192, True),  # BCCD
        (4, 2, 256, 320, True),  # the measured gains
        (4, 1, 512, 512, True),
        (4, 2, 800, 1344, False),  # the measured cost
        (None, 2, 800, 1344, False),
    ],
)
@pytest.mark.parametrize("phase", ["train", "val", "test"])
def test_memory_is_kept_where_that_was_measured_to_gain(
    calls, caplog, t, count, height, width, keeps, phase
):
    hook = FreedMemoryHook()
    log = MMLogger.get_instance("heap")
    log.addHandler(caplog.handler)
    for i in range(2):
        getattr(hook, f"before_{phase}_iter")(runner(t), i, batch(count, height, width))
    assert calls == (["keep"] if keeps else [])
    assert len(caplog.records) == 1
    assert ("stays with the process" if keeps else "goes back") in caplog.text


def test_the_first_large_batch_turns_it_off_for_good(calls):
    hook = FreedMemoryHook()
    for i, height in enumerate((64, 1024, 64)):
        hook.before_train_iter(runner(4), i, batch(1, height, 512))
    assert calls == ["keep", "return"]


@pytest.mark.parametrize(
    "inputs,size",
    [
        ([torch.empty(3, 10, 20), torch.empty(3, 20, 10)], 2 * 4 * 20 * 20),
        (torch.empty(2, 3, 10, 20), 2 * 4 * 10 * 20),
        ([torch.empty(7, 2, 10, 20)], 7 * 10 * 20),  # event frames have a T of their own
        ([[torch.empty(3, 10, 20)], [torch.empty(3, 20, 20)]], 4 * 20 * 20),  # views of TTA
        ([], 0),
        (["a.jpg"], 0),
    ],
)
def test_the_size_of_a_batch(inputs, size):
    assert batch_size(dict(inputs=inputs), 4) == size
    assert batch_size(None, 4) == batch_size([inputs], 4) == 0


@pytest.mark.nightly
def test_what_was_kept_is_given_back():
    probe = """
import resource, torch
from sakd_dense.guards.heap import keep_freed_memory, return_freed_memory
def held():
    return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()
if keep_freed_memory():
    before = held()
    torch.ones(2**24)
    kept = held() - before
    return_freed_memory()
    print(kept > 2**25, held() - before < 2**24)
    torch.ones(2**24)
    print(held() - before < 2**24)
"""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    out = subprocess.run(
        [sys.executable, "-c", probe],
        env=env | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out.count("True") == (3 if GLIBC else 0)


def test_configs_ask_for_it_and_can_leave_it_out():
    ours = dict(custom_imports=dict(imports=["sakd_dense"]))
    cfg = Config(ours)
    add_speed_hooks(cfg)
    assert cfg.default_hooks.freed_memory.type == "FreedMemoryHook"
    cfg = Config(dict(ours, default_hooks=dict(freed_memory=None)))
    add_speed_hooks(cfg)
    assert cfg.default_hooks.freed_memory is None
    cfg = Config(dict(default_hooks=None))
    add_speed_hooks(cfg)  # upstream's tools must read what such a run writes
    assert cfg.default_hooks is None


def test_the_limit_lies_between_what_was_measured_to_gain_and_to_cost():
    assert 4 * 512 * 512 <= LARGEST_BATCH < 4 * 2 * 800 * 1344
