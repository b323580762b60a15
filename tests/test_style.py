"""Docstrings are written by one hand (DEVELOPERS.md, "Style"), and links lead somewhere."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = [
    f
    for folder in ("sakd_dense", "tools", "benchmarks")
    for f in sorted((ROOT / folder).rglob("*.py"))
    if ".mim" not in f.parts
]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def docstrings(files):
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, DOCUMENTED):
                name = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"
                yield name, ast.get_docstring(node) or ""


def test_summaries_state():
    found = docstrings(FILES)
    assert not [n for n, d in found if re.match(r"(What|Which|How|Where|Who)\b", d)]


def test_arguments_and_errors_are_written_by_one_hand():
    """An error is "UserError: the ..."; the description of an argument opens in lower case."""
    wrong = []
    for name, text in docstrings(FILES):
        for section in re.findall(
            r"^(?:Args|Raises|Attributes):\n((?:    .*\n|\n)+)", text + "\n", re.M
        ):
            for line in section.splitlines():
                entry = re.match(r"    (?! )\**[\w, .*]+: (\S+ ?\S*)", line)
                if entry and re.match(r"(if |[A-Z][a-z]+( |$))", entry[1]):
                    wrong.append(f"{name}: {line.strip()}")
    assert not wrong


def test_links_of_pages_outside_the_site_lead_to_files():
    """The site's own are checked when it is built."""
    pages = [
        *ROOT.glob("*.md"),
        *(ROOT / "benchmarks").rglob("*.md"),
        *(ROOT / "tests").glob("*.md"),
    ]
    links = [(p, m) for p in pages for m in re.findall(r"\]\((?!\w+:)([^)#\s]+)", p.read_text())]
    assert len(links) > 50
    assert not [f"{p.relative_to(ROOT)}: {m}" for p, m in links if not (p.parent / m).exists()]
