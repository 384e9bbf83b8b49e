import dataclasses
import json
import multiprocessing

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from scipy.stats import spearmanr

from design_space import DesignSpace, ModelSpec
from design_space.command import run_command
from embeddings import GraphLibrary, graph_edit_distance
from embeddings.distances import measure_all, silent
from embeddings.edit_distance import EditDistance
from embeddings.generate_library import generate_library
from tests.conftest import ROOT

SEED_KEYS = "dataset design_space ops_list num_neighbors model_dicts hashes embeddings neighbors performances".split()
QUICKSTART = str(ROOT / "design_space" / "quickstart.yaml")


def test_it_holds_the_whole_space_once(tiny_library, tiny_space):
    assert len(tiny_library) == tiny_space.size(layers_per_stack=2) == len({spec.hash for spec in tiny_library.specs})
    assert tiny_library.embeddings.shape == (272, 8)
    assert tiny_library.neighbors.shape == (272, 10)


def test_vectors_are_as_far_apart_as_graphs(tiny_library):
    distances = EditDistance(tiny_library.order).between(tiny_library.specs, tiny_library.specs)
    upper = np.triu_indices(272, 1)
    embedded = np.linalg.norm(tiny_library.embeddings[:, None] - tiny_library.embeddings[None], axis=-1)
    assert spearmanr(distances[upper], embedded[upper]).statistic > 0.97
    assert tiny_library.quality["spearman"] > 0.97


def test_distances_are_the_same_in_blocks_of_any_size(tiny_library, monkeypatch):
    measure, specs = EditDistance(tiny_library.order), list(tiny_library.specs[:30])
    wanted = measure.between(specs, specs).astype(np.float32)
    monkeypatch.setattr("embeddings.distances._BLOCK", 7)
    assert np.array_equal(measure_all(measure, specs, specs, 1, silent), wanted)
    assert np.array_equal(measure_all(measure, specs, specs[10:20], 1, silent), wanted[:, 10:20])


def test_a_member_keeps_its_vector_and_a_stranger_lands_near_its_kin(tiny_library, tiny_space):
    member = tiny_library.specs[7]
    assert np.array_equal(tiny_library.embed(member), tiny_library.embeddings[7])
    strangers = [spec for spec in tiny_space.sample(40, layers_per_stack=1, seed=0) if spec.hash not in tiny_library]
    assert len(strangers) > 30
    distances = EditDistance(tiny_library.order).between(strangers, tiny_library.specs)
    vectors = np.stack([tiny_library.embed(spec) for spec in strangers])
    embedded = np.linalg.norm(vectors[:, None] - tiny_library.embeddings[None], axis=-1)
    assert spearmanr(distances.ravel(), embedded.ravel()).statistic > 0.95


def test_a_file_gives_the_library_back(tiny_library, tmp_path):
    tiny_library.performances = {tiny_library.specs[0].hash: {"cola": 0.5}}
    tiny_library.save(tmp_path / "library.json")
    loaded = GraphLibrary.load(tmp_path / "library.json")
    assert set(SEED_KEYS) <= json.loads((tmp_path / "library.json").read_text()).keys()
    assert loaded.specs == tiny_library.specs
    assert np.array_equal(loaded.embeddings, tiny_library.embeddings)
    assert loaded.fingerprint == tiny_library.fingerprint
    assert loaded.get(loaded.specs[0].hash).performance == {"cola": 0.5}
    assert loaded.get(loaded.specs[3].hash).neighbors == tuple(loaded.specs[j].hash for j in tiny_library.neighbors[3])
    stranger = ModelSpec.from_dict({"l": 1, "o": [["sa_sdp_8"]], "h": [16], "f": [[2048]]})
    assert np.array_equal(loaded.embed(stranger), tiny_library.embed(stranger))
    tiny_library.performances = {}


def test_a_parquet_file_gives_the_library_back_and_reads_an_architecture_when_asked(
    tiny_library, tmp_path, monkeypatch
):
    stranger = ModelSpec.from_dict({"l": 1, "o": [["sa_sdp_8"]], "h": [16], "f": [[2048]]})
    member = tiny_library.specs[3]
    scores = {member.hash: {"cola": 0.5}, stranger.hash: {"cola": 0.1, "rte": 0.2}}
    path = tmp_path / "library.parquet"
    dataclasses.replace(tiny_library, performances=scores).save(path)
    made = []
    monkeypatch.setattr(
        ModelSpec, "from_dict", lambda content, f=ModelSpec.from_dict: made.append(content) or f(content)
    )
    loaded = GraphLibrary.load(path)
    assert loaded.fingerprint == tiny_library.fingerprint
    assert loaded.get(member.hash).spec == member
    assert made == [member.to_dict()]
    assert loaded.performances == scores
    assert loaded.quality == tiny_library.quality
    assert np.array_equal(loaded.embeddings, tiny_library.embeddings)
    assert np.array_equal(loaded.neighbors, tiny_library.neighbors)
    assert np.array_equal(loaded.embed(stranger), tiny_library.embed(stranger))
    assert list(loaded.specs) == list(tiny_library.specs)
    assert list(loaded.specs[-2:]) == list(tiny_library.specs[-2:])


