"""The examples in docstrings, run as they are written."""

import doctest
import importlib
import logging
import pkgutil

import pytest
from mmengine.registry import MODELS

import sakd_dense
from sakd_dense.config import types
from sakd_dense.distill.responses import heads

MODULES = [
    m.name
    for m in pkgutil.walk_packages(sakd_dense.__path__, "sakd_dense.")
    if ".mim" not in m.name and not m.name.endswith("__main__")
]


def restore(known, before):
    known.clear()
    known.update(before)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    for place, table in (  # what an example declares is undone
        (heads, "_LAYOUTS"),
        (types, "BACKBONE_TWINS"),
        (types, "PART_TWINS"),
        (MODELS, "_module_dict"),
    ):
        known = getattr(place, table)
        before = dict(known)
        request.addfinalizer(lambda known=known, before=before: restore(known, before))
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)  # logs have dates
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", sorted(set(sakd_dense.__all__) - {"__version__"}))
def test_every_name_at_the_top_has_an_example(name):
    value = getattr(sakd_dense, name)
    value = value.transfer if name == "transfer" else value  # the package is callable
    assert ">>> from sakd_dense import" in value.__doc__
