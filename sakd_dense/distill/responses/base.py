"""What level 2 asks of a kind of head."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from ..schedule import Weight


class Response(ABC):
    """Compares the final responses of student and teacher.

    ``terms`` names the weights a kind knows; each is a number, a schedule
    (:class:`sakd_dense.distill.schedule.Weight`) or 0 to switch it off.
    """

    terms: tuple[str, ...] = ()

    def __init__(self, **weights: Any) -> None:
        unknown = sorted(set(weights) - set(self.terms))
        if unknown:
            raise ValueError(
                f"responses: {', '.join(unknown)} is no term of {type(self).__name__}; "
                f"it has {', '.join(self.terms)}"
            )
        self.weights = {
            name: Weight(weights.get(name, 1.0), f"responses: {name}") for name in self.terms
        }

    @classmethod
    @abstractmethod
    def fits(cls, model: nn.Module) -> bool:
        """Whether ``model``'s head is of this kind."""

    @abstractmethod
    def module(self, model: nn.Module) -> nn.Module:
        """The module whose output is the response: its calls are tapped."""

    @abstractmethod
    def run(self, model: nn.Module, features: tuple[Tensor, ...]) -> Any:
        """The response of ``model``'s own neck and head to the backbone features ``features``."""

    @abstractmethod
    def labels(
        self, model: nn.Module, features: tuple[Tensor, ...], samples: Any
    ) -> dict[str, Any]:
        """The head's own losses, by the labels, on the backbone features ``features``."""

    @abstractmethod
    def compare(self, student: Any, teacher: Any, model: nn.Module) -> dict[str, Tensor]:
        """A scalar for each of ``terms``, float32, zero when student and teacher are equal."""


def neck(model: nn.Module, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """``features`` through the neck, where there is one."""
    return model.neck(features) if getattr(model, "neck", None) is not None else features
