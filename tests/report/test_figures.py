"""Plots: files that are there whole, and what they show where something was not measured."""

from matplotlib.figure import Figure

from sakd_dense.report.figures import over_time_steps, pareto_front, save_readings
from sakd_dense.timesteps import SweepResult

ROWS = {
    1: {"firing_rate": 0.1},  # a detector that found nothing
    2: {"coco/bbox_mAP": 0.2, "firing_rate": 0.1},
    4: {"coco/bbox_mAP": 0.4, "firing_rate": 0.1, "ms_per_image": 3.0},
}


def test_a_sweep_is_a_png(tmp_path):
    for rows in (ROWS, {None: {"coco/bbox_mAP": 0.5}}, {**ROWS, None: {"coco/bbox_mAP": 0.5}}):
        save_readings(SweepResult({(t, None): row for t, row in rows.items()}), tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
        assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_curve_has_the_points_that_were_measured():
    axes = Figure().add_subplot()
    values = {t: row.get("coco/bbox_mAP") for t, row in ROWS.items()}
    over_time_steps(axes, {"mAP": {**values, None: 0.5}})
    curve, level = axes.lines
    assert (list(curve.get_xdata()), list(curve.get_ydata())) == ([2, 4], [0.2, 0.4])
    assert set(level.get_ydata()) == {0.5} and level.get_color() == curve.get_color()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4"]


def test_the_front_is_what_nothing_beats():
    points = [(1, 1.0, 0.3), (2, 2.0, 0.5), (4, 3.0, 0.45), (None, 7.0, 0.6), (8, 7.0, 0.2)]
    assert pareto_front(points) == [(1, 1.0, 0.3), (2, 2.0, 0.5), (None, 7.0, 0.6)]
