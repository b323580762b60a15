"""Level 2 on every task: one training forward of upstream's own models, made tiny."""

import numpy as np
import pytest
import torch

from sakd_dense.distill.arguments import LevelTwo
from sakd_dense.distill.prefixes import prefix_rates
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.terms import Terms
from sakd_dense.runtime.amp import CPUAmpOptimWrapper
from tests.helpers.tasks import TASKS


@pytest.fixture(params=TASKS)
def task(request):
    return TASKS[request.param]


def forward(task, shake=True, dtype=None, **responses):
    """(student, its own losses, level 2's terms) of a batch, with prefix 2."""
    student, teacher = task.models()
    if shake:
        torch.manual_seed(11)
        for p in teacher.parameters():
            p.mul_(1 + 0.2 * torch.randn_like(p))
    response = find_response(student, **responses)
    options = LevelTwo(prefixes="random", prefix_weight=1.0, dtype=dtype)
    terms = Terms(student, teacher, options, response)
    np.random.seed(2)  # mixup's
    data = student.data_preprocessor(task.batch(), training=True)
    torch.manual_seed(2)
    losses = student(**data, mode="loss")
    added = terms(data["inputs"], data["data_samples"], prefix=2)
    terms.clear()
    assert not any(tap.calls for tap in (terms._readout, *terms._heads))
    terms.remove()
    return student, losses, added


def test_terms_and_gradients(task):
    student, losses, added = forward(task)
    names = {f"loss_sakd_{n}" for n in ("feat", *task.terms)}
    names |= {n.replace("sakd_", "sakd_prefix_") for n in names}
    assert set(added) == names
    for name, value in added.items():
        assert value.dtype == torch.float32 and value.dim() == 0, name
        assert value.isfinite() and value > 0, name
    sum(added.values()).backward()
    for part in ("backbone", "head"):
        found = [p for n, p in student.named_parameters() if part in n and p.grad is not None]
        assert any(p.grad.any() for p in found), part
    assert all(p.grad.isfinite().all() for p in student.parameters() if p.grad is not None)


def test_the_models_own_losses_stay(task):
    """Terms are added; the tapped forward gives what the plain one gives."""
    _, losses, _ = forward(task)
    student, _ = task.models()
    data = student.data_preprocessor(task.batch(), training=True)
    torch.manual_seed(2)
    plain = student(**data, mode="loss")
    assert list(plain) == list(losses)


def test_mixed_precision_on_a_cpu(task):
    """Finite losses and gradients for every task; mmcv's operators have no bfloat16 there."""
    wrapper = CPUAmpOptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0))
    with wrapper.optim_context(torch.nn.Identity()):
        student, losses, added = forward(task)
    total, _ = student.parse_losses({**losses, **added})
    total.backward()
    assert total.isfinite()
    assert all(p.grad.isfinite().all() for p in student.parameters() if p.grad is not None)


def test_a_teacher_in_half_precision_says_nearly_the_same(task):
    (_, _, whole), (_, losses, half) = (forward(task, dtype=d) for d in (None, "bfloat16"))
    assert all(v.dtype == torch.float32 for v in losses.values() if isinstance(v, torch.Tensor))
    assert list(half) == list(whole)
    for name, value in half.items():
        assert value.dtype == torch.float32, name
        torch.testing.assert_close(value, whole[name], rtol=0.1, atol=1e-3, msg=name)
    assert any(not torch.equal(half[name], whole[name]) for name in whole)


def test_zero_when_both_say_the_same(task):
    student, teacher = task.models()
    response = find_response(student)
    data = student.data_preprocessor(task.batch(), training=True)
    taps = response.taps(student)
    student(**data, mode="loss")
    like = response.gather([tap.take() for tap in taps], student)
    for tap in taps:
        tap.remove()
    student.eval()  # dropout, and BatchNorm by the same statistics
    teacher.load_state_dict(student.state_dict())
    features = student.backbone(torch.rand(2, 3, 64, 64) * 4)
    mine, theirs = (
        response.run(m, features, like, data["data_samples"]) for m in (student, teacher)
    )
    for name, value in response.compare(mine, theirs, student).items():
        assert value.item() == pytest.approx(0, abs=1e-5), name


