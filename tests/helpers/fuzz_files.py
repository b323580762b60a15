"""Files that are fuzzed: checkpoints, event frames, results."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from mmengine.registry import TRANSFORMS

from sakd_dense.guards.run import newest_whole_checkpoint
from sakd_dense.loading.load import load_for_test
from sakd_dense.runtime.errors import UserError
from sakd_dense.timesteps import SweepResult
from sakd_dense.transfer import read_checkpoint, transfer, verify_checkpoint
from sakd_dense.transfer.read import load_safely
from tests.helpers.fuzz_values import (
    SCALARS,
    VALUES,
    folder,
    student,
    teacher_bytes,
    teacher_file,
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
