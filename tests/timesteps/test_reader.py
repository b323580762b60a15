"""Several T from one pass: the numbers of separate runs, and nothing left behind."""

import copy
import itertools

import pytest
import torch
from mmengine.registry import MODELS
from mmseg.structures import SegDataSample

from sakd_dense.backbones.time_steps import check_time_steps
from sakd_dense.timesteps import PrefixReader
from tests.helpers.scenes import build, detection_batch, images, retinanet, segmentor

STEPS = (1, 2, 4, 8)


def separate(model, step, steps=STEPS):
    found = {}
    for t in steps:
        backbone = model.module.backbone if hasattr(model, "module") else model.backbone
        before, backbone.time_steps = backbone.time_steps, t
        found[t] = step()
        backbone.time_steps = before
    return found


def assert_same_detections(one, other):
    assert list(one) == list(other)
    for t in one:
        assert len(one[t]) == len(other[t])
        for a, b in zip(one[t], other[t], strict=True):
            assert len(a.pred_instances) > 0
            for name in ("bboxes", "scores", "labels"):
                torch.testing.assert_close(
                    a.pred_instances[name], b.pred_instances[name], rtol=1e-5, atol=1e-5
                )


def without_grad(step):
    def run():
        with torch.no_grad():
            return step()

    return run


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(connect="IAND", neuron=dict(type="LIFNode", tau=2.0)),
        dict(norm_cfg=dict(type="GN", num_groups=2)),
    ],
    ids=["ADD-IF-BN", "IAND-LIF", "GN"],
)
def test_a_detector_predicts_what_separate_runs_predict(options):
    model = build(retinanet(**options))
    step = without_grad(lambda: model.test_step(detection_batch((64, 64), (48, 64))))
    expected = separate(model, step)
    assert_same_detections(PrefixReader(model, STEPS).read(step), expected)
    scores = [expected[t][0].pred_instances.scores for t in STEPS]
    assert any(
        a.shape != b.shape or not torch.equal(a, b) for a, b in itertools.pairwise(scores)
    ), "the T must differ for the test to mean anything"


@pytest.mark.parametrize("steps", [(4,), (8, 1), (3, 5, 2)])
def test_any_order_and_number_of_steps(steps):
    model = build(retinanet())
    step = without_grad(lambda: model.test_step(detection_batch((64, 64))))
    assert_same_detections(PrefixReader(model, steps).read(step), separate(model, step, steps))


def test_a_segmentor_that_slides_a_window():
    model = build(segmentor())
    meta = dict(img_shape=(56, 80), ori_shape=(56, 80), pad_shape=(56, 80))
    batch = dict(inputs=images((56, 80)), data_samples=[SegDataSample(metainfo=meta)])
    calls = []
    handle = model.backbone.readout.register_forward_hook(lambda *a: calls.append(1))
    step = without_grad(lambda: model.test_step(copy.deepcopy(batch)))
    read = PrefixReader(model, STEPS).read(step)
    windows = len(calls)
    assert windows == 6, "one pass a window, whatever the number of T"
    handle.remove()
    expected = separate(model, step)
    for t in STEPS:
        torch.testing.assert_close(
            read[t][0].seg_logits.data, expected[t][0].seg_logits.data, rtol=1e-5, atol=1e-5
        )
    assert not torch.equal(read[1][0].seg_logits.data, read[8][0].seg_logits.data)


def test_mixed_precision():
    model = build(segmentor())
    meta = dict(img_shape=(32, 32), ori_shape=(32, 32), pad_shape=(32, 32))
    batch = dict(inputs=images((32, 32)), data_samples=[SegDataSample(metainfo=meta)])
    step = without_grad(lambda: model.test_step(copy.deepcopy(batch)))
    with torch.autocast("cpu", torch.bfloat16):
        read = PrefixReader(model, STEPS).read(step)
        expected = separate(model, step)
    for t in STEPS:
        assert torch.equal(read[t][0].seg_logits.data, expected[t][0].seg_logits.data)


def test_test_time_augmentation():
    tta = dict(
        type="DetTTAModel",
        tta_cfg=dict(nms=dict(type="nms", iou_threshold=0.5), max_per_img=20),
        module=retinanet(),
    )
    model = build(tta)
    views = [
        detection_batch((64, 64), (64, 64), flip=flip, flip_direction="horizontal")
        for flip in (False, True)
    ]
    batch = {key: [view[key] for view in views] for key in views[0]}
    step = without_grad(lambda: model.test_step(batch))
    assert_same_detections(PrefixReader(model, STEPS).read(step), separate(model, step))


