"""What a teacher sees of event frames."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sakd_dense.distill.frames import frames_for, stacks_frames, summed_over_frames
from sakd_dense.transfer.weights import Checkpoint


class Model(nn.Module):
    """A backbone of one convolution, and a preprocessor that says what becomes of time."""

    def __init__(self, channels: int, time: str | None = None) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1, bias=False))
        self.data_preprocessor = nn.Module()
        if time is not None:
            self.data_preprocessor.time = time


def test_the_mean_or_all_frames():
    frames = torch.rand(3, 5, 2, 8, 8)  # [T, B, C, H, W]
    for time in (None, "mean"):
        torch.testing.assert_close(frames_for(Model(2, time), frames), frames.mean(0))
    stacked = frames_for(Model(6, "channels"), frames)
    assert stacked.shape == (5, 6, 8, 8)
    torch.testing.assert_close(stacked[1, 2:4], frames[1, 1])  # image 1, frame 1
    images = torch.rand(5, 3, 8, 8)
    for model in (Model(3), Model(6, "channels")):
        assert frames_for(model, images) is images


def test_another_number_of_frames_is_said():
    with pytest.raises(ValueError, match="takes 8 channels, but 3 frames of 2 channels are 6"):
        frames_for(Model(8, "channels"), torch.rand(3, 1, 2, 8, 8))


def test_weights_are_summed_over_frames():
    """A student that sees T equal frames then computes at each what the teacher computes."""
    teacher, student = Model(6, "channels"), Model(2)
    assert stacks_frames(teacher) and not stacks_frames(student)
    checkpoint = Checkpoint("t", dict(teacher.state_dict()))
    fitted = summed_over_frames(checkpoint, student)
    student.load_state_dict(fitted.state)
    frame = torch.rand(1, 2, 8, 8)
    seen = frames_for(teacher, frame.expand(3, 1, 2, 8, 8))
    torch.testing.assert_close(student.backbone(frame), teacher.backbone(seen))
    assert checkpoint.state["backbone.0.weight"].shape[1] == 6  # the source stays as it is
    torch.testing.assert_close(
        F.conv2d(frame, fitted.state["backbone.0.weight"], padding=1), student.backbone(frame)
    )


def test_what_does_not_fit_is_left_to_level_1():
    checkpoint = Checkpoint("t", {"backbone.0.weight": torch.rand(4, 5, 3, 3)})
    assert summed_over_frames(checkpoint, Model(2)).state == checkpoint.state
