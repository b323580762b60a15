"""One checkpoint at several T and several D, for neurons that fire integers up to D.

At one D every T is read from one pass, as in :func:`.sweeps.sweep`. Another D changes what the
first layer of neurons fires, and with it all that follows: it is another forward.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from mmengine.config import Config

from ..backbones.time_steps import spiking_backbones
from ..config.models import check_test_loop
from ..neurons.counts import at_counts, check_counts
from ..runtime.records import Record
from ..transfer.load import load_for_test, runner_for_test
from .sweeps import sweep
from .table import table


@dataclass
class CountGrid(Record):
    """Metrics at every T and D of one model.

    Attributes:
        rows: by (T, D), what :class:`SweepResult` has for each T.
        images: how many were evaluated.

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
        """T x D, slots, metrics, firing rate and ms an image, aligned."""
        return table({f"{t}x{d}": row for (t, d), row in self.rows.items()}, "T x D")

    def notes(self) -> str:
        """Returns notes on how the rows were measured."""
        counts = len({d for _, d in self.rows})
        return (
            f"{len(self.rows)} readings from {counts} passes per batch: one pass for each D gives "
            "every T. A row has T x D slots; the firing rate is spikes per neuron and slot."
        )

    def to_content(self) -> dict[str, Any]:
        """The fields as JSON knows them: the rows are a list.

        Returns:
            ``rows``, a list of dicts with ``T``, ``D`` and ``values`` (by name, the metrics,
            ``firing_rate`` and ``ms_per_image``); ``images``; and those of every record:
            ``config``, ``checkpoint``, ``command``, ``versions`` and ``date``. The file has
            ``notes`` as well.
        """
        rows = [dict(T=t, D=d, values=row) for (t, d), row in self.rows.items()]
        return {**super().to_content(), "rows": rows}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_content`."""
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
    """The test metrics of a model at several D and T; the arguments are those of :func:`sweep`.

    Args:
        cfg: of the model and its test set.
        checkpoint: loaded strictly and safely.
        counts: the D to read, the order of the rows.
        time_steps: as in :func:`sweep`.
        timed_batches: as in :func:`sweep`.
        fuse: as in :func:`sweep`.

    Raises:
        MissingFileError: for a checkpoint that is not there.
        UserError: as :func:`sweep`; for a model whose neurons fire no integers, or a bad D.

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
