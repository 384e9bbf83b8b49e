"""Retraining attention blocks: a fresh block learns what a teacher's block does, with any number and size of heads
(simplifying-transformers).

The block gets the teacher's states that enter layer i and learns the teacher block's output (after its LayerNorm) by
mean squared error (``mse``) or by cross-entropy between softmaxed outputs (``outputs``); or it learns the teacher's
attention weights by cross-entropy (``scores``), which ties heads and their size to the teacher's, whose values and
output matrix it then keeps. Retrained blocks are put together into a model by ``combine_blocks``.
Shapes: B batch, S sequence, H layer width, N heads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils import logging

from design_space import Head, Layer

from ..checkpoints.model_card import add_to_lineage
from ..mixing import Attends, head_operation
from ..mixing.attention import Padding
from ..model.configuration_flexibert import FlexiBERTConfig
from ..model.encoder import EncoderLayer
from ..model.modeling_flexibert import FlexiBERTPreTrainedModel
from .assembly import AnyModel, Part, assembled, parts_of

OBJECTIVES = ("mse", "outputs", "scores")
Batch = Tensor | Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a block is trained.

    Attributes:
        steps: batches to learn from; the batches given are repeated as needed.
        learning_rate: of Adam, falling to zero linearly.
        seed: of the first weights.
        progress: whether a progress bar is shown.
    """

    steps: int = 500
    learning_rate: float = 1e-3
    seed: int = 0
    progress: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.learning_rate < float("inf"):
            raise ValueError(
                "'steps' must be 1 or more and 'learning_rate' a number above 0. "
                f"Got {self.steps} and {self.learning_rate}"
            )


@dataclass(frozen=True)
class RetrainedBlock:
    """A layer whose attention block was retrained, the rest being the teacher's.

    Attributes:
        index: of the layer in the teacher.
        part: the layer with its new heads, and its module.
        losses: after each step.
    """

    index: int
    part: Part
    losses: tuple[float, ...]


def retrain_block(
    teacher: FlexiBERTPreTrainedModel,
    index: int,
    batches: Iterable[Batch],
    *,
    num_heads: int | None = None,
    head_size: int | None = None,
    objective: Literal["mse", "outputs", "scores"] = "mse",
    training: Training | None = None,
) -> RetrainedBlock:
    """A fresh self-attention block that does what the teacher's block ``index`` does.

    Args:
        teacher: any FlexiBERT model of text; not changed. A BERT is converted by ``from_bert``.
        index: of the layer.
        batches: token ids (B, S), or mappings with ``input_ids`` and ``attention_mask``; without labels.
        num_heads: default: the teacher's.
        head_size: default: the teacher's.
        objective: ``mse``, ``outputs`` or ``scores``.
        training: default: ``Training()``.

    Raises:
        ValueError: when there is no such block, ``scores`` is asked of other heads than the teacher's or of a block
            without attention over contents, there are no batches, or the loss is not finite.
    """
    training = training or Training()
    check_teacher(teacher, [index])
    layer = teacher.config.model_spec.layers[index]
    count = len(layer.heads) if num_heads is None else num_heads
    size = layer.head_size if head_size is None else head_size
    if objective not in OBJECTIVES:
        raise ValueError(f"'objective' must be one of {', '.join(OBJECTIVES)}. Got {objective!r}")
    if objective == "scores":
        _check_scores(layer, count, size)
    new_layer = Layer(layer.hidden_size, (Head.dot_product_attention(size),) * count, layer.feed_forward)
    module = fresh_layer(teacher, new_layer, index, training.seed)
    theirs = teacher.base_model.encoder.layer[index]
    kept = ("attention.self.value", "attention.output") if objective == "scores" else ("attention.output.LayerNorm",)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.startswith(kept) or not name.startswith("attention."):
                parameter.copy_(theirs.get_parameter(name))
    trained = [p for n, p in module.named_parameters() if n.startswith("attention.") and not n.startswith(kept)]

    def loss_of(x_BSH: Tensor, padding: Padding) -> Tensor:
        is_explicit = objective == "scores"
        with torch.no_grad():
            wanted, wanted_weights = theirs.attention(x_BSH, padding, is_explicit)
        got, got_weights = module.attention(x_BSH, padding, is_explicit)
        if is_explicit:
            return _over_real(-(wanted_weights * got_weights.clamp_min(1e-9).log()).sum(-1).mean(1), padding)
        if objective == "outputs":
            return _over_real(-(wanted.softmax(-1) * got.log_softmax(-1)).sum(-1), padding)
        return _over_real((got - wanted).square().mean(-1), padding)

    losses = train(trained, teacher, index, batches, loss_of, training, f"block {index}")
    return RetrainedBlock(index, Part(new_layer, module), losses)


def combine_blocks(teacher: AnyModel, blocks: Sequence[RetrainedBlock]) -> AnyModel:
    """The teacher with retrained blocks in place of its own: a model like any other.

    Raises:
        ValueError: when two blocks have one index, a block is not of this teacher, or the architecture cannot be
            written (see ``assembled``).
    """
    check_teacher(teacher, [block.index for block in blocks])
    indices = [block.index for block in blocks]
    if len(set(indices)) < len(indices):
        raise ValueError(f"Each block may be given once. Got blocks {indices}")
    parts = parts_of(teacher)
    for block in blocks:
        if block.part.layer.hidden_size != parts[block.index].layer.hidden_size:
            raise ValueError(f"Block {block.index} is not of this teacher: its width is {block.part.layer.hidden_size}")
        parts[block.index] = block.part
    combined = assembled(teacher, parts)
    add_to_lineage(combined, f"Attention blocks {sorted(indices)} retrained.", [teacher])
    return combined


