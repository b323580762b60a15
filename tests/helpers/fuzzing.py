"""What is fuzzed: each case ends in a UserError that says something, or in success."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from mmengine.config import Config, ConfigDict
from mmengine.registry import HOOKS, MODELS

from sakd_dense.config import ann_of, to_sakd
from sakd_dense.datasets.digits.scenes import SceneParameters
from sakd_dense.distill.hook import SAKDHook
from sakd_dense.distill.prefixes import resolve_prefixes
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.terms import Terms
from sakd_dense.neurons.nodes import build_node
from sakd_dense.runtime.errors import UserError
from tests.helpers import fuzz_annotations, fuzz_files
from tests.helpers.fuzz_values import (
    NAMES,
    VALUES,
    WORDS,
    arguments,
    student,
    teacher,
    teacher_file,
)
from tests.helpers.scenes import retinanet


def hook(given: dict[str, Any]) -> None:
    """SAKDHook, and what it builds of its arguments before the first iteration."""
    given = {"teacher": dict(checkpoint=str(teacher_file())), **given}
    made = SAKDHook(**given)
    options = resolve_prefixes(made.options, student())
    responses = options.responses
    response = None if responses is None else find_response(student(), **responses)
    terms = Terms(student(), teacher(), options, response)
    terms.remove()


HOOK = arguments(
    teacher=[dict(checkpoint="teacher.pth", dtype="float16"), dict(checkpoint=3)],
    transfer=[True, "head"],
    calibrate=[0, 10],
    features=[None, dict(type="FeatureMSE", scale="channel", weight=2.0)],
    responses=[None, {}, dict(cls=1.0, box=0.5)],
    prefixes=["auto", "random", "image", dict(type="image", share=0.5), None],
    prefix_weight=[8.0, dict(start=1.0, stop=0.0, begin=0.5, end=1.0)],
    counts=[None, [1, 2]],
)
BACKBONE = arguments(
    depth=[18, 34, 50],
    in_channels=[3],
    stem_channels=[None, 4],
    base_channels=[4],
    num_stages=[4, 3],
    strides=[(1, 2, 2, 2)],
    dilations=[(1, 1, 1, 1)],
    out_indices=[(0, 1, 2, 3), (3,)],
    style=["pytorch", "caffe"],
    deep_stem=[True],
    avg_down=[True],
    frozen_stages=[-1, 1],
    norm_eval=[True],
    multi_grid=[None],
    contract_dilation=[True],
    groups=[1],
    base_width=[4],
    with_cp=[True],
    zero_init_residual=[False],
    drop_path_rate=[0.1],
    expansion=[None, 4],
    time_steps=[1, 2, 4],
    neuron=[None, "IFNode", dict(type="LIFNode", tau=2.0), dict(type="NILIFNode", D=4)],
    connect=[None, "ADD", "AND", "IAND"],
    output=["rate", "sequence"],
)
#: More than this is a network that nobody can hold, and no bad input.
LARGE = 64


def backbone(given: dict[str, Any]) -> None:
    sizes = [v for k in ("base_channels", "stem_channels", "in_channels") if (v := given.get(k))]
    if any(isinstance(v, int) and v > LARGE for v in sizes):
        return
    given = {"depth": 18, "base_channels": 4, **given}
    model = MODELS.build(dict(type="SEWResNet", **given))
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, given.get("in_channels", 3), 32, 32))


HOOKS_OF_OURS = st.one_of(
    *(
        st.tuples(st.just(kind), arguments(**usual))
        for kind, usual in dict(
            FiringRateHook=dict(interval=[1], low=[0.1], high=[0.9], begin=[0]),
            ReestimateBatchNormHook=dict(num_batches=[1]),
            FreedMemoryHook=dict(largest=[1]),
            FiniteLossHook=dict(overflows=[1]),
            BrokenImageHook=dict(share=[0.5]),
        ).items()
    )
)
LOSSES = st.one_of(
    st.tuples(st.just("FeaturePKD"), arguments(eps=[1e-3])),
    st.tuples(st.just("FeatureMSE"), arguments(eps=[1e-3], scale=["none", "channel"])),
    st.tuples(st.just("FeatureCWD"), arguments(tau=[1.0])),
)


def loss(case: tuple[str, dict[str, Any]]) -> None:
    made = MODELS.build(dict(type=case[0], **case[1]))
    made(torch.rand(1, 2, 3, 3), torch.rand(1, 2, 3, 3))


SCENES = arguments(
    size=[(96, 96)],
    counts=[(4, 2, 2)],
    digits=[(1, 2)],
    digit_size=[(18, 36)],
    overlap=[15],
    contrast=[60],
    seed=[0],
)


@st.composite
def configs(draw: Any) -> ConfigDict:
    """An ANN's config in which a value, somewhere, is another or missing."""
    cfg = dict(
        default_scope="mmdet",
        model=copy.deepcopy(ann_of(retinanet())),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        custom_hooks=[],
    )
    place = draw(
        st.sampled_from(["model", "model.backbone", "model.backbone.type", "default_scope"])
        | st.sampled_from(["model.backbone.depth", "custom_hooks", "model.neck", "model.type"])
        | st.sampled_from(["model.backbone.norm_eval", "custom_imports", "model.bbox_head"])
    )
    *outer, last = place.split(".")
    inner: Any = cfg
    for name in outer:
        inner = inner[name]
    if draw(st.booleans()):
        inner.pop(last, None)
    else:
        inner[last] = draw(VALUES)
    return cfg


