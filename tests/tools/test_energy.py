"""tools/energy.py from the command line."""

from collections import OrderedDict

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from sakd_dense.config.twins import ann_of
from sakd_dense.energy import EnergyReport
from tests.helpers.scenes import (
    build,
    detection_config,
    retinanet,
    write_checkpoint,
    write_pure_python,
    write_scenes,
)
from tests.helpers.tooling import TOOLS, tool

main = tool("energy")


@pytest.fixture
def files(tmp_path):
    write_scenes(tmp_path)
    detection_config(tmp_path, retinanet()).dump(tmp_path / "config.py")
    checkpoint = write_checkpoint(build(retinanet()), tmp_path / "snn.pth")
    return tmp_path, [str(tmp_path / "config.py"), checkpoint, "--work-dir", str(tmp_path / "w")]


def test_every_layer_and_part_at_each_t(files, capsys):
    root, arguments = files
    teacher = write_checkpoint(build(ann_of(retinanet())), root / "ann.pth")
    out = root / "energy.json"
    main(
        [*arguments, "--time-steps", "1", "4", "--samples", "2", "--out", str(out)]
        + ["--teacher-checkpoint", teacher, "--estimators", "simple", "lemaire"]
    )
    printed = capsys.readouterr().out
    report = EnergyReport.from_json(out)
    assert list(report.readings) == [1, 4] and report.images == 2 and report.trained_teacher
    rows = [line.split() for line in printed.splitlines()]
    firsts = [(row[0], row[1]) for row in rows if len(row) > 1]
    for t in "14":
        for part in ("backbone", "neck", "bbox_head", "total"):
            assert (part, t) in firsts
    for name, layer in report.readings[4].layers.items():
        assert (name, "4") in firsts
        assert layer.operations.dense or layer.spikes.neurons
    assert "ANN total, int8" in printed and "mJ spike-count" in printed
    tables = report.estimates().split("\n\n")
    assert [[row.split()[0] for row in table.splitlines()] for table in tables] == [
        ["simple", "1", "4", "ANN"],
        ["lemaire", "1", "4", "ANN"],
    ]
    assert all(table in printed for table in tables)
    assert "random weights" not in printed
    teacher_macs = report.teacher.total().operations
    student = report.readings[1].total().operations
    assert teacher_macs.dense == student.dense  # T = 1 is the ANN's work
    assert (root / "energy.png").read_bytes().startswith(b"\x89PNG")
    again = EnergyReport.from_json(out)
    again.to_json(root / "again.json")
    assert (root / "again.json").read_text() == out.read_text()


def test_counts_stand_beside_the_quantised_ann(files, capsys):
    """T = 1 of D spikes is D slots, whatever their number: rates are spikes a slot."""
    root, (config, _, *rest) = files
    cfg = Config.fromfile(config)
    neuron = dict(type="NILIFNode", D=4)
    cfg.model.backbone.update(neuron=neuron)
    cfg.dump(root / "counts.py")
    weights = write_checkpoint(build(cfg.model), root / "counts.pth")
    out = root / "energy.json"
    main([str(root / "counts.py"), weights, *rest, "--time-steps", "1", "2", "--out", str(out)])
    report, printed = EnergyReport.from_json(out), capsys.readouterr().out
    assert report.most == 4
    spikes = report.readings[2].total("backbone").spikes
    assert spikes.slots == 8 and 0 < spikes.rate <= 1
    rows = {tuple(line.split()[:2]): line.split() for line in printed.splitlines() if line.strip()}
    assert ("total", "1x4") in rows and ("total", "2x4") in rows
    assert float(rows["total", "2x4"][4]) == round(spikes.spikes / report.images * 1e-6, 4)
    # Three bits for five levels: a product costs 3/8 of int8's.
    macs = report.teacher.total().operations.dense
    want = macs * (0.2 * 3 / 8 + 0.03) * 1e-9
    assert f"{want:.3f}" == next(v for k, v in rows.items() if "levels" in v)[-1]


@pytest.mark.parametrize(
    "more,says",
    [
        (["--samples", "0"], "samples=0"),
        (["--e-mac", "-1"], "e_mac=-1"),
        (["--teacher-checkpoint", "nowhere.pth"], "nowhere.pth"),
    ],
)
def test_bad_arguments_are_named(files, more, says):
    _, arguments = files
    with pytest.raises(SystemExit, match=says):
        main([*arguments, *more])


