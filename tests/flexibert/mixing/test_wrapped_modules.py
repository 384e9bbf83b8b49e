"""Modules somebody has put something in the place of, or around: adapters, masks, offloaded and quantised weights."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from flexibert import FlexiBERTForSequenceClassification, FlexiBERTModel
from flexibert.mixing.attention import Padding

LAYERS = {"l": 3, "o": ["sa", "l", "c"], "h": [16] * 3, "n": [2] * 3, "f": [[32]] * 3, "p": ["wma", "dct", 5]}
HETERO = {"l": 1, "o": [["sa_sdp_8", "c_5_8", "l_dft_8", "sa_wma_8", "c_5_8"]], "h": [16], "f": [[32, 16]]}
MODELS = [(LAYERS, "absolute"), (LAYERS, "relative_key"), (HETERO, "absolute"), (HETERO, "relative_key_query")]
every_model = pytest.mark.parametrize(("model_dict", "positions"), MODELS)
IDS = torch.tensor([[5, 9, 33, 7, 8, 2, 11], [3, 4, 4, 6, 1, 0, 0]])
MANY = torch.arange(1, 261).remainder(40).add(1).view(20, 13)  # enough for one product of several maps


def _model(tiny: Callable, model_dict: dict, positions: str) -> FlexiBERTModel:
    torch.manual_seed(2)
    return FlexiBERTModel(tiny(model_dict, position_embedding_type=positions, initializer_range=0.3)).eval()


def _states(model: FlexiBERTModel) -> Tensor:
    with torch.no_grad():
        return model(IDS, (IDS > 0).long()).last_hidden_state


class Adapted(nn.Module):
    """A map and something added to it, without the map's attributes."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.own = nn.Parameter(torch.linspace(-0.5, 1, base.out_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.own


@every_model
def test_every_adapter_has_an_effect_and_a_gradient(tiny, model_dict, positions):
    model = _model(tiny, model_dict, positions)
    linears = [name for name, module in model.named_modules() if type(module) is nn.Linear]
    assert {name.rpartition(".")[2] for name in linears} > {"query", "key", "value", "dense"}
    plain = _states(model)
    for name in linears:
        adapted = copy.deepcopy(model)
        place, _, attribute = name.rpartition(".")
        setattr(adapted.get_submodule(place), attribute, Adapted(adapted.get_submodule(name)))
        if name != "pooler.dense" and not name.endswith("key"):  # a constant added to all keys changes no weight
            assert not torch.allclose(_states(adapted), plain, atol=1e-5), name
        outputs = adapted(MANY)
        (outputs.last_hidden_state.pow(2).sum() + outputs.pooler_output.sum()).backward()
        assert adapted.get_submodule(name).own.grad is not None, name


@every_model
def test_hooks_are_called_by_compiled_models_too(tiny, model_dict, positions):
    model = _model(tiny, model_dict, positions)
    plain = _states(model)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding | nn.Conv1d):
            module.register_forward_hook(lambda module, args, output: output * 1.1)
    hooked = _states(model)
    assert not torch.allclose(hooked, plain, atol=1e-2)
    torch.compiler.reset()
    torch.testing.assert_close(_states(torch.compile(model, backend="eager")), hooked)


@every_model
def test_masked_weights_are_used_and_can_be_trained(tiny, model_dict, positions):
    model = _model(tiny, model_dict, positions)
    expected = copy.deepcopy(model)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear | nn.Embedding | nn.Conv1d):
            prune.l1_unstructured(module, "weight", amount=0.3)
            expected.get_submodule(name).weight.data = module.weight.detach().clone()
    torch.testing.assert_close(_states(model), _states(expected))
    for _ in range(2):  # masks are multiplied anew in each pass
        model(IDS).last_hidden_state.pow(2).sum().backward()


@every_model
def test_weights_may_be_elsewhere_until_they_are_read(tiny, model_dict, positions, tmp_path: Path):
    accelerate = pytest.importorskip("accelerate", reason="needs the extra 'search'")
    model = _model(tiny, model_dict, positions)
    expected = _states(model)
    model.save_pretrained(tmp_path / "model")
    torch.testing.assert_close(_states(accelerate.cpu_offload(copy.deepcopy(model), execution_device="cpu")), expected)
    places = {"embeddings": "disk", "encoder": "disk", "pooler": "cpu"}
    loaded = FlexiBERTModel.from_pretrained(tmp_path / "model", device_map=places, offload_folder=tmp_path / "offload")
    torch.testing.assert_close(_states(loaded), expected)


@every_model
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor")
def test_linear_maps_may_be_quantised(tiny, model_dict, positions):
    model = _model(tiny, model_dict, positions)
    quantised = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear})
    difference = (_states(quantised) - _states(model)).abs().mean()
    assert 0 < difference < 0.1


def test_padding_follows_the_states_to_another_device():
    hooks = pytest.importorskip("accelerate.hooks", reason="needs the extra 'search'")
    padding = Padding.from_mask((IDS > 0).long(), torch.float32)
    hook = hooks.AlignDevicesHook(execution_device="meta")
    (states, moved), _ = hook.pre_forward(nn.Identity(), torch.zeros(2, 7, 16), padding)
    assert isinstance(moved, Padding)
    assert {x.device.type for x in (states, moved.scores, moved.keep)} == {"meta"}
    assert moved.scores.shape == padding.scores.shape
    assert Padding().to("meta").scores is None


def test_the_feed_forward_map_is_one_under_both_names(tiny):
    model = FlexiBERTForSequenceClassification(tiny(LAYERS))
    stack = model.bert.encoder.layer[0].intermediate
    replacement = Adapted(stack.dense)
    stack.dense = replacement
    assert stack.sequential[0] is replacement
