"""Checks of one model: build, one training step, one prediction, one SAKD step, loading."""

import copy
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from sakd_dense.backbones import SpikingBackbone
from sakd_dense.config.teacher import student_config
from sakd_dense.config.twins import ann_of, spiking_of
from sakd_dense.distill.arguments import LevelTwo
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.teacher import ready
from sakd_dense.distill.terms import Terms
from sakd_dense.distill.wrappers import on_loss, student_of
from sakd_dense.runtime.errors import UserError
from sakd_dense.transfer.batchnorm import reestimate

from .cases import Case, shortened
from .inputs import batch_for, scaled

#: Names of the checks. ``responses`` is an SAKD step with terms of responses and features,
#: ``features`` one with terms of features only.
CHECKS = ("build", "train", "predict", "load", "features", "responses")
OK = "ok"
#: Outcome for a head without a defined response. It is no error: SAKD then teaches features only.
UNDEFINED = "not defined"
_FEATURES = {"loss_sakd_feat", "loss_sakd_prefix_feat"}


class _CheckError(Exception):
    """A check that completed without the expected result."""


def check(
    case: Case,
    spiking: bool = True,
    size: int = 128,
    time_steps: int = 2,
    on_outcome: Callable[[str, str], None] = lambda name, outcome: None,
    factors: Sequence[float] = (1, 3.5, 1.75),
) -> dict[str, str]:
    """Runs the checks on one model and returns their outcomes.

    Args:
        case: the model of one or several configs.
        spiking: whether to make the backbone spiking (default). If False, upstream's ANN is
            checked, and the SAKD checks do not apply.
        size: height and width of the images in pixels.
        time_steps: number of time steps T.
        on_outcome: called after each check with its name and outcome, so that a crash loses no
            earlier outcome.
        factors: multiples of ``size`` to try in turn. If a check fails, all checks run again with
            the next factor, and the round that passes most checks counts. Some models need larger
            images: LRASPP pools 392 pixels, 900 queries need as many places, VGG's classifiers 224
            pixels. A model that this package refuses to build is not tried again.

    Returns:
        The outcomes of ``build``, ``train``, ``predict`` and ``load``, and for a spiking model
        those of ``responses`` and ``features``; if ``build`` fails, only its outcome. An outcome is
        ``OK``, the error, or for ``responses`` also ``UNDEFINED`` followed by the head.
    """
    best: dict[str, str] = {}
    for factor in factors:
        quiet = on_outcome if not best else lambda name, value: None
        outcomes = _check(case, spiking, int(factor * size), time_steps, quiet)
        best = outcomes if not best or _passed(outcomes) > _passed(best) else best
        refused = outcomes["build"].startswith(UserError.__name__)  # whatever the images
        if refused or _passed(best) == len(best):
            break
    for name, value in best.items():
        on_outcome(name, value)
    return best


def _passed(outcomes: dict[str, str]) -> int:
    return sum(value == OK or value.startswith(UNDEFINED) for value in outcomes.values())


