"""What the pooler reads: the first token, or the mean of the real ones."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from flexibert import (
    FlexiBERTForMaskedLM,
    FlexiBERTForMultipleChoice,
    FlexiBERTForSequenceClassification,
    FlexiBERTModel,
    stitch,
    to_bert,
)

IDS = torch.tensor([[7, 3, 1, 9, 40, 12], [4, 6, 30, 0, 0, 0], [9, 0, 0, 0, 0, 0]])
MASK = (IDS != 0).long()
ATTENTION = {"l": 2, "o": ["sa", "sa"], "h": [16, 24], "n": [2, 3], "f": [[32], [32]], "p": ["sdp", "wma"]}
BERT = {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[8]], "p": ["sdp"]}


def _expected(model: FlexiBERTModel, mask: torch.Tensor) -> torch.Tensor:
    states = model(IDS, mask).last_hidden_state
    means = torch.stack([row[real].mean(0) for row, real in zip(states, mask.bool(), strict=True)])
    return torch.tanh(model.pooler.dense(means))


@pytest.mark.parametrize("mask_padding", [True, False])
def test_the_mean_is_of_real_positions(mask_padding: bool, tiny: Callable, model_dict: dict) -> None:
    model = FlexiBERTModel(tiny(model_dict, pooling="mean", mask_padding=mask_padding)).eval()
    torch.testing.assert_close(model(IDS, MASK).pooler_output, _expected(model, MASK), atol=1e-6, rtol=0)
    everything = torch.ones_like(IDS)
    torch.testing.assert_close(model(IDS).pooler_output, _expected(model, everything), atol=1e-6, rtol=0)
    first = FlexiBERTModel(tiny(model_dict)).eval()
    torch.testing.assert_close(
        first(IDS, MASK).pooler_output, torch.tanh(first.pooler.dense(first(IDS, MASK).last_hidden_state[:, 0]))
    )


def test_what_stands_at_padded_positions_does_not_matter(tiny: Callable) -> None:
    model = FlexiBERTForSequenceClassification(tiny(ATTENTION, pooling="mean")).eval()
    padded, other = model(IDS, MASK).logits, model(torch.where(MASK.bool(), IDS, 17), MASK).logits
    torch.testing.assert_close(padded, other, atol=1e-5, rtol=0)
    torch.testing.assert_close(padded[1:2], model(IDS[1:2, :3]).logits, atol=1e-5, rtol=0)


def test_one_mask_for_all_texts_and_a_text_of_padding_alone(tiny: Callable) -> None:
    model = FlexiBERTModel(tiny(ATTENTION, pooling="mean")).eval()
    for_all = model(IDS, MASK[:1] * MASK[1:2]).pooler_output
    torch.testing.assert_close(for_all, model(IDS, MASK[1:2].expand(3, -1)).pooler_output, atol=1e-6, rtol=0)
    nothing = model(IDS, MASK * 0).pooler_output
    torch.testing.assert_close(nothing, torch.tanh(model.pooler.dense.bias).expand(3, -1))


def test_grouped_models_and_choices_pool_the_mean(tiny: Callable) -> None:
    config = tiny(ATTENTION, pooling="mean")
    a, b = (FlexiBERTModel(config).eval() for _ in range(2))
    both = stitch(a, b)(IDS, MASK).pooler_output
    torch.testing.assert_close(both, torch.cat([model(IDS, MASK).pooler_output for model in (a, b)], 1))
    with pytest.raises(ValueError, match="'pooling' must be the same in both models. Got 'mean' and 'cls'"):
        stitch(a, FlexiBERTModel(tiny(ATTENTION)))
    model = FlexiBERTForMultipleChoice(config).eval()
    scores = model.classifier(model.bert(IDS, MASK).pooler_output).view(1, 3)
    torch.testing.assert_close(model(IDS.unsqueeze(0), MASK.unsqueeze(0)).logits, scores)


def test_it_is_saved_and_a_folder_without_the_option_reads_the_first_token(tiny: Callable, tmp_path: Path) -> None:
    model = FlexiBERTForSequenceClassification(tiny(ATTENTION, pooling="mean")).eval()
    model.save_pretrained(tmp_path)
    loaded = FlexiBERTForSequenceClassification.from_pretrained(tmp_path).eval()
    assert loaded.config.pooling == "mean"
    assert torch.equal(loaded(IDS, MASK).logits, model(IDS, MASK).logits)
    config = (tmp_path / "config.json").read_text()
    assert '"pooling": "mean",\n' in config
    (tmp_path / "config.json").write_text(config.replace('  "pooling": "mean",\n', ""))
    old = FlexiBERTForSequenceClassification.from_pretrained(tmp_path)
    assert old.config.pooling == "cls"
    assert not old.bert.pooler.is_mean


def test_bert_has_no_such_pooler(tiny: Callable) -> None:
    config = tiny(BERT, pooling="mean", position_embedding_type="absolute")
    for model in (FlexiBERTForSequenceClassification(config), FlexiBERTModel(config)):
        with pytest.raises(ValueError, match="'pooling' must be cls: BERT's pooler reads the first token. Got 'mean'"):
            to_bert(model)
    assert to_bert(FlexiBERTForMaskedLM(config)).config.hidden_size == 16


def test_compilation_finds_one_graph(tiny: Callable, model_dict: dict) -> None:
    model = FlexiBERTForSequenceClassification(tiny(model_dict, pooling="mean")).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(IDS, MASK).logits, model(IDS, MASK).logits, atol=1e-5, rtol=0)


def test_an_exported_program_looks_at_the_mask_at_every_length(tiny: Callable) -> None:
    model = FlexiBERTForSequenceClassification(tiny(ATTENTION, pooling="mean")).eval()
    example = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=16)}
    program = torch.export.export(model, (), example, dynamic_shapes={name: sizes for name in example}).module()
    for length in (6, 4):
        ids, mask = IDS[:2, :length], MASK[:2, :length]
        with torch.no_grad():
            found = program(input_ids=ids, attention_mask=mask).logits
            torch.testing.assert_close(found, model(ids, mask).logits, atol=1e-5, rtol=0)
