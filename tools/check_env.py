#!/usr/bin/env python
"""Lists the problems of this environment and their fixes. Exits with 1 if there are any.

The script needs only the standard library, so that it can report that torch, or a new enough
Python, is missing. The checks import everything else through a :class:`Probe`, which a test can
replace.

The script identifies packages by their *import* names: ``mmdet`` may come from the original mmdet
or from the maintained fork onedl-mmdetection.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

OK, NOTE, WRONG = "ok", "note", "wrong"

# The oldest versions, as in setup.py.
OLDEST = {
    "torch": "2.6",
    "spikingjelly": "2.0",
    "numpy": "1.26.4",
    "matplotlib": "3.9",
    "jinja2": "3.1",
    "pillow": "10",
    "pycocotools": "2.0.8",
    "safetensors": "0.4",
}

# import name: (at least, below, original distributions, maintained fork)
OPENMMLAB = {
    "mmengine": ("0.10", "1.0", ("mmengine", "mmengine-lite"), "onedl-mmengine"),
    "mmcv": ("2.0", "2.4", ("mmcv", "mmcv-lite", "mmcv-full"), "onedl-mmcv"),
    "mmdet": ("3.1", "4.0", ("mmdet",), "onedl-mmdetection"),
    "mmseg": ("1.1", "2.0", ("mmsegmentation",), "onedl-mmsegmentation"),
    "mmpretrain": ("1.0", "2.0", ("mmpretrain", "mmcls"), "onedl-mmpretrain"),
}
OPTIONAL = {"mmpretrain": "classification (and backbones of mmpretrain) cannot be used"}


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``fix`` is the remedy, or empty."""

    name: str
    state: str
    found: str
    fix: str = ""


def _distribution_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


@dataclass(frozen=True)
class Probe:
    """Access of the checks to the system.

    Attributes:
        python: version of the interpreter, e.g. ``(3, 11, 7)``.
        load: imports a module by name; raises what the import raises.
        is_there: returns whether a top-level module exists, without importing it.
        version: returns the version of a distribution, or None if it is not installed.
    """

    python: tuple[int, ...] = tuple(sys.version_info[:3])
    load: Callable[[str], ModuleType] = importlib.import_module
    is_there: Callable[[str], bool] = _is_there
    version: Callable[[str], str | None] = _distribution_version


