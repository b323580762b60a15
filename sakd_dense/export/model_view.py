"""One time step of a complete model: a backbone, and a head that NIR can express.

The layers after the last neuron are linear, so the mean of their outputs over T equals the output
of the model. The head is a spiking FCN head (``SpikingFCNHead``), or the average pooling and linear
layer of a classifier. The latter read firing rates in the model, and spikes in this view.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones import ResidualBackbone
from .step_view import ExportError, StepView, check_layers, folded, plain, single


class ModelView(nn.Module):
    """One time step of a segmentor or a classifier, from preprocessed images to its logits.

    Args:
        model: a model of mmseg or mmpretrain in eval mode; it is copied.
        images: ``[B, C, H, W]``, of the size that the graph will see.

    Raises:
        ExportError: NIR cannot express the neck or head; see also :class:`StepView`.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        super().__init__()
        backbone, neck = model.backbone, getattr(model, "neck", None)
        head: Any = getattr(model, "decode_head", getattr(model, "head", None))
        kinds = tuple(type(m).__name__ for m in (neck, head) if m is not None)
        indices = backbone.out_indices
        if kinds == ("SpikingFCNHead",) and head.input_transform is None:
            self.backbone = StepView(backbone, indices[head.in_index], images)
            check_layers(head)
            self.head: nn.Module = _FCN(head)
        elif kinds == ("GlobalAveragePooling", "LinearClsHead"):
            self.backbone = StepView(backbone, indices[-1], images)
            self.head = _classifier(backbone, head, images)
        else:
            raise ExportError(
                f"{' and '.join(kinds) or type(model).__name__}: the NIR export of a whole model "
                "supports SpikingFCNHead (but no upsampling, pooling pyramid or ReLU), or "
                "GlobalAveragePooling and LinearClsHead: export the backbone alone, or to ONNX"
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


class _FCN(nn.Module):
    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for block in head.convs if head.num_convs else ():
            layers += [folded(block.conv, block.norm), single(block.activate)]
        self.convs = nn.Sequential(*layers) if layers else None
        self.concat = head.concat_input
        if self.concat:
            whole = folded(head.conv_cat.conv, head.conv_cat.norm)
            of_input, of_convs = whole.weight.tensor_split((head.in_channels,), dim=1)
            self.of_input = plain(whole, of_input, whole.bias)
            self.of_convs = plain(whole, of_convs, None)
            self.fire = single(head.conv_cat.activate)
        self.conv_seg = folded(head.conv_seg, None)

    def forward(self, x: Tensor) -> Tensor:
        out = x if self.convs is None else self.convs(x)
        if self.concat:
            out = self.fire(self.of_input(x) + self.of_convs(out))
        return self.conv_seg(out)


@torch.no_grad()
def _classifier(backbone: ResidualBackbone, head: nn.Module, images: Tensor) -> nn.Module:
    size = tuple(backbone(images)[-1].shape[-2:])
    return nn.Sequential(nn.AvgPool2d(size, size), nn.Flatten(), copy.deepcopy(head.fc))


__all__ = ["ModelView"]
