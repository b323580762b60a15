"""One tiny model of every task, from upstream's own configs, and a batch for it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from sakd_dense.config.scopes import config_file
from sakd_dense.config.twins import ann_of, spiking_of
from tests.helpers.scenes import build, detection_batch, images

TINY = dict(depth=18, base_channels=8, init_cfg=None, norm_cfg=dict(type="BN"))
SIZES = ((64, 64), (64, 64))


@dataclass
class Task:
    """``file`` upstream; ``changes`` by dotted path; the response's terms."""

    file: str
    terms: set[str]
    changes: dict[str, Any]

    @property
    def scope(self) -> str:
        return self.file.partition("::")[0]

    def config(self, time_steps: int = 3) -> ConfigDict:
        """The spiking model's config."""
        cfg = Config.fromfile(config_file(self.file))
        cfg.merge_from_dict({f"model.{k}": v for k, v in self.changes.items()})
        model = cfg.model
        model.backbone.update(TINY)
        if self.scope == "mmdet":
            model.backbone.update(frozen_stages=-1, norm_eval=False)
            model.data_preprocessor = dict(
                type="DetDataPreprocessor",
                mean=[120.0] * 3,
                std=[60.0] * 3,
                pad_mask=True,
                pad_size_divisor=32,
            )
        if self.scope == "mmseg":
            model.data_preprocessor = dict(
                type="SegDataPreProcessor", mean=[120.0] * 3, std=[60.0] * 3, size=(64, 64)
            )
            model.pretrained = None
        if self.scope == "mmpretrain":
            model.data_preprocessor = dict(
                type="ClsDataPreprocessor", mean=[120.0] * 3, std=[60.0] * 3, num_classes=3
            )
        return spiking_of(model, time_steps, self.scope)

    def models(self) -> tuple[nn.Module, nn.Module]:
        """Student in training mode and teacher in eval, of the same weights."""
        cfg = self.config()
        student = _excite(build({**cfg, "type": f"{self.scope}.{cfg['type']}"}).train())
        init_default_scope(self.scope)
        teacher = MODELS.build(ann_of(cfg)).eval().requires_grad_(False)
        teacher.load_state_dict(student.state_dict())
        return student, teacher

    def batch(self) -> dict[str, Any]:
        """What a dataloader gives."""
        if self.scope == "mmpretrain":
            from mmpretrain.structures import DataSample

            labels = ([0, 1], [2]) if "head" in self.changes else (0, 2)
            samples = [DataSample(num_classes=3).set_gt_label(v) for v in labels]
            return dict(inputs=images(*SIZES), data_samples=samples)
        if self.scope == "mmseg":
            from mmengine.structures import PixelData
            from mmseg.structures import SegDataSample

            samples = []
            for seed in range(2):
                make = torch.Generator().manual_seed(seed)
                labels = torch.randint(0, 3, (1, 64, 64), generator=make)
                labels[:, :16] = 255
                meta = dict(img_shape=(64, 64), ori_shape=(64, 64))
                sample = SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=labels))
                samples.append(sample)
            return dict(inputs=images(*SIZES), data_samples=samples)
        from mmdet.structures.mask import BitmapMasks

        batch = detection_batch(*SIZES, batch_input_shape=(64, 64), pad_shape=(64, 64))
        for sample, corner in zip(batch["data_samples"], (4, 10), strict=True):
            corners = [[corner, 4, corner + 30, 40.0], [20, corner, 60, 60]]
            sample.gt_instances.bboxes = torch.tensor(corners)
            sample.gt_instances.labels = torch.tensor([0, 1])
            masks = np.zeros((2, 64, 64), np.uint8)
            for mask, (x1, y1, x2, y2) in zip(masks, corners, strict=True):
                mask[int(y1) : int(y2), int(x1) : int(x2)] = 1
            sample.gt_instances.masks = BitmapMasks(masks, 64, 64)
        return batch


def _excite(model: nn.Module) -> nn.Module:
    """Heads whose every layer says something (upstream starts classifiers at almost nothing)."""
    make = torch.Generator().manual_seed(5)
    for name, p in model.named_parameters():
        if not name.startswith("backbone.") and p.dim() > 1:
            p.data += 0.1 * torch.randn(p.shape, generator=make)
    return model


