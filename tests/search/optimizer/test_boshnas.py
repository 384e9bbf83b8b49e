import math
import os
import subprocess
import sys
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from design_space import ModelSpec
from flexibert import cost_of
from search import BOSHNAS, BOSHNASSettings, Candidate, Origin
from tests.conftest import ROOT

QUICK = BOSHNASSettings(num_init=3, surrogate="gp", alpha=0.0, beta=0.0)


def score(spec: ModelSpec) -> float:
    """Wide self-attention is good: the best of the tiny library is four such layers."""
    return sum(layer.hidden_size / 32 + (layer.heads[0].operation == "sa") for layer in spec.layers) / 8


def overlap(parent: ModelSpec, child: ModelSpec) -> float:
    """Share of the child's layers that the parent has too."""
    same = sum(a == b for a, b in zip(parent.layers, child.layers, strict=False))
    return same / len(child.layers)


def run(boshnas: BOSHNAS, num_trials: int) -> list[Candidate]:
    candidates = []
    for _ in range(num_trials):
        (candidate,) = boshnas.ask(1)
        boshnas.tell(candidate, score(candidate.spec))
        candidates.append(candidate)
    return candidates


@pytest.mark.parametrize("surrogate", ["mixture", "features"])
def test_its_proposals_are_better_than_random_ones(tiny_library, surrogate):
    # All seeds count. From four observations nothing can be known; from eight the models begin to see.
    settings = BOSHNASSettings(num_init=4, surrogate=surrogate, alpha=0, beta=0)
    proposals = [run(BOSHNAS(tiny_library, seed=seed, settings=settings), 12)[4:] for seed in range(3)]
    mean = np.mean([score(candidate.spec) for candidates in proposals for candidate in candidates])
    assert mean > np.mean([score(spec) for spec in tiny_library.specs]) + 0.08


def test_the_first_come_from_scratch_and_none_comes_twice(tiny_library):
    candidates = run(BOSHNAS(tiny_library, seed=1, settings=QUICK, overlap=overlap), 9)
    assert [candidate.proposed_by for candidate in candidates] == ["initial"] * 3 + ["optimized"] * 6
    assert all(candidate.origin == Origin() for candidate in candidates[:3])
    assert len({candidate.spec.hash for candidate in candidates}) == 9


def test_transfers_come_from_the_nearest_trained_parent_with_enough_overlap(tiny_library):
    everything = BOSHNASSettings(num_init=2, surrogate="gp", min_overlap=0.0, alpha=0.0, beta=0.0)
    boshnas = BOSHNAS(tiny_library, seed=0, settings=everything, overlap=overlap)
    first, second, third = run(boshnas, 3)
    assert third.origin.name == "transfer"
    distances = {
        c.spec.hash: np.linalg.norm(tiny_library.embed(c.spec) - tiny_library.embed(third.spec))
        for c in (first, second)
    }
    assert third.origin.parents[0] == min(distances, key=distances.__getitem__)
    nothing = BOSHNAS(tiny_library, seed=0, settings=QUICK, overlap=lambda parent, child: 0.79)
    assert {candidate.origin.name for candidate in run(nothing, 6)} == {"scratch"}
    forbidden = BOSHNASSettings(num_init=2, surrogate="gp", min_overlap=0.0, origins=("scratch",))
    assert {c.origin.name for c in run(BOSHNAS(tiny_library, seed=0, settings=forbidden, overlap=overlap), 5)} == {
        "scratch"
    }


@pytest.mark.parametrize(("alpha", "beta", "kind"), [(1.0, 0.0, "uncertain"), (0.0, 1.0, "diverse")])
def test_exploration_has_its_probabilities(tiny_library, alpha, beta, kind):
    settings = BOSHNASSettings(num_init=2, surrogate="gp", alpha=alpha, beta=beta)
    assert [candidate.proposed_by for candidate in run(BOSHNAS(tiny_library, settings=settings), 5)][2:] == [kind] * 3


def test_uncertainty_sampling_takes_the_most_uncertain_graph(tiny_library):
    settings = BOSHNASSettings(num_init=3, surrogate="gp", alpha=1.0, beta=0.0)
    boshnas = BOSHNAS(tiny_library, settings=settings)
    run(boshnas, 3)
    (candidate,) = boshnas.ask(1)
    chosen = boshnas.predict(candidate.spec)[1]
    assert all(boshnas.predict(spec)[1] <= chosen + 1e-9 for spec in tiny_library.specs[::10])


def test_pending_candidates_are_not_proposed_again(tiny_library):
    boshnas = BOSHNAS(tiny_library, seed=0, settings=QUICK)
    run(boshnas, 3)
    assert len({candidate.spec.hash for candidate in boshnas.ask(6)}) == 6


