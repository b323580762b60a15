"""tools/test.py from the command line."""

import json
from collections import OrderedDict

import pytest
from mmdet.models import RetinaNet
from mmengine.config import Config
from mmengine.registry import DefaultScope

from tests.helpers.scenes import (
    build,
    detection_config,
    retinanet,
    write_checkpoint,
    write_pure_python,
    write_scenes,
)
from tests.helpers.tooling import TOOLS, tool

main = tool("test")


@pytest.fixture
def files(tmp_path):
    write_scenes(tmp_path)
    detection_config(tmp_path, retinanet()).dump(tmp_path / "config.py")
    checkpoint = write_checkpoint(build(retinanet()), tmp_path / "snn.pth")
    return tmp_path, [str(tmp_path / "config.py"), checkpoint]


def test_table_json_plot_and_pictures(files, capsys):
    root, arguments = files
    shown = root / "shown"
    main(
        [*arguments, "--time-steps", "1", "2", "4", "--out", str(root / "sweep.json")]
        + ["--show-dir", str(shown), "--work-dir", str(root / "w"), "--timed-batches", "1"]
    )
    printed = capsys.readouterr().out
    (header,) = [line for line in printed.splitlines() if line.lstrip().startswith("T ")]
    assert header.split() == ["T", "mAP", "mAP50", "mAP75", "firing", "rate", "ms", "per", "image"]
    content = json.loads((root / "sweep.json").read_text())
    assert [row["T"] for row in content["rows"]] == [1, 2, 4]
    assert content["checkpoint"] == arguments[1] and content["timed_images"] == 2
    assert "3 T from one backbone pass" in printed
    assert (root / "sweep.png").is_file()
    assert len(list(shown.rglob("*.png"))) == 4


def test_data_that_is_not_there_is_named(files):
    root, arguments = files
    gone = str(root / "gone")
    options = ["--cfg-options", f"test_dataloader.dataset.data_root={gone}"]
    with pytest.raises(SystemExit, match=rf"{gone}/instances.json does not exist \(test_data"):
        main([*arguments, "--work-dir", str(root / "w"), *options])


@pytest.fixture
def counting(tmp_path):
    """A student whose neurons fire integers."""
    write_scenes(tmp_path)
    cfg = retinanet(type="SpikingResNet", time_steps=1, neuron=dict(type="NILIFNode", D=4))
    detection_config(tmp_path, cfg).dump(tmp_path / "config.py")
    return [str(tmp_path / "config.py"), write_checkpoint(build(cfg), tmp_path / "snn.pth")]


def test_a_grid_of_t_and_d(counting, tmp_path, capsys):
    """Each cell is what a test of that T and D alone gives."""
    out = tmp_path / "grid.json"
    where = ["--work-dir", str(tmp_path / "w"), "--timed-batches", "0"]
    steps, counts = ["--time-steps", "1", "2"], ["--counts", "1", "4"]
    main([*counting, *steps, *counts, "--out", str(out), *where])
    printed = capsys.readouterr().out
    assert "4 readings from 2 passes per batch" in printed
    rows = json.loads(out.read_text())["rows"]
    assert [(row["T"], row["D"]) for row in rows] == [(1, 1), (2, 1), (1, 4), (2, 4)]
    assert (tmp_path / "grid.png").is_file()
    for row in rows:
        single = tmp_path / "single.json"
        options = ["--cfg-options", f"model.backbone.time_steps={row['T']}"]
        options += [f"model.backbone.neuron.D={row['D']}"]
        main([*counting, "--out", str(single), *where, *options])
        (alone,) = json.loads(single.read_text())["rows"]
        assert row["metrics"] == pytest.approx(alone["metrics"])
        assert row["firing_rate"] == pytest.approx(alone["firing_rate"])
    assert len({row["firing_rate"] for row in rows}) == 4
    capsys.readouterr()


def test_counts_of_binary_neurons_are_refused(files):
    root, arguments = files
    with pytest.raises(SystemExit, match="has no neuron that fires integers"):
        main([*arguments, "--counts", "1", "2", "--work-dir", str(root / "w")])


@pytest.mark.parametrize(
    ("counts", "says"), [(["0"], "D=0: must be an integer"), (["2", "2"], "more than once")]
)
def test_bad_counts(capsys, counts, says):
    with pytest.raises(SystemExit):
        main(["a.py", "a.pth", "--counts", *counts])
    assert says in capsys.readouterr().err


def test_without_steps_the_configs_own_t(files, capsys):
    root, arguments = files
    main(
        [*arguments, "--cfg-options", "model.backbone.time_steps=2", "--plot", str(root / "p.png")]
    )
    table = capsys.readouterr().out.partition("ms per image\n")[2]
    assert table.splitlines()[0].split()[0] == "2"
    assert (root / "p.png").is_file()


def test_test_time_augmentation(files, capsys):
    root, arguments = files
    main([*arguments, "--tta", "--time-steps", "1", "2", "--out", str(root / "tta.json")])
    content = json.loads((root / "tta.json").read_text())
    assert [row["T"] for row in content["rows"]] == [1, 2]
    assert content["timed_images"] == 4
    capsys.readouterr()


