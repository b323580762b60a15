"""The model and the example image of an export."""

import copy
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS
from torch import Tensor, nn

from ..config.models import test_dataset_of


class RawModel(nn.Module):
    """A model as a function from preprocessed images to the outputs of its head.

    The outputs are not post-processed.

    Args:
        model: a model of mmdet, mmseg or mmpretrain.

    Example:
        >>> import torch
        >>> from sakd_dense.config import load_config
        >>> from sakd_dense.export import RawModel
        >>> from sakd_dense.loading import build_for_test
        >>> model = build_for_test(load_config("sakd_dense::sew18_sakd_digits.py"), None)
        >>> RawModel(model)(torch.zeros(1, 3, 40, 40)).shape
        torch.Size([1, 10])
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Any:
        return self.model(images, mode="tensor")


def first_image(cfg: Config, model: nn.Module) -> Tensor:
    """Returns the first test image as the backbone of ``model`` sees it, ``[1, C, H, W]``.

    Raises:
        UserError: the config has no test set.

    Example:
        >>> from sakd_dense.config import load_config
        >>> from sakd_dense.export import first_image
        >>> from sakd_dense.loading import build_for_test
        >>> cfg = load_config("sakd_dense::sew18_sakd_digits.py")
        >>> cfg.test_dataloader.dataset.update(scenes=dict(counts=(1, 1, 1)), data_root="digits")
        >>> first_image(cfg, build_for_test(cfg, None)).shape
        torch.Size([1, 3, 40, 40])
    """
    item = DATASETS.build(copy.deepcopy(test_dataset_of(cfg)))[0]
    batch = dict(inputs=[item["inputs"]], data_samples=[item["data_samples"]])
    return model.data_preprocessor(batch, False)["inputs"]


__all__ = ["RawModel", "first_image"]
