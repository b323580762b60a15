"""One decision in a run whether its neurons run compiled, which checkpoints contain."""

from pathlib import Path

import pytest
from mmengine.runner import Runner

from sakd_dense.neurons import compile_hook, compile_neurons
from sakd_dense.neurons.forward_state import forward_states
from tests.helpers.runs import forget_runs
from tests.helpers.scenes import detection_config, retinanet, write_scenes


@pytest.fixture
def make_runner(tmp_path, monkeypatch):
    write_scenes(tmp_path / "data")
    # The decision is tested here, not the compiler.
    monkeypatch.setattr("sakd_dense.neurons.layer.Fallback.reason", "not compiled in this test")

    def make(**changes):
        forget_runs()
        hooks = dict(
            compile_neurons=dict(type="CompileNeuronsHook"),
            checkpoint=dict(type="CheckpointHook", interval=1),
        )
        cfg = detection_config(tmp_path / "data", retinanet(), default_hooks=hooks)
        cfg.work_dir = str(tmp_path / "run")
        cfg.merge_from_dict(changes)
        return Runner.from_cfg(cfg)

    return make


def compiled(runner):
    return {state.compiled for state in forward_states(runner.model)}


@pytest.mark.parametrize("cost", [1, 1e12])
def test_training_decides_by_its_length_and_a_resumed_run_agrees(make_runner, monkeypatch, cost):
    monkeypatch.setattr(compile_hook, "COST", cost)
    runner = make_runner()
    assert compiled(runner) == {False}
    runner.train()
    assert compiled(runner) == {cost == 1}
    # By another measure of the cost, the resumed run would decide otherwise.
    monkeypatch.setattr(compile_hook, "COST", 1e12 if cost == 1 else 1)
    resumed = make_runner(**{"resume": True, "train_cfg.max_epochs": runner.max_epochs + 1})
    resumed.train()
    assert resumed.iter > runner.iter
    assert compiled(resumed) == {cost == 1}


def test_a_test_decides_by_its_own_length(make_runner, monkeypatch):
    monkeypatch.setattr(compile_hook, "COST", 1)
    runner = make_runner(log_level="INFO")
    runner.test()
    assert compiled(runner) == {True}
    (log,) = Path(runner.log_dir).glob("*.log")
    assert "Neurons run compiled: 2 iterations save about" in log.read_text()


def test_by_hand(make_runner):
    runner = make_runner()
    compile_neurons(runner.model)
    assert compiled(runner) == {True}
    compile_neurons(runner.model, False)
    assert compiled(runner) == {False}
