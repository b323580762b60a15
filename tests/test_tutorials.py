"""The tutorials: the tour, and those on own data, typed from top to bottom with fewer images."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMAGES = dict(detection=240, segmentation=40)  # a detector needs them to find anything
SHORTER = {
    "max_epochs = 6": "max_epochs = 3",
    "end=50": "end=5",
    "epoch_6.pth": "epoch_3.pth",
}


def shortened(name: str) -> str:
    text = (ROOT / "docs" / "tutorials" / f"{name}.md").read_text()
    text = text.replace("counts=(800, 100, 100)", f"counts=({IMAGES[name]}, 8, 8)")
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    return text


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("name", ["detection", "segmentation"])
def test_a_tutorial_typed_from_top_to_bottom(name, tmp_path):
    text = shortened(name)
    (config,) = re.findall(r"```python\n(_base_.*?)```", text, re.DOTALL)
    (tmp_path / "my_ann.py").write_text(config)
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = dict(os.environ, PATH=path, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    for commands in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        done = subprocess.run(
            ["bash", "-e", "-c", commands], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert "T = 4" in (tmp_path / "work_dirs" / "my_snn-test" / "report.html").read_text()


@pytest.mark.nightly
@pytest.mark.slow
def test_the_tour(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    found = runpy.run_path(str(ROOT / "docs" / "tutorials" / "tour.py"))
    assert "equal to a separate pass at T = 2: True" in capsys.readouterr().out
    assert (found["rates"] > 0).all()  # every layer fires at every step
