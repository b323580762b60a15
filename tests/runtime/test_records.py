"""Results with their provenance: kept as JSON, and read again."""

import json
from pathlib import Path

import pytest

from sakd_dense.energy import EnergyReport
from sakd_dense.runtime.errors import MissingFileError
from sakd_dense.timesteps import SweepResult

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
READINGS = [f for f in RESULTS.glob("*/*-seed*.json") if not f.name.startswith("energy-")]
ENERGIES = list(RESULTS.glob("*/energy-*.json"))


@pytest.mark.parametrize("kind", [SweepResult, EnergyReport])
def test_a_file_that_is_not_there_is_named(tmp_path, kind):
    with pytest.raises(MissingFileError, match=r"nowhere\.json does not exist"):
        kind.from_json(tmp_path / "nowhere.json")


def test_sweeps_that_the_benchmarks_kept_are_read_and_written(tmp_path):
    assert READINGS
    for file in READINGS:
        content, result = json.loads(file.read_text()), SweepResult.from_json(file)
        assert [(row["T"], row.get("D")) for row in content["rows"]] == list(result.rows)
        assert (content["versions"], content["date"]) == (result.versions, result.date)
        for row in content["rows"]:
            assert row["metrics"].items() <= result.rows[row["T"], row.get("D")].items()
        result.to_json(tmp_path / "again.json")
        assert SweepResult.from_json(tmp_path / "again.json") == result


def test_energies_that_the_benchmarks_kept_are_read_and_written(tmp_path):
    assert ENERGIES
    for file in ENERGIES:
        content, report = json.loads(file.read_text()), EnergyReport.from_json(file)
        report.to_json(tmp_path / "again.json")
        assert EnergyReport.from_json(tmp_path / "again.json") == report
        for t, reading in content["readings"].items():
            for name, layer in reading["layers"].items():
                spikes, neuron_steps = list(layer["spikes"].values())[:2]
                if neuron_steps:
                    assert report.readings[int(t)].layers[name].spikes.rate == spikes / neuron_steps
