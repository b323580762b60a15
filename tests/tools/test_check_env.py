"""The check of the environment, with a made-up world in place of the real one."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.helpers.tooling import load_tool

environment = load_tool("check_env")
NOTE, OK, WRONG, Probe = environment.NOTE, environment.OK, environment.WRONG, environment.Probe

TOOL = Path(__file__).parents[2] / "tools" / "check_env.py"


def fake_torch(version="2.12.1+cu130", gpus=0, cuda="13.0"):
    gpu = SimpleNamespace(
        is_available=lambda: gpus > 0,
        device_count=lambda: gpus,
        get_device_name=lambda _: "a GPU",
    )
    return SimpleNamespace(
        __version__=version, cuda=gpu, version=SimpleNamespace(cuda=cuda), tensor=torch.tensor
    )


def fake_ops(kept=(0,), cuda="not available", error=None):
    def nms(boxes, scores, iou_threshold):
        if error:
            raise error
        return boxes, torch.tensor(kept)

    return SimpleNamespace(nms=nms, get_compiling_cuda_version=lambda: cuda)


def world(python=(3, 11, 7), missing=(), dists=None, **modules) -> Probe:
    """A probe of an environment in order, but for what the arguments change.

    A module given as an exception raises it when imported.
    """
    found = {
        "torch": fake_torch(),
        "torchvision": SimpleNamespace(__version__="0.27.1+cu130"),
        "mmengine": SimpleNamespace(__version__="0.10.12"),
        "mmcv": SimpleNamespace(__version__="2.3.6"),
        "mmcv.ops": fake_ops(),
        "mmdet": SimpleNamespace(__version__="3.5.1"),
        "mmseg": SimpleNamespace(__version__="1.4.2"),
        "mmpretrain": SimpleNamespace(__version__="1.3.6"),
        "spikingjelly.activation_based.neuron": SimpleNamespace(),
        "pycocotools": SimpleNamespace(),
        "pycocotools.mask": SimpleNamespace(),
    }
    found.update({name.replace("__", "."): module for name, module in modules.items()})
    versions = {"torch": "2.12.1", "spikingjelly": "2.0.0", "pycocotools": "2.0.11"}
    versions.update(numpy="2.4.6", matplotlib="3.10.1", jinja2="3.1.6", pillow="12.0.0")
    versions["safetensors"] = "0.8.0"
    versions.update({"onedl-mmcv": "2.3.6", "onedl-mmdetection": "3.5.1"})
    versions.update(dists or {})

    def load(name):
        if name not in found or name in missing:
            raise ModuleNotFoundError(f"No module named {name!r}")
        if isinstance(found[name], Exception):
            raise found[name]
        return found[name]

    def is_there(name):
        return name in found and name not in missing

    def version(name):
        return None if name in missing else versions.get(name)

    return Probe(python, load, is_there, version)


def states(probe: Probe) -> dict[str, str]:
    return {f.name: f.state for f in environment.check_environment(probe)}


def finding(probe: Probe, name: str):
    return next(f for f in environment.check_environment(probe) if f.name == name)


def test_an_environment_in_order():
    found = states(world())
    assert found.pop("GPU") == NOTE
    assert set(found.values()) == {OK}


@pytest.mark.parametrize(
    ("name", "probe", "says"),
    [
        ("python", world(python=(3, 10, 13)), "3.10.13 is too old"),
        ("torch", world(missing=["torch"]), "missing"),
        ("torch", world(torch=OSError("libtorch.so: no such file")), "libtorch.so"),
        ("torch", world(torch=fake_torch("2.1.0")), "2.1.0 is too old"),
        ("torch", world(torch=fake_torch("2.5.1+cu124")), "2.5.1+cu124 is too old"),
        ("torchvision", world(missing=["torchvision"]), "missing"),
        (
            "torchvision",
            world(torchvision=RuntimeError("operator torchvision::nms does not exist")),
            "operator torchvision::nms does not exist",
        ),
        (
            "torchvision",
            world(torchvision=SimpleNamespace(__version__="0.26.0")),
            "0.26.0 does not fit torch 2.12.1",
        ),
        ("mmengine", world(missing=["mmengine"]), "missing"),
        ("mmengine", world(mmengine=SimpleNamespace(__version__="0.8.0")), "0.8.0"),
        ("mmcv", world(missing=["mmcv", "mmcv.ops"]), "missing"),
        ("mmcv", world(mmcv=SimpleNamespace(__version__="1.7.2")), "is not >=2.0,<2.4"),
        ("mmcv", world(dists={"mmcv": "2.1.0"}), "installed twice (mmcv and onedl-mmcv)"),
        ("mmcv", world(dists={"mmcv-lite": "2.1.0"}), "mmcv-lite and onedl-mmcv"),
        ("mmdet", world(mmdet=AssertionError("MMCV==2.3.6 is used")), "MMCV==2.3.6 is used"),
        ("mmdet", world(dists={"mmdet": "3.3.0"}), "mmdet and onedl-mmdetection"),
        ("mmdet", world(mmdet=SimpleNamespace(__version__="2.28.0")), "2.28.0"),
        ("mmseg", world(missing=["mmseg"]), "missing"),
        ("spikingjelly", world(dists={"spikingjelly": "0.0.0.0.14"}), "0.0.0.0.14 is too old"),
        ("spikingjelly", world(missing=["spikingjelly"]), "missing"),
        ("pycocotools", world(missing=["pycocotools"]), "missing"),
        ("pycocotools", world(dists={"pycocotools": "2.0.7"}), "2.0.7 is too old"),
        ("numpy", world(dists={"numpy": "1.26.3"}), "1.26.3 is too old"),
        ("matplotlib", world(dists={"matplotlib": "3.8.4"}), "3.8.4 is too old"),
        ("safetensors", world(missing=["safetensors"]), "missing"),
        ("pycocotools", world(pycocotools__mask=ValueError("numpy.dtype size")), "numpy.dtype"),
    ],
)
def test_what_is_wrong_is_named_and_can_be_mended(name, probe, says):
    found = finding(probe, name)
    assert found.state == WRONG
    assert says in found.found
    assert found.fix


@pytest.mark.parametrize(
    ("ops", "says"),
    [
        (ModuleNotFoundError("No module named 'mmcv._ext'"), "No module named 'mmcv._ext'"),
        (ImportError("_ext.so: undefined symbol: _ZN3c10"), "built against another torch"),
        (fake_ops(error=RuntimeError("not implemented")), "not implemented"),
        (fake_ops(kept=(0, 1)), "wrong answer"),
    ],
)
def test_mmcv_without_working_operators(ops, says):
    found = finding(world(mmcv__ops=ops), "mmcv operators")
    assert found.state == WRONG
    assert says in found.found
    assert "MMCV_WITH_OPS=1" in found.fix


def test_mmcv_built_for_the_cpu_on_a_machine_with_a_gpu():
    torch_with_gpu = fake_torch(gpus=1)
    found = finding(world(torch=torch_with_gpu), "mmcv operators")
    assert (found.state, "GPU" in found.found) == (WRONG, True)
    probe = world(torch=torch_with_gpu, mmcv__ops=fake_ops(cuda="13.0"))
    assert finding(probe, "mmcv operators").state == OK
    assert finding(probe, "GPU").found == "1 x a GPU"


def test_the_right_torchvision_is_named():
    found = finding(world(missing=["torchvision"]), "torchvision")
    assert "torchvision==0.27.*" in found.fix


def test_mmpretrain_may_be_missing():
    found = finding(world(missing=["mmpretrain"]), "mmpretrain")
    assert found.state == NOTE
    assert "classification" in found.found


def test_originals_are_as_good_as_the_forks():
    originals = world(
        missing=["onedl-mmcv", "onedl-mmdetection"],
        dists={"mmcv": "2.1.0", "mmdet": "3.3.0"},
        mmcv=SimpleNamespace(__version__="2.1.0"),
        mmdet=SimpleNamespace(__version__="3.3.0"),
    )
    assert WRONG not in states(originals).values()


def test_no_gpu_is_a_note_that_knows_a_build_for_the_cpu():
    assert "build for the CPU" in finding(world(torch=fake_torch(cuda=None)), "GPU").found


def test_the_report_is_aligned_and_says_what_to_do():
    text = environment.report(environment.check_environment(world(missing=["mmdet"])))
    table = text.split("\n\n")[0].splitlines()
    starts = {line.find(f" {state}") for line in table for state in (OK, NOTE, WRONG)} - {-1}
    assert len(starts) == 1
    assert "- mmdet: Run `make install`" in text
    assert text.endswith("1 wrong.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2.12.1+cu130", (2, 12, 1)), ("0.0.0.0.14", (0, 0, 0, 0, 14)), ("1.0rc1", (1, 0)), ("x", ())],
)
def test_numbers(text, expected):
    assert environment.numbers(text) == expected


def test_oldest_versions_are_those_of_setup():
    """What setup.py promises is what the check holds an environment to."""
    text = (TOOL.parents[1] / "setup.py").read_text()
    bounds = dict(re.findall(r'"([\w-]+)>=([\d.]+)', text))
    assert {name: bounds[name] for name in environment.OLDEST} == environment.OLDEST


def test_the_tool_runs_without_any_package():
    """``-S`` leaves site-packages out: a Python in which nothing is installed."""
    run = subprocess.run([sys.executable, "-S", str(TOOL)], capture_output=True, text=True)
    assert run.returncode == 1
    assert "torch" in run.stdout and "missing" in run.stdout
    assert "Traceback" not in run.stderr
