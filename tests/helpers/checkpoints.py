"""Tiny detectors with a ResNet backbone, ANN and spiking, and the account of their keys."""

from pathlib import Path

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

import sakd_dense  # noqa: F401  (registers the spiking backbones)


def retinanet(
    backbone: str = "SEWResNet", depth: int = 18, num_classes: int = 2, **options
) -> dict:
    wide = 1 if depth < 50 else 4
    return dict(
        type="RetinaNet",
        data_preprocessor=dict(type="DetDataPreprocessor"),
        backbone=dict(type=backbone, depth=depth, base_channels=4, **options),
        neck=dict(
            type="FPN",
            in_channels=[4 * wide, 8 * wide, 16 * wide, 32 * wide],
            out_channels=8,
            start_level=1,
            num_outs=4,
        ),
        bbox_head=dict(
            type="RetinaHead",
            num_classes=num_classes,
            in_channels=8,
            feat_channels=8,
            stacked_convs=1,
            anchor_generator=dict(
                type="AnchorGenerator",
                octave_base_scale=4,
                scales_per_octave=1,
                ratios=[1.0],
                strides=[8, 16, 32, 64],
            ),
            loss_cls=dict(type="FocalLoss", use_sigmoid=True),
        ),
    )


def build(cfg: dict) -> nn.Module:
    init_default_scope("mmdet")
    return MODELS.build(cfg)


def scrambled(model: nn.Module) -> nn.Module:
    """Every tensor of ``model`` another than after any initialisation."""
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5)
        else:
            value.fill_(7)
    return model


def ann(**options) -> nn.Module:
    return scrambled(build(retinanet("ResNet", **options)))


def save(path: Path, state: dict, **container) -> str:
    torch.save(dict(state_dict=state, **container), path)
    return str(path)


def accounted(report, source: dict, target: dict) -> bool:
    from_source = [*report.taken, *report.renamed, *report.left]
    to_target = [*report.loaded, *report.missing, *report.shape_differs]
    differing = len(source) - len(from_source)
    return (
        len(set(from_source)) == len(from_source)
        and set(from_source) <= set(source)
        and sorted(to_target) == sorted(target)
        and differing == len(report.shape_differs)
    )


def equal(a: dict, b: dict) -> bool:
    return set(a) == set(b) and all(torch.equal(a[k], b[k]) for k in a)
