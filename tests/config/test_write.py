"""What differs between two configs, written as a config file."""

import pytest
from mmengine.config import Config

from sakd_dense.config.write import as_code, difference, write_config


@pytest.mark.parametrize(
    ("base", "new"),
    [
        (dict(a=dict(b=1, c=2)), dict(a=dict(b=1, c=3))),
        (dict(a=dict(b=1, c=2)), dict(a=dict(c=2))),
        (dict(a=dict(b=dict(x=1), c=2)), dict(a=dict(b=dict(y=1), c=2))),
        (dict(a=[1, 2]), dict(a=dict(b=1))),
        (dict(a=None), dict(a=dict(b=1))),
        (dict(a=dict(b=1)), dict(a=None)),
        (dict(a=dict(b=1)), dict(a={})),
        (dict(a=[dict(b=1)]), dict(a=[dict(b=1), dict(c=(2, 3))])),
        (dict(a=dict(b=None)), dict(a=dict(b=dict(c=1)))),
        (dict(), dict(a={"not a name": 1, "class": (1,)})),
    ],
)
def test_the_difference_merges_to_the_new_config(base: dict, new: dict, tmp_path) -> None:
    (tmp_path / "base.py").write_text("".join(f"{k} = {v!r}\n" for k, v in base.items()))
    write_config(str(tmp_path / "base.py"), Config(new), tmp_path / "sub" / "new.py", "A note")
    assert Config.fromfile(tmp_path / "sub" / "new.py").to_dict() == new
    assert difference(base, base) == {}


def test_what_a_config_file_cannot_say_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="cannot drop the settings a of its base"):
        difference(dict(a=1, b=2), dict(b=2))
    with pytest.raises(ValueError, match="a config must end in .py"):
        write_config("mmdet::x.py", Config(dict(a=1)), tmp_path / "c.yaml")


@pytest.mark.parametrize(
    "value",
    [1, "a'b", None, (), [], {}, (1,), dict(type="A", b=[1, (2.5, True)]), {"a-b": {1: 2}}],
)
@pytest.mark.parametrize("width", [5, 100])
def test_code_reads_back(value, width: int) -> None:
    assert eval(as_code(value, width=width)) == value
