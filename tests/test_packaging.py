"""Packaging: the wheel, the links, the pins and the names of configs. Needs no network."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from mmengine.config import utils as config_utils
from packaging.requirements import Requirement

import sakd_dense
from sakd_dense.config import scopes

ROOT = Path(__file__).parents[1]
OPENMMLAB = re.compile(r"^(onedl-|mim$|openmim|mmengine|mmcv|mmdet|mmseg|mmpretrain|mmcls)")


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(len(r.specifier) == 1 for r in wanted)
    return {r.name.lower(): next(iter(r.specifier)).version for r in wanted}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of what is packaged, so that the checkout stays as it is."""
    source = tmp_path_factory.mktemp("source") / "checkout"
    source.mkdir()
    skip = shutil.ignore_patterns("__pycache__", ".mim")
    for name in ("sakd_dense", "configs", "tools"):
        shutil.copytree(ROOT / name, source / name, ignore=skip)
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "model-index.yml", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    return source


def build_wheel(source: Path, out: Path) -> zipfile.ZipFile:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--no-index", "-w", str(out), str(source)], check=True)
    return zipfile.ZipFile(next(out.glob("*.whl")))


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> zipfile.ZipFile:
    wheel = build_wheel(source, tmp_path_factory.mktemp("wheel"))
    assert not (source / "sakd_dense" / ".mim").exists()
    return wheel


@pytest.mark.nightly
@pytest.mark.slow
def test_the_source_archive_gives_the_same_wheel(source, wheel, tmp_path):
    command = [sys.executable, "setup.py", "-q", "sdist", "-d", tmp_path]
    subprocess.run(command, cwd=source, check=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build_wheel(next(p for p in tmp_path.iterdir() if p.is_dir()), tmp_path)
    assert set(again.namelist()) == set(wheel.namelist())


def test_the_version_is_that_of_the_citation():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == sakd_dense.__version__
    assert f"## [{sakd_dense.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_wheel_carries_configs_tools_and_index(wheel):
    names = set(wheel.namelist())
    assert "sakd_dense/.mim/model-index.yml" in names
    for folder, pattern in (("configs", "*.py"), ("tools", "*.py"), ("tools", "*.sh")):
        for path in (ROOT / folder).rglob(pattern):
            assert f"sakd_dense/.mim/{path.relative_to(ROOT).as_posix()}" in names
    assert (
        "sakd_dense = sakd_dense.commands.entry:main"
        in wheel.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
    )
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "sakd_dense").rglob("*.py")}
    assert {m for m in modules if "/.mim/" not in m} <= names


