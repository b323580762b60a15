"""Cheaper copies of model configs, and random input for the models."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sakd_dense.config.types import SYNCED_NORMS, dicts, type_name

#: Keys that limit the number of boxes, and the largest values that are kept.
_PROPOSALS = {"nms_pre": 100, "nms_post": 50, "max_per_img": 50, "max_num": 50, "num": 32}


def scaled(model: dict[str, Any], size: int) -> dict[str, Any]:
    """Returns a copy for images of ``size`` with few proposals and the same architecture."""
    model = copy.deepcopy(model)
    # Learned proposals are part of the architecture.
    learned = type_name((model.get("rpn_head") or {}).get("type")) == "EmbeddingRPNHead"
    for name in ("train_cfg", "test_cfg"):
        for part in dicts(model.get(name)):
            for key, most in () if learned else _PROPOSALS.items():
                if isinstance(part.get(key), int):
                    part[key] = min(part[key], most)
            if part.get("mode") == "slide":
                part.update(crop_size=(size, size), stride=(size // 2, size // 2))
    for part in dicts(model):
        if type_name(part.get("type")) in SYNCED_NORMS:  # SyncBN needs several processes
            part["type"] = "BN"
        if part.get("teacher_ckpt"):  # of a detector with a teacher (LD, LAD)
            part["teacher_ckpt"] = None
    for part in dicts(model.get("data_preprocessor")):
        if part.get("size") is not None:
            part["size"] = (size, size)
        if "batch_augments" in part:  # they resize to the size of upstream's images
            part["batch_augments"] = None
    return model


def batch_for(
    model: dict[str, Any], scope: str, size: int, training: bool = True
) -> dict[str, Any]:
    """Returns a batch of random images and labels, as a dataloader does.

    A batch has two images of ``size`` for training and one for prediction, as in upstream's tests;
    some operators accept no more. A video model gets clips of two frames instead of images, and a
    ReID model gets four images of 256x128 pixels for training.

    Returns:
        ``inputs`` and ``data_samples``; each is a dict by branch when SoftTeacher trains.
    """
    kinds: dict[str, Callable[..., dict[str, Any]]]
    kinds = dict(mmdet=_boxes, mmseg=_pixels, mmpretrain=_labels, BaseReID=_people)
    kinds["Mask2FormerVideo"] = _clips
    name = type_name(model["type"])
    batch = kinds.get(name, kinds[scope])(model, size)
    if not training:
        return {key: part[:1] for key, part in batch.items()}
    return _branches(batch) if name == "SoftTeacher" else batch


def _boxes(model: dict[str, Any], size: int) -> dict[str, Any]:
    from mmdet.testing import demo_mm_inputs, demo_mm_proposals

    types = {type_name(d[k]) for d in dicts(model) for k in ("type", "of") if d.get(k)}
    classes = _classes(model)
    shapes = [(3, size, size)] * 2
    batch = demo_mm_inputs(
        2,
        shapes,
        num_items=[4, 4],
        num_classes=2,
        # RTMDet's assigner assumes that masks are tensors.
        with_mask=not types & {"RTMDetHead", "RTMDetSepBNHead"},
        with_semantic=True,
        # HTC loads the labels of its semantic branch at an eighth of the size.
        sem_seg_output_strides=8 if "FusedSemanticHead" in types else 1,
        use_box_type=True,
    )
    proposals = demo_mm_proposals(shapes, 20)
    for sample, boxes in zip(batch["data_samples"], proposals, strict=True):
        n = len(sample.gt_instances)
        sample.gt_instances.labels = torch.arange(n) % classes
        sample.gt_sem_seg.sem_seg = sample.gt_sem_seg.sem_seg % classes
        if model.get("rpn_head") is None:  # an RPN's own proposals would be ignored
            sample.proposals = boxes
        sample.set_metainfo(dict(batch_input_shape=(size, size), pad_shape=(size, size)))
        sample.set_metainfo(dict(scale_factor=(1.0, 1.0)))
    return batch


def _clips(model: dict[str, Any], size: int) -> dict[str, Any]:
    """Returns two clips of two frames each."""
    from mmdet.testing import demo_track_inputs

    shapes = [(3, size, size)] * 2
    batch = demo_track_inputs(2, 2, [0], shapes, [4, 4], num_classes=2, with_mask=True)
    for clip in batch["data_samples"]:
        for sample in clip.video_data_samples:
            sample.set_metainfo(dict(batch_input_shape=(size, size), pad_shape=(size, size)))
    return batch


def _people(model: dict[str, Any], size: int) -> dict[str, Any]:
    """Returns two upright crops of each of two persons; the head pools this size to a point."""
    from mmdet.structures import ReIDDataSample

    shape = (256, 128)
    samples = [
        ReIDDataSample(metainfo=dict(img_shape=shape)).set_gt_label(i // 2) for i in range(4)
    ]
    images = [torch.randint(0, 256, (3, *shape), dtype=torch.uint8) for _ in samples]
    return dict(inputs=images, data_samples=samples)


def _branches(batch: dict[str, Any]) -> dict[str, Any]:
    """Returns the batch as labelled and as unlabelled images, for a semi-supervised wrapper."""
    names = ("sup", "unsup_teacher", "unsup_student")
    again = {name: copy.deepcopy(batch) for name in names}
    for part in again.values():
        for sample in part["data_samples"]:
            sample.set_metainfo(dict(homography_matrix=np.eye(3, dtype=np.float32)))
    return {key: {name: part[key] for name, part in again.items()} for key in batch}


def _pixels(model: dict[str, Any], size: int) -> dict[str, Any]:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    classes = _classes(model)
    make = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(2):
        labels = torch.randint(0, classes, (1, size, size), generator=make)
        meta = dict.fromkeys(("img_shape", "ori_shape", "pad_shape"), (size, size))
        sample = SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=labels))
        sample.gt_edge_map = PixelData(data=labels % 2)  # for PIDNet
        samples.append(sample)
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
    """Returns the smallest number of classes of a head of ``model``, at least 1."""
    known = [d["num_classes"] for d in dicts(model) if isinstance(d.get("num_classes"), int)]
    known += [d["num_things_classes"] for d in dicts(model) if d.get("num_things_classes")]
    return max(min(known, default=2), 1)
