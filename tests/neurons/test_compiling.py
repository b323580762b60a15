"""The compiled pass: when it is due, and what is done without it."""

from functools import partial
from itertools import product

import pytest
import torch
from torch import nn
from torch._inductor.cpu_vec_isa import VecAVX2, VecISA
from torch._subclasses.fake_tensor import FakeTensorMode

from sakd_dense.backbones import SEWResNet
from sakd_dense.neurons import compiling
from sakd_dense.neurons.compiling import Fallback, saving
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
    monkeypatch.setattr(Fallback, "reason", None)
    node, x = layer(backend="compiled", **NODES[0]), torch.randn(8, 3, 5, 5)
    with pytest.warns(UserWarning, match=r"uncompiled.*no C\+\+ compiler"):
        spikes = node(x)
    assert Fallback.reason == "no C++ compiler"
    assert torch.equal(spikes, layer(backend="spikingjelly", **NODES[0])(x))


def test_many_neurons_are_compiled_in_one_process(monkeypatch):
    """PyTorch's limit of recompilations holds for each of them, not for all together."""
    by_torch = partial(torch.compile, backend="eager", fullgraph=True, recompile_limit=5)
    monkeypatch.setattr(torch, "compile", lambda kernel, **_: by_torch(kernel))
    monkeypatch.setattr(Fallback, "reason", None)
    compiling._compiled.cache_clear()
    for threshold, steps in product((0.5, 0.6, 0.7), (1, 2, 3, 4)):
        node = dict(type="LIFNode", v_threshold=threshold, backend="compiled")
        layer(steps, **node)(torch.randn(12, 3, 5, 5), nn.BatchNorm2d(3))
    compiling._compiled.cache_clear()
    assert Fallback.reason is None


def test_a_kernel_takes_tensors_only_and_no_setting_of_pytorch_changes(monkeypatch):
    """A float of the neuron would become a tensor that every call creates."""
    inputs = []

    def look(graph, given, **_):
        inputs.extend(given)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=look))
    monkeypatch.setattr(Fallback, "reason", None)
    compiling._compiled.cache_clear()
    before = torch._dynamo.config.specialize_float
    layer(type="LIFNode", tau=3.0, v_threshold=0.7, backend="compiled")(torch.randn(8, 3, 5, 5))
    compiling._compiled.cache_clear()
    assert torch._dynamo.config.specialize_float == before
    tensors = [v for v in inputs if isinstance(v, torch.Tensor)]
    assert tensors and all(v.dtype == torch.float32 for v in tensors)


def test_what_the_compiled_pass_saves():
    """Integers three times as much; on a GPU little, and in half precision alone."""
    x = torch.zeros(700)
    assert (saving(x, integers=False), saving(x, integers=True)) == (700, 2100)
    with FakeTensorMode():
        there = torch.empty(700, device="cuda")
        assert [saving(there.to(d), True) for d in (torch.float16, torch.bfloat16)] == [3, 3]
        assert saving(there, True) == 0
    assert saving(torch.empty(700, device="meta").half(), True) == 0


@pytest.mark.parametrize("works", [True, False])
def test_instructions_are_checked_once_where_they_work(monkeypatch, tmp_path, works):
    checked = []
    monkeypatch.setattr(VecISA, "check_build", lambda _, code: checked.append(code) or works)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    compiling._check_instructions_once.cache_clear()
    compiling._check_instructions_once()
    isa = VecAVX2()
    assert [isa.check_build("code") for _ in range(2)] == [works, works]
    assert len(checked) == (1 if works else 2)
    monkeypatch.setattr(compiling.platform, "node", lambda: "another machine")
    isa.check_build("code")
    assert len(checked) == (2 if works else 3)
    compiling._check_instructions_once.cache_clear()


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
