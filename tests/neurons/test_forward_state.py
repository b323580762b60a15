"""Each image of a sequence is read up to a time step of its own."""

import pytest
import torch

from sakd_dense.neurons import ForwardState


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("last", [[1, 3, 2], [4, 4, 1], [2, 2, 2], [4, 4, 4]])
def test_rates_and_gradients_of_images_read_early(last, layout, dtype):
    state = ForwardState(time_steps=4)
    state.read_until = lambda batch, steps: torch.tensor(last)
    folded = torch.randint(3, (4 * 3, 5, 6, 7)).to(dtype).contiguous(memory_format=layout)
    sequence = folded.unflatten(0, (4, 3)).requires_grad_()
    rates = state.rate(sequence)
    grad = torch.randn_like(rates)
    rates.backward(grad)
    means = [sequence[:t, b].detach().sum(0) / t for b, t in enumerate(last)]
    torch.testing.assert_close(rates.detach(), torch.stack(means))
    assert rates.dtype == dtype and rates.is_contiguous()
    for b, t in enumerate(last):
        wanted = (grad[b] / t).expand(t, -1, -1, -1)
        torch.testing.assert_close(sequence.grad[:t, b], wanted)
        assert not sequence.grad[t:, b].any()
    if last != [4, 4, 4]:
        assert sequence.grad.stride() == sequence.stride()
