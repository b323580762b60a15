"""What the arguments of a spiking ResNet may be, and why not more."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..runtime.errors import UserError
from .blocks import BasicBlock, Bottleneck

#: depth -> (block, blocks in each stage), as torchvision's.
ARCHITECTURES = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


def check_arguments(**given: Any) -> None:
    """Raises UserError that names the argument, its value and the way out."""
    a = given
    depth = a["depth"]
    if depth not in ARCHITECTURES:
        raise UserError(f"depth={depth!r}: take one of {tuple(ARCHITECTURES)}")
    block, counts = ARCHITECTURES[depth]
    if a["connect"] not in a["connects"]:
        raise UserError(f"connect={a['connect']!r}: take one of {a['connects']}")
    if a["style"] not in ("pytorch", "caffe"):
        raise UserError(f"style={a['style']!r}: take 'pytorch' or 'caffe'")
    stages = a["num_stages"]
    if stages not in (1, 2, 3, 4):
        raise UserError(f"num_stages={stages!r}: take 1 to 4")
    _check_extras(block, a)
    for name in ("strides", "dilations"):
        if len(a[name]) != stages:
            raise UserError(f"{name}={a[name]} must hold num_stages={stages} values")
    out = tuple(a["out_indices"])
    if not out or not 0 <= min(out) <= max(out) < stages:
        raise UserError(f"out_indices={out} must lie in 0..{stages - 1}")
    if not -1 <= a["frozen_stages"] <= stages:
        raise UserError(f"frozen_stages={a['frozen_stages']} must lie in -1..{stages}")
    if block is BasicBlock and a["groups"] != 1:
        raise UserError(
            f"groups={a['groups']}: depth {depth} has no grouped convolution; take 50 or more"
        )
    if a["multi_grid"] is not None and len(a["multi_grid"]) != counts[stages - 1]:
        raise UserError(
            f"multi_grid={a['multi_grid']} must name a dilation for each of the "
            f"{counts[stages - 1]} blocks of the last stage"
        )
    if block is BasicBlock and a["expansion"] not in (None, 1):
        raise UserError(f"expansion={a['expansion']}: depth {depth} has 1; take 50 or more")
    _check_drop_path(a)
    if a["pretrained"] is not None and a["init_cfg"] is not None:
        raise UserError("give init_cfg or pretrained, not both")
    if a["pretrained"] is not None and not isinstance(a["pretrained"], str):
        raise UserError(f"pretrained={a['pretrained']!r}: take a path, or None")


def plugins_of_stage(
    plugins: Sequence[Mapping[str, Any]] | None, stage: int
) -> list[dict[str, Any]]:
    """Those of ``plugins`` whose ``stages`` names the stage, or that have none."""
    return [dict(p) for p in plugins or () if p.get("stages") is None or p["stages"][stage]]


def _check_extras(block: type, a: dict[str, Any]) -> None:
    """``dcn`` and ``plugins``: upstream's basic blocks take neither."""
    deformable = a["dcn"] is not None and any(a["stage_with_dcn"])
    for name, given in (("dcn", deformable), ("plugins", a["plugins"])):
        if given and block is BasicBlock:
            raise UserError(f"{name}={a[name]}: depth {a['depth']} takes none; take 50 or more")
    if deformable and len(a["stage_with_dcn"]) < a["num_stages"]:
        raise UserError(
            f"stage_with_dcn={a['stage_with_dcn']} must hold num_stages={a['num_stages']} values"
        )
    if deformable and a["conv_cfg"] is not None:
        raise UserError(f"conv_cfg={a['conv_cfg']}: give it or dcn, not both")
    for plugin in a["plugins"] or ():
        places = tuple(f"after_conv{i}" for i in (1, 2, 3))
        if "cfg" not in plugin or plugin.get("position") not in places:
            raise UserError(
                f"plugins={a['plugins']}: give each dict(cfg=dict(type=...), position=...) with a "
                f"position of {places}"
            )
        if plugin.get("stages") is not None and len(plugin["stages"]) < a["num_stages"]:
            raise UserError(
                f"plugins: stages={plugin['stages']} must hold num_stages={a['num_stages']} values"
            )
    if a["plugins"] and a["compress_spikes"]:
        raise UserError(
            "compress_spikes=True: plugins give no spikes of 0 and 1; leave one of both out"
        )


def _check_drop_path(a: dict[str, Any]) -> None:
    rate = a["drop_path_rate"]
    if not 0 <= rate < 1:
        raise UserError(f"drop_path_rate={rate}: take 0 or more, below 1")
    if rate and a["connect"] in ("AND", "IAND"):
        raise UserError(
            f"drop_path_rate={rate}: what is left of a branch is scaled up, and "
            f"connect={a['connect']!r} is for spikes of 0 and 1; take 'ADD', or drop_path_rate=0"
        )
    if rate and a["compress_spikes"]:
        raise UserError(
            f"drop_path_rate={rate}: scaled spikes fit no byte; leave compress_spikes out"
        )
