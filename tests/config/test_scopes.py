"""Configs that cannot be read: the error names the file, what is wrong with it and the way out."""

from pathlib import Path

import pytest

from sakd_dense.config import load_config
from sakd_dense.runtime import UserError

OLD = """
model = dict(type='RetinaNet', backbone=dict(type='ResNet', depth=50))
data = dict(samples_per_gpu=2, train=dict(type='CocoDataset'), test=dict(type='CocoDataset'))
optimizer = dict(type='SGD', lr=0.01)
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OLD, r"written for mmdet 2\.x.*migrat"),
        ("model = dict(", "SyntaxError"),
        ("_base_ = 'nowhere.py'", r"nowhere\.py"),
        ("model = 1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_config_that_cannot_be_read(tmp_path: Path, text: str, message: str):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(UserError, match=rf"(?s)mine\.py.*{message}"):
        load_config(str(file))


@pytest.mark.parametrize("name", ["mmdet::retinanet/none.py", "sakd_dense::none.py", "none.py"])
def test_a_config_that_is_not_there(name: str):
    with pytest.raises(FileNotFoundError, match=r"none\.py") as error:
        load_config(name)
    assert isinstance(error.value, UserError)