def test_prefix_rates_are_what_fewer_steps_give(task):
    """What is taught at t is what the model says when it is run with T = t."""
    student, _ = task.models()
    student.eval()
    x = torch.rand(1, 3, 64, 64) * 4
    student.backbone.output = "sequence"
    sequences = student.backbone(x)
    student.backbone.output, student.backbone.time_steps = "rate", 2
    for one, other in zip(prefix_rates(sequences, 2), student.backbone(x), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("options", [dict(tau=0), dict(tau=-1.0)])
@pytest.mark.parametrize("name", ["fcn", "classifier"])
def test_a_temperature_must_be_above_0(name, options):
    student, _ = TASKS[name].models()
    with pytest.raises(ValueError, match="tau="):
        find_response(student, **options)


def logits(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def samples(labels):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    return [SegDataSample(gt_sem_seg=PixelData(data=x[None])) for x in labels]


@pytest.mark.parametrize("loss", ["kl", "cwd"])
def test_segmentation_leaves_out_what_is_to_be_ignored(loss):
    student, _ = TASKS["fcn"].models()
    response = find_response(student, loss=loss)
    s, t = logits(0, 2, 3, 8, 8), logits(1, 2, 3, 8, 8)
    labels = torch.zeros(2, 32, 32, dtype=torch.long)
    labels[:, :, 16:] = 255
    wild = s.clone()
    wild[..., 4:] = 50.0
    values = [
        response.compare([x, x], [t, t], student, samples(labels))["decode"] for x in (s, wild)
    ]
    torch.testing.assert_close(*values)
    empty = samples(torch.full((2, 32, 32), 255))
    assert response.compare([s, s], [t, t], student, empty)["decode"] == 0


@pytest.mark.parametrize("loss", ["kl", "cwd"])
def test_segmentation_does_not_grow_with_resolution_or_batch(loss):
    student, _ = TASKS["fcn"].models()
    response = find_response(student, loss=loss)
    s, t = logits(0, 2, 3, 8, 8), logits(1, 2, 3, 8, 8)
    expected = response.compare([s, s], [t, t], student)["decode"]
    for times in ((2, 1, 1, 1), (1, 1, 2, 3)):
        if loss == "cwd" and times[0] == 1:
            continue  # its softmax runs over pixels: twice the pixels, half the mass of each
        larger = [x.repeat(times) for x in (s, t)]
        value = response.compare([larger[0]] * 2, [larger[1]] * 2, student)["decode"]
        torch.testing.assert_close(value, expected)


def test_kl_by_hand():
    student, _ = TASKS["classifier"].models()
    s, t = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    p = torch.sigmoid(torch.tensor(1.0))  # tau = 2
    kl = p * (p / 0.5).log() + (1 - p) * ((1 - p) / 0.5).log()
    value = find_response(student, tau=2.0).compare(s, t, student)["cls"]
    assert value.item() == pytest.approx(4 * kl.item(), rel=1e-5)


def test_boxes_and_masks_count_as_far_as_the_teacher_sees_the_class():
    """One RoI, two classes of which the teacher sees the first alone."""
    from sakd_dense.distill.responses.roi_calls import RoICall
    from sakd_dense.distill.responses.two_stage import TwoStageOutput

    student, _ = TASKS["mask"].models()
    asked = dict(rois=torch.tensor([[0.0, 1, 1, 9, 9]]))
    sure = torch.tensor([[30.0, 0.0, 0.0]])

    def answer(deltas, mask):
        boxes = RoICall("_bbox_forward", asked, dict(cls_score=sure, bbox_pred=deltas))
        return TwoStageOutput(
            roi_calls=[boxes, RoICall("_mask_forward", asked, dict(mask_preds=mask))]
        )

    mask = torch.stack([torch.zeros(4, 4), torch.full((4, 4), 9.0)])[None]
    one = answer(torch.zeros(1, 8), mask)
    two = answer(torch.tensor([[0.5] * 4 + [100.0] * 4]), torch.zeros_like(mask))
    terms = find_response(student).compare(one, two, student)
    assert terms["cls"].item() == pytest.approx(0, abs=1e-6)
    assert terms["box"].item() == pytest.approx(0.5, rel=1e-4)
    assert terms["mask"].item() == pytest.approx(0, abs=1e-4)
