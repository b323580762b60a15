"""DEVELOPERS.md's table of rooms, held true: every import between rooms is one that it allows."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sakd_dense"
ROW = re.compile(r"^\| `(\w+)/` \|[^|]*\|([^|]*)\|$", re.MULTILINE)


def allowed() -> dict[str, set[str]]:
    """Room -> the rooms that it may import from, by the table."""
    rows = ROW.findall((ROOT / "DEVELOPERS.md").read_text(encoding="utf-8"))
    return {room: set(re.findall(r"`(\w+)/`", cell)) for room, cell in rows}


def sources() -> list[Path]:
    files = sorted(PACKAGE.rglob("*.py"))
    return [f.relative_to(PACKAGE) for f in files if ".mim" not in f.parts]


def rooms_used(file: Path) -> set[str]:
    """The rooms that ``file`` imports from, inside of functions and conditions, too."""
    package = file.parts[:-1]
    used = set()
    for node in ast.walk(ast.parse((PACKAGE / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [
                a.name.split(".")[1:] for a in node.names if a.name.startswith("sakd_dense.")
            ]
        elif isinstance(node, ast.ImportFrom) and node.level:
            outer = list(package[: len(package) - node.level + 1])
            inner = node.module.split(".") if node.module else []
            modules = [[*outer, *inner, a.name] for a in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sakd_dense":
            modules = [[*node.module.split(".")[1:], a.name] for a in node.names]
        else:
            continue
        used |= {path[0] for path in modules if path and (PACKAGE / path[0]).is_dir()}
    return used


def test_the_table_names_every_room_and_nothing_else():
    folders = {f.parts[0] for f in sources() if len(f.parts) > 1}
    assert set(allowed()) == folders


def test_the_root_holds_registration_and_version_alone():
    assert {f.name for f in sources() if len(f.parts) == 1} == {"__init__.py", "version.py"}


@pytest.mark.parametrize("room", sorted(allowed()))
def test_a_room_imports_what_the_table_allows(room: str):
    used = {
        f"{room}/ uses {other}/ in {file}"
        for file in sources()
        if file.parts[0] == room
        for other in rooms_used(file) - {room} - allowed()[room]
    }
    assert not used


def test_no_room_reaches_back():
    assert list(TopologicalSorter(allowed()).static_order())  # raises CycleError on a circle
