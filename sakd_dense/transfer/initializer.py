"""Level 1 in a config: ``init_cfg=dict(type='SAKDTransfer', checkpoint=...)``."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule, is_model_wrapper
from mmengine.model.weight_init import update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from ..runtime.arguments import typed
from .apply import transfer
from .report import TransferError, TransferReport


@WEIGHT_INITIALIZERS.register_module()
class SAKDTransfer:
    """Weight initialiser that loads the ANN of the same architecture into a model or a backbone.

    ``Runner.train()`` calls ``init_weights()`` after construction, and ``BaseModule`` runs an
    initialiser *before* those of its children (only the type ``Pretrained`` is deferred). This
    initialiser therefore runs those of the children first, marks them as done, and then loads.
    Parameters that the checkpoint lacks keep their usual initialisation, and nothing overwrites
    the loaded ones. ``load_from`` and ``resume`` come later and take precedence.

    Args:
        checkpoint, part, left_ok, missing_ok, weights: as in
            :func:`sakd_dense.transfer.transfer`.

    Example:
        >>> import torch
        >>> from mmdet.models import ResNet
        >>> from sakd_dense import SEWResNet
        >>> torch.save(ResNet(18, base_channels=8, stem_channels=8).state_dict(), "ann.pth")
        >>> init = dict(type="SAKDTransfer", checkpoint="ann.pth")
        >>> student = SEWResNet(18, base_channels=8, stem_channels=8, init_cfg=init)
        >>> student.init_weights()
        >>> student.conv1.weight.equal(torch.load("ann.pth")["conv1.weight"])
        True
    """

    @typed
    def __init__(
        self,
        checkpoint: str,
        part: str = "auto",
        left_ok: Sequence[str] = (),
        missing_ok: Sequence[str] = (),
        weights: str = "auto",
    ) -> None:
        self.checkpoint = checkpoint
        self.part = part
        self.left_ok = tuple(left_ok)
        self.missing_ok = tuple(missing_ok)
        self.weights = weights
        self.report: TransferReport | None = None

    def __call__(self, module: nn.Module) -> None:
        self._check_nothing_overwrites(module)
        for child in module.children():
            _initialize_child(child)
        self.report = transfer(
            module, self.checkpoint, self.part, self.left_ok, self.missing_ok, self.weights
        )
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=f"SAKDTransfer: {self.checkpoint}")

    def _check_nothing_overwrites(self, module: nn.Module) -> None:
        """Raises TransferError if an initialisation would run after this one and undo it."""
        name = type(module).__name__
        init_cfg = getattr(module, "init_cfg", None)
        if isinstance(init_cfg, list | tuple) and init_cfg:
            last = init_cfg[-1].get("type")
            if last not in ("SAKDTransfer", SAKDTransfer):
                raise TransferError(
                    f"init_cfg of {name}: the last entry is {last!r}, which would overwrite the "
                    "weights that SAKDTransfer loads; put SAKDTransfer last"
                )
        init_weights = getattr(type(module), "init_weights", None)
        if init_weights is not None and init_weights is not BaseModule.init_weights:
            raise TransferError(
                f"{name} has an init_weights() of its own that runs after init_cfg and would "
                "overwrite the weights that SAKDTransfer loads. Put SAKDTransfer into the "
                "backbone's init_cfg, let SAKDHook transfer the weights, or use tools/transfer.py "
                "and load_from"
            )


def _initialize_child(child: nn.Module) -> None:
    # Does for a child what BaseModule.init_weights would do, which then skips this child.
    if is_model_wrapper(child) and not hasattr(child, "init_weights"):
        child = child.module
    if hasattr(child, "init_weights") and not getattr(child, "is_init", False):
        child.init_weights()
        update_init_info(
            child, init_info=f"Initialized by user-defined `init_weights` in {type(child).__name__}"
        )
        child.is_init = True
