"""`make gpu`: the script runs on any device, and says what it misses."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks.gpu.check", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    done = run()
    assert done.returncode == 2
    assert "no CUDA device" in done.stderr and "--device cpu" in done.stderr


def test_a_check_is_a_value_beside_its_limit(tmp_path):
    done = run("--device", "cpu", "--only", "every-t", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = [line for line in (tmp_path / "gpu.md").read_text().splitlines() if "from a" in line]
    assert len(rows) == 4 and all(row.endswith("| 0 |") for row in rows)
