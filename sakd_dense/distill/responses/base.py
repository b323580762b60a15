"""Base class of the responses, with one subclass for each kind of model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from ...runtime.errors import UserError
from ..schedule import Weight
from ..taps import Recorder


class Response(ABC):
    """Base class of the comparisons of final responses between student and teacher.

    ``terms`` maps the names of a kind's terms to their default weights. A weight is a number, a
    schedule (:class:`sakd_dense.distill.schedule.Weight`), or 0 to switch the term off.

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
        """Returns whether ``model`` is of this kind."""

    @abstractmethod
    def taps(self, model: nn.Module) -> list[Recorder]:
        """Returns new recorders of the calls that make up ``model``'s response in training."""

    def gather(self, calls: list[list[Any]], model: nn.Module) -> Any:
        """Builds the response from the calls of each of ``taps`` in one training forward.

        The base class returns the output of the only call of the only tap.
        """
        ((_, output),) = self.once(calls)
        return output

    @staticmethod
    def once(calls: list[list[Any]]) -> list[Any]:
        """Returns the single call of each module.

        Raises:
            RuntimeError: a module did not run exactly once.
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
        """Returns the response of ``model``'s own neck and head to the backbone's ``features``.

        Args:
            model: the teacher, or the student at a prefix.
            features: the stages of a backbone, ``[B, C, H, W]`` each.
            reference: the student's response at T, for inputs that both must share (its RoIs).
            samples: data samples of the batch, for heads that need an image's size or, while
                training, its labels.
        """

    @abstractmethod
    def compare(
        self, student: Any, teacher: Any, model: nn.Module, samples: Any = None
    ) -> dict[str, Tensor]:
        """Compares two responses by each of ``terms`` that ``model`` has.

        Args:
            student: the student's response, from :meth:`gather` or, at a prefix, :meth:`run`.
            teacher: the teacher's response, from :meth:`run`.
            model: the student, whose heads determine the terms.
            samples: data samples of the batch. What they mark as ignored is left out, and a
                classifier's ``'dkd'`` takes the target class from them.

        Returns:
            The terms by name, those of ``terms`` that ``model`` has. Each is a float32 scalar and
            zero when both responses are equal. A classifier has ``cls``, a segmentor ``decode``
            and ``aux``, a dense head ``cls``, ``box``, ``quality`` and ``mask``, a query head
            ``cls``, ``box`` and ``mask``, a two-stage detector ``rpn_cls``, ``rpn_box``,
            ``rpn_quality``, ``cls``, ``box``, ``mask`` and ``seg``.
            :class:`~sakd_dense.distill.SAKDHook` adds them to the loss dict, weighted, as
            ``loss_sakd_cls`` and so on.
        """


def neck(model: nn.Module, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Returns the neck's output for ``features``, or ``features`` if ``model`` has no neck."""
    return model.neck(features) if getattr(model, "neck", None) is not None else features
