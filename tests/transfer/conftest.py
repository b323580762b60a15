"""Checkpoints to transfer from."""

from pathlib import Path

import pytest

from tests.helpers.checkpoints import ann, save


@pytest.fixture
def ann_checkpoint(tmp_path: Path) -> str:
    """Of a whole detector, as MMEngine saves it."""
    return save(tmp_path / "ann.pth", ann().state_dict(), meta=dict(epoch=3))