def config(cfg: dict[str, Any]) -> None:
    to_sakd(Config(cfg), str(teacher_file()), 2)


def build_hook(case: tuple[str, dict[str, Any]]) -> None:
    HOOKS.build(dict(type=case[0], **case[1]))


def neuron(cfg: Any) -> None:
    node = build_node(cfg, 2, 3)
    with torch.no_grad():
        node(torch.rand(2, 1, 3, 2, 2))


NEURONS = st.one_of(
    st.sampled_from(["LIFNode", "IFNode", "NILIFNode", "ParametricLIFNode"]).flatmap(
        lambda kind: arguments(
            tau=[2.0],
            v_threshold=[1.0],
            v_reset=[None, 0.0],
            detach_reset=[True],
            decay_input=[False],
            surrogate_function=["ATan", dict(type="Sigmoid", alpha=4.0)],
            D=[4],
        ).map(lambda given: dict(type=kind, **given))
    ),
    st.dictionaries(NAMES, VALUES, max_size=3),
    WORDS,
)

#: Name -> what is drawn, and what is done with it.
CASES: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {
    "hook": (HOOK, hook),
    "hooks": (HOOKS_OF_OURS, build_hook),
    "backbone": (BACKBONE, backbone),
    "neuron": (NEURONS, neuron),
    "loss": (LOSSES, loss),
    "scenes": (SCENES, lambda given: SceneParameters(**given) and None),
    "checkpoint": (fuzz_files.CHECKPOINTS, fuzz_files.checkpoint),
    "weights": (fuzz_files.damaged(fuzz_files.teacher_bytes), fuzz_files.whole_means_equal),
    "events": (fuzz_files.EVENTS, fuzz_files.events),
    "annotations": (fuzz_annotations.ANNOTATIONS, fuzz_annotations.annotations),
    "coco": (fuzz_annotations.COCO_FILES, fuzz_annotations.coco),
    "record": (fuzz_files.JSON, fuzz_files.record),
    "config": (configs(), config),
}


def tried(name: str, drawn: Any) -> bool:
    """Whether case ``name`` ended in success; False: in a UserError that says something.

    Raises:
        Exception: it ended in anything else.
    """
    try:
        CASES[name][1](copy.deepcopy(drawn))
    except UserError as error:
        assert len(str(error)) > 15, error
        return False
    return True
