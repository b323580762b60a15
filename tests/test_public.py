"""The public names: at the top, and in the `__all__` of each room."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import sakd_dense
from tests.test_rooms import allowed

NAMES = [name for name in sakd_dense.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_at_the_top_can_be_called_and_says_what_it_is(name: str):
    value = getattr(sakd_dense, name)
    assert callable(value) and inspect.getdoc(value)
    assert name in dir(sakd_dense)


def test_transfer_is_the_room_and_level_1(tmp_path: Path):
    assert inspect.ismodule(sakd_dense.transfer)
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        sakd_dense.transfer(sakd_dense.SEWResNet(18), tmp_path / "none.pth")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nobody'"):
        _ = sakd_dense.nobody


@pytest.mark.parametrize("room", sorted(allowed()))
def test_a_room_lists_what_is_public(room: str):
    module = importlib.import_module(f"sakd_dense.{room}")
    assert inspect.getdoc(module)
    for name in module.__all__:
        # A function never hides the module of the same name.
        hidden = Path(module.__file__).with_name(f"{name}.py")
        assert hasattr(module, name) and not hidden.exists()


@pytest.mark.slow
def test_the_import_loads_no_profiler_and_no_picture():
    code = "import sys, sakd_dense; print(*[m for m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    unneeded = {"sakd_dense.energy", "sakd_dense.report", "sakd_dense.export", "onnx"}
    profilers = {m for m in loaded if m.startswith("spikingjelly.") and "op_counter" in m}
    assert not (unneeded & loaded) and not profilers
