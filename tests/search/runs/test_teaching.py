"""Who teaches a level, that it stays the same until the level ends, and a search that is taught."""

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from dataset.prepare import DataOptions
from design_space import ModelSpec
from search import Candidate, Origin
from search.run_boshnas import run_boshnas
from search.runs.teaching import teacher_of_level
from search.training.recipe import Recipe, TrainingJob
from search.training.task_heads import model_class, model_config
from search.training.teacher import taught, teacher_logits


def _table(folder: Path) -> list[str]:
    """The flags of a task."""
    rows = [f"a {'fine' if i % 2 else 'dull'} story number {i},{'good' if i % 2 else 'bad'}" for i in range(160)]
    (folder / "films.csv").write_text("\n".join(["review,verdict", *rows]))
    (folder / "corpus.txt").write_text("\n".join(f"a story about people, number {i}" for i in range(200)))
    return ["--task", str(folder / "films.csv"), "--corpus", str(folder / "corpus.txt")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    _, task, _, corpus = _table(folder)
    options = DataOptions(task=task, corpus=(Path(corpus),), vocab_size=300, max_length=16)
    return options.prepare(folder / "prepared", Console(quiet=True))


def _add_model(data, models_dir: Path, hidden: int, score: float) -> Path:
    """A model of the run, with random weights and this score."""
    spec = ModelSpec.from_dict({"l": 1, "o": ["sa"], "h": [hidden], "n": [2], "f": [[32]], "p": ["sdp"]})
    recipe = Recipe(max_length=16)
    job = TrainingJob(
        trial="t1", candidate=Candidate(spec, Origin()), data_dir=str(data.path), models_dir="", work_dir="",
        recipe=recipe, seed=0,
    )  # fmt: skip
    folder = models_dir / spec.hash
    model_class(data)(model_config(job, data)).save_pretrained(folder)
    data.tokenizer.save_pretrained(folder)
    result = {"score": score, "objectives": {}, "cost_s": 1.0, "overlap": 0.0}
    (folder / "training.json").write_text(json.dumps({"candidate": job.candidate.to_dict(), "result": result}))
    return folder


def _said(data, folder: Path) -> torch.Tensor:
    return torch.tensor(taught(data, folder)["teacher_logits"][:])


def test_the_best_teach_and_the_next_level_has_others(data, tmp_path):
    models, levels = tmp_path / "models", [tmp_path / f"level-{number}" for number in (1, 2)]
    for level in levels:
        level.mkdir()
    assert teacher_of_level("none", data, models, levels[0]) is None
    assert teacher_of_level("best", data, models, levels[0]) is None  # there is none yet
    scores = {8: 0.5, 16: 0.9, 24: 0.7, 32: 0.6}
    folders = {score: _add_model(data, models, hidden, score) for hidden, score in scores.items()}
    assert teacher_of_level("best", data, models, levels[0]) is None  # the level goes on as it began
    best = teacher_of_level("best", data, models, levels[1])
    assert best == teacher_logits([folders[0.9]], data, models / ".teachers")
    ensemble = teacher_of_level("ensemble", data, models, tmp_path)
    alone = [teacher_logits([folders[score]], data, tmp_path / "alone") for score in (0.9, 0.7, 0.6)]
    mean = torch.stack([_said(data, folder) for folder in alone]).mean(dim=0)
    torch.testing.assert_close(_said(data, ensemble), mean)
    _add_model(data, models, 40, 0.95)
    assert teacher_of_level("best", data, models, levels[1]) == best
    assert teacher_of_level("best", data, models, tmp_path / "level-3") != best


def test_a_folder_teaches_and_another_may_be_given_when_a_run_goes_on(data, tmp_path):
    first, second = (_add_model(data, tmp_path, hidden, 0.5) for hidden in (8, 16))
    said = teacher_of_level(str(first), data, tmp_path / "models", tmp_path)
    for file in first.iterdir():  # what was said is still there
        file.unlink()
    assert teacher_of_level(str(first), data, tmp_path / "models", tmp_path) == said
    other = teacher_of_level(str(second), data, tmp_path / "models", tmp_path)
    assert other not in (said, None)
    assert teacher_of_level("root", data, tmp_path / "models", tmp_path, root=second) == other
    assert teacher_of_level("none", data, tmp_path / "models", tmp_path) is None


@pytest.mark.integration
def test_a_search_is_taught_by_another_ones_models_and_travels_through_a_storage(tmp_path, tiny_library):
    tiny_library.save(tmp_path / "library.json")
    flags = ["--dataset_file", str(tmp_path / "library.json"), *_table(tmp_path)]
    flags += "--pretrain_steps 0 --epochs 1 --vocab_size 300 --max_length 16 --max_trials 2 --num_init 2".split()
    flags += "--origins scratch --surrogate gp --max_concurrent 1 --quiet".split()
    first, second = tmp_path / "first", tmp_path / "second"
    run_boshnas([*flags, "--run_dir", str(first)])
    shared = ["--prepared_dir", str(first / "data"), "--storage", str(tmp_path / "away")]
    run_boshnas([*flags, *shared, "--run_dir", str(second), "--teacher", str(first / "best")])
    cards = {run: [card.read_text() for card in (run / "models").glob("*/README.md")] for run in (first, second)}
    assert [len(of_run) for of_run in cards.values()] == [2, 2]
    sentence = "a teacher's outputs were 50% of the loss"
    assert not any(sentence in card for card in cards[first])
    assert all(sentence in card for card in cards[second])
    (said,) = (path for path in (second / "models" / ".teachers").iterdir() if path.is_dir())
    (of_run,) = (tmp_path / "away").iterdir()
    assert (of_run / f"teacher-{said.name}" / "train" / "dataset_info.json").is_file()
    assert json.loads((second / "teacher.json").read_text()) == {"teacher": str(first / "best"), "logits": said.name}