def numbers(version: str) -> tuple[int, ...]:
    """Returns the leading numbers of a version: ``'2.12.1+cu130'`` gives ``(2, 12, 1)``."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def check_python(probe: Probe) -> Finding:
    text = ".".join(map(str, probe.python))
    if probe.python < (3, 11):
        fix = "Use Python 3.11 or newer, and recreate the virtual environment with it."
        return Finding("python", WRONG, f"{text} is too old", fix)
    return Finding("python", OK, text)


def check_torch(probe: Probe) -> Finding:
    if not probe.is_there("torch"):
        return Finding("torch", WRONG, "missing", "Run `make install`, or: pip install torch")
    try:
        torch = probe.load("torch")
    except Exception as error:
        fix = "Reinstall it: pip install --force-reinstall torch torchvision"
        return Finding("torch", WRONG, f"cannot be imported ({_first_line(error)})", fix)
    if numbers(torch.__version__) < numbers(OLDEST["torch"]):
        fix = f"pip install 'torch>={OLDEST['torch']}'"
        return Finding("torch", WRONG, f"{torch.__version__} is too old", fix)
    return Finding("torch", OK, torch.__version__)


def check_torchvision(probe: Probe) -> Finding:
    """Checks that torchvision belongs to torch: version 0.(N + 15) belongs to torch 2.N.

    With another torch, the operators of torchvision are missing.
    """
    name = "torchvision"
    torch_version = probe.version("torch") or ""
    fitting = "the same release"
    fix = "Install the torchvision that belongs to your torch."
    major_minor = numbers(torch_version)[:2]
    if len(major_minor) == 2 and major_minor[0] == 2:
        fitting = f"0.{major_minor[1] + 15}"
        fix = (
            f"torch {torch_version} goes with torchvision {fitting}: "
            f"pip install 'torchvision=={fitting}.*', from the same index as torch."
        )
    if not probe.is_there(name):
        return Finding(name, WRONG, "missing", fix)
    try:
        module = probe.load(name)
    except Exception as error:
        return Finding(name, WRONG, f"does not fit torch ({_first_line(error)})", fix)
    version = module.__version__
    if fitting[0].isdigit() and numbers(version)[:2] != numbers(fitting):
        return Finding(name, WRONG, f"{version} does not fit torch {torch_version}", fix)
    return Finding(name, OK, version)


def check_openmmlab(probe: Probe, name: str) -> Finding:
    """Checks that a package is installed once, importable and of a supported version."""
    low, high, originals, fork = OPENMMLAB[name]
    installed = [d for d in (*originals, fork) if probe.version(d) is not None]
    if len(installed) > 1:
        fix = (
            "They overwrite each other's files. "
            f"pip uninstall {' '.join(installed)}, then install one of them again."
        )
        return Finding(name, WRONG, f"installed twice ({' and '.join(installed)})", fix)
    range_text = f">={low},<{high}"
    get = f"Run `make install`, or install {originals[0]} or {fork} ({range_text})."
    if not probe.is_there(name):
        if name in OPTIONAL:
            return Finding(name, NOTE, f"not installed: {OPTIONAL[name]}", get)
        return Finding(name, WRONG, "missing", get)
    try:
        version = probe.load(name).__version__
    except Exception as error:  # they assert on each other's versions
        return Finding(name, WRONG, f"cannot be imported ({_first_line(error)})", get)
    source = f" ({installed[0]})" if installed and installed[0] != name else ""
    if not numbers(low) <= numbers(version) < numbers(high):
        return Finding(name, WRONG, f"{version}{source} is not {range_text}", get)
    return Finding(name, OK, f"{version}{source}")


def check_mmcv_operators(probe: Probe) -> Finding:
    """Checks the compiled operators of mmcv.

    They are missing if mmcv was installed without them, and fail if they were built for another
    torch.
    """
    name = "mmcv operators"
    fix = (
        "Run `make install`. By hand: pip uninstall mmcv mmcv-lite onedl-mmcv, then, with torch, "
        "'setuptools<82', wheel, ninja and psutil installed: MMCV_WITH_OPS=1 pip install "
        "--no-build-isolation --no-cache-dir onedl-mmcv"
    )
    if not probe.is_there("mmcv"):
        return Finding(name, WRONG, "missing, as mmcv is", fix)
    try:
        nms = probe.load("mmcv.ops").nms
        torch = probe.load("torch")
        boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
        kept = nms(boxes, torch.tensor([0.9, 0.8]), iou_threshold=0.5)[1]
    except Exception as error:
        if "undefined symbol" in str(error):
            text = "were built against another torch"
        else:
            text = f"do not work ({_first_line(error)})"
        return Finding(name, WRONG, text, fix)
    if kept.tolist() != [0]:
        return Finding(name, WRONG, f"NMS gives a wrong answer ({kept.tolist()})", fix)
    if torch.cuda.is_available():
        built_with = probe.load("mmcv.ops").get_compiling_cuda_version()
        if built_with == "not available":
            fix = (
                "Run `make install`, which builds them for this GPU, or hide the GPU: "
                "export CUDA_VISIBLE_DEVICES="
            )
            return Finding(name, WRONG, "were built for the CPU only, but there is a GPU", fix)
        return Finding(name, OK, f"work (CUDA {built_with})")
    return Finding(name, OK, "work (CPU)")


def check_version(probe: Probe, name: str) -> Finding:
    """Checks that a package is installed, and not older than setup.py allows."""
    fix = f"pip install '{name}>={OLDEST[name]}'"
    version = probe.version(name)
    if version is None:
        return Finding(name, WRONG, "missing", fix)
    if numbers(version) < numbers(OLDEST[name]):
        return Finding(name, WRONG, f"{version} is too old", fix)
    return Finding(name, OK, version)


def check_spikingjelly(probe: Probe) -> Finding:
    installed = check_version(probe, "spikingjelly")
    if installed.state != OK:
        return installed
    try:
        probe.load("spikingjelly.activation_based.neuron")
    except Exception as error:
        text = f"cannot be imported ({_first_line(error)})"
        return Finding("spikingjelly", WRONG, text, "pip install --force-reinstall spikingjelly")
    return installed


def check_pycocotools(probe: Probe) -> Finding:
    installed = check_version(probe, "pycocotools")
    if installed.state != OK:
        return installed
    try:
        probe.load("pycocotools.mask")
    except Exception as error:  # e.g. built against another numpy
        fix = "pip install --force-reinstall --no-deps pycocotools"
        text = f"cannot be imported ({_first_line(error)})"
        return Finding("pycocotools", WRONG, text, fix)
    return installed


def check_gpu(probe: Probe) -> Finding:
    try:
        torch = probe.load("torch")
    except Exception:
        return Finding("GPU", NOTE, "unknown, as torch is missing")
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        return Finding("GPU", OK, f"{count} x {torch.cuda.get_device_name(0)}")
    if torch.version.cuda is None:
        return Finding("GPU", NOTE, "none: this torch is a build for the CPU")
    return Finding("GPU", NOTE, "none: everything runs on the CPU, which is slow")


def check_environment(probe: Probe | None = None) -> list[Finding]:
    """Runs every check, in the order in which to fix problems."""
    probe = probe or Probe()
    findings = [check_python(probe), check_torch(probe), check_torchvision(probe)]
    for name in OPENMMLAB:
        findings.append(check_openmmlab(probe, name))
        if name == "mmcv":
            findings.append(check_mmcv_operators(probe))
    findings += [check_spikingjelly(probe), check_pycocotools(probe)]
    others = [name for name in OLDEST if name not in {finding.name for finding in findings}]
    findings += [check_version(probe, name) for name in others]
    return [*findings, check_gpu(probe)]


def report(findings: list[Finding]) -> str:
    """Returns an aligned table of the findings, followed by the fix of each problem."""
    width = max(len(finding.name) for finding in findings)
    lines = [f"{f.name:<{width}}  {f.state:<5}  {f.found}" for f in findings]
    fixes = [f"- {f.name}: {f.fix}" for f in findings if f.fix]
    if fixes:
        lines += ["", "What to do:", *fixes]
    wrong = sum(finding.state == WRONG for finding in findings)
    lines += ["", f"{wrong} wrong." if wrong else "Nothing is wrong."]
    return "\n".join(lines)


def main() -> int:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    if sys.version_info < (3, 8):  # noqa: UP036 - the checks themselves need so much to start
        print("Python %d.%d is too old: use 3.11 or newer." % sys.version_info[:2])  # noqa: UP031
        return 1
    # The folder of this script must not hide packages: it contains an install.py, for example.
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).parent]
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):  # packages print when they are imported
        findings = check_environment()
    print(report(findings))
    return int(any(finding.state == WRONG for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
