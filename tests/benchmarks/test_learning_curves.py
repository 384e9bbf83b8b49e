from types import SimpleNamespace

import pytest

import design_space
from design_space import DesignSpace
from search.training.recipe import load_recipe
from search.training.result import TrainingResult
from tests.benchmarks import learning_curves
from tests.benchmarks.learning_curves import benchmark_table, load_curves, trained


@pytest.fixture
def specs():
    space = DesignSpace.from_yaml(f"{design_space.__path__[0]}/quickstart.yaml")
    return space.level(layers_per_stack=2).sample(3, seed=0)


@pytest.fixture
def jobs(monkeypatch):
    """Trainings, of two epochs and a second look at the better one; each may be cut after an epoch."""
    done, cuts = [], []

    def train(job, report):
        (models := learning_curves.Path(job.models_dir) / job.candidate.spec.hash).mkdir(parents=True)
        learning_curves.Path(job.work_dir).mkdir(parents=True, exist_ok=True)
        for parent in job.candidate.origin.parents:
            assert (models.parent / parent).is_dir()
        for epoch, score in ((1, 0.5), (2, 0.4), (2, 0.5)):
            (learning_curves.Path(job.work_dir) / "seconds").write_text(str(10.0 * epoch))
            report({"phase": "fine-tune", "loss": 1.0})
            report({"phase": "fine-tune", "validation_score": score, "epoch": float(epoch)})
            if cuts and cuts.pop():
                models.rmdir()
                raise KeyboardInterrupt
        done.append((job.candidate.origin.name, job.candidate.spec.hash))
        return TrainingResult(0.5, {"score_error": 0.1}, 20.0, 1.0)

    monkeypatch.setattr(learning_curves, "train_candidate", train)
    return SimpleNamespace(done=done, cuts=cuts)


def test_a_cut_table_goes_on_where_it_was_and_is_a_table_to_search(tmp_path, specs, jobs):
    def go_on():
        recipe = load_recipe("cpu")
        data = SimpleNamespace(name="toy", path=tmp_path)
        return list(trained(tmp_path, "quickstart", specs, data, learning_curves.replace(recipe, epochs=2), 0))

    jobs.cuts.extend([True, *[False] * 4])  # in the second training
    with pytest.raises(KeyboardInterrupt):
        go_on()
    path = tmp_path / "curves.jsonl"
    assert len(load_curves(path)) == 1
    path.write_text(path.read_text() + '{"space": "qui')
    assert len(go_on()) == 4
    assert go_on() == []
    assert len(jobs.done) == len(set(jobs.done)) == 5
    curves = load_curves(path)
    assert [(curve.origin, curve.hash, curve.parent) for curve in curves] == [
        ("scratch", specs[0].hash, ""),
        ("scratch", specs[1].hash, ""),
        ("transfer", specs[1].hash, specs[0].hash),
        ("scratch", specs[2].hash, ""),
        ("transfer", specs[2].hash, specs[1].hash),
    ]
    assert all(curve.scores == [0.5, 0.4] and curve.seconds == [10.0, 20.0] for curve in curves)
    assert benchmark_table(curves)[1] == {
        "model_dict": specs[1].to_dict(),
        "scores": {
            "toy, scratch, 1": 0.5,
            "toy, scratch, 2": 0.4,
            "toy, transfer, 1": 0.5,
            "toy, transfer, 2": 0.4,
        },
    }
