"""Saved folders load in a process that cannot import this project, and give the same outputs there."""

import json
import re
import subprocess
import sys

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

from design_space import ModelSpec
from flexibert import FlexiBERTConfig, FlexiBERTForSequenceClassification
from flexibert.checkpoints.remote_code import AUTO_CLASSES, flat_sources
from flexibert.vision.configuration_flexivit import FlexiViTConfig
from flexibert.vision.modeling_flexivit import FlexiViTForImageClassification, FlexiViTForImageClassificationWithTeacher

HETERO = {"l": 2, "o": [["sa_wma_8", "c_5_8"], ["l_dft_8", "sa_sdp_8", "c_3_8"]], "h": [16, 24], "f": [[32], [16, 8]]}
LOAD_ELSEWHERE = """
import importlib.util, sys, torch, transformers
for room in ("flexibert", "design_space", "embeddings", "search"):
    sys.modules[room] = None  # importing it is an ImportError
folder, auto_class, name, inputs = sys.argv[1:5]
model = getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True).eval()
assert type(model).__module__.startswith("transformers_modules."), type(model)
with torch.no_grad():
    torch.save(model(**torch.load(inputs))[name], folder + "/elsewhere.pt")
model.save_pretrained(folder + "/again")
again = getattr(transformers, auto_class).from_pretrained(folder + "/again", trust_remote_code=True).eval()
with torch.no_grad():
    assert torch.equal(again(**torch.load(inputs))[name], torch.load(folder + "/elsewhere.pt"))
"""


def _elsewhere(folder, auto_class, name, inputs, tmp_path):
    torch.save(inputs, tmp_path / "inputs.pt")
    command = [sys.executable, "-c", LOAD_ELSEWHERE, str(folder), auto_class, name, str(tmp_path / "inputs.pt")]
    environment = {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return torch.load(folder / "elsewhere.pt")


def test_a_text_model_loads_without_the_project(tmp_path):
    torch.manual_seed(0)
    options = {"pooling": "mean", "word_vector_size": 12, "num_labels": 3}
    config = FlexiBERTConfig(model_dict=HETERO, vocab_size=30, max_position_embeddings=16, **options)
    model = FlexiBERTForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path / "model")
    inputs = {"input_ids": torch.randint(3, 30, (2, 9)), "attention_mask": torch.ones(2, 9, dtype=torch.long)}
    with torch.no_grad():
        expected = model(**inputs).logits
    found = _elsewhere(tmp_path / "model", "AutoModelForSequenceClassification", "logits", inputs, tmp_path)
    assert torch.equal(found, expected)
    # What was saved there is whole: it loads here, and has its code.
    again = FlexiBERTForSequenceClassification.from_pretrained(tmp_path / "model" / "again").eval()
    with torch.no_grad():
        assert torch.equal(again(**inputs).logits, expected)
    assert (tmp_path / "model" / "again" / "heads.py").is_file()


def test_the_saved_class_of_two_is_the_one_that_loads(tmp_path):
    torch.manual_seed(0)
    model_dict = {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[32]], "p": ["sdp"]}
    config = FlexiViTConfig(model_dict=model_dict, image_size=8, patch_size=4)
    for model_class in (FlexiViTForImageClassification, FlexiViTForImageClassificationWithTeacher):
        model_class(config).save_pretrained(tmp_path / model_class.__name__)
        saved = json.loads((tmp_path / model_class.__name__ / "config.json").read_text())
        assert saved["auto_map"]["AutoModelForImageClassification"] == f"modeling_flexivit.{model_class.__name__}"
    model = FlexiViTForImageClassificationWithTeacher(config).eval()
    model.save_pretrained(tmp_path / "model")
    inputs = {"pixel_values": torch.randn(2, 3, 8, 8)}
    with torch.no_grad():
        expected = model(**inputs).distillation_logits
    found = _elsewhere(tmp_path / "model", "AutoModelForImageClassification", "distillation_logits", inputs, tmp_path)
    assert torch.equal(found, expected)


LOAD_BOTH = """
import sys, transformers
for room in ("flexibert", "design_space", "embeddings", "search"):
    sys.modules[room] = None
for folder in sys.argv[1:]:
    auto_class = transformers.AutoModelForImageClassification
    model, report = auto_class.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
    print(type(model).__name__, len(report["missing_keys"]), len(report["unexpected_keys"]))
    model.save_pretrained(folder + "/again")
    again = auto_class.from_pretrained(folder + "/again", trust_remote_code=True)
    assert type(again).__name__ == type(model).__name__
"""


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_folders_of_one_name_load_as_the_classes_they_hold(tmp_path, order):
    model_dict = {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[32]], "p": ["sdp"]}
    config = FlexiViTConfig(model_dict=model_dict, image_size=8, patch_size=4)
    classes = [(FlexiViTForImageClassification, FlexiViTForImageClassificationWithTeacher)[number] for number in order]
    folders = [tmp_path / model_class.__name__ / "best" for model_class in classes]
    for model_class, folder in zip(classes, folders, strict=True):
        model_class(config).save_pretrained(folder)
    environment = {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", LOAD_BOTH, *map(str, folders)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [f"{model_class.__name__} 0 0" for model_class in classes]
    written = [{file.name for file in (folder / "again").glob("*.py")} for folder in folders]
    assert "modeling_flexivit.py" in written[0]
    assert written[0] == written[1]


def test_where_the_project_is_installed_its_own_classes_are_used_and_nothing_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    config = FlexiBERTConfig(model_dict=HETERO, vocab_size=30, max_position_embeddings=16)
    FlexiBERTForSequenceClassification(config).save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(loaded) is FlexiBERTForSequenceClassification
    assert type(AutoModel.from_pretrained(tmp_path)).__module__ == "flexibert.model.modeling_flexibert"
    assert loaded.config.model_spec == ModelSpec.from_dict(HETERO)


@pytest.mark.parametrize("model_type", AUTO_CLASSES)
def test_the_code_is_complete_and_imports_only_what_every_such_machine_has(model_type):
    sources = flat_sources({place for places in AUTO_CLASSES[model_type].values() for place in places})
    assert {"spec", "graph", "spec_config"} < set(sources)
    assert not {"remote_code", "model_card", "plugins", "transfer"} & set(sources)  # of the project alone
    imported = [
        re.match(r"\s*(?:from|import) (\S+)", line) for source in sources.values() for line in source.splitlines()
    ]
    names = {found.group(1) for found in imported if found}
    assert {name[1:] for name in names if name.startswith(".")} <= set(sources)
    assert not {name.partition(".")[0] for name in names} & {"design_space", "flexibert", "embeddings", "search"}
