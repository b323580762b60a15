"""Creates ``.venv`` with everything in it. ``make install`` runs this; it uses only the stdlib.

1. a virtual environment, with torch and the build requirements of onedl-mmcv;
2. onedl-mmcv *with its operators*, built against that torch (tools/mmcv_wheel.py);
3. the other OpenMMLab forks and this package, editable;
4. ``tools/check_env.py``.

Every version comes from ``constraints.txt``. If nothing relevant has changed since the last run,
the script ends at once. ``--force`` runs the steps anyway.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".sakd_dense-installed"
CONSTRAINTS = ROOT / "constraints.txt"
DECIDING = ("constraints.txt", "setup.py", "tools/install.py", "tools/mmcv_wheel.py")
# numpy and the others come with the package itself; mmcv's build needs these beforehand.
FIRST = ("torch", "torchvision", "setuptools", "wheel", "ninja", "psutil")


def fingerprint() -> str:
    """Returns a hash of everything that determines the result of an install."""
    gpu_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    has_gpu = Path("/dev/nvidiactl").exists() and not gpu_hidden
    parts = [sys.version, str(VENV), f"GPU: {has_gpu}"]
    digest = hashlib.sha256("\n".join(parts).encode())
    for name in DECIDING:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def is_up_to_date(key: str) -> bool:
    linked = (ROOT / "sakd_dense" / ".mim" / "configs").exists()
    return PYTHON.exists() and linked and STAMP.is_file() and STAMP.read_text() == key


def say(text: str) -> None:
    print(f"== {text}", flush=True)


def pip(*arguments: str) -> None:
    # Most of the 19 000 modules are never imported: bytecode is made for those that are.
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--no-compile"]
    subprocess.run([*command, *arguments], check=True, cwd=ROOT)


def make_venv() -> None:
    """Creates ``.venv``, or replaces one of another Python version."""
    wanted = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if PYTHON.exists():
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        found = subprocess.run([str(PYTHON), "-c", code], capture_output=True, text=True)
        if found.stdout.strip() == wanted:
            return
        say(f".venv has Python {found.stdout.strip() or '(broken)'}; recreating it")
    say(f"making .venv with Python {wanted}")
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)])
    if made.returncode:
        sys.exit(
            "Python could not make a virtual environment. On Debian and Ubuntu its venv module is "
            f"a package of its own: apt-get install python{wanted}-venv"
        )


def fix_opencv() -> None:
    """Installs OpenCV's headless build if the build with windows cannot be loaded.

    The OpenMMLab packages require ``opencv-python``, which needs libGL. A server often has none.
    """
    if subprocess.run([str(PYTHON), "-c", "import cv2"], capture_output=True).returncode == 0:
        return
    say("opencv-python cannot be loaded here (no libGL): installing its headless build")
    pip("-q", "--force-reinstall", "--no-deps", "-c", str(CONSTRAINTS), "opencv-python-headless")


def install() -> None:
    make_venv()
    say("torch and the tools to build with (a download of about 3 GB the first time)")
    pip("-q", "--progress-bar", "on", "-c", str(CONSTRAINTS), *FIRST)
    subprocess.run(
        [str(PYTHON), str(ROOT / "tools" / "mmcv_wheel.py"), str(CONSTRAINTS)], check=True
    )
    say("the OpenMMLab forks and sakd_dense")
    extras = ".[onedl,cls,demo,export,docs,dev]"
    pip("-q", "--no-build-isolation", "-c", str(CONSTRAINTS), "-e", extras)
    fix_opencv()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--force", action="store_true", help="run all steps even if nothing has changed"
    )
    force = parser.parse_args().force
    if sys.version_info < (3, 11):  # noqa: UP036 - this runs before anything chose a Python
        print(f"Python {sys.version.split()[0]} is too old: 3.11 or newer is needed.")
        return 1
    key = fingerprint()
    if is_up_to_date(key) and not force:
        print("install: up to date")
        return 0
    started = time.monotonic()
    STAMP.unlink(missing_ok=True)
    try:
        install()
    except subprocess.CalledProcessError as error:
        print(f"install: this step failed (see above): {' '.join(map(str, error.cmd))}")
        return 1
    if subprocess.run([str(PYTHON), str(ROOT / "tools" / "check_env.py")]).returncode:
        return 1
    STAMP.write_text(key)
    seconds = time.monotonic() - started
    say(f"installed in {seconds:.0f} s; to activate it: source .venv/bin/activate")
    return 0


if __name__ == "__main__":
    sys.exit(main())