@pytest.mark.nightly
@pytest.mark.slow
def test_an_installed_wheel_runs_the_command_and_finds_its_configs(wheel, tmp_path):
    """In an environment of its own, which sees this one's libraries but not this checkout."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    wheel.extractall(site)
    # The libraries of this environment; a .pth of its own would name the checkout.
    others = [p for p in sys.path if p.endswith("site-packages")]
    code = (
        "import sys; sys.argv = ['sakd_dense', *sys.argv[1:]];"
        "import sakd_dense; from sakd_dense.commands.entry import main;"
        "assert sakd_dense.__file__.startswith(sys.prefix), sakd_dense.__file__; main()"
    )
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(site), *others]))
    out = tmp_path / "student.py"
    arguments = ["convert_config", "sakd_dense::r18_digits.py", "--teacher-checkpoint", "ann.pth"]
    done = subprocess.run(
        [python, "-c", code, *arguments, "--out", out],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert Config.fromfile(out).model.backbone.type == "SEWResNet"


def test_wheel_requires_no_openmmlab_distribution_unless_asked(wheel):
    metadata_name = next(n for n in wheel.namelist() if n.endswith("METADATA"))
    metadata = wheel.read(metadata_name).decode()
    assert f"Version: {sakd_dense.__version__}\n" in metadata
    wanted = [Requirement(r) for r in re.findall(r"^Requires-Dist: (.*)$", metadata, re.M)]
    plain = [r for r in wanted if r.marker is None]
    assert {"torch", "torchvision", "spikingjelly"} <= {r.name for r in plain}
    assert not [r.name for r in plain if OPENMMLAB.match(r.name)]
    by_extra = {"onedl": 5, "cls": 1, "demo": 1, "dev": 2}
    for extra, at_least in by_extra.items():
        named = [r for r in wanted if r.marker and r.marker.evaluate({"extra": extra})]
        assert len(named) >= at_least, extra
        if extra != "onedl":
            assert not [r.name for r in named if OPENMMLAB.match(r.name)]


def test_pins_lie_in_the_ranges_of_setup():
    try:
        wanted = [Requirement(line) for line in requires("sakd_dense") or []]
    except PackageNotFoundError:
        pytest.skip("sakd_dense is not installed as a distribution")
    pinned = pins()
    for requirement in wanted:
        assert pinned[requirement.name.lower()] in requirement.specifier, requirement


def test_pins_leave_the_cuda_libraries_to_torch():
    assert not [name for name in pins() if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_editable_install_links_to_the_checkout():
    mim = Path(sakd_dense.__file__).parent / ".mim"
    if not mim.exists():
        pytest.skip("sakd_dense is not installed")
    for name in ("configs", "tools", "model-index.yml"):
        assert (mim / name).resolve() == ROOT / name


def test_model_index_is_what_mmengine_reads():
    assert isinstance(yaml.safe_load((ROOT / "model-index.yml").read_text())["Import"], list)


@pytest.mark.parametrize(
    "base",
    [
        "mmseg::_base_/models/fcn_r50-d8.py",
        "mmdet::_base_/models/retinanet_r50_fpn.py",
        "mmpretrain::_base_/models/resnet18.py",
    ],
)
def test_bases_of_the_family_resolve(tmp_path, base):
    pytest.importorskip(base.partition("::")[0])
    path = tmp_path / "config.py"
    path.write_text(f"_base_ = {base!r}\n")
    assert "backbone" in Config.fromfile(path).model
    assert Path(scopes.config_file(base)).is_file()


def test_a_shipped_config_is_found_by_name():
    for file in (ROOT / "configs").glob("*.py"):
        assert Path(scopes.config_file(f"sakd_dense::{file.name}")).resolve() == file


@pytest.mark.parametrize(
    "name",
    ["retinanet_sew50_sakd_coco.py", "fcn_sew50_sakd_ade20k.py", "sew50_sakd_imagenet.py"],
)
def test_a_shipped_config_is_the_same_by_name_and_by_path(tmp_path, name):
    path = tmp_path / "config.py"
    path.write_text(f"_base_ = 'sakd_dense::{name}'\n")
    assert Config.fromfile(path).to_dict() == Config.fromfile(ROOT / "configs" / name).to_dict()


def test_mending_again_changes_nothing():
    before = (dict(config_utils.MODULE2PACKAGE), Config._get_cfg_path)
    scopes.patch_config_scopes()
    after = (dict(config_utils.MODULE2PACKAGE), Config._get_cfg_path)
    assert before == after


def test_original_mmsegmentation_keeps_its_entry(monkeypatch):
    monkeypatch.setitem(config_utils.MODULE2PACKAGE, "mmseg", "mmsegmentation")
    monkeypatch.setattr(scopes, "_distribution_is_there", lambda name: True)
    scopes.patch_config_scopes()
    assert config_utils.MODULE2PACKAGE["mmseg"] == "mmsegmentation"


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("nobody::a/b.py", ValueError, "'nobody' is not a package with configs"),
        ("mmtrack::a/b.py", ModuleNotFoundError, "'mmtrack' is not installed"),
        ("sakd_dense::none_such.py", FileNotFoundError, "none_such.py"),
    ],
)
def test_config_names_that_mean_nothing(name, error, says):
    with pytest.raises(error, match=says):
        scopes.config_file(name)


def test_a_path_is_its_own_config_file():
    assert scopes.config_file("some/where.py") == "some/where.py"
