"""Architecture of a spiking ResNet: its arguments, and checks that reject what is unsupported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..runtime.arguments import check_fields
from ..runtime.errors import UserError
from .convolutions import BasicBlock, Bottleneck

Config = dict[str, Any]

#: depth -> (block, blocks in each stage), as in torchvision.
ARCHITECTURES: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Checked arguments from which a spiking ResNet builds its stages.

    All arguments except those below are upstream's and have the same meaning and, but for
    ``norm_eval``, the same defaults.

    Args:
        connects: values that ``connect`` may have.
        connect: connection of shortcuts.
        neuron: config of the neurons.

    Raises:
        UserError: the value of an argument is invalid. The message names the argument, its value
            and what to write instead.
    """

    depth: int
    connects: tuple[str, ...]
    connect: str
    neuron: Config | str
    in_channels: int = 3
    stem_channels: int | None = None
    base_channels: int = 64
    num_stages: int = 4
    strides: Sequence[int] = (1, 2, 2, 2)
    dilations: Sequence[int] = (1, 1, 1, 1)
    out_indices: Sequence[int] = (0, 1, 2, 3)
    style: str = "pytorch"
    deep_stem: bool = False
    avg_down: bool = False
    frozen_stages: int = -1
    conv_cfg: Config | None = None
    norm_cfg: Config | None = None
    norm_eval: bool = False
    dcn: Config | None = None
    stage_with_dcn: Sequence[bool] = (False, False, False, False)
    plugins: Sequence[Mapping[str, Any]] | None = None
    multi_grid: Sequence[int] | None = None
    contract_dilation: bool = False
    groups: int = 1
    base_width: int = 4
    with_cp: bool = False
    zero_init_residual: bool = True
    drop_path_rate: float = 0.0
    expansion: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.depth not in ARCHITECTURES:
            raise UserError(f"depth={self.depth!r}: must be one of {tuple(ARCHITECTURES)}")
        if self.connect not in self.connects:
            raise UserError(f"connect={self.connect!r}: must be one of {self.connects}")
        if self.style not in ("pytorch", "caffe"):
            raise UserError(f"style={self.style!r}: must be 'pytorch' or 'caffe'")
        if self.num_stages not in (1, 2, 3, 4):
            raise UserError(f"num_stages={self.num_stages!r}: must be from 1 to 4")
        self._check_dcn()
        self._check_plugins()
        self._check_stages()
        if self.block is BasicBlock:
            self._check_basic_block()
        self._check_drop_path()

    @property
    def block(self) -> type[BasicBlock] | type[Bottleneck]:
        return ARCHITECTURES[self.depth][0]

    @property
    def block_counts(self) -> tuple[int, ...]:
        """Number of blocks in each of the four stages."""
        return ARCHITECTURES[self.depth][1]

    def planes(self, stage: int) -> int:
        """Returns the number of channels inside the stage's blocks."""
        return self.base_channels * 2**stage

    def width(self, stage: int) -> int:
        """Returns the number of channels of the stage's output."""
        return self.planes(stage) * self._expansion

    def block_dilations(self, stage: int) -> list[int]:
        """Returns the dilation of each block of the stage."""
        if self.multi_grid is not None and stage == self.num_stages - 1:
            return list(self.multi_grid)
        first = rest = self.dilations[stage]
        if self.contract_dilation and first > 1:
            first //= 2
        return [first] + [rest] * (self.block_counts[stage] - 1)

    def drop_path_rates(self, stage: int) -> list[float]:
        """Returns the drop rate of each block of the stage.

        The rate grows from 0 at the first block of the network to ``drop_path_rate`` at the last.
        """
        first, last = sum(self.block_counts[:stage]), sum(self.block_counts) - 1
        return [self.drop_path_rate * (first + j) / last for j in range(self.block_counts[stage])]

    def norm(self) -> Config:
        """Returns the config of the norms."""
        norm = dict(type="BN", requires_grad=True) if self.norm_cfg is None else dict(self.norm_cfg)
        if norm.get("eps") == 0:  # as in NAS-FCOS; PyTorch does not train with it
            norm["eps"] = 1e-12
        return norm

    def dcn_of(self, stage: int) -> Config:
        """Returns the config of the stage's deformable convolutions; empty if it has none."""
        return dict(self.dcn) if self.dcn and self.stage_with_dcn[stage] else {}

    def plugins_of(self, stage: int) -> list[Config]:
        """Returns the plugins of the stage's blocks."""
        plugins = self.plugins or ()
        return [dict(p) for p in plugins if p.get("stages") is None or p["stages"][stage]]

    @property
    def _expansion(self) -> int:
        return self.block.expansion if self.expansion is None else self.expansion

    def _check_dcn(self) -> None:
        if self.dcn is None or not any(self.stage_with_dcn):
            return
        if self.block is BasicBlock:
            raise UserError(
                f"dcn={self.dcn}: depth {self.depth} does not support it; use 50 or more"
            )
        if len(self.stage_with_dcn) < self.num_stages:
            raise UserError(
                f"stage_with_dcn={self.stage_with_dcn} must have num_stages={self.num_stages} "
                "values"
            )
        if self.conv_cfg is not None:
            raise UserError(f"conv_cfg={self.conv_cfg}: set either conv_cfg or dcn, not both")

    def _check_plugins(self) -> None:
        if self.plugins and self.block is BasicBlock:
            raise UserError(
                f"plugins={self.plugins}: depth {self.depth} does not support them; use 50 or more"
            )
        positions = tuple(f"after_conv{i}" for i in (1, 2, 3))
        for plugin in self.plugins or ():
            if "cfg" not in plugin or plugin.get("position") not in positions:
                raise UserError(
                    f"plugins={self.plugins}: each must be dict(cfg=dict(type=...), position=...) "
                    f"with a position of {positions}"
                )
            if plugin.get("stages") is not None and len(plugin["stages"]) < self.num_stages:
                raise UserError(
                    f"plugins: stages={plugin['stages']} must have num_stages={self.num_stages} "
                    "values"
                )

    def _check_stages(self) -> None:
        stages = self.num_stages
        for name in ("strides", "dilations"):
            if len(getattr(self, name)) != stages:
                raise UserError(
                    f"{name}={getattr(self, name)} must have num_stages={stages} values"
                )
        out = tuple(self.out_indices)
        if not out or not 0 <= min(out) <= max(out) < stages:
            raise UserError(f"out_indices={out} must be in 0..{stages - 1}")
        if not -1 <= self.frozen_stages <= stages:
            raise UserError(f"frozen_stages={self.frozen_stages} must be in -1..{stages}")
        blocks = self.block_counts[stages - 1]
        if self.multi_grid is not None and len(self.multi_grid) != blocks:
            raise UserError(
                f"multi_grid={self.multi_grid} must have one dilation for each of the {blocks} "
                "blocks of the last stage"
            )

    def _check_basic_block(self) -> None:
        if self.groups != 1:
            raise UserError(
                f"groups={self.groups}: depth {self.depth} has no grouped convolution; use depth "
                "50 or more"
            )
        if self.expansion not in (None, 1):
            raise UserError(
                f"expansion={self.expansion}: depth {self.depth} has expansion 1; use depth 50 or "
                "more"
            )

    def _check_drop_path(self) -> None:
        rate = self.drop_path_rate
        if not 0 <= rate < 1:
            raise UserError(f"drop_path_rate={rate}: must be at least 0 and below 1")
        if rate and self.connect in ("AND", "IAND"):
            raise UserError(
                f"drop_path_rate={rate}: stochastic depth scales the branches that it keeps, and "
                f"connect={self.connect!r} needs binary spikes; use 'ADD', or drop_path_rate=0"
            )


__all__ = ["ARCHITECTURES", "Architecture"]
