"""What every tool does first: OpenMP's spin, and no lines that say nothing."""

import ast
import shutil
import subprocess
import sys

import pytest

from tests.helpers.tooling import TOOLS, load_tool

startup = load_tool("_startup")


@pytest.mark.parametrize(
    ("environ", "spins"),
    [
        ({}, startup.SPINS),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, None),
        ({"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "7"}, "7"),
    ],
)
def test_the_spin_is_short_unless_the_user_has_said_otherwise(environ, spins):
    before = dict(environ)
    startup.shorten_spins(environ)
    assert environ.get("GOMP_SPINCOUNT") == spins
    assert before.items() <= environ.items()


@pytest.mark.parametrize("ends", ["", "raise ImportError('broken')"])
def test_only_the_forks_lines_are_left_out(tmp_path, monkeypatch, capsys, ends):
    text = f"print({startup.NOISE!r} + '. Skipping.')\nprint('a word')\n{ends}\n"
    name = f"module_that_prints_{bool(ends)}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    if ends:
        with pytest.raises(ImportError, match="broken"):
            startup.import_quietly(name)
    else:
        startup.import_quietly(name)
    assert capsys.readouterr().out == "a word\n"


def imports(path):
    """Names of modules in the order in which a tool imports them at its top."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("path", sorted(TOOLS.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_it_comes_before_all_that_loads_torch(path):
    others = [n for n in imports(path) if n.partition(".")[0] not in sys.stdlib_module_names]
    assert not others or others[0] == "_startup"


@pytest.mark.nightly
def test_a_tool_says_nothing_but_what_it_is_asked(tmp_path):
    """Also where the tools are copies, as those in a wheel."""
    shutil.copytree(TOOLS, tmp_path / "tools")
    command = [sys.executable, str(tmp_path / "tools" / "publish.py"), "--help"]
    run = subprocess.run(command, cwd=TOOLS.parent, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("usage: publish.py")