@pytest.mark.parametrize(
    "more,says",
    [
        (["--time-steps", "0"], "0 is not an integer"),
        (["--out", "energy.txt"], "'energy.txt': must end in .json"),
    ],
)
def test_arguments_that_are_not_read(files, capsys, more, says):
    _, arguments = files
    with pytest.raises(SystemExit):
        main([*arguments, *more])
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["test_dataloader", "test_evaluator", "test_cfg"])
def test_a_config_without_a_test_set(files, missing):
    root, (config, *others) = files
    cfg = Config.fromfile(config)
    cfg[missing] = None
    cfg.dump(root / "untested.py")
    with pytest.raises(SystemExit, match=rf"untested\.py: {missing} is missing or None"):
        main([str(root / "untested.py"), *others])


def test_pure_python_configs(files, capsys, monkeypatch):
    root, (config, *others) = files
    write_pure_python(Config.fromfile(config), root / "pure.py")
    monkeypatch.setattr(DefaultScope, "_instance_dict", OrderedDict())  # as in a new process
    for name in ("pure", "config"):
        out = ["--out", str(root / f"{name}.json"), "--samples", "1", "--time-steps", "1"]
        main([str(root / f"{name}.py"), *others, *out])
    pure, named = (EnergyReport.from_json(root / f"{n}.json") for n in ("pure", "config"))
    assert pure.readings == named.readings
    assert pure.teacher.total().operations == named.teacher.total().operations
    capsys.readouterr()


def test_event_frames(tmp_path, capsys):
    """A T is the first T frames for the student; the ANN sees the mean of all."""
    cfg = Config.fromfile(TOOLS.parent / "configs" / "sew18_sakd_digit-events.py")
    cfg.test_dataloader.dataset.update(
        data_root=str(tmp_path / "data"), events=dict(counts=(1, 1, 2))
    )
    cfg.dump(tmp_path / "config.py")
    student = MODELS.build({**cfg.model, "_scope_": "mmpretrain"})
    arguments = [str(tmp_path / "config.py"), write_checkpoint(student, tmp_path / "snn.pth")]
    arguments += ["--samples", "2", "--work-dir", str(tmp_path / "w")]
    main([*arguments, "--time-steps", "2", "8", "--out", str(tmp_path / "energy.json")])
    report = EnergyReport.from_json(tmp_path / "energy.json")
    one = report.teacher.total("backbone").operations.dense
    for t, reading in report.readings.items():
        assert reading.total("backbone").operations.dense == t * one
    with pytest.raises(SystemExit, match="T=9 is more than the 8 event frames"):
        main([*arguments, "--time-steps", "9"])
    capsys.readouterr()


@pytest.mark.parametrize("scaled", [False, True])
def test_recordings_of_events(scaled, tmp_path, capsys):
    """A detector's first layer accumulates counts of events; normalised, they multiply."""
    cfg = Config.fromfile(TOOLS.parent / "configs" / "retinanet_sew18_sakd_digit-events.py")
    few = dict(counts=(1, 1, 1), stamps=2)
    cfg.test_dataloader.dataset.update(data_root=str(tmp_path / "data"), recordings=few)
    if scaled:
        cfg.model.data_preprocessor.update(mean=[0.0], std=[3.0])
    cfg.dump(tmp_path / "config.py")
    student = MODELS.build({**cfg.model, "_scope_": "mmdet"})
    arguments = [str(tmp_path / "config.py"), write_checkpoint(student, tmp_path / "snn.pth")]
    arguments += ["--samples", "2", "--work-dir", str(tmp_path / "w")]
    main([*arguments, "--time-steps", "2", "8", "--out", str(tmp_path / "energy.json")])
    report = EnergyReport.from_json(tmp_path / "energy.json")
    accumulates = []
    for reading in report.readings.values():
        first = reading.layers["backbone.conv1"].operations
        assert (first.count_mac > 0) == scaled and (first.count_ac > 0) != scaled
        accumulates.append(first.count_ac)
    assert scaled or 0 < accumulates[0] < accumulates[1] < first.dense
    assert ("reads counts of events" in report.notes()) != scaled
    capsys.readouterr()


def test_an_ann_has_no_time_steps(files):
    root, arguments = files
    detection_config(root, ann_of(retinanet())).dump(root / "ann.py")
    checkpoint = write_checkpoint(build(ann_of(retinanet())), root / "ann.pth")
    with pytest.raises(SystemExit, match="no spiking backbone"):
        main([str(root / "ann.py"), checkpoint, "--work-dir", str(root / "w")])


def test_a_file_that_is_no_report(files):
    root, _ = files
    (root / "x.json").write_text("{}")
    with pytest.raises(ValueError, match="x.json is not an energy report"):
        EnergyReport.from_json(root / "x.json")