def _check(
    case: Case, spiking: bool, size: int, time_steps: int, on_outcome: Callable[[str, str], None]
) -> dict[str, str]:
    torch.manual_seed(0)
    outcomes: dict[str, str] = {}
    model_cfg = ConfigDict(scaled(case.model or {}, size))
    scope = case.scope
    # A Runner reports its progress here; the warm-up of BoxInst reads it.
    MessageHub.get_current_instance().update_info_dict(dict(iter=0, max_iters=1, epoch=0))
    state: dict[str, Any] = {}

    def build() -> None:
        init_default_scope(scope)
        if spiking:
            state["cfg"] = spiking_of(model_cfg, time_steps, scope)
        else:
            state["cfg"] = model_cfg
        state["model"] = _build(state["cfg"])
        _fit_statistics(state["model"], size)

    def train() -> None:
        model = _in_mode(state["model"], training=True)
        losses = model(**_data(model, case, model_cfg, size, True), mode="loss")
        _check_step(model, losses, spiking)

    def predict() -> None:
        model = _in_mode(state["model"], training=False)
        with torch.no_grad():
            predictions = model(**_data(model, case, model_cfg, size, False), mode="predict")
        if predictions is None or len(predictions) == 0:
            raise _CheckError("no prediction")

    def load() -> None:
        file = io.BytesIO()
        torch.save(state["model"].state_dict(), file)
        file.seek(0)
        fresh = MODELS.build(copy.deepcopy(state["cfg"]))
        revert_sync_batchnorm(fresh)
        fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)

    def sakd(response: Any) -> None:
        model = _in_mode(state["model"], training=True)
        student = student_of(model)
        teacher = ready(_build(ann_of(student_config(state["cfg"]))), student)
        options = LevelTwo(prefixes="random", prefix_weight=1.0)
        terms = Terms(student, teacher, options, response)
        added: dict[str, Any] = {}

        def add_terms(inputs: Any, samples: Any) -> dict[str, Any]:
            added.update(terms(inputs, samples, prefix=1))
            return added

        unhook = on_loss(model, add_terms)
        try:
            losses = model(**_data(model, case, model_cfg, size, True), mode="loss")
        finally:
            unhook()
            terms.clear()
            terms.remove()
        if response is not None and not set(added) - _FEATURES:
            raise _CheckError(f"of {sorted(response.terms)} none was taught")
        _check_step(model, losses, spiking)

    def responses() -> str:
        student = student_of(state["model"])
        response = find_response(student)
        if response is None:
            return f"{UNDEFINED}: {_head_of(student)}"
        sakd(response)
        return OK

    def features() -> None:
        if outcomes["responses"] != OK:  # else its step has taught features, too
            sakd(None)

    steps: dict[str, Callable[[], str | None]] = dict(
        build=build, train=train, predict=predict, load=load
    )
    if spiking:
        steps |= dict(responses=responses, features=features)
    with _silent():
        for name, step in steps.items():
            try:
                outcomes[name] = step() or OK
            except Exception as error:  # whatever upstream raises is the result
                outcomes[name] = shortened(error)
            on_outcome(name, outcomes[name])
            if name == "build" and outcomes[name] != OK:
                break
    return outcomes


def _build(cfg: Mapping[str, Any]) -> nn.Module:
    model = MODELS.build(copy.deepcopy(cfg))
    if hasattr(model, "init_weights"):
        model.init_weights()
    # SyncBN does not run on a CPU; MMEngine's Runner needs several processes for it as well.
    return revert_sync_batchnorm(model)


def _in_mode(model: nn.Module, training: bool) -> nn.Module:
    model.train(training)  # some of upstream's models return None here
    return model


def _fit_statistics(model: nn.Module, size: int) -> None:
    # Most of upstream's backbones load weights and freeze BatchNorm's statistics. With random
    # weights these are 0 and 1, at which only the first layer would ever spike.
    images = torch.randn(2, 3, size, size)
    for backbone in model.modules():
        if isinstance(backbone, SpikingBackbone):
            reestimate(backbone, [images], 1)


def _data(
    model: nn.Module, case: Case, cfg: dict[str, Any], size: int, training: bool
) -> dict[str, Any]:
    torch.manual_seed(1)
    return model.data_preprocessor(batch_for(cfg, case.scope, size, training), training)


def _check_step(model: nn.Module, losses: dict[str, Any], spiking: bool) -> None:
    total, _ = model.parse_losses(losses)
    if not total.isfinite():
        raise _CheckError(f"the loss is {total.item()}")
    model.zero_grad()
    total.backward()
    trained = [p for n, p in model.named_parameters() if "backbone" in n and p.requires_grad]
    grads = [p.grad for p in trained if p.grad is not None]
    if not all(g.isfinite().all() for g in grads):
        raise _CheckError("a gradient in the backbone is not finite")
    if spiking and trained and not any(g.any() for g in grads):  # linear probes freeze it
        raise _CheckError("no gradient in the backbone")


def _head_of(model: nn.Module) -> str:
    heads = [type(m).__name__ for n, m in model.named_children() if n.endswith("head")]
    return ", ".join(heads) or type(model).__name__


@contextmanager
def _silent() -> Iterator[None]:
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)
