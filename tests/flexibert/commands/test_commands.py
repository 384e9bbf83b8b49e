"""The commands on model folders: what they write, what they say, how they refuse."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from flexibert import (
    FlexiBERTForMaskedLM,
    FlexiBERTForPreTraining,
    FlexiBERTForSequenceClassification,
    FlexiBERTModel,
    prune,
)
from flexibert.__main__ import COMMANDS, main
from flexibert.commands.masked_lm_loss import hide_tokens, masked_lm_loss, text_blocks
from flexibert.commands.model_folders import words_of
from tests.flexibert.conftest import tiny_config

BASE = {"l": 2, "o": ["sa", "sa"], "h": [16, 16], "n": [2, 2], "f": [[32], [24]], "p": ["sdp", "sdp"]}
WORDS = ["[PAD]", "[MASK]", "[UNK]", *(f"w{number}" for number in range(38))]


def _maker(place: Path) -> Callable[..., Path]:
    """Writes a model folder with a tokenizer of 41 words."""

    def write(
        name: str, model_dict: dict = BASE, model_class: type = FlexiBERTForMaskedLM, words: list = WORDS, **kwargs: Any
    ) -> Path:
        model_class(tiny_config(model_dict), **kwargs).save_pretrained(place / name)
        tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        names = {
            "pad_token": "[PAD]",
            "mask_token": "[MASK]",
            "unk_token": "[UNK]",
            "cls_token": None,
            "sep_token": None,
        }
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(place / name)
        return place / name

    (place / "text.txt").write_text(" ".join(f"w{number % 38}" for number in range(300)))
    return write


@pytest.fixture
def make(tiny: Callable, tmp_path: Path) -> Callable[..., Path]:
    return _maker(tmp_path)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and texts that no command may change."""
    place = tmp_path_factory.mktemp("inputs")
    torch.manual_seed(0)
    make = _maker(place)
    make("first")
    make("other", words=[*WORDS[:-1], "else"])
    make("encoder", model_class=FlexiBERTModel)
    make("classifier", model_class=FlexiBERTForSequenceClassification)
    (place / "two.txt").write_text("w1 w2")
    turned = make("reversed", model_class=FlexiBERTForSequenceClassification) / "config.json"
    turned.write_text(json.dumps(json.loads(turned.read_text()) | {"id2label": {0: "LABEL_1", 1: "LABEL_0"}}))
    (place / "tagged.jsonl").write_text('{"tokens": ["w1", "w2"], "tags": ["0", "1"]}\n' * 12)
    (place / "several.jsonl").write_text('{"text": "w1", "labels": ["0", "1"]}\n{"text": "w2", "labels": ["1"]}\n' * 9)
    (place / "single.csv").write_text("text,label\n" + "w1,LABEL_0\nw2,LABEL_1\n" * 9)
    (place / "latin.tsv").write_bytes("sentence\tlabel\ncaf\u00e9\t1\n".encode("latin-1"))
    return place


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_the_list_of_commands_names_each(capsys: pytest.CaptureFixture) -> None:
    assert _run("--help") == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_under_both_spellings(name: str, capsys: pytest.CaptureFixture) -> None:
    for spelling in (name, name.replace("-", "_")):
        assert _run(spelling, "--help") == 0
        assert f"python -m flexibert {name}" in capsys.readouterr().out


def test_a_misspelt_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture) -> None:
    assert _run("stich") == 2
    assert "error: 'stich' is no command of flexibert. Did you mean 'stitch'?" in capsys.readouterr().err


