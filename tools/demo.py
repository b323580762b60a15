#!/usr/bin/env python
"""Runs the complete pipeline on generated digit scenes, with the user's tools: `make demo`.

1. tools/train.py    trains the ANN teacher;
2. tools/train.py    trains one spiking student with level 1 only and one with SAKD (both levels);
3. tools/test.py     tests all three models, the students at T = 1, 2, 4, 8;
4. tools/report.py   compares SAKD with level 1 only.

A stopped demo resumes when the command is repeated. The tools write their output to DIR/*.log.
"""

import argparse
import hashlib
import json
import re
import sys
import time
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import _startup  # noqa: F401 - before torch is loaded
from mmengine.config import Config, DictAction

from sakd_dense.commands.arguments import add_time_steps, reported
from sakd_dense.config.scopes import load_config
from sakd_dense.runtime.errors import UserError
from sakd_dense.runtime.files import folder_for_test
from sakd_dense.timesteps import SweepResult

TOOLS = Path(__file__).absolute().parent
TEACHER = "sakd_dense::retinanet_r18_digits.py"
STUDENT = "sakd_dense::retinanet_sew18_sakd_digits.py"
MODELS = {"teacher": "ANN teacher", "level1": "SNN, level 1 alone", "sakd": "SNN, SAKD"}
PROGRESS = re.compile(r"Epoch\((train|val|test)\).*")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work-dir",
        default="work_dirs/demo",
        metavar="DIR",
        help="directory of the demo (default: %(default)s)",
    )
    add_time_steps(parser, default=[1, 2, 4, 8], help="values of T to test (default: 1 2 4 8)")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        default={},
        metavar="KEY=VALUE",
        help="override settings in the configs of all three models",
    )
    return parser.parse_args(argv)


def run(tool: str, *arguments: str | Path, log: Path) -> None:
    """Runs a tool, writes its output to ``log`` and prints its progress to the console as well."""
    command = [sys.executable, str(TOOLS / f"{tool}.py"), *map(str, arguments)]
    start, lines = time.monotonic(), []
    with (
        open(log, "a", encoding="utf-8") as file,
        Popen(command, stdout=PIPE, stderr=STDOUT, text=True, errors="replace") as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            file.write(line)
            file.flush()
            if progress := PROGRESS.search(line):
                print(f"    {progress[0]}", flush=True)
    if process.returncode:
        raise UserError(
            f"tools/{tool}.py failed; its whole output is in {log}\n{''.join(lines[-15:])}"
        )
    print(f"    took {time.monotonic() - start:.0f} s", flush=True)


def write_config(args: argparse.Namespace, name: str, teacher: Path | None) -> tuple[Path, Config]:
    """Writes the config of a model: a shipped config with the teacher of this demo.

    Returns:
        The file and the config.
    """
    cfg = load_config(STUDENT if teacher else TEACHER)
    if name == "level1":
        cfg.custom_hooks = []
        cfg.model.init_cfg = dict(type="SAKDTransfer", checkpoint=str(teacher))
    elif name == "sakd":
        cfg.custom_hooks[0].teacher.checkpoint = str(teacher)
    cfg.merge_from_dict({"randomness": dict(seed=0), **args.cfg_options})
    file = Path(args.work_dir, "configs", f"{name}.py")
    file.parent.mkdir(parents=True, exist_ok=True)
    cfg.dump(file)
    return file, cfg


def check_settings(folder: Path, cfg: Config, teacher: Path | None) -> None:
    """Refuses a folder whose model has other settings, or that the demo did not write."""
    content = json.dumps(cfg.to_dict(), sort_keys=True, default=str).encode()
    settings = {"config": hashlib.sha256(content).hexdigest()}
    if teacher:
        settings["teacher"] = hashlib.sha256(teacher.read_bytes()).hexdigest()
    file = folder / "settings.json"
    if not file.is_file():
        if folder.exists() and any(folder.iterdir()):
            raise UserError(
                f"{folder} contains files that this demo did not write: move them, or choose "
                "another --work-dir"
            )
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings, indent=2) + "\n")
    before = json.loads(file.read_text())
    changed = [key for key in settings if before.get(key) != settings[key]]
    if changed:
        raise UserError(
            f"{folder} holds a model with other settings ({' and '.join(changed)} changed): remove "
            "the folder to train the model again, or choose another --work-dir"
        )


def train(args: argparse.Namespace, name: str, teacher: Path | None) -> tuple[Path, Path]:
    """Trains a model, unless that is done, and returns its config file and checkpoint."""
    file, cfg = write_config(args, name, teacher)
    folder, epochs = Path(args.work_dir, name), cfg.train_cfg.max_epochs
    print(f"{MODELS[name]}: tools/train.py, {epochs} epochs", flush=True)
    check_settings(folder, cfg, teacher)
    checkpoint, last = folder / f"epoch_{epochs}.pth", folder / "last_checkpoint"
    # MMEngine names a checkpoint in last_checkpoint once it is complete.
    if last.is_file() and Path(last.read_text()).name == checkpoint.name and checkpoint.is_file():
        print(f"    done before: {checkpoint}", flush=True)
        return file, checkpoint
    if last.is_file():
        print("    resuming from the last checkpoint", flush=True)
    run("train", file, "--work-dir", folder, "--resume", log=folder.with_suffix(".log"))
    return file, checkpoint


def test(args: argparse.Namespace, name: str, config: Path, checkpoint: Path) -> SweepResult:
    """Tests a model, at every T if it spikes, and returns its metrics."""
    run_dir, steps = Path(args.work_dir, name), () if name == "teacher" else tuple(args.time_steps)
    folder = Path(folder_for_test(run_dir))
    print(f"{MODELS[name]}: tools/test.py", flush=True)
    out = folder / "sweep.json"
    if out.is_file() and out.stat().st_mtime >= checkpoint.stat().st_mtime:
        result = SweepResult.from_json(out)
        if tuple(result.at_counts(None)) == (steps or (None,)):
            print(f"    done before: {out}", flush=True)
            return result
    (folder / "energy.json").unlink(missing_ok=True)  # measured at the previous T
    reading = ("--time-steps", *map(str, steps)) if steps else ()
    places = ("--work-dir", folder, "--out", out)
    run("test", config, checkpoint, *reading, *places, log=run_dir.with_suffix(".log"))
    return SweepResult.from_json(out)


def table(results: dict[str, SweepResult]) -> str:
    """Returns a table of all models, with one line for each T."""
    width, lines = max(map(len, MODELS.values())), []
    for name, result in results.items():
        heading, *rows = result.table().splitlines()
        lines += [f"{MODELS[name]:{width}}  {heading}", *(f"{'':{width}}  {r}" for r in rows), ""]
    return "\n".join(lines)


@reported
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    folder = Path(args.work_dir)
    try:
        config, teacher = train(args, "teacher", None)
        models = {"teacher": (config, teacher)}
        models |= {name: train(args, name, teacher) for name in ("level1", "sakd")}
        results = {name: test(args, name, *made) for name, made in models.items()}
        print("SAKD beside level 1 alone: tools/report.py", flush=True)
        steps = map(str, args.time_steps)
        runs = (folder / "sakd", "--compare", folder / "level1")
        run("report", *runs, "--time-steps", *steps, log=folder / "report.log")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the next run resumes from the last checkpoint")
    print(f"\n{table(results)}\nmodels   {folder}/{{{','.join(MODELS)}}}")
    print(f"metrics  {folder}/{{{','.join(MODELS)}}}-test/sweep.json")
    print(f"report   {folder / 'sakd-test' / 'report.html'}")


if __name__ == "__main__":
    main()