def test_it_ends_by_the_convergence_rule(tiny_library):
    boshnas = BOSHNAS(
        tiny_library, seed=0, settings=BOSHNASSettings(num_init=2, surrogate="gp", patience=2, alpha=0, beta=0)
    )
    phases = []
    while candidates := boshnas.ask(1):
        boshnas.tell(candidates[0], 1.0 if not phases else 0.5)
        phases.append(boshnas.phase)
    # The first is the best; the second is initial and does not count; then two optimisation steps per phase.
    assert phases == ["explore", "explore", "explore", "refine", "refine", "converged"]


def test_half_of_the_first_are_the_largest(tiny_library):
    settings = BOSHNASSettings(num_init=6, num_largest=3)
    sizes = cost_of(tiny_library.specs, 128).parameters
    first = [
        cost_of([candidate.spec], 128).parameters[0] for candidate in run(BOSHNAS(tiny_library, settings=settings), 6)
    ]
    assert sorted(first[:3]) == sorted(sizes)[-3:]
    assert max(first[3:]) < min(first[:3])


def test_candidates_in_training_count_as_predicted(tiny_library):
    """A batch is what one would ask for one after the other if every score came as predicted."""
    batch, single = (BOSHNAS(tiny_library, seed=0, settings=QUICK) for _ in range(2))
    run(batch, 3), run(single, 3)
    hashes = [candidate.spec.hash for candidate in batch.ask(3)]
    assert single.ask(1)[0].spec.hash == hashes[0]
    alone = BOSHNAS(tiny_library, seed=0, settings=QUICK)
    run(alone, 3)
    (first,) = alone.ask(1)
    alone.tell(first, alone.predict(first.spec)[0])
    assert alone.ask(1)[0].spec.hash == hashes[1]


def test_expensive_candidates_are_avoided_when_costs_count(tiny_library):
    def asked(cost_aware: bool) -> float:
        settings = BOSHNASSettings(num_init=8, acquisition="log_ei", cost_aware=cost_aware)
        boshnas = BOSHNAS(tiny_library, seed=0, settings=settings)
        depths = []
        for number in range(14):
            (candidate,) = boshnas.ask(1)
            depth = len(candidate.spec.layers)
            per_layer = score(candidate.spec) / depth  # shallow ones can be as good
            boshnas.tell(candidate, per_layer, cost_s=1.0 if depth == 2 else 1000.0)
            depths += [depth] * (number >= 8)
        return float(np.mean(depths))

    assert asked(True) < 2.5 < asked(False)


def test_equal_scores_and_one_score_are_enough_to_go_on(tiny_library):
    boshnas = BOSHNAS(tiny_library, seed=0, settings=BOSHNASSettings(num_init=1))
    hashes = set()
    for _ in range(4):
        (candidate,) = boshnas.ask(1)
        boshnas.tell(candidate, 0.5)
        hashes.add(candidate.spec.hash)
    assert len(hashes) == 4


def test_a_candidate_never_asked_for_is_welcome_and_a_score_redeems_a_failure(tiny_library):
    boshnas = BOSHNAS(tiny_library, seed=0, settings=QUICK)
    stranger = Candidate(tiny_library.specs[7], Origin())
    boshnas.tell(stranger, math.inf)
    assert boshnas.best is None
    boshnas.tell(stranger, 0.25)
    boshnas.tell(stranger, math.nan)
    assert boshnas.best == (stranger.spec, 0.25)


def test_of_many_observations_the_surrogate_sees_the_best_and_a_spread_of_the_others(tiny_library):
    settings = BOSHNASSettings(num_init=2, num_fitted=8)
    boshnas = BOSHNAS(tiny_library, settings=settings)
    for number, spec in enumerate(tiny_library.specs[:31]):
        boshnas.add_prior_observation(spec, float((number * 7) % 31), parent=False)
    X, Y, _ = boshnas._state.training_data()
    assert sorted(Y.tolist()) == [0, 9, 17, 26, 27, 28, 29, 30]
    places = [number for number in range(31) if (number * 7) % 31 in Y.tolist()]
    assert Y.tolist() == [float((number * 7) % 31) for number in places]  # in the order they came
    assert X.tolist() == boshnas._pool.vectors([tiny_library.specs[place] for place in places]).tolist()


def test_costs_and_objectives_must_be_finite(tiny_library):
    boshnas = BOSHNAS(tiny_library, settings=QUICK)
    (candidate,) = boshnas.ask(1)
    with pytest.raises(
        ValueError, match=r"'cost_s' must be .* Got inf\n.*'error' must be .* Got -1.0\n.*'latency_ms' .* Got nan"
    ):
        boshnas.tell(candidate, 0.5, cost_s=math.inf, objectives={"latency_ms": math.nan}, error=-1.0)
    assert boshnas.best is None


@pytest.mark.parametrize("is_told_before", [False, True], ids=["in the fit", "after it"])
def test_a_score_is_believed_less_when_its_error_is_told_and_counts(tiny_library, is_told_before):
    """Thirty scores and one that is far too high: what is expected of its architecture is near the others again."""
    expected = []
    for error, counts in ((None, True), (1.0, False), (1.0, True)):
        boshnas = BOSHNAS(tiny_library, settings=replace(QUICK, known_noise=counts))
        lucky = tiny_library.specs[40]
        for spec in tiny_library.specs[:30]:
            boshnas.tell(Candidate(spec, Origin()), score(spec), error=error and 0.01)
        if is_told_before:
            boshnas.predict(lucky)
        boshnas.tell(Candidate(lucky, Origin()), score(lucky) + 1.0, error=error)
        expected.append(boshnas.predict(lucky)[0] - score(lucky))
    assert expected[0] == expected[1]
    assert expected[2] < 0.3 < expected[0]


