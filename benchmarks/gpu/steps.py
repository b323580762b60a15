"""Models on a device compared with the CPU: SAKD steps, every T from one pass, DDP."""

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from benchmarks.gpu.neurons import BACKENDS, DTYPES, Check, apart
from sakd_dense.backbones import SpikingBackbone
from sakd_dense.config.models import with_preprocessor
from sakd_dense.config.scopes import load_config
from sakd_dense.config.twins import ann_of
from sakd_dense.distill.arguments import LevelTwo
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.teacher import ready
from sakd_dense.distill.terms import Terms
from sakd_dense.distill.wrappers import on_loss
from sakd_dense.neurons.layer import SpikingNeuron
from sakd_dense.runtime.amp import autocast
from sakd_dense.transfer import reestimate
from tools.compat.inputs import batch_for, scaled

#: Detectors, segmentors and classifiers, with binary neurons and with counts.
CONFIGS = (
    "retinanet_sew18_sakd_bccd",
    "retinanet_spiking18_sakd_bccd_1x4",
    "retinanet_sew18-full_sakd_bccd",
    "faster-rcnn_sew18_sakd_bccd",
    "fcn_sew18_sakd_digits",
    "fcn_spiking18_sakd_camvid_1x4",
    "sew18_sakd_cifar10",
    "spiking-resnet18_sakd_cifar10_1x4",
)


@dataclass
class Student:
    """A model of a shipped config with its frozen teacher, on the CPU, and a batch."""

    name: str
    model: nn.Module
    teacher: nn.Module
    data: dict[str, Any]


def student_of(name: str, size: int) -> Student:
    """Returns a student with random weights, whose BatchNorm statistics let every layer fire."""
    cfg = load_config(f"configs/{name}.py")
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model_cfg = ConfigDict(scaled(with_preprocessor(cfg), size))
    built = []
    for part in (model_cfg, ann_of(model_cfg)):
        model = MODELS.build(copy.deepcopy(part))
        model.init_weights()
        built.append(revert_sync_batchnorm(model))
    student, teacher = built
    state = {k: v for k, v in teacher.state_dict().items() if k in student.state_dict()}
    student.load_state_dict(state, strict=False)
    for part in built:
        reestimate(part.backbone, [torch.randn(2, 3, size, size)], 1)
    batch = batch_for(model_cfg, cfg.default_scope, size)
    return Student(name, student.train(), ready(teacher, student), batch)


def losses(
    student: Student, device: str, cast: AbstractContextManager, backend: str = "spikingjelly"
) -> tuple[Tensor, Tensor]:
    """Returns the total loss of one SAKD step, prefixes included, and the backbone's gradient."""
    model, teacher = copy.deepcopy(student.model), copy.deepcopy(student.teacher)
    model, teacher = model.to(device), teacher.to(device)
    for neuron in model.modules():
        if isinstance(neuron, SpikingNeuron):
            neuron.backend = backend
    step = _sakd(model, teacher)
    torch.manual_seed(1)
    data = model.data_preprocessor(copy.deepcopy(student.data), True)
    with cast:
        total, _ = model.parse_losses(model(**data, mode="loss"))
    step()
    total.backward()
    parts = [p.grad.flatten() for p in model.backbone.parameters() if p.grad is not None]
    return total.detach().cpu(), torch.cat(parts).cpu()


def _sakd(model: nn.Module, teacher: nn.Module) -> Callable[[], None]:
    """Adds both losses of level 2 to ``model``; returns a function that clears the taps."""
    response = find_response(model)
    options = LevelTwo(prefixes="random", prefix_weight=1.0)
    terms = Terms(model, teacher, options, response)
    prefix = 1 if model.backbone.time_steps > 1 else None
    on_loss(model, lambda images, samples: terms(images, samples, prefix))
    return terms.clear


def sakd_steps(device: str, size: int = 96) -> Iterator[Check]:
    """Checks a SAKD step of each of ``CONFIGS``: the loss and the length of the gradient."""
    for name in CONFIGS:
        student = student_of(name, size)
        loss, gradient = losses(student, "cpu", nullcontext())
        for (dtype_name, dtype), backend in product(DTYPES.items(), BACKENDS):
            exact = dtype is torch.float32
            if device == "cpu" and dtype is torch.float16:
                continue
            cast = nullcontext() if exact else autocast(torch.device(device).type, dtype)
            found, theirs = losses(student, device, cast, backend)
            subject = f"{name}, {backend}"
            error = abs(found - loss).item() / abs(loss).item()
            yield Check(subject, dtype_name, "loss", error, 1e-2 if exact else 0.1)
            length = (theirs.norm() / gradient.norm()).item()
            limit = 0.1 if exact else 0.5
            yield Check(subject, dtype_name, "length of the gradient", abs(length - 1), limit)


@torch.no_grad()
def every_t(device: str, size: int = 96) -> Iterator[Check]:
    """Checks the first t steps of a pass at T against a pass at t."""
    for name in ("retinanet_sew18_sakd_bccd", "sew18_sakd_cifar10"):
        backbone: SpikingBackbone = student_of(name, size).model.backbone.to(device).eval()
        images = torch.randn(2, 3, size, size, device=device)
        backbone.output = "sequence"
        sequences = backbone(images)
        backbone.output = "rate"
        for t in range(1, backbone.time_steps + 1):
            backbone.time_steps = t
            alone = backbone(images)
            pairs = zip(alone, sequences, strict=True)
            error = max(apart(a, s[:t].mean(0)) for a, s in pairs)
            yield Check(name, "float32", f"features at T = {t} from a longer pass", error, 1e-3)


def one_process_ddp(device: str, size: int = 96) -> Iterator[Check]:
    """Checks a SAKD step in DistributedDataParallel with one process against one without it."""
    student = student_of("retinanet_sew18_sakd_bccd", size)
    loss, _ = losses(student, device, nullcontext())
    kind = torch.device(device).type
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group(
            "nccl" if kind == "cuda" else "gloo",
            init_method=f"file://{Path(folder) / 'meeting'}",
            rank=0,
            world_size=1,
        )
        try:
            model, teacher = student.model.to(device), student.teacher.to(device)
            step = _sakd(model, teacher)
            torch.manual_seed(1)
            data = model.data_preprocessor(student.data, True)
            ids = [torch.device(device).index or 0] if kind == "cuda" else None
            wrapped = MMDistributedDataParallel(model, device_ids=ids)
            total, _ = model.parse_losses(wrapped(**data, mode="loss"))
            step()
            total.backward()
            error = abs(total.item() - loss.item()) / abs(loss.item())
            del wrapped
        finally:
            torch.distributed.destroy_process_group()
    yield Check(student.name, "float32", "loss in DDP of one process", error, 1e-3)
