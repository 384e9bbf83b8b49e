"""Models under ``torch.func``, batches of gradients, forward-mode derivatives and fake tensors."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.functional import jacobian
from torch.func import functional_call, grad, jacfwd, jacrev, stack_module_state, vmap

from flexibert import FlexiBERTModel

LAYERS = {
    "l": 4,
    "o": ["sa", "l", "c", "l"],
    "h": [8] * 4,
    "n": [2] * 4,
    "f": [[16]] * 4,
    "p": ["wma", "dft", 3, "dct"],
}
HETERO = {"l": 1, "o": [["sa_sdp_4", "c_3_4", "l_dft_4", "sa_wma_4", "c_3_4"]], "h": [8], "f": [[16]]}
every_model = pytest.mark.parametrize("model_dict", [LAYERS, HETERO], ids=["standard", "hetero"])
every_position = pytest.mark.parametrize("positions", ["absolute", "relative_key", "relative_key_query"])
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")


def _model(tiny: Callable, model_dict: dict, positions: str, attention: str) -> FlexiBERTModel:
    torch.manual_seed(0)
    model = FlexiBERTModel(tiny(model_dict, position_embedding_type=positions, initializer_range=0.3))
    model.set_attn_implementation(attention)
    return model.eval().double()


@every_model
@pytest.mark.parametrize(  # the fused kernel, which absolute positions take, knows no forward mode
    ("positions", "attention"),
    [
        ("absolute", "eager"),
        *((name, way) for name in ("relative_key", "relative_key_query") for way in ("eager", "sdpa")),
    ],
)
def test_jacobians_are_the_same_in_every_way(tiny, model_dict, positions, attention):
    model = _model(tiny, model_dict, positions, attention)
    vectors = torch.randn(2, 5, 8, dtype=torch.double)

    def summed(x: Tensor) -> Tensor:
        return model(inputs_embeds=x).last_hidden_state.sum((0, 1))

    expected = jacobian(summed, vectors)
    torch.testing.assert_close(jacobian(summed, vectors, vectorize=True), expected)
    torch.testing.assert_close(jacrev(summed)(vectors), expected)
    torch.testing.assert_close(jacfwd(summed)(vectors), expected)
    torch.testing.assert_close(jacobian(summed, vectors, vectorize=True, strategy="forward-mode"), expected)


@every_model
@every_position
def test_gradients_per_text(tiny, model_dict, positions):
    model = _model(tiny, model_dict, positions, "sdpa")
    ids = torch.randint(1, 41, (3, 6))
    parameters = {name: x.detach() for name, x in model.named_parameters()}

    def loss(weights: dict[str, Tensor], text: Tensor) -> Tensor:
        return functional_call(model, weights, (text[None],)).last_hidden_state.pow(2).sum()

    found = vmap(grad(loss), (None, 0))(parameters, ids)
    for number, text in enumerate(ids):
        model.zero_grad()
        model(text[None]).last_hidden_state.pow(2).sum().backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                torch.testing.assert_close(found[name][number], parameter.grad)


@every_model
@every_position
def test_texts_with_masks_one_by_one(tiny, model_dict, positions):
    model = _model(tiny, model_dict, positions, "sdpa")
    ids, masks = torch.randint(1, 41, (3, 6)), torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]])
    found = vmap(lambda text, mask: model(text[None], mask[None]).last_hidden_state[0])(ids, masks)
    torch.testing.assert_close(found, model(ids, masks).last_hidden_state)


@every_model
def test_fake_tensors_leave_nothing_behind(tiny, model_dict):
    config = tiny(model_dict)
    model = FlexiBERTModel(config).eval()
    with FakeTensorMode():
        ids, mask = torch.randint(1, 41, (2, 6)), torch.ones(2, 6)
        assert FlexiBERTModel(config)(ids, mask).last_hidden_state.shape == (2, 6, model.config.hidden_size)
    assert model(torch.randint(1, 41, (2, 6))).last_hidden_state.isfinite().all()


def test_a_shorter_limit_set_later_does_not_move_the_distances(tiny):
    model = _model(tiny, LAYERS, "relative_key", "sdpa")
    ids = torch.randint(1, 41, (2, 6))
    expected = model(ids).last_hidden_state
    model.config.max_position_embeddings = 7
    assert torch.equal(model(ids).last_hidden_state, expected)


@every_model
def test_other_weights_for_a_call_leave_the_model_as_it_was(tiny, model_dict):
    models = [_model(tiny, model_dict, "relative_key", "sdpa") for _ in range(2)]
    ids = torch.randint(1, 41, (2, 6))
    expected = models[0](ids).last_hidden_state
    before = dict(models[0].state_dict(keep_vars=True))
    functional_call(models[0], {name: torch.ones_like(x) for name, x in models[0].named_parameters()}, (ids,))
    after = models[0].state_dict(keep_vars=True)
    assert all(after[name] is value for name, value in before.items())
    weights, buffers = stack_module_state(models)
    found = vmap(lambda w, b: functional_call(models[0], (w, b), (ids,)).last_hidden_state)(weights, buffers)
    torch.testing.assert_close(found, torch.stack([expected, expected]))
    assert torch.equal(models[0](ids).last_hidden_state, expected)
