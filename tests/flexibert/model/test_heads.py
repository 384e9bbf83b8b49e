"""Task heads: losses against plain formulas, Auto classes, and what Hugging Face's Trainer needs."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.nn import functional

import flexibert
from flexibert import (
    FlexiBERTForMaskedLM,
    FlexiBERTForMultipleChoice,
    FlexiBERTForPreTraining,
    FlexiBERTForQuestionAnswering,
    FlexiBERTForSequenceClassification,
    FlexiBERTForTokenClassification,
    FlexiBERTModel,
)

MODEL_DICT = {"l": 2, "o": ["sa", "c"], "h": [16, 24], "n": [2, 2], "f": [[32], [32]], "p": ["wma", 3]}
EQUAL_WIDTHS = {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[32]], "p": ["sdp"]}
IDS = torch.tensor([[7, 3, 1, 9, 40], [4, 6, 30, 0, 0]])
BATCH = {"input_ids": IDS, "attention_mask": (IDS > 0).long(), "token_type_ids": torch.zeros_like(IDS)}

AUTO_CLASSES = {
    "AutoModel": FlexiBERTModel,
    "AutoModelForMaskedLM": FlexiBERTForMaskedLM,
    "AutoModelForSequenceClassification": FlexiBERTForSequenceClassification,
    "AutoModelForTokenClassification": FlexiBERTForTokenClassification,
    "AutoModelForQuestionAnswering": FlexiBERTForQuestionAnswering,
    "AutoModelForMultipleChoice": FlexiBERTForMultipleChoice,
}


@pytest.mark.parametrize("name", AUTO_CLASSES)
def test_auto_classes_find_ours_and_outputs_survive_saving(name: str, tiny: Callable, tmp_path: Path) -> None:
    model = getattr(transformers, name).from_config(tiny(MODEL_DICT, num_labels=3)).eval()
    assert type(model) is AUTO_CLASSES[name]
    inputs = {key: value.unsqueeze(0) if name.endswith("MultipleChoice") else value for key, value in BATCH.items()}
    model.save_pretrained(tmp_path)
    loaded = getattr(transformers, name).from_pretrained(tmp_path).eval()
    assert type(loaded) is AUTO_CLASSES[name]
    # Where weights lie in memory changes the last bits of a product.
    torch.testing.assert_close(loaded(**inputs)[0], model(**inputs)[0], atol=1e-6, rtol=1e-6)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_masked_lm_loss_counts_labelled_tokens_only(tiny: Callable) -> None:
    model = FlexiBERTForMaskedLM(tiny(MODEL_DICT)).eval()
    labels = torch.full_like(IDS, -100)
    labels[0, 1], labels[1, 2] = 5, 6
    output = model(**BATCH, labels=labels)
    chosen = torch.stack([output.logits[0, 1], output.logits[1, 2]]).log_softmax(-1)
    torch.testing.assert_close(output.loss, -(chosen[0, 5] + chosen[1, 6]) / 2)
    assert output.logits.shape == (2, 5, 41)


@pytest.mark.parametrize("of", [FlexiBERTForMaskedLM, FlexiBERTForPreTraining])
def test_sparse_prediction_scores_labelled_tokens_only_with_the_same_loss_and_gradients(
    of: type[FlexiBERTForMaskedLM | FlexiBERTForPreTraining], tiny: Callable
) -> None:
    model = of(tiny(MODEL_DICT)).eval()
    labels = torch.full_like(IDS, -100)
    labels[0, 1], labels[1, 2] = 5, 6
    targets = {"labels": labels}
    if of is FlexiBERTForPreTraining:
        targets["next_sentence_label"] = torch.tensor([0, 1])
    dense = model(**BATCH, **targets)
    dense.loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    model.config.sparse_prediction = True
    sparse = model(**BATCH, **targets)
    torch.testing.assert_close(sparse.loss, dense.loss)
    torch.testing.assert_close(sparse[1], torch.stack([dense[1][0, 1], dense[1][1, 2]]))
    sparse.loss.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name])
    assert model(**BATCH)[0].shape == (2, 5, 41)


@pytest.mark.parametrize(
    ("num_labels", "labels", "loss"),
    [
        (3, torch.tensor([2, 0]), functional.cross_entropy),
        (1, torch.tensor([0.5, -1.0]), lambda logits, labels: functional.mse_loss(logits[:, 0], labels)),
        (3, torch.tensor([[1.0, 0, 1], [0, 0, 1]]), functional.binary_cross_entropy_with_logits),
    ],
    ids=["classes", "regression", "multi-label"],
)
def test_sequence_classification_loss_fits_the_labels(
    tiny: Callable, num_labels: int, labels: Any, loss: Callable
) -> None:
    model = FlexiBERTForSequenceClassification(tiny(MODEL_DICT, num_labels=num_labels)).eval()
    output = model(**BATCH, labels=labels)
    assert output.logits.shape == (2, num_labels)
    torch.testing.assert_close(output.loss, loss(output.logits, labels))
    output.loss.backward()
    assert model.bert.embeddings.word_embeddings.weight.grad.abs().sum() > 0


def test_fractions_are_no_classes(tiny: Callable) -> None:
    config = tiny(MODEL_DICT, num_labels=2, problem_type="single_label_classification")
    with pytest.raises(ValueError, match="'labels' must be whole numbers, ids of classes. Got torch.float32"):
        FlexiBERTForSequenceClassification(config)(**BATCH, labels=torch.tensor([0.9, 0.2]))


def test_a_head_of_another_shape_starts_at_random_only_when_asked(tiny: Callable, tmp_path: Path) -> None:
    FlexiBERTForSequenceClassification(tiny(MODEL_DICT, num_labels=3)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="the task head has another shape .* with ignore_mismatched_sizes=True"):
        FlexiBERTForSequenceClassification.from_pretrained(tmp_path, num_labels=2)
    loaded = FlexiBERTForSequenceClassification.from_pretrained(tmp_path, num_labels=2, ignore_mismatched_sizes=True)
    assert loaded(**BATCH).logits.shape == (2, 2)


def test_token_classification_answers_and_choices(tiny: Callable) -> None:
    config = tiny(MODEL_DICT, num_labels=3)
    labels = torch.tensor([[0, 1, 2, 0, -100], [1, 1, 2, -100, -100]])
    tokens = FlexiBERTForTokenClassification(config).eval()(**BATCH, labels=labels)
    torch.testing.assert_close(tokens.loss, functional.cross_entropy(tokens.logits.view(-1, 3), labels.view(-1)))

    answers = FlexiBERTForQuestionAnswering(config).eval()
    start, end = torch.tensor([1, 2]), torch.tensor([3, 99])  # the second answer ends in what was cut off
    output = answers(**BATCH, start_positions=start, end_positions=end)
    ends = functional.cross_entropy(output.end_logits[:1], end[:1])
    torch.testing.assert_close(output.loss, (functional.cross_entropy(output.start_logits, start) + ends) / 2)

    choices = FlexiBERTForMultipleChoice(config).eval()
    output = choices(**{name: value.unsqueeze(0) for name, value in BATCH.items()}, labels=torch.tensor([1]))
    assert output.logits.shape == (1, 2)
    torch.testing.assert_close(output.loss, functional.cross_entropy(output.logits, torch.tensor([1])))
    with pytest.raises(ValueError, match=r"must be of shape \(batch, choices, sequence"):
        choices(**BATCH)


def test_the_decoder_is_tied_only_when_asked_and_as_wide_as_the_embeddings(tiny: Callable, tmp_path: Path) -> None:
    for model_dict, is_tying, expected in [
        (EQUAL_WIDTHS, False, False),
        (EQUAL_WIDTHS, True, True),
        (MODEL_DICT, True, False),
    ]:
        model = FlexiBERTForMaskedLM(tiny(model_dict, tie_word_embeddings=is_tying)).eval()
        model.save_pretrained(tmp_path)
        for each in (model, FlexiBERTForMaskedLM.from_pretrained(tmp_path).eval()):
            assert (each.cls.predictions.decoder.weight is each.bert.embeddings.word_embeddings.weight) is expected
            assert each.cls.predictions.bias is each.cls.predictions.decoder.bias
            assert torch.equal(each(**BATCH).logits, model(**BATCH).logits)


def test_an_encoder_folder_gives_a_new_head_and_the_same_encoder(tiny: Callable, tmp_path: Path) -> None:
    encoder = FlexiBERTModel(tiny(MODEL_DICT)).eval()
    encoder.save_pretrained(tmp_path)
    for model_class in (FlexiBERTForMaskedLM, FlexiBERTForSequenceClassification):
        model = model_class.from_pretrained(tmp_path).eval()
        assert torch.equal(model.bert(**BATCH)[0], encoder(**BATCH)[0])
        assert all(parameter.isfinite().all() for parameter in model.parameters())
    masked_lm = FlexiBERTForMaskedLM.from_pretrained(tmp_path)
    assert masked_lm.cls.predictions.bias.abs().max() == 0
    masked_lm.save_pretrained(tmp_path / "lm")
    assert torch.equal(FlexiBERTModel.from_pretrained(tmp_path / "lm").eval()(**BATCH)[0], encoder(**BATCH)[0])


def test_the_vocabulary_of_a_language_model_can_grow(tiny: Callable) -> None:
    model = FlexiBERTForMaskedLM(tiny(MODEL_DICT)).eval()
    before = model(**BATCH).logits
    model.resize_token_embeddings(44, mean_resizing=False)
    after = model(**BATCH).logits
    assert after.shape[-1] == 44
    torch.testing.assert_close(after[..., :41], before)


def test_a_few_steps_of_training_lower_the_loss(tiny: Callable, model_dict: dict) -> None:
    """As Trainer does it: batches of a padding collator, labels among them, the first output is the loss."""
    model = FlexiBERTForSequenceClassification(tiny(model_dict, num_labels=2, initializer_range=0.05)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        loss = model(**BATCH, labels=torch.tensor([0, 1]))[0]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.1 < losses[0]


ENCODER_INPUTS = ["input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"]
OUTPUTS = ["output_hidden_states", "output_attentions"]
LABELS = {
    "MaskedLM": {"labels": IDS},
    "SequenceClassification": {"labels": torch.tensor([0, 1])},
    "TokenClassification": {"labels": IDS % 2},
    "QuestionAnswering": {"start_positions": torch.tensor([0, 1]), "end_positions": torch.tensor([2, 1])},
    "MultipleChoice": {"labels": torch.tensor([0, 0])},
    "NextSentencePrediction": {"labels": torch.tensor([0, 1])},
    "PreTraining": {"labels": IDS, "next_sentence_label": torch.tensor([0, 1])},
}


@pytest.mark.parametrize("task", LABELS)
def test_forward_names_its_inputs_in_a_fixed_order(task: str) -> None:
    parameters = list(inspect.signature(getattr(flexibert, f"FlexiBERTFor{task}").forward).parameters)
    assert parameters == ["self", *ENCODER_INPUTS, *LABELS[task], *OUTPUTS]


@pytest.mark.parametrize("task", LABELS)
def test_trainer_keeps_the_columns_of_a_task_and_drops_others(tiny: Callable, tmp_path: Path, task: str) -> None:
    model = getattr(flexibert, f"FlexiBERTFor{task}")(tiny(MODEL_DICT, num_labels=2))
    seen: list[set[str]] = []
    model.register_forward_pre_hook(lambda _, __, given: seen.append(set(given)), with_kwargs=True)
    inputs = {key: value.unsqueeze(1) if task == "MultipleChoice" else value for key, value in BATCH.items()}
    columns = inputs | LABELS[task]
    hf_datasets = pytest.importorskip("datasets", reason="needs the extra 'search'")
    rows = hf_datasets.Dataset.from_dict({name: x.tolist() for name, x in columns.items()} | {"text": ["a", "b"]})
    arguments = transformers.TrainingArguments(
        str(tmp_path), max_steps=1, report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no"
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=rows)
    assert trainer.train().training_loss > 0 or task == "MultipleChoice"  # one choice is always right
    assert seen == [set(columns)]


def test_public_names_exist() -> None:
    for name in flexibert.__all__:
        assert getattr(flexibert, name).__doc__
