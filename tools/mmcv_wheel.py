"""Installs onedl-mmcv *with its operators* into the environment that runs this script.

The registry has onedl-mmcv as source only. The usual, isolated build finds no torch and silently
omits the operators (NMS, RoIAlign, focal loss, ...). Pip would also cache such a wheel, or one that
was built against another torch, and install it again by name. This script therefore builds without
isolation and without pip's cache. It keeps the wheel in a folder that is named after everything
that the wheel depends on:

    ~/.cache/sakd_dense/wheels/mmcv-2.3.6_torch-2.12.1+cu130_cp311_cpu_linux-x86_64/

(under ``$XDG_CACHE_HOME`` if that is set). The next checkout then installs in seconds. The build
needs torch, setuptools < 82, wheel, ninja and psutil.

On a machine with a GPU, the script also builds the operators for that GPU. It uses the machine's
CUDA toolkit. If that is missing or of another major version than torch's, the script uses the one
from the package registry.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

NAME = "onedl-mmcv"
# Loads only the compiled operators: mmcv's other requirements (OpenCV, mmengine) may come later.
CHECK = """
import glob, importlib.util, sysconfig
import torch
library = glob.glob(sysconfig.get_paths()["platlib"] + "/mmcv/_ext*.so")[0]
spec = importlib.util.spec_from_file_location("mmcv._ext", library)
operators = importlib.util.module_from_spec(spec)
spec.loader.exec_module(operators)
operators.nms
"""


@dataclass(frozen=True)
class Target:
    """Platform that a wheel is built for. ``cuda`` is 'cpu', or e.g. 'cuda13.0-sm90'."""

    mmcv: str
    torch: str
    cuda: str
    python: str = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    platform: str = sysconfig.get_platform()

    @property
    def key(self) -> str:
        name = f"mmcv-{self.mmcv}_torch-{self.torch}_{self.python}_{self.cuda}_{self.platform}"
        return re.sub(r"[^\w.+-]", "-", name)


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)


def wanted_version(constraints: Path) -> str:
    found = re.search(rf"^{NAME}==([^\s;]+)", constraints.read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{constraints} has no line {NAME}==VERSION")
    return found[1]


def cuda_part() -> str:
    """Returns 'cpu', or the CUDA version and the architectures of a build on this machine.

    mmcv builds its CUDA operators if torch sees a GPU. Without a GPU it builds them for the CPU,
    whatever compilers exist.
    """
    import torch

    if torch.version.cuda is None or not torch.cuda.is_available():
        return "cpu"
    seen = {torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}
    archs = os.environ.get("TORCH_CUDA_ARCH_LIST") or "-".join(
        f"sm{major}{minor}" for major, minor in sorted(seen)
    )
    return f"cuda{torch.version.cuda}-{archs}"


def nvcc_major(cuda_home: Path | None) -> str | None:
    """Returns the major version of CUDA's compiler, e.g. '13', or None if there is none."""
    nvcc = (cuda_home or Path("/nowhere")) / "bin" / "nvcc"
    if not nvcc.exists():
        return None
    told = subprocess.run([str(nvcc), "--version"], capture_output=True, text=True).stdout
    found = re.search(r"release (\d+)\.", told)
    return found[1] if found else None


def find_cuda() -> Path:
    """Returns a CUDA toolkit of torch's major version.

    The machine's own toolkit comes first, then that of the package registry.
    """
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    wanted = torch.version.cuda.split(".")[0]
    if CUDA_HOME and nvcc_major(Path(CUDA_HOME)) == wanted:
        return Path(CUDA_HOME)
    home = Path(sysconfig.get_paths()["platlib"]) / "nvidia" / f"cu{wanted}"
    with contextlib.suppress(PackageNotFoundError, subprocess.CalledProcessError):
        # torch comes with the libraries of this release, but not with its compiler.
        compiler = f"cuda-toolkit[nvcc,crt,nvvm,cccl]=={version('cuda-toolkit')}"
        print(f"== no CUDA {wanted} compiler on this machine: taking {compiler}", flush=True)
        pip("install", "-q", compiler)
    if nvcc_major(home) != wanted:
        sys.exit(
            f"There is a GPU, but no CUDA toolkit {torch.version.cuda} to build mmcv's operators "
            "for it. Install that toolkit, or hide the GPU: CUDA_VISIBLE_DEVICES= make install"
        )
    return home


def wheels_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "sakd_dense" / "wheels"


def find_wheel(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("*.whl"))), None)


