"""A model made cheap to run once, and random input of the kind that it takes."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..twins import dicts, type_name

#: What bounds the number of boxes, and by how much it is cut.
_PROPOSALS = {"nms_pre": 100, "nms_post": 50, "max_per_img": 50, "max_num": 50, "num": 32}


def scaled(model: dict[str, Any], size: int) -> dict[str, Any]:
    """A copy for images of ``size`` with few proposals. The architecture is left as it is."""
    model = copy.deepcopy(model)
    for name in ("train_cfg", "test_cfg"):
        for part in dicts(model.get(name)):
            for key, most in _PROPOSALS.items():
                if isinstance(part.get(key), int):
                    part[key] = min(part[key], most)
            if part.get("mode") == "slide":
                part.update(crop_size=(size, size), stride=(size // 2, size // 2))
    for part in dicts(model.get("data_preprocessor")):
        if part.get("size") is not None:
            part["size"] = (size, size)
        if "batch_augments" in part:  # to the size of upstream's images
            part["batch_augments"] = None
    return model


def batch_for(model: dict[str, Any], package: str, size: int) -> dict[str, Any]:
    """What a dataloader gives for ``model``: two images of ``size`` with their labels."""
    kind: Callable[..., dict[str, Any]] = dict(mmdet=_boxes, mmseg=_pixels, mmpretrain=_labels)[
        package
    ]
    return kind(model, size)


def _boxes(model: dict[str, Any], size: int) -> dict[str, Any]:
    from mmdet.testing import demo_mm_inputs, demo_mm_proposals

    types = {type_name(d["type"]) for d in dicts(model) if d.get("type") is not None}
    classes = _classes(model)
    shapes = [(3, size, size)] * 2
    batch = demo_mm_inputs(
        2,
        shapes,
        num_items=[4, 4],
        num_classes=2,
        with_mask=True,
        with_semantic=True,
        # The labels of HTC's semantic branch are loaded at an eighth.
        sem_seg_output_strides=8 if "FusedSemanticHead" in types else 1,
        use_box_type=True,
    )
    proposals = demo_mm_proposals(shapes, 20)
    for sample, boxes in zip(batch["data_samples"], proposals, strict=True):
        n = len(sample.gt_instances)
        sample.gt_instances.labels = torch.arange(n) % classes
        sample.gt_sem_seg.sem_seg = sample.gt_sem_seg.sem_seg % classes
        sample.proposals = boxes
        sample.set_metainfo(dict(batch_input_shape=(size, size), pad_shape=(size, size)))
        sample.set_metainfo(dict(scale_factor=(1.0, 1.0)))
    if type_name(model["type"]) == "SoftTeacher":
        again = [copy.deepcopy(batch) for _ in range(3)]
        names = ("sup", "unsup_teacher", "unsup_student")
        for part in again:
            for sample in part["data_samples"]:
                sample.set_metainfo(dict(homography_matrix=np.eye(3)))
        return {
            key: {name: part[key] for name, part in zip(names, again, strict=True)} for key in batch
        }
    return batch


def _pixels(model: dict[str, Any], size: int) -> dict[str, Any]:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    classes = _classes(model)
    make = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(2):
        labels = torch.randint(0, classes, (1, size, size), generator=make)
        meta = dict.fromkeys(("img_shape", "ori_shape", "pad_shape"), (size, size))
        samples.append(SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=labels)))
    return dict(inputs=_images(size, make), data_samples=samples)


def _labels(model: dict[str, Any], size: int) -> dict[str, Any]:
    from mmpretrain.structures import DataSample

    classes = _classes(model)
    several = "MultiLabel" in type_name((model.get("head") or {}).get("type", ""))
    labels = [[0, 1 % classes], [0]] if several else [0, 1 % classes]
    samples = [DataSample(num_classes=classes).set_gt_label(label) for label in labels]
    return dict(inputs=_images(size, torch.Generator().manual_seed(0)), data_samples=samples)


def _images(size: int, make: torch.Generator) -> list[torch.Tensor]:
    return [
        torch.randint(0, 256, (3, size, size), generator=make, dtype=torch.uint8) for _ in range(2)
    ]


def _classes(model: dict[str, Any]) -> int:
    """The fewest classes that a head of ``model`` knows."""
    known = [d["num_classes"] for d in dicts(model) if isinstance(d.get("num_classes"), int)]
    known += [d["num_things_classes"] for d in dicts(model) if d.get("num_things_classes")]
    return max(min(known, default=2), 1)
