"""configs/retinanet_r18_bccd.py with GroupNorm, whose statistics do not depend on the batch."""

_base_ = "../../configs/retinanet_r18_bccd.py"

model = dict(backbone=dict(norm_cfg=dict(_delete_=True, type="GN", num_groups=32)))
