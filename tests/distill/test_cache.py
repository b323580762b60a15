"""A teacher's features on disk: the same losses, found again by content, never those of others."""

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from sakd_dense.distill.cache import FeatureCache
from tests.helpers.watched_runs import train


class Teacher(nn.Module):
    """Counts the images that its backbone computes."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)).eval()
        self.computed = 0

    @torch.no_grad()
    def __call__(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.computed += len(inputs)
        first = self.backbone(inputs)
        return first, first.mean((2, 3), keepdim=True)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_only_new_images_are_computed(tmp_path: Path, layout):
    teacher = Teacher()
    cache = FeatureCache(tmp_path, teacher)
    images = torch.randn(5, 3, 8, 8).contiguous(memory_format=layout)
    cache(images[:2], teacher)
    cache(images[1:4], teacher)  # one is known
    found = FeatureCache(tmp_path, teacher)(images, teacher)  # another run: the last is new
    assert teacher.computed == 2 + 2 + 1
    for a, b in zip(found, teacher(images), strict=True):
        torch.testing.assert_close(a, b)
    assert (cache.seen, cache.found) == (5, 1)


def test_the_key_is_the_content_the_shape_the_precision_and_the_teacher(tmp_path: Path):
    teacher, image = Teacher(), torch.zeros(1, 3, 4, 16)
    cache = FeatureCache(tmp_path, teacher)
    cache(image, teacher)
    cache(image.view(1, 3, 8, 8), teacher)
    cache(image + 1e-6, teacher)
    with torch.autocast("cpu", torch.bfloat16):
        assert cache(image, teacher)[0].dtype == torch.bfloat16
    other = Teacher(seed=1)
    FeatureCache(tmp_path, other)(image, other)
    assert (teacher.computed, other.computed, cache.found) == (4, 1, 0)
    assert cache(image, teacher)[0].dtype == torch.float32 and cache.found == 1


def test_a_broken_file_is_written_again_and_a_full_folder_grows_no_more(tmp_path: Path):
    teacher, images = Teacher(), torch.randn(3, 3, 8, 8)
    cache = FeatureCache(tmp_path, teacher)
    cache(images[:1], teacher)
    cache.limit = cache.size + 1
    wanted = cache(images, teacher)
    files = sorted(tmp_path.rglob("*.pt"))
    assert len(files) == 2 and "which is full" in cache.summary()
    for content in (b"", files[0].read_bytes()[:100], b"no file of PyTorch's"):
        files[0].write_bytes(content)
        again = FeatureCache(tmp_path, teacher)
        torch.testing.assert_close(again(images[:2], teacher), tuple(w[:2] for w in wanted))
        assert again.found == 1
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file'\): this folder"):
        FeatureCache(tmp_path / "file", teacher)
    assert not list(tmp_path.rglob("_unfinished*"))


@pytest.mark.parametrize("prefixes", ["image", "random"])
def test_a_run_computes_each_image_once_and_learns_the_same(make_runner, tmp_path, prefixes):
    class Counted(Hook):
        def before_train(self, runner):
            hook = next(h for h in runner.hooks if type(h).__name__ == "SAKDHook")
            self.cache = hook.cache

    plain = train(make_runner(dict(prefixes=prefixes))).logs
    teacher = dict(checkpoint=str(tmp_path / "teacher.pth"), cache=str(tmp_path / "cache"))
    for found in (4, 8):  # two epochs of four images; the second run finds all
        runner, counted = make_runner(dict(prefixes=prefixes, teacher=teacher)), Counted()
        runner.register_hook(counted, priority="VERY_LOW")
        logs = train(runner).logs
        assert (counted.cache.found, counted.cache.seen) == (found, 8)
        for a, b in zip(plain, logs, strict=True):
            assert a == pytest.approx(b, rel=1e-4)
