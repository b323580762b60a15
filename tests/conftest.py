"""What every test gets: a fixed seed, and no state of MMEngine left over by the test before.

Files with slow tests run first, so that no worker waits for a long file at the end.
"""

import os
from collections import Counter

import pytest
import torch
from yapf.yapflib import yapf_api

from tests.helpers.runs import forget_runs

# Tensors are tiny here: threads only wait for each other, the more so beside other work. The same
# holds for the processes that tests start.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)  # before slow tests are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    tests = Counter(item.path for item in items)
    # Of the slow files, those with few tests have the longest ones.
    items.sort(key=lambda i: (i.path not in slow, tests[i.path] * (1 if i.path in slow else -1)))


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def no_config_is_laid_out(monkeypatch) -> None:
    """MMEngine's call of yapf: six times a run, and half of a small one. It changes blanks only."""
    monkeypatch.setattr(yapf_api, "FormatCode", lambda text, **_: (text, True))


@pytest.fixture(autouse=True)
def clean_mmengine():
    yield
    forget_runs()
