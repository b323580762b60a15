"""The files in the folder of a run, and the measurements that it lacks."""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config.models import check_test_loop
from ..config.teacher import teacher_file, teacher_of
from ..config.types import spiking_backbone_cfgs
from ..energy import EnergyReport, study
from ..runtime.errors import MissingFileError, UserError
from ..runtime.files import folder_for_test
from ..timesteps import SweepResult, sweep

#: Files that tools/test.py and tools/energy.py write by --out, in the folder of the run or of its
#: tests.
SWEEP, ENERGY, TEACHER = "sweep.json", "energy.json", "teacher.json"


@dataclass(kw_only=True)
class Run:
    """A finished run.

    Attributes:
        folder: work directory of the run.
        cfg: config that the run wrote into the folder.
        checkpoint: last checkpoint of the run.
        teacher: checkpoint of the ANN, or None if the file does not exist.
        scalars: logged values, one dict for each entry, in chronological order.
        sweep, energy, teacher_sweep: measurements that exist in the folder or in ``results``.

    Example:
        >>> from pathlib import Path
        >>> from mmengine.config import Config
        >>> from sakd_dense.report import Run
        >>> logged = [dict(step=50, loss=1.2), dict(step=100, mIoU=0.4)]
        >>> run = Run(folder=Path("run"), cfg=Config(), checkpoint="epoch_1.pth", scalars=logged)
        >>> run.logged_losses
        [{'step': 50, 'loss': 1.2}]
    """

    folder: Path
    cfg: Config
    checkpoint: str
    teacher: str | None = None
    scalars: list[dict[str, Any]] = field(default_factory=list)
    sweep: SweepResult | None = None
    energy: EnergyReport | None = None
    teacher_sweep: SweepResult | None = None

    @property
    def name(self) -> str:
        """Name of the config, followed by the name of the folder if they differ."""
        config, folder = Path(self.cfg.filename).stem, self.folder.resolve().name
        return config if config == folder else f"{config}, {folder}"

    @property
    def results(self) -> Path:
        """Folder of the measurements, beside that of the run."""
        return Path(folder_for_test(self.folder))

    @property
    def logged_losses(self) -> list[dict[str, Any]]:
        """Entries of ``scalars`` that contain the loss."""
        return [entry for entry in self.scalars if "loss" in entry]


@dataclass(kw_only=True)
class MeasuredRun(Run):
    """A run with its measurements; ``teacher_sweep`` is None if the teacher's file is missing.

    Example:
        >>> from sakd_dense.report import measure_run, open_run
        >>> run = open_run("work_dirs/retinanet_sew18_sakd_digits")  # doctest: +SKIP
        >>> measured = measure_run(run, time_steps=(1, 2, 4), samples=8)  # doctest: +SKIP
        >>> measured.values("coco/bbox_mAP")  # doctest: +SKIP
    """

    sweep: SweepResult
    energy: EnergyReport

    def values(self, metric: str) -> dict[int, float]:
        """Returns the metric at every T that has one.

        COCO's metrics are missing where a detector finds nothing.
        """
        rows = {t: row.get(metric) for (t, _), row in self.sweep.rows.items() if t is not None}
        return {t: value for t, value in rows.items() if value is not None and isfinite(value)}

    def teacher_value(self, metric: str) -> float | None:
        """Returns the metric of the ANN teacher, or None if it was not measured."""
        return self.teacher_sweep.rows[None, None].get(metric) if self.teacher_sweep else None


def open_run(folder: str | Path) -> Run:
    """Returns the run in ``folder``, with the measurements that exist.

    Raises:
        MissingFileError: the folder does not exist, or contains no config or no checkpoint.
        UserError: its model does not spike, its config has no test set, or a measurement cannot
            be read.

    Example:
        >>> from sakd_dense.report import open_run
        >>> run = open_run("work_dirs/retinanet_sew18_sakd_digits")  # doctest: +SKIP
        >>> print(run.name, run.checkpoint)  # doctest: +SKIP
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFileError(f"run folder {folder} does not exist")
    configs = sorted(folder.glob("*.py"), key=lambda f: f.stat().st_mtime)
    if not configs:
        raise MissingFileError(
            f"{folder} contains no config: pass a work directory of tools/train.py"
        )
    cfg = Config.fromfile(configs[-1])
    if not spiking_backbone_cfgs(cfg.get("model") or {}):
        raise UserError(
            f"{configs[-1]}: its model does not spike; pass the run of a student, whose report "
            "includes the teacher"
        )
    check_test_loop(cfg)
    last = folder / "last_checkpoint"
    named = Path(last.read_text().strip()) if last.is_file() else last
    checkpoint = folder / named.name  # the run may have been copied or moved since
    if named == last or not checkpoint.is_file():
        raise MissingFileError(f"{folder} contains no checkpoint ({named} is not in it)")
    run = Run(folder=folder, cfg=cfg, checkpoint=str(checkpoint), teacher=teacher_file(cfg))
    run.scalars = _scalars(folder)
    for name, attribute, kind in (
        (SWEEP, "sweep", SweepResult),
        (ENERGY, "energy", EnergyReport),
        (TEACHER, "teacher_sweep", SweepResult),
    ):
        for place in (folder, run.results):
            if (place / name).is_file():
                setattr(run, attribute, kind.from_json(place / name))
    return run


def measure_run(run: Run, time_steps: Sequence[int], samples: int) -> MeasuredRun:
    """Measures what is missing, and writes it into ``run.results``.

    Args:
        run: run returned by :func:`open_run`.
        time_steps: values of T of the sweep, if there is none yet. Energy is measured at the T of
            the sweep.
        samples: number of images for the energy.

    Example:
        >>> from sakd_dense.report import measure_run, open_run
        >>> run = open_run("work_dirs/retinanet_sew18_sakd_digits")  # doctest: +SKIP
        >>> measured = measure_run(run, time_steps=(1, 2, 4), samples=8)  # doctest: +SKIP
    """
    cfg = copy.deepcopy(run.cfg)
    cfg.work_dir = str(run.results)
    measured, energy, teacher_sweep = run.sweep, run.energy, run.teacher_sweep
    if measured is None:
        measured = sweep(cfg, run.checkpoint, time_steps, fuse=True)
        measured.to_json(run.results / SWEEP)
    if energy is None:
        steps = [t for t, _ in measured.rows if t is not None]
        energy = study(cfg, run.checkpoint, steps, samples, teacher_checkpoint=run.teacher)
        energy.to_json(run.results / ENERGY)
    if teacher_sweep is None and run.teacher is not None:
        ann = copy.deepcopy(cfg)
        ann.model, ann.custom_hooks = teacher_of(cfg), []
        ann.test_cfg = dict(type="TestLoop")
        ann.pop("data_preprocessor", None)  # the model contains it
        teacher_sweep = sweep(ann, run.teacher, timed_batches=0)
        teacher_sweep.to_json(run.results / TEACHER)
    measurements = dict(sweep=measured, energy=energy, teacher_sweep=teacher_sweep)
    return MeasuredRun(**{**vars(run), **measurements})


def _scalars(folder: Path) -> list[dict[str, Any]]:
    """Returns the log entries of all sessions; after a resume, the later session counts."""
    sessions = [
        [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
        for file in sorted(folder.glob("*/vis_data/scalars.json"))
    ]
    entries: list[dict[str, Any]] = []
    for session in sessions:
        first = min((e["step"] for e in session if "loss" in e), default=None)
        if first is not None:
            entries = [e for e in entries if e.get("step", 0) < first]
        entries += session
    return entries
