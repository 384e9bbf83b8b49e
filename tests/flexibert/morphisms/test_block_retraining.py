"""Retrained attention blocks and merged layers: what they learn, the models they make, what is refused."""

from collections.abc import Callable

import pytest
import torch

from flexibert import (
    FlexiBERTForMaskedLM,
    FlexiBERTForSequenceClassification,
    FlexiBERTModel,
    Training,
    combine_blocks,
    merge_layers,
    retrain_block,
    stitch,
)
from flexibert.morphisms.block_retraining import entering_states

TEACHER = {"l": 4, "o": ["sa"] * 4, "h": [16] * 4, "n": [2] * 4, "f": [[24]] * 4, "p": ["sdp", "wma", "sdp", "sdp"]}
IDS = torch.randint(41, (8, 12), generator=torch.Generator().manual_seed(1))
MASK = torch.ones_like(IDS).index_fill_(1, torch.tensor([10, 11]), 0)
SHORT = Training(steps=150, learning_rate=1e-2)
ONE = Training(steps=1)


def _teacher(tiny: Callable, model_class: type = FlexiBERTModel, **changes: object) -> torch.nn.Module:
    return model_class(tiny(TEACHER | changes)).eval()


@pytest.mark.parametrize("objective", ["mse", "outputs", "scores"])
def test_a_retrained_block_learns_what_the_teachers_does(objective: str, tiny: Callable) -> None:
    teacher = _teacher(tiny)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    batches = [{"input_ids": IDS, "attention_mask": MASK}]
    block = retrain_block(teacher, 2, batches, objective=objective, training=SHORT)
    fresh = retrain_block(teacher, 2, batches, objective=objective, training=ONE)
    x_BSH, padding = entering_states(teacher, 2, batches[0])
    real = MASK.bool()
    wanted, got, start = (
        module.attention(x_BSH, padding, False)[0][real]
        for module in (teacher.encoder.layer[2], block.part.module, fresh.part.module)
    )
    assert (got - wanted).square().mean() < 0.1 * (start - wanted).square().mean()
    assert len(block.losses) == 150
    assert block.losses[-1] < block.losses[0]
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_scores_learn_the_teachers_attention_weights(tiny: Callable) -> None:
    teacher = _teacher(tiny)
    block = retrain_block(teacher, 0, [IDS], objective="scores", training=Training(steps=400, learning_rate=1e-2))
    x_BSH, padding = entering_states(teacher, 0, IDS)
    wanted, got = (m.attention.self(x_BSH, padding, True)[1] for m in (teacher.encoder.layer[0], block.part.module))
    assert (wanted - got).abs().mean() < 0.01
    value = block.part.module.attention.self.value.weight
    assert torch.equal(value, teacher.encoder.layer[0].attention.self.value.weight)


def test_combined_blocks_run_in_place_of_the_teachers(tiny: Callable) -> None:
    teacher = _teacher(tiny, FlexiBERTForMaskedLM)
    blocks = [retrain_block(teacher, index, [IDS], num_heads=4, head_size=4, training=ONE) for index in (1, 3)]
    combined = combine_blocks(teacher, blocks)
    assert combined.config.model_dict == TEACHER | {"n": [2, 4, 2, 4], "p": ["sdp"] * 4}
    x_BSH, padding = entering_states(teacher, 0, IDS)
    for index, layer in enumerate(teacher.bert.encoder.layer):
        module = next((block.part.module for block in blocks if block.index == index), layer)
        x_BSH, _ = module(x_BSH, padding, False)
    torch.testing.assert_close(combined(IDS).logits, teacher.cls.predictions(x_BSH))


def test_heads_not_as_wide_as_the_layer_make_a_hetero_model_of_the_same_function(tiny: Callable) -> None:
    teacher = _teacher(tiny)
    block = retrain_block(teacher, 3, [IDS], num_heads=3, head_size=4, training=ONE)
    combined = combine_blocks(teacher, [block])
    assert combined.config.model_dict["o"] == [["sa_sdp_8"] * 2, ["sa_wma_8"] * 2, ["sa_sdp_8"] * 2, ["sa_sdp_4"] * 3]
    x_BSH, padding = entering_states(teacher, 3, IDS)
    want, _ = block.part.module(x_BSH, padding, False)
    torch.testing.assert_close(combined(IDS)[0], want, atol=1e-5, rtol=1e-5)


def test_a_merged_layer_learns_what_two_do(tiny: Callable) -> None:
    teacher = _teacher(tiny)
    training = Training(steps=300, learning_rate=1e-2)
    merged, fresh = (merge_layers(teacher, [IDS], pairs=[(2, 3)], training=each) for each in (training, ONE))
    assert merged.config.num_hidden_layers == 3
    assert merged.config.model_dict["p"] == ["sdp", "wma", "sdp"]
    want = teacher(IDS)[0]
    assert (merged(IDS)[0] - want).square().mean() < 0.2 * (fresh(IDS)[0] - want).square().mean()


