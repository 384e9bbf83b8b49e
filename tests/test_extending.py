"""The code of docs/extending.md, run as it stands there: an operation from outside of the project goes everywhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text()


def modules() -> dict[str, str]:
    """The page's Python blocks by the file name that they begin with."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    return {block.split('"""')[1].split(":")[0]: block for block in blocks}


def run(code: str, folder: Path, *arguments: str, project: bool = True) -> str:
    """What a new process prints, with ``folder`` as its working directory; registries of other tests stay clean."""
    environment = os.environ | {"PYTHONPATH": str(ROOT) if project else "", "HF_HUB_OFFLINE": "1"}
    environment |= {"HF_MODULES_CACHE": str(folder / "modules")}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with the page's modules."""
    for name, source in modules().items():
        (tmp_path / name).write_text(source)
    return tmp_path


EVERYWHERE = """
import copy, torch
from design_space import DesignSpace, ModelSpec, register_operation
from design_space.plugins import load_plugins
load_plugins(["pooling"])
from embeddings import GraphLibrary, graph_edit_distance
from flexibert import *
from flexibert.morphisms.layer_merging import merged_spec

space = DesignSpace.from_dict({"architecture": {
    "hidden_size": [16, 32], "num_heads": [2, 4], "encoder_layers": [2], "operation_types": ["sa", "pool"],
    "number_of_feed-forward_stacks": [1], "feed-forward_hidden": [32],
    "operation_parameters": {"sa": ["sdp"], "pool": [3, 7]}}})
assert space.size(layers_per_stack=2) == 12
library = GraphLibrary.build(space, layers_per_stack=2, embedding_size=4, num_neighbors=3)
sizes = {"l": 2, "h": [16, 16], "f": [[32]] * 2}
standard = ModelSpec.from_dict(sizes | {"o": ["pool", "sa"], "n": [2, 2], "p": [3, "wma"]})
hetero = ModelSpec.from_dict(sizes | {"o": [["pool_3_8", "sa_wma_8", "c_3_8", "pool_5_8"]] * 2})
assert graph_edit_distance(standard, hetero) > 0
ids = torch.arange(1, 13).view(2, 6)
mask = torch.ones_like(ids)
mask[1, 4:] = 0
for spec in (standard, hetero):
    for positions in ("absolute", "relative_key", "relative_key_query"):
        config = FlexiBERTConfig(model_dict=spec.to_dict(), vocab_size=40, max_position_embeddings=16,
                                 position_embedding_type=positions, plugins=["pooling"])
        torch.manual_seed(0)
        model = FlexiBERTForSequenceClassification(config).eval()
        assert count_parameters(spec, config) == sum(p.numel() for p in model.bert.parameters())
        with torch.no_grad():
            whole, short = model(ids, mask).logits, model(ids[1:, :4]).logits
        torch.testing.assert_close(whole[1:], short)  # padding is inert
        for mode in ("consistent", "OD", "RP"):
            same = FlexiBERTForSequenceClassification(config, transfer_mode=mode).eval()
            overlap = same.load_model_from_source(model)
            assert overlap == transfer_overlap(spec, spec, config, mode=mode) == 1
            with torch.no_grad():
                torch.testing.assert_close(same(ids, mask).logits, whole)
        wider = ModelSpec(tuple(type(l)(32, tuple(type(h)(h.operation, h.parameter, 16) for h in l.heads), (64,))
                                for l in spec.layers), spec.format)
        large = FlexiBERTForSequenceClassification(
            FlexiBERTConfig(model_dict=wider.to_dict(), vocab_size=40, max_position_embeddings=16,
                            position_embedding_type=positions)).eval()
        assert large.load_model_from_source(model) > 0.2
        batch = {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([0, 1])}
        pruned = prune(model, spec=prune(spec, density=0.6), examples=[batch])
        assert pruned.config.model_spec == prune(spec, density=0.6)
        assert pruned.num_parameters() < model.num_parameters()
        with torch.no_grad():
            joint = stitch(model, model)
            torch.testing.assert_close(joint(ids, mask).logits, whole, rtol=1e-4, atol=1e-5)
        merged = merge_layers(model, [ids], training=Training(steps=2))
        assert merged.config.model_spec == merged_spec(spec)
        for each, name in ((model, "model"), (pruned, "pruned"), (joint, "joint")):
            folder = f"{spec.format}-{positions}-{name}"
            each.save_pretrained(folder)
            again = FlexiBERTForSequenceClassification.from_pretrained(folder).eval()
            with torch.no_grad():
                torch.testing.assert_close(again(ids, mask).logits, each.eval()(ids, mask).logits)
            torch.save(again(ids, mask).logits, f"{folder}/expected.pt")
if spec.format == "hetero":
    both = FlexiBERTForSequenceClassification(config).eval()
    program = torch.onnx.export(both, (ids, mask), dynamo=True, report=False, verbose=False)
    import onnxruntime
    program.save("model.onnx")
    session = onnxruntime.InferenceSession("model.onnx")
    names = [each.name for each in session.get_inputs()]
    found = session.run(None, dict(zip(names, (ids.numpy(), mask.numpy()))))[0]
    torch.testing.assert_close(torch.from_numpy(found), both(ids, mask).logits, rtol=1e-3, atol=1e-4)
print("done")
"""

