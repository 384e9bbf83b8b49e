"""Weights that are not needed are removed, and are no parents any more; those of other runs stay."""

import json
import os
import time
from pathlib import Path

import pytest

from design_space import ModelSpec
from search import BOSHNAS, BOSHNASSearch, BOSHNASSettings, Candidate, Origin
from search.candidate import RESULT_FILE
from search.objectives import SCORE, Goals
from search.records.journal import Journal, best_record
from search.tune.model_retention import ModelKeeper, removed_candidate

SETTINGS = BOSHNASSettings(num_init=2, surrogate="gp")


def _train(models_dir: Path, spec: ModelSpec, origin: Origin | None = None) -> None:
    """Leave what a worker leaves."""
    (models_dir / spec.hash).mkdir(parents=True)
    content = {"candidate": Candidate(spec, origin or Origin()).to_dict()}
    (models_dir / spec.hash / RESULT_FILE).write_text(json.dumps(content))
    now = time.time()  # the clock of files is coarser
    os.utime(models_dir / spec.hash / RESULT_FILE, (now, now))


def _there(models_dir: Path) -> set[str]:
    return {path.name for path in models_dir.iterdir() if not path.name.startswith(".")}


def _search(library, folder, number, known=(), **options) -> BOSHNASSearch:
    """A search that keeps some models, and knows scores of earlier runs whose weights are there."""
    boshnas = BOSHNAS(library, settings=SETTINGS, **options)
    for spec, score in known:
        boshnas.add_prior_observation(spec, score, parent=True)
    keeper = ModelKeeper(boshnas, folder / "models", number)
    return BOSHNASSearch(boshnas, journal=Journal(folder / "journal.jsonl"), keeper=keeper)


def _finish(search: BOSHNASSearch, folder: Path, scores, **objectives) -> list[str]:
    """Suggest, train and finish as many trials as there are scores; their hashes."""
    hashes = []
    for score in scores:
        config = search.suggest(trial := str(len(search._history)))
        candidate = Candidate.from_dict(config)
        if not (folder / "models" / candidate.spec.hash).exists():
            _train(folder / "models", candidate.spec, candidate.origin)
        search.on_trial_complete(trial, {"score": score, "cost_s": 1.0, **objectives})
        hashes.append(candidate.spec.hash)
    return hashes


def test_the_best_and_parents_in_use_stay(tiny_library, tmp_path):
    search = _search(tiny_library, tmp_path, 2)
    hashes = _finish(search, tmp_path, [0.0])
    child = Candidate(tiny_library.specs[9], Origin("transfer", hashes[0]))
    search.boshnas.register_pending(child)
    hashes += _finish(search, tmp_path, [1.0, 2.0, 3.0])
    assert _there(tmp_path / "models") == {hashes[0], hashes[2], hashes[3]}
    assert search.boshnas.trained == [hashes[3], hashes[2], hashes[0]]
    search.boshnas.tell_failed(child)
    hashes += _finish(search, tmp_path, [0.5])
    assert _there(tmp_path / "models") == {hashes[2], hashes[3]}


def test_what_was_removed_keeps_its_score_and_has_no_children(tiny_library, tmp_path):
    search = _search(tiny_library, tmp_path, 1)
    hashes = _finish(search, tmp_path, [0.0, 1.0, 2.0, 3.0])
    boshnas = search.boshnas
    assert boshnas.best is not None
    assert boshnas.best[1] == 3.0
    asked = boshnas.ask(6)
    assert {parent for candidate in asked for parent in candidate.origin.parents} <= {hashes[3]}
    assert not {candidate.spec.hash for candidate in asked} & set(hashes)
    gone = removed_candidate(tmp_path / "models", hashes[0])
    assert gone is not None
    assert gone.spec.hash == hashes[0]
    assert removed_candidate(tmp_path / "models", hashes[3]) is None


def test_models_of_an_earlier_level_stay_and_take_no_places(tiny_library, tmp_path):
    earlier = list(tiny_library.specs[:2])
    for spec in earlier:
        _train(tmp_path / "models", spec)
    search = _search(tiny_library, tmp_path, 1, known=[(earlier[0], 0.9), (earlier[1], 0.1)])
    hashes = _finish(search, tmp_path, [0.3, 0.5, 0.4])
    assert _there(tmp_path / "models") == {earlier[0].hash, earlier[1].hash, hashes[1]}
    assert set(search.boshnas.trained) == {earlier[0].hash, earlier[1].hash, hashes[1]}


@pytest.mark.parametrize("resumed", [False, True], ids=["at once", "resumed"])
def test_what_another_run_had_trained_before_it_was_suggested_stays(tiny_library, tmp_path, resumed):
    scout = BOSHNAS(tiny_library, settings=SETTINGS)
    foreign = scout.ask(1)[0].spec
    _train(tmp_path / "models", foreign)
    os.utime(tmp_path / "models" / foreign.hash / RESULT_FILE, (1e9, 1e9))
    search = _search(tiny_library, tmp_path, 1)
    hashes = _finish(search, tmp_path, [0.1, 0.2])
    if resumed:
        search = _search(tiny_library, tmp_path, 1)
        search.replay(list(Journal(tmp_path / "journal.jsonl").events()))
    hashes += _finish(search, tmp_path, [0.3])
    assert hashes[0] == foreign.hash
    assert _there(tmp_path / "models") == {hashes[0], hashes[2]}


def test_of_equals_the_one_that_the_run_calls_its_best_stays(tiny_library, tmp_path):
    """The first suggested, whichever ended first, and whether or not another one is cheaper."""
    search = _search(tiny_library, tmp_path, 1, objectives=(SCORE, "parameters"))
    configs = [search.suggest(trial) for trial in "ab"]
    for config in configs:
        _train(tmp_path / "models", Candidate.from_dict(config).spec)
    for trial in "ba":
        search.on_trial_complete(trial, {"score": 0.5, "cost_s": 1.0})
    best = best_record(list(Journal(tmp_path / "journal.jsonl").trials().values()), Goals())
    assert best.trial == "t0001"
    assert _there(tmp_path / "models") == {configs[0]["hash"]}


def test_what_a_killed_run_left_half_removed_goes(tiny_library, tmp_path):
    search = _search(tiny_library, tmp_path, 1)
    (first,) = _finish(search, tmp_path, [0.0])
    (tmp_path / "models" / first).rename(tmp_path / "models" / f".{first}.removed")
    (tmp_path / "models" / ".another.removed").mkdir()
    _finish(search, tmp_path, [1.0])
    assert not (tmp_path / "models" / f".{first}.removed").exists()
    assert (tmp_path / "models" / ".another.removed").is_dir()
