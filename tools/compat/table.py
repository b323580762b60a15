"""Outcomes of a run over configs as Markdown: by family, with the reason of each failure."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from .checks import CHECKS, OK, UNDEFINED

#: Titles of the checks in the table.
TITLES = dict(
    build="build",
    train="training step",
    predict="prediction",
    load="strict loading",
    features="SAKD, features",
    responses="SAKD, responses",
)
INTRODUCTION = """\
# {title}

`make compat` (`tools/compat.py`) writes this page; do not edit it.

The command takes every config of the installed packages {which}. It builds the model, trains one
step, predicts one image, loads its checkpoint strictly, and trains one SAKD step with a randomly
initialised teacher that is derived from the config. Images and weights are random, and detectors
use few proposals. As level 1 does, the command first measures the statistics of BatchNorm in the
spiking backbone. It repeats a failed check on images of 3.5 and 1.75 times the size. The
architecture is upstream's. Configs with equal models count separately and run once. For trackers
the detector is run, for mmpretrain the classifiers. A config that fails is also run with its
upstream backbone. The shares in the last row refer to configs that run with it.

"""
WHICH = dict(
    resnet="with a backbone of the ResNet family and\nputs `SEW` before its type",
    other=(
        "with a convolutional backbone that is\nnone of the ResNets in [compatibility.md]"
        "(compatibility.md), and puts `Spiking` before its type"
    ),
)
PAGE_TITLES = dict(resnet="Compatibility", other="Compatibility of other backbones")
Row = dict[str, Any]


def works_unswapped(row: Row) -> bool:
    """Returns whether the ANN passes.

    The ANN runs only if the swapped model failed; otherwise it counts as passing.
    """
    return all(outcome == OK for outcome in row.get("unswapped", {}).values())


def share(rows: Iterable[Row], name: str) -> tuple[int, int]:
    """Returns how many of the configs that work unswapped pass ``name``, and their number."""
    passed = total = 0
    for row in rows:
        if works_unswapped(row):
            total += len(row["configs"])
            passed += len(row["configs"]) * (row["swapped"].get(name) == OK)
    return passed, total


def markdown(result: dict[str, Any], backbones: str = "resnet") -> str:
    """Returns ``docs/compatibility.md``, or ``docs/compatibility_other.md`` for ``'other'``."""
    rows = sorted(result["cases"].values(), key=lambda r: (r["package"], r["family"], r["name"]))
    known = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    how = ", ".join(f"{name}={value}" for name, value in result["options"].items())
    lines = [
        *INTRODUCTION.format(title=PAGE_TITLES[backbones], which=WHICH[backbones]).splitlines(),
        f"{known}; {how}.",
        "",
    ]
    packages = {r["package"]: [x for x in rows if x["package"] == r["package"]] for r in rows}
    lines += [*_table(packages), ""]
    for package, of_package in packages.items():
        lines += [f"## {package}", "", *_table(_families(of_package)), "", *_reasons(of_package)]
    return "\n".join(lines).rstrip() + "\n"


def _families(rows: list[Row]) -> dict[str, list[Row]]:
    families: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        families[row["family"]].append(row)
    return families


def _table(groups: dict[str, list[Row]]) -> list[str]:
    """Returns a line for each group, one for all groups, and the shares of all."""
    head = ["", "configs", "run upstream", *(TITLES[c] for c in CHECKS)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += [_line(name, rows) for name, rows in groups.items()]
    every = [row for rows in groups.values() for row in rows]
    return [*lines, _line("**all**", every), _percent(every)]


def _line(name: str, rows: list[Row]) -> str:
    configs = sum(len(r["configs"]) for r in rows)
    cells = [name, configs, share(rows, "build")[1], *(share(rows, c)[0] for c in CHECKS)]
    return "| " + " | ".join(map(str, cells)) + " |"


def _percent(rows: list[Row]) -> str:
    cells = ["of those that run upstream", "", ""]
    for name in CHECKS:
        passed, total = share(rows, name)
        cells.append(f"{100 * passed / total:.1f} %" if total else "")
    return "| " + " | ".join(cells) + " |"


def _reasons(rows: list[Row]) -> list[str]:
    broken = [r for r in rows if not works_unswapped(r)]
    failed = [r for r in rows if works_unswapped(r)]
    lines = []
    if broken:
        lines += [
            "These also fail with the upstream backbone:",
            "",
            *_grouped(broken, "unswapped"),
            "",
        ]
    swapped = _grouped(failed, "swapped")
    if swapped:
        lines += ["What fails, or is not defined, with it:", "", *swapped, ""]
    return lines


def _grouped(rows: list[Row], side: str) -> list[str]:
    """Returns list items, each with a check, a reason and the configs that it applies to."""
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        for name, reason in row[side].items():
            if reason != OK:
                reasons[name, reason].extend(row["configs"])
                if not reason.startswith(UNDEFINED):
                    break
    return [
        f"- {TITLES[name]}: `{reason}` ({len(configs)}): {_short(configs)}"
        for (name, reason), configs in sorted(reasons.items(), key=lambda kv: -len(kv[1]))
    ]


def _short(configs: list[str]) -> str:
    shown = ", ".join(f"`{c}`" for c in configs[:3])
    return shown + (", ..." if len(configs) > 3 else "")
