#!/usr/bin/env python
"""Accuracy and energy of an arm at every T, over seeds: the tables of docs/energy.md.

  python -m benchmarks.accuracy.energy bccd sakd
  python -m benchmarks.accuracy.energy camvid-small-full response-cwd --samples 8
  python -m benchmarks.accuracy.energy bccd counts-1x4 --binary sakd  # binary neurons of equal events

The script measures the runs of `benchmarks/accuracy/runs.py TRACK train teacher ARM` whose energy is not
yet known, on images spread evenly over `test`. It keeps the results in benchmarks/results, so that
the table needs no runs afterwards. The accuracies are those of `accuracy.py TRACK table`.
"""

import argparse
import statistics
from itertools import pairwise

import torch

from benchmarks.accuracy.arms import ARMS
from benchmarks.accuracy.runs import RESULTS, RUNS, STEPS, cell, checkpoint, config, swept, trained
from benchmarks.accuracy.tracks import TRACKS
from sakd_dense.energy import CONVENTIONS, ESTIMATORS, EnergyReport, Layer, study


def measured(
    track: str, arm: str, seed: int, samples: int, estimators: list[str]
) -> EnergyReport | None:
    """Returns the energy of a run, or None if there is no run.

    The energy is measured if it, or one of the estimates, is not kept yet.
    """
    out = RESULTS / track / f"energy-{arm}-seed{seed}.json"
    kept = EnergyReport.from_json(out) if out.is_file() else None
    if kept and set(estimators) <= set(kept.readings[STEPS[0]].estimates):
        return kept
    file = checkpoint(track, arm, seed)
    if file is None:
        if kept:
            raise SystemExit(f"{out} lacks some of {', '.join(estimators)}, and its run is gone")
        return None
    cfg = config(track, arm, seed)
    TRACKS[track].read(cfg, "test")
    cfg.work_dir, cfg.log_level = str(RUNS / track / "energy"), "WARNING"
    teacher = trained(track, "teacher", seed)
    found = study(cfg, str(file), STEPS, samples, teacher_checkpoint=teacher, estimators=estimators)
    found.to_json(out)
    return found


def energies(layers: list[Layer], report: EnergyReport) -> list[str]:
    """Returns the cells of the table from the firing rate to mJ.

    All cells are means over seeds. Firing rate, silent neurons and mJ include the standard
    deviation.
    """
    operations = [layer.operations for layer in layers]

    def giga(kind: str) -> str:
        found = [
            [getattr(ops, f"{convention}_{kind}") * 1e-9 for ops in operations]
            for convention in CONVENTIONS
        ]
        return " / ".join(f"{statistics.mean(values):.3f}" for values in found)

    fired = [layer.spikes for layer in layers if layer.spikes.neurons]
    cells = [cell([s.rate for s in fired], 3), cell([s.silence for s in fired], 3)] if fired else []
    mj = [[report.millijoule(ops, c) for ops in operations] for c in CONVENTIONS]
    return [*(cells or ["", ""]), giga("ac"), giga("mac"), *(cell(values, 2) for values in mj)]


