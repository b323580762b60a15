"""What SAKDHook refuses, before training starts, and what it says then."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from sakd_dense.config.twins import ann_of
from tests.helpers.scenes import build, retinanet, write_checkpoint


@pytest.mark.parametrize(
    "hook,error,says",
    [
        (dict(teacher=dict(checkpoint="nowhere.pth")), FileNotFoundError, "nowhere.pth"),
        (dict(teacher=dict(config="x.py")), ValueError, "must be dict\\(checkpoint"),
        (dict(teacher=dict(checkpoint="a", weight=1)), ValueError, "weight"),
        (dict(teacher=dict(checkpoint="a", dtype="int8")), ValueError, "dtype='int8'.*'bfloat16'"),
        (dict(transfer="tail"), ValueError, "transfer='tail'"),
        (dict(prefixes="some"), ValueError, "prefixes='some'"),
        (dict(teacher=dict(checkpoint="x", cache="y")), ValueError, "cache"),
        (dict(prefixes=0), ValueError, "prefixes=0"),
        (dict(prefixes=True), ValueError, "prefixes=True"),
        (dict(prefixes=dict(type="image", share=1.5)), ValueError, "share.*1.5.*from 0 to 1"),
        (dict(prefixes=dict(type="random", share=0.5)), ValueError, "type='image'"),
        (dict(prefixes=dict(type="image", part=0.5)), ValueError, "part"),
        (dict(features=dict(weight=1.0)), ValueError, "no type"),
        (dict(features=dict(type="FeatureMSE", weight=-1)), ValueError, "start=-1"),
        (dict(responses=dict(seg=1.0)), ValueError, "seg is not a term"),
    ],
)
def test_bad_arguments_are_named(make_runner, hook, error, says):
    with pytest.raises(error, match=says):
        runner = make_runner({**hook})
        runner.train()


def test_a_student_that_does_not_spike_is_refused(make_runner):
    runner = make_runner()
    runner.model.backbone = torch.nn.Identity()
    with pytest.raises(ValueError, match="Identity, which does not spike"):
        runner.train()


def test_a_runner_without_a_config_is_refused(make_runner):
    runner = make_runner()
    runner.cfg.pop("model")
    with pytest.raises(ValueError, match=r"build it with Runner.from_cfg"):
        runner.train()


def test_psn_neurons_have_no_prefixes(make_runner):
    with pytest.raises(ValueError, match="prefixes='image' needs neurons"):
        make_runner(backbone=dict(neuron="PSN")).train()


def broken_teachers():
    yield "classes", dict(bbox_head=dict(num_classes=5)), {}, "has other classes: bbox_head"
    yield "names", {}, dict(dataset_meta=dict(classes=("cat", "dog"))), r"\(cat, dog\)"
    yield "depth", dict(backbone=dict(depth=34)), {}, "does not fit|another architecture"
    yield "width", dict(backbone=dict(base_channels=16)), {}, "another architecture"


@pytest.mark.parametrize("name,change,meta,says", list(broken_teachers()))
def test_a_teacher_that_does_not_fit_is_refused(make_runner, tmp_path, name, change, meta, says):
    cfg = Config(dict(model=retinanet()))
    cfg.merge_from_dict(dict(model=change))
    if name == "width":
        cfg.model.neck.in_channels = [16, 32, 64, 128]
    path = write_checkpoint(build(cfg.model), tmp_path / f"{name}.pth", **meta)
    with pytest.raises(ValueError, match=says):
        make_runner(dict(teacher=dict(checkpoint=path))).train()


def teachers_of_other_classes():
    yield "number", dict(bbox_head=dict(num_classes=5)), ("a", "b", "c", "d", "e")
    yield "names", {}, ("cat", "dog")


@pytest.mark.parametrize("name,change,classes", list(teachers_of_other_classes()))
@pytest.mark.parametrize("transfer", [True, False, "head"])
def test_features_alone_are_taught_by_a_teacher_of_other_classes(
    make_runner, tmp_path, name, change, classes, transfer
):
    cfg = Config(dict(model=ann_of(retinanet())))
    cfg.merge_from_dict(dict(model=change))
    ann = build(cfg.model, seed=5)
    meta = dict(dataset_meta=dict(classes=classes))
    teacher = dict(checkpoint=write_checkpoint(ann, tmp_path / f"{name}.pth", **meta))
    hook = dict(teacher=teacher, transfer=transfer, prefixes=None)
    with pytest.raises(ValueError, match="classes"):
        make_runner(hook).train()
    runner = make_runner(dict(hook, responses=None))
    start = {}

    def watch(model, _args):
        if not start:
            start.update({k: v.clone() for k, v in model.state_dict().items()})

    runner.model.register_forward_pre_hook(watch)
    runner.train()
    terms = {name for name in runner.message_hub.log_scalars if "sakd" in name}
    assert terms == {"train/loss_sakd_feat"}
    source = ann.state_dict()
    shared = {k for k in source if start[k].shape == source[k].shape and k.endswith(".weight")}
    loaded = {k for k in shared if torch.equal(start[k], source[k])}
    inside = {k for k in shared if k.startswith("backbone.")}
    wanted = {True: shared, False: set(), "head": shared - inside}[transfer]
    norms = {k for k in inside if source[k].dim() == 1}  # those start at 1 everywhere
    assert loaded - norms == wanted - norms


@pytest.mark.parametrize("weights", ["left", "right"])
def test_the_teachers_weights_are_named_where_there_are_several(make_runner, tmp_path, weights):
    models = {name: build(ann_of(retinanet()), seed=i) for i, name in enumerate(("left", "right"))}
    file = write_checkpoint(torch.nn.ModuleDict(models), tmp_path / "two.pth")
    with pytest.raises(ValueError, match=r"several models \(left, right\): choose one"):
        make_runner(dict(teacher=dict(checkpoint=file))).train()
    runner = make_runner(dict(teacher=dict(checkpoint=file, weights=weights)))
    start = {}

    def watch(model, _args):
        start.setdefault("w", model.backbone.conv1.weight.clone())

    runner.model.register_forward_pre_hook(watch)
    runner.train()
    assert torch.equal(start["w"], models[weights].backbone.conv1.weight)


def test_a_truncated_teacher_is_refused(make_runner, teacher_file, tmp_path):
    path = tmp_path / "half.pth"
    path.write_bytes(Path(teacher_file).read_bytes()[:5000])
    with pytest.raises(ValueError, match="half.pth"):
        make_runner(dict(teacher=dict(checkpoint=str(path)))).train()


def test_other_preprocessing_is_refused(make_runner, teacher_file, tmp_path):
    model = ann_of(retinanet())
    model["data_preprocessor"]["mean"] = [1.0, 2.0, 3.0]
    path = tmp_path / "teacher.py"
    path.write_text(f"model = {model!r}")
    teacher = dict(checkpoint=teacher_file, config=str(path))
    with pytest.raises(ValueError, match=r"data_preprocessor.mean is \[120.0, 120.0, 120.0\]"):
        make_runner(dict(teacher=teacher)).train()
