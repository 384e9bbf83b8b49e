"""The encoder: padding, inputs, saving and loading, and agreement with Hugging Face's BERT where the two coincide."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, BertConfig, BertModel

from flexibert import FlexiBERTConfig, FlexiBERTForSequenceClassification, FlexiBERTModel

LENGTHS = [9, 5, 2]
IDS = torch.tensor([[7, 3, 1, 9, 40, 12, 5, 2, 8], [4, 6, 30, 2, 11, 0, 0, 0, 0], [9, 1, 0, 0, 0, 0, 0, 0, 0]])
MASK = (torch.arange(9) < torch.tensor(LENGTHS)[:, None]).long()

SELF_ATTENTION = {"l": 2, "o": ["sa", "sa"], "h": [16, 24], "n": [2, 3], "f": [[32], [32]], "p": ["sdp", "wma"]}
CONVOLUTION = {"l": 2, "o": ["c", "c"], "h": [16, 24], "n": [2, 3], "f": [[32], [32]], "p": [3, 7]}
HETERO = {"l": 2, "o": [["c_5_8", "sa_wma_8", "sa_sdp_8"], ["sa_sdp_8", "c_3_8"]], "h": [16, 24], "f": [[32], [32]]}


@pytest.mark.parametrize("positions", ["absolute", "relative_key", "relative_key_query"])
@pytest.mark.parametrize("padded_dict", [SELF_ATTENTION, CONVOLUTION, HETERO], ids=["sa", "c", "hetero"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_outputs_at_real_tokens_do_not_depend_on_padding(
    tiny: Callable, padded_dict: dict, positions: str, attention: str
) -> None:
    model = FlexiBERTModel(tiny(padded_dict, position_embedding_type=positions, attn_implementation=attention)).eval()
    garbage = torch.where(MASK.bool(), IDS, 17)
    with torch.no_grad():
        outputs = [model(ids, attention_mask=MASK) for ids in (IDS, garbage)]
        for row, length in enumerate(LENGTHS):
            alone = model(IDS[row : row + 1, :length])
            for padded in outputs:
                torch.testing.assert_close(
                    padded.last_hidden_state[row, :length], alone.last_hidden_state[0], atol=2e-5, rtol=0
                )
                torch.testing.assert_close(padded.pooler_output[row], alone.pooler_output[0], atol=2e-5, rtol=0)


def test_transforms_read_zeros_at_padded_positions(tiny: Callable) -> None:
    """What stands there does not matter; the padded length does, for it is the length of the transform."""
    for model_dict in (
        {"l": 2, "o": [["l_dft_8", "l_dct_8"], ["l_dct_8"]], "h": [16, 16], "f": [[32], [32]]},
        {"l": 2, "o": ["l", "l"], "h": [16, 16], "n": [2, 2], "f": [[8], [8]], "p": ["dft", "dct"]},
    ):
        model = FlexiBERTModel(tiny(model_dict)).eval()
        with torch.no_grad():
            outputs = [model(ids, MASK).last_hidden_state for ids in (IDS, torch.where(MASK.bool(), IDS, 17))]
            longer = model(IDS[1:2, :5]).last_hidden_state
        real = MASK.bool()
        torch.testing.assert_close(outputs[0][real], outputs[1][real], atol=2e-5, rtol=0)
        assert (outputs[0][1, :5] - longer[0]).abs().max() > 1e-2


@pytest.mark.parametrize("positions", ["absolute", "relative_key", "relative_key_query"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_text_of_padding_alone_leaves_the_others_finite(
    tiny: Callable, model_dict: dict, positions: str, attention: str
) -> None:
    config = tiny(model_dict, position_embedding_type=positions, attn_implementation=attention)
    model = FlexiBERTModel(config).eval()
    mask = MASK.clone()
    mask[0] = 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = model(IDS, mask).last_hidden_state
    states[1:].float().sum().backward()
    assert states.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    with torch.no_grad():
        assert model.half()(IDS, mask).last_hidden_state.isfinite().all()


def test_an_empty_batch_gives_empty_states(tiny: Callable, model_dict: dict) -> None:
    model = FlexiBERTModel(tiny(model_dict))
    states = model(IDS[:0]).last_hidden_state
    states.sum().backward()
    assert states.shape == (0, 9, model.config.hidden_size)


def test_a_mask_of_ones_changes_nothing(tiny: Callable, model_dict: dict) -> None:
    model = FlexiBERTModel(tiny(model_dict)).eval()
    ids = IDS[:1].expand(2, -1)
    with torch.no_grad():
        torch.testing.assert_close(model(ids, torch.ones_like(ids))[0], model(ids)[0], atol=1e-5, rtol=0)


def test_padding_counts_as_input_when_it_is_not_masked(tiny: Callable) -> None:
    outputs = []
    for mask_padding in (True, False):
        torch.manual_seed(1)
        model = FlexiBERTModel(tiny(CONVOLUTION, mask_padding=mask_padding)).eval()
        outputs.append(model(IDS, MASK).last_hidden_state)
    assert torch.allclose(outputs[0][0], outputs[1][0], atol=1e-6)
    assert not torch.allclose(outputs[0][1, :5], outputs[1][1, :5], atol=1e-2)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_homogeneous_encoder_with_absolute_positions_equals_hugging_faces_bert(attention: str) -> None:
    sizes = {"vocab_size": 41, "max_position_embeddings": 16, "initializer_range": 0.3}
    shape = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}
    bert = BertModel(BertConfig(**sizes, **shape, attn_implementation=attention)).eval()
    model = FlexiBERTModel(FlexiBERTConfig(position_embedding_type="absolute", **sizes, **shape)).eval()
    weights = {
        name.replace("intermediate.dense", "intermediate.sequential.0"): value
        for name, value in bert.state_dict().items()
    }
    result = model.load_state_dict(weights, strict=False)
    assert not result.unexpected_keys
    assert all("intermediate.dense" in name for name in result.missing_keys)
    segments = torch.randint(0, 2, IDS.shape)
    with torch.no_grad():
        ours = model(IDS, MASK, segments, output_hidden_states=True)
        theirs = bert(IDS, MASK, segments, output_hidden_states=True)
    torch.testing.assert_close(ours.pooler_output, theirs.pooler_output, atol=1e-5, rtol=0)
    for a, b in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        torch.testing.assert_close(a[MASK.bool()], b[MASK.bool()], atol=1e-5, rtol=0)


def test_saved_models_give_the_same_outputs_after_loading(tiny: Callable, model_dict: dict, tmp_path: Path) -> None:
    model = FlexiBERTModel(tiny(model_dict)).eval()
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    for loaded in (FlexiBERTModel.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert type(loaded) is FlexiBERTModel
        assert torch.equal(loaded.eval()(IDS, MASK)[0], model(IDS, MASK)[0])
        assert (
            loaded.encoder.layer[0].intermediate.dense.weight
            is loaded.encoder.layer[0].intermediate.sequential[0].weight
        )
    stored = load_file(tmp_path / "model.safetensors")
    assert sum(value.numel() for value in stored.values()) == sum(value.numel() for value in model.parameters())


@pytest.mark.parametrize("model_class", [FlexiBERTModel, FlexiBERTForSequenceClassification])
def test_a_configuration_used_again_does_not_change_the_first_model(
    model_class: type, tiny: Callable, tmp_path: Path
) -> None:
    config = tiny(SELF_ATTENTION)
    first = model_class(config).eval()
    config.from_model_dict_hetero(HETERO)
    second = model_class(config)
    first.save_pretrained(tmp_path)
    assert torch.equal(model_class.from_pretrained(tmp_path).eval()(IDS, MASK)[0], first(IDS, MASK)[0])
    assert second.config.model_spec.format == "hetero"
    assert first.base_model.config is first.config


def test_attention_weights_come_from_both_implementations(tiny: Callable, model_dict: dict) -> None:
    model = FlexiBERTModel(tiny(model_dict)).eval()
    fused = model(IDS, MASK)
    explicit = model(IDS, MASK, output_attentions=True, output_hidden_states=True)
    torch.testing.assert_close(fused.last_hidden_state, explicit.last_hidden_state, atol=1e-5, rtol=0)
    assert len(explicit.attentions) == len(model.encoder.layer)
    assert len(explicit.hidden_states) == len(model.encoder.layer) + 1
    for weights in explicit.attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        assert torch.equal(weights[1, :, :, 5:], torch.zeros_like(weights[1, :, :, 5:]))
    model.set_attn_implementation("eager")
    torch.testing.assert_close(model(IDS, MASK)[0], fused[0], atol=1e-5, rtol=0)


def test_word_vectors_may_be_given_instead_of_ids(tiny: Callable, model_dict: dict) -> None:
    model = FlexiBERTModel(tiny(model_dict)).eval()
    vectors = model.get_input_embeddings()(IDS)
    assert torch.equal(model(inputs_embeds=vectors, attention_mask=MASK)[0], model(IDS, MASK)[0])


def test_outputs_are_tuples_when_asked_for(tiny: Callable, model_dict: dict) -> None:
    model = FlexiBERTModel(tiny(model_dict)).eval()
    last, pooled = model(IDS, MASK, return_dict=False)
    assert torch.equal(last, model(IDS, MASK).last_hidden_state)
    assert torch.equal(pooled, model(IDS, MASK).pooler_output)


def test_gradient_checkpointing_gives_the_same_gradients(tiny: Callable, model_dict: dict) -> None:
    model = FlexiBERTModel(tiny(model_dict)).train()
    gradients = []
    for is_checkpointing in (False, True):
        if is_checkpointing:
            (getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable)()
        model.zero_grad()
        model(IDS, MASK).last_hidden_state.pow(2).sum().backward()
        gradients.append(
            {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
        )
    assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], msg=name)


def test_half_precision_and_autocast_stay_close(tiny: Callable, model_dict: dict) -> None:
    model = FlexiBERTForSequenceClassification(tiny(model_dict, initializer_range=0.05)).eval()
    with torch.no_grad():
        expected = model(IDS, MASK).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = model(IDS, MASK).logits
        half = model.bfloat16()(IDS, MASK).logits
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(mixed.float(), expected, atol=0.05, rtol=0)
    torch.testing.assert_close(half.float(), expected, atol=0.05, rtol=0)


def test_compilation_finds_one_graph(tiny: Callable, model_dict: dict) -> None:
    model = FlexiBERTModel(tiny(model_dict)).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(IDS, MASK)[0], model(IDS, MASK)[0], atol=1e-5, rtol=0)


def test_token_embeddings_can_be_resized(tiny: Callable) -> None:
    model = FlexiBERTModel(tiny(SELF_ATTENTION)).eval()
    before = model(IDS)[0]
    model.resize_token_embeddings(50, mean_resizing=False)
    assert model.config.vocab_size == 50
    torch.testing.assert_close(model(IDS)[0], before)


def test_initial_weights_follow_the_configured_range() -> None:
    model = FlexiBERTModel(
        FlexiBERTConfig(model_dict={"l": 1, "o": [["sa_wma_64", "c_9_64"]], "h": [256], "f": [[512]]}, vocab_size=99)
    )
    mixing = model.encoder.layer[0].attention.self
    assert mixing.W0.abs().max() <= 0.1
    assert 0.05 < mixing.W0.std() < 0.065
    for weight in (mixing.query.weight, mixing.key_conv_attn_layer0.pointwise.weight, mixing.distance_embedding.weight):
        assert 0.019 < weight.std() < 0.021
    assert mixing.query.bias.abs().max() == 0
    assert model.embeddings.word_embeddings.weight[0].abs().max() == 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": torch.tensor([[1, 41]])}, r"'input_ids' must be in \[0, 'vocab_size' 41\). Got 41"),
        ({"input_ids": torch.tensor([[1, -100]])}, r"'input_ids' must be in \[0, 'vocab_size' 41\). Got -100"),
        (
            {"input_ids": torch.ones(1, 2, dtype=torch.long), "token_type_ids": torch.tensor([[0, 2]])},
            r"'token_type_ids' must be in \[0, 'type_vocab_size' 2\). Got 2",
        ),
        (
            {"input_ids": torch.ones(1, 17, dtype=torch.long)},
            "no longer than 'max_position_embeddings' 16. Got 17 tokens; truncate",
        ),
        ({}, "Exactly one of 'input_ids' and 'inputs_embeds' must be given"),
        (
            {"input_ids": torch.ones(1, 2, dtype=torch.long), "position_ids": torch.tensor([[0, 1]])},
            "'position_ids' place tokens only where 'position_embedding_type' is absolute. Got 'relative_key', which",
        ),
        (
            {"input_ids": IDS, "attention_mask": MASK[:, :5]},
            r"'attention_mask' must hold a number per token, in shape \(3, 9\). Got \(3, 5\)",
        ),
        (
            {"input_ids": IDS, "attention_mask": torch.ones(3, 9, 9, dtype=torch.long).tril()},
            r"'attention_mask' must hold a number per token, in shape \(3, 9\). Got \(3, 9, 9\)",
        ),
        ({"input_ids": IDS, "token_type_ids": IDS[:2]}, r"'token_type_ids' must hold .* \(3, 9\). Got \(2, 9\)"),
        ({"input_ids": IDS[0]}, r"'input_ids' must be whole numbers of shape \(batch, sequence\). Got \(9,\)"),
        ({"input_ids": IDS.float()}, r"'input_ids' must be whole numbers .* Got \(3, 9\) of torch.float32"),
        ({"input_ids": IDS[:, :0]}, "Sequences must have at least one token"),
        (
            {"inputs_embeds": torch.ones(3, 9, 24)},
            r"'inputs_embeds' must be of shape \(batch, sequence, 16\). Got \(3, 9, 24\)",
        ),
    ],
    ids=[
        "id too high",
        "id negative",
        "segment",
        "too long",
        "nothing",
        "positions",
        "short mask",
        "mask of pairs",
        "segments of another batch",
        "one axis",
        "fractions",
        "no token",
        "width",
    ],
)
def test_bad_inputs_are_refused(tiny: Callable, inputs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FlexiBERTModel(tiny(SELF_ATTENTION))(**inputs)


def test_positions_outside_their_table_are_refused(tiny: Callable) -> None:
    model = FlexiBERTModel(tiny(SELF_ATTENTION, position_embedding_type="absolute"))
    with pytest.raises(ValueError, match=r"'position_ids' must be in \[0, 'max_position_embeddings' 16\). Got 16"):
        model(torch.ones(1, 2, dtype=torch.long), position_ids=torch.tensor([[0, 16]]))


def test_the_longest_allowed_sequence_runs(tiny: Callable, model_dict: dict) -> None:
    assert FlexiBERTModel(tiny(model_dict))(torch.ones(1, 16, dtype=torch.long))[0].isfinite().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"h": [16, 48]}, r"has shape \(24, 24\), the configuration says \(48, 48\)"),
        ({"f": [[32, 32], [32]]}, r"encoder.layer.0.intermediate.sequential.2.bias' is missing"),
        (
            {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[32]], "p": ["sdp"]},
            r"encoder.layer.1.attention.output.LayerNorm.bias' has no place",
        ),
        ({"p": ["wma", "wma"]}, r"encoder.layer.0.attention.self.W' is missing"),
        ({"p": ["sdp", "dct"], "o": ["sa", "l"]}, r"encoder.layer.1.attention.self.W' has no place"),
    ],
    ids=["width", "missing stack", "fewer layers", "missing W", "other operation"],
)
def test_weights_that_contradict_the_configuration_are_refused(
    tiny: Callable, change: dict, message: str, tmp_path: Path
) -> None:
    model = FlexiBERTModel(tiny(SELF_ATTENTION))
    model.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    written["model_dict"] |= change
    (tmp_path / "config.json").write_text(json.dumps(written))
    for model_class in (FlexiBERTModel, FlexiBERTForSequenceClassification):
        with pytest.raises(ValueError, match=r"The weights contradict config.json:(.|\n)*" + message):
            model_class.from_pretrained(tmp_path)
        with pytest.raises(ValueError, match=message):
            model_class.from_pretrained(tmp_path, ignore_mismatched_sizes=True)


def test_a_lost_tensor_is_an_error_and_no_random_layer(tiny: Callable, tmp_path: Path) -> None:
    FlexiBERTModel(tiny(SELF_ATTENTION)).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.1.output.dense.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"'encoder.layer.1.output.dense.bias' is missing"):
        FlexiBERTModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", [b"", b"spoilt", b"a text that begins like a pickle", b"PK\x03\x04 spoilt"])
def test_damaged_weights_are_told_by_folder(tiny: Callable, tmp_path: Path, name: str, content: bytes) -> None:
    FlexiBERTModel(tiny(SELF_ATTENTION)).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OSError, match=r"the weights cannot be read .*damaged or cut off") as caught:
        FlexiBERTModel.from_pretrained(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_files_that_were_not_read_are_not_to_blame(tiny: Callable, tmp_path: Path) -> None:
    FlexiBERTModel(tiny(SELF_ATTENTION)).save_pretrained(tmp_path / "inner")
    (tmp_path / "inner" / "pytorch_model.bin").write_bytes(b"junk")
    with pytest.raises(TypeError, match="nonsense_option"):
        FlexiBERTModel.from_pretrained(tmp_path / "inner", nonsense_option=1)
    (tmp_path / "inner" / "model.safetensors").write_bytes(b"spoilt")
    with pytest.raises(OSError, match=r"inner/model.safetensors: the weights cannot be read"):
        FlexiBERTModel.from_pretrained(tmp_path, subfolder="inner")
