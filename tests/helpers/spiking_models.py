"""A tiny model around every spiking neck and head."""

import torch
from torch import nn

from tests.helpers.scenes import build, retinanet, segmentor
from tests.helpers.tasks import TASKS

GN = dict(type="GN", num_groups=4)
GIOU = dict(type="mmdet.GIoULoss")
HEADS = {
    "SpikingRetinaHead": dict(num_ins=3),
    "SpikingATSSHead": dict(norm_cfg=GN, loss_bbox=GIOU),
    "SpikingFCOSHead": dict(
        norm_cfg=GN,
        strides=[8, 16, 32],
        regress_ranges=((-1, 32), (32, 64), (64, 1e8)),
        anchor_generator=None,
    ),
    "SpikingGFLHead": dict(
        norm_cfg=GN, loss_bbox=GIOU, loss_cls=dict(type="mmdet.QualityFocalLoss")
    ),
}
NECKS = {
    "SpikingFPN": {},
    "SpikingPAFPN": {},
    "SpikingChannelMapper": dict(add_extra_convs=None, start_level=None),
    "SpikingHRFPN": dict(add_extra_convs=None, start_level=None),
}
DECODERS = {
    "SpikingFCNHead": {},
    "SpikingPSPHead": dict(num_convs=None, pool_scales=(1, 2)),
    "SpikingASPPHead": dict(num_convs=None, dilations=(1, 2)),
    "SpikingUPerHead": dict(
        num_convs=None, pool_scales=(1, 2), in_channels=[8, 16, 32, 64], in_index=[0, 1, 2, 3]
    ),
}
#: Where means of spikes are read: pooling pyramids, and resizing between layers.
MEANS = (
    "SpikingHRFPN",
    "SpikingPSPHead",
    "SpikingASPPHead",
    "SpikingUPerHead",
    "NASFCOS_FPN",
    "FPNHead",
)


def changed(cfg, **changes):
    cfg.update(changes)
    return {k: v for k, v in cfg.items() if v is not None}


def detector(neck="SpikingFPN", head="SpikingRetinaHead"):
    cfg = retinanet(output="sequence", time_steps=3)
    cfg["neck"] = changed(cfg["neck"], type=neck, **NECKS[neck])
    if neck == "SpikingHRFPN":
        cfg["neck"].update(num_outs=4)
    if neck in ("SpikingChannelMapper", "SpikingHRFPN"):
        cfg["neck"].update(num_outs=4)
        cfg["bbox_head"]["anchor_generator"]["strides"] = [4, 8, 16, 32]
        cfg["bbox_head"]["num_ins"] = 4
    cfg["bbox_head"].pop("init_cfg")
    anchors = cfg["bbox_head"].pop("anchor_generator")
    coder = cfg["bbox_head"].pop("bbox_coder")
    more = dict(anchor_generator=anchors, bbox_coder=coder) if "FCOS" not in head else {}
    if head == "SpikingGFLHead":
        more.pop("bbox_coder")
    cfg["bbox_head"] = changed(
        {"num_ins": None, **cfg["bbox_head"], **more},
        type=head,
        **{k: v for k, v in HEADS[head].items() if k not in cfg["bbox_head"]},
    )
    if head != "SpikingRetinaHead":
        cfg["train_cfg"]["assigner"] = dict(type="ATSSAssigner", topk=3)
        cfg["type"] = {"SpikingFCOSHead": "FCOS", "SpikingGFLHead": "GFL"}.get(head, "ATSS")
        cfg["type"] = f"mmdet.{cfg['type']}"
    return cfg


def decoder(head="SpikingFCNHead"):
    cfg = segmentor(output="sequence", time_steps=3, stem_channels=8)
    cfg["data_preprocessor"]["size"] = (64, 64)
    cfg["decode_head"] = changed(cfg["decode_head"], type=head, **DECODERS[head])
    return cfg


def _of(cfg, part, kind, of, **changes):
    old = cfg[part]
    cfg[part] = changed(old, type=kind, of=of, **changes)
    return cfg


