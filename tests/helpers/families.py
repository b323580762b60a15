"""One upstream config of every family of heads, and how any of them is made an eighth as wide."""

from typing import Any

from mmengine.config import Config, ConfigDict

from sakd_dense.config.models import drop_checkpoints, with_preprocessor
from sakd_dense.config.scopes import config_file
from sakd_dense.config.types import ANN_TYPES, dicts, type_name
from tools.compat.inputs import scaled

QUERIES = dict(num_queries=50)
HOURGLASS = {
    "backbone.stage_channels": [32] * 5 + [64],
    "backbone.stage_blocks": [1] * 6,
    "backbone.feat_channel": 32,
    "bbox_head.in_channels": 32,
}
RCNN = ("rpn_cls", "rpn_box", "cls", "box")
#: upstream's config: (the terms that its response has, changes of the model)
FAMILIES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "autoassign/autoassign_r50-caffe_fpn_1x_coco": (("cls", "box", "quality"), {}),
    "boxinst/boxinst_r50_fpn_ms-90k_coco": (("cls", "box", "quality", "mask"), {}),
    "cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco": (("cls", "box"), {}),
    "centernet/centernet_r18_8xb16-crop512-140e_coco": (("cls", "box"), {}),
    "centernet/centernet-update_r50-caffe_fpn_ms-1x_coco": (("cls", "box"), {}),
    "condinst/condinst_r50_fpn_ms-poly-90k_coco_instance": (("cls", "box", "quality", "mask"), {}),
    "conditional_detr/conditional-detr_r50_8xb2-50e_coco": (("cls", "box"), QUERIES),
    "crowddet/crowddet-rcnn_r50_fpn_8xb2-30e_crowdhuman": (RCNN, {}),
    "dab_detr/dab-detr_r50_8xb2-50e_coco": (("cls", "box"), QUERIES),
    "ddq/ddq-detr-4scale_r50_8xb2-12e_coco": (("cls", "box"), QUERIES),
    "deformable_detr/deformable-detr_r50_16xb2-50e_coco": (("cls", "box"), QUERIES),
    "deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco": (
        ("cls", "box"),
        QUERIES,
    ),
    "detr/detr_r50_8xb2-150e_coco": (("cls", "box"), QUERIES),
    "dino/dino-4scale_r50_8xb2-12e_coco": (("cls", "box"), QUERIES),
    "double_heads/dh-faster-rcnn_r50_fpn_1x_coco": (RCNN, {}),
    "fast_rcnn/fast-rcnn_r50_fpn_1x_coco": (("cls", "box"), {}),
    "faster_rcnn/faster-rcnn_r50_fpn_ohem_1x_coco": (RCNN, {}),
    "faster_rcnn/faster-rcnn_r50_fpn_fcos-rpn_1x_coco": ((*RCNN, "rpn_quality"), {}),
    "foveabox/fovea_r50_fpn_4xb4-1x_coco": (("cls", "box"), {}),
    "fsaf/fsaf_r50_fpn_1x_coco": (("cls", "box"), {}),
    "gfl/gfl_r50_fpn_1x_coco": (("cls", "box"), {}),
    "grid_rcnn/grid-rcnn_r50_fpn_gn-head_2x_coco": (("rpn_cls", "rpn_box", "cls"), {}),
    "guided_anchoring/ga-retinanet_r50-caffe_fpn_1x_coco": (("cls", "box", "quality"), {}),
    "guided_anchoring/ga-faster-rcnn_r50-caffe_fpn_1x_coco": ((*RCNN, "rpn_quality"), {}),
    "htc/htc_r50_fpn_1x_coco": ((*RCNN, "mask", "seg"), {}),
    "lvis/mask-rcnn_r50_fpn_sample1e-3_ms-2x_lvis-v0.5": ((*RCNN, "mask"), {}),
    "mask2former/mask2former_r50_8xb2-lsj-50e_coco": (("cls", "mask"), {}),
    "maskformer/maskformer_r50_ms-16xb1-75e_coco": (("cls", "mask"), {}),
    "ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco": ((*RCNN, "mask"), {}),
    "panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco": ((*RCNN, "mask", "seg"), {}),
    "point_rend/point-rend_r50-caffe_fpn_ms-1x_coco": ((*RCNN, "mask"), {}),
    "queryinst/queryinst_r50_fpn_1x_coco": (("cls", "box", "mask"), {}),
    "reppoints/reppoints-moment_r50_fpn_1x_coco": (("cls", "box"), {}),
    "rpn/rpn_r50_fpn_1x_coco": (("cls", "box"), {}),
    "sabl/sabl-retinanet_r50_fpn_1x_coco": (("cls", "box"), {}),
    "scnet/scnet_r50_fpn_1x_coco": ((*RCNN, "mask", "seg"), {}),
    "seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1": ((*RCNN, "mask"), {}),
    "solo/solo_r50_fpn_1x_coco": (("cls", "mask"), {}),
    "solo/decoupled-solo_r50_fpn_1x_coco": (("cls", "mask"), {}),
    "solov2/solov2_r50_fpn_1x_coco": (("cls", "mask"), {}),
    "sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco": (("cls", "box"), {}),
    "tood/tood_r50_fpn_1x_coco": (("cls", "box"), {}),
    "vfnet/vfnet_r50_fpn_1x_coco": (("cls", "box"), {}),
    "yolact/yolact_r50_1xb8-55e_coco": (("cls", "box", "mask"), {}),
    "yolof/yolof_r50-c5_8xb8-1x_coco": (("cls", "box"), {}),
    "mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512": (("cls", "mask"), {}),
    "mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512": (("cls", "mask"), {}),
    # Backbones that run upstream's own forward.
    "centripetalnet/centripetalnet_hourglass104_16xb6-crop511-210e-mstest_coco": (
        ("cls", "box"),
        HOURGLASS,
    ),
    "cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco": (("cls", "box"), HOURGLASS),
    "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco": (("cls", "box", "mask"), {}),
    "rtmdet/rtmdet_tiny_8xb32-300e_coco": (("cls", "box"), {}),
    "yolo/yolov3_mobilenetv2_8xb24-320-300e_coco": (("cls", "box"), {}),
    "yolox/yolox_tiny_8xb8-300e_coco": (("cls", "box"), {}),
    "mmseg::ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024": (("decode",), {}),
    "mmseg::pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes": (("decode",), {}),
    "mmseg::knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512": (("decode", "aux"), {}),
}
#: Everything else that counts channels.
_WIDTHS = ("embed_dims", "representation_size")


