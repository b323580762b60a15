"""What the arguments of a spiking ResNet may be, and why not more."""

from typing import Any

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
    """Raises a ValueError that names the argument, its value and the way out."""
    a = given
    depth = a["depth"]
    if depth not in ARCHITECTURES:
        raise ValueError(f"depth={depth!r}: take one of {tuple(ARCHITECTURES)}")
    block, counts = ARCHITECTURES[depth]
    if a["connect"] not in a["connects"]:
        raise ValueError(f"connect={a['connect']!r}: take one of {a['connects']}")
    if a["style"] not in ("pytorch", "caffe"):
        raise ValueError(f"style={a['style']!r}: take 'pytorch' or 'caffe'")
    if a["dcn"] is not None or any(a["stage_with_dcn"]):
        raise ValueError(
            f"dcn={a['dcn']}, stage_with_dcn={a['stage_with_dcn']}: deformable convolution of "
            "spikes is not built yet; remove both"
        )
    if a["plugins"] is not None:
        raise ValueError(
            f"plugins={a['plugins']}: plugins beside neurons are not built yet; remove them"
        )
    stages = a["num_stages"]
    if stages not in (1, 2, 3, 4):
        raise ValueError(f"num_stages={stages!r}: take 1 to 4")
    for name in ("strides", "dilations"):
        if len(a[name]) != stages:
            raise ValueError(f"{name}={a[name]} must hold num_stages={stages} values")
    out = tuple(a["out_indices"])
    if not out or not 0 <= min(out) <= max(out) < stages:
        raise ValueError(f"out_indices={out} must lie in 0..{stages - 1}")
    if not -1 <= a["frozen_stages"] <= stages:
        raise ValueError(f"frozen_stages={a['frozen_stages']} must lie in -1..{stages}")
    if block is BasicBlock and a["groups"] != 1:
        raise ValueError(
            f"groups={a['groups']}: depth {depth} has no grouped convolution; take 50 or more"
        )
    if a["multi_grid"] is not None and len(a["multi_grid"]) != counts[stages - 1]:
        raise ValueError(
            f"multi_grid={a['multi_grid']} must name a dilation for each of the "
            f"{counts[stages - 1]} blocks of the last stage"
        )
    if a["pretrained"] is not None and a["init_cfg"] is not None:
        raise ValueError("give init_cfg or pretrained, not both")
    if a["pretrained"] is not None and not isinstance(a["pretrained"], str):
        raise ValueError(f"pretrained={a['pretrained']!r}: take a path, or None")
