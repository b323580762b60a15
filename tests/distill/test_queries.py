"""Queries: which are compared, and what they are found to say."""

import pytest
import torch
from torch import nn

from sakd_dense.distill.responses.matching import match
from sakd_dense.distill.responses.queries import Queries, QueryResponse


class Loss(nn.Module):
    def __init__(self, sigmoid: bool) -> None:
        super().__init__()
        self.use_sigmoid = sigmoid


class DETRHead(nn.Module):
    def __init__(self, sigmoid: bool) -> None:
        super().__init__()
        self.loss_cls = Loss(sigmoid)


class Model(nn.Module):
    def __init__(self, sigmoid: bool = True, proposed: bool = False) -> None:
        super().__init__()
        self.bbox_head = DETRHead(sigmoid)
        self.as_two_stage = proposed


def queries(seed: int = 0, masks: bool = False) -> Queries:
    make = torch.Generator().manual_seed(seed)
    scores = torch.randn(2, 7, 4, generator=make) * 3
    boxes = torch.rand(2, 7, 4, generator=make)
    return Queries(scores, None if masks else boxes, torch.randn(2, 7, 5, 6) if masks else None)


def shuffled(q: Queries) -> tuple[Queries, torch.Tensor]:
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    return Queries(*(x if x is None else x[:, order] for x in vars(q).values())), order


@pytest.mark.parametrize("sigmoid", [True, False])
@pytest.mark.parametrize("masks", [False, True])
def test_shuffled_queries_are_found_again(sigmoid, masks):
    teacher = queries(masks=masks)
    student, order = shuffled(teacher)
    rows, columns = match(student, teacher, sigmoid)
    torch.testing.assert_close(columns, order[rows])
    response = QueryResponse()
    for value in response.compare(student, teacher, Model(sigmoid, proposed=True)).values():
        assert value.item() == pytest.approx(0, abs=1e-5)
    apart = response.compare(student, teacher, Model(sigmoid))  # learned queries: by index
    assert all(v > 0.01 for v in apart.values())


def test_other_numbers_of_queries():
    teacher, student = queries(), queries(1)
    few = Queries(student.scores[:, :5], student.boxes[:, :5])
    with pytest.raises(ValueError, match="5 queries and the teacher's 7"):
        QueryResponse(match="index").compare(few, teacher, Model())
    assert all(
        v.isfinite() for v in QueryResponse().compare(few, teacher, Model(True, True)).values()
    )


def test_other_classes_are_refused():
    other = Queries(torch.zeros(2, 7, 9), torch.rand(2, 7, 4))
    with pytest.raises(ValueError, match="4 classes and the teacher's 9"):
        QueryResponse().compare(queries(), other, Model())


def test_scale_does_not_depend_on_the_batch():
    student, teacher = queries(1), queries(2)
    twice = [
        Queries(*(x if x is None else x.repeat(2, 1, 1) for x in vars(q).values()))
        for q in (student, teacher)
    ]
    once = QueryResponse().compare(student, teacher, Model())
    for name, value in QueryResponse().compare(*twice, Model()).items():
        torch.testing.assert_close(value, once[name])


def test_a_teacher_that_sees_nothing_gives_finite_terms():
    blind = Queries(torch.full((2, 7, 4), -100.0), torch.zeros(2, 7, 4))
    terms = QueryResponse().compare(queries(), blind, Model())
    assert all(v.isfinite() for v in terms.values())


@pytest.mark.parametrize(
    "args,says", [(dict(match="best"), "match='best'"), (dict(quality=1), "quality is not a term")]
)
def test_bad_arguments_are_named(args, says):
    with pytest.raises(ValueError, match=says):
        QueryResponse(**args)