def check_teacher(teacher: Any, indices: Iterable[int]) -> None:
    """Raises ``ValueError`` when it is no model of text with these layers."""
    if not isinstance(teacher, FlexiBERTPreTrainedModel) or not isinstance(teacher.config, FlexiBERTConfig):
        raise ValueError(
            f"The teacher must be a FlexiBERT model of text. Got {type(teacher).__name__}; use 'from_bert'"
        )
    if teacher.config.model_spec.groups:
        raise ValueError("The teacher must have one residual stream. Got a grouped (stitched) model")
    depth = teacher.config.num_hidden_layers
    for index in indices:
        if not 0 <= index < depth:
            raise ValueError(f"The teacher has layers 0 to {depth - 1}. Got {index}")


def fresh_layer(
    teacher: Any, layer: Layer, index: int, seed: int, *, is_hetero: bool = False, following: int | None = None
) -> EncoderLayer:
    """A layer with random weights, in evaluation mode.

    Args:
        index: it hands on the width that the teacher's layer ``index`` does.
        following: that width, where it is another.
    """
    widths = [each.hidden_size for each in teacher.config.model_spec.layers]
    following = following or widths[min(index + 1, len(widths) - 1)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = EncoderLayer(layer, following, teacher.config, is_hetero)
        module.apply(teacher._init_weights)
    return module.to(device=teacher.device, dtype=teacher.dtype).eval()


def train(
    parameters: Sequence[nn.Parameter],
    teacher: Any,
    index: int,
    batches: Iterable[Batch],
    loss_of: Callable[[Tensor, Padding], Tensor],
    training: Training,
    name: str,
) -> tuple[float, ...]:
    """Train ``parameters`` on the states that enter the teacher's layer ``index``; the loss after each step.

    Args:
        loss_of: of states (B, S, H) and their padding.
        name: of the progress bar.

    Raises:
        ValueError: when there are no batches, or the loss of a step, or after the last one, is not finite.
    """
    optimizer = torch.optim.Adam(parameters, training.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / training.steps)
    losses: list[float] = []
    was_training = teacher.training
    teacher.eval()
    try:
        repeated = islice(_repeated(batches), training.steps)
        for batch in logging.tqdm(repeated, total=training.steps, desc=name, disable=not training.progress):
            x_BSH, padding = entering_states(teacher, index, batch)
            loss = loss_of(x_BSH, padding)
            _check_finite(loss, len(losses), training, name)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        with torch.no_grad():
            _check_finite(loss_of(x_BSH, padding), len(losses), training, name)
    finally:
        teacher.train(was_training)
    return tuple(losses)


def _check_finite(loss: Tensor, steps: int, training: Training, name: str) -> None:
    if not loss.isfinite():
        raise ValueError(
            f"The loss of {name} must be finite. Got {float(loss.detach())} after {steps} of {training.steps} steps "
            f"with 'learning_rate' {training.learning_rate}; take a smaller one"
        )


@torch.no_grad()
def entering_states(teacher: Any, index: int, batch: Batch) -> tuple[Tensor, Padding]:
    """The states (B, S, H) that enter layer ``index``, and which positions are real."""
    given = {"input_ids": batch} if isinstance(batch, Tensor) else batch
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = {name: given[name].to(teacher.device) for name in names if given.get(name) is not None}
    base = teacher.base_model
    mask = inputs.get("attention_mask")
    x_BSH = base.embeddings(inputs["input_ids"], inputs.get("token_type_ids"), None)
    padding = Padding.from_mask(mask, x_BSH.dtype, is_zeroed=teacher.config.mask_padding)
    for layer in base.encoder.layer[:index]:
        x_BSH, _ = layer(x_BSH, padding, False)
    return x_BSH, padding


def _over_real(loss_BS: Tensor, padding: Padding) -> Tensor:
    """Mean over real positions."""
    if padding.scores is None:
        return loss_BS.mean()
    is_real = (padding.scores[:, 0, 0] == 0).to(loss_BS.dtype)
    return (loss_BS * is_real).sum() / is_real.sum()


def _repeated(batches: Iterable[Batch]) -> Iterator[Batch]:
    kept = list(batches)
    if not kept:
        raise ValueError("There must be one batch or more to learn from. Got none")
    while True:
        yield from kept


def _check_scores(layer: Layer, num_heads: int, head_size: int) -> None:
    if (num_heads, head_size) != (len(layer.heads), layer.head_size):
        raise ValueError(
            f"Objective 'scores' ties the heads to the teacher's, {len(layer.heads)} of size {layer.head_size}. Got "
            f"{num_heads} of size {head_size}; use 'mse' or 'outputs'"
        )
    if any(head_operation(head.operation).attends is not Attends.CONTENTS for head in layer.heads):
        raise ValueError("Objective 'scores' needs a block of self-attention heads only; use 'mse' or 'outputs'")


def real_mean_square(got_BSH: Tensor, wanted_BSH: Tensor, padding: Padding) -> Tensor:
    """Mean squared error over real positions."""
    return _over_real(functional.mse_loss(got_BSH, wanted_BSH, reduction="none").mean(-1), padding)
