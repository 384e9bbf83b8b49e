"""Densities by hand, and the command on folders."""

import json

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from design_space import ModelSpec
from flexibert import FlexiBERTForSequenceClassification, MovementPruner, PruningConfig, from_bert
from flexibert.__main__ import main
from flexibert.pruning import linear_weights, report_of_specs
from tests.flexibert.pruning.small_models import add_noise, bert, deit, flexibert


def hetero(*layers):
    """Layers as (heads, widths), 64 wide."""
    return ModelSpec.from_dict(
        {
            "l": len(layers),
            "o": [["sa_sdp_16"] * heads for heads, _ in layers],
            "h": [64] * len(layers),
            "f": [list(widths) for _, widths in layers],
        }
    )


def test_densities_of_a_masked_model():
    model = bert(num_hidden_layers=1)
    options = {"attention_block_rows": 16, "attention_block_cols": 64, "attention_output_with_dense": False}
    pruner = MovementPruner(model, PruningConfig(**options, dense_pruning_method="topK:1d_alt"))
    attention = pruner.layers[0].attention
    keep = {"query": [1, 1, 0, 0], "key": [0, 0, 1, 1], "value": [1, 0, 1, 0]}
    with torch.no_grad():
        for name, values in keep.items():
            attention[name].parametrizations.weight[0].parts[0].scores.copy_(torch.tensor(values).unsqueeze(1))
        pruner.layers[0].output.parametrizations.weight[0].parts[0].scores.copy_(torch.tensor([[1, 1, 0, 0]]))
    report = pruner.report()
    layer = report.layers[0]
    # of values 0 and 2 and output columns 0 and 1, head 0 alone has both
    assert (layer.heads, layer.neurons) == ((1, 4), (64, 128))
    assert layer.mask_densities == dict.fromkeys(layer.mask_densities, 0.5)
    attention_density = dict.fromkeys(("query", "key", "value", "output"), 0.25)
    assert layer.densities == attention_density | {"intermediate0": 0.5, "dense": 0.5}
    assert report.mask_density == 0.5
    assert report.effective_density == (4 * 64 * 64 * 0.25 + 2 * 64 * 128 * 0.5) / (4 * 64 * 64 + 2 * 64 * 128)
    small = pruner.compact().config.model_spec
    assert report.effective_density == linear_weights(small) / linear_weights(
        from_bert(bert(num_hidden_layers=1)).config.model_spec
    )
    assert report.theoretical_speedup == 1 / report.effective_density


def test_the_table_and_the_picture_show_masks_beside_what_they_remove():
    pruner = MovementPruner(deit(), PruningConfig())
    add_noise(pruner)
    report = pruner.report()
    first = report.table().splitlines()[1].split()
    assert first[:3] == ["0", "4/4", "128/128"]
    assert "1.00 | 0.50" in report.table()
    assert "effective density 1.000 of the parent's linear weights (masks alone: 0.500); 0 of 8 heads" in report.table()
    assert report.svg().count("4 of 4") == 2


def test_specs_are_compared_layer_by_layer():
    parent, child = hetero((4, (128,)), (4, (128,)), (4, (96, 128))), hetero((2, (32,)), (1, (48, 64)))
    report = report_of_specs(parent, child, measured_speedup=1.5)
    assert [layer.heads for layer in report.layers] == [(2, 4), (0, 4), (1, 4)]
    assert [layer.neurons for layer in report.layers] == [(32, 128), (0, 128), (112, 224)]
    assert [layer.is_removed for layer in report.layers] == [False, True, False]
    assert report.layers[2].densities["intermediate1"] == 0.25
    assert report.effective_density == linear_weights(child) / linear_weights(parent)
    assert "1 layers removed" in report.summary()
    assert report.summary().endswith("measured 1.50")
    json.dumps(report.to_dict())


def test_only_matrices_that_a_layer_has_are_listed():
    model = flexibert("transform", position_embedding_type="absolute")
    spec = model.config.model_spec
    of_masks = MovementPruner(model, PruningConfig()).report()
    assert list(of_masks.layers[0].densities) == ["value", "output", "intermediate0", "dense"]
    of_specs = report_of_specs(spec, spec)
    assert list(of_specs.layers[0].densities) == ["query", "value", "output", "intermediate0", "dense"]  # relative
    assert list(of_specs.layers[1].densities) == ["query", "key", "value", "output", "intermediate0", "dense"]


def test_a_child_that_is_no_part_is_refused():
    with pytest.raises(ValueError, match="layers must be the parent's, with fewer heads, neurons or channels"):
        report_of_specs(hetero((2, (128,))), hetero((4, (128,))))


@pytest.fixture
def folder(tmp_path):
    """A classifier with a tokenizer of words, and examples."""
    flexibert("wma").save_pretrained(tmp_path / "parent")
    words = {word: number for number, word in enumerate(["[PAD]", "[MASK]", "[UNK]", *(f"w{i}" for i in range(90))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"pad_token": "[PAD]", "mask_token": "[MASK]", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(tmp_path / "parent")
    rows = [f"{' '.join(f'w{(7 * i + j) % 90}' for j in range(5 + i % 9))}\t{i % 2}" for i in range(40)]
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    return tmp_path


def run(*arguments):
    pytest.importorskip("datasets", reason="needs the extra 'search'")
    with pytest.raises(SystemExit) as exit_info:
        main(["prune", *map(str, arguments)])
    return exit_info.value.code


def test_the_command_prunes_and_reports(folder, capsys):
    parent, child = folder / "parent", folder / "child"
    assert run(parent, child, "--density", 0.6, "--examples", folder / "train.tsv", "--report") == 0
    out = capsys.readouterr().out
    assert "effective density 0." in out
    assert "measured" in out
    report = json.loads((child / "report.json").read_text())
    small = FlexiBERTForSequenceClassification.from_pretrained(child)
    share = linear_weights(small.config.model_spec) / linear_weights(flexibert("wma").config.model_spec)
    assert report["effective_density"] == share
    assert 0.5 < share <= 0.6
    assert "<svg" in (child / "report.svg").read_text()
    assert "pruned in one shot" in (child / "README.md").read_text()
    assert run(parent, child, "--report") == 0
    assert "effective density" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "One of --density, --parameters and --latency_ms must be given, or --report"),
        (["--density", "0.5"], "--examples must be given"),
        (
            ["--density", "0.5", "--examples", "wrong.tsv"],
            "wrong.tsv cannot be read as a table: line 3 has 1 fields, the header 2",
        ),
        (
            ["--density", "0.5", "--examples", "labels.tsv"],
            "labels.tsv: labels must be the model's, LABEL_0, LABEL_1, or their numbers. Got 7, 8",
        ),
        (["--density", "0.5", "--examples", "empty.tsv"], "empty.tsv holds no rows"),
    ],
    ids=["no target", "no examples", "columns", "labels", "empty"],
)
def test_the_command_names_mistakes(folder, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    (folder / "wrong.tsv").write_text("sentence\tlabel\nw1\t0\nw2\n")
    (folder / "labels.tsv").write_text("sentence\tlabel\n" + "w1\t7\nw2\t8\n" * 20)
    (folder / "empty.tsv").write_text("")
    assert run("parent", "child", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "child").exists()