_RCNN = {
    "neck.in_channels": [8, 16, 32, 64],
    "neck.out_channels": 8,
    "rpn_head.in_channels": 8,
    "rpn_head.feat_channels": 8,
    "roi_head.bbox_roi_extractor.out_channels": 8,
    "train_cfg.rpn_proposal.nms_pre": 50,
    "train_cfg.rpn_proposal.max_per_img": 30,
}
_MASK = {
    "roi_head.mask_roi_extractor.out_channels": 8,
    "roi_head.mask_head.in_channels": 8,
    "roi_head.mask_head.conv_out_channels": 8,
    "roi_head.mask_head.num_classes": 2,
}


def _box(*stages: str) -> dict[str, Any]:
    sizes = {"in_channels": 8, "fc_out_channels": 16, "num_classes": 2}
    changes = {f"roi_head.bbox_head{i}.{k}": v for i in stages for k, v in sizes.items()}
    return _RCNN | changes | {f"train_cfg.rcnn{i}.sampler.num": 16 for i in stages}


def _head(name: str, channels: Any, **more: Any) -> dict[str, Any]:
    norm = dict(type="BN", _delete_=True)
    sizes = dict(in_channels=channels, channels=8, num_classes=3, norm_cfg=norm, **more)
    return {f"{name}.{k}": v for k, v in sizes.items()}


_AUX = _head("auxiliary_head", 32)
_RPN = {"rpn_cls", "rpn_box", "cls", "box"}
_SEG = {"decode", "aux"}
TASKS: dict[str, Task] = {
    "faster": Task("mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", _RPN, _box("")),
    "mask": Task(
        "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", _RPN | {"mask"}, _box("") | _MASK
    ),
    "cascade": Task(
        "mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py",
        _RPN | {"mask"},
        _box(".0", ".1", ".2") | _MASK,
    ),
    "fcn": Task(
        "mmseg::fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py", _SEG, _head("decode_head", 64) | _AUX
    ),
    "psp": Task(
        "mmseg::pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py",
        _SEG,
        _head("decode_head", 64) | _AUX,
    ),
    "deeplabv3plus": Task(
        "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512.py",
        _SEG,
        _head("decode_head", 64, c1_in_channels=8, c1_channels=4) | _AUX,
    ),
    "upernet": Task(
        "mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py",
        _SEG,
        _head("decode_head", [8, 16, 32, 64]) | _AUX,
    ),
    "ocrnet": Task(
        "mmseg::ocrnet/ocrnet_r101-d8_8xb2-40k_cityscapes-512x1024.py",
        {"decode"},
        _head("decode_head.0", 32) | _head("decode_head.1", 64, ocr_channels=8),
    ),
    "pointrend": Task(
        "mmseg::point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024.py",
        {"decode"},
        {
            "neck.in_channels": [8, 16, 32, 64],
            "neck.out_channels": 8,
            **_head("decode_head.0", [8, 8, 8, 8]),
            **{
                f"decode_head.1.{k}": v
                for k, v in dict(in_channels=[8], channels=8, num_classes=3).items()
            },
        },
    ),
    "classifier": Task(
        "mmpretrain::resnet/resnet18_8xb32_in1k.py",
        {"cls"},
        {"head.in_channels": 64, "head.num_classes": 3, "head.topk": (1,)},
    ),
    "mixup": Task(
        "mmpretrain::resnet/resnet50_8xb32-mixup_in1k.py",
        {"cls"},
        {
            "head.in_channels": 64,
            "head.num_classes": 3,
            "train_cfg": dict(augments=dict(type="Mixup", alpha=0.8)),
        },
    ),
    "multilabel": Task(
        "mmpretrain::resnet/resnet18_8xb32_in1k.py",
        {"cls"},
        {
            "head": dict(
                _delete_=True, type="MultiLabelLinearClsHead", in_channels=64, num_classes=3
            )
        },
    ),
}
