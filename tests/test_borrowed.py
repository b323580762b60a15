"""What the package changes in other libraries, and which of their private names it uses.

DEVELOPERS.md lists both. A new change needs a row there, and a row without its change goes.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sakd_dense"
FILES = [f for f in sorted(PACKAGE.rglob("*.py")) if ".mim" not in f.parts]
ROW = re.compile(r"^\| `([\w/.]+\.py)` \| `([^`]+)` \|[^|]+\|[^|]+\|$", re.MULTILINE)
#: Calls that change a library or the process for good.
SETTERS = ("set_fastpath_enabled", "register_scheme", "mallopt", "setdefault")
#: Methods of others that are replaced under a name that the package's own classes have, too.
METHODS = ("forward", "init_weights", "skip_iter")
#: Variables of configs, arguments and records: data, of no library.
DATA = ("self", "cls", "cfg", "ann", "namespace", "cost", "run", "ctx", "_CallableRoom")
BY_NAME = ("getattr", "hasattr", "setattr")
#: Names with an underscore that their library documents.
DOCUMENTED = {"_fields", "_python_dispatch"}
MOST_PRIVATE_NAMES = 20


def trees() -> Iterator[tuple[str, ast.Module]]:
    for file in FILES:
        yield file.relative_to(PACKAGE).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def own_names() -> set[str]:
    """Attributes, functions and classes that the package itself defines."""
    names: set[str] = set()
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                    names.add(node.attr)
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names |= {t.id for t in targets if isinstance(t, ast.Name)}
    return names


OWN = own_names()


def imported(tree: ast.Module) -> set[str]:
    """Names that a file imports from other libraries."""
    return {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level)
        for alias in node.names
    }


def root_of(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def changes() -> set[tuple[str, str]]:
    """(file, target) of what is written to objects that are not the package's own."""
    found = set()
    for file, tree in trees():
        foreign = imported(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AugAssign):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                        if _is_foreign(part, foreign):
                            found.add((file, ast.unparse(part)))
            elif isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                if name in SETTERS and (name != "setdefault" or root_of(node.func) == "os"):
                    found.add((file, ast.unparse(node.func)))
                elif isinstance(node.func, ast.Name) and node.func.id == "setattr":
                    obj, attribute, *_ = node.args
                    if root_of(obj) not in DATA:
                        found.add((file, f"setattr({ast.unparse(obj)}, {ast.unparse(attribute)})"))
    return found


def _is_foreign(target: ast.expr, foreign: set[str]) -> bool:
    if not isinstance(target, ast.Attribute | ast.Subscript):
        return False
    root = root_of(target)
    if root in DATA or isinstance(target, ast.Subscript):
        return root in foreign - set(DATA)
    return root in foreign or target.attr in METHODS or target.attr not in OWN


def private_names() -> set[tuple[str, str]]:
    """(file, name) of private names of other libraries."""
    found = set()
    for file, tree in trees():
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Attribute):
                names = [node.attr] if node.attr not in OWN else []
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [*(node.module or "").split("."), *(a.name for a in node.names)]
            elif isinstance(node, ast.Call) and root_of(node.func) in BY_NAME:
                name = getattr(node.args[1], "value", None)
                names = [name] if isinstance(name, str) and name not in OWN else []
            private = (n for n in names if n.startswith("_") and not n.startswith("__"))
            found |= {(file, n) for n in private if n not in DOCUMENTED}
    return found


def test_every_change_has_a_row():
    rows = set(ROW.findall((ROOT / "DEVELOPERS.md").read_text(encoding="utf-8")))
    assert changes() - rows == set(), "add a row to DEVELOPERS.md"
    assert rows - changes() == set(), "the row has no change any more"


def test_few_private_names_of_others_are_used():
    assert len(private_names()) <= MOST_PRIVATE_NAMES, sorted(private_names())