def _add_scores(path: str, task: str, hashes: list[str]) -> None:
    for graph_hash in hashes:
        GraphLibrary.record(path, {graph_hash: 0.5}, task=task)


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_no_score_is_lost_when_two_processes_write_theirs(tiny_library, tmp_path, suffix):
    path, hashes = str(tmp_path / f"library{suffix}"), tiny_library.hashes[:8]
    tiny_library.save(path)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add_scores, args=(path, task, hashes)) for task in ("cola", "rte")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert GraphLibrary.load(path).performances == {key: {"cola": 0.5, "rte": 0.5} for key in hashes}


def test_a_library_of_another_space_is_refused(tiny_library, tiny_space, flexibert_space, tmp_path):
    tiny_library.save(tmp_path / "library.json")
    assert GraphLibrary.load(tmp_path / "library.json", space=tiny_space).space == tiny_space
    with pytest.raises(ValueError, match="is the library of another design space"):
        GraphLibrary.load(tmp_path / "library.json", space=flexibert_space)


def test_a_damaged_or_foreign_parquet_file_is_refused(tiny_library, tmp_path):
    path = tmp_path / "library.parquet"
    tiny_library.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged or cut off"):
        GraphLibrary.load(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="damaged or cut off"):
        GraphLibrary.load(path)
    pq.write_table(pa.table({"hashes": ["a"], "score": [1]}), path)
    with pytest.raises(ValueError, match="is no graph library: it has no dataset, design_space"):
        GraphLibrary.load(path)
    dataclasses.replace(tiny_library, stored_hashes=tiny_library.hashes[::-1]).save(path)
    with pytest.raises(ValueError, match="the hash of graph 2 does not belong to it"):
        GraphLibrary.load(path).specs[2]


def test_a_damaged_or_foreign_file_is_refused(tiny_library, tmp_path):
    path = tmp_path / "library.json"
    tiny_library.save(path)
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged or cut off"):
        GraphLibrary.load(path)
    path.write_text('{"model_dicts": []}')
    with pytest.raises(ValueError, match="is no graph library: it has no dataset"):
        GraphLibrary.load(path)
    content = json.loads(whole)
    content["hashes"].reverse()
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="hashes do not belong to its model dicts"):
        GraphLibrary.load(path)
    with pytest.raises(ValueError, match=r"No library file .*nowhere\.json"):
        GraphLibrary.load(tmp_path / "nowhere.json")


def test_a_space_too_large_to_list_needs_a_sample(flexibert_space):
    with pytest.raises(ValueError, match="84,943,872 architectures, too many to list"):
        GraphLibrary.build(flexibert_space, layers_per_stack=1)
    library = GraphLibrary.build(
        flexibert_space, layers_per_stack=1, max_graphs=60, embedding_size=4, kernel="WeisfeilerLehman"
    )
    assert len(library) == 60
    assert library.neighbors.shape == (60, 59)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "Manhattan"}, "'kernel' must be 'GraphEditDistance' or 'WeisfeilerLehman'. Got 'Manhattan'"),
        ({"algo": "PCA"}, "'algo' must be 'MDS' or 'GD'. Got 'PCA'"),
        ({"embedding_size": 30}, "'embedding_size' must be between 1 and .* 29. Got 30"),
        ({"num_neighbors": 30}, "'num_neighbors' must be between 1 and .* 29. Got 30"),
        ({"embedding_size": 0}, "'embedding_size' must be between 1 and .* 29. Got 0"),
        ({"n_jobs": 0}, "'n_jobs' must be a number of processes, at least 1, or -1 for one per core. Got 0"),
        ({"max_graphs": 1}, "needs at least two architectures, or there is nothing to search. Got 1: give"),
    ],
    ids=["kernel", "algorithm", "embedding size", "neighbors", "no dimension", "no process", "one graph"],
)
def test_bad_options_are_refused(tiny_space, options, message):
    with pytest.raises(ValueError, match=message):
        GraphLibrary.build(tiny_space, layers_per_stack=2, **{"max_graphs": 30} | options)


