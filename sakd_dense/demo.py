"""The main job on data that needs no download: teacher, transfer, distillation, every T.

Five stages, each in a folder of its own and each done once: what a stage is made from is written
beside its result, so a demo that is started again goes on where it was, and one whose settings
changed begins anew from the first stage they concern.
"""

import contextlib
import hashlib
import json
import logging
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner

from .config.scopes import load_config
from .demo_results import draw_boxes, plot_time_steps, table_of
from .runtime.files import replacing
from .timesteps import SweepResult, sweep

TEACHER = "sakd_dense::retinanet_r18_digits.py"
STUDENT = "sakd_dense::retinanet_sew18_sakd_digits.py"
TIME_STEPS = (1, 2, 4, 8)
#: How the three models are called, by stage.
NAMES = {"teacher": "ANN teacher", "level1": "SNN, level 1 alone", "sakd": "SNN, SAKD"}


class Demo:
    """The demo in one folder.

    Args:
        work_dir: where everything goes but the data.
        time_steps: the T to read.
        options: changes to the configs of the teacher and of both students, like
            ``--cfg-options``.
        console: where progress is shown.
    """

    def __init__(
        self,
        work_dir: str | Path = "work_dirs/demo",
        time_steps: Sequence[int] = TIME_STEPS,
        options: dict[str, Any] | None = None,
        console: TextIO | None = None,
    ) -> None:
        self.folder = Path(work_dir)
        self.time_steps = tuple(time_steps)
        self.options = {"randomness": dict(seed=0), **(options or {})}
        self.console = console or sys.stdout

    def run(self) -> dict[str, SweepResult]:
        """All stages; the results by stage, and on disk table, JSON and pictures."""
        start = time.monotonic()
        self._say("1/5 data: handwritten digits over textured backgrounds")
        self._make_data()
        found = {}
        for number, name in enumerate(NAMES, 2):
            cfg = self.config(name)
            self._say(f"{number}/5 {NAMES[name]}: {cfg.train_cfg.max_epochs} epochs")
            self._train(name, cfg)
        self._say(f"5/5 test at T = {', '.join(map(str, self.time_steps))}, and pictures")
        for name in NAMES:
            found[name] = self._sweep(name)
        self._write_results(found)
        self._say("")
        self._say((self.folder / "table.txt").read_text())
        for file in ("table.txt", "results.json", "time_steps.png", "boxes.png"):
            self._say(f"wrote {self.folder / file}")
        self._say(f"took {time.monotonic() - start:.0f} s")
        return found

    def config(self, name: str) -> Config:
        """The config of one stage: a shipped one, with the teacher of this demo."""
        cfg = load_config(TEACHER if name == "teacher" else STUDENT)
        cfg.work_dir = str(self.folder / name)
        teacher = str(self.checkpoint("teacher"))
        if name == "level1":
            cfg.custom_hooks = []
            cfg.model.init_cfg = dict(type="SAKDTransfer", checkpoint=teacher)
        elif name == "sakd":
            cfg.custom_hooks[0].teacher.checkpoint = teacher
        cfg.merge_from_dict(self.options)
        return cfg

    def checkpoint(self, name: str) -> Path:
        """The file of a stage's trained weights."""
        return self.folder / name / "final.pth"

    def _make_data(self) -> None:
        cfg = self.config("teacher")
        init_default_scope(cfg.default_scope)
        with self._quiet("data"):
            sets = {s: DATASETS.build(cfg[f"{s}_dataloader"].dataset) for s in ("train", "test")}
        counts = ", ".join(f"{len(dataset)} scenes to {split}" for split, dataset in sets.items())
        self._say(f"    {counts}, in {cfg.train_dataloader.dataset.data_root}")

    def _train(self, name: str, cfg: Config) -> None:
        folder, final = self.folder / name, self.checkpoint(name)
        recipe = self._recipe(name, cfg)
        recipe_file = folder / "recipe.json"
        if folder.exists() and _read_json(recipe_file) != recipe:
            # Made otherwise, or not by this demo's present settings: nothing of it can be used.
            if recipe_file.exists():
                shutil.rmtree(folder)
            elif any(folder.iterdir()):
                raise FileExistsError(
                    f"{folder} holds files that are not this demo's: move them away, or choose "
                    "another --work-dir"
                )
        if final.exists():
            self._say(f"    done before: {final}")
            return
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(recipe_file, recipe)
        cfg.resume = (folder / "last_checkpoint").is_file()
        if cfg.resume:
            self._say("    going on from the last checkpoint")
        # MMEngine keeps visualizers by name: so each stage logs into a folder of its own.
        cfg.visualizer.name = name
        start = time.monotonic()
        with self._quiet(name):
            runner = _DemoRunner.build_for(cfg, self.console)
            runner.train()
        last = folder / f"epoch_{cfg.train_cfg.max_epochs}.pth"
        with replacing(final) as temporary:
            shutil.copyfile(last, temporary)
        self._say(f"    took {time.monotonic() - start:.0f} s")

    def _recipe(self, name: str, cfg: Config) -> dict[str, str]:
        """What a stage's result depends on; the teacher's file is among it by its content."""
        settings = {k: v for k, v in cfg.to_dict().items() if k != "resume"}
        recipe = dict(config=_digest(json.dumps(settings, sort_keys=True, default=str).encode()))
        if name != "teacher":
            recipe["teacher"] = _digest(self.checkpoint("teacher").read_bytes())
        return recipe

    def _sweep(self, name: str) -> SweepResult:
        file = self.folder / name / "sweep.json"
        if file.exists():
            found = SweepResult.from_json(file)
            if tuple(found.rows) in ((None,), self.time_steps):
                return found
        steps = None if name == "teacher" else self.time_steps
        with self._quiet(name):
            cfg = self.config(name)
            cfg.model.init_cfg = None
            runner = _DemoRunner.build_for(cfg, self.console)
            found = sweep(runner, str(self.checkpoint(name)), steps)
        found.to_json(file)
        return found

    def _write_results(self, found: dict[str, SweepResult]) -> None:
        named = {NAMES[name]: result for name, result in found.items()}
        with replacing(self.folder / "table.txt") as temporary:
            temporary.write_text(table_of(named))
        rows = {n: {str(t): row for t, row in r.rows.items()} for n, r in found.items()}
        _write_json(self.folder / "results.json", rows)
        plot_time_steps(named, self.folder / "time_steps.png")
        boxes = self.folder / "boxes.png"
        newest = max(self.checkpoint(name).stat().st_mtime for name in NAMES)
        if not boxes.exists() or boxes.stat().st_mtime < newest:
            cfg = self.config("sakd")
            trained = cfg.model.backbone.time_steps
            last = trained if trained in self.time_steps else self.time_steps[-1]
            drawn = tuple(dict.fromkeys((self.time_steps[0], last)))
            models = {NAMES[name]: str(self.checkpoint(name)) for name in NAMES}
            with self._quiet("pictures"):
                draw_boxes(cfg, models, NAMES["teacher"], drawn, boxes)

    def _say(self, text: str) -> None:
        print(text, file=self.console, flush=True)

    @contextlib.contextmanager
    def _quiet(self, name: str) -> Iterator[None]:
        """What libraries print goes into a file; errors still come out."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (
            open(self.folder / f"{name}.log", "a", encoding="utf-8") as file,
            contextlib.redirect_stdout(file),
            contextlib.redirect_stderr(file),
        ):
            yield


class _DemoRunner(Runner):
    """A runner whose progress, and nothing else, is shown on the console."""

    console: TextIO = sys.stdout

    @classmethod
    def build_for(cls, cfg: Config, console: TextIO) -> "Runner":
        cls.console = console
        return cls.from_cfg(cfg)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(
                handler, logging.FileHandler
            ):
                handler.setStream(self.console)
                handler.setFormatter(logging.Formatter("    %(message)s"))
                handler.addFilter(_is_progress)
        return logger


def _is_progress(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return text.startswith("Epoch(train)") or (text.startswith("Epoch(val)") and "mAP" in text)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else None


def _write_json(path: Path, content: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


__all__ = ["NAMES", "TIME_STEPS", "Demo"]
