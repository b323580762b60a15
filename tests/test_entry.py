"""The command `sakd_dense`: the tools of the project, by name."""

import sys
from pathlib import Path

import pytest

from sakd_dense.commands import entry

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.setattr(entry, "TOOLS", ROOT / "tools")
    monkeypatch.setattr(sys, "path", list(sys.path))


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["sakd_dense", *arguments])
    entry.main()


def test_it_lists_every_tool_of_a_user(monkeypatch, capsys):
    run(monkeypatch)
    printed = capsys.readouterr().out
    for name in ("train", "test", "transfer", "energy", "report", "export", "publish"):
        assert f"\n  {name} " in printed
    assert "install" not in printed and "mmcv_wheel" not in printed


@pytest.mark.parametrize("name", entry.INTERNAL)
def test_what_builds_the_project_is_no_command(name, monkeypatch):
    with pytest.raises(SystemExit, match=f"unknown command '{name}'; choose from .*train"):
        run(monkeypatch, name)


def test_a_command_gets_its_arguments(monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "transfer", "--help")
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("usage: transfer.py")


def test_without_tools_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(entry, "TOOLS", tmp_path)
    with pytest.raises(SystemExit, match="has no tools: install the package"):
        run(monkeypatch, "train")
