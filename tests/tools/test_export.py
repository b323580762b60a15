"""tools/export.py from the command line."""

import pytest

from tests.export.test_export import HARD_LIF
from tests.helpers.scenes import (
    build,
    detection_config,
    retinanet,
    write_checkpoint,
    write_pure_config,
    write_scenes,
)
from tests.helpers.tooling import tool

main = tool("export")


@pytest.fixture
def arguments(tmp_path):
    write_scenes(tmp_path)

    def make(**backbone):
        cfg = retinanet(**backbone)
        detection_config(tmp_path, cfg).dump(tmp_path / "config.py")
        checkpoint = write_checkpoint(build(cfg), tmp_path / "snn.pth")
        return [str(tmp_path / "config.py"), checkpoint, "--work-dir", str(tmp_path / "w")]

    return make


@pytest.mark.parametrize("part", ["backbone", "model"])
def test_onnx_on_the_first_image_of_the_test_set(arguments, tmp_path, capsys, part):
    main([*arguments(), "--part", part, "--time-steps", "2"])
    said = capsys.readouterr().out
    assert f"the {part} on images of 1x3x64x64, 2 steps unrolled" in said
    assert ": 0 % of the outputs differ" in said and (tmp_path / "snn.onnx").is_file()


@pytest.mark.parametrize("kind", ["SEWResNet", "SpikingResNet"])
def test_counts_as_binary_slots(arguments, tmp_path, capsys, kind):
    given = arguments(type=kind, time_steps=1, neuron=dict(type="NILIFNode", D=3))
    main([*given, "--slots"])
    said = capsys.readouterr().out
    assert ": 0 % of the outputs differ" in said and (tmp_path / "snn.onnx").is_file()
    assert "layers read binary slots, 1 multiply (conv1)" in said


def test_a_pure_python_config(tmp_path, capsys):
    config = write_pure_config(tmp_path)
    checkpoint = write_checkpoint(build(retinanet()), tmp_path / "snn.pth")
    main([config, checkpoint, "--time-steps", "2", "--work-dir", str(tmp_path / "w")])
    said = capsys.readouterr().out
    assert "the backbone on images of 1x3x64x64, 2 steps unrolled" in said


def test_nir_of_noise(arguments, tmp_path, capsys):
    given = arguments(neuron=HARD_LIF)
    main([*given, "--format", "nir", "--size", "32", "32", "--out", str(tmp_path / "a.nir")])
    said = capsys.readouterr().out
    assert "the backbone on images of 1x3x32x32, read back" in said
    assert (tmp_path / "a.nir").is_file()


@pytest.mark.parametrize(
    "more,says",
    [
        (["--format", "nir"], "v_reset=None"),
        (["--slots"], "give the model neurons that fire integers"),
        (["--format", "nir", "--part", "model"], "FPN: the NIR export of a whole model supports"),
        (["--cfg-options", "model.backbone.neuron=QIFNode"], "not QIFNode"),
    ],
)
def test_what_cannot_be_is_named(arguments, tmp_path, more, says):
    with pytest.raises(SystemExit, match=says):
        main([*arguments(), "--size", "32", "32", *more])
    assert not [*tmp_path.glob("*.nir"), *tmp_path.glob("*.onnx")]


@pytest.mark.parametrize(
    "more,says",
    [
        (["--time-steps", "0"], "0 is not an integer"),
        (["--size", "0", "3"], "--size 0 3"),
        (["--slots", "--format", "nir"], "--slots --format nir: use onnx"),
    ],
)
def test_bad_arguments(capsys, more, says):
    with pytest.raises(SystemExit):
        main(["a.py", "a.pth", *more])
    assert says in capsys.readouterr().err
