"""`make gpu`: the script runs on any device, and says what it misses."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import check

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    with pytest.raises(SystemExit, match="2"):
        check.main([])
    said = capsys.readouterr().err
    assert "no CUDA device" in said and "--device cpu" in said


@pytest.mark.nightly
def test_a_check_is_a_value_beside_its_limit(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu.check", "--device", "cpu"]
    command += ["--only", *check.CHECKS, "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line for line in (tmp_path / "gpu.md").read_text().splitlines() if "from a" in line]
    assert len(rows) == 4 and all(row.endswith("| 0 |") for row in rows)
