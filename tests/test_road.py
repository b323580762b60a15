"""The whole road on digits: classify, distil, and carry the backbone on to dense tasks."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from sakd_dense.timesteps import sweep
from sakd_dense.transfer import read_state_dict

CONFIGS = Path(__file__).parents[1] / "configs"
FEW = dict(counts=(8, 4, 4))
FEW_RECORDINGS = dict(counts=(2, 1, 1), stamps=4)


class Start(Hook):
    """What the student's weights are when training begins."""

    def before_train(self, runner):
        self.state = {k: v.clone() for k, v in runner.model.state_dict().items()}


def load(name: str, root: Path, **options) -> Config:
    """A shipped config on a few pictures, one epoch, files below ``root``."""
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    cfg.work_dir = str(root / name)
    cfg.log_level = "WARNING"
    cfg.experiment_name = f"{name}-{root.name}"
    kind = cfg.train_dataloader.dataset.type
    few = {"events" if kind == "DigitEventsDataset" else "scenes": FEW}
    if kind.startswith("DigitEventScenes"):
        few = dict(recordings=FEW_RECORDINGS)
    for part in ("train", "val", "test"):
        loader = cfg[f"{part}_dataloader"]
        loader.batch_size = 4
        loader.dataset.update(data_root=str(root / kind), **few)
    schedules = cfg.param_scheduler
    for schedule in schedules if isinstance(schedules, list) else [schedules]:
        if "T_max" in schedule:
            schedule.T_max = 1
            schedule.pop("end", None)
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.default_hooks.checkpoint.interval = 1
    cfg.default_hooks.checkpoint.pop("save_best", None)
    cfg.merge_from_dict(options)
    return cfg


def train(cfg: Config) -> tuple[str, dict[str, torch.Tensor]]:
    """The checkpoint, and the weights at the start."""
    runner, start = Runner.from_cfg(cfg), Start()
    runner.register_hook(start)
    runner.train()
    return f"{cfg.work_dir}/epoch_1.pth", start.state


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("road")


@pytest.fixture(scope="module")
def classifier(root) -> str:
    """A SEW-ResNet distilled as a classifier."""
    teacher, _ = train(load("r18_digits", root))
    cfg = load("sew18_sakd_digits", root)
    cfg.custom_hooks[0].teacher.checkpoint = teacher
    student, start = train(cfg)
    weights, _ = read_state_dict(teacher)
    assert all(torch.equal(start[k], v) for k, v in weights.items())
    return student


@pytest.mark.slow
@pytest.mark.parametrize("task,metric", [("retinanet", ""), ("fcn", "mIoU")])
def test_from_a_classifier_to_a_dense_task(root, classifier, task, metric):
    teacher, _ = train(load(f"{task}_r18_digits", root))
    cfg = load(f"{task}_sew18_sakd_digits_from-cls", root)
    cfg.custom_hooks[0].teacher.checkpoint = teacher
    cfg.model.backbone.init_cfg.checkpoint = classifier
    student, start = train(cfg)
    backbone, _ = read_state_dict(classifier)
    head, _ = read_state_dict(teacher)
    for key, value in start.items():
        source = backbone if key.startswith("backbone.") else head
        assert torch.equal(value, source[key]), key
    found = sweep(cfg, student, (1, 2, 4))
    assert list(found.at_counts(None)) == [1, 2, 4]
    for row in found.rows.values():
        # A detector of two iterations finds nothing, of which COCO's metric says nothing.
        assert any(name.endswith(metric) for name in row)
        assert 0 < row["firing_rate"] < 2


@pytest.mark.slow
def test_a_classifier_is_read_at_every_t(root, classifier):
    found = sweep(load("sew18_sakd_digits", root), classifier, (1, 4))
    for row in found.rows.values():
        assert 0 <= row["accuracy/top1"] <= 100


def test_event_frames_from_the_teacher_to_the_sweep(root):
    """Both levels train on streams of frames, and every T is read from one pass of them."""
    cfg = load("sew18_sakd_digit-events", root)
    cfg.custom_hooks[0].teacher.checkpoint, _ = train(load("r18_digit-events", root))
    runner = Runner.from_cfg(cfg)
    runner.train()
    for term in ("feat", "cls", "prefix_feat", "prefix_cls"):
        assert f"train/loss_sakd_{term}" in runner.message_hub.log_scalars
    student = f"{cfg.work_dir}/epoch_1.pth"
    result = sweep(load("sew18_sakd_digit-events", root), student, (1, 2, 8), timed_batches=0)
    assert list(result.at_counts(None)) == [1, 2, 8]
    with pytest.raises(ValueError, match="has 8 time steps, but the largest of time_steps is 4"):
        sweep(load("sew18_sakd_digit-events", root), student, (1, 4), timed_batches=0)


@pytest.mark.parametrize(
    "task,terms",
    [
        ("retinanet", ("feat", "cls", "box", "prefix_feat")),
        pytest.param("fcn", ("feat", "decode", "prefix_feat"), marks=pytest.mark.slow),
    ],
)
def test_recordings_from_the_teacher_to_the_sweep(task, terms, root):
    """A dense task on event streams, by files of Prophesee's: both levels, and every T."""
    cfg = load(f"{task}_sew18_sakd_digit-events", root)
    cfg.custom_hooks[0].teacher.checkpoint, _ = train(load(f"{task}_r18_digit-events", root))
    runner = Runner.from_cfg(cfg)
    runner.train()
    found = {k for k in runner.message_hub.log_scalars if "loss_sakd" in k}
    for term in terms:
        assert f"train/loss_sakd_{term}" in found, found
    student = f"{cfg.work_dir}/epoch_1.pth"
    result = sweep(load(f"{task}_sew18_sakd_digit-events", root), student, (1, 8), timed_batches=0)
    assert list(result.at_counts(None)) == [1, 8]


@pytest.mark.slow
def test_a_teacher_of_stacked_frames(root):
    """It sees all T frames; level 1 gives the student the sum of its first weights over them."""
    name = "retinanet_r18_digit-events_channels"
    teacher, _ = train(load(name, root))
    cfg = load("retinanet_sew18_sakd_digit-events", root)
    cfg.work_dir, cfg.experiment_name = str(root / "stacked"), f"stacked-{root.name}"
    cfg.custom_hooks[0].teacher.update(checkpoint=teacher, config=str(CONFIGS / f"{name}.py"))
    _, start = train(cfg)
    weights, _ = read_state_dict(teacher)
    first = "backbone.conv1.weight"
    torch.testing.assert_close(start[first], weights[first].unflatten(1, (8, 2)).sum(1))
    rest = {k: v for k, v in weights.items() if k != first}
    assert all(torch.equal(start[k], v) for k, v in rest.items())