def _narrow(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_narrow(v) for v in value]
    # 32 is what GroupNorm divides by.
    return max(value // 8, 32) if isinstance(value, int) and value >= 128 else value


def _shorten(model: ConfigDict) -> None:
    """Leaves two of the like layers and stages that a model repeats, and fewer sampled points."""
    for part in dicts(model):
        if part.get("num_layers", 0) > 3:  # of transformers
            part["num_layers"] = 2
        if part.get("num_points", 0) > 1000:
            part["num_points"] = 1000
    stages = model.get("roi_head", {}).get("num_stages", 0)
    if stages > 3:
        for part, key in [(p, k) for p in dicts(model) for k in p]:
            if isinstance(part[key], list) and len(part[key]) == stages:
                part[key] = part[key][:2]
        model.roi_head.num_stages = 2


def shrunk(name: str, size: int = 64) -> tuple[str, ConfigDict]:
    """(the package, the model of :data:`FAMILIES`' ``name`` for images of ``size``, an ANN)"""
    scope, _, file = name.rpartition("::")
    scope = scope or "mmdet"
    file = f"{scope}::{file}.py"
    model = ConfigDict(scaled(with_preprocessor(Config.fromfile(config_file(file))), size))
    # The layers of a transformer have widths of their own, that the config does not say.
    whole = "decoder" in model or model.get("rpn_head", {}).get("type") == "EmbeddingRPNHead"
    resnet = type_name(model.backbone.type) in ANN_TYPES
    narrowed = (model.get("neck") if whole else model) if resnet else {}
    for part in dicts(narrowed):
        for key, value in list(part.items()):
            if key == "num_feats":
                part[key] = value // 8
            elif ("channels" in key or key in _WIDTHS) and not (whole and key == "out_channels"):
                part[key] = _narrow(value)
            if key == "norm_cfg" and isinstance(value, dict) and value.get("type") == "SyncBN":
                value["type"] = "BN"
    _shorten(model)
    drop_checkpoints(model)
    if not resnet:
        changes = {f"model.{key}": value for key, value in FAMILIES[name][1].items()}
        whole = Config(dict(model=model))
        whole.merge_from_dict(changes)
        return scope, whole.model
    base = 8 if model.backbone.depth < 50 else 32  # so that the last stage is as narrow
    model.backbone.update(depth=18, base_channels=base, init_cfg=None, norm_cfg=dict(type="BN"))
    for key in ("dcn", "stage_with_dcn", "plugins", "groups", "base_width"):
        model.backbone.pop(key, None)
    model.backbone.update(frozen_stages=-1, norm_eval=False, style="pytorch")
    model.update(FAMILIES[name][1])
    return scope, model
