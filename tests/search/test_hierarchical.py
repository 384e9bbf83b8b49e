import pytest

from design_space.command import run_command
from embeddings import GraphLibrary
from search.hierarchical import hierarchical, pairs_of_parents

CHILD = "c" * 64  # of something trained that is no member


@pytest.fixture
def trained(tiny_library, tmp_path):
    """The tiny library's file with scores of 6 members and a child of theirs."""
    library = GraphLibrary.load(_saved(tiny_library, tmp_path / "old.json"))
    for i, place in enumerate((3, 40, 100, 150, 200, 250)):
        library.performances[library.specs[place].hash] = {"cola": i / 10}
    library.performances[CHILD] = {"cola": 0.9}
    library.measured_on = {"cola": {"metric": "matthews_correlation", "rows": "ab"}}
    library.save(tmp_path / "old.json")
    return library


def _saved(library, path):
    library.save(path)
    return path


def _exit(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        run_command(hierarchical, arguments)
    return int(stop.value.code)  # type: ignore[arg-type]


def test_the_best_are_paired_with_their_nearest_and_with_each_other(trained):
    pairs = pairs_of_parents(trained, num_best=3, num_nearest=2)
    best = [trained.specs[place] for place in (250, 200, 150)]
    assert len(pairs) == 3 * 2 + 3
    assert [a for a, _ in pairs[:6:2]] == best
    assert pairs[6:] == [(best[0], best[1]), (best[0], best[2]), (best[1], best[2])]
    assert all(a != b for a, b in pairs)


def test_the_command_writes_a_finer_library_and_carries_everything_trained_over(trained, tmp_path):
    new_file = tmp_path / "new.json"
    files = ["--old_dataset_file", str(tmp_path / "old.json"), "--new_dataset_file", str(new_file)]
    assert _exit(*files, "--max_graphs", "300", "--n_jobs", "1", "--embedding_size", "4") == 0
    new = GraphLibrary.load(new_file)
    assert new.layers_per_stack == 1
    assert len(new) == len({spec.hash for spec in new.specs}) == 300
    assert new.performances == trained.performances
    assert new.measured_on == {"cola": {"metric": "matthews_correlation", "rows": "ab"}}
    assert CHILD in new.performances
    assert CHILD not in new
    assert any(len(set(spec.layers)) > 2 for spec in new.specs)  # finer than stacks of two
    assert GraphLibrary.load(tmp_path / "old.json").fingerprint == trained.fingerprint  # the old one is untouched


def test_the_next_level_of_heterogeneous_heads_mixes_the_operations_of_both_parents(hetero_space, tmp_path):
    old = GraphLibrary.build(hetero_space, layers_per_stack=2, embedding_size=4, num_neighbors=5)
    uniform = [spec for spec in old.specs if len(set(spec.layers[0].heads)) == 1][:3:2]
    assert [str(spec.layers[0].heads[0]) for spec in uniform] == ["l_dct_8", "sa_sdp_8"]
    old.performances = {spec.hash: {"cola": 0.5} for spec in uniform}
    old.save(tmp_path / "old.json")
    files = ["--old_dataset_file", str(tmp_path / "old.json"), "--new_dataset_file", str(tmp_path / "new.json")]
    assert _exit(*files, "--num_nearest", "0", "--n_jobs", "1") == 0
    new = GraphLibrary.load(tmp_path / "new.json")
    level = hetero_space.level(layers_per_stack=1)
    assert all(spec in level for spec in new.specs)
    assert {spec.hash for spec in uniform} <= set(new.hashes)
    heads = {tuple(map(str, layer.heads)) for spec in new.specs for layer in spec.layers}
    assert heads == {("l_dct_8", "l_dct_8"), ("l_dct_8", "sa_sdp_8"), ("sa_sdp_8", "sa_sdp_8")}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--old_layers_per_stack", "4"], "must be what the library was built with, 2. Got 4"),
        (["--new_layers_per_stack", "3"], "'new_layers_per_stack' must divide 'old_layers_per_stack' 2. Got 3"),
        (["--task", "sst2"], "no scores of task 'sst2', only of cola"),
    ],
    ids=["old granularity", "new granularity", "task"],
)
def test_bad_input_ends_in_one_message(trained, tmp_path, flags, message, capsys):
    files = ["--old_dataset_file", str(tmp_path / "old.json"), "--new_dataset_file", str(tmp_path / "new.json")]
    assert _exit(*files, *flags) == 2
    assert message in capsys.readouterr().err


def test_a_library_without_scores_and_an_output_over_the_input_are_refused(tiny_library, tmp_path, capsys):
    old = str(_saved(tiny_library, tmp_path / "old.json"))
    assert _exit("--old_dataset_file", old, "--new_dataset_file", str(tmp_path / "new.json")) == 2
    assert "holds no scores: run run_boshnas on it first" in capsys.readouterr().err
    assert _exit("--old_dataset_file", old, "--new_dataset_file", old) == 2
    assert "must not be the old one" in capsys.readouterr().err
