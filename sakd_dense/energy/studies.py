"""Energy of a checkpoint on images of its test set, compared with its ANN."""

from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_distributed
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.utils import track_iter_progress
from torch import nn

from ..backbones.time_steps import check_time_steps, find_spiking_backbone
from ..config.models import check_test_loop
from ..loading.load import build_for_test, load_for_test, runner_for_test
from ..runtime.errors import UserError
from .conventions import cost_of
from .counter import gates
from .estimators import estimate
from .readings import measure
from .report import EnergyReport


def study(
    cfg: Config,
    checkpoint: str | None = None,
    time_steps: Iterable[int] | None = None,
    samples: int = 8,
    cost: str = "fp32",
    e_mac: float | None = None,
    e_ac: float | None = None,
    teacher_checkpoint: str | None = None,
    estimators: Sequence[str] = (),
) -> EnergyReport:
    """Measures a spiking model at several T, and its ANN twin: operations, firing rates, energy.

    Each T takes a separate pass over the same images. The images run one at a time and are spread
    evenly over the test set.

    Args:
        cfg: config of the spiking model. The images come from its ``test_dataloader``.
        checkpoint: checkpoint of the spiking model, loaded strictly and safely; None: the config's
            ``load_from``.
        time_steps: values of T; None: the model's own T.
        samples: number of images.
        cost: name of the costs of an operation, see :func:`sakd_dense.energy.conventions.cost_of`.
        e_mac: pJ per MAC; replaces that of ``cost``.
        e_ac: pJ per AC; replaces that of ``cost``.
        teacher_checkpoint: checkpoint of the ANN twin; None: random weights.
        estimators: names from :data:`sakd_dense.energy.estimators.ESTIMATORS`.

    Raises:
        MissingFileError: a checkpoint does not exist.
        UserError: a checkpoint does not fit, ``time_steps``, ``samples``, a cost or an estimator
            is invalid, the model does not spike, the config has no test set, or the run is
            distributed.

    Example:
        >>> from mmengine.config import Config
        >>> from sakd_dense import study
        >>> cfg = Config.fromfile("configs/retinanet_sew18_sakd_bccd.py")  # doctest: +SKIP
        >>> print(study(cfg, "SNN.pth", (1, 4), samples=8).summary())  # doctest: +SKIP
    """
    costs = cost_of(cost, e_mac, e_ac)
    if samples < 1:
        raise UserError(f"samples={samples}: must be at least 1")
    check_test_loop(cfg)
    runner, checkpoint = runner_for_test(cfg, checkpoint)
    if is_distributed():
        raise UserError("energy is measured by one process: leave the launcher out")
    load_for_test(runner.model, checkpoint)
    model = runner.model.eval()
    backbone = find_spiking_backbone(model)
    steps = check_time_steps([backbone.time_steps] if time_steps is None else time_steps)
    batches = _images(runner, samples)
    readings = {}
    for t in steps:
        print_log(f"T={t}, {len(batches)} images", logger="current")
        readings[t] = measure(model, track_iter_progress(batches), t)
        readings[t].estimates = estimate(model, batches, t, costs, estimators)
    device = next(model.parameters()).device
    twin = build_for_test(runner.cfg, teacher_checkpoint, ann=True, device=device)
    name = next(n for n, m in model.named_modules() if m is backbone)
    first = next(f"{name}.{n}" for n, m in backbone.named_modules() if isinstance(m, nn.Conv2d))
    longest = readings[max(steps)].layers
    teacher = measure(twin, batches)
    teacher.estimates = estimate(twin, batches, None, costs, estimators)
    return EnergyReport(
        readings=readings,
        teacher=teacher,
        e_mac=costs.e_mac_pj,
        e_ac=costs.e_ac_pj,
        e_mac_int8=cost_of("int8").e_mac_pj,
        images=len(batches),
        first_layer=longest[first].operations.count_mac if first in longest else 0.0,
        trained_teacher=teacher_checkpoint is not None,
        repeated_images=getattr(backbone, "repeats_images", False),
        gates=gates(model),
        config=str(cfg.filename or ""),
        checkpoint=checkpoint,
    )


def _images(runner: Runner, samples: int) -> list[Any]:
    """Returns batches of one image each."""
    loader = runner.test_loop.dataloader
    images = len(loader.dataset)
    count = min(samples, images)
    return [loader.collate_fn([loader.dataset[i * images // count]]) for i in range(count)]
