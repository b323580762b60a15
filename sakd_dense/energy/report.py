"""Result of an energy study, to print, to save and to plot."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from ..firing.counter import Spikes
from ..runtime.records import Record, aligned
from .conventions import CONVENTIONS, e_mac_of_levels
from .counter import Operations
from .readings import Layer, Reading

HEADINGS = [
    "", "T x D", "firing rate", "silent", "spikes M",
    "SynOps G", "MACs G", "mJ strict",
    "SynOps G", "MACs G", "mJ spike-count",
]  # fmt: skip


@dataclass
class EnergyReport(Record):
    """Readings of one student at several T, and of its ANN teacher.

    Attributes:
        readings: :class:`Reading` by T, in the order of measurement.
        teacher: :class:`Reading` of the ANN twin.
        e_mac, e_ac: pJ per MAC and per AC; e_mac_int8: pJ per MAC of an ANN quantised to int8.
        images: number of measured images. The tables show values per image.
        first_layer: MACs per image of the convolution that reads the image.
        trained_teacher: whether trained weights were loaded into the twin. This matters if the
            operations depend on the detections, as in two-stage detectors.
        repeated_images: whether the layers before the first neurons run T times
            (:class:`~sakd_dense.backbones.UpstreamBackbone`).
        gates: names of the modules in spiking parts whose outputs multiply spikes by a number
            between 0 and 1 (squeeze and excitation).

    Example:
        >>> from sakd_dense.energy import EnergyReport, Layer, Operations, Reading
        >>> ann = Reading({"conv1": Layer(Operations(dense=1e9, strict_mac=1e9))}, images=8)
        >>> costs = dict(e_mac=4.6, e_ac=0.9, e_mac_int8=0.23)
        >>> report = EnergyReport(readings={4: ann}, teacher=ann, images=8, **costs)
        >>> f"{report.millijoule(report.teacher.total().operations, 'strict'):.1f}"
        '4.6'
    """

    description: ClassVar[str] = "an energy report that tools/energy.py --out wrote"

    readings: dict[int, Reading]
    teacher: Reading
    e_mac: float
    e_ac: float
    e_mac_int8: float
    images: int
    first_layer: float = 0.0
    trained_teacher: bool = False
    repeated_images: bool = False
    gates: list[str] = field(default_factory=list)

    def millijoule(self, operations: Operations, convention: str) -> float:
        """Returns the energy of ``operations`` in mJ at the costs of this report."""
        return operations.millijoule(convention, self.e_mac, self.e_ac)

    def summary(self) -> str:
        """Returns an aligned table of every part and the total at each T, and of the ANN."""
        lines = [HEADINGS]
        for t, reading in self.readings.items():
            for part in (*reading.parts(), None):
                lines.append(self._line(part or "total", self._slots(t), reading.total(part)))
        for part in (*self.teacher.parts(), None):
            lines.append(self._line(f"ANN {part or 'total'}", "", self.teacher.total(part)))
        for name, e_mac in self.quantised().items():
            macs = self.teacher.total().operations.dense
            cells = ["0", _giga(macs), f"{macs * e_mac * 1e-9:.3f}"]
            lines.append([f"ANN total, {name}", "", "", "", "", *cells, *cells])
        return aligned(lines, left=1)

    def quantised(self) -> dict[str, float]:
        """Returns the ANN's pJ per MAC in int8 and with D + 1 levels, if the neurons fire integers.

        At T = 1 the ANN with D + 1 levels computes the same as the student, with multipliers.

        Returns:
            The key ``int8`` and, for a student that fires integers, a key such as ``5 levels`` at
            D = 4.
        """
        found = {"int8": self.e_mac_int8}
        if self.most > 1:
            levels = self.most + 1
            found[f"{levels} levels"] = e_mac_of_levels(levels, self.e_mac_int8)
        return found

    @property
    def most(self) -> int:
        """D, the largest number of spikes that a neuron fires in a time step."""
        t, reading = next(iter(self.readings.items()))
        fired = [v.spikes for v in reading.layers.values() if v.spikes.neurons]
        return max((round(s.slots / t) for s in fired), default=1)

    def _slots(self, time_steps: int) -> str:
        return str(time_steps) if self.most == 1 else f"{time_steps}x{self.most}"

    def layers(self, time_steps: int) -> str:
        """Returns an aligned table of every layer at one T."""
        layers = self.readings[time_steps].layers
        slots = self._slots(time_steps)
        lines = [self._line(name, slots, layer) for name, layer in layers.items()]
        return aligned([HEADINGS, *lines], left=1)

    def _line(self, name: str, t: str, layer: Layer) -> list[str]:
        ops, spikes, cells = layer.operations, layer.spikes, [name, t]
        cells += [f"{v:.3f}" if spikes.neurons else "" for v in (spikes.rate, spikes.silence)]
        cells.append(f"{spikes.spikes / self.images * 1e-6:.4f}" if spikes.neurons else "")
        for convention in CONVENTIONS:
            acs, macs = (getattr(ops, f"{convention}_{kind}") for kind in ("ac", "mac"))
            cells += [_giga(acs), _giga(macs), f"{self.millijoule(ops, convention):.3f}"]
        return cells if ops.dense else [*cells[:5], *[""] * 6]

    def estimates(self) -> str:
        """Returns a table for each SpikingJelly estimator: mJ at each T and of the ANN."""
        readings = {str(t): r for t, r in self.readings.items()} | {"ANN": self.teacher}
        tables = []
        for name, parts in next(iter(self.readings.values())).estimates.items():
            lines = [[name, *parts, "total mJ"]]
            for t, reading in readings.items():
                estimate = reading.estimates.get(name)
                if estimate is not None:  # some estimators support spikes only, not the ANN
                    values = [*estimate.values(), sum(estimate.values())]
                    lines.append([t, *(f"{mj:.3f}" for mj in values)])
            tables.append(aligned(lines, left=1))
        return "\n\n".join(tables)

    def notes(self) -> str:
        """Returns the notes on how operations were counted."""
        longest = max(self.readings)
        repeated = (longest - 1) * self.first_layer
        notes = [
            f"Values are per image, the mean of {self.images}. A MAC takes {self.e_mac} pJ, an AC "
            f"{self.e_ac} pJ (45 nm, Horowitz 2014), an int8 MAC {self.e_mac_int8} pJ.",
            "strict: a layer with binary input counts as accumulates, any other layer as MACs "
            "(the rule of SpikingJelly and syops-counter). spike-count: an integer input n counts "
            "as n accumulates.",
            "SynOps are the accumulates that spikes cause. silent: the share of neurons without a "
            "spike in all T steps. firing rate: spikes per neuron and slot; a neuron has T x D "
            "slots.",
            "Counted are convolutions, linear layers and attention. BatchNorm is folded. Biases, "
            "sums, pooling, RoI sampling and the neurons' updates are not counted.",
            "The first convolution reads counts of events, which differ at each time step: it "
            "accumulates."
            if not self.first_layer
            else "The first convolution reads the image at each time step in this backbone: its "
            "MACs count T times."
            if self.repeated_images
            else "The first convolution reads the same image at each time step, so its MACs count "
            f"once. Counting them T times adds {repeated * 1e-9:.3f} G MACs "
            f"({repeated * self.e_mac * 1e-9:.3f} mJ) at T={longest}.",
            "A neck or head without neurons reads firing rates: its MACs count once, at any T.",
        ]
        if self.most > 1:
            notes.append(
                f"D={self.most}: at T=1 the student computes the same as an ANN quantised to "
                f"{self.most + 1} levels. The row of that ANN assumes weights of 8 bits and a "
                "product whose energy is proportional to the bits of the activation, also in the "
                "first layer."
            )
        if self.gates:
            notes.append(
                f"{len(self.gates)} gates multiply spikes by a number; a layer that reads such a "
                f"product counts MACs: {', '.join(self.gates)}"
            )
        if not self.trained_teacher:
            notes.append(
                "The ANN has random weights. Where its operations depend on its detections "
                "(two-stage detectors), pass --teacher-checkpoint."
            )
        return "\n".join(notes)

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """Inverts :meth:`to_content`."""
        readings = {int(t): _reading(r) for t, r in content.pop("readings").items()}
        return cls(readings=readings, teacher=_reading(content.pop("teacher")), **content)


def _reading(content: dict[str, Any]) -> Reading:
    layers = {
        name: Layer(Operations(**layer["operations"]), Spikes(*layer["spikes"].values()))
        for name, layer in content.pop("layers").items()
    }
    return Reading(layers, **content)


def _giga(count: float) -> str:
    return f"{count * 1e-9:.4f}" if count else "0"


__all__ = ["EnergyReport"]
