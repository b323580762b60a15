"""``SAKDTransfer`` in a config, under a real Runner."""

import itertools
import json
import logging

import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.model import BaseModel, BaseModule
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from sakd_dense.transfer import TransferError

VALUE = 5.0
COUNT = itertools.count()


class Part(BaseModule):
    """Initialises to 1, by its init_cfg and, further down, by a child's."""

    def __init__(self, init_cfg=None, depth: int = 1) -> None:
        super().__init__(init_cfg or dict(type="Constant", layer="Linear", val=1.0, bias=1.0))
        self.layer = nn.Linear(2, 2)
        self.inner = Part(depth=0) if depth else nn.Identity()

    def forward(self, x):
        return self.inner(self.layer(x))


class OwnInit(Part):
    """A head that overrides init_weights and never says that it is done."""

    def init_weights(self) -> None:
        nn.init.constant_(self.layer.weight, 2.0)


class Toy(BaseModel):
    def __init__(self, backbone_init=None, init_cfg=None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.backbone = Part(backbone_init)
        self.head = OwnInit()

    def forward(self, inputs, mode="tensor"):
        return dict(loss=self.head(self.backbone(torch.stack(inputs))).square().mean())


class LateToy(Toy):
    def init_weights(self) -> None:
        super().init_weights()
        nn.init.zeros_(self.head.layer.weight)


class Ones(Dataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int):
        return dict(inputs=torch.ones(2))


@pytest.fixture(autouse=True)
def registered():
    classes = (Toy, LateToy)
    for cls in classes:
        MODELS.register_module(module=cls, force=True)
    yield
    for cls in classes:
        MODELS.module_dict.pop(cls.__name__)


@pytest.fixture
def checkpoint(tmp_path) -> str:
    state = {k: torch.full_like(v, VALUE) for k, v in Toy().state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / "ann.pth")
    return str(tmp_path / "ann.pth")


def init(checkpoint: str, **options) -> dict:
    return dict(type="SAKDTransfer", checkpoint=checkpoint, **options)


def run(tmp_path, model: dict, lr: float = 0.0, name: str = "work", epochs: int = 1, **cfg):
    runner = Runner(
        model=model,
        work_dir=str(tmp_path / name),
        train_dataloader=dict(
            dataset=Ones(), batch_size=2, sampler=DefaultSampler(Ones(), shuffle=False)
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=lr)),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=1)),
        default_scope="mmengine",
        experiment_name=f"{tmp_path.name}_{name}_{next(COUNT)}",
        log_level="WARNING",
        **cfg,
    )
    return runner.train()


def values(model) -> dict[str, set[float]]:
    return {k: set(v.flatten().tolist()) for k, v in model.state_dict().items()}


def test_on_the_model_nothing_overwrites_it(tmp_path, checkpoint, caplog) -> None:
    caplog.set_level(logging.WARNING)
    model = run(tmp_path, dict(type="Toy", init_cfg=init(checkpoint)))
    assert all(v == {VALUE} for v in values(model).values())
    assert "more than once" not in caplog.text


def test_on_the_backbone_the_rest_is_initialised_as_ever(tmp_path, checkpoint) -> None:
    model = run(tmp_path, dict(type="Toy", backbone_init=init(checkpoint)))
    found = values(model)
    assert all(v == {VALUE} for k, v in found.items() if k.startswith("backbone."))
    assert found["head.layer.weight"] == {2.0}


def test_what_is_not_taken_is_initialised_as_ever(tmp_path, checkpoint) -> None:
    model = run(tmp_path, dict(type="Toy", init_cfg=init(checkpoint, part="backbone")))
    assert values(model)["backbone.inner.layer.weight"] == {VALUE}
    assert values(model)["head.layer.weight"] == {2.0}


def test_load_from_wins(tmp_path, checkpoint) -> None:
    state = {k: torch.full_like(v, 9.0) for k, v in Toy().state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / "other.pth")
    load_from = str(tmp_path / "other.pth")
    model = run(tmp_path, dict(type="Toy", init_cfg=init(checkpoint)), load_from=load_from)
    assert all(v == {9.0} for v in values(model).values())


def test_resume_wins(tmp_path, checkpoint) -> None:
    cfg = dict(type="Toy", init_cfg=init(checkpoint))
    once = run(tmp_path, cfg, lr=1e-5, name="a", epochs=2)
    run(tmp_path, cfg, lr=1e-5, name="b", epochs=1)
    resumed = run(tmp_path, cfg, lr=1e-5, name="b", epochs=2, resume=True)
    for key, value in once.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    assert values(once)["backbone.layer.weight"] != {VALUE}


def test_it_must_be_the_last_of_several(checkpoint) -> None:
    model = Toy(init_cfg=[init(checkpoint), dict(type="Constant", layer="Linear", val=3.0)])
    with pytest.raises(TransferError, match="the last entry is 'Constant'"):
        model.init_weights()
    model = Toy(init_cfg=[dict(type="Constant", layer="Linear", val=3.0), init(checkpoint)])
    model.init_weights()
    assert values(model)["head.layer.weight"] == {VALUE}


def test_a_model_that_initialises_later_is_refused(checkpoint) -> None:
    with pytest.raises(TransferError, match="LateToy has an init_weights.. of its own.*load_from"):
        LateToy(init_cfg=init(checkpoint)).init_weights()


def test_a_missing_checkpoint_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="gone.pth does not exist"):
        Toy(init_cfg=init("gone.pth")).init_weights()


def test_the_config_is_plain_data(checkpoint) -> None:
    json.dumps(init(checkpoint, part="all", left_ok=["fc.*"], missing_ok=[]))
