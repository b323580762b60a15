"""What training leaves behind, without training: a student's config, its weights, its teacher's."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from sakd_dense.config.models import with_preprocessor
from sakd_dense.config.teacher import sakd_hook, teacher_of
from tests.helpers.scenes import write_checkpoint


def random_weights(model_cfg, path: Path) -> str:
    """The checkpoint of a model whose head sees something everywhere."""
    torch.manual_seed(0)
    model = MODELS.build(Config(dict(model=model_cfg)).model)
    model.init_weights()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if not name.startswith("backbone."):
                value += 0.1 * torch.randn(value.shape)
            if name.endswith("retina_cls.bias"):
                value.zero_()
    return write_checkpoint(model, path)


def finish(cfg: Config, folder: Path) -> Path:
    """Fills ``folder`` as a run of ``cfg`` would: config, checkpoint, ``last_checkpoint``.

    Its SAKDHook, if it has one, is given a teacher.
    """
    folder.mkdir(parents=True, exist_ok=True)
    init_default_scope(cfg.get("default_scope") or "mmengine")
    if hook := sakd_hook(cfg):
        hook["teacher"]["checkpoint"] = random_weights(teacher_of(cfg), folder / "teacher.pth")
    checkpoint = random_weights(with_preprocessor(cfg), folder / "epoch_1.pth")
    (folder / "last_checkpoint").write_text(checkpoint)
    cfg.dump(folder / f"{folder.name}.py")
    return folder
