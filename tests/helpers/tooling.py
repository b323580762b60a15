"""The command lines, as functions."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

TOOLS = Path(__file__).parents[2] / "tools"


def load_tool(name: str) -> ModuleType:
    """``tools/<name>.py`` as a module."""
    if "_startup" not in sys.modules:  # it lies beside the tools, which are no package
        _load("_startup", "_startup")
    return _load(name, f"tools_{name}")


def _load(name: str, module_name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module_name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def tool(name: str) -> Callable[[list[str]], None]:
    """``main(argv)`` of ``tools/<name>.py``."""
    return load_tool(name).main