def test_frames_with_a_time_axis_of_their_own():
    backbone = build(retinanet()).backbone
    frames = torch.randn(4, 2, 3, 32, 32)
    read = PrefixReader(backbone, (1, 2, 4)).read(lambda: backbone(frames))
    with torch.no_grad():
        for t in (1, 2, 4):
            for a, b in zip(read[t], backbone(frames[:t]), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="has 4 time steps, but the largest of time_steps is 8"):
        PrefixReader(backbone, (1, 8)).read(lambda: backbone(frames))


def test_sequences():
    backbone = build(retinanet(output="sequence")).backbone
    x = torch.randn(2, 3, 32, 32)
    read = PrefixReader(backbone, (2, 4)).read(lambda: backbone(x))
    for a, b in zip(read[2], read[4], strict=True):
        assert a.shape[0] == 2
        torch.testing.assert_close(a, b[:2])


def test_the_data_is_preprocessed_once_and_predictions_do_not_overwrite_each_other():
    model = build(retinanet())
    count = []
    model.data_preprocessor.register_forward_hook(lambda m, a, out: count.append(out["inputs"]))
    batch = detection_batch((64, 64))
    read = PrefixReader(model, STEPS).read(lambda: model.test_step(batch))
    # A forward hook also sees what is played back: the very same tensor.
    assert len({x.data_ptr() for x in count}) == 1
    samples = [read[t][0] for t in STEPS]
    assert len({id(s) for s in samples}) == len({id(s.gt_instances) for s in samples}) == 4
    assert all("pred_instances" not in s for s in batch["data_samples"])


def state_of(model):
    module = model.backbone
    return (
        module.time_steps,
        module.output,
        "forward" in vars(module),
        "forward" in vars(model.data_preprocessor),
        len(module.readout._forward_hooks),
    )


@pytest.mark.parametrize("failing_call", [None, 1, 2])
def test_the_model_is_as_before_whatever_happens(failing_call):
    model = build(retinanet(time_steps=3))
    before, calls = state_of(model), []
    batch = detection_batch((64, 64))

    def step():
        calls.append(1)
        out = model.test_step(batch)
        if len(calls) == failing_call:
            raise KeyError("stop")
        return out

    reader = PrefixReader(model, (1, 2, 4))
    if failing_call is None:
        reader.read(step)
    else:
        with pytest.raises(KeyError, match="stop"):
            reader.read(step)
    assert state_of(model) == before


def test_a_forward_replaced_by_someone_else_is_kept():
    model = build(retinanet())
    mine = model.backbone.forward
    model.backbone.forward = lambda x: mine(x)
    wrapper = model.backbone.forward
    PrefixReader(model, (1, 2)).read(lambda: model.test_step(detection_batch((64, 64))))
    assert model.backbone.forward is wrapper


def test_a_model_that_runs_differently_at_another_t_is_an_error():
    backbone = build(retinanet()).backbone
    x = torch.randn(1, 3, 32, 32)
    reader = PrefixReader(backbone, (1, 2))
    calls = iter([1, 2])
    with pytest.raises(RuntimeError, match="once more in a pass at another T"):
        reader.read(lambda: [backbone(x) for _ in range(next(calls))])
    calls = iter([2, 1])
    with pytest.raises(RuntimeError, match="called 2 times in the recorded pass and 1 times"):
        reader.read(lambda: [backbone(x) for _ in range(next(calls))])
    sizes = iter([32, 64])
    with pytest.raises(RuntimeError, match="inputs of shape"):
        reader.read(lambda: backbone(torch.randn(1, 3, next(sizes), 32)))


def test_train_mode_is_refused():
    model = build(retinanet())
    reader = PrefixReader(model, (1, 2))
    with pytest.raises(ValueError, match="RetinaNet is in train mode"):
        model.train()
        reader.read(lambda: None)
    model.eval()
    model.backbone.bn1.train()
    with pytest.raises(ValueError, match="backbone.bn1 computes its statistics from the batch"):
        reader.read(lambda: None)


def test_a_neuron_that_looks_ahead_is_refused():
    model = MODELS.build(retinanet(neuron=dict(type="PSN")))
    with pytest.raises(ValueError, match="PSN"):
        PrefixReader(model, (1, 2))


def test_a_model_without_or_with_two_spiking_backbones_is_refused():
    with pytest.raises(ValueError, match="Linear has no spiking backbone"):
        PrefixReader(torch.nn.Linear(1, 1), (1, 2))
    two = torch.nn.Sequential(*(build(retinanet()).backbone for _ in range(2)))
    with pytest.raises(ValueError, match="2 spiking backbones .0, 1."):
        PrefixReader(two, (1, 2))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((), "empty"),
        ((0, 1), "0 is not an integer of at least 1"),
        ((-2,), "-2 is not"),
        ((1, 2.0), "2.0 is not"),
        ((True,), "True is not"),
        ((1, 2, 1), "T=1 is given more than once"),
    ],
)
def test_bad_steps_are_named(steps, message):
    with pytest.raises(ValueError, match=message):
        check_time_steps(steps)
