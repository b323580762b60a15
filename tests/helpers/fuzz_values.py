"""What fuzzing draws from: values of every type, and the tiny models that read them."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from mmengine.registry import MODELS, init_default_scope

from sakd_dense.config import ann_of
from sakd_dense.distill.teacher import build_teacher
from tests.helpers.scenes import build, retinanet

NUMBERS = st.one_of(
    st.integers(-3, 9), st.floats(), st.sampled_from([0, 1, 2**70, -1, 0.5, 1e-9, 1e30])
)
WORDS = st.sampled_from(
    ["", "x", "ATan", "LIFNode", "IFNode", "NILIFNode", "ADD", "rate", "sequence", "random", "all"]
    + ["image", "both", "head", "FeaturePKD", "FeatureMSE", "none", "cls", "box", "1", "\0", "é"]
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS)
NAMES = st.sampled_from(
    ["type", "weight", "start", "stop", "begin", "end", "cls", "box", "tau", "alpha", "D", "T"]
    + ["v_threshold", "surrogate_function", "checkpoint", "config", "dtype", "weights", "adaptor"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=5,
)


def arguments(**usual: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Some of these arguments with usual values, and mostly one with any other."""
    some = st.fixed_dictionaries({}, optional={n: st.sampled_from(v) for n, v in usual.items()})
    other = st.dictionaries(st.sampled_from(sorted(usual)), VALUES, min_size=0, max_size=1)
    return st.tuples(some, other).map(lambda pair: pair[0] | pair[1])


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


@cache
def teacher_file() -> Path:
    """A checkpoint of a run of the tiny ANN."""
    init_default_scope("mmdet")
    model = MODELS.build(ann_of(retinanet()))
    file = folder() / "teacher.pth"
    torch.save(
        dict(state_dict=model.state_dict(), meta=dict(epoch=1, iter=2), message_hub={}), file
    )
    return file


@cache
def teacher_bytes() -> bytes:
    return teacher_file().read_bytes()


@cache
def student() -> Any:
    return build(retinanet(time_steps=2)).train()


@cache
def teacher() -> Any:
    return build_teacher(ann_of(retinanet()), str(teacher_file()), student())
