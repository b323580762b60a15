"""Docstrings: a summary states, it does not open as a question would (DEVELOPERS.md, "Style")."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    f
    for folder in ("sakd_dense", "tools", "benchmarks")
    for f in sorted((ROOT / folder).rglob("*.py"))
    if ".mim" not in f.parts
]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_summaries_state(file):
    tree = ast.parse(file.read_text())
    docstrings = (ast.get_docstring(n) or "" for n in ast.walk(tree) if isinstance(n, DOCUMENTED))
    assert not [d for d in docstrings if re.match(r"(What|Which|How|Where|Who)\b", d)]
