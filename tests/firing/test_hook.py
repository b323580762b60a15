"""FiringRateHook in whole runs: what every backend gets, and who is warned of."""

import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sakd_dense.commands.prepare import watch_firing_rates
from sakd_dense.config.twins import ann_of
from sakd_dense.firing import FiringRateHook
from sakd_dense.firing.hook import DEAD, SATURATED
from sakd_dense.neurons.layer import SpikingNeuron
from tests.helpers.scenes import detection_config, retinanet, write_checkpoint, write_scenes


@pytest.fixture
def make_runner(tmp_path):
    write_scenes(tmp_path / "data")

    def make(hook, custom=(), **backbone):
        cfg = detection_config(
            tmp_path / "data",
            retinanet(**backbone),
            custom_hooks=[*custom, dict(type="FiringRateHook", **hook)],
            default_hooks=dict(logger=dict(type="LoggerHook", interval=1)),
            visualizer=dict(
                type="DetLocalVisualizer", vis_backends=[dict(type="TensorboardVisBackend")]
            ),
            randomness=dict(seed=1),
        )
        cfg.work_dir = str(tmp_path / "run")
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
        return Runner.from_cfg(cfg)

    return make


class Watched(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def run(runner):
    seen = Watched()
    runner.logger.addHandler(seen)
    runner.train()
    return [t for t in seen.texts if t.startswith("FiringRateHook")]


def test_rates_and_terms_reach_tensorboard(make_runner, tmp_path):
    init_default_scope("mmdet")
    teacher = write_checkpoint(MODELS.build(ann_of(retinanet())), tmp_path / "teacher.pth")
    hook = dict(type="SAKDHook", teacher=dict(checkpoint=teacher))
    runner = make_runner(dict(interval=2), custom=[hook])
    run(runner)
    assert not any(n._forward_hooks for n in runner.model.backbone.neurons)
    (file,) = tmp_path.glob("run/*/vis_data/events*")
    events = EventAccumulator(str(file.parent)).Reload()
    tags = set(events.Tags()["scalars"])
    neurons = [n for n, m in runner.model.named_modules() if isinstance(m, SpikingNeuron)]
    layers = {f"firing_rate/{name}" for name in neurons}
    assert {"firing_rate", *layers} <= tags
    assert {"loss_sakd_feat", "loss_sakd_cls", "loss_sakd_box"} <= {t.split("/")[-1] for t in tags}
    first = events.Scalars("firing_rate/backbone.sn1")
    assert [e.step for e in first] == [2, 4]  # of 4 iterations
    assert all(0 < e.value < 1 for e in first)


def test_a_silent_layer_is_named_once_and_what_helps(make_runner):
    runner = make_runner(dict(interval=1, begin=1))
    torch.nn.init.constant_(runner.model.backbone.layer2[0].bn1.bias, -1e4)
    runner.model.backbone.layer2[0].bn1.bias.requires_grad_(False)
    runner.model.init_weights = lambda: None
    warned = run(runner)
    about = [t for t in warned if "backbone.layer2.0.sn1" in t]
    assert len(about) == 1 and "died" in about[0] and "(0.00 %)" in about[0]
    assert DEAD in about[0]


def test_a_saturated_layer_is_named(make_runner):
    runner = make_runner(dict(interval=1, begin=1))
    torch.nn.init.constant_(runner.model.backbone.bn1.bias, 1e4)
    runner.model.init_weights = lambda: None
    warned = run(runner)
    about = [t for t in warned if "backbone.sn1 (100.00 %)" in t]
    assert len(about) == 1 and "saturated" in about[0] and SATURATED in about[0]


def test_before_begin_blocks_may_be_silent(make_runner):
    assert run(make_runner(dict(interval=1))) == []


def test_an_ann_runs_as_it_did(make_runner, tmp_path):
    cfg = Config(dict(model=ann_of(retinanet())))
    watch_firing_rates(cfg)
    assert "default_hooks" not in cfg
    cfg = Config(dict(model=retinanet()))
    watch_firing_rates(cfg)
    assert cfg.default_hooks.firing_rate.type == "FiringRateHook"
    cfg = Config(dict(model=retinanet(), default_hooks=dict(firing_rate=None)))
    watch_firing_rates(cfg)
    assert cfg.default_hooks.firing_rate is None


@pytest.mark.parametrize(
    "args,says", [(dict(interval=0), "interval=0"), (dict(low=0.5, high=0.2), "low=0.5, high=0.2")]
)
def test_bad_numbers_are_named(args, says):
    with pytest.raises(ValueError, match=says):
        FiringRateHook(**args)