def test_stitch_writes_the_stitched_model_and_its_loss(
    make: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first, second = make("first"), make("second", BASE | {"h": [24, 24]})
    text = tmp_path / "text.txt"
    assert (
        _run("stitch", first, second, tmp_path / "wide", "--text", text, "--block_length", 10, "--text_share", 0.5) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    wide = FlexiBERTForMaskedLM.from_pretrained(tmp_path / "wide")
    assert f"{wide.num_parameters():,} parameters" in lines[2]
    ids = torch.arange(3, 9).view(1, -1)
    mean = sum(FlexiBERTForMaskedLM.from_pretrained(folder)(ids).logits for folder in (first, second)) / 2
    torch.testing.assert_close(wide(ids).logits, mean, atol=1e-5, rtol=0)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "wide")
    blocks = text_blocks(text, tokenizer, 10)[:15]
    loss = masked_lm_loss(wide, *hide_tokens(blocks, 1, [0, 1, 2]))
    assert lines[2].endswith(f"masked-LM loss {loss:.4f}")


def test_stitch_takes_a_random_second_source(make: Callable, tmp_path: Path) -> None:
    assert _run("stitch", make("first"), "random", tmp_path / "wide", "--seed", 3) == 0
    assert FlexiBERTForMaskedLM.from_pretrained(tmp_path / "wide").config.model_dict == {"groups": [BASE, BASE]}


def test_transfer_writes_the_target_and_its_overlap(
    make: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source = make("source", model_class=FlexiBERTForSequenceClassification)
    (tmp_path / "wanted.json").write_text(json.dumps(BASE))
    assert _run("transfer", source, tmp_path / "wanted.json", tmp_path / "same", "--text", tmp_path / "text.txt") == 0
    shown = capsys.readouterr().out
    assert "overlap      1.0000" in shown
    assert "masked-LM loss none (no masked-LM head)" in shown
    ids = torch.arange(3, 9).view(1, -1)
    loaded = [FlexiBERTForSequenceClassification.from_pretrained(tmp_path / name) for name in ("source", "same")]
    assert torch.equal(loaded[0](ids).logits, loaded[1](ids).logits)


def test_retrain_block_and_merge_layers_write_models_and_losses(
    make: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    teacher, text = make("teacher"), tmp_path / "text.txt"
    larger = make("larger", BASE | {"h": [32, 32]})
    flags = ["--train_text", text, "--text", text, "--text_share", 1, "--block_length", 10, "--steps", 3]
    flags += ["--larger", larger, "--num_heads", 3, "--head_size", 4]
    assert _run("retrain_block", teacher, tmp_path / "new", "--blocks", 1, *flags) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["teacher", "retrained", "larger", "block", "written"]
    assert all("masked-LM loss" in line for line in lines[:3])
    new = FlexiBERTForMaskedLM.from_pretrained(tmp_path / "new")
    assert new.config.model_dict["o"] == [["sa_sdp_8"] * 2, ["sa_sdp_4"] * 3]
    assert _run("merge-layers", teacher, tmp_path / "half", "--pairs", "0-1", *flags) == 0
    assert FlexiBERTForMaskedLM.from_pretrained(tmp_path / "half").config.num_hidden_layers == 1
    assert "merged" in capsys.readouterr().out


ROWS = [(f"w{3 + i} w{i % 2}", f"w{9 + i}", i % 2) for i in range(20)]
TABLES = {
    "plain.tsv": ["sentence1\tsentence2\tlabel", *(f"{a}\t{b}\t{label}" for a, b, label in ROWS)],
    "LABEL FIRST.TSV": ["label\tsentence1\tsentence2", *(f"{label}\t{a}\t{b}" for a, b, label in ROWS), ""],
    "numbered.csv": ["id,sentence1,sentence2,label", *(f"{i + 100},{a},{b},{y}" for i, (a, b, y) in enumerate(ROWS))],
    "lines.jsonl": [json.dumps({"sentence1": a, "sentence2": b, "label": str(label)}) for a, b, label in ROWS],
}


def _classifier(make: Callable, tmp_path: Path) -> Path:
    """Of pairs of texts, which reads segments."""
    torch.manual_seed(0)
    folder = make("parent", model_class=FlexiBERTForSequenceClassification)
    model = FlexiBERTForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.bert.embeddings.token_type_embeddings.weight.normal_()
    model.save_pretrained(folder)
    names = json.loads((folder / "tokenizer_config.json").read_text())
    names["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


@pytest.mark.parametrize("name", TABLES)
def test_examples_are_read_as_tasks_are_with_segments(make: Callable, tmp_path: Path, capsys: Any, name: str) -> None:
    pytest.importorskip("datasets", reason="needs the extra 'search'")
    folder = _classifier(make, tmp_path)
    (tmp_path / name).write_text("\n".join(TABLES[name]) + "\n")
    assert _run("prune", folder, tmp_path / "child", "--density", 0.7, "--examples", tmp_path / name) == 0
    shown = capsys.readouterr().out
    model, child = (FlexiBERTForSequenceClassification.from_pretrained(tmp_path / x) for x in ("parent", "child"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = dict(tokenizer([row[0] for row in ROWS], [row[1] for row in ROWS], return_tensors="pt", padding=True))
    assert batch["token_type_ids"].any()
    batch["labels"] = torch.tensor([row[2] for row in ROWS])
    expected = prune(model, density=0.7, examples=[batch])
    torch.testing.assert_close(child(**batch).logits, expected(**batch).logits, rtol=0, atol=1e-3)
    right = [(x.eval()(**batch).logits.argmax(-1) == batch["labels"]).float().mean() for x in (model, child)]
    assert f"accuracy     {right[0]:.4f} before, {right[1]:.4f} after, on 20 examples" in shown
    assert "latency_ms   " in shown


def test_what_is_lost_is_said_where_there_are_labelled_rows(make: Callable, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("datasets", reason="needs the extra 'search'")
    folder = _classifier(make, tmp_path)
    (tmp_path / "rows.tsv").write_text("\n".join(TABLES["plain.tsv"]) + "\n")
    rows = ["--examples", tmp_path / "rows.tsv", "--max_examples", 12]
    half = json.dumps({key: value[:1] for key, value in BASE.items() if key != "l"} | {"l": 1})
    assert _run("transfer", folder, half, tmp_path / "half", *rows) == 0
    shown = capsys.readouterr().out
    assert "overlap      1.0000" in shown
    assert " after, on 12 examples" in shown
    learn = ["--train_text", tmp_path / "text.txt", "--block_length", 10, "--steps", 1]
    assert _run("merge-layers", folder, tmp_path / "merged", *learn, *rows) == 0
    assert " after, on 12 examples" in capsys.readouterr().out
    (tmp_path / "rows.tsv").write_text((tmp_path / "rows.tsv").read_text().replace("\t1\n", "\tfine\n"))
    assert _run("transfer", folder, half, tmp_path / "new", *rows) == 2
    assert "labels must be the model's, LABEL_0, LABEL_1, or their numbers. Got 0, fine" in capsys.readouterr().err


TEXT = ["--text", "{text}"]
SHORT = ["--text", "{two}", "--block_length", "2", "--text_share", "1"]
LEARN = ["--train_text", "{text}", "--block_length", "10"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stitch", "{first}", "{first}", "{first}"], "first: exists already; name a folder that does not"),
        (["stitch", "{first}", "{missing}", "{new}"], "missing: is not a model folder"),
        (["stitch", "{first}", "{first}", "{new}", "--epsilon", "-1"], "'epsilon' must be 0 or above. Got -1.0"),
        (["stitch", "{first}", "{encoder}", "{new}"], "must be of one class"),
        (["stitch", "{first}", "{first}", "{new}", "--epsilom", "1"], "unknown argument --epsilom"),
        (["transfer", "{first}", "{missing}", "{new}"], "No such file"),
        (["transfer", "{first}", "{{", "{new}"], "the model dict: is not JSON"),
        (["transfer", "{first}", '{{"l": 1}}', "{new}"], "Key 'o' is missing from the model dict"),
        (
            ["transfer", "{first}", '{{"l": 1, "o": [["sa_sdp_8"]], "h": [16], "f": [[8]]}}', "{new}"],
            "models of one format",
        ),
        (["retrain-block", "{first}", "{new}", *LEARN, "--blocks", "2"], "The teacher has layers 0 to 1. Got 2"),
        (
            ["retrain-block", "{first}", "{new}", *LEARN, "--steps", "0"],
            "at least 1. Got '0'",
        ),
        (["merge-layers", "{first}", "{new}", *LEARN, "--pairs", "01"], "'--pairs' are written first-second"),
        (["merge-layers", "{first}", "{new}", *LEARN, "--pairs", "1-2"], "outside the teacher's layers 0 to 1"),
        (
            ["stitch", "{first}", "{first}", "{new}", "--text", "{text}", "--text_share", "2"],
            "'text_share' must be in (0, 1]. Got '2'",
        ),
        (
            ["stitch", "{first}", "{first}", "{new}", *TEXT, "--block_length", "0"],
            "must be a whole number of at least 1",
        ),
        (["stitch", "{first}", "{first}", "{new}", *TEXT, "--block_length", "1000"], "the model's longest sequence"),
        (["stitch", "{first}", "{first}", "{new}", "--text", "{first}/model.safetensors"], "is not UTF-8 text"),
        (
            ["merge-layers", "{first}", "{new}", *LEARN, "--batch_size", "0"],
            "must be a whole number of at least 1. Got '0'",
        ),
        (
            ["prune", "{encoder}", "{new}", "--density", "0.5", "--examples", "{text}"],
            "--examples needs a FlexiBERTForSequenceClassification. Got a FlexiBERTModel",
        ),
        (
            ["prune", "{encoder}", "{new}", "--density", "0.5", *TEXT, "--block_length", "10"],
            "--text needs a model with a masked-LM head. Got a FlexiBERTModel",
        ),
        (["stitch", "{first}", "random", "{new}", "--seed", "9" * 20], "'seed' must be a whole number from -2^63 to"),
        (
            ["stitch", "{first}", "~no-such-user/x", "{new}"],
            "~no-such-user/x: names the home folder of no user; write ./~no-such-user/x",
        ),
        (
            ["stitch", "~no-such-user/x", "{first}", "{new}"],
            "~no-such-user/x: names the home folder of no user; write ./~no-such-user/x",
        ),
        (["stitch", "{first}", "{other}", "{new}"], "Token 40 is 'else' here and 'w37' there"),
        (["retrain-block", "{first}", "{new}", *LEARN, "--larger", "{other}"], "Token 40 is 'else' here"),
        (
            ["merge-layers", "{first}", "{new}", *LEARN, "--learning_rate", "inf"],
            "must be a finite number above 0. Got 'inf'",
        ),
        (["stitch", "{first}", "random", "{new}", *SHORT], "No token of 2 is hidden"),
        (["transfer", "{first}", json.dumps(BASE).replace("{", "{{").replace("}", "}}"), "{new}", *SHORT], "of 2 is"),
        (["merge-layers", "{first}", "{new}", "--train_text", "{text}", "--steps", "1", *SHORT], "No token of 2"),
        (["retrain-block", "{first}", "{new}", "--train_text", "{text}", "--steps", "1", *SHORT], "No token of 2"),
        (["prune", "{first}", "{new}", "--density", "0.7", *SHORT], "No token of 2 is hidden"),
        (
            ["prune", "{classifier}", "{new}", "--density", "0.7", "--examples", "{latin}"],
            "latin.tsv, line 2 is not UTF-8 text (invalid continuation byte). Save the file as UTF-8",
        ),
        (
            ["prune", "{classifier}", "{new}", "--density", "0.7", "--examples", "{tagged}"],
            "tagged.jsonl: labels must be of whole texts, as the model's. Got a table for token_classification",
        ),
        (
            ["prune", "{classifier}", "{new}", "--density", "0.7", "--examples", "{several}"],
            "several.jsonl: a text must have one of the labels, as the model gives it. Got several",
        ),
        (
            ["prune", "{classifier}", "{reversed}", "--report", "--examples", "{single}"],
            "Both models must have the same labels. Got LABEL_0, LABEL_1 of a FlexiBERTForSequenceClassification, and",
        ),
    ],
)
def test_bad_input_ends_in_one_message_and_no_folder(
    arguments: list[str], message: str, inputs: Path, capsys: pytest.CaptureFixture
) -> None:
    if "--examples" in arguments:
        pytest.importorskip("datasets", reason="tables of examples are read by the extra 'search'")
    before = sorted(path.name for path in inputs.iterdir())
    places = {path.stem: path for path in inputs.iterdir()} | {name: inputs / name for name in ("missing", "new")}
    assert _run(*(argument.format(**places) for argument in arguments)) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in inputs.iterdir()) == before


def test_a_pretraining_model_has_a_masked_lm_head(
    make: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    model = make("model", model_class=FlexiBERTForPreTraining)
    flags = ["--text", tmp_path / "text.txt", "--block_length", 10, "--text_share", 1]
    assert _run("prune", model, tmp_path / "child", "--density", 0.7, *flags) == 0
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    blocks = text_blocks(tmp_path / "text.txt", tokenizer, 10)
    inputs, labels = hide_tokens(blocks, 1, [0, 1, 2])
    for name, line in zip(("model", "child"), capsys.readouterr().out.splitlines(), strict=False):
        found = FlexiBERTForPreTraining.from_pretrained(tmp_path / name).eval()(inputs, labels=labels)
        assert line.endswith(f"masked-LM loss {found.loss:.4f}")


def test_an_encoder_without_a_pooler_stays_one(make: Callable, tmp_path: Path) -> None:
    model = make("model", model_class=FlexiBERTModel, add_pooling_layer=False)
    learn = ["--train_text", tmp_path / "text.txt", "--block_length", 10, "--steps", 1]
    commands = [
        ("transfer", model, json.dumps(BASE | {"f": [[8], [8]]})),
        ("stitch", model, model),
        ("merge-layers", model),
        ("retrain-block", model),
    ]
    for number, command in enumerate(commands):
        target = tmp_path / f"new{number}"
        assert _run(*command, target, *(learn if number > 1 else [])) == 0
        names = load_file(target / "model.safetensors")
        assert not [name for name in names if "pooler" in name]


def test_the_home_folder_may_be_written_as_a_tilde(
    make: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("first")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "spec.json").write_text(json.dumps(BASE))
    assert _run("stitch", "~/first", "~/first", "~/wide") == 0
    assert _run("transfer", "~/first", "~/spec.json", "~/same") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"first", "wide", "same", "spec.json", "text.txt"}


def test_a_loss_needs_a_hidden_token_and_a_block_room_for_one(make: Callable, tmp_path: Path) -> None:
    model = FlexiBERTForMaskedLM.from_pretrained(make("model"))
    ids = torch.arange(3, 9).view(1, -1)
    with pytest.raises(ValueError, match="No token of 6 is hidden"):
        masked_lm_loss(model, ids, torch.full_like(ids, -100))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "model", cls_token="w1", sep_token="w2")
    with pytest.raises(ValueError, match="must be longer than their 2 special tokens. Got 2"):
        text_blocks(tmp_path / "text.txt", tokenizer, 2)


def test_lists_of_words_alone_are_compared_too(tiny: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, words in (("a", WORDS), ("same", WORDS), ("other", [*WORDS[:5], "x", *WORDS[6:]])):
        FlexiBERTForMaskedLM(tiny(BASE)).save_pretrained(tmp_path / name)
        (tmp_path / name / "vocab.txt").write_text("\n".join(words))
    assert _run("stitch", tmp_path / "a", tmp_path / "same", tmp_path / "stitched") == 0
    assert _run("stitch", tmp_path / "a", tmp_path / "other", tmp_path / "never") == 2
    assert "Token 5 is 'x' here and 'w2' there" in capsys.readouterr().err


def test_words_are_lines_and_nothing_else_ends_one(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("a\nb\u2028c\nd\n", encoding="utf-8")
    assert words_of(tmp_path) == {0: "a", 1: "b\u2028c", 2: "d"}