def require_compiler() -> None:
    """Exits with a plain message if C++ cannot be compiled here."""
    if not any(shutil.which(c) for c in (os.environ.get("CXX"), "c++", "g++", "clang++") if c):
        sys.exit("No C++ compiler found. On Debian and Ubuntu: apt-get install g++")
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        sys.exit(
            "Python's C headers (Python.h) are missing. "
            f"On Debian and Ubuntu: apt-get install python{sys.version_info[0]}."
            f"{sys.version_info[1]}-dev"
        )


def build_environment(cuda_home: Path | None, scratch: Path) -> dict[str, str]:
    """Returns the environment of the build; for the CPU if ``cuda_home`` is None."""
    import psutil

    # A compiler process takes up to 2 GB for these sources.
    jobs = max(1, min(os.cpu_count() or 1, psutil.virtual_memory().total // 2**31))
    env = {"MAX_JOBS": str(jobs), **os.environ, "MMCV_WITH_OPS": "1"}
    if cuda_home is None:
        return {**env, "CUDA_VISIBLE_DEVICES": "", "FORCE_CUDA": "0"}
    env.update(CUDA_HOME=str(cuda_home), FORCE_CUDA="1")
    env["PATH"] = f"{cuda_home / 'bin'}{os.pathsep}{env['PATH']}"
    runtime = next((cuda_home / "lib").glob("libcudart.so.*"), None)
    if runtime and not any(cuda_home.glob("lib*/libcudart.so")):
        # The registry's toolkit lacks the name that the linker looks for.
        (scratch / "libcudart.so").symlink_to(runtime)
        env["LIBRARY_PATH"] = f"{scratch}{os.pathsep}{env.get('LIBRARY_PATH', '')}".rstrip(":")
    return env


def build(target: Target, folder: Path) -> Path:
    """Builds the wheel next to ``folder`` and renames it into place: all or nothing."""
    require_compiler()
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.parent / f"{folder.name}.log"
    print(
        f"== building {NAME} {target.mmcv} with its operators: once per machine, about 8 minutes "
        f"on two cores; log in {log}",
        flush=True,
    )
    cuda_home = None if target.cuda == "cpu" else find_cuda()
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation"]
    command += ["--no-cache-dir", "--no-binary", NAME, f"{NAME}=={target.mmcv}", "-w"]
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as scratch:
        part = Path(scratch) / "wheel"
        with log.open("w") as out:
            started = time.monotonic()
            job = subprocess.Popen(
                [*command, str(part)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=build_environment(cuda_home, Path(scratch)),
            )
            try:
                while not wait_for(job, seconds=30):
                    passed = time.monotonic() - started
                    print(f"   {passed:.0f} s, file {progress(log)}", flush=True)
            finally:
                if job.poll() is None:
                    job.terminate()
                    job.wait()
        if job.returncode or find_wheel(part) is None:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
            sys.exit(f"{tail}\nBuilding {NAME} failed; the whole log is {log}")
        if folder.exists():  # broken, or another checkout was quicker
            shutil.rmtree(folder)
        os.rename(part, folder)
    wheel = find_wheel(folder)
    assert wheel is not None
    return wheel


def progress(log: Path) -> str:
    """Returns ninja's progress, such as '12/97'."""
    done = re.findall(r"\[(\d+/\d+)\]", log.read_text(errors="replace"))
    return done[-1] if done else "?"


def wait_for(job: subprocess.Popen, seconds: float) -> bool:
    try:
        job.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def is_installed(wheel: Path) -> bool:
    """Returns whether exactly this file is installed (pip records its hash)."""
    try:
        noted = distribution(NAME).read_text("direct_url.json") or ""
    except PackageNotFoundError:
        return False
    return hashlib.sha256(wheel.read_bytes()).hexdigest() in noted


def load_error() -> str:
    """Returns the error of loading the installed operators; '' if there is none."""
    tried = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True)
    return tried.stderr if tried.returncode else ""


def install(wheel: Path) -> str:
    """Installs the wheel over any other; returns '' if its operators load, else the error."""
    if is_installed(wheel) and not load_error():
        return ""
    pip("install", "-q", "--no-deps", "--force-reinstall", str(wheel))
    return load_error()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("constraints", type=Path, help=f"file with the line {NAME}==VERSION")
    constraints = parser.parse_args().constraints

    import torch

    target = Target(wanted_version(constraints), torch.__version__, cuda_part())
    folder = wheels_folder() / target.key
    wheel = find_wheel(folder)
    if wheel is not None:
        print(f"== {NAME} {target.mmcv} with its operators, from {wheel}", flush=True)
        error = install(wheel)
        if not error:
            return 0
        print(f"{error}\n== its operators do not load here: building it again", flush=True)
    error = install(build(target, folder))
    if error:
        print(f"{error}\n{NAME} was built, but its operators do not load (see above).")
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main())
