"""What the documentation site adds to its Markdown files while it is built.

Some pages are written from the sources: `index.md` (the README), `tutorials/tour.md` (the tour's
cells), `reference/tools.md` (every tool's ``--help``), `reference/configs.md` (every shipped
config) and `reference/models.md` (every trained model, from benchmarks/results). Links to files
outside of `docs/` become their names.
"""

import ast
import contextlib
import io
import json
import os
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
#: Tools that are no command of a user's: they build this project.
INTERNAL = {"_startup", "install", "lowest", "mmcv_wheel"}
_LINK = re.compile(r"\[([^\]]+)\]\(([\w./-]+)(#[\w-]*)?\)")
_ROLE = re.compile(r":(?:class|func|mod|meth|data|attr):`~?\.?([^`]+)`")
_MATH = re.compile(r"^( *)\.\. math::[ \t]*(.*(?:\n(?:\1[ \t]+.*|[ \t]*))*)", re.MULTILINE)
#: Which --help would otherwise take from the terminal.
os.environ.setdefault("COLUMNS", "100")


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages."""
    pages = {
        "index.md": home_page,
        "tutorials/tour.md": tour_page,
        "reference/tools.md": tools_page,
        "reference/configs.md": configs_page,
        "reference/models.md": models_page,
    }
    for path, write in pages.items():
        files.append(File.generated(config, path, content=write()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Names the files of the repository that the site does not hold, instead of linking to them."""
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def named(link: re.Match[str]) -> str:
        target = (folder / link[2]).resolve()
        if target.is_relative_to(ROOT / "docs") or not target.exists():
            return link[0]
        path = target.relative_to(ROOT)
        return (
            f"`{path}`" if link[1].strip("`") in (path.name, str(path)) else f"{link[1]} (`{path}`)"
        )

    return _LINK.sub(named, markdown)


def home_page() -> str:
    """The README, whose links are seen from here."""
    return (ROOT / "README.md").read_text().replace("](docs/", "](")


def tour_page() -> str:
    """The cells of `tutorials/tour.py`: text as it is, code as blocks."""
    parts = []
    cells = re.split(r"^# %%", (ROOT / "docs/tutorials/tour.py").read_text(), flags=re.MULTILINE)
    for cell in cells[1:]:
        kind, _, body = cell.partition("\n")
        if "markdown" in kind:
            parts.append(re.sub(r"^# ?", "", body, flags=re.MULTILINE))
        else:
            parts.append(f"```python\n{body.strip()}\n```\n")
    return "\n".join(parts)


def tools_page() -> str:
    """Every tool's ``--help``."""
    parts = ["# Tools\n", "Each tool prints this text with `--help`.\n"]
    for tool in sorted((ROOT / "tools").glob("*.py")):
        if tool.stem not in INTERNAL:
            parts.append(f"## {tool.stem}\n\n```text\n{help_of(tool)}```\n")
    return "\n".join(parts)


def help_of(tool: Path) -> str:
    """What ``python tools/NAME.py --help`` prints, 100 columns wide."""
    argv, path, printed = sys.argv, list(sys.path), io.StringIO()
    sys.argv = [f"tools/{tool.name}", "--help"]
    sys.path.insert(0, str(tool.parent))
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            runpy.run_path(str(tool), run_name="__main__")
    finally:
        sys.argv, sys.path[:] = argv, path
    return printed.getvalue()


def configs_page() -> str:
    """Every shipped config, and the first line of its docstring."""
    lines = [
        "# Configs\n",
        "Train one with `python tools/train.py configs/NAME.py`; inherit one with "
        '`_base_ = "sakd_dense::NAME.py"`.\n',
        "| config | what it is |",
        "|---|---|",
    ]
    for config in sorted((ROOT / "configs").glob("*.py")):
        said = ast.get_docstring(ast.parse(config.read_text())) or ""
        summary = " ".join(said.partition("\n\n")[0].split()).replace("|", "\\|")
        lines.append(f"| `{config.stem}` | {summary} |")
    return "\n".join(lines) + "\n"


def models_page() -> str:
    """Every model whose test is kept in benchmarks/results, with the commands that make it."""
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks.accuracy.arms import ARMS
        from benchmarks.accuracy.runs import readings
        from benchmarks.accuracy.tracks import TRACKS
    finally:
        sys.path.remove(str(ROOT))
    parts = [MODELS_INTRODUCTION]
    for name, track in TRACKS.items():
        rows = []
        for arm in ARMS:
            files = sorted((ROOT / "benchmarks" / "results" / name).glob(f"{arm}-seed?.json"))
            found = [row for f in files for row in json.loads(f.read_text())["rows"]]
            for count in ARMS[arm].get("read_counts", [None]):
                cells = readings(
                    [r for r in found if r.get("D") == count], track.metric, track.digits
                )
                label = f"`{arm}`" + ("" if count is None else f", D = {count}")
                rows += [f"| {label} | {len(files)} | {' | '.join(cells)} |"] if files else []
        if rows:
            head = f"| arm | seeds | {' | '.join(f'T = {t}' for t in (1, 2, 4, 8))} | firing rate |"
            table = "\n".join([head, "|---" * 7 + "|", *rows])
            config = Path(track.student)
            parts.append(f"## {name}\n\n`{config}`, {track.metric}:\n\n{table}\n")
    return "\n".join(parts)


MODELS_INTRODUCTION = """# Models

The test results of every model that was trained, from the records in `benchmarks/results/`. The
weights are not hosted yet. One command makes those of a row, for example of `sakd` on `bccd`:

    python -m benchmarks.accuracy.runs bccd publish sakd --seed 0

It trains the teacher and the student unless their runs are in `work_dirs/`, tests the student and
writes `work_dirs/published/bccd_sakd-seed0-HASH.safetensors`. The JSON record beside it has the
backbone, the config, the classes, the metrics at each T and the hash of the weights.

Values are means ± standard deviations over the seeds. The columns are the T at which one checkpoint
is read; an ANN has one value. `python -m benchmarks.accuracy.runs bccd list` prints what each arm
is. The data sets are those that the configs name.
"""


class PlainDocstrings(griffe.Extension):
    """Sphinx's roles and equations, which docstrings have, as Markdown."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """``:func:`name``` -> `` `name` ``; ``.. math::`` and ``::`` -> blocks of code."""
    text = _ROLE.sub(lambda m: f"`{m[1]}`", text)
    text = _MATH.sub(lambda m: f"{m[1]}```text\n{m[1]}{m[2].strip()}\n{m[1]}```\n\n", text)
    text = re.sub(r":math:`([^`]+)`", r"`\1`", text)
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    return re.sub(r"::\n\n", ":\n\n", text)
