"""Packaging. ``pip install -e .`` for work on the code, ``pip wheel .`` for a wheel.

OpenMMLab's tools look for a package's configs in ``<package>/.mim``. An editable install gets
links there, a wheel gets copies, so that ``_base_ = 'sakd_dense::<config>.py'`` works in both.

The OpenMMLab packages are not in ``install_requires``: each exists as the original (``mmdet``) and
as the maintained fork (``onedl-mmdetection``), under one import name. One must not be installed
over the other. The extra ``onedl`` takes the forks; ``tools/check_env.py`` checks by import names.
"""

import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGE = "sakd_dense"
MIM_PARTS = ("configs", "tools", "model-index.yml")


def read_version() -> str:
    """The version that version.py gives, read without an import."""
    text = (ROOT / PACKAGE / "version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f'{PACKAGE}/version.py has no line __version__ = "..."')
    return found[1]


def read_readme() -> str:
    """README.md, or nothing where a source archive lacks it."""
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.is_file() else ""


def remove(path: Path) -> None:
    """Removes a file, a link or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def fill_mim(folder: Path, link: bool) -> None:
    """Put the ``MIM_PARTS`` into ``folder``, as relative links or as copies."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MIM_PARTS:
        source, target = ROOT / name, folder / name
        if not source.exists():
            continue
        remove(target)
        if link:
            try:
                target.symlink_to(os.path.relpath(source, folder), source.is_dir())
                continue
            except OSError:
                pass  # a file system or a user without symbolic links: copy
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)


class BuildPyWithMim(build_py):
    """Adds ``.mim``: links in the source tree if editable, else copies in the build folder."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            fill_mim(ROOT / PACKAGE / ".mim", link=True)
        else:
            fill_mim(Path(self.build_lib) / PACKAGE / ".mim", link=False)


setup(
    name=PACKAGE,
    version=read_version(),
    description="Spiking detectors and segmentors for OpenMMLab, trained by "
    "Self-Architectural Knowledge Distillation",
    long_description=read_readme(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed"]},
    python_requires=">=3.11",
    install_requires=[
        # tools/lowest.py installs and tests the oldest of each of these.
        "torch>=2.6",  # spikingjelly 2.0 needs it
        "torchvision>=0.21",  # that of torch 2.6
        "spikingjelly>=2.0,<3",
        "numpy>=1.26.4",
        "matplotlib>=3.9",  # the first one built for numpy 2; likewise pycocotools, scikit-learn
        "jinja2>=3.1",
        "pillow>=10",
        "pycocotools>=2.0.8",
        "safetensors>=0.4",
    ],
    extras_require={
        # The maintained OpenMMLab forks. onedl-mmcv must be built with its operators: see
        # tools/install.py for how.
        "onedl": [
            "onedl-mmengine>=0.10.10,<1",
            "onedl-mmcv>=2.3,<2.4",
            "onedl-mmdetection>=3.5,<4",
            "onedl-mmsegmentation>=1.4,<2",
            "onedl-mmpretrain>=1.3,<2",
        ],
        # What mmpretrain, original or fork, needs besides itself.
        "cls": ["einops>=0.7", "mat4py>=0.6", "modelindex>=0.0.2", "rich>=13"],
        "demo": ["scikit-learn>=1.5"],
        # tools/export.py: what each format is written, and read back, by.
        "export": [
            "nir>=1.0.6",
            "nirtorch>=2.6",
            "onnx>=1.17",  # with torch 2.6: protobuf below 7 (tools/lowest.py)
            "onnxruntime>=1.20",
            "onnxscript>=0.2",
        ],
        # `make docs`.
        "docs": ["mkdocs-material>=9.6", "mkdocstrings-python>=2.0"],
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.8",
            "hypothesis>=6.100",
            "ruff>=0.9",
            "mypy>=1.13",
            "codespell>=2.3",
            "selenium>=4.20",
            "tensorboard",
        ],
    },
    entry_points={"console_scripts": ["sakd_dense = sakd_dense.commands.entry:main"]},
    cmdclass={"build_py": BuildPyWithMim},
    zip_safe=False,
)
