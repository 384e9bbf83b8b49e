import pytest
from rich.console import Console

from dataset.prepare import DataOptions
from design_space import ModelSpec
from search.training.recipe import Recipe
from tests.benchmarks import learning_curves
from tests.benchmarks.learning_curves import ORIGINS, PUBLISHED, SPACES, benchmark_table, load_curves, samples, trained


@pytest.fixture
def specs():
    ((_, specs),) = samples(["shallow"], 3)
    return specs


@pytest.fixture
def data(tmp_path):
    texts = [f"{kind} {number} words" for number in range(40) for kind in ("good", "bad")]
    table = tmp_path / "toy.csv"
    table.write_text("text,label\n" + "".join(f"{text},{text[:3]}\n" for text in texts))
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n\n".join(texts))
    options = DataOptions(task=str(table), corpus=(corpus,), vocab_size=300, max_length=8)
    return options.prepare(tmp_path / "data", Console(quiet=True))


def test_a_cut_table_goes_on_where_it_was_and_is_a_table_to_search(tmp_path, specs, data, monkeypatch):
    done, train = [], learning_curves._train

    def train_and_note(job, of):
        done.append((job.candidate.origin.name, job.candidate.spec.hash))
        if len(done) == 3:
            raise KeyboardInterrupt
        return train(job, of)

    def go_on():
        recipe = Recipe(epochs=2, batch_size=16, learning_rate=1e-2, max_length=8)
        return list(trained(tmp_path, "shallow", specs, data, recipe, 0))

    monkeypatch.setattr(learning_curves, "_train", train_and_note)
    with pytest.raises(KeyboardInterrupt):
        go_on()
    path = tmp_path / "curves.jsonl"
    assert len(load_curves(path)) == 2
    path.write_text(path.read_text() + '{"space": "sha')
    assert len(go_on()) == 3
    assert go_on() == []
    assert len(done) == 6
    curves = load_curves(path)
    assert [(curve.origin, curve.hash, curve.parent) for curve in curves] == [
        ("scratch", specs[0].hash, ""),
        ("scratch", specs[1].hash, ""),
        ("transfer", specs[1].hash, specs[0].hash),
        ("scratch", specs[2].hash, ""),
        ("transfer", specs[2].hash, specs[1].hash),
    ]
    for curve in curves:
        assert len(curve.scores) == 2
        assert 0 < curve.seconds[0] < curve.seconds[1]
    assert max(curves[0].scores) > 0.8
    entry = benchmark_table(curves)[1]
    assert entry["model_dict"] == specs[1].to_dict()
    assert entry["scores"] == {
        f"toy, {curve.origin}, {epoch}": score for curve in curves[1:3] for epoch, score in enumerate(curve.scores, 1)
    }


def test_the_published_table_holds_whole_curves_of_two_tasks_spaces_and_origins():
    curves = load_curves(PUBLISHED)
    assert len({curve.key for curve in curves}) == len(curves)
    kinds = {(curve.task, curve.space, curve.origin) for curve in curves}
    assert kinds == {(t, s, o) for t in ("python_docs", "sst2") for s in SPACES for o in ORIGINS}
    scratch = {(curve.task, curve.hash) for curve in curves if curve.origin == "scratch"}
    for curve in curves:
        assert len(curve.scores) == 6
        assert curve.seconds == sorted(curve.seconds)
        assert ModelSpec.from_dict(curve.model_dict).hash == curve.hash
        assert curve.origin == "scratch" or (curve.task, curve.parent) in scratch
