"""The compacted model computes what the masked one does, and is what is left of it."""

import subprocess
import sys

import pytest
import torch

from flexibert import FlexiBERTForSequenceClassification, FlexiViTForImageClassification, MovementPruner, PruningConfig
from flexibert.pruning.compaction import structure_of
from flexibert.pruning.extraction import extract_submodel
from tests.flexibert.pruning.small_models import add_noise, bert, deit, flexibert, inputs_of, logits
from tests.patience import HANG_S

HEADS = {"attention_block_rows": 16, "attention_block_cols": 64, "attention_output_with_dense": False}
SIGMOID = {"initial_threshold": 0.0, "final_threshold": 0.5}
METHODS = {
    "topK": {"dense_pruning_method": "topK:1d_alt"},
    "topK 1d": {"attention_pruning_method": "topK:1d", "dense_pruning_method": "topK:1d"},
    "topK joint": {"attention_pruning_method": "topK:joint", "dense_pruning_method": "topK:1d_alt"},
    "threshold": {
        "attention_pruning_method": "threshold:joint",
        "dense_pruning_method": "threshold:1d_alt",
        "initial_threshold": -1.0,
        "final_threshold": 0.3,
    },
    "sigmoied_threshold": {
        "attention_pruning_method": "sigmoied_threshold",
        "dense_pruning_method": "sigmoied_threshold:1d",
        **SIGMOID,
    },
    "magnitude": {"attention_pruning_method": "magnitude:joint", "dense_pruning_method": "magnitude:1d_alt"},
    "l0": {
        "attention_pruning_method": "l0:joint",
        "dense_pruning_method": "l0:1d_alt",
        "regularization": "l0",
        "regularization_final_lambda": 1.0,
    },
    "dense rows": {"dense_block_rows": 1, "dense_block_cols": 64},
}
MODELS = {"BERT": bert, "DeiT": deit, "wma": flexibert, "mixed": lambda **options: flexibert("mixed", **options)}


def pruned(model, seed=3, **options):
    pruner = MovementPruner(model, PruningConfig(**options))
    add_noise(pruner, seed)
    return pruner


def num_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


CASES = [
    (family, method, True) for family in MODELS for method in METHODS if (family, method) != ("mixed", "dense rows")
]
CASES += [(family, method, False) for family in MODELS for method in ("topK", "topK 1d")]


@pytest.mark.parametrize(("family", "method", "bias_mask"), CASES, ids=str)
def test_compacted_equals_masked(family, method, bias_mask):
    model = MODELS[family]()
    inputs, size = inputs_of(model), num_parameters(model)
    before = logits(model, **inputs)
    options = HEADS | METHODS[method] | {"bias_mask": bias_mask}
    if family == "wma":  # its second layer is 32 wide
        options["attention_block_cols"] = 32
        options["dense_block_cols"] = min(options.get("dense_block_cols", 1), 32)
    pruner = pruned(model, **options)
    if method == "l0":
        with torch.no_grad():
            for scores in pruner.scores:
                scores.scores.mul_(4)
    masked = logits(model, **inputs)
    assert (masked - before).abs().max() > 1e-2
    small = pruner.compact()
    torch.testing.assert_close(logits(small, **inputs), masked, rtol=0, atol=1e-5)
    assert num_parameters(small) < size


@pytest.mark.parametrize("family", MODELS)
def test_a_saved_model_is_the_same_bit_for_bit(family, tmp_path):
    model = MODELS[family]()
    inputs = inputs_of(model)
    columns = {"attention_block_cols": 32} if family == "wma" else {}
    small = pruned(model, **HEADS | METHODS["topK joint"] | columns).compact()
    small.save_pretrained(tmp_path)
    assert torch.equal(logits(type(small).from_pretrained(tmp_path), **inputs), logits(small, **inputs))


def test_bert_becomes_flexibert_with_free_heads_and_widths():
    pruner = pruned(bert(), **HEADS, dense_pruning_method="topK:1d_alt")
    small = pruner.compact()
    assert type(small) is FlexiBERTForSequenceClassification
    spec = small.config.model_spec
    assert spec.format == "hetero"
    assert [len(layer.heads) for layer in spec.layers] == [len(kept.heads) for kept in pruner.structure()]
    assert [layer.feed_forward for layer in spec.layers] == [(64,)] * 3
    assert all(layer.hidden_size == 64 and layer.head_size == 16 for layer in spec.layers)


