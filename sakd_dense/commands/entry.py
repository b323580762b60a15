"""The command ``sakd_dense``, which runs this project's tools wherever the package is installed.

``sakd_dense train CONFIG --sakd`` is the same as ``python tools/train.py CONFIG --sakd`` in a
checkout.
"""

import ast
import os
import runpy
import sys
from pathlib import Path

from ..runtime.errors import UserError

#: The folder in which setup.py puts the tools: links in a checkout, copies in a wheel.
TOOLS = Path(__file__).resolve().parents[1] / ".mim" / "tools"
#: Tools that build the project and need its checkout.
INTERNAL = ("_startup", "install", "lowest", "mmcv_wheel", "demo")


def commands() -> dict[str, Path]:
    """Returns the file of each tool by its name.

    Raises:
        UserError: the package has no tools, since it is neither installed nor linked.
    """
    found = {f.stem: f for f in sorted(TOOLS.glob("*.py")) if f.stem not in INTERNAL}
    if not found:
        raise UserError(
            f"{TOOLS} has no tools: install the package (pip install -e . in a checkout)"
        )
    return found


def usage() -> str:
    """Returns the list of commands with the first line of each tool's docstring."""
    lines = ["usage: sakd_dense COMMAND [arguments]", "", "commands:"]
    for name, file in commands().items():
        said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        lines.append(f"  {name:15s} {said.splitlines()[0]}")
    lines += ["", "sakd_dense COMMAND --help lists the arguments of a command."]
    return "\n".join(lines)


def main() -> None:
    """Runs the tool that the first argument names, with the other arguments."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    try:
        known = commands()
    except UserError as error:
        sys.exit(f"sakd_dense: {error}")
    if name in ("-h", "--help"):
        print(usage())
        return
    if name not in known:
        sys.exit(f"sakd_dense: unknown command {name!r}; choose from {', '.join(known)}")
    sys.argv[:2] = [os.fspath(known[name])]
    sys.path.insert(0, os.fspath(TOOLS))  # as Python does for a script
    runpy.run_path(os.fspath(known[name]), run_name="__main__")


__all__ = ["commands", "main", "usage"]