@pytest.mark.parametrize(("num_graphs", "size"), [(2, 1), (5, 4), (16, 15), (17, 16), (40, 16)])
def test_vectors_and_neighbors_fit_small_libraries_when_nobody_asked_for_a_size(tiny_space, num_graphs, size):
    library = GraphLibrary.build(tiny_space, layers_per_stack=2, max_graphs=num_graphs)
    assert library.embeddings.shape == (num_graphs, size)
    assert np.isfinite(library.embeddings).all()
    assert library.neighbors.shape == (num_graphs, num_graphs - 1)


def test_the_command_refuses_a_space_of_one_architecture(tiny_space, tmp_path, capsys):
    architecture = tiny_space.to_dict()["architecture"]
    one = {name: values[:1] if isinstance(values, list) else values for name, values in architecture.items()}
    one |= {"operation_types": ["sa"], "operation_parameters": {"sa": ["sdp"]}}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({"architecture": one}))
    assert _exit("--design_space", str(tmp_path / "one.yaml"), "--dataset_file", str(tmp_path / "one.json")) == 2
    assert "A library needs at least two architectures" in capsys.readouterr().err
    assert not (tmp_path / "one.json").exists()


def _exit(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        run_command(generate_library, arguments)
    return int(stop.value.code)  # type: ignore[arg-type]


def test_the_command_writes_a_library_and_says_what_it_is(tmp_path, capsys):
    path = tmp_path / "out" / "library.json"
    arguments = ["--design_space", QUICKSTART, "--dataset_file", str(path), "--n_jobs", "1", "--max_graphs", "100"]
    assert _exit(*arguments, "--embedding_size", "4", "--num_neighbors", "7") == 0
    assert "100 graphs of 1,056; embedding 4-d" in capsys.readouterr().out
    assert GraphLibrary.load(path).neighbors.shape == (100, 7)
    assert [file.name for file in path.parent.iterdir()] == ["library.json"]


def test_the_command_counts_without_listing(capsys):
    full = str(ROOT / "design_space" / "design_space.yaml")
    assert _exit("--design_space_file", full, "--count", "--layers_per_stack", "1", "--heterogeneous_feed_forward") == 0
    assert capsys.readouterr().out.strip() == "21,964,384,040,055,167,554,704"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--design_space", "nowhere.yaml", "--count"], "No such file"),
        (
            ["--design_space", QUICKSTART, "--dataset_fil", "x.json"],
            "unknown argument --dataset_fil. Did you mean '--dataset_file'",
        ),
        (
            ["--design_space", QUICKSTART, "--layers_per_stack", "3", "--count"],
            "'layers_per_stack' must divide every option",
        ),
        (["--design_space", QUICKSTART], "'--dataset_file' is needed"),
        (["--design_space", QUICKSTART, "--dataset_file", "x.yaml"], "A library file is named"),
    ],
    ids=["missing file", "flag", "layers per stack", "no output", "suffix"],
)
def test_bad_input_to_the_command_ends_in_one_message(arguments, message, capsys):
    assert _exit(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_library_of_heterogeneous_heads_is_built_saved_and_loaded(hetero_space, tmp_path):
    library = GraphLibrary.build(hetero_space, layers_per_stack=2, embedding_size=8, num_neighbors=5)
    assert len(library) == 42
    assert library.quality["spearman"] > 0.95
    for name in ("library.json", "library.parquet"):
        library.save(tmp_path / name)
        loaded = GraphLibrary.load(tmp_path / name, space=hetero_space)
        assert list(loaded.specs) == list(library.specs)
        assert loaded.level.size == 42
        spec = library.specs[20]
        heads = [list(reversed(row)) for row in spec.to_dict()["o"]]
        turned = ModelSpec.from_dict(spec.to_dict() | {"o": heads})
        assert (loaded.embed(turned) == loaded.embeddings[20]).all()


def test_architectures_that_differ_in_hidden_size_alone_are_one_point_to_the_hetero_format(hetero_space):
    """Labels of hetero heads say their size, not their layer's (FlexiBERT's, kept); a surrogate has features beside."""
    content = hetero_space.to_dict()
    content["architecture"] |= {"hidden_size": [16, 24], "head_size": [8]}
    library = GraphLibrary.build(DesignSpace.from_dict(content), layers_per_stack=2, embedding_size=4, num_neighbors=5)
    assert len(library) == 84
    assert graph_edit_distance(library.specs[0], library.specs[42]) == 0
    assert np.abs(library.embeddings[0] - library.embeddings[42]).max() < 1e-3
    assert np.isfinite(library.embeddings).all()
