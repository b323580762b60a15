"""A run of SAKDHook that is watched: its losses, its tensors, its weights."""

import gc

import torch
from mmengine.hooks import Hook

TERMS = ["feat", "cls", "box"]
#: The terms of a detector by default, and with a second pass through neck and head.
NAMES = {f"loss_sakd_{t}" for t in [*TERMS, "prefix_feat"]}
SECOND_PASS = NAMES | {f"loss_sakd_prefix_{t}" for t in TERMS}


class Watch(Hook):
    """Keeps what a run says of itself, and the numbers in its graphs' tensors where asked for."""

    priority = "VERY_LOW"

    def __init__(self, count_tensors: bool = False) -> None:
        self.logs, self.tensors, self.count_tensors = [], [], count_tensors

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.logs.append({k: v.item() for k, v in outputs.items()})
        if self.count_tensors:
            gc.collect()
            found = (o for o in gc.get_objects() if type(o) is torch.Tensor and not o.is_leaf)
            self.tensors.append(sum(o.numel() for o in found))


def train(runner, count_tensors: bool = False) -> Watch:
    watch = Watch(count_tensors)
    runner.register_hook(watch)
    runner.train()
    return watch


def weights(runner) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in runner.model.state_dict().items()}
