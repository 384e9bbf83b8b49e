"""Every operation of both formats against a plain reference: one sequence, one head, one position at a time.

The reference is numpy and scipy and follows the table of the semantics, not our modules: it reads parameters by their
checkpoint names only.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.fft
import torch

from flexibert import FlexiBERTConfig, FlexiBERTModel
from flexibert.mixing.attention import Padding, relative_scores
from flexibert.mixing.linear_transform import transform_2d

LENGTHS = [9, 6, 1]
POSITIONS = ["absolute", "relative_key", "relative_key_query"]


def _softmax(x: np.ndarray) -> np.ndarray:
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


class Reference:
    """Mixing of one layer, from its parameters by name (double precision)."""

    def __init__(self, parameters: dict[str, np.ndarray], positions: str, head_size: int) -> None:
        self.parameters, self.positions, self.head_size = parameters, positions, head_size

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.parameters[f"{name}.weight"].T + self.parameters[f"{name}.bias"]

    def head(self, x: np.ndarray, number: int) -> np.ndarray:
        return x[:, number * self.head_size : (number + 1) * self.head_size]

    def relative(self, q: np.ndarray | None, k: np.ndarray | None, length: int) -> np.ndarray:
        scores = np.zeros((length, length))
        if self.positions == "absolute":
            return scores
        table = self.parameters["distance_embedding.weight"]
        middle = len(table) // 2
        for i in range(length):
            for j in range(length):
                scores[i, j] = q[i] @ table[i - j + middle]
                if self.positions == "relative_key_query":
                    scores[i, j] += k[j] @ table[i - j + middle]
        return scores

    def attend(self, content: np.ndarray, relative: np.ndarray, v: np.ndarray, is_real: np.ndarray) -> np.ndarray:
        scores = (content + relative) / np.sqrt(self.head_size)
        return _softmax(np.where(is_real, scores, -1e30)) @ v

    def separable(self, suffix: str, x: np.ndarray) -> np.ndarray:
        depthwise = self.parameters[f"key_conv_attn_layer{suffix}.depthwise.weight"][:, 0]
        kernel = depthwise.shape[1]
        padded = np.pad(x, ((kernel // 2, kernel // 2), (0, 0)))
        local = np.array([[padded[i : i + kernel, c] @ depthwise[c] for c in range(x.shape[1])] for i in range(len(x))])
        pointwise = self.parameters[f"key_conv_attn_layer{suffix}.pointwise.weight"][..., 0]
        return local @ pointwise.T + self.parameters[f"key_conv_attn_layer{suffix}.bias"][:, 0]

    def span(self, logits: np.ndarray, values: np.ndarray) -> np.ndarray:
        kernel = _softmax(logits)
        width = kernel.shape[1]
        padded = np.pad(values, ((width // 2, width // 2), (0, 0)))
        return np.array([kernel[i] @ padded[i : i + width] for i in range(len(values))])

    def transform(self, name: str, x: np.ndarray) -> np.ndarray:
        if name == "dft":
            return np.fft.fft(np.fft.fft(x, axis=1), axis=0).real
        return scipy.fft.dct(scipy.fft.dct(x, axis=1), axis=0)

    def standard(self, operation: str, parameter: Any, heads: int, x: np.ndarray, is_real: np.ndarray) -> np.ndarray:
        if operation == "c":
            return self.standard_convolution(parameter, heads, x, is_real)
        is_built = operation == "sa" or self.positions != "absolute"
        q = self.linear("query", x) if is_built else None
        k = self.linear("key", x) if operation == "sa" or self.positions == "relative_key_query" else None
        v = self.linear("value", x)
        contexts = []
        for n in range(heads):
            q_n, k_n = (None if y is None else self.head(y, n) for y in (q, k))
            content = 0.0
            if operation == "sa":
                content = (q_n @ self.parameters["W"] if parameter == "wma" else q_n) @ k_n.T
            contexts.append(self.attend(content, self.relative(q_n, k_n, len(x)), self.head(v, n), is_real))
        context = np.concatenate(contexts, axis=1)
        return context + self.transform(parameter, x * is_real[:, None]) if operation == "l" else context

    def standard_convolution(self, width: int, heads: int, x: np.ndarray, is_real: np.ndarray) -> np.ndarray:
        attending = heads // 2
        q = self.linear("query", x)
        contexts = []
        for n in range(attending):
            q_n, k_n, v_n = self.head(q, n), self.head(self.linear("key", x), n), self.head(self.linear("value", x), n)
            contexts.append(self.attend(q_n @ k_n.T, self.relative(q_n, k_n, len(x)), v_n, is_real))
        local = self.separable("", x * is_real[:, None]) * q
        logits = self.linear("conv_kernel_layer", local)
        values = self.linear("conv_out_layer", x) * is_real[:, None]
        for n in range(heads - attending):
            contexts.append(self.span(logits[:, n * width : (n + 1) * width], self.head(values, n)))
        return np.concatenate(contexts, axis=1)

    def hetero(self, heads: list[str], x: np.ndarray, is_real: np.ndarray) -> np.ndarray:
        q, k, v = (
            self.linear(name, x) if f"{name}.weight" in self.parameters else None for name in ("query", "key", "value")
        )
        contexts, counters = [], {"wma": 0, "c": 0}
        for n, text in enumerate(heads):
            operation, parameter, _ = text.split("_")
            q_n, k_n, v_n = (None if y is None else self.head(y, n) for y in (q, k, v))
            matrix = np.eye(self.head_size)
            if parameter == "wma":
                matrix = self.parameters[f"W{counters['wma']}"]
                counters["wma"] += 1
            content = q_n @ matrix @ k_n.T if operation == "sa" else 0.0
            context = self.attend(content, self.relative(q_n, k_n, len(x)), v_n, is_real)
            if operation == "l":
                context = context + self.transform(parameter, v_n * is_real[:, None])
            elif operation == "c":
                suffix = str(counters["c"])
                counters["c"] += 1
                logits = self.linear(f"conv_kernel_layer{suffix}", self.separable(suffix, k_n * is_real[:, None]) * q_n)
                context = context + self.span(logits, self.linear(f"conv_out_layer{suffix}", v_n) * is_real[:, None])
            contexts.append(context)
        return np.concatenate(contexts, axis=1)


def _largest_difference(
    config: FlexiBERTConfig, reference: Callable[[Reference, np.ndarray, np.ndarray], np.ndarray], head_size: int
) -> float:
    """Between a layer's mixing of padded texts, by both ways to compute it, and the reference's."""
    mixing = FlexiBERTModel(config).double().eval().encoder.layer[0].attention.self
    parameters = {name: value.detach().numpy() for name, value in mixing.named_parameters()}
    model = Reference(parameters, config.position_embedding_type, head_size)
    x = torch.randn(len(LENGTHS), max(LENGTHS), config.embedding_size, dtype=torch.float64)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    with torch.no_grad():
        fused, _ = mixing(x, Padding.from_mask(mask, x.dtype), False)
        explicit, _ = mixing(x, Padding.from_mask(mask, x.dtype), True)
    differences = []
    for b, length in enumerate(LENGTHS):
        expected = reference(model, x[b].numpy(), mask[b].numpy())[:length]
        differences += [np.abs(computed[b, :length].numpy() - expected).max() for computed in (fused, explicit)]
    return float(np.max(differences))


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize(
    ("operation", "parameter"),
    [("sa", "sdp"), ("sa", "wma"), ("l", "dft"), ("l", "dct"), ("c", 1), ("c", 3), ("c", 11)],
)
def test_standard_operations_equal_the_reference(
    tiny: Callable, operation: str, parameter: Any, heads: int, positions: str
) -> None:
    model_dict = {"l": 1, "o": [operation], "h": [12], "n": [heads], "f": [[8]], "p": [parameter]}
    config = tiny(model_dict, position_embedding_type=positions)
    difference = _largest_difference(
        config, lambda model, x, is_real: model.standard(operation, parameter, heads, x, is_real), 12 // heads
    )
    assert difference < 1e-9


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize(
    "heads",
    [
        ["sa_sdp_4"],
        ["sa_wma_4", "sa_wma_4"],
        ["l_dft_4", "l_dct_4"],
        ["c_3_4", "c_5_4"],
        ["c_5_4", "sa_wma_4", "l_dct_4", "c_3_4", "sa_sdp_4", "l_dft_4", "sa_wma_4", "c_5_4", "l_dct_4"],
    ],
    ids=["one head", "wma", "transforms", "kernels", "everything, mixed up"],
)
def test_hetero_operations_equal_the_reference(tiny: Callable, heads: list[str], positions: str) -> None:
    config = tiny({"l": 1, "o": [heads], "h": [12], "f": [[8]]}, position_embedding_type=positions)
    assert _largest_difference(config, lambda model, x, is_real: model.hetero(heads, x, is_real), 4) < 1e-9


@pytest.mark.parametrize(("length", "width"), [(1, 1), (5, 8), (17, 12), (64, 33)])
def test_transforms_equal_scipy_and_numpy(length: int, width: int) -> None:
    x = torch.randn(3, length, width, dtype=torch.float64)
    expected = scipy.fft.dct(scipy.fft.dct(x.numpy(), type=2, axis=-1), type=2, axis=-2)
    np.testing.assert_allclose(transform_2d(x, "dct").numpy(), expected, atol=1e-9)
    np.testing.assert_allclose(transform_2d(x, "dft").numpy(), np.fft.fft2(x.numpy()).real, atol=1e-9)


def test_transforms_keep_the_type_and_work_in_training_after_inference_mode() -> None:
    x = torch.randn(7, 10, requires_grad=True)
    with torch.inference_mode():
        transform_2d(x, "dct")
    transform_2d(x, "dct").sum().backward()
    assert x.grad is not None
    assert transform_2d(x.bfloat16(), "dft").dtype == torch.bfloat16


@pytest.mark.parametrize("length", [1, 2, 7])
def test_relative_scores_pick_the_vector_of_each_distance(length: int) -> None:
    x, table = torch.randn(2, 3, length, 4), torch.nn.Embedding(2 * 7 - 1, 4)
    of_queries, of_keys = relative_scores(x, table, 7), relative_scores(x, table, 7, is_of_keys=True)
    for i in range(length):
        for j in range(length):
            vector = table.weight[i - j + 6] / 2  # the root of the head size
            torch.testing.assert_close(of_queries[:, :, i, j], x[:, :, i] @ vector)
            torch.testing.assert_close(of_keys[:, :, i, j], x[:, :, j] @ vector)


def test_every_parameter_of_hetero_attention_learns(tiny: Callable, model_dict: dict) -> None:
    """In the original, sa heads of the hetero format return zeros, and q, k and W never learn."""
    model = FlexiBERTModel(tiny(model_dict))
    model(torch.randint(1, 41, (3, 9))).last_hidden_state.pow(3).sum().backward()
    spec = model.config.model_spec
    for layer, block in zip(spec.layers, model.encoder.layer, strict=True):
        mixing = block.attention.self
        for name, parameter in mixing.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
        if spec.format == "hetero":  # of a shared Linear, the rows of each head that reads it
            for place, head in enumerate(layer.heads):
                rows = slice(place * head.size, (place + 1) * head.size)
                if head.operation != "l":
                    assert mixing.key.weight.grad[rows].abs().sum() > 0, head
                assert mixing.query.weight.grad[rows].abs().sum() > 0, head


def test_what_no_output_depends_on_is_not_built(tiny: Callable) -> None:
    model_dict = {"l": 2, "o": ["sa", "l"], "h": [8, 8], "n": [2, 2], "f": [[8], [8]], "p": ["sdp", "dft"]}
    names = [name for name, _ in FlexiBERTModel(tiny(model_dict)).named_parameters()]
    assert not [
        name
        for name in names
        if name.endswith(".W") or "position_embeddings" in name or "layer.1.attention.self.key" in name
    ]


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("length", [7, 8])
def test_gradients_do_not_depend_on_the_way_attention_is_computed(tiny: Callable, length: int, positions: str) -> None:
    heads = ["c_3_8", "sa_wma_8", "l_dft_8", "c_5_8", "sa_sdp_8", "c_3_8"]
    model = FlexiBERTModel(tiny({"l": 1, "o": [heads], "h": [16], "f": [[16]]}, position_embedding_type=positions))
    model = model.double().eval()
    ids = torch.randint(5, 41, (2, length))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    outputs, gradients = [], []
    for implementation in ("sdpa", "eager"):
        model.set_attn_implementation(implementation)
        model.zero_grad()
        outputs.append(model(ids, mask).last_hidden_state)
        outputs[-1].pow(3).sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("positions", ["relative_key", "relative_key_query"])
def test_second_derivatives(tiny: Callable, positions: str) -> None:
    torch.manual_seed(0)
    heads = [["sa_sdp_4", "sa_wma_4", "l_dft_4", "l_dct_4", "c_3_4"]]
    config = tiny({"l": 1, "o": heads, "h": [8], "f": [[8]]}, position_embedding_type=positions)
    mixing = FlexiBERTModel(config).double().eval().encoder.layer[0].attention.self
    x = torch.randn(1, 3, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: mixing(x, Padding(), False)[0], x)


def test_gradients_to_differentiate_again_of_layers_that_share_a_table(tiny: Callable) -> None:
    layers = {"l": 2, "o": [["sa_sdp_8", "c_3_8"]] * 2, "h": [16, 16], "f": [[16]] * 2}
    model = FlexiBERTModel(tiny(layers)).double().eval()
    first, second = (layer.attention.self for layer in model.encoder.layer)
    second.distance_embedding = first.distance_embedding
    parameters = [parameter for name, parameter in model.named_parameters() if "pooler" not in name]

    def gradients(again: bool) -> tuple[torch.Tensor, ...]:
        score = model(torch.arange(5, 21).view(2, 8))[0].pow(3).sum()
        return torch.autograd.grad(score, parameters, create_graph=again)

    torch.testing.assert_close(gradients(True), gradients(False), rtol=1e-9, atol=1e-12)
    nothing = model(torch.ones(0, 8, dtype=torch.long))[0].sum()
    assert all(
        not gradient.any()
        for gradient in torch.autograd.grad(nothing, parameters[3:], create_graph=True, allow_unused=True)
        if gradient is not None
    )


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("heads", [["sa_wma_8", "c_3_8", "l_dct_8"], ["sa_sdp_8", "sa_sdp_8"]], ids=["kinds", "sdp"])
def test_many_models_at_once_by_vmap(tiny: Callable, heads: list[str]) -> None:
    models = [FlexiBERTModel(tiny({"l": 1, "o": [heads], "h": [16], "f": [[16]]})).eval() for _ in range(2)]
    x = torch.randn(4, 8, 16)
    mixings = [model.encoder.layer[0].attention.self for model in models]
    parameters, buffers = torch.func.stack_module_state(mixings)

    def mixed(parameters: dict, buffers: dict) -> torch.Tensor:
        return torch.func.functional_call(mixings[0], (parameters, buffers), (x, Padding(), False))[0]

    with torch.no_grad():
        found = torch.vmap(mixed)(parameters, buffers)
        ours = dict(mixings[0].named_parameters())
        for name, several in parameters.items():
            one = torch.vmap(lambda p, name=name: mixed(ours | {name: p}, {}))(several)
            torch.testing.assert_close(one[0], found[0])
        for number, mixing in enumerate(mixings):
            torch.testing.assert_close(found[number], mixing(x, Padding(), False)[0])


def test_a_batch_may_be_empty(tiny: Callable) -> None:
    model = FlexiBERTModel(tiny({"l": 1, "o": [["sa_wma_8", "c_3_8"]], "h": [16], "f": [[16]]})).eval()
    with torch.no_grad():
        assert model(torch.zeros(0, 8, dtype=torch.long)).last_hidden_state.shape == (0, 8, 16)


def test_dropout_drops_attention_in_training_only(tiny: Callable) -> None:
    model = FlexiBERTModel(
        tiny({"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[16]], "p": ["sdp"]}, attention_probs_dropout_prob=0.5)
    )
    x = torch.randn(2, 8, 16)
    mixing = model.encoder.layer[0].attention.self
    assert not torch.equal(*(mixing.train()(x, Padding(), False)[0] for _ in range(2)))
    assert torch.equal(*(mixing.eval()(x, Padding(), False)[0] for _ in range(2)))