def test_a_head_goes_when_its_values_or_its_output_columns_are_gone():
    model = bert(num_hidden_layers=1)
    attention = model.bert.encoder.layer[0].attention
    with torch.no_grad():
        attention.self.value.weight[16:32] = 0  # head 1; its bias stays and is moved on
        attention.output.dense.weight[:, 48:64] = 0  # head 3
        attention.self.query.weight[:16] = 0  # head 0 attends evenly: it stays
        attention.self.key.weight[:16] = 0
    inputs = inputs_of(model)
    before = logits(model, **inputs)
    pruner = MovementPruner(model, PruningConfig(final_threshold=1.0))
    assert [kept.heads for kept in pruner.structure()] == [[0, 2]]
    torch.testing.assert_close(logits(pruner.compact(), **inputs), before, rtol=0, atol=1e-5)


def test_a_neuron_that_goes_frees_those_before_it():
    model = flexibert("mixed")
    stack, output = model.bert.encoder.layer[1].intermediate.sequential, model.bert.encoder.layer[1].output.dense
    with torch.no_grad():
        output.weight[:, :28] = 0  # neurons 0 to 27 of the second width: nothing reads them
        stack[2].weight[28:, :6] = 0  # then nothing reads 0 to 5 of the first
        stack[0].weight[90:] = 0  # constants
    inputs = inputs_of(model)
    before = logits(model, **inputs)
    small = MovementPruner(model, PruningConfig(final_threshold=1.0)).compact()
    assert small.config.model_spec.layers[1].feed_forward == (84, 100)
    torch.testing.assert_close(logits(small, **inputs), before, rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", [bert, flexibert, lambda: flexibert("hetero"), deit])
def test_a_layer_may_lose_everything_but_one_layer_stays(make):
    model = make()
    inputs = inputs_of(model)
    pruner = MovementPruner(model, PruningConfig(final_threshold=0.0, bias_mask=False))
    masked = logits(model, **inputs)
    small = pruner.compact()
    torch.testing.assert_close(logits(small, **inputs), masked, rtol=0, atol=1e-5)
    layers = small.config.model_spec.layers
    assert all(len(layer.heads) == 1 and set(layer.feed_forward) == {1} for layer in layers)
    assert len(layers) == (1 if make is deit else len(model.config.model_spec.layers) if make is not bert else 3)


def test_an_identity_layer_of_a_deit_goes_and_leaves_its_constants():
    model = deit(num_hidden_layers=3)
    with torch.no_grad():
        for layer in (model.deit.layers[0], model.deit.layers[2]):
            layer.attention.o_proj.weight.zero_()
            layer.mlp.fc2.weight.zero_()
    inputs = inputs_of(model)
    before = logits(model, **inputs)
    small = MovementPruner(model, PruningConfig(final_threshold=1.0)).compact()
    assert type(small) is FlexiViTForImageClassification
    assert len(small.config.model_spec.layers) == 1
    torch.testing.assert_close(logits(small, **inputs), before, rtol=0, atol=1e-5)


def test_an_empty_layer_between_plain_layer_norms_goes():
    model = bert()
    layer = model.bert.encoder.layer[1]
    before_it = model.bert.encoder.layer[0].output.LayerNorm
    with torch.no_grad():
        for linear in (layer.attention.output.dense, layer.output.dense):
            linear.weight.zero_()
            linear.bias.fill_(0.5)
        for norm in (before_it, layer.attention.output.LayerNorm):
            norm.weight.fill_(1.5)
            norm.bias.fill_(0.25)
    inputs = inputs_of(model)
    before = logits(model, **inputs)
    small = MovementPruner(model, PruningConfig(final_threshold=1.0)).compact()
    assert len(small.config.model_spec.layers) == 2
    torch.testing.assert_close(logits(small, **inputs), before, rtol=0, atol=1e-5)


@pytest.mark.parametrize("positions", ["absolute", "relative_key", "relative_key_query"])
@pytest.mark.parametrize("name", ["hetero", "transform"])
def test_every_operation_compacts_exactly(name, positions):
    model = flexibert(name, position_embedding_type=positions)
    inputs = inputs_of(model)
    pruner = pruned(model, **HEADS, attention_pruning_method="topK", dense_pruning_method="topK:1d_alt")
    masked = logits(model, **inputs)
    small = pruner.compact()
    torch.testing.assert_close(logits(small, **inputs), masked, rtol=1e-5, atol=2e-5)
    heads = [len(layer.heads) for layer in small.config.model_spec.layers]
    assert heads < [5, 3] if name == "hetero" else heads == [4, 4]


def test_heads_of_one_hetero_layer_are_renumbered():
    model = flexibert("hetero")
    inputs = inputs_of(model)
    with torch.no_grad():
        for layer, places in ((0, [1, 2]), (1, [0])):
            output = model.bert.encoder.layer[layer].attention.output.dense
            for place in places:
                output.weight[:, 16 * place : 16 * place + 16] = 0
    before = logits(model, **inputs)
    small = extract_submodel(model, structure_of(model))
    assert [[str(head) for head in layer.heads] for layer in small.config.model_spec.layers] == [
        ["sa_sdp_16", "c_3_16", "l_dft_16"],
        ["c_5_16", "sa_wma_16"],
    ]
    torch.testing.assert_close(logits(small, **inputs), before, rtol=1e-5, atol=2e-5)


def test_pruning_unstructured_keeps_the_standard_format():
    pruner = pruned(flexibert(), final_threshold=0.5)
    small = pruner.compact()
    assert small.config.model_spec == flexibert().config.model_spec


def test_the_masked_model_is_not_changed_by_compaction():
    model = bert()
    inputs = inputs_of(model)
    pruner = pruned(model, **HEADS, dense_pruning_method="topK:1d_alt", bias_mask=False)
    before = logits(model, **inputs)
    model.train()
    pruner.compact()
    assert model.training
    assert all(module.training for module in model.modules())
    assert torch.equal(logits(model, **inputs), before)


RELOADED = """
import sys, torch
from flexibert import FlexiBERTForSequenceClassification
model = FlexiBERTForSequenceClassification.from_pretrained(sys.argv[1]).eval()
found = torch.load(sys.argv[1] + "/expected.pt")
torch.set_num_threads(1)
with torch.no_grad():
    assert torch.equal(model(**found["inputs"]).logits, found["logits"])
"""


def test_reloads_bit_for_bit_in_a_fresh_process(tmp_path):
    pruner = pruned(bert(), **HEADS, dense_pruning_method="topK:1d_alt")
    small, inputs = pruner.compact(), inputs_of(pruner.model)
    small.save_pretrained(tmp_path)
    torch.save({"inputs": inputs, "logits": logits(small, **inputs)}, tmp_path / "expected.pt")
    command = [sys.executable, "-c", RELOADED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG_S)
    assert done.returncode == 0, done.stderr


def test_the_compacted_model_trains_on():
    pruner = pruned(bert(), **HEADS, dense_pruning_method="topK:1d_alt")
    small, inputs = pruner.compact().train(), inputs_of(pruner.model)
    small(**inputs, labels=torch.tensor([0, 1, 0])).loss.backward()
    assert all(parameter.grad is not None for parameter in small.parameters())


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_compacted_model_exports_to_onnx(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pruner = pruned(bert(num_hidden_layers=1), **HEADS, dense_pruning_method="topK:1d_alt")
    inputs = inputs_of(pruner.model)
    small = pruner.compact().eval()
    program = torch.onnx.export(small, (), kwargs=inputs, dynamo=True, verbose=False)
    program.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {name: x.numpy() for name, x in inputs.items()})
    torch.testing.assert_close(torch.from_numpy(found), logits(small, **inputs), atol=1e-4, rtol=1e-4)


def test_the_compacted_model_is_a_parent():
    small = pruned(bert(), **HEADS, dense_pruning_method="topK:1d_alt").compact()
    child = type(small)(small.config)
    assert child.load_model_from_source(small) == pytest.approx(1.0)
    inputs = inputs_of(small)
    torch.testing.assert_close(logits(child, **inputs), logits(small, **inputs), rtol=0, atol=1e-6)
