"""A data set with more classes than the head has is refused before the first batch."""

from types import SimpleNamespace

import pytest

from sakd_dense.guards import KnownClassesHook
from sakd_dense.runtime.errors import UserError
from tests.helpers.tasks import TASKS


def run(task: str, extra: int, hook: KnownClassesHook) -> None:
    model, _ = TASKS[task].models()
    heads = {n: m for n, m in model.named_modules() if hasattr(m, "num_classes") and "rpn" not in n}
    number = next(m.num_classes for n, m in heads.items() if "head" in n)
    classes = tuple(f"class {i}" for i in range(number + extra))
    dataset = SimpleNamespace(metainfo=dict(classes=classes), prepare_data=None, pipeline=None)
    loader = SimpleNamespace(dataset=dataset)
    hook.before_train(SimpleNamespace(model=model, train_dataloader=loader))


@pytest.mark.parametrize("task", TASKS)
def test_more_classes_than_the_head_has_are_named_with_both_numbers(task):
    with pytest.raises(UserError, match=r"has \d+ classes, but .*head.*num_classes=\d+: set model"):
        run(task, 1, KnownClassesHook())


@pytest.mark.parametrize("extra", [0, -1])
@pytest.mark.parametrize("task", TASKS)
def test_as_many_and_fewer_pass(task, extra):
    run(task, extra, KnownClassesHook())