def table(track: str, arm: str, found: dict[int, EnergyReport]) -> str:
    """Returns a Markdown table of the ANN, and of the student at every T.

    Cells are the mean ± standard deviation over seeds.
    """
    metric, digits = TRACKS[track].metric, TRACKS[track].digits
    one = next(iter(found.values()))
    columns = ["model", "T x D", metric.rpartition("/")[2], "spikes M", "firing rate", "silent"]
    columns += ["SynOps G, strict / spike-count", "MACs G", "mJ strict", "mJ spike-count"]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]

    def accuracy(which: str, t: int | None) -> str:
        home = TRACKS[track].taught_by or track if which == "teacher" else track
        sweeps = [swept(home, which, seed, "test") for seed in found]
        rows = [row for s in sweeps if s for row in s["rows"] if row["T"] == t]
        return cell([row["metrics"][metric] for row in rows], digits) if rows else ""

    teachers = [report.teacher.total() for report in found.values()]
    cells = ["ANN teacher", "", accuracy("teacher", None), "", *energies(teachers, one)]
    lines.append("| " + " | ".join(cells) + " |")
    for t in STEPS:
        layers = [report.readings[t].total() for report in found.values()]
        spikes = statistics.mean(layer.spikes.spikes for layer in layers) / one.images * 1e-6
        cells = [arm, f"{t}x{one.most}", accuracy(arm, t), f"{spikes:.3f}"]
        lines.append("| " + " | ".join([*cells, *energies(layers, one)]) + " |")
    seeds = ", ".join(map(str, found))
    macs = teachers[0].operations.dense * 1e-9
    quantised = ", ".join(f"{name} {macs * pj:.2f} mJ" for name, pj in one.quantised().items())
    lines.append(f"\nSeeds {seeds}; over {one.images} images. The ANN quantised: {quantised}.")
    estimates = [r.estimates() for r in found.values() if r.estimates()]
    return "\n".join([*lines, *(f"\n{text}" for text in estimates[:1])])


def spikes_and_energy(report: EnergyReport, t: int) -> tuple[float, float]:
    """Returns million spikes per image, and mJ by spike-count, at ``t``."""
    total = report.readings[t].total()
    spikes = total.spikes.spikes / report.images * 1e-6
    return spikes, report.millijoule(total.operations, "count")


def equal_events(
    track: str, arm: str, found: dict[int, EnergyReport], binary: dict[int, EnergyReport]
) -> str:
    """Describes the T at which binary neurons fire as often as ``found`` at T = 1.

    Accuracy and energy at that T are means over seeds, and linear between two T that were measured.
    """
    metric, digits = TRACKS[track].metric, TRACKS[track].digits
    mean = statistics.mean
    wanted = mean(spikes_and_energy(report, 1)[0] for report in found.values())
    sweeps = [s for seed in binary if (s := swept(track, arm, seed, "test"))]
    points = []
    for t in STEPS:
        spikes, mj = zip(*(spikes_and_energy(r, t) for r in binary.values()), strict=True)
        accuracy = mean(r["metrics"][metric] for s in sweeps for r in s["rows"] if r["T"] == t)
        points.append((mean(spikes), t, mean(mj), accuracy))
    for (low, *a), (high, *b) in pairwise(points):
        if low <= wanted <= high:
            share = (wanted - low) / (high - low)
            t, mj, accuracy = (x + share * (y - x) for x, y in zip(a, b, strict=True))
            return (
                f"Equal events: {arm} fires {wanted:.3f} M spikes at T = {t:.1f} (linear between "
                f"{a[0]} and {b[0]}): {accuracy:.{digits}f}, {mj:.2f} mJ by spike-count."
            )
    return (
        f"Equal events: {arm} fires {wanted:.3f} M spikes at no T from {STEPS[0]} to {STEPS[-1]}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("track", choices=TRACKS, help="data set and model")
    parser.add_argument("arm", choices=[a for a in ARMS if a != "teacher"], metavar="ARM")
    parser.add_argument("--binary", choices=ARMS, metavar="ARM", help="its binary student")
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=24, help="images (default: 24)")
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=[], metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = {
        seed: report
        for seed in args.seed
        if (report := measured(args.track, args.arm, seed, args.samples, args.estimators))
    }
    if not found:
        raise SystemExit(
            f"first: python -m benchmarks.accuracy.runs {args.track} train teacher {args.arm}"
        )
    print(table(args.track, args.arm, found))
    if args.binary:
        binary = {
            seed: report
            for seed in args.seed
            if (report := measured(args.track, args.binary, seed, args.samples, []))
        }
        print("\n" + equal_events(args.track, args.binary, found, binary))


if __name__ == "__main__":
    main()