def test_second_order_proposals_climb_too(tiny_library):
    settings = BOSHNASSettings(num_init=6, second_order=True, surrogate="embedding")
    proposals = [run(BOSHNAS(tiny_library, seed=seed, settings=settings), 12)[8:] for seed in range(4)]
    found = np.mean([score(candidate.spec) for candidate in chain(*proposals)])
    assert found > np.mean([score(spec) for spec in tiny_library.specs]) + 0.08


def test_a_failure_is_no_observation_and_is_not_tried_again(tiny_library):
    boshnas = BOSHNAS(tiny_library, seed=0, settings=QUICK)
    (bad,) = boshnas.ask(1)
    boshnas.tell(bad, math.nan)
    assert boshnas.best is None
    assert bad.spec.hash not in {candidate.spec.hash for candidate in run(boshnas, 8)}


def test_a_score_of_zero_counts_and_a_second_one_is_averaged(tiny_library):
    boshnas = BOSHNAS(tiny_library, seed=0, settings=QUICK)
    (candidate,) = boshnas.ask(1)
    boshnas.tell(candidate, 0.0)
    assert boshnas.best == (candidate.spec, 0.0)
    boshnas.tell(candidate, 1.0)
    assert boshnas.best == (candidate.spec, 0.5)


def test_a_small_library_is_searched_to_its_end(tiny_space):
    from embeddings import GraphLibrary

    library = GraphLibrary.build(tiny_space, layers_per_stack=2, max_graphs=6, embedding_size=2)
    boshnas = BOSHNAS(library, settings=BOSHNASSettings(num_init=2, surrogate="gp", patience=50))
    assert len({candidate.spec.hash for candidate in run(boshnas, 6)}) == 6
    assert boshnas.ask(1) == []


def test_results_of_another_level_are_used_though_they_are_not_in_the_library(tiny_library, tiny_space):
    stranger = next(s for s in tiny_space.sample(50, layers_per_stack=1, seed=0) if s.hash not in tiny_library)
    boshnas = BOSHNAS(
        tiny_library,
        settings=BOSHNASSettings(num_init=1, surrogate="gp", min_overlap=0.0, alpha=0, beta=0),
        overlap=overlap,
    )
    boshnas.add_prior_observation(stranger, 0.7, parent=True)
    (candidate,) = boshnas.ask(1)
    assert candidate.origin == Origin("transfer", stranger.hash)
    assert boshnas.best == (stranger, 0.7)


def test_a_design_space_will_do(tiny_space):
    assert len(BOSHNAS(tiny_space, settings=QUICK).library) == 272


def test_the_same_history_gives_the_same_candidate_in_another_process(tiny_library, tmp_path):
    tiny_library.save(tmp_path / "library.json")
    code = (
        "from embeddings import GraphLibrary; from search import BOSHNAS, BOSHNASSettings\n"
        f"b = BOSHNAS(GraphLibrary.load({str(tmp_path / 'library.json')!r}), "
        "seed=4, settings=BOSHNASSettings(num_init=2, surrogate='boshnas'))\n"
        "for s in (0.1, 0.7, 0.4): (c,) = b.ask(1); b.tell(c, s)\n"
        "print(b.ask(1)[0].spec.hash)"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = BOSHNAS(tiny_library, seed=4, settings=BOSHNASSettings(num_init=2, surrogate="boshnas"))
    for value in (0.1, 0.7, 0.4):
        (candidate,) = here.ask(1)
        here.tell(candidate, value)
    assert other.stdout == f"{here.ask(1)[0].spec.hash}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_init": 0}, "'num_init' must be a whole number of at least 1. Got 0"),
        ({"alpha": 0.8, "beta": 0.3}, "add up to at most 1. Got 0.8, 0.3"),
        ({"surrogate": "trees"}, "'surrogate' must be one of mixture, features, .* Got 'trees'"),
        (
            {"origins": ("scratch", "graft")},
            "'origins' must be one of scratch, pretrained, transfer, prune, stitch, merge. Got 'graft'",
        ),
        ({"origins": ("transfer",)}, "'origins' must include 'scratch'"),
        ({"min_overlap": 1.5}, r"'min_overlap' must be in \[0, 1\]. Got 1.5"),
    ],
    ids=["initial", "probabilities", "surrogate", "origin", "no scratch", "overlap"],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BOSHNASSettings(**options)


def test_nothing_can_be_predicted_from_nothing(tiny_library):
    with pytest.raises(ValueError, match="no score has been told"):
        BOSHNAS(tiny_library).predict(tiny_library.specs[0])
