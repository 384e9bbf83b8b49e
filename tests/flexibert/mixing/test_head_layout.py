"""Linear maps taken together and their outputs as heads, against each on its own."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flexibert import FlexiBERTModel
from flexibert.mixing.attention import Padding
from flexibert.mixing.head_layout import joining_pays, merge_heads, merge_with, project, split_heads

STANDARD = {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[16]], "p": ["sdp"]}
X = torch.randn(32, 8, 16)  # as many tokens as it takes to join products
FEW = X[:, :3]


class Adapted(nn.Module):
    """A linear map with a change of low rank, as adapters put in the place of ``query``."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base, self.out_features, self.bias = base, base.out_features, base.bias
        self.change = nn.Parameter(torch.randn(base.out_features, base.in_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.change.T


@pytest.mark.parametrize("x", [X, FEW], ids=["joined", "few"])
@pytest.mark.parametrize("has_bias", [[True, True], [False, False], [True, False]])
def test_together_as_each_alone(has_bias: list[bool], x: Tensor) -> None:
    linears = [nn.Linear(16, 12, bias=each) for each in has_bias]
    expected = torch.cat([linears[0](x)[..., 8:], linears[0](x)[..., :4], linears[1](x)], dim=-1)
    torch.testing.assert_close(project(x, [(linears[0], [range(2, 3), range(1)]), (linears[1], [])], 4), expected)


def test_joining_needs_plain_linear_maps_and_enough_tokens() -> None:
    linears = [nn.Linear(16, 8), nn.Linear(16, 8)]
    assert joining_pays(X, linears)
    assert not joining_pays(FEW, linears)
    assert not joining_pays(X, [linears[0], nn.Linear(16, 8, bias=False)])
    assert not joining_pays(X, [linears[0], nn.utils.parametrizations.weight_norm(linears[1])])


def test_hooks_see_what_a_linear_map_computes() -> None:
    linears = [nn.Linear(16, 8), nn.Linear(16, 8)]
    alone = project(X, [(linear, []) for linear in linears], 4)
    seen: list[Tensor] = []
    linears[1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    torch.testing.assert_close(project(X, [(linear, []) for linear in linears], 4), alone)
    torch.testing.assert_close(seen[0], alone[..., 8:])


def test_backward_hooks_see_the_gradient_of_a_linear_map(tiny: Callable) -> None:
    attention = FlexiBERTModel(tiny(STANDARD)).encoder.layer[0].attention
    seen: list[Any] = []
    attention.self.query.register_full_backward_hook(lambda module, of_inputs, of_outputs: seen.append(of_outputs))
    attention(X.clone().requires_grad_(), Padding(), False)[0].sum().backward()
    assert len(seen) == 1


@pytest.mark.parametrize(
    "model_dict", [STANDARD, {"l": 1, "o": [["sa_sdp_8", "c_3_8"]], "h": [16], "f": [[16]]}], ids=["standard", "hetero"]
)
def test_adapters_take_part(tiny: Callable, model_dict: dict[str, Any]) -> None:
    attention = FlexiBERTModel(tiny(model_dict)).encoder.layer[0].attention
    query = attention.self.query
    adapted = attention.self.query = Adapted(query)
    changed, _ = attention(X, Padding(), False)
    changed.sum().backward()
    assert adapted.change.grad.abs().sum() > 0
    query.weight.data += adapted.change.data
    attention.self.query = query
    torch.testing.assert_close(attention(X, Padding(), False)[0], changed)


@pytest.mark.parametrize("heads_first", [True, False])
@pytest.mark.parametrize(
    "ranges",
    [[range(2), range(2, 4)], [range(1, 2), range(3), range(3)], [range(3), range(1, 4)], [range(1, 2)]],
    ids=["all", "twice", "overlapping", "some"],
)
def test_ranges_of_heads_and_their_gradients(ranges: list[range], heads_first: bool) -> None:
    x = torch.randn(2, 3, 4 * 5, requires_grad=True)
    expected = [x.view(2, 3, 4, 5).transpose(1, 2)[:, each.start : each.stop] for each in ranges]
    found = split_heads(x, 5, ranges, heads_first)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(sum(part.pow(3).sum() for part in parts), x)[0] for parts in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_heads_are_merged_with_what_is_added_to_some() -> None:
    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, requires_grad=True)

    x, first, last = numbers(2, 4, 3, 5), numbers(2, 1, 3, 5), numbers(2, 2, 3, 5)
    unchanged = x.detach().clone()
    merged = merge_with(x, [(range(2, 4), last), (range(1), first)])
    torch.testing.assert_close(merged, merge_heads(torch.cat([x[:, :1] + first, x[:, 1:2], x[:, 2:] + last], dim=1)))
    assert torch.equal(x, unchanged)
    assert torch.equal(merge_with(x, []), merge_heads(x))

    def scored(x: Tensor, first: Tensor, last: Tensor) -> Tensor:
        return merge_with(x, [(range(2, 4), last), (range(1), first)]).pow(2)

    assert torch.autograd.gradcheck(scored, (x, first, last))
    assert torch.autograd.gradgradcheck(scored, (x, first, last))


def test_evaluation_leaves_what_others_read(tiny: Callable) -> None:
    """GELU is written over its argument only where nobody else has it."""
    stack = FlexiBERTModel(tiny(STANDARD)).eval().encoder.layer[0].intermediate.sequential
    with torch.no_grad():
        expected, x = stack[0](X), X.clone()
        torch.testing.assert_close(stack(X), nn.functional.gelu(expected))
        assert torch.equal(X, x)
        seen: list[Tensor] = []
        stack[0].register_forward_hook(lambda module, inputs, output: seen.append(output))
        torch.testing.assert_close(stack(X), nn.functional.gelu(expected))
        torch.testing.assert_close(seen[0], expected)


def test_a_stack_may_be_cut_and_extended(tiny: Callable) -> None:
    stack = FlexiBERTModel(tiny(STANDARD)).eval().encoder.layer[0].intermediate.sequential
    with torch.no_grad():
        torch.testing.assert_close(stack[:1](X), stack[0](X))
        stack.append(nn.Tanh())
        torch.testing.assert_close(stack(X), nn.functional.gelu(stack[0](X)).tanh())


@pytest.mark.parametrize("is_autocast", [True, False])
def test_half_precision(tiny: Callable, is_autocast: bool) -> None:
    model = FlexiBERTModel(tiny(STANDARD)).eval()
    ids = torch.randint(5, 41, (2, 9))
    expected = model(ids)[0]
    with torch.autocast("cpu", torch.bfloat16, enabled=is_autocast):
        found = (model if is_autocast else model.bfloat16())(ids)[0]
    found.sum().backward()
    torch.testing.assert_close(found.float(), expected, atol=0.1, rtol=0.1)
