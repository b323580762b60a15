"""The installer's decisions: when, from where, and for which machine. Needs no network."""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from tests.helpers.tooling import load_tool

ROOT = Path(__file__).parents[2]


def test_fingerprint_follows_what_decides(tmp_path, monkeypatch):
    install = load_tool("install")
    for name in install.DECIDING:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    monkeypatch.setattr(install, "ROOT", tmp_path)
    seen = {install.fingerprint()}
    assert install.fingerprint() in seen
    for name in install.DECIDING:
        (tmp_path / name).write_text("changed\n")
        assert install.fingerprint() not in seen
        seen.add(install.fingerprint())


def test_wheel_key_names_all_that_it_depends_on():
    tool = load_tool("mmcv_wheel")
    base = dict(mmcv="2.3.6", torch="2.12.1+cu130", cuda="cpu", python="cp311", platform="linux")
    other = dict(mmcv="2.3.7", torch="2.12.0", cuda="cuda13.0-sm90", python="cp312", platform="x")
    keys = {tool.Target(**base).key}
    keys |= {tool.Target(**{**base, name: value}).key for name, value in other.items()}
    assert len(keys) == 1 + len(other)
    assert all(re.fullmatch(r"[\w.+-]+", key) for key in keys)


def test_wheels_are_kept_outside_the_checkout(monkeypatch, tmp_path):
    tool = load_tool("mmcv_wheel")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tool.wheels_folder() == tmp_path / "sakd_dense" / "wheels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert ROOT not in tool.wheels_folder().parents


def test_wanted_version_comes_from_the_constraints(tmp_path):
    tool = load_tool("mmcv_wheel")
    (tmp_path / "c.txt").write_text("onedl-mmcv==2.3.6  # with operators\n")
    assert tool.wanted_version(tmp_path / "c.txt") == "2.3.6"
    (tmp_path / "c.txt").write_text("torch==2.12.1\n")
    with pytest.raises(ValueError, match="no line onedl-mmcv=="):
        tool.wanted_version(tmp_path / "c.txt")


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_build_leaves_a_whole_wheel_or_nothing(tmp_path, monkeypatch, succeeds):
    tool = load_tool("mmcv_wheel")
    target = tool.Target("2.3.6", "2.12.1", "cpu")
    folder = tmp_path / target.key
    job = (
        "import pathlib, sys; out = pathlib.Path(sys.argv[-1]); out.mkdir();"
        "(out / 'onedl_mmcv-2.3.6.whl').touch(); print('[3/97] cc nms.cpp');"
        f"sys.exit({0 if succeeds else 1})"
    )
    real = subprocess.Popen
    monkeypatch.setattr(
        tool.subprocess,
        "Popen",
        lambda command, **options: real([sys.executable, "-c", job, command[-1]], **options),
    )
    monkeypatch.setattr(tool, "require_compiler", lambda: None)
    if succeeds:
        assert tool.build(target, folder) == folder / "onedl_mmcv-2.3.6.whl"
    else:
        with pytest.raises(SystemExit, match="failed; the whole log is"):
            tool.build(target, folder)
        assert not folder.exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".building-")]
    assert tool.progress(tmp_path / f"{target.key}.log") == "3/97"


def test_no_compiler_is_said_plainly(monkeypatch):
    tool = load_tool("mmcv_wheel")
    monkeypatch.setattr(tool.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"No C\+\+ compiler found"):
        tool.require_compiler()


def test_without_a_gpu_the_operators_are_built_for_the_cpu(monkeypatch, tmp_path):
    tool = load_tool("mmcv_wheel")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert tool.cuda_part() == "cpu"
    env = tool.build_environment(None, tmp_path)
    assert (env["MMCV_WITH_OPS"], env["FORCE_CUDA"], env["CUDA_VISIBLE_DEVICES"]) == ("1", "0", "")


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr("torch.version.cuda", "13.0")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda i: [(9, 0), (8, 0)][i])
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)


def test_a_build_for_gpus_is_named_after_them(two_gpus):
    assert load_tool("mmcv_wheel").cuda_part() == "cuda13.0-sm80-sm90"


