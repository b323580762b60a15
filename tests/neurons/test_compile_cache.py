"""Marks beside PyTorch's kernels: what the next run need not find out again."""

import pytest
from torch._inductor import config
from torch._inductor.cpu_vec_isa import VecISA

from sakd_dense.neurons import compile_cache
from sakd_dense.neurons.compile_cache import check_instructions_once, is_marked, mark


def test_a_mark_is_of_this_version_and_this_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(compile_cache, "folder", lambda: tmp_path / "marks")
    mark("a kernel")
    assert is_marked("a kernel") and not is_marked("another")
    monkeypatch.setattr(compile_cache, "__version__", "another")
    assert not is_marked("a kernel")
    monkeypatch.undo()
    monkeypatch.setattr(compile_cache, "folder", lambda: tmp_path / "elsewhere")
    assert not is_marked("a kernel")


def test_a_folder_that_cannot_be_written_is_done_without(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(compile_cache, "folder", lambda: tmp_path / "file" / "marks")
    mark("a kernel")
    assert not is_marked("a kernel")


def test_nothing_is_marked_where_kernels_are_not_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with config.patch(force_disable_caches=False, fx_graph_cache=True):
        assert compile_cache.folder() == tmp_path / "sakd_dense"
    for off in (dict(force_disable_caches=True), dict(fx_graph_cache=False)):
        with config.patch(**off):
            assert compile_cache.folder() is None


@pytest.mark.parametrize("works", [True, False])
def test_instructions_are_checked_once_where_they_work(monkeypatch, tmp_path, works):
    checked = []

    def check_build(self, code):
        checked.append(code)
        return works

    monkeypatch.setattr(compile_cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(VecISA, "check_build", check_build)
    check_instructions_once.cache_clear()
    check_instructions_once()
    isa = VecISA()
    assert [isa.check_build("code") for _ in range(2)] == [works, works]
    assert len(checked) == (1 if works else 2)
    monkeypatch.setattr(compile_cache, "_cpu", lambda: "another CPU")
    isa.check_build("code")
    assert len(checked) == (2 if works else 3)
    check_instructions_once.cache_clear()
