#!/usr/bin/env python
"""Installs the oldest versions that setup.py promises, and tests the package on them.

`make lowest` runs this. It is not part of `make test`: it downloads about 3 GB and builds
onedl-mmcv's operators for the oldest torch, which takes long the first time. Run it
before a release and whenever a bound in setup.py changes.

1. uv finds the oldest version of every direct requirement and the newest of all others;
2. the script installs them into a virtual environment and builds onedl-mmcv for that torch;
3. tools/check_env.py and the tests of SMOKE run on them, then once more on the oldest numpy, which
   the original OpenMMLab packages accept and their forks do not.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("onedl", "cls", "demo", "export")
BUILD = ("setuptools", "wheel", "ninja", "psutil")
# Limits for packages that setup.py does not name, whose newest versions do not work with the oldest
# of those that it names: torch 2.6 writes booleans into ONNX files, which protobuf 7 refuses.
LIMITS = ("protobuf<7",)
# Building and running models, both levels of SAKD, the data sets, the command lines, exports.
SMOKE = (
    "tests/backbones/test_resnet.py",
    "tests/backbones/test_checkpointing.py",
    "tests/neurons/test_layer.py",
    "tests/transfer/test_transfer.py",
    "tests/transfer/test_transfer_errors.py",
    "tests/distill/test_hook.py",
    "tests/distill/test_hook_runs.py",
    "tests/datasets",
    "tests/timesteps/test_loops.py",
    "tests/tools/test_train.py",
    "tests/export/test_export.py",
)


def run(*command: str | Path, **environ: str) -> None:
    print("==", *command, flush=True)
    subprocess.run(list(map(str, command)), check=True, cwd=ROOT, env={**os.environ, **environ})


def pins_of(file: Path, names: tuple[str, ...]) -> list[str]:
    """Returns the lines ``name==version`` of these packages."""
    text = file.read_text()
    found = [re.search(rf"^{name}==[^\s;]+", text, re.MULTILINE) for name in names]
    return [match[0] for match in found if match]


def lower_bound(name: str) -> str:
    """Returns the oldest version of ``name`` that setup.py allows."""
    bound = re.search(rf'"{name}>=([\d.]+)', (ROOT / "setup.py").read_text())
    if bound is None:
        raise SystemExit(f"setup.py has no lower bound for {name}")
    return bound[1]


def resolve(uv: Path, target: Path) -> None:
    """Writes the oldest versions that setup.py allows into ``target``."""
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    options = ("--resolution", "lowest-direct", "--python-version", python, "--no-annotate")
    limits = target.with_name("limits.txt")
    limits.write_text("\n".join(LIMITS) + "\n")
    run(uv, "pip", "compile", "-q", "setup.py", *extras, *options, "-c", limits, "-o", target)


def install(folder: Path) -> Path:
    """Creates the virtual environment in ``folder`` and returns its Python."""
    python, uv = folder / "venv/bin/python", folder / "venv/bin/uv"
    if not python.exists():
        run(sys.executable, "-m", "venv", folder / "venv")
    run(python, "-m", "pip", "install", "-q", "uv")
    lowest = folder / "lowest.txt"
    resolve(uv, lowest)
    add = (uv, "pip", "install", "--python", python)
    first = pins_of(lowest, ("torch", "torchvision")) + pins_of(ROOT / "constraints.txt", BUILD)
    run(*add, *first)
    run(python, "tools/mmcv_wheel.py", lowest)
    # Keeps the wheel just built, and takes the headless OpenCV, which needs no libGL.
    text = re.sub(r"^onedl-mmcv==.*\n", "", lowest.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^opencv-python==", "opencv-python-headless==", text, flags=re.M)
    # spikingjelly accepts any torchaudio, but only that of the same torch can be loaded.
    torch = first[0].partition("==")[2]
    rest = folder / "rest.txt"
    rest.write_text(re.sub(r"^torchaudio==.*", f"torchaudio=={torch}", text, flags=re.M))
    run(*add, "--no-deps", "-r", rest)
    run(*add, "--no-deps", "--no-build-isolation", "-e", ".")
    run(*add, f"pytest=={lower_bound('pytest')}")
    return python


def test(python: Path) -> None:
    run(python, "tools/check_env.py")
    run(python, "-m", "pytest", "-q", "-m", "not slow", *SMOKE, OMP_NUM_THREADS="1")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / "work_dirs" / "lowest",
        help="folder of the environment, about 9 GB (default: %(default)s)",
    )
    folder = parser.parse_args().folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        python = install(folder)
        test(python)
        oldest = f"numpy=={lower_bound('numpy')}"
        run(folder / "venv/bin/uv", "pip", "install", "--python", python, "--no-deps", oldest)
        test(python)
    except subprocess.CalledProcessError as error:
        print(f"lowest: this step failed (see above): {' '.join(error.cmd)}")
        return 1
    print(f"lowest: the oldest versions work; {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