ELSEWHERE = """
import sys, torch, transformers
for room in ("flexibert", "design_space", "embeddings", "search", "pooling"):
    sys.modules[room] = None
ids = torch.arange(1, 13).view(2, 6)
mask = torch.ones_like(ids)
mask[1, 4:] = 0
for folder in sys.argv[1:]:
    load = transformers.AutoModelForSequenceClassification.from_pretrained
    model = load(folder, trust_remote_code=True).eval()
    expected = torch.load(f"{folder}/expected.pt")
    torch.testing.assert_close(model(ids, mask).logits, expected)
    model.save_pretrained(f"{folder}/again")  # from copied code
    torch.testing.assert_close(load(f"{folder}/again", trust_remote_code=True).eval()(ids, mask).logits, expected)
print("done")
"""


@pytest.mark.integration
def test_an_operation_from_outside_goes_everywhere(folder: Path) -> None:
    assert run(EVERYWHERE, folder).splitlines()[-1] == "done"
    (folder / "pooling.py").unlink()
    names = ["standard-relative_key-model", "hetero-absolute-pruned", "hetero-relative_key_query-joint"]
    assert run(ELSEWHERE, folder, *names, project=False).splitlines()[-1] == "done"


WRONG = """
import torch
from torch import nn
from design_space import Names, Operation, register_operation
from flexibert.mixing import *

class Heads(HeadOperation):
    name = "gate"
    def flops(self, parameter, size, length): return Flops()

def refused(**changes):
    try:
        register_head_operation(type("Heads", (Heads,), changes)())
    except ValueError as error:
        return str(error)

assert "design_space.register_operation" in refused()
register_operation(Operation(name="gate", meaning="gated values", parameters=Names(("plain",))))
assert "'mix' is not written" in refused()
assert "neither attend nor mix" in refused(mixes=False)
linear = dict(build=lambda self, p, size: {"up": nn.Linear(size, size)}, mix=lambda self, x, own, p: own["up"](x.value))
assert "'parameters' must describe the weights of 'build'" in refused(**linear)
axis = lambda size: Axis("head", size, space="value")
linear["parameters"] = lambda self, p, size: [Parameter("up.weight", (axis(size),) * 2, "up.weight"),
                                              Parameter("up.bias", (axis(size),), "up.bias")]
assert "'flops' must count all products: 320 multiply-adds" in refused(**linear)
assert "shape" in refused(mix=lambda self, x, own, p: x.value[:1])
linear["flops"] = lambda self, p, size, length: Flops(length * size * size)
unplaced = lambda self, p, size: [Parameter("up.weight", (Axis("head", size),) * 2, "up.weight"),
                                  Parameter("up.bias", (Axis("head", size),), "up.bias")]
assert "with the space whose vectors they list" in refused(**linear | {"parameters": unplaced})
assert "'reads' names neither query nor key" in refused(mix=lambda self, x, own, p: x.value * x.query)
assert "must not read padded positions" in refused(mix=lambda self, x, own, p: x.value.roll(1, 1))
assert "'maps_zero_to_zero' must be False" in refused(mix=lambda self, x, own, p: x.value + 1, maps_zero_to_zero=True)
try:
    register_operation(Operation(name="other", meaning="gated values", parameters=Names(("plain",))))
except ValueError as error:
    assert "'meaning' of operation 'other' must not be that of 'gate'" in str(error)
else:
    raise AssertionError("two operations of one meaning")
assert refused(**linear) is None
assert "registered already" in refused(**linear, __qualname__="Others")
print("done")
"""


@pytest.mark.integration
def test_what_an_operation_leaves_out_is_an_error_at_registration(folder: Path) -> None:
    assert run(WRONG, folder) == "done\n"


def test_the_projects_own_operations_pass_the_check_of_registration() -> None:
    from design_space.operations import CONVOLUTION, LINEAR_TRANSFORM, SELF_ATTENTION
    from flexibert.mixing.head_operations import head_operation, problems_of

    for name in (SELF_ATTENTION, LINEAR_TRANSFORM, CONVOLUTION):
        assert problems_of(head_operation(name)) == []
