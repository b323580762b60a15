"""The loops give the numbers of MMEngine's loops, at every T."""

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, METRICS
from mmengine.runner import Runner

from sakd_dense.timesteps import SweepResult, sweep, sweep_runner
from tests.helpers.scenes import (
    build,
    detection_config,
    retinanet,
    write_checkpoint,
    write_scenes,
)

STEPS = (1, 2, 4)


@HOOKS.register_module(force=True)
class KeepOutputs(Hook):
    """What the loop hands to hooks."""

    def __init__(self):
        self.calls, self.scores, self.metrics = [], [], []

    def __getattribute__(self, name):
        if name.startswith(("before_test", "after_test", "before_val", "after_val")):
            object.__getattribute__(self, "calls").append(name)
        return object.__getattribute__(self, name)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.scores += [o.pred_instances.scores.sum().item() for o in outputs]

    def after_val_epoch(self, runner, metrics=None):
        self.metrics.append(metrics)


@HOOKS.register_module(force=True)
class FindsNothing(Hook):
    """No box is good enough in the first validation, as of a detector that has learned nothing."""

    def __init__(self):
        self.epochs = 0

    def before_val_epoch(self, runner):
        runner.model.bbox_head.test_cfg.score_thr = 0.0 if self.epochs else 1.1
        self.epochs += 1


@METRICS.register_module(force=True)
class CountImages(BaseMetric):
    """Needs nothing from the predictions."""

    default_prefix = None

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(images=len(results))


@pytest.fixture
def scenes(tmp_path):
    write_scenes(tmp_path)
    return tmp_path


def kept(runner):
    return next(h for h in runner.hooks if isinstance(h, KeepOutputs))


def run_test(cfg, model, t=None):
    runner = Runner.from_cfg(cfg)
    runner.model.load_state_dict(model.state_dict())
    if t is not None:
        runner.model.backbone.time_steps = t
    return runner, runner.test()


def test_metrics_hooks_and_outputs_are_those_of_separate_tests(scenes):
    model = build(retinanet())
    hooks = dict(custom_hooks=[dict(type="KeepOutputs", priority="VERY_LOW")])
    loop = dict(type="TimeStepTestLoop", time_steps=STEPS)
    one, metrics = run_test(detection_config(scenes, retinanet(), test_cfg=loop, **hooks), model)
    for t in STEPS:
        cfg = detection_config(scenes, retinanet(), **hooks)
        plain, expected = run_test(cfg, model, t)
        assert expected, "upstream's loop gives metrics"
        assert {k: metrics[f"T{t}/{k}"] for k in expected} == expected
        assert 0 < metrics[f"T{t}/firing_rate"] < 1
        if t == 4:
            assert {k: metrics[k] for k in expected} == expected
            assert kept(one).scores == pytest.approx(kept(plain).scores, abs=1e-5)
            assert kept(one).calls == kept(plain).calls
    assert one.model.backbone.time_steps == 4
    assert one.test_loop.seconds_per_image > 0


def test_without_the_models_own_t_the_largest_stands_for_it(scenes):
    loop = dict(type="TimeStepTestLoop", time_steps=(1, 2), firing_rate=False)
    _, metrics = run_test(detection_config(scenes, retinanet(), test_cfg=loop), build(retinanet()))
    assert metrics["coco/bbox_mAP"] == metrics["T2/coco/bbox_mAP"]
    assert not any("firing_rate" in name or name.startswith("T4") for name in metrics)


