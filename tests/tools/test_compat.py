"""The run over upstream's configs: what it finds, what it survives, what it writes."""

import json
import os
import time

import pytest

from tools.compat import CHECKS, Case, check, checks, find_cases, markdown, run_cases
from tools.compat.checks import OK

MODEL = dict(type="Fake")


def case(name="fam/a.py", *more, package="mmdet", model=MODEL, error=""):
    return Case(package, [name, *more], None if error else dict(model, name=name), error)


@pytest.fixture
def fake(monkeypatch):
    """``fake(f)``: ``f(case, spiking)`` gives what the checks find, in the forked process."""

    def put(answer):
        def checked(case, spiking, on_outcome, **options):
            for name, found in answer(case, spiking).items():
                on_outcome(name, found)

        monkeypatch.setattr("tools.compat.run.check", checked)

    return put


def all_ok(spiking=True, **but):
    names = CHECKS if spiking else CHECKS[:4]
    return {name: but.get(name, OK) for name in names}


def test_configs_of_equal_models_are_one_case():
    cases = find_cases("mmdet", "retinanet/retinanet_r50_fpn_*")
    (once,) = (c for c in cases if "retinanet/retinanet_r50_fpn_1x_coco.py" in c.configs)
    assert "retinanet/retinanet_r50_fpn_2x_coco.py" in once.configs
    assert once.family == "retinanet"
    names = [name for c in cases for name in c.configs]
    assert len(names) == len(set(names)) > len(cases)
    assert "checkpoint" not in json.dumps(once.model)


def test_configs_without_such_a_backbone_are_left_out():
    assert find_cases("mmdet", "swin/*") == []
    with pytest.raises(ValueError, match="package='mmpose'"):
        find_cases("mmpose")


@pytest.mark.parametrize(
    "package,config",
    [
        ("mmdet", "retinanet/retinanet_r18_fpn_1x_coco.py"),
        ("mmseg", "fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py"),
        ("mmpretrain", "resnet/resnet18_8xb32_in1k.py"),
        # Its backbone pools the features.
        ("mmpretrain", "convnext_v2/convnext-v2-atto_32xb32_in1k.py"),
        # A config of mmdet whose model is one of mmpretrain.
        ("mmdet", "rtmdet/classification/cspnext-tiny_8xb256-rsb-a1-600e_in1k.py"),
    ],
)
def test_one_of_every_package(package, config):
    (found,) = find_cases(package, config)
    assert check(found, size=64, time_steps=2) == all_ok()
    assert check(found, spiking=False, size=64) == all_ok(False)


def test_a_model_that_cannot_spike_says_why_and_is_built_once(monkeypatch):
    built = []
    build = checks._build
    monkeypatch.setattr(checks, "_build", lambda cfg: built.append(cfg) or build(cfg))
    (found,) = find_cases("mmdet", "retinanet/retinanet_r18_fpn_1x_coco.py")
    found.model["backbone"]["style"] = "tf"
    (reason,) = check(found, size=64).values()
    assert reason == "UserError: style='tf': must be 'pytorch' or 'caffe'"
    assert len(built) == 1


def test_what_fails_is_run_with_the_upstream_backbone(fake, tmp_path):
    fake(lambda c, spiking: all_ok(spiking, **({"train": "bad"} if "b.py" in c.name else {})))
    result = run_cases([case(), case("fam/b.py")], tmp_path / "out.json")
    good, bad = result["cases"].values()
    assert "unswapped" not in good
    assert bad["unswapped"]["train"] == "bad"
    text = markdown(result)
    assert "| fam | 2 | 1 | 1 | 1 | 1 | 1 | 1 | 1 |" in text
    assert "training step: `bad` (1): `fam/b.py`" in text.split("fail with the upstream")[1]


def test_what_only_the_swap_breaks_counts(fake, tmp_path):
    fake(lambda c, spiking: all_ok(spiking, **({"predict": "bad"} if spiking else {})))
    result = run_cases([case("fam/a.py", "fam/a2.py"), case("x/b.py")], tmp_path / "out.json")
    text = markdown(result)
    assert "| **all** | 3 | 3 | 3 | 3 | 0 | 3 | 3 | 3 |" in text
    assert "0.0 %" in text
    assert "`bad` (3): `fam/a.py`, `fam/a2.py`, `x/b.py`" in text


def test_a_hanging_and_a_dying_case_leave_what_they_found(fake, tmp_path):
    def answer(case, spiking):
        yield "build", OK
        if spiking:
            os._exit(7) if "dies" in case.name else time.sleep(60)

    class Lazy(dict):
        def __init__(self, pairs):
            self.pairs = pairs

        def items(self):
            return self.pairs

    fake(lambda c, spiking: Lazy(answer(c, spiking)))
    cases = [case("fam/dies.py"), case("fam/hangs.py")]
    result = run_cases(cases, tmp_path / "out.json", seconds=3)
    dies, hangs = result["cases"].values()
    assert dies["swapped"]["build"] == hangs["swapped"]["build"] == OK
    assert dies["swapped"]["train"] == "the process ended with code 7"
    assert hangs["swapped"]["train"] == "stopped after 3 s"


def test_it_goes_on_where_it_was_stopped(fake, tmp_path):
    out = tmp_path / "out.json"
    fake(lambda c, spiking: all_ok(spiking))
    run_cases([case()], out, size=64)
    fake(lambda c, spiking: all_ok(spiking, train="run again"))
    result = run_cases([case(), case("fam/b.py")], out, size=64)
    first, second = result["cases"].values()
    assert first["swapped"]["train"] == OK
    assert second["swapped"]["train"] == "run again"
    again = run_cases([case()], out, size=32)  # another question
    assert [r["swapped"]["train"] for r in again["cases"].values()] == ["run again"]


def test_a_file_that_is_no_result_is_refused(tmp_path):
    (tmp_path / "out.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"out\.json is not a result"):
        run_cases([case()], tmp_path / "out.json")


def test_a_config_that_cannot_be_read_is_upstreams_failure(tmp_path):
    result = run_cases([case(error="KeyError: 'x'")], tmp_path / "out.json")
    text = markdown(result)
    assert "| fam | 1 | 0 | 0 |" in text
    assert "build: `KeyError: 'x'` (1)" in text
