"""SAKDHook for neurons that fire integers: level 1 calibrated, several D taught."""

import pytest
import torch
from mmengine.hooks import Hook

from sakd_dense.distill.prefixes import sample_count
from sakd_dense.neurons.counts import NILIFNode
from sakd_dense.runtime import UserError
from tests.helpers.watched_runs import train, weights

COUNTS = dict(time_steps=1, neuron=dict(type="NILIFNode", D=4))


class Counts(Hook):
    """The D of every neuron in each iteration, and behind it."""

    def __init__(self):
        self.inside, self.behind = [], []

    @staticmethod
    def _read(runner):
        return {m.D for m in runner.model.modules() if isinstance(m, NILIFNode)}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.inside.append(self._read(runner))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.behind.append(self._read(runner))


def thresholds(runner):
    return torch.cat([m.threshold for m in runner.model.modules() if isinstance(m, NILIFNode)])


@pytest.mark.parametrize("kind", ["SEWResNet", "SpikingResNet"])
def test_a_run_starts_calibrated(make_runner, kind):
    runner = make_runner(backbone=dict(COUNTS, type=kind))
    logs = train(runner).logs
    assert all(torch.tensor(v).isfinite() for log in logs for v in log.values())
    assert (thresholds(runner) != 2).all()


@pytest.mark.parametrize(
    "hook", [dict(calibrate=0), dict(transfer=False), dict(transfer="head", prefixes=None)]
)
def test_without_level_1_of_the_backbone_thresholds_stay(make_runner, hook):
    runner = make_runner(hook, COUNTS)
    train(runner)
    assert (thresholds(runner) == 2).all()


def test_a_resumed_run_keeps_its_thresholds(make_runner):
    whole = make_runner(backbone=COUNTS, work="a")
    train(whole)
    half = make_runner(backbone=COUNTS, work="b", train_cfg=dict(by_epoch=True, max_epochs=1))
    train(half)
    resumed = make_runner(backbone=COUNTS, work="b", resume=True)
    train(resumed)
    assert torch.equal(thresholds(resumed), thresholds(half))
    for key, value in weights(whole).items():
        torch.testing.assert_close(weights(resumed)[key], value, msg=key)


def test_calibrating_draws_no_random_number_of_the_run(make_runner):
    """Of the same seed, with thresholds calibrated or not: the same images in the same order."""
    seen = []
    for calibrate in (0, 10):
        watch = train(make_runner(dict(calibrate=calibrate), COUNTS))
        seen.append([{k: v for k, v in log.items() if "time" not in k} for log in watch.logs])
        state = torch.get_rng_state()
        seen.append(state)
    assert torch.equal(seen[1], seen[3])


def test_every_count_is_taught_and_the_configs_restored(make_runner):
    watch = Counts()
    runner = make_runner(dict(counts=(1, 2, 4)), COUNTS)
    runner.register_hook(watch, priority="LOWEST")
    train(runner)
    want = [{sample_count((1, 2, 4), 3, i)} for i in range(4)]
    assert watch.inside == want and len({frozenset(d) for d in want}) > 1
    assert watch.behind == [{4}] * 4


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (dict(counts=()), "counts is empty"),
        (dict(counts=(0, 2)), "D=0"),
        (dict(counts=(2, 2)), "D=2 is given more than once"),
        (dict(calibrate=-1), "calibrate=-1"),
        (dict(calibrate=True), "calibrate=True"),
    ],
)
def test_bad_arguments_are_named(make_runner, hook, message):
    with pytest.raises(UserError, match=message):
        make_runner(hook, COUNTS)


def test_counts_need_neurons_that_fire_integers(make_runner):
    with pytest.raises(UserError, match="has no neuron that fires integers"):
        make_runner(dict(counts=(1, 2))).train()
