"""A run of SAKDHook that is watched: its losses, its tensors, its weights."""

import gc

import torch
from mmengine.hooks import Hook

TERMS = ["feat", "cls", "box"]
#: The terms of a detector by default, and with a second pass through neck and head.
NAMES = {f"loss_sakd_{t}" for t in [*TERMS, "prefix_feat"]}
SECOND_PASS = NAMES | {f"loss_sakd_prefix_{t}" for t in TERMS}


class Watch(Hook):
    """Keeps what a run says of itself."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.logs, self.tensors, self.grads = [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.logs.append({k: v.item() for k, v in outputs.items()})
        gc.collect()
        self.tensors.append(
            sum(o.numel() for o in gc.get_objects() if type(o) is torch.Tensor and not o.is_leaf)
        )


def train(runner) -> Watch:
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    return watch


def weights(runner) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in runner.model.state_dict().items()}
