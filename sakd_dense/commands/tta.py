"""Test-time augmentation and pictures, as in ``test.py`` of mmdet, mmseg and mmpretrain."""

import copy
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ..config.models import test_dataset_of
from ..config.types import class_scope, type_name
from ..runtime.errors import UserError

#: Meta keys that mmdet's DetTTAModel needs to invert the augmentation of a view.
_META_KEYS = (
    "img_id",
    "img_path",
    "ori_shape",
    "img_shape",
    "scale_factor",
    "flip",
    "flip_direction",
)


def use_tta(cfg: Config) -> None:
    """Wraps the model in ``cfg.tta_model`` and tests with ``cfg.tta_pipeline``, in place.

    A detector whose config lacks them gets mmdet's default: the image and its mirror image.

    Raises:
        UserError: the config of another model lacks them, or the config has no test set.
    """
    dataset = test_dataset_of(cfg)
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    if "tta_model" not in cfg or "tta_pipeline" not in cfg:
        package = cfg.get("default_scope") or class_scope(cfg.model) or "mmdet"
        if package != "mmdet":
            raise UserError(
                f"--tta: the config ({cfg.filename}) has no tta_model and tta_pipeline, and "
                f"{package} has no default; add both to the config"
            )
        cfg.setdefault(
            "tta_model",
            dict(
                type="DetTTAModel",
                tta_cfg=dict(nms=dict(type="nms", iou_threshold=0.5), max_per_img=100),
            ),
        )
        if "tta_pipeline" not in cfg:
            pipeline = copy.deepcopy(dataset["pipeline"])
            pipeline[-1] = _mirrored(pipeline[-1])
            cfg.tta_pipeline = pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    dataset["pipeline"] = cfg.tta_pipeline


def _mirrored(packing: dict) -> ConfigDict:
    # The other keys that the config packs (for annotations, for example) are still needed.
    keys = tuple(dict.fromkeys((*_META_KEYS, *packing.get("meta_keys", ()))))
    # The types name their scope, since a pure Python config has no default scope.
    flips = [dict(type="mmdet.RandomFlip", prob=prob) for prob in (1.0, 0.0)]
    return ConfigDict(
        type="TestTimeAug", transforms=[flips, [dict(type="mmdet.PackDetInputs", meta_keys=keys)]]
    )


def draw_to(cfg: Config, folder: str) -> None:
    """Sets the visualisation hook of ``cfg`` to draw the predictions into ``folder``.

    Raises:
        UserError: ``default_hooks`` has no such hook, or a segmentor's config has no visualizer.
    """
    hook = cfg.default_hooks.get("visualization") if "default_hooks" in cfg else None
    if hook is None:
        raise UserError(
            "--show-dir: the config has no default_hooks.visualization, such as "
            'visualization=dict(type="DetVisualizationHook")'
        )
    # A relative path would be interpreted relative to the run's work dir.
    folder = str(Path(folder).resolve())
    kind = type_name(hook["type"])
    if kind.startswith("Det"):
        hook.update(draw=True, test_out_dir=folder)
    elif kind.startswith("Seg"):
        if not cfg.get("visualizer"):
            raise UserError(
                "--show-dir: the config has no visualizer, such as visualizer=dict("
                'type="SegLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")])'
            )
        hook.update(draw=True)
        cfg.visualizer["save_dir"] = folder
    else:
        hook.update(enable=True, out_dir=folder)
