"""Tests of one checkpoint at several T and D, for neurons that fire integers up to D.

For each D, one pass gives every T, as in :func:`.sweeps.sweep`. Another D changes the output of the
first layer of neurons, and with it the input of all later layers, so each D needs its own pass.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from mmengine.config import Config

from ..backbones.time_steps import spiking_backbones
from ..config.models import check_test_loop
from ..loading.load import load_for_test, runner_for_test
from ..neurons.counts import check_counts
from ..neurons.layer import at_counts
from ..runtime.records import Record
from .sweeps import sweep
from .table import table


@dataclass
class CountGrid(Record):
    """Metrics of one model at every T and D.

    Attributes:
        rows: for each (T, D), the values that :class:`SweepResult` has for each T.
        images: number of evaluated images.

    Example:
        >>> from sakd_dense.timesteps import CountGrid
        >>> rows = {(1, 2): {"mIoU": 40.0}, (1, 4): {"mIoU": 45.5}}
        >>> print(CountGrid(rows=rows, images=8).table())
        T x D   mIoU
          1x2  40.00
          1x4  45.50
    """

    description: ClassVar[str] = "a grid that tools/test.py --counts --out wrote"

    rows: dict[tuple[int, int], dict[str, float]]
    images: int = 0

    def table(self) -> str:
        """Returns an aligned table: T x D, the metrics, the firing rate and ms per image."""
        return table({f"{t}x{d}": row for (t, d), row in self.rows.items()}, "T x D")

    def notes(self) -> str:
        """Returns notes on how the rows were measured."""
        counts = len({d for _, d in self.rows})
        return (
            f"{len(self.rows)} readings from {counts} passes per batch: one pass for each D gives "
            "every T. A row has T x D slots; the firing rate is spikes per neuron and slot."
        )

    def to_content(self) -> dict[str, Any]:
        """Returns the fields as a dict for JSON, with the rows as a list.

        Returns:
            ``rows``, a list of dicts with ``T``, ``D`` and ``values`` (a dict of the metrics,
            ``firing_rate`` and ``ms_per_image``); ``images``; and the fields of every record:
            ``config``, ``checkpoint``, ``command``, ``versions`` and ``date``. The file also
            contains ``notes``.
        """
        rows = [dict(T=t, D=d, values=row) for (t, d), row in self.rows.items()]
        return {**super().to_content(), "rows": rows}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """Creates the result from the output of :meth:`to_content`; removes ``rows`` from it."""
        rows = {(row["T"], row["D"]): row["values"] for row in content.pop("rows")}
        return cls(rows=rows, **content)


def grid(
    cfg: Config,
    checkpoint: str | None,
    counts: Iterable[int],
    time_steps: Iterable[int] | None = None,
    timed_batches: int = 4,
    fuse: bool = False,
) -> CountGrid:
    """Tests a model at several D and T.

    Args:
        cfg: config of the model and its test set.
        checkpoint: path of the checkpoint, loaded strictly and safely. None uses the config's
            ``load_from``.
        counts: the values of D, in the order of the rows.
        time_steps: as in :func:`sweep`.
        timed_batches: as in :func:`sweep`.
        fuse: as in :func:`sweep`.

    Returns:
        The metrics, firing rates and times at every T and D.

    Raises:
        MissingFileError: the checkpoint does not exist.
        UserError: as :func:`sweep`; also if the model's neurons do not fire integers or if a D is
            not valid.

    Example:
        >>> from sakd_dense.config import load_config
        >>> from sakd_dense.timesteps import grid
        >>> cfg = load_config("sakd_dense::fcn_spiking18_sakd_camvid_1x4.py")
        >>> print(grid(cfg, "SNN.pth", counts=(2, 4)).table())  # doctest: +SKIP
    """
    levels = check_counts(counts)
    check_test_loop(cfg)
    runner, checkpoint = runner_for_test(cfg, checkpoint)
    load_for_test(runner.model, checkpoint)
    if fuse:
        for backbone in spiking_backbones(runner.model).values():
            backbone.fuse()
    rows: dict[tuple[int, int], dict[str, float]] = {}
    images = 0
    for d in levels:
        with at_counts(runner.model, d):
            result = sweep(runner, None, time_steps, timed_batches, name=f"D{d}")
        rows |= {(t, d): row for t, row in result.rows.items() if t is not None}
        images = result.images
    return CountGrid(
        rows=rows, images=images, config=str(cfg.filename or ""), checkpoint=checkpoint
    )


__all__ = ["CountGrid", "grid"]
