"""Users of one OpenMMLab package may lack the others: all of it imports, trains and tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Package -> a shipped student of it, on generated digits.
STUDENTS = {
    "mmdet": "retinanet_sew18_sakd_digits",
    "mmseg": "fcn_sew18_sakd_digits",
    "mmpretrain": "sew18_sakd_digits",
}
SCRIPT = """
import importlib.machinery, runpy, sys

hidden, root, *names = sys.argv[1:]
find_spec = importlib.machinery.PathFinder.find_spec

def without_hidden(name, path=None, target=None):
    return None if name.partition(".")[0] == hidden else find_spec(name, path, target)

importlib.machinery.PathFinder.find_spec = staticmethod(without_hidden)
sys.path.insert(0, f"{root}/tools")
import sakd_dense
import torch
from mmengine.registry import MODELS, init_default_scope
from sakd_dense.config.scopes import load_config
from sakd_dense.config.twins import ann_of
import train, test

assert hidden not in sys.modules
for name in names:
    file = f"{root}/configs/{name}.py"
    cfg = load_config(file)
    init_default_scope(cfg.default_scope)
    teacher = MODELS.build(ann_of(cfg.model))
    torch.save(dict(state_dict=teacher.state_dict()), f"{name}-ann.pth")
    options = ["train_cfg.max_epochs=1", "train_cfg.val_interval=1"]
    options += [f"custom_hooks.0.teacher.checkpoint={name}-ann.pth"]
    for part in ("train", "val", "test"):
        options += [f"{part}_dataloader.num_workers=0", f"{part}_dataloader.batch_size=2"]
        options += [f"{part}_dataloader.persistent_workers=False"]
        options += [f"{part}_dataloader.dataset.scenes.counts=(4,2,2)"]
    train.main([file, "--work-dir", f"work_dirs/{name}", "--cfg-options", *options])
    checkpoint = f"work_dirs/{name}/epoch_1.pth"
    test.main([file, checkpoint, "--time-steps", "1", "2", "--cfg-options", *options])
print("trained and tested", *names)
"""


@pytest.mark.slow
@pytest.mark.parametrize("hidden", STUDENTS)
def test_the_others_import_train_and_test_without(hidden, tmp_path):
    names = [student for package, student in STUDENTS.items() if package != hidden]
    command = [sys.executable, "-c", SCRIPT, hidden, str(ROOT), *names]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "trained and tested " + " ".join(names) in done.stdout
