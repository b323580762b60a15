"""What is fuzzed: each case ends in a UserError that says something, or in success."""

import copy
import io
import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from mmengine.config import ConfigDict
from mmengine.registry import HOOKS, MODELS, TRANSFORMS, init_default_scope

from sakd_dense.commands.guards import newest_whole_checkpoint
from sakd_dense.config import ann_of, to_sakd
from sakd_dense.datasets.digits.scenes import SceneParameters
from sakd_dense.datasets.voc import BCCDDataset
from sakd_dense.distill.hook import SAKDHook
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.teacher import build_teacher
from sakd_dense.distill.terms import Terms
from sakd_dense.neurons.layer import build_node
from sakd_dense.runtime.errors import UserError
from sakd_dense.timesteps import SweepResult
from sakd_dense.transfer import read_checkpoint, transfer, verify_checkpoint
from sakd_dense.transfer.load import load_for_test
from sakd_dense.transfer.read import load_safely
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


def hook(given: dict[str, Any]) -> None:
    """SAKDHook, and what it builds of its arguments before the first iteration."""
    given = {"teacher": dict(checkpoint=str(teacher_file())), **given}
    made = SAKDHook(**given)
    response = None if made.responses is None else find_response(student(), **made.responses)
    terms = Terms(
        student(),
        teacher(),
        made.features,
        response,
        made.prefix_weight,
        made.prefix_targets,
        made.teacher_dtype,
        None,
        made.judge,
    )
    terms.remove()


HOOK = arguments(
    teacher=[dict(checkpoint="teacher.pth", dtype="float16"), dict(checkpoint=3)],
    transfer=[True, "head"],
    calibrate=[0, 10],
    features=[None, dict(type="FeatureMSE", scale="channel", weight=2.0)],
    responses=[None, {}, dict(cls=1.0, box=0.5)],
    prefixes=["random", "all", "image", 1, None],
    prefix_weight=[8.0, dict(start=1.0, stop=0.0, begin=0.5, end=1.0)],
    prefix_targets=["teacher", "labels"],
    counts=[None, [1, 2]],
    prefix_share=[0.5],
    judge=[0.0, 1.0],
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
    compress_spikes=[True],
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
def damaged(draw: Any, whole: Callable[[], bytes]) -> bytes:
    """A file cut short, with other bytes in it, or of nothing but noise."""
    content = whole()
    kind = draw(st.sampled_from(["cut", "flip", "noise", "insert", "whole"]))
    if kind == "cut":
        return content[: len(content) * draw(st.integers(0, 9)) // 10]
    if kind == "noise":
        return draw(st.binary(max_size=200))
    if kind == "insert":
        place = draw(st.integers(0, len(content)))
        return content[:place] + draw(st.binary(min_size=1, max_size=20)) + content[place:]
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 5)) if kind == "flip" else 0):
        # Mostly where a file says what it is: its ends, and the pickle at its beginning.
        place = draw(
            st.one_of(
                st.integers(0, min(3000, len(content) - 1)),
                st.integers(max(0, len(content) - 4000), len(content) - 1),
                st.integers(0, len(content) - 1),
            )
        )
        changed[place] ^= draw(st.integers(1, 255))
    return bytes(changed)


PROOF = "fuzz-ran-code"


