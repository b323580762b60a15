"""The fast part of ``make compat``: one config a family, an eighth as wide."""

import pytest

from tests.helpers.families import FAMILIES, shrunk
from tools.compat import Case, check
from tools.compat.checks import OK

#: What upstream's ANN cannot do either: operators that mmcv has for GPUs alone, masks pasted from
#: the boxes of random weights, layers that a forward adds to the state dict.
UPSTREAM = {
    "guided_anchoring/ga-retinanet_r50-caffe_fpn_1x_coco": ("predict", "masked_im2col"),
    "guided_anchoring/ga-faster-rcnn_r50-caffe_fpn_1x_coco": ("predict", "masked_im2col"),
    "queryinst/queryinst_r50_fpn_1x_coco": ("predict", "upper bound and lower bound"),
    "ddq/ddq-detr-4scale_r50_8xb2-12e_coco": ("load", "DDQDETR"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_one_word_makes_it_spiking(name):
    """Builds, trains, predicts, loads strictly, and is taught features and responses."""
    package, model = shrunk(name)
    case = Case(package, [name], model.to_dict())
    # One pixel is too little for the GroupNorm of a narrow head.
    found = check(case, size=64, factors=(1,) if name in UPSTREAM else (1, 3))
    if name in UPSTREAM:
        what, why = UPSTREAM[name]
        plain = check(case, False, size=64, factors=(1,))
        assert why in plain[what]
        assert why in found.pop(what)
    assert set(found.values()) == {OK}, found
