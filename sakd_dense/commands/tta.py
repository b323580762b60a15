"""Test-time augmentation and pictures: what mmdet's, mmseg's and mmpretrain's test.py change."""

import copy
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ..config.models import test_dataset_of
from ..config.types import class_scope, type_name
from ..runtime.errors import UserError

#: What mmdet's DetTTAModel needs to undo a view.
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
    """Puts the model into ``cfg.tta_model`` and the test data through ``cfg.tta_pipeline``.

    A detector without them gets mmdet's default: the image and its mirror image.

    Raises:
        UserError: if another model has none, or if the config has no test set.
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
    # What the config packs beside mmdet's keys (annotations, for instance) is still needed.
    keys = tuple(dict.fromkeys((*_META_KEYS, *packing.get("meta_keys", ()))))
    # Scopes are named: a pure Python config has no default one.
    flips = [dict(type="mmdet.RandomFlip", prob=prob) for prob in (1.0, 0.0)]
    return ConfigDict(
        type="TestTimeAug", transforms=[flips, [dict(type="mmdet.PackDetInputs", meta_keys=keys)]]
    )


def draw_to(cfg: Config, folder: str) -> None:
    """Has the visualisation hook of ``cfg`` draw its predictions into ``folder``.

    Raises:
        UserError: if ``default_hooks`` has none.
    """
    hook = cfg.default_hooks.get("visualization") if "default_hooks" in cfg else None
    if hook is None:
        raise UserError(
            "--show-dir: the config has no default_hooks.visualization, such as "
            'visualization=dict(type="DetVisualizationHook")'
        )
    # A relative path would be taken below the work dir of the run.
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
