"""tools/report.py on runs of every task, seen in a real browser."""

import base64
import functools
import re
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope

from sakd_dense.config.teacher import teacher_of
from sakd_dense.energy import EnergyReport
from sakd_dense.report import open_run
from sakd_dense.runtime.files import folder_for_test
from sakd_dense.timesteps import SweepResult
from tests.helpers.finished_runs import finish, random_weights
from tests.helpers.scenes import detection_config, retinanet, write_pure_python, write_scenes
from tests.helpers.tooling import tool
from tests.test_road import load, train

main = tool("report")
pytestmark = pytest.mark.slow  # each task's run is trained and measured once

#: The metric, and the T to read.
TASKS = {
    "retinanet_sew18_sakd_digits": ("coco/bbox_mAP", (1, 2)),
    "fcn_sew18_sakd_digits": ("mIoU", (1, 2)),
    "sew18_sakd_digits": ("accuracy/top1", (1, 2)),
    "sew18_sakd_digit-events": ("accuracy/top1", (1, 8)),
    "retinanet_sew18_sakd_digit-events": ("coco/bbox_mAP", (1, 8)),
}
DETECTOR = next(iter(TASKS))
PICTURES = 2


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@functools.cache
def finished(task: str, root: Path) -> Path:
    """The folder of a run of one epoch, taught by random weights."""
    cfg = load(task, root)
    init_default_scope(cfg.default_scope)
    teacher = random_weights(teacher_of(cfg), root / f"{task}-teacher.pth")
    cfg.custom_hooks[0].teacher.checkpoint = teacher
    cfg.default_hooks.logger.interval = 1
    cfg.test_dataloader.dataset.pop("indices", None)
    cfg.command = "python tools/train.py the <config>"
    train(cfg)
    return Path(cfg.work_dir)


@functools.cache
def reported(task: str, root: Path) -> Path:
    folder, steps = finished(task, root), map(str, TASKS[task][1])
    main([str(folder), "--time-steps", *steps, "--samples", "1", "--pictures", str(PICTURES)])
    return Path(folder_for_test(folder)) / "report.html"


def names_of_pictures(task):
    """Those of one sample."""
    names = ["ground truth", "teacher (ANN)", *(f"SNN, T = {t}" for t in TASKS[task][1])]
    if task == "retinanet_sew18_sakd_digit-events":  # a recording's time bins in a row below
        names += [f"bin {t} of 8" for t in range(1, 9)]
    return names


@pytest.mark.parametrize("task", TASKS)
def test_everything_is_in_one_file(task, root):
    page, (metric, steps) = reported(task, root), TASKS[task]
    text = page.read_text()
    assert not re.search(
        r"""(src|href)\s*=\s*["'](?!data:|#)|url\((?!['"]?#)|@import|<script""", text
    )
    assert text.count("<svg") == 5  # accuracy, two fronts, rates, losses
    pictures = re.findall(r'alt="([^"]+)" src="data:image/jpeg;base64,([^"]+)"', text)
    assert [name for name, _ in pictures] == PICTURES * names_of_pictures(task)
    assert all(base64.b64decode(jpeg).startswith(b"\xff\xd8") for _, jpeg in pictures)
    assert f"the spiking model has {metric}" in text and "its ANN teacher has" in text
    for word in (
        "loss_sakd_feat",
        "mJ per image, strict",
        "mJ per image, spike-count",
        "SEWResNet",
    ):
        assert word in text
    assert "python tools/train.py the &lt;config&gt;" in text
    assert "spikingjelly" in text or "torch" in text
    # What was measured is kept: the second report measures nothing.
    sweep = SweepResult.from_json(page.parent / "sweep.json")
    energy = EnergyReport.from_json(page.parent / "energy.json")
    assert list(sweep.at_counts(None)) == list(energy.readings) == [*steps]
    before = (page.parent / "energy.json").stat().st_mtime_ns
    main([str(finished(task, root)), "--pictures", "0", "--out", str(root / "again.html")])
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


@pytest.mark.nightly
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
        wanted = PICTURES * len(names_of_pictures(task))
        assert len(sizes) == wanted and all(n > 0 and c > 30 for n, c in sizes)
        figures = driver.execute_script(
            "return [...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect())"
        )
        assert len(figures) == 5
        assert all(200 < f["width"] <= width and f["height"] > 100 for f in figures)
    finally:
        driver.quit()


