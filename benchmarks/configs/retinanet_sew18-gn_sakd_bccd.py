"""configs/retinanet_sew18_sakd_bccd.py with GroupNorm, like its teacher."""

_base_ = "../../configs/retinanet_sew18_sakd_bccd.py"

model = dict(backbone=dict(norm_cfg=dict(_delete_=True, type="GN", num_groups=32)))
