"""Annotation files that are fuzzed: VOC's XML and COCO's JSON."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from sakd_dense.datasets.voc import BCCDDataset
from sakd_dense.guards.data_errors import data_and_disk_named
from sakd_dense.runtime.errors import UserError
from tests.helpers.fuzz_files import damaged
from tests.helpers.fuzz_values import NUMBERS, VALUES, WORDS, folder

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


COCO = dict(
    images=[dict(id=n, file_name="a.png", width=20, height=16) for n in (1, 2)],
    categories=[dict(id=1, name="disc"), dict(id=2, name="square")],
    annotations=[
        dict(id=1, image_id=1, category_id=1, bbox=[2, 3, 9, 8], area=72, iscrowd=0,
             segmentation=[[2, 3, 11, 3, 11, 11, 2, 11]]),
        dict(id=2, image_id=1, category_id=2, bbox=[1, 1, 4, 4], area=16, iscrowd=1,
             segmentation=dict(size=[16, 20], counts=[17, 4, 299])),
    ],
)  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path] if path else []
    for key, v in inner if isinstance(value, dict | list) else ():
        found += _places(v, (*path, key)) if isinstance(v, dict | list) else [(*path, key)]
    return found


@st.composite
def _changed(draw: Any) -> bytes:
    """COCO's format with a value that is missing, or that is another one."""
    content = json.loads(json.dumps(COCO))
    *path, key = draw(st.sampled_from(_places(COCO)))
    holder = content
    for step in path:
        holder = holder[step]
    kind = draw(st.sampled_from(["drop", "replace", "twice"]))
    if kind == "drop":
        del holder[key]
    elif kind == "twice" and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = draw(VALUES)
    return json.dumps(content).encode()


COCO_FILES = st.one_of(
    damaged(lambda: json.dumps(COCO).encode()), _changed(), st.just(b"[" * 100_000)
)


def coco(content: bytes) -> None:
    """What upstream's data set reads, or an error that names the file."""
    root = folder() / "coco"
    root.mkdir(exist_ok=True)
    Image.new("RGB", (20, 16)).save(root / "a.png")
    file = root / "instances.json"
    file.write_bytes(content)
    init_default_scope("mmdet")
    data = dict(
        type="CocoDataset",
        data_root=str(root),
        ann_file=file.name,
        data_prefix=dict(img=""),
        metainfo=dict(classes=("disc", "square")),
        pipeline=[
            dict(type="LoadImageFromFile"),
            # No masks: pycocotools walks along an outline pixel by pixel, in C; it runs out of
            # memory or crashes on coordinates that are huge or no numbers.
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="PackDetInputs", meta_keys=()),
        ],
    )
    try:
        with data_and_disk_named(Config(dict(train_dataloader=dict(dataset=data)))):
            read = DATASETS.build(data)
            for number in range(len(read)):
                read[number]
    except UserError as error:
        assert str(file) in str(error) or "a.png" not in str(error), error
        raise
