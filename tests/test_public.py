"""The public names: at the top, and in the `__all__` of each room."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from mmdet.models.backbones import ResNet as DetResNet
from mmdet.models.backbones import ResNeXt
from mmpretrain.models.backbones import ResNet as ClsResNet

import sakd_dense
from sakd_dense.distill.arguments import TEACHER
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


def arguments(kind: ast.ClassDef) -> list[str]:
    """The constructor's arguments, or the fields of a dataclass."""
    if any("dataclass" in ast.unparse(d) for d in kind.decorator_list):
        fields = (n for n in kind.body if isinstance(n, ast.AnnAssign))
        return [ast.unparse(f.target) for f in fields if "ClassVar" not in ast.unparse(f)]
    inits = (n for n in kind.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    return [a.arg for n in inits for a in [*n.args.args, *n.args.kwonlyargs] if a.arg != "self"]


def test_constructors_have_few_arguments():
    """At most twelve beside those of upstream's ResNets; the hook and its teacher have fewer."""
    upstream = {name for kind in (DetResNet, ResNeXt, ClsResNet) for name in names_of(kind)}
    upstream |= {"connects", "neuron"}  # how a spiking ResNet passes its own on
    for file in sorted(Path(sakd_dense.__file__).parent.rglob("*.py")):
        if ".mim" not in file.parts:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    ours = set(arguments(node)) - upstream
                    assert len(ours) <= 12, f"{file.name}: {node.name}"
    assert len(names_of(sakd_dense.SAKDHook)) <= 8
    assert len(TEACHER) <= 4


def names_of(kind: type) -> list[str]:
    return list(inspect.signature(kind).parameters)
