"""Whatever stands in a file: it is read, or refused in a message. No other exception, no hang, no great memory."""

import json
import tracemalloc

import pytest
import yaml

from design_space import DesignSpace, ModelSpec
from design_space.files import read_yaml
from embeddings import GraphLibrary
from flexibert import FlexiBERTConfig
from search import Candidate, Origin
from search.benchmark.table import load_table
from search.records.journal import Journal
from tests.odd_content import odd_contents, odd_texts

STANDARD = {"l": 2, "o": ["sa", "c"], "h": [16, 16], "n": [2, 4], "f": [[32], [8, 8]], "p": ["sdp", 3]}
HETERO = {"l": 2, "o": [["sa_sdp_8", "c_9_8"], ["l_dft_4"]], "h": [16, 8], "f": [[32], [16, 8]]}
MOST_BYTES = 50_000_000


def _refusals(read, contents) -> int:
    """How many are refused."""
    refused = 0
    tracemalloc.start()
    for content in contents:
        try:
            read(content)
        except ValueError:
            refused += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_BYTES
    return refused


@pytest.fixture(scope="module")
def small_space():
    return {
        "datasets": ["cola"],
        "architecture": {
            "hidden_size": [8, 16],
            "num_heads": [2],
            "encoder_layers": [1],
            "operation_types": ["sa", "l"],
            "number_of_feed-forward_stacks": [1],
            "feed-forward_hidden": [16],
            "operation_parameters": {"sa": ["sdp"], "l": ["dft"]},
        },
    }


@pytest.fixture(scope="module")
def small_library(small_space):
    library = GraphLibrary.build(DesignSpace.from_dict(small_space), layers_per_stack=1)
    library.performances = {library.hashes[0]: {"cola": 0.5}}
    library.measured_on = {"cola": {"metric": "matthews", "rows": "ab"}}
    return library


def test_model_dicts():
    contents = [*odd_contents(STANDARD, 1000), *odd_contents(HETERO, 1000)]
    contents += odd_contents({"groups": [HETERO, HETERO]}, 200)
    assert 1000 < _refusals(ModelSpec.from_dict, contents) < len(contents)


def test_spaces(small_space):
    def read(content):
        space = DesignSpace.from_dict(content)
        return space.size(layers_per_stack=1), space.label_order()

    assert 1000 < _refusals(read, odd_contents(small_space, 2000)) < 2000


def test_yaml(small_space, tmp_path):
    path = tmp_path / "space.yaml"

    def read(text):
        path.write_text(text)
        return DesignSpace.from_yaml(path)

    assert 500 < _refusals(read, odd_texts(yaml.safe_dump(small_space), 1000)) < 1000


def test_configurations():
    content = FlexiBERTConfig(model_dict=STANDARD, vocab_size=50, lineage=["made"]).to_dict()
    assert 300 < _refusals(lambda odd: FlexiBERTConfig(**odd), odd_contents(content, 2000)) < 2000


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_libraries(small_library, tmp_path, suffix):
    path = tmp_path / f"library{suffix}"
    small_library.save(path)
    whole = path.read_bytes()
    if suffix == ".json":
        odd = [json.dumps(content) for content in odd_contents(json.loads(whole), 1500)]
        odd = [text.encode() for text in [*odd, *odd_texts(whole.decode(), 500)]]
    else:
        changed = [whole[:place] + bytes([whole[place] ^ 85]) + whole[place + 1 :] for place in range(0, len(whole), 9)]
        odd = [*changed, *(whole[:place] for place in range(0, len(whole), 99))]

    def read(content):
        path.write_bytes(content)
        library = GraphLibrary.load(path)
        return library.embed(library.specs[0]), library.get(library.hashes[0])

    assert len(odd) / 4 < _refusals(read, odd) < len(odd)


def test_journals(small_library, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for number, spec in enumerate(small_library.specs[:2], start=1):
        trial, parent = f"t{number:04d}", small_library.hashes[0]
        origin = Origin("transfer", parent) if number == 2 else Origin()
        predicted = {"predicted": {"mean": 0.5, "deviation": 0.1}} if number == 2 else {}
        journal.append("suggested", trial, **Candidate(spec, origin).to_dict(), **predicted)
        journal.append("started", trial)
        journal.append("reported", trial, phase="fine-tune", progress=0.5)
        journal.append("finished", trial, score=0.5, objectives={"latency_ms": 1.0}, cost_s=2.0)
    text = journal.path.read_text()
    events = [json.loads(line) for line in text.splitlines()]
    odd = ["".join(json.dumps(event) + "\n" for event in content) for content in odd_contents(events, 1500)]

    def read(content):
        journal.path.write_text(content)
        return journal.trials()

    assert 800 < _refusals(read, [*odd, *odd_texts(text, 500)]) < 2000


def test_benchmark_tables(tmp_path):
    path = tmp_path / "table.json"
    content = [{"model_dict": STANDARD, "scores": {"glue": 0.5}}, {"model_dict": HETERO, "scores": {"glue": 0.6}}]

    def read(odd):
        path.write_text(json.dumps(odd))
        return load_table(path, "glue")

    assert 500 < _refusals(read, odd_contents(content, 1000)) < 1000


ANCHORS = "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"a0: &a0 [1]\n{ANCHORS}", "holds more than 100,000 values"),
        ("a: &a [*a]", "is not valid YAML: found unconstructable recursive node"),
        ("[" * 20_000, "is nested too deeply"),
        ("a: !!bool 7", "is not valid YAML"),
        ("a: " + "9" * 5000, "is not valid YAML"),
        ("#" * 1_000_001, "is too large for a YAML file"),
        ("".join(f"k{i}: 1\n" for i in range(5_000)) + "k1: 2", "key given more than once: k1\n"),
    ],
    ids=["aliases", "itself", "deep", "tag", "digits", "long", "repeated"],
)
def test_yaml_that_asks_for_much_is_refused(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_yaml(tmp_path / "a.yaml")
