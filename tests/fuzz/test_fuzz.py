"""Bad input of every kind ends in a UserError that says something, or in success.

A few tries of each case, the same in every run; `benchmarks/trust/fuzz.py` tries more, and others.
"""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sakd_dense.runtime.errors import UserError
from sakd_dense.transfer.read import load_safely
from tests.helpers import fuzz_files, fuzz_values, fuzzing


@pytest.mark.parametrize("name", sorted(fuzzing.CASES))
def test_it_ends_in_success_or_in_an_error_that_says_something(name: str):
    @settings(
        max_examples=12,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
    )
    @given(fuzzing.CASES[name][0])
    def run(drawn):
        fuzzing.tried(name, drawn)

    run()


@pytest.mark.parametrize("tenth", range(10))
def test_a_checkpoint_cut_at_a_tenth_is_refused(tenth: int):
    content = fuzz_values.teacher_bytes()
    file = fuzz_values.folder() / "cut.pth"
    file.write_bytes(content[: len(content) * tenth // 10])
    with pytest.raises(UserError, match=r"cut\.pth"):
        load_safely(file)


def test_a_changed_weight_is_refused_though_pytorch_reads_it(tmp_path: Path):
    weights = {"a": torch.full((1000,), 3.0), "b": torch.zeros(10)}
    torch.save(weights, tmp_path / "a.pth")
    content = bytearray((tmp_path / "a.pth").read_bytes())
    place = content.find(weights["a"].numpy().tobytes())
    content[place + 2000] ^= 1
    (tmp_path / "a.pth").write_bytes(content)
    read = torch.load(tmp_path / "a.pth", weights_only=True)
    assert not torch.equal(read["a"], weights["a"])
    with pytest.raises(UserError, match=r"a\.pth .*checksum"):
        load_safely(tmp_path / "a.pth")


def test_a_checkpoint_without_checksums_is_read(tmp_path: Path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.rand(1000)}, tmp_path / "a.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    assert set(load_safely(tmp_path / "a.pth")) == {"a"}


def test_the_fuzzer_notices_a_traceback(monkeypatch):
    def fails(_):
        raise TypeError("a bug")

    monkeypatch.setitem(fuzzing.CASES, "loss", (st.just(1), fails))
    with pytest.raises(TypeError):
        fuzzing.tried("loss", 1)
    assert not os.path.exists(fuzz_values.folder() / fuzz_files.PROOF)
