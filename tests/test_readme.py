"""The configs of README and docs, run as they are written."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from sakd_dense.config.models import drop_checkpoints, with_preprocessor
from sakd_dense.config.twins import ann_of
from sakd_dense.config.types import ann_type, spiking_backbone_cfgs
from sakd_dense.energy import measure
from tests.helpers.scenes import build, detection_batch
from tools.compat import Case, check
from tools.compat.checks import OK

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def configs_in(file: Path) -> list[str]:
    return re.findall(r"```python\n(_base_.*?)```", file.read_text(), re.DOTALL)


HOWTO = ROOT / "docs" / "howto"
*OTHERS, WITH_TEACHER = configs_in(HOWTO / "config.md")
ONE_WORD = configs_in(README) + OTHERS


def load(block: str, folder: Path) -> Config:
    (folder / "config.py").write_text(block)
    return Config.fromfile(folder / "config.py")


def test_there_is_one_of_each_kind():
    kinds = [re.search(r'"(\w+)::(\w+)', block).groups() for block in ONE_WORD]
    assert [package for package, _ in kinds] == [
        *("mmdet", "mmdet", "mmseg"),  # README: RetinaNet, YOLOX, UNet
        *("mmseg", "mmdet", "mmpretrain"),
    ]


@pytest.mark.parametrize("block", ONE_WORD, ids=lambda b: b.split("/")[1].split("_")[0])
def test_one_word(block, tmp_path):
    """The config's own model spikes, and passes every check when its backbone is swapped."""
    cfg = load(block, tmp_path)
    (backbone,) = spiking_backbone_cfgs(cfg.model)
    assert ann_type(backbone.type)
    model = ann_of(with_preprocessor(cfg))
    drop_checkpoints(model)
    package = cfg.default_scope
    found = check(Case(package, ["README.md"], model), size=64)
    assert set(found.values()) == {OK}, found


def test_the_one_that_spikes_throughout(tmp_path):
    (block,) = configs_in(HOWTO / "head.md")
    cfg = load(block, tmp_path)
    drop_checkpoints(cfg.model)
    model = build({**cfg.model, "type": "mmdet.RetinaNet"})
    reading = measure(model, [detection_batch((64, 64))], 2)
    assert reading.parts() == ["backbone", "neck", "bbox_head"]
    for part in ("neck", "bbox_head"):  # whatever fires there, nothing multiplies
        assert reading.total(part).operations.count_mac == 0
        assert reading.total(part).spikes.neurons > 0


def test_a_yolox_that_spikes_throughout(tmp_path):
    (block,) = configs_in(ROOT / "docs" / "backbones.md")
    cfg = load(block, tmp_path)
    cfg.model.data_preprocessor.batch_augments = None
    reading = measure(build({**cfg.model, "type": "mmdet.YOLOX"}), [detection_batch((64, 64))], 2)
    assert reading.parts() == ["backbone", "neck", "bbox_head"]
    for part in ("neck", "bbox_head"):
        assert reading.total(part).operations.count_mac == 0
        assert reading.total(part).spikes.neurons > 0


def test_the_config_with_a_teacher(tmp_path):
    cfg = load(WITH_TEACHER, tmp_path)
    assert spiking_backbone_cfgs(cfg.model)[0].time_steps == 4
    assert cfg.custom_hooks[-1].type == "SAKDHook"