def toolkit(folder: Path, release: str, library: str = "lib64/libcudart.so") -> Path:
    """A CUDA toolkit that can say its version, and nothing else."""
    for path in (folder / "bin" / "nvcc", folder / library):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V1'\n")
        path.chmod(0o755)
    return folder


def test_the_machines_toolkit_is_taken_if_it_fits(two_gpus, monkeypatch, tmp_path):
    tool = load_tool("mmcv_wheel")
    home = toolkit(tmp_path / "cuda", "13.1")
    monkeypatch.setattr("torch.utils.cpp_extension.CUDA_HOME", str(home))
    assert tool.find_cuda() == home
    env = tool.build_environment(home, tmp_path)
    assert (env["CUDA_HOME"], env["FORCE_CUDA"]) == (str(home), "1")
    assert env["PATH"].startswith(str(home / "bin"))


def test_else_the_registrys_toolkit(two_gpus, monkeypatch, tmp_path):
    tool = load_tool("mmcv_wheel")
    site = tmp_path / "site"
    calls = []

    def pip(*arguments):
        calls.append(arguments)
        toolkit(site / "nvidia" / "cu13", "13.0", library="lib/libcudart.so.13")

    monkeypatch.setattr("torch.utils.cpp_extension.CUDA_HOME", None)
    monkeypatch.setattr(tool, "version", lambda name: "13.0.2")
    monkeypatch.setattr(tool, "pip", pip)
    monkeypatch.setattr(tool.sysconfig, "get_paths", lambda: {"platlib": str(site)})
    home = tool.find_cuda()
    assert home == site / "nvidia" / "cu13"
    assert calls == [("install", "-q", "cuda-toolkit[nvcc,crt,nvvm,cccl]==13.0.2")]
    env = tool.build_environment(home, tmp_path)
    linked = Path(env["LIBRARY_PATH"].split(os.pathsep)[0]) / "libcudart.so"
    assert linked.resolve() == home / "lib" / "libcudart.so.13"


def test_a_gpu_without_any_toolkit_is_said_plainly(two_gpus, monkeypatch, tmp_path):
    tool = load_tool("mmcv_wheel")

    def version(name):
        raise PackageNotFoundError(name)

    old = toolkit(tmp_path / "cuda", "12.8")
    monkeypatch.setattr("torch.utils.cpp_extension.CUDA_HOME", str(old))
    monkeypatch.setattr(tool, "version", version)
    monkeypatch.setattr(tool.sysconfig, "get_paths", lambda: {"platlib": str(tmp_path)})
    with pytest.raises(SystemExit, match=r"no CUDA toolkit 13\.0"):
        tool.find_cuda()


def test_the_oldest_versions_are_tested_by_tests_that_exist(tmp_path):
    tool = load_tool("lowest")
    assert all((ROOT / path).exists() for path in tool.SMOKE)
    assert tool.lower_bound("torch") == "2.6"
    with pytest.raises(SystemExit, match="has no lower bound for nobody"):
        tool.lower_bound("nobody")
    (tmp_path / "pins.txt").write_text("torch==2.6.0\ntorchvision==0.21.0 ; python\nnumpy==2.0.1\n")
    found = tool.pins_of(tmp_path / "pins.txt", ("torch", "torchvision", "scipy"))
    assert found == ["torch==2.6.0", "torchvision==0.21.0"]


def test_every_requirement_has_an_oldest_version():
    """Else no version could be refused, and none of the old ones is known to work."""
    setup = next(
        node.value
        for node in ast.parse((ROOT / "setup.py").read_text()).body
        if isinstance(node, ast.Expr) and getattr(node.value, "func", None) is not None
    )
    wanted = {k.arg: k.value for k in setup.keywords}
    extras = ast.literal_eval(wanted["extras_require"])
    tools = extras.pop("dev")
    requirements = ast.literal_eval(wanted["install_requires"]) + sum(extras.values(), [])
    assert requirements and not [r for r in requirements if ">=" not in r]
    assert len(tools) >= 2


@pytest.mark.parametrize("name", ["dist_train.sh", "dist_test.sh", "slurm_train.sh"])
def test_launchers_say_how_to_use_them(name):
    script = ROOT / "tools" / name
    assert os.access(script, os.X_OK)
    run = subprocess.run([str(script)], capture_output=True, text=True)
    assert run.returncode == 2
    assert "usage:" in run.stderr
