"""The compiled pass: when it is due, and what is done without it."""

from functools import partial
from itertools import product

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sakd_dense.backbones import SEWResNet
from sakd_dense.neurons import compile_cache, compiling
from sakd_dense.neurons.compiling import Payback, saving
from sakd_dense.neurons.fused import fire
from tests.helpers.fused_neurons import NODES, layer


def test_a_compiled_qif_is_refused():
    with pytest.raises(ValueError, match=r"backend='compiled' supports IFNode and LIFNode"):
        layer(type="QIFNode", backend="compiled")
    with pytest.raises(ValueError, match="backend='fast'"):
        layer(type="IFNode", backend="fast")


def test_a_failing_compiler_is_said_and_done_without(monkeypatch):
    def fail(*_):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr("sakd_dense.neurons.compiling._compiled", lambda *_: fail)
    monkeypatch.setattr(Payback, "broken", False)
    node, x = layer(backend="compiled", **NODES[0]), torch.randn(8, 3, 5, 5)
    with pytest.warns(UserWarning, match=r"uncompiled.*no C\+\+ compiler"):
        spikes = node(x)
    assert Payback.broken
    assert torch.equal(spikes, layer(backend="spikingjelly", **NODES[0])(x))


def test_many_neurons_are_compiled_in_one_process(monkeypatch):
    """PyTorch's limit of recompilations holds for each of them, not for all together."""
    by_torch = partial(torch.compile, backend="eager", fullgraph=True, recompile_limit=5)
    monkeypatch.setattr(torch, "compile", lambda kernel, **_: by_torch(kernel))
    monkeypatch.setattr(Payback, "broken", False)
    compiling._compiled.cache_clear()
    for threshold, steps in product((0.5, 0.6, 0.7), (1, 2, 3, 4)):
        node = dict(type="LIFNode", v_threshold=threshold, backend="compiled")
        layer(steps, **node)(torch.randn(12, 3, 5, 5), nn.BatchNorm2d(3))
    compiling._compiled.cache_clear()
    assert not Payback.broken


def test_a_kernel_takes_tensors_only_and_no_setting_of_pytorch_changes(monkeypatch):
    """A float of the neuron would become a tensor that every call creates."""
    inputs = []

    def look(graph, given, **_):
        inputs.extend(given)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=look))
    monkeypatch.setattr(Payback, "broken", False)
    compiling._compiled.cache_clear()
    before = torch._dynamo.config.specialize_float
    layer(type="LIFNode", tau=3.0, v_threshold=0.7, backend="compiled")(torch.randn(8, 3, 5, 5))
    compiling._compiled.cache_clear()
    assert torch._dynamo.config.specialize_float == before
    tensors = [v for v in inputs if isinstance(v, torch.Tensor)]
    assert tensors and all(v.dtype == torch.float32 for v in tensors)


def test_a_kernel_is_due_once_it_has_paid(monkeypatch):
    monkeypatch.setattr(Payback, "elements", 100)
    pay = Payback()
    pay.count(4, 60)
    assert not pay.due(4)
    pay.count(4, 60)
    assert pay.due(4) and not pay.due(2)
    pay.count(2, 120)
    assert pay.due(2)
    with torch.no_grad():
        assert not pay.due(4)
    monkeypatch.setattr(Payback, "broken", True)
    assert not pay.due(4)


def test_a_kernel_that_lies_in_the_cache_is_due_sooner(monkeypatch, tmp_path):
    """A tenth of the way; of the same T, neuron and dtype, in a process behind."""
    monkeypatch.setattr(compile_cache, "folder", lambda: tmp_path / "marks")
    monkeypatch.setattr(compiling, "mark", compile_cache.mark)
    monkeypatch.setattr(compiling, "is_marked", compile_cache.is_marked)
    monkeypatch.setattr(Payback, "broken", False)
    monkeypatch.setattr(Payback, "elements", 100)

    def starts(neuron, time_steps=4):
        pay = Payback()
        for done in range(0, 130, 10):
            if pay.due(time_steps):
                assert pay.due(time_steps)  # it has run compiled in between
                return done
            pay.count(time_steps, 10, neuron)

    assert [starts("LIFNode float32"), starts("LIFNode float32")] == [100, 10]
    assert starts("LIFNode bfloat16") == starts("LIFNode float32", time_steps=2) == 100
    with torch.no_grad():
        assert starts("LIFNode float32") == 100
    monkeypatch.setattr(compile_cache, "__version__", "another")
    assert starts("LIFNode float32") == 100


