"""The command lines, as functions."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

TOOLS = Path(__file__).parents[2] / "tools"


def load_tool(name: str) -> ModuleType:
    """``tools/<name>.py`` as a module."""
    spec = importlib.util.spec_from_file_location(f"tools_{name}", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tool(name: str) -> Callable[[list[str]], None]:
    """``main(argv)`` of ``tools/<name>.py``."""
    return load_tool(name).main
