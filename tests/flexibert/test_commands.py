"""The commands on model folders: what they write, what they say, how they refuse."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from flexibert import FlexiBERTForMaskedLM, FlexiBERTForSequenceClassification, FlexiBERTModel
from flexibert.__main__ import COMMANDS, main
from flexibert.text_loss import hide_tokens, masked_lm_loss, text_blocks

BASE = {"l": 2, "o": ["sa", "sa"], "h": [16, 16], "n": [2, 2], "f": [[32], [24]], "p": ["sdp", "sdp"]}
WORDS = ["[PAD]", "[MASK]", "[UNK]", *(f"w{number}" for number in range(38))]


@pytest.fixture
def make(tiny: Callable, tmp_path: Path) -> Callable[..., Path]:
    """Writes a model folder with a tokenizer of 41 words."""

    def write(name: str, model_dict: dict = BASE, model_class: type = FlexiBERTForMaskedLM, **options: object) -> Path:
        model_class(tiny(model_dict, **options)).save_pretrained(tmp_path / name)
        tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        names = {
            "pad_token": "[PAD]",
            "mask_token": "[MASK]",
            "unk_token": "[UNK]",
            "cls_token": None,
            "sep_token": None,
        }
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(tmp_path / name)
        return tmp_path / name

    (tmp_path / "text.txt").write_text(" ".join(f"w{number % 38}" for number in range(300)))
    return write


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


TEXT = ["--text", "{text}"]
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
        (["retrain-block", "{first}", "{new}", *LEARN, "--steps", "0"], "'steps' must be 1 or more"),
        (["merge-layers", "{first}", "{new}", *LEARN, "--pairs", "01"], "'--pairs' are written first-second"),
        (["merge-layers", "{first}", "{new}", *LEARN, "--pairs", "1-2"], "outside the teacher's layers 0 to 1"),
        (
            ["stitch", "{first}", "{first}", "{new}", "--text", "{text}", "--text_share", "2"],
            "'--text_share' must be above 0 and at most 1",
        ),
        (["stitch", "{first}", "{first}", "{new}", *TEXT, "--block_length", "0"], "must be a whole number above 0"),
        (["stitch", "{first}", "{first}", "{new}", *TEXT, "--block_length", "1000"], "the model's longest sequence"),
        (["stitch", "{first}", "{first}", "{new}", "--text", "{first}/model.safetensors"], "must be a text in UTF-8"),
        (["merge-layers", "{first}", "{new}", *LEARN, "--batch_size", "0"], "must be a whole number above 0. Got 0"),
        (
            ["prune", "{encoder}", "{new}", "--density", "0.5", "--examples", "{text}"],
            "--examples needs a FlexiBERTForSequenceClassification. Got a FlexiBERTModel",
        ),
        (
            ["prune", "{encoder}", "{new}", "--density", "0.5", *TEXT, "--block_length", "10"],
            "--text needs a FlexiBERTForMaskedLM. Got a FlexiBERTModel",
        ),
    ],
)
def test_bad_input_ends_in_one_message_and_no_folder(
    arguments: list[str], message: str, make: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    make("first")
    make("encoder", model_class=FlexiBERTModel)
    places = {name: tmp_path / name for name in ("first", "missing", "encoder", "new")} | {
        "text": tmp_path / "text.txt"
    }
    assert _run(*(argument.format(**places) for argument in arguments)) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder", "first", "text.txt"]


def test_a_loss_needs_a_hidden_token_and_a_block_room_for_one(make: Callable, tmp_path: Path) -> None:
    model = FlexiBERTForMaskedLM.from_pretrained(make("model"))
    ids = torch.arange(3, 9).view(1, -1)
    with pytest.raises(ValueError, match="No token of 6 is hidden"):
        masked_lm_loss(model, ids, torch.full_like(ids, -100))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "model", cls_token="w1", sep_token="w2")
    with pytest.raises(ValueError, match="must be longer than their 2 special tokens. Got 2"):
        text_blocks(tmp_path / "text.txt", tokenizer, 2)