def test_validation_while_training_chooses_the_best_at_the_models_own_t(scenes):
    cfg = detection_config(
        scenes,
        retinanet(),
        val_cfg=dict(type="TimeStepValLoop", time_steps=(1, 2)),
        default_hooks=dict(
            checkpoint=dict(type="CheckpointHook", interval=10, save_best="coco/bbox_mAP"),
        ),
        custom_hooks=[dict(type="KeepOutputs")],
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    found = kept(runner).metrics
    assert len(found) == 2
    assert {f"T{t}/coco/bbox_mAP" for t in (1, 2, 4)} <= set(found[0])
    assert found[0]["coco/bbox_mAP"] == found[0]["T4/coco/bbox_mAP"]
    assert next(iter(found[0])).startswith("coco/"), "save_best='auto' takes the first"
    assert list((scenes / "work").glob("best_coco_bbox_mAP_*.pth"))
    assert runner.model.backbone.time_steps == 4


@pytest.mark.parametrize("save_best", ["coco/bbox_mAP", "auto"])
def test_training_goes_on_when_a_detector_finds_nothing(scenes, save_best):
    cfg = detection_config(
        scenes,
        retinanet(),
        val_cfg=dict(type="TimeStepValLoop", time_steps=(1, 2)),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", save_best=save_best)),
        custom_hooks=[dict(type="KeepOutputs"), dict(type="FindsNothing", priority="VERY_HIGH")],
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    nothing, found = kept(runner).metrics
    assert nothing == {}, "as MMEngine's own loop"
    assert next(iter(found)).startswith("coco/")
    (best,) = (scenes / "work").glob("best_coco_bbox_mAP_*.pth")
    assert best.stem.endswith("epoch_2")
    rates = runner.message_hub.log_scalars["val/T1/firing_rate"].data[0]
    assert len(rates) == 2, "the log has the firing rates of both"


def test_the_loop_keeps_structured_rows(scenes):
    loop = dict(type="TimeStepTestLoop", time_steps=STEPS)
    runner, metrics = run_test(
        detection_config(scenes, retinanet(), test_cfg=loop), build(retinanet())
    )
    rows = runner.test_loop.rows
    assert list(rows) == list(STEPS)
    flat = {f"T{t}/{name}": value for t, row in rows.items() for name, value in row.items()}
    assert flat == {name: value for name, value in metrics.items() if name[0] == "T"}
    assert {"coco/bbox_mAP", "firing_rate"} <= set(rows[1])


@pytest.mark.parametrize("steps", [(0,), (2, 2)])
def test_bad_steps_are_refused_when_the_loop_is_built(scenes, steps):
    cfg = detection_config(
        scenes, retinanet(), test_cfg=dict(type="TimeStepTestLoop", time_steps=steps)
    )
    with pytest.raises(ValueError, match="time_steps="):
        Runner.from_cfg(cfg).test()


def test_mixed_precision(scenes):
    model = retinanet()
    # No box is good enough: MMCV's NMS and CocoMetric know no bfloat16 on a CPU.
    model["test_cfg"]["score_thr"] = 1.1
    loop = dict(type="TimeStepTestLoop", time_steps=STEPS, fp16=True)
    evaluator = dict(type="CountImages")
    cfg = detection_config(scenes, model, test_cfg=loop, test_evaluator=evaluator)
    runner = Runner.from_cfg(cfg)
    dtypes = []
    runner.model.neck.register_forward_hook(lambda m, args, out: dtypes.append(out[0].dtype))
    metrics = runner.test()
    batches = len(runner.test_dataloader)
    assert dtypes == [torch.bfloat16] * len(STEPS) * batches
    assert {metrics[f"T{t}/images"] for t in STEPS} == {4}


def test_a_sweep_of_a_runner_gives_it_back(scenes):
    runner = Runner.from_cfg(detection_config(scenes, retinanet()))
    runner.model.load_state_dict(build(retinanet()).state_dict())
    before = runner.test_loop, [*runner.hooks], runner.model.training
    result = sweep_runner(runner, (1, 4), timed_batches=0)
    assert (runner.test_loop, runner.hooks, runner.model.training) == before
    assert list(result.at_counts(None)) == [1, 4]
    assert result.checkpoint is None and result.timed_images == 0
    assert "ms per image" not in result.table()


def test_a_sweep_of_a_config_takes_its_own_t_and_its_loops_steps(scenes):
    checkpoint = write_checkpoint(build(retinanet()), scenes / "snn.pth")
    cfg = detection_config(scenes, retinanet())
    result = sweep(cfg, checkpoint)
    assert list(result.at_counts(None)) == [4]
    assert result.rows[4, None]["ms_per_image"] > 0
    assert (result.images, result.timed_images, result.batch_size) == (4, 4, 2)
    cfg.test_cfg = dict(type="TimeStepTestLoop", time_steps=(2, 1))
    cfg.load_from = checkpoint
    assert list(sweep(cfg, timed_batches=0).at_counts(None)) == [2, 1]
    assert cfg.load_from == checkpoint


def test_an_ann_has_one_row_and_no_steps(scenes):
    ann = retinanet(type="mmdet.ResNet")
    ann["backbone"].pop("time_steps")
    checkpoint = write_checkpoint(build(ann), scenes / "ann.pth")
    cfg = detection_config(scenes, ann)
    result = sweep(cfg, checkpoint)
    assert list(result.at_counts(None)) == [None]
    assert result.table().splitlines()[1].split()[0] == "-"
    result.to_json(scenes / "ann.json")
    assert SweepResult.from_json(scenes / "ann.json").rows == result.rows
    with pytest.raises(ValueError, match="has no spiking backbone"):
        sweep(cfg, checkpoint, (1, 2))


def test_a_student_is_tested_without_its_teachers_checkpoint(scenes):
    checkpoint = write_checkpoint(build(retinanet()), scenes / "snn.pth")
    hooks = [dict(type="SAKDHook", teacher=dict(checkpoint=str(scenes / "not_there.pth")))]
    cfg = detection_config(scenes, retinanet(), custom_hooks=hooks)
    assert (4, None) in sweep(cfg, checkpoint, (1, 4), timed_batches=0).rows


@pytest.mark.parametrize("fuse", [False, True])
def test_averaged_weights_are_those_of_the_checkpoint(scenes, fuse):
    checkpoint = write_checkpoint(build(retinanet()), scenes / "snn.pth")
    cfg = detection_config(scenes, retinanet())
    expected = sweep(cfg, checkpoint, (2,), timed_batches=0).rows
    cfg = detection_config(scenes, retinanet(), custom_hooks=[dict(type="EMAHook")])
    found = sweep(cfg, checkpoint, (2,), timed_batches=0, fuse=fuse).rows
    assert found[2, None] == pytest.approx(expected[2, None], abs=1e-3)
