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
# One process for all, as importing its libraries takes longer than all else: each task is done by a child of its own,
# which knows what a fresh process does, with no code kept from the tasks before.
ELSEWHERE = """
import json, os, shutil, sys, torch, transformers
from transformers.models.auto import modeling_auto
from transformers.models.bert import modeling_bert
from transformers.models.deit import modeling_deit
for room in ("flexibert", "design_space", "embeddings", "search"):
    sys.modules[room] = None  # importing it is an ImportError
for name, code, *arguments in json.loads(sys.argv[1]):
    shutil.rmtree(os.environ["HF_MODULES_CACHE"], ignore_errors=True)
    child = os.fork()
    if not child:
        with open(name + ".txt", "w") as said:
            os.dup2(said.fileno(), 1), os.dup2(said.fileno(), 2)
        sys.argv[1:] = arguments
        exec(code)
        print("done", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
LOAD = """
folder, auto_class, name = sys.argv[1:]
inputs = torch.load(folder + "/inputs.pt")
model = getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True).eval()
assert type(model).__module__.startswith("transformers_modules."), type(model)
with torch.no_grad():
    torch.save(model(**inputs)[name], folder + "/elsewhere.pt")
model.save_pretrained(folder + "/again")
again = getattr(transformers, auto_class).from_pretrained(folder + "/again", trust_remote_code=True).eval()
with torch.no_grad():
    assert torch.equal(again(**inputs)[name], torch.load(folder + "/elsewhere.pt"))
"""
LOAD_BOTH = """
for folder in sys.argv[1:]:
    auto_class = transformers.AutoModelForImageClassification
    model, report = auto_class.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
    print(type(model).__name__, len(report["missing_keys"]), len(report["unexpected_keys"]))
    model.save_pretrained(folder + "/again")
    again = auto_class.from_pretrained(folder + "/again", trust_remote_code=True)
    assert type(again).__name__ == type(model).__name__
"""
VISION = FlexiViTConfig(
    model_dict={"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[32]], "p": ["sdp"]}, image_size=8, patch_size=4
)
CLASSIFIERS = (FlexiViTForImageClassification, FlexiViTForImageClassificationWithTeacher)
ORDERS = ((0, 1), (1, 0))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Folders of models, loaded where the project is not: what was said of each is in a text file beside it."""
    place = tmp_path_factory.mktemp("elsewhere")
    torch.manual_seed(0)
    options = {"pooling": "mean", "word_vector_size": 12, "num_labels": 3}
    config = FlexiBERTConfig(model_dict=HETERO, vocab_size=30, max_position_embeddings=16, **options)
    text_inputs = {"input_ids": torch.randint(3, 30, (2, 9)), "attention_mask": torch.ones(2, 9, dtype=torch.long)}
    for name, model, inputs in (
        ("text", FlexiBERTForSequenceClassification(config), text_inputs),
        ("teacher", FlexiViTForImageClassificationWithTeacher(VISION), {"pixel_values": torch.randn(2, 3, 8, 8)}),
    ):
        model.eval().save_pretrained(place / name)
        torch.save(inputs, place / name / "inputs.pt")
        with torch.no_grad():
            torch.save(dict(model(**inputs)), place / name / "expected.pt")
    tasks = [
        ("text", LOAD, place / "text", "AutoModelForSequenceClassification", "logits"),
        ("teacher", LOAD, place / "teacher", "AutoModelForImageClassification", "distillation_logits"),
    ]
    for order in ORDERS:
        folders = [place / f"{order}" / CLASSIFIERS[number].__name__ / "best" for number in order]
        for number, folder in zip(order, folders, strict=True):
            CLASSIFIERS[number](VISION).save_pretrained(folder)
        tasks.append((f"both {order}", LOAD_BOTH, *folders))
    command = [sys.executable, "-c", ELSEWHERE, json.dumps([list(map(str, task)) for task in tasks])]
    environment = {"HF_MODULES_CACHE": str(place / "modules"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return place


def _said(elsewhere, task):
    """What a task printed, which ended well."""
    *lines, last = (elsewhere / f"{task}.txt").read_text().splitlines()
    assert last == "done", lines
    return lines


def test_a_text_model_loads_without_the_project(elsewhere):
    _said(elsewhere, "text")
    folder = elsewhere / "text"
    expected = torch.load(folder / "expected.pt")["logits"]
    assert torch.equal(torch.load(folder / "elsewhere.pt"), expected)
    # What was saved there is whole: it loads here, and has its code.
    again = FlexiBERTForSequenceClassification.from_pretrained(folder / "again").eval()
    with torch.no_grad():
        assert torch.equal(again(**torch.load(folder / "inputs.pt")).logits, expected)
    assert (folder / "again" / "heads.py").is_file()


def test_the_saved_class_of_two_is_the_one_that_loads(elsewhere, tmp_path):
    for model_class in CLASSIFIERS:
        model_class(VISION).save_pretrained(tmp_path / model_class.__name__)
        saved = json.loads((tmp_path / model_class.__name__ / "config.json").read_text())
        assert saved["auto_map"]["AutoModelForImageClassification"] == f"modeling_flexivit.{model_class.__name__}"
    _said(elsewhere, "teacher")
    expected = torch.load(elsewhere / "teacher" / "expected.pt")["distillation_logits"]
    assert torch.equal(torch.load(elsewhere / "teacher" / "elsewhere.pt"), expected)


@pytest.mark.parametrize("order", ORDERS)
def test_two_folders_of_one_name_load_as_the_classes_they_hold(elsewhere, order):
    classes = [CLASSIFIERS[number] for number in order]
    assert [line for line in _said(elsewhere, f"both {order}") if line.startswith("FlexiViT")] == [
        f"{model_class.__name__} 0 0" for model_class in classes
    ]
    folders = [elsewhere / f"{order}" / model_class.__name__ / "best" for model_class in classes]
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
