"""The feed-forward stack of a layer (FlexiBERT, section 3.1): one or several hidden widths.

Shapes: B batch, S sequence, H hidden size of the layer, F feed-forward width.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers.activations import ACT2FN

from design_space import Layer


class FeedForward(nn.Module):
    """Linear and activation, once per width of the stack: (B, S, H) -> (B, S, F_last).

    The first Linear has two names, as in the original: ``dense`` and ``sequential.0``. Files may hold either; ours
    hold the second.
    """

    _tied_weights_keys: ClassVar[dict[str, str]] = {
        "dense.weight": "sequential.0.weight",
        "dense.bias": "sequential.0.bias",
    }

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__()
        stack: list[nn.Module] = []
        width = layer.hidden_size
        for next_width in layer.feed_forward:
            stack += [nn.Linear(width, next_width), ACT2FN[config.hidden_act]]
            width = next_width
        self.dense = stack[0]
        self.sequential = nn.Sequential(*stack)

    def __setattr__(self, name: str, value: Any) -> None:
        """What takes the first Linear's place by one of its names, as an adapter does, takes it by both."""
        super().__setattr__(name, value)
        if name == "dense" and "sequential" in self._modules:
            self.sequential[0] = value

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """As inherited, each by one name: ``torch.func.functional_call`` puts weights in the place of others by name,
        and takes them for the former ones when it meets them again. Of the two names of the first Linear it is BERT's,
        ``dense``, by which adapters look for it; where duplicates are asked for, that of the files."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        if remove_duplicate:
            yield from self.dense.named_modules(memo, f"{prefix}.dense".lstrip("."))
        yield from self.sequential.named_modules(memo, f"{prefix}.sequential".lstrip("."), remove_duplicate)

    def forward(self, x_BSH: Tensor) -> Tensor:
        return self.sequential(x_BSH)
