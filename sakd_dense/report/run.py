"""What lies in the folder of a run, and what is measured if it does not lie there yet."""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from ..config.models import with_preprocessor
from ..config.teacher import sakd_hook, teacher_config, teacher_file
from ..config.types import spiking_backbone_cfgs
from ..energy import EnergyReport, study
from ..runtime.errors import MissingFileError, UserError
from ..timesteps import SweepResult, sweep

#: Beside the checkpoints, where tools/test.py and tools/energy.py may have put them by --out.
SWEEP, ENERGY, TEACHER = "sweep.json", "energy.json", "teacher.json"


@dataclass
class Run:
    """A finished run.

    Attributes:
        folder: its work directory.
        cfg: the config that the run wrote there.
        checkpoint: its last.
        teacher: the ANN's checkpoint, if its file is still there.
        scalars: what was logged, one dict an entry, in the order of time.
        sweep, energy, teacher_sweep: measurements, as far as there are any.
    """

    folder: Path
    cfg: Config
    checkpoint: str
    teacher: str | None
    scalars: list[dict[str, Any]] = field(default_factory=list)
    sweep: SweepResult | None = None
    energy: EnergyReport | None = None
    teacher_sweep: SweepResult | None = None

    @property
    def name(self) -> str:
        """The config's, and the folder's where that is another."""
        config, folder = Path(self.cfg.filename).stem, self.folder.resolve().name
        return config if config == folder else f"{config}, {folder}"

    @property
    def teacher_model(self) -> Any:
        """The teacher's config."""
        hook = sakd_hook(self.cfg)
        return teacher_config(
            with_preprocessor(self.cfg), (hook.get("teacher") or {}).get("config")
        )


def open_run(folder: str | Path) -> Run:
    """The run in ``folder``, with the measurements that lie there.

    Raises:
        MissingFileError: there is no such folder, or no config or checkpoint in it.
        UserError: its model does not spike, or a measurement cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFileError(f"run folder {folder} does not exist")
    configs = sorted(folder.glob("*.py"), key=lambda f: f.stat().st_mtime)
    if not configs:
        raise MissingFileError(
            f"{folder} holds no config: give the work dir of tools/train.py, where it wrote one"
        )
    cfg = Config.fromfile(configs[-1])
    if not spiking_backbone_cfgs(cfg.get("model") or {}):
        raise UserError(
            f"{configs[-1]}: its model does not spike; give the run of a student, "
            "the teacher stands in its report beside it"
        )
    last = folder / "last_checkpoint"
    checkpoint = find_latest_checkpoint(str(folder)) if last.is_file() else None
    if checkpoint is not None and (folder / Path(checkpoint).name).is_file():
        checkpoint = str(folder / Path(checkpoint).name)  # the run may have been moved since
    if checkpoint is None or not Path(checkpoint).is_file():
        raise MissingFileError(f"{folder} holds no checkpoint ({checkpoint or last} is not there)")
    run = Run(folder, cfg, checkpoint, teacher_file(cfg))
    run.scalars = _scalars(folder)
    for name, attribute, kind in (
        (SWEEP, "sweep", SweepResult),
        (ENERGY, "energy", EnergyReport),
        (TEACHER, "teacher_sweep", SweepResult),
    ):
        if (folder / name).is_file():
            setattr(run, attribute, kind.from_json(folder / name))
    return run


def measure_run(run: Run, time_steps: Sequence[int], samples: int) -> None:
    """Measures what is missing, and writes it into the folder of the run."""
    cfg = copy.deepcopy(run.cfg)
    cfg.work_dir = str(run.folder / "report")
    if run.sweep is None:
        run.sweep = sweep(cfg, run.checkpoint, time_steps, fuse=True)
        run.sweep.to_json(run.folder / SWEEP)
    if run.energy is None:
        steps = [t for t in run.sweep.rows if t is not None]
        run.energy = study(cfg, run.checkpoint, steps, samples, teacher_checkpoint=run.teacher)
        run.energy.to_json(run.folder / ENERGY)
    if run.teacher_sweep is None and run.teacher is not None:
        ann = copy.deepcopy(cfg)
        ann.model, ann.custom_hooks = run.teacher_model, []
        ann.test_cfg = dict(type="TestLoop")
        ann.pop("data_preprocessor", None)  # it is in the model
        run.teacher_sweep = sweep(ann, run.teacher, timed_batches=0)
        run.teacher_sweep.to_json(run.folder / TEACHER)


def _scalars(folder: Path) -> list[dict[str, Any]]:
    """Of all sessions; where a run was resumed, the later one counts."""
    sessions = [
        [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
        for file in sorted(folder.glob("*/vis_data/scalars.json"))
    ]
    found: list[dict[str, Any]] = []
    for session in sessions:
        first = min((e["step"] for e in session if "loss" in e), default=None)
        if first is not None:
            found = [e for e in found if e.get("step", 0) < first]
        found += session
    return found
