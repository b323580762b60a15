"""No command but training writes into the folder of a run."""

import hashlib
from pathlib import Path

import pytest

from sakd_dense.config.twins import ann_of
from tests.helpers.runs import forget_runs
from tests.helpers.scenes import build, detection_config, retinanet, write_checkpoint, write_scenes
from tests.helpers.tooling import tool


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a SAKD run, whose config and checkpoints lie in it."""
    root = tmp_path_factory.mktemp("root")
    write_scenes(root)
    model = retinanet(time_steps=2)
    ann = write_checkpoint(build(ann_of(model)), root / "ann.pth")
    hook = dict(type="SAKDHook", teacher=dict(checkpoint=ann))
    cfg = detection_config(root, model, custom_hooks=[hook])
    cfg.train_cfg.max_epochs = 1
    cfg.dump(root / "snn.py")
    detection_config(root, ann_of(model)).dump(root / "ann.py")
    tool("train")([str(root / "snn.py"), "--work-dir", str(root / "work_dirs" / "snn")])
    forget_runs()
    return root / "work_dirs" / "snn"


def content(folder: Path) -> dict[str, str]:
    """The hash of every file, by name."""
    files = (f for f in folder.rglob("*") if f.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


#: Tool -> its arguments, with {run}, {config}, {snn} and {ann}.
COMMANDS = {
    "test": "{config} {snn} --timed-batches 0",
    "test, every T": "{config} {snn} --timed-batches 0 --time-steps 1 2",
    "test, tta": "{config} {snn} --timed-batches 0 --tta",
    "test, show": "{config} {snn} --timed-batches 0 --show-dir {out}/drawn",
    "test, in the run": "{config} {snn} --timed-batches 0 --work-dir {run}",
    "energy": "{config} {snn} --samples 1",
    "energy, in the run": "{config} {snn} --samples 1 --work-dir {run}",
    "report": "{run} --time-steps 1 2 --samples 1 --pictures 1",
    "export": "{config} {snn} --size 32 32 --out {out}/snn.onnx",
    "publish": "{snn} --out {out}/snn.safetensors",
    "image_demo": "{image} {config} {snn} --out {out}/demo.png",
    "convert_config": "{root}/ann.py --out {out}/snn.py --teacher-checkpoint {ann}",
    "transfer": "{ann} --to {config} --out {out}/started.pth --reestimate-bn 1",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_reads_a_run_leaves_its_folder_as_it_was(name, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = run.parent.parent
    places = dict(
        run=run,
        root=root,
        config=run / "snn.py",
        snn=run / "epoch_1.pth",
        ann=root / "ann.pth",
        image=next(root.glob("*.png")),
        out=tmp_path,
    )
    before = content(run)
    assert {"snn.py", "epoch_1.pth", "last_checkpoint"} <= set(before)
    arguments = [part.format(**places) for part in COMMANDS[name].split()]
    tool(name.split(",")[0])(arguments)
    assert content(run) == before
    if name == "report":
        assert (run.parent / "snn-test" / "report.html").is_file()