def test_what_the_compiled_pass_saves():
    """Integers three times as much; on a GPU little, and in half precision alone."""
    x = torch.zeros(700)
    assert (saving(x, integers=False), saving(x, integers=True)) == (700, 2100)
    with FakeTensorMode():
        there = torch.empty(700, device="cuda")
        assert [saving(there.to(d), True) for d in (torch.float16, torch.bfloat16)] == [3, 3]
        assert saving(there, True) == 0
    assert saving(torch.empty(700, device="meta").half(), True) == 0


@pytest.mark.parametrize("spiking_part", [False, True])
def test_models_of_one_process_count_for_themselves(monkeypatch, spiking_part):
    """When a model's kernels are compiled does not depend on what ran before it."""

    def fresh():
        if not spiking_part:
            model = SEWResNet(18, base_channels=8, time_steps=2)
            return model.clock, lambda: model(torch.rand(1, 3, 32, 32))
        neck = MODELS.build(
            dict(type="SpikingFPN", in_channels=[4], out_channels=4, num_outs=1, neuron="IFNode")
        )
        return neck.clock, lambda: neck((torch.rand(2, 1, 4, 8, 8),))

    monkeypatch.setattr(Payback, "broken", False)
    monkeypatch.setattr("sakd_dense.neurons.compiling._compiled", lambda k, d: partial(k, d))
    monkeypatch.setattr(Payback, "elements", 300)
    (first, run_first), (second, run_second) = fresh(), fresh()
    started = []
    for clock, run in ((first, run_first), (first, run_first), (second, run_second)):
        run()
        started.append(clock.compiled)
    assert started == [False, True, False]


@pytest.mark.parametrize("with_cp", [False, True])
def test_training_goes_on_where_the_kernel_becomes_due(monkeypatch, with_cp):
    """Whenever that is: in a forward, or while a checkpointed block is recomputed."""
    fired = []

    def fire_plainly(*args, **kwargs):
        fired.append(1)
        return fire(*args, compiled=False, **kwargs)

    monkeypatch.setattr("sakd_dense.neurons.layer.fire", fire_plainly)
    model = SEWResNet(18, base_channels=8, time_steps=2, with_cp=with_cp)
    x = torch.rand(1, 3, 32, 32)
    for elements in range(0, 60_000, 3_000):
        monkeypatch.setattr(Payback, "elements", elements)
        model.clock.payback = Payback()
        for _ in range(3):
            sum(out.sum() for out in model(x)).backward()
    assert fired


def test_hooks_on_a_node_see_it_run():
    node, seen = layer(backend="compiled", **NODES[0]), []
    node.node.register_forward_hook(lambda *_: seen.append(1))
    node(torch.randn(8, 3, 5, 5))
    assert seen


@pytest.mark.slow
@pytest.mark.parametrize("with_cp", [False, True])
def test_a_compiled_backbone_is_spikingjellys(with_cp):
    found = []
    for backend in ("spikingjelly", "compiled"):
        torch.manual_seed(3)
        model = SEWResNet(
            18, base_channels=8, with_cp=with_cp, neuron=dict(NODES[1], backend=backend)
        )
        for steps, size in ((4, 64), (4, 96), (2, 64)):  # other sizes, another T
            model.time_steps = steps
            x = torch.randn(2, 3, size, size, requires_grad=True)
            outs = model(x)
            sum((o * o.sin()).sum() for o in outs).backward()
            with torch.no_grad():
                quiet = model.eval()(x)
            model.train()
            found.append((*outs, *quiet, x.grad, *(p.grad.clone() for p in model.parameters())))
    for a, b in zip(found[:3], found[3:], strict=True):
        for left, right in zip(a, b, strict=True):
            atol = 1e-5 * max(left.abs().max().item(), 1e-3)
            torch.testing.assert_close(left, right, rtol=1e-3, atol=atol)