def copy_of(task: str, root: Path, to: Path) -> Path:
    """A copy of a reported run, with its measurements."""
    results = reported(task, root).parent
    shutil.copytree(finished(task, root), to)
    shutil.copytree(results, folder_for_test(to))
    return to


def test_runs_are_compared(root):
    folder, other = finished(DETECTOR, root), copy_of(DETECTOR, root, root / "another")
    out = root / "both.html"
    main([str(folder), "--compare", str(other), "--out", str(out), "--pictures", "0"])
    text = out.read_text()
    assert text.count(f"{DETECTOR}, another") >= 4  # legends, and what it is compared with


def test_a_time_step_without_metrics_leaves_a_dash(root, tmp_path):
    folder = copy_of(DETECTOR, root, tmp_path / "run")
    results = Path(folder_for_test(folder))
    sweep = SweepResult.from_json(results / "sweep.json")
    for t, says in ((1, "At T = 2 the spiking model has coco/bbox_mAP"), (2, None)):
        sweep.rows[t, None] = {"firing_rate": 0.25}  # a detector that finds nothing
        sweep.to_json(results / "sweep.json")
        if says is None:
            with pytest.raises(SystemExit, match="its test has no .* at any T"):
                main([str(folder), "--pictures", "0"])
        else:
            main([str(folder), "--pictures", "0"])
            text = (results / "report.html").read_text()
            assert says in text and text.count("<svg") == 5
            cells = re.search(r"<tr><td>1</td>(.*?)</tr>", text)[1]
            assert re.findall(r"<td>(.*?)</td>", cells) == ["-", "-", "-", "0.250", "-"]


def change_config(folder: Path, **changes) -> None:
    (config,) = folder.glob("*.py")
    cfg = Config.fromfile(config)
    cfg.update(changes)
    cfg.dump(config)


def test_a_run_that_was_moved_and_lost_its_teacher(root):
    folder = finished(DETECTOR, root)
    moved = root / "moved"
    shutil.copytree(folder, moved)
    shutil.rmtree(moved / "report", ignore_errors=True)
    (moved / "last_checkpoint").write_text("/nowhere/epoch_1.pth")
    change_config(moved, custom_hooks=[dict(type="SAKDHook", teacher=dict(checkpoint="gone.pth"))])
    run = open_run(moved)
    assert run.checkpoint == str(moved / "epoch_1.pth") and run.teacher is None


@pytest.mark.parametrize(
    "change,says",
    [
        (lambda f: shutil.rmtree(f), "does not exist"),
        (lambda f: [p.unlink() for p in f.glob("*.py")], "contains no config"),
        (lambda f: (f / "last_checkpoint").write_text("/nowhere/x.pth"), "contains no checkpoint"),
        (lambda f: (f / "sweep.json").write_text("{}"), "sweep.json is not a sweep"),
        (lambda f: change_config(f, test_dataloader=None), "test_dataloader is missing or None"),
        (lambda f: change_config(f, test_evaluator=None), "test_evaluator is missing or None"),
    ],
)
def test_what_is_missing_is_named(root, tmp_path, change, says):
    folder = tmp_path / "run"
    shutil.copytree(finished(DETECTOR, root), folder)
    change(folder)
    with pytest.raises(SystemExit, match=says):
        main([str(folder)])


def test_a_run_of_a_pure_python_config(tmp_path):
    write_scenes(tmp_path)
    hook = dict(type="SAKDHook", teacher=dict(checkpoint="set by finish"))
    cfg = detection_config(tmp_path, retinanet(), custom_hooks=[hook])
    run = finish(cfg, tmp_path / "run")
    write_pure_python(cfg, tmp_path / "pure.py")
    Config.fromfile(tmp_path / "pure.py").dump(run / "run.py")  # as a Runner does
    DefaultScope._instance_dict.clear()
    main([str(run), "--time-steps", "1", "2", "--samples", "1", "--pictures", "1"])
    titles = re.findall(r'alt="([^"]+)"', (tmp_path / "run-test/report.html").read_text())
    assert titles == ["ground truth", "teacher (ANN)", "SNN, T = 1", "SNN, T = 2"]