@pytest.mark.parametrize("more", [[], ["--tta"], ["--show-dir"]])
def test_pure_python_configs(files, capsys, monkeypatch, more):
    """Classes instead of names, and no default scope."""
    root, (config, checkpoint) = files
    out = root / "pure.json"
    write_pure_python(Config.fromfile(config), root / "pure.py")
    monkeypatch.setattr(DefaultScope, "_instance_dict", OrderedDict())  # as in a new process
    assert Config.fromfile(root / "pure.py").model.type is RetinaNet
    shown = root / "shown"
    if more == ["--show-dir"]:
        more = ["--show-dir", str(shown)]
    arguments = [checkpoint, "--time-steps", "1", "2", "--out", str(out), "--timed-batches", "0"]
    arguments += ["--work-dir", str(root / "w"), *more]
    main([str(root / "pure.py"), *arguments])
    rows = json.loads(out.read_text())["rows"]
    assert len(list(shown.rglob("*.png"))) == (4 if len(more) == 2 else 0)
    main([config, *arguments])
    assert rows == json.loads(out.read_text())["rows"]
    capsys.readouterr()


@pytest.mark.parametrize("missing", ["test_dataloader", "test_evaluator", "test_cfg"])
@pytest.mark.parametrize("more", [[], ["--tta"], ["--show-dir", "shown"]])
def test_a_config_without_a_test_set(files, missing, more):
    root, (config, checkpoint) = files
    cfg = Config.fromfile(config)
    cfg[missing] = None
    cfg.dump(root / "untested.py")
    with pytest.raises(SystemExit, match=rf"untested\.py: {missing} is missing or None"):
        main([str(root / "untested.py"), checkpoint, "--work-dir", str(root / "w"), *more])


FLIPS = [
    [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0, direction="horizontal")]
]


def flipped(cfg, loads, packs):
    """Both images of a flip, read by ``loads``."""
    pipeline = cfg.test_dataloader.dataset.pipeline
    tail = [p for p in pipeline[1:] if p["type"] not in (loads, packs)]
    transforms = [*FLIPS, *[[p] for p in tail]]
    if loads:
        transforms.append([dict(type=loads)])
    transforms.append([dict(type=packs)])
    cfg.tta_pipeline = [pipeline[0], dict(type="TestTimeAug", transforms=transforms)]


@pytest.mark.parametrize(
    "task,options",
    [
        ("fcn_sew18_sakd_digits", ["--time-steps"]),
        ("fcn_sew18_sakd_digits", ["--tta", "--time-steps"]),
        ("sew18_sakd_digits", ["--time-steps"]),
        ("sew18_sakd_digits", ["--tta", "--time-steps"]),
    ],
)
def test_one_pass_gives_what_separate_runs_give(tmp_path, capsys, task, options):
    """A segmentor that slides a window, and a classifier, with and without augmentation."""
    cfg = Config.fromfile(TOOLS.parent / "configs" / f"{task}.py")
    count = 12 if task.startswith("fcn") else 60
    cfg.test_dataloader.dataset.update(
        data_root=str(tmp_path / "data"), scenes=dict(counts=(1, 1, count))
    )
    cfg.custom_hooks = []
    if task.startswith("fcn"):
        cfg.model.test_cfg = dict(mode="slide", crop_size=(64, 64), stride=(48, 48))
        cfg.tta_model = dict(type="SegTTAModel")
        flipped(cfg, "LoadAnnotations", "PackSegInputs")
    else:
        cfg.test_evaluator.topk = (1, 3, 5)
        cfg.tta_model = dict(type="AverageClsScoreTTA")
        flipped(cfg, None, "PackInputs")
    cfg.dump(tmp_path / "config.py")
    model = build({**cfg.model, "type": f"{cfg.default_scope}.{cfg.model.type}"})
    files = [str(tmp_path / "config.py"), write_checkpoint(model, tmp_path / "snn.pth")]

    def rows(*steps):
        out = tmp_path / f"{'-'.join(steps)}.json"
        where = ["--out", str(out), "--work-dir", str(tmp_path / "w")]
        main([*files, *options, *steps, *where, "--timed-batches", "0"])
        return {row["T"]: row["metrics"] for row in json.loads(out.read_text())["rows"]}

    together = rows("1", "2", "4")
    for t in (1, 2, 4):
        assert rows(str(t))[t] == pytest.approx(together[t], abs=1e-5)
    assert len({str(metrics) for metrics in together.values()}) > 1
    capsys.readouterr()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--time-steps", "0", "2"], "0 is not an integer of at least 1"),
        (["--time-steps", "2", "2"], "T=2 is given more than once"),
        (["--time-steps"], "expected at least one argument"),
        (["--timed-batches", "-1"], "must be at least 0"),
        (
            ["--out", "results.pkl"],
            "'results.pkl': must end in .json. The file holds",
        ),
        (["--out", "results"], "test_evaluator.outfile_prefix"),
        (["--plot", "plot.pdf"], "'plot.pdf': must end in .png"),
    ],
)
def test_bad_arguments(files, capsys, changes, message):
    with pytest.raises(SystemExit):
        main([*files[1], *changes])
    assert message in capsys.readouterr().err


def test_files_that_are_not_there(files):
    _, (config, checkpoint) = files
    with pytest.raises(SystemExit, match="error: .*nowhere.py"):
        main(["nowhere.py", checkpoint])
    with pytest.raises(SystemExit, match="error: .*nowhere.pth"):
        main([config, "nowhere.pth"])


def test_a_checkpoint_of_another_architecture(files):
    root, (config, _) = files
    other = write_checkpoint(build(retinanet(depth=34)), root / "other.pth")
    with pytest.raises(SystemExit, match="error: .*other.pth does not fit the RetinaNet"):
        main([config, other])