BN = dict(type="BN")
PYRAMID = dict(in_channels=[8, 16, 32, 64], in_index=[0, 1, 2, 3], num_convs=None)
#: Upstream parts that nobody declared, made spiking by a config alone.
UNDECLARED = {
    "NASFCOS_FPN": lambda: _of(
        detector(), "neck", "SpikingNeck", "NASFCOS_FPN", norm_cfg=BN, add_extra_convs=None
    ),
    "FreeAnchorRetinaHead": lambda: _of(
        detector(),
        "bbox_head",
        "SpikingDenseHead",
        "FreeAnchorRetinaHead",
        norm_cfg=BN,
        num_ins=None,
    ),
    "FPNHead": lambda: _of(
        decoder(),
        "decode_head",
        "SpikingDecodeHead",
        "FPNHead",
        feature_strides=[4, 8, 16, 32],
        **PYRAMID,
    ),
    "DepthwiseSeparableASPPHead": lambda: _of(
        decoder(),
        "decode_head",
        "SpikingDecodeHead",
        "DepthwiseSeparableASPPHead",
        c1_in_channels=8,
        c1_channels=8,
        dilations=(1, 2),
        num_convs=None,
    ),
}


def _modern(backbone, neck, head, assigner, kind):
    """A YOLOX or an RTMDet that spikes throughout."""
    cfg = detector()
    parts = dict(in_channels=[16, 32, 64], out_channels=16, num_csp_blocks=1)
    return dict(
        type=f"mmdet.{kind}",
        data_preprocessor=cfg["data_preprocessor"],
        backbone=dict(
            type=f"Spiking{backbone}",
            deepen_factor=0.33,
            widen_factor=0.0625,
            time_steps=3,
            output="sequence",
        ),
        neck=dict(parts, type="SpikingNeck", of=neck),
        bbox_head=dict(
            type="SpikingDenseHead",
            of=head,
            num_classes=2,
            in_channels=16,
            feat_channels=16,
            stacked_convs=1,
            **({} if kind == "YOLOX" else RTMDET),
        ),
        train_cfg=dict(assigner=dict(type=assigner), allowed_border=-1, pos_weight=-1),
        test_cfg=dict(cfg["test_cfg"], score_thr=0.0),
    )


RTMDET = dict(
    share_conv=False,
    exp_on_reg=False,
    with_objectness=False,
    anchor_generator=dict(type="mmdet.MlvlPointGenerator", offset=0, strides=[8, 16, 32]),
    bbox_coder=dict(type="mmdet.DistancePointBBoxCoder"),
    loss_cls=dict(type="mmdet.QualityFocalLoss", beta=2.0),
    loss_bbox=GIOU,
)
UNDECLARED["YOLOXHead"] = lambda: _modern(
    "CSPDarknet", "YOLOXPAFPN", "YOLOXHead", "SimOTAAssigner", "YOLOX"
)
UNDECLARED["RTMDetSepBNHead"] = lambda: _modern(
    "CSPNeXt", "CSPNeXtPAFPN", "RTMDetSepBNHead", "DynamicSoftLabelAssigner", "RTMDet"
)


def _unet():
    cfg = decoder()
    cfg["backbone"] = dict(
        type="SpikingUNet",
        base_channels=4,
        num_stages=4,
        strides=(1, 1, 1, 1),
        enc_num_convs=(1,) * 4,
        dec_num_convs=(1,) * 3,
        downsamples=(True,) * 3,
        enc_dilations=(1,) * 4,
        dec_dilations=(1,) * 3,
        time_steps=3,
        output="sequence",
    )
    cfg["decode_head"].update(in_channels=4, in_index=3)
    cfg.pop("auxiliary_head", None)
    return cfg


UNDECLARED["UNet"] = _unet


MODELS_OF = {
    **{h: (lambda h=h: detector(head=h)) for h in HEADS},
    **{n: (lambda n=n: detector(neck=n)) for n in NECKS},
    **{d: (lambda d=d: decoder(d)) for d in DECODERS},
    **UNDECLARED,
}


def lively(cfg):
    """Every layer fires, every output says something."""
    model = build(cfg)
    make = torch.Generator().manual_seed(3)
    for name, p in model.named_parameters():
        if not name.startswith("backbone.") and p.dim() > 1:
            p.data = torch.randn(p.shape, generator=make) * (2 / p[0].numel()) ** 0.5
    for module in model.modules():
        if isinstance(module, nn.GroupNorm | nn.BatchNorm2d) and module.weight is not None:
            module.weight.data.uniform_(0.5, 1.5, generator=make)
            module.bias.data.uniform_(0.0, 0.7, generator=make)
    return model


def segments(name):
    """Whether the model of that part is a segmentor."""
    return "decode_head" in MODELS_OF[name]()


def batch_for(name):
    batch = TASKS["fcn" if segments(name) else "faster"].batch()
    if name == "RTMDetSepBNHead":  # its assigner takes what masks there are for tensors
        for sample in batch["data_samples"]:
            sample.gt_instances.pop("masks", None)
    return batch
