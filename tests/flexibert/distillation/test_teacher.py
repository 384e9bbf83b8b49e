"""A teacher from its folder, and what cannot be one."""

import json

import pytest
import torch
from transformers import BertConfig, BertForTokenClassification

from flexibert import FlexiBERTConfig, FlexiBERTForSequenceClassification
from flexibert.distillation import load_teacher

SPEC = {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[32]], "p": ["sdp"]}


def _ours(folder):
    FlexiBERTForSequenceClassification(FlexiBERTConfig(vocab_size=30, model_dict=SPEC)).save_pretrained(folder)


def _theirs(folder):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertForTokenClassification(BertConfig(vocab_size=30, **sizes)).save_pretrained(folder)


@pytest.mark.parametrize(
    ("save", "name"), [(_ours, "FlexiBERTForSequenceClassification"), (_theirs, "BertForTokenClassification")]
)
def test_a_teacher_has_the_class_it_was_saved_with_and_learns_no_more(save, name, tmp_path):
    torch.manual_seed(0)
    save(tmp_path)
    teacher = load_teacher(tmp_path)
    assert type(teacher).__name__ == name
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_what_is_no_teacher_is_named(tmp_path):
    with pytest.raises(ValueError, match="is not a model folder; it must hold 'config.json' and weights"):
        load_teacher(tmp_path)
    _theirs(tmp_path)
    weights = tmp_path / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"model.safetensors: the weights cannot be read .*damaged or cut off"):
        load_teacher(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["TeacherOfAll"]}))
    with pytest.raises(ValueError, match="must name a class of flexibert or transformers. Got 'TeacherOfAll'"):
        load_teacher(tmp_path)
