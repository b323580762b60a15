"""Base of the responses, one subclass for each kind of model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from ...runtime.errors import UserError
from ..schedule import Weight
from ..taps import Recorder


class Response(ABC):
    """Compares the final responses of student and teacher.

    ``terms`` names the terms that a kind knows, each with its default weight; a weight is a
    number, a schedule (:class:`sakd_dense.distill.schedule.Weight`) or 0 to switch it off.

    Example:
        >>> from sakd_dense.distill.responses import DenseHeadResponse
        >>> response = DenseHeadResponse(box=0)  # the term of boxes is off
        >>> response.weights["cls"].off, response.weights["box"].off
        (False, True)
    """

    terms: ClassVar[Mapping[str, float]] = {}

    def __init__(self, **weights: Any) -> None:
        unknown = sorted(set(weights) - set(self.terms))
        if unknown:
            raise UserError(
                f"responses: {', '.join(unknown)} is not a term of {type(self).__name__}; its "
                f"terms are {', '.join(self.terms)}"
            )
        self.weights = {
            name: Weight(weights.get(name, default), f"responses: {name}")
            for name, default in self.terms.items()
        }

    @classmethod
    @abstractmethod
    def fits(cls, model: nn.Module) -> bool:
        """Whether ``model`` is of this kind."""

    @abstractmethod
    def taps(self, model: nn.Module) -> list[Recorder]:
        """Fresh recorders of what makes up the response in a training forward of ``model``."""

    def gather(self, calls: list[list[Any]], model: nn.Module) -> Any:
        """The response, from the calls of each of ``taps`` in one training forward.

        Here: the output of the only call of the only tap.
        """
        ((_, output),) = self.once(calls)
        return output

    @staticmethod
    def once(calls: list[list[Any]]) -> list[Any]:
        """The one call of each module.

        Raises:
            RuntimeError: a module ran another number of times.
        """
        for module_calls in calls:
            if len(module_calls) != 1:
                raise RuntimeError(
                    f"SAKDHook: the student's head ran {len(module_calls)} times in one training "
                    "forward, but level 2 needs exactly one run. Switch the responses off: "
                    "responses=None"
                )
        return [module_calls[0] for module_calls in calls]

    @abstractmethod
    def run(
        self,
        model: nn.Module,
        features: tuple[Tensor, ...],
        reference: Any = None,
        samples: Any = None,
    ) -> Any:
        """The response of ``model``'s own neck and head to the backbone features ``features``.

        Args:
            model: the teacher, or the student at a prefix.
            features: the stages of its backbone, ``[B, C, H, W]`` each.
            reference: the student's response at T, for what both must run on alike (its RoIs).
            samples: the batch's data samples, for heads that ask for an image's size or, while
                training, for its labels.
        """

    @abstractmethod
    def compare(
        self, student: Any, teacher: Any, model: nn.Module, samples: Any = None
    ) -> dict[str, Tensor]:
        """A scalar for each of ``terms`` that ``model`` has, float32, zero when both are equal.

        Args:
            student: what :meth:`gather`, or at a prefix :meth:`run`, gives.
            teacher: what :meth:`run` gives.
            model: the student, for what its heads are.
            samples: the batch's data samples (what they mark as to be ignored is left out).

        Returns:
            The terms by name, those of ``terms`` that ``model`` has. A classifier has ``cls``, a
            segmentor ``decode`` and ``aux``, a dense head ``cls``, ``box``, ``quality`` and
            ``mask``, a head of queries ``cls``, ``box`` and ``mask``, a two-stage detector
            ``rpn_cls``, ``rpn_box``, ``rpn_quality``, ``cls``, ``box``, ``mask`` and ``seg``.
            :class:`~sakd_dense.distill.SAKDHook` adds them to the loss dict, weighted, as
            ``loss_sakd_cls`` and so on.
        """


def neck(model: nn.Module, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """``features`` through the neck, where there is one."""
    return model.neck(features) if getattr(model, "neck", None) is not None else features
