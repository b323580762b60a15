"""The command lines, as functions."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

TOOLS = Path(__file__).parents[1] / "tools"


def tool(name: str) -> Callable[[list[str]], None]:
    """``main(argv)`` of ``tools/<name>.py``."""
    spec = importlib.util.spec_from_file_location(f"tools_{name}", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main
