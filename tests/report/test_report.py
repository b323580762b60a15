"""tools/report.py on runs of a detector, a segmentor and a classifier, seen in a real browser."""

import base64
import functools
import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from sakd_dense.config.models import with_preprocessor
from sakd_dense.config.twins import ann_of
from sakd_dense.energy import EnergyReport
from sakd_dense.report import open_run
from sakd_dense.report.figures import front
from sakd_dense.timesteps import SweepResult
from tests.helpers.scenes import build, write_checkpoint
from tests.helpers.tooling import tool
from tests.test_road import load, train

main = tool("report")
pytestmark = pytest.mark.slow  # each task's run is trained and measured once

TASKS = ("retinanet_sew18_sakd_digits", "fcn_sew18_sakd_digits", "sew18_sakd_digits")
METRICS = ("coco/bbox_mAP", "mIoU", "accuracy/top1")
PICTURES = 2


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@functools.cache
def finished(task: str, root: Path) -> Path:
    """The folder of a run of one epoch, taught by random weights."""
    cfg = load(task, root)
    twin = build(
        {**ann_of(with_preprocessor(cfg)), "type": f"{cfg.default_scope}.{cfg.model.type}"}
    )
    for name, value in twin.named_parameters():  # a head that sees something everywhere
        if not name.startswith("backbone."):
            value.data += 0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(0))
        if name.endswith("retina_cls.bias"):
            value.data.zero_()
    hook = next(h for h in cfg.custom_hooks if h.type == "SAKDHook")
    hook.teacher.checkpoint = write_checkpoint(twin, root / f"{task}-teacher.pth")
    cfg.default_hooks.logger.interval = 1
    cfg.test_dataloader.dataset.pop("indices", None)
    cfg.command = "python tools/train.py the <config>"
    train(cfg)
    return Path(cfg.work_dir)


@functools.cache
def reported(task: str, root: Path) -> Path:
    folder = finished(task, root)
    main([str(folder), "--time-steps", "1", "2", "--samples", "1", "--pictures", str(PICTURES)])
    return folder / "report.html"


@pytest.mark.parametrize("task,metric", list(zip(TASKS, METRICS, strict=True)))
def test_everything_is_in_one_file(task, metric, root):
    page = reported(task, root)
    text = page.read_text()
    assert not re.search(
        r"""(src|href)\s*=\s*["'](?!data:|#)|url\((?!['"]?#)|@import|<script""", text
    )
    assert text.count("<svg") == 5  # accuracy, two fronts, rates, losses
    pictures = re.findall(r'alt="([^"]+)" src="data:image/jpeg;base64,([^"]+)"', text)
    names = ["ground truth", "ANN teacher", "SNN, T = 1", "SNN, T = 2"]
    assert [name for name, _ in pictures] == PICTURES * names
    assert all(base64.b64decode(jpeg).startswith(b"\xff\xd8") for _, jpeg in pictures)
    assert f"the spiking model has {metric}" in text and "its ANN teacher has" in text
    for word in ("loss_sakd_feat", "mJ an image, strict", "mJ an image, spike-count", "SEWResNet"):
        assert word in text
    assert "python tools/train.py the &lt;config&gt;" in text
    assert "spikingjelly" in text or "torch" in text
    # What was measured is kept: the second report measures nothing.
    sweep = SweepResult.from_json(page.parent / "sweep.json")
    energy = EnergyReport.from_json(page.parent / "energy.json")
    assert list(sweep.rows) == list(energy.readings) == [1, 2]
    before = (page.parent / "energy.json").stat().st_mtime_ns
    main([str(page.parent), "--pictures", "0", "--out", str(root / "again.html")])
    assert (page.parent / "energy.json").stat().st_mtime_ns == before
    assert "Samples" not in (root / "again.html").read_text()


def chromium():
    """A headless Chromium by its driver, as wide as a phone or as a desk."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"):
        options.add_argument(flag)
    options.add_argument("--disable-background-networking")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


@pytest.mark.skipif(
    shutil.which("chromedriver") is None,
    reason="wants Chromium and its driver (Debian: chromium, chromium-driver)",
)
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("task", TASKS)
def test_a_browser_shows_it(task, width, root):
    page = reported(task, root)
    driver = chromium()
    try:
        size = dict(width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(page.as_uri())
        assert driver.title.endswith("SAKD report")
        assert driver.get_log("browser") == []
        # Nothing is wider than the page; tables and logs scroll within themselves.
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        sizes = driver.execute_script(
            "return [...document.images].map(i => [i.naturalWidth, i.clientWidth])"
        )
        assert len(sizes) == PICTURES * 4 and all(n > 0 and c > 30 for n, c in sizes)
        figures = driver.execute_script(
            "return [...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect())"
        )
        assert len(figures) == 5
        assert all(200 < f["width"] <= width and f["height"] > 100 for f in figures)
    finally:
        driver.quit()


def test_runs_are_compared(root):
    folder = reported(TASKS[0], root).parent
    other = root / "another"
    shutil.copytree(folder, other)
    out = root / "both.html"
    main([str(folder), "--compare", str(other), "--out", str(out), "--pictures", "0"])
    text = out.read_text()
    assert text.count(f"{TASKS[0]}, another") >= 4  # legends, and what it is compared with


def test_the_front_is_what_nothing_beats():
    found = [(1, 1.0, 0.3), (2, 2.0, 0.5), (4, 3.0, 0.45), (None, 7.0, 0.6), (8, 7.0, 0.2)]
    assert front(found) == [(1, 1.0, 0.3), (2, 2.0, 0.5), (None, 7.0, 0.6)]


def test_a_run_that_was_moved_and_lost_its_teacher(root):
    folder = finished(TASKS[0], root)
    moved = root / "moved"
    shutil.copytree(folder, moved)
    shutil.rmtree(moved / "report", ignore_errors=True)
    (moved / "last_checkpoint").write_text("/nowhere/epoch_1.pth")
    (config,) = moved.glob("*.py")
    cfg = Config.fromfile(config)
    cfg.custom_hooks[0].teacher.checkpoint = "gone.pth"
    cfg.dump(config)
    run = open_run(moved)
    assert run.checkpoint == str(moved / "epoch_1.pth") and run.teacher is None


@pytest.mark.parametrize(
    "change,says",
    [
        (lambda f: shutil.rmtree(f), "does not exist"),
        (lambda f: [p.unlink() for p in f.glob("*.py")], "holds no config"),
        (lambda f: (f / "last_checkpoint").write_text("/nowhere/x.pth"), "holds no checkpoint"),
        (lambda f: (f / "sweep.json").write_text("{}"), "sweep.json is not a sweep"),
    ],
)
def test_what_is_missing_is_named(root, tmp_path, change, says):
    folder = tmp_path / "run"
    shutil.copytree(finished(TASKS[0], root), folder)
    change(folder)
    with pytest.raises(SystemExit, match=says):
        main([str(folder)])
