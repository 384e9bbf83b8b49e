"""Pre-trained encoders made ready in a run directory."""

import io

import pytest
import torch
from rich.console import Console
from transformers import AutoTokenizer, BertModel

from dataset.prepare import DataOptions
from flexibert import FlexiBERTModel, from_bert
from search.runs.roots import RootOptions, prepare_roots, with_tokenizer
from tests.search.encoders import write_bert, write_reviews


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("encoders") / "tiny-bert")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_reviews(tmp_path_factory.mktemp("tables") / "reviews.csv")


def _console():
    return Console(file=io.StringIO(), width=500)


def test_an_encoder_is_converted_once_and_read_again(encoder, table, tmp_path):
    console, data = _console(), DataOptions(task=str(table), max_length=16)
    roots = prepare_roots(RootOptions(start_from=(str(encoder),)), data, tmp_path / "roots", console)
    said = console.file.getvalue()
    assert "tiny-bert: BertForMaskedLM" in said or "head" in said
    assert "pooling '" in said
    assert list(roots.folders) == ["tiny-bert"]
    assert roots.reference == FlexiBERTModel.from_pretrained(roots.folders["tiny-bert"]).config.model_spec
    assert roots.network["position_embedding_type"] == "absolute"
    assert roots.network["max_position_embeddings"] == 40
    ids = torch.tensor([[2, 5, 9, 3]])
    theirs = from_bert(BertModel.from_pretrained(encoder)).eval()
    ours = FlexiBERTModel.from_pretrained(roots.folders["tiny-bert"]).eval()
    with torch.no_grad():
        assert torch.allclose(ours(ids).last_hidden_state, theirs(ids).last_hidden_state, atol=1e-6)
    again = _console()
    assert prepare_roots(RootOptions(start_from=(str(encoder),)), data, tmp_path / "roots", again) == roots
    assert again.file.getvalue() == ""
    assert with_tokenizer(data, roots).tokenizer == str(roots.folders["tiny-bert"])


def test_words_that_no_text_has_are_dropped_on_demand(encoder, table, tmp_path):
    options = RootOptions(start_from=(str(encoder),), trim_vocabulary=True, pooling="cls")
    corpus = tmp_path / "texts.txt"
    corpus.write_text("the good film\n")
    data = DataOptions(task=str(table), corpus=(corpus,), max_length=16)
    roots = prepare_roots(options, data, tmp_path / "roots", _console())
    tokenizer = AutoTokenizer.from_pretrained(roots.folders["tiny-bert"])
    assert roots.network["vocab_size"] == len(tokenizer) <= 66
    assert tokenizer.tokenize("the bad film") == ["the", "bad", "film"]


@pytest.mark.parametrize(
    ("starts", "options", "message"),
    [
        (("one",), {"tokenizer": "two"}, "'tokenizer' is that of the encoder in 'start_from'"),
        (("one",), {"max_length": 64}, "must be at most the 40 positions of one. Got 64"),
        (("one", "elsewhere/one"), {}, "encoders of different names. Got 'one' twice"),
        (("one", "two"), {}, "two has the architecture of one: start from one of them"),
        (("one", "longer"), {}, "longer must be like one in max_position_embeddings"),
    ],
    ids=["tokenizer", "length", "name", "architecture", "positions"],
)
def test_what_does_not_fit_is_said(table, tmp_path, starts, options, message):
    write_bert(tmp_path / "one")
    write_bert(tmp_path / "elsewhere" / "one", num_hidden_layers=2)
    write_bert(tmp_path / "two")
    write_bert(tmp_path / "longer", num_hidden_layers=2, max_position_embeddings=50)
    chosen = RootOptions(start_from=tuple(str(tmp_path / name) for name in starts), pooling="mean")
    data = DataOptions(**({"task": str(table), "max_length": 16} | options))
    with pytest.raises(ValueError, match=message):
        prepare_roots(chosen, data, tmp_path / "roots", _console())