def test_every_second_pair_halves_the_layers_and_keeps_the_head(tiny: Callable) -> None:
    teacher = _teacher(tiny, FlexiBERTForSequenceClassification)
    merged = merge_layers(teacher, [IDS], num_heads=4, head_size=4, training=ONE)
    assert merged.config.model_dict == {"l": 2, "o": ["sa"] * 2, "h": [16] * 2, "n": [4] * 2} | {
        "f": [[24]] * 2,
        "p": ["sdp"] * 2,
    }
    assert torch.equal(merged.classifier.weight, teacher.classifier.weight)
    assert merged.classifier.weight.data_ptr() != teacher.classifier.weight.data_ptr()
    loss = merged.train()(IDS, labels=torch.zeros(8, dtype=torch.long)).loss
    loss.backward()
    assert all(parameter.grad is not None for parameter in merged.parameters())


def test_widths_that_change_after_a_pair_are_kept(tiny: Callable) -> None:
    teacher = _teacher(tiny, h=[16, 16, 24, 24])
    merged = merge_layers(teacher, [IDS], training=ONE)
    assert merged.config.model_dict["h"] == [16, 24]
    assert merged(IDS)[0].shape == (8, 12, 24)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(0, 1), (1, 2)], r"\(1, 2\) overlaps another pair"),
        ([(3, 4)], r"\(3, 4\) is outside the teacher's layers 0 to 3"),
        ([(-1, 0)], r"\(-1, 0\) is outside"),
        ([(0, 2)], r"\(0, 2\) are not neighbors"),
        ([], "there must be one pair or more"),
    ],
)
def test_bad_pairs_are_refused(pairs: list, message: str, tiny: Callable) -> None:
    with pytest.raises(ValueError, match=message):
        merge_layers(_teacher(tiny), [IDS], pairs=pairs)


def test_pairs_of_two_widths_are_refused(tiny: Callable) -> None:
    with pytest.raises(ValueError, match=r"\(1, 2\) differ in width, 16 and 24"):
        merge_layers(_teacher(tiny, h=[16, 16, 24, 24]), [IDS], pairs=[(1, 2)])


def test_blocks_and_teachers_that_do_not_fit_are_refused(tiny: Callable) -> None:
    teacher = _teacher(tiny)
    cases = [
        (dict(index=4), "The teacher has layers 0 to 3. Got 4"),
        (dict(index=-1), "The teacher has layers 0 to 3. Got -1"),
        (dict(objective="kl"), "'objective' must be one of mse, outputs, scores. Got 'kl'"),
        (dict(objective="scores", num_heads=4), "ties the heads to the teacher's, 2 of size 8. Got 4 of size 8"),
        (dict(num_heads=0), "needs at least one head"),
        (dict(head_size=0), "size"),
        (dict(batches=[]), "one batch or more to learn from. Got none"),
        (dict(teacher=torch.nn.Linear(2, 2)), "must be a FlexiBERT model of text. Got Linear"),
        (dict(teacher=stitch(teacher, teacher)), "must have one residual stream"),
    ]
    for change, message in cases:
        with pytest.raises(ValueError, match=message):
            retrain_block(**({"teacher": teacher, "index": 0, "batches": [IDS], "training": ONE} | change))
    block = retrain_block(teacher, 1, [IDS], training=ONE)
    with pytest.raises(ValueError, match=r"Each block may be given once. Got blocks \[1, 1\]"):
        combine_blocks(teacher, [block, block])
    with pytest.raises(ValueError, match="Block 1 is not of this teacher: its width is 16"):
        combine_blocks(_teacher(tiny, h=[24] * 4), [block])
    message = "'steps' must be 1 or more and 'learning_rate' a number above 0. Got "
    with pytest.raises(ValueError, match=f"{message}0 and 0.001"):
        Training(steps=0)
    for rate in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"{message}500 and {rate}"):
            Training(learning_rate=rate)


@pytest.mark.parametrize("steps", [1, 20])
def test_a_training_that_diverges_gives_no_model(steps: int, tiny: Callable) -> None:
    teacher = _teacher(tiny).train()
    training = Training(steps=steps, learning_rate=1e30)
    message = f"must be finite. Got nan after 1 of {steps} steps with 'learning_rate' 1e.30; take a smaller one"
    with pytest.raises(ValueError, match=f"The loss of block 1 {message}"):
        retrain_block(teacher, 1, [IDS], training=training)
    with pytest.raises(ValueError, match=f"The loss of layers 2 and 3 {message}"):
        merge_layers(teacher, [IDS], pairs=[(2, 3)], training=training)
    assert teacher.training


def test_standard_transforms_beside_heads_of_another_width_are_refused(tiny: Callable) -> None:
    teacher = _teacher(tiny, o=["sa", "sa", "l", "c"], p=["sdp", "wma", "dft", 3])
    with pytest.raises(ValueError, match="objective|Objective 'scores' needs a block of self-attention heads"):
        retrain_block(teacher, 2, [IDS], objective="scores")
    block = retrain_block(teacher, 0, [IDS], num_heads=3, head_size=4, training=ONE)
    with pytest.raises(ValueError, match=r"need the hetero format, which layers \[2, 3\]"):
        combine_blocks(teacher, [block])
    block = retrain_block(teacher, 2, [IDS], training=ONE)
    assert combine_blocks(teacher, [block]).config.model_dict["o"] == ["sa", "sa", "sa", "c"]