class Code:
    """A pickle that would run something."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {folder() / PROOF}",)


CONTENTS = st.recursive(
    st.one_of(SCALARS, st.just(torch.ones(2)), st.just(Code()), st.just(np.float64(1))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["state_dict", "meta", "model", "ema_state_dict", "optimizer"]),
                st.sampled_from(["message_hub", "backbone.conv1.weight", "module.a", "epoch"]),
                st.sampled_from([1, None, "iter"]),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)


def _saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


CHECKPOINTS = st.one_of(
    damaged(teacher_bytes),
    CONTENTS.map(_saved),
    CONTENTS.map(lambda c: pickle.dumps(c)),
    st.integers(1, 9).map(lambda width: _saved(_of_width(width))),
)


def _of_width(width: int) -> dict[str, Any]:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, width, 3), torch.nn.BatchNorm2d(width))
    return dict(state_dict=model.state_dict(), meta=dict(epoch=1, iter=1), message_hub={})


def checkpoint(content: bytes) -> None:
    """Every reader of checkpoints; a damaged one gives an error, or what was in it."""
    run = folder() / "run"
    run.mkdir(exist_ok=True)
    file = run / "epoch_1.pth"
    file.write_bytes(content)
    try:
        for read in (
            lambda: verify_checkpoint(file),
            lambda: read_checkpoint(file, weights="ema"),
            lambda: transfer(student(), file),
            lambda: load_for_test(student(), file),
            lambda: newest_whole_checkpoint(str(run)),
        ):
            try:
                read()
            except UserError as error:
                assert str(file) in str(error) or str(run) in str(error), error
    finally:
        assert not (folder() / PROOF).exists()
        assert [f.name for f in run.iterdir()] == ["epoch_1.pth"]


def whole_means_equal(content: bytes) -> None:
    """A file that is read without an error holds the very weights that were saved."""
    file = folder() / "damaged.pth"
    file.write_bytes(content)
    try:
        read = load_safely(file)
    except UserError:
        return
    saved = torch.load(teacher_file(), weights_only=True)["state_dict"]
    if not isinstance(read, dict) or set(read.get("state_dict", ())) != set(saved):
        return
    for name, value in saved.items():
        assert torch.equal(read["state_dict"][name], value), name


@cache
def event_file() -> bytes:
    file = io.BytesIO()
    np.savez(file, frames=np.ones((2, 2, 4, 4), np.float32))
    return file.getvalue()


def _array(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _zip(names: list[str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name in names:
            opened.writestr(name, b"\x93NUMPY")
    return file.getvalue()


EVENTS = st.one_of(
    damaged(event_file),
    st.sampled_from(["<U3", "float64", "O", "bool", "complex64", "M8[D]", "i4"]).map(
        lambda kind: _array(np.zeros((1, 2, 3, 3), kind))
    ),
    st.lists(st.integers(0, 3), max_size=6).map(lambda shape: _array(np.ones(shape))),
    st.just(_array(np.array([Code()], dtype=object))),
    st.lists(st.sampled_from(["frames", "frames.npy", "a"]), max_size=2, unique=True).map(_zip),
)


def events(content: bytes) -> None:
    for ending in (".npz", ".npy"):
        file = folder() / f"events{ending}"
        file.write_bytes(content)
        try:
            TRANSFORMS.build(dict(type="LoadEventFrames"))(dict(img_path=str(file)))
        except UserError as error:
            assert str(file) in str(error)
        assert not (folder() / PROOF).exists()


XML = b"""<?xml version="1.0"?><annotation><size><width>20</width><height>16</height></size>
<object><name>RBC</name><difficult>0</difficult>
<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"""
TEXTS = st.one_of(WORDS, NUMBERS.map(str), st.text(max_size=8))
ANNOTATIONS = st.one_of(
    damaged(lambda: XML),
    st.tuples(st.sampled_from([b"RBC", b"20", b"16", b">2<", b">9<", b">0<"]), TEXTS).map(
        lambda pair: XML.replace(pair[0], pair[1].encode("utf-8", "ignore"))
    ),
    st.just(b"<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]>" + XML),
)


@cache
def voc() -> Path:
    from PIL import Image

    root = folder() / "voc"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    Image.new("RGB", (20, 16)).save(root / "JPEGImages" / "a.jpg")
    (root / "ImageSets" / "Main" / "train.txt").write_text("a\n")
    return root


def annotations(content: bytes) -> None:
    (voc() / "Annotations" / "a.xml").write_bytes(content)
    try:
        data = BCCDDataset(data_root=str(voc()), ann_file="ImageSets/Main/train.txt", pipeline=[])
        list(map(data.get_data_info, range(len(data))))
    except UserError as error:
        assert "a.xml" in str(error), error


JSON = st.one_of(
    st.text(max_size=20).map(str.encode),
    st.binary(max_size=20),
    VALUES.map(lambda v: repr(v).replace("'", '"').encode("utf-8", "replace")),
    st.just(b'{"notes": 1, "rows": {}}'),
    st.just(b'{"notes": "", "rows": [1]}'),
    st.just(b"[" * 100_000),
)


def record(content: bytes) -> None:
    file = folder() / "sweep.json"
    file.write_bytes(content)
    try:
        SweepResult.from_json(file)
    except UserError as error:
        assert str(file) in str(error)


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
    from mmengine.config import Config

    to_sakd(Config(cfg), str(teacher_file()), draw_steps(cfg))


def draw_steps(cfg: dict[str, Any]) -> Any:
    return 2


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
    "checkpoint": (CHECKPOINTS, checkpoint),
    "weights": (damaged(teacher_bytes), whole_means_equal),
    "events": (EVENTS, events),
    "annotations": (ANNOTATIONS, annotations),
    "record": (JSON, record),
    "config": (configs(), config),
}


def tried(name: str, drawn: Any) -> bool:
    """Whether case ``name`` ended in success; False: in a UserError that says something.

    Raises:
        Exception: it ended in anything else.
    """
    try:
        CASES[name][1](copy.deepcopy(drawn) if name not in ("checkpoint",) else drawn)
    except UserError as error:
        assert len(str(error)) > 15, error
        return False
    return True
