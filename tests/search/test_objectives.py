"""Several objectives and limits: what is asked for, what is proposed, and what counts as the best."""

import math

import numpy as np
import pytest
import torch

from design_space import ModelSpec
from flexibert import (
    FlexiBERTConfig,
    FlexiBERTForQuestionAnswering,
    FlexiBERTForSequenceClassification,
    FlexiBERTForTokenClassification,
    cost_of,
    count_flops,
)
from search import BOSHNAS, BOSHNASSettings, Candidate
from search.objectives import Goals, exact_costs, nondominated_ranks, parse_limit

SETTINGS = BOSHNASSettings(num_init=6, patience=100)


def score(spec: ModelSpec) -> float:
    """Wide self-attention is good, and costs parameters."""
    return sum(layer.hidden_size / 32 + (layer.heads[0].operation == "sa") for layer in spec.layers) / 8


def latency_ms(spec: ModelSpec) -> float:
    """Deep and wide is slow, convolutions most."""
    return sum(layer.hidden_size / 16 * (3 if layer.heads[0].operation == "c" else 1) for layer in spec.layers)


def parameters(specs) -> np.ndarray:
    return cost_of(list(specs), 128).parameters


def run(boshnas: BOSHNAS, num_trials: int, *, without: tuple[int, ...] = ()) -> list[Candidate]:
    """Ask and tell; trials of these numbers are told without a latency."""
    candidates = []
    for number in range(num_trials):
        (candidate,) = boshnas.ask(1)
        objectives = {} if number in without else {"latency_ms": latency_ms(candidate.spec)}
        boshnas.tell(candidate, score(candidate.spec), objectives=objectives)
        candidates.append(candidate)
    return candidates


def volume(points: list[tuple[float, float]], worst: tuple[float, float]) -> float:
    """Area between (score, cost) points and the worst corner, by a sweep over rising costs."""
    area, height = 0.0, worst[0]
    for gain, cost in sorted(points, key=lambda point: point[1]):
        if gain > height:
            area += (gain - height) * max(worst[1] - cost, 0.0)
            height = gain
    return area


@pytest.mark.parametrize("acquisition", ["ucb", "log_ei"])
def test_two_objectives_are_searched_for_together(tiny_library, acquisition):
    sizes = parameters(tiny_library.specs)
    worst = (min(map(score, tiny_library.specs)), float(sizes.max()))
    whole = volume(list(zip(map(score, tiny_library.specs), sizes, strict=True)), worst)

    def share(objectives: tuple[str, ...]) -> float:
        settings = BOSHNASSettings(num_init=6, patience=100, acquisition=acquisition)
        trained = run(BOSHNAS(tiny_library, seed=0, settings=settings, objectives=objectives), 18)
        points = [(score(one.spec), float(parameters([one.spec])[0])) for one in trained]
        return volume(points, worst) / whole

    assert share(("score", "parameters")) > 0.97 > share(("score",))


def test_the_front_is_what_no_other_beats(tiny_library):
    boshnas = BOSHNAS(tiny_library, seed=0, settings=SETTINGS, objectives=("score", "parameters"))
    trained = run(boshnas, 14)
    front = boshnas.front
    points = [(score(one.spec), parameters([one.spec])[0]) for one in trained]
    beaten = [any(a >= x and b <= y and (a, b) != (x, y) for a, b in points) for x, y in points]
    assert {spec.hash for spec, _ in front} == {
        one.spec.hash for one, is_beaten in zip(trained, beaten, strict=True) if not is_beaten
    }
    assert [values["score"] for _, values in front] == sorted((values["score"] for _, values in front), reverse=True)
    for spec, values in front:
        assert values["parameters"] == parameters([spec])[0]


@pytest.mark.parametrize("acquisition", ["ucb", "log_ei"])
def test_what_breaks_an_exact_limit_is_never_proposed(tiny_library, acquisition):
    limit = float(np.quantile(parameters(tiny_library.specs), 0.3))
    settings = BOSHNASSettings(num_init=4, patience=100, alpha=0.2, beta=0.2, acquisition=acquisition)
    boshnas = BOSHNAS(tiny_library, seed=0, settings=settings, constraints={"parameters": limit})
    proposed = [candidate.spec for candidate in run(boshnas, 16)]
    assert max(parameters(proposed)) <= limit
    best = max(score(spec) for spec in tiny_library.specs if parameters([spec])[0] <= limit)
    assert boshnas.best[1] == best


def test_children_keep_limits_too(tiny_library):
    limit = float(np.quantile(parameters(tiny_library.specs), 0.5))
    settings = BOSHNASSettings(num_init=4, origins=("scratch", "prune", "stitch", "merge"), patience=100)
    proposed = run(BOSHNAS(tiny_library, settings=settings, constraints={"parameters": limit}), 10)
    assert max(parameters([candidate.spec for candidate in proposed])) <= limit


@pytest.mark.parametrize("acquisition", ["ucb", "log_ei"])
def test_a_measured_limit_is_learned(tiny_library, acquisition):
    settings = BOSHNASSettings(num_init=6, patience=100, acquisition=acquisition)
    boshnas = BOSHNAS(tiny_library, seed=0, settings=settings, constraints={"latency_ms": 5.0})
    proposed = run(boshnas, 20)
    assert np.mean([latency_ms(candidate.spec) <= 5.0 for candidate in proposed[10:]]) >= 0.5
    best = max(score(spec) for spec in tiny_library.specs if latency_ms(spec) <= 5.0)
    assert latency_ms(boshnas.best[0]) <= 5.0
    assert boshnas.best[1] == best


def test_measured_objectives_and_limits_go_together(tiny_library):
    goals = {"objectives": ("score", "latency_ms"), "constraints": {"latency_ms": 9.0, "parameters": 6e6}}
    boshnas = BOSHNAS(tiny_library, settings=BOSHNASSettings(num_init=6, acquisition="log_ei"), **goals)
    run(boshnas, 14)
    front = boshnas.front
    assert len(front) >= 3
    assert all(values["latency_ms"] == latency_ms(spec) <= 9.0 for spec, values in front)


def test_an_objective_missing_from_a_measurement_is_predicted(tiny_library):
    boshnas = BOSHNAS(tiny_library, seed=0, settings=SETTINGS, objectives=("score", "latency_ms"))
    trained = run(boshnas, 12, without=(0, 7))
    assert len({candidate.spec.hash for candidate in trained}) == 12
    without = {trained[0].spec.hash, trained[7].spec.hash}
    assert not without & {spec.hash for spec, _ in boshnas.front}
    limited = BOSHNAS(tiny_library, seed=0, settings=SETTINGS, constraints={"latency_ms": 100.0})
    (first,) = limited.ask(1)
    limited.tell(first, 9.0)
    assert limited.best is None  # its latency is unknown
    limited.tell(first, 9.0, objectives={"latency_ms": 50.0})
    assert limited.best == (first.spec, 9.0)


def test_an_objective_that_is_never_told_is_an_error(tiny_library):
    boshnas = BOSHNAS(tiny_library, settings=SETTINGS, objectives=("score", "latency_ms"))
    with pytest.raises(ValueError, match=r"None of 6 measurements has 'latency_ms'.*objectives={'latency_ms': ...}"):
        run(boshnas, 8, without=tuple(range(8)))


def test_scores_of_an_earlier_level_need_no_other_objectives(tiny_library):
    boshnas = BOSHNAS(tiny_library, settings=BOSHNASSettings(num_init=3), objectives=("score", "latency_ms"))
    for spec in tiny_library.specs[:4]:
        boshnas.add_prior_observation(spec, score(spec), parent=False)
    assert len(run(boshnas, 4)) == 4


def test_candidates_in_training_are_not_proposed_again_with_several_objectives(tiny_library):
    settings = BOSHNASSettings(num_init=6, acquisition="log_ei")
    boshnas = BOSHNAS(tiny_library, settings=settings, objectives=("score", "parameters"))
    run(boshnas, 6)
    assert len({candidate.spec.hash for candidate in boshnas.ask(4)}) == 4


def test_what_is_told_of_an_exact_objective_does_not_count(tiny_library):
    boshnas = BOSHNAS(tiny_library, settings=SETTINGS, objectives=("score", "parameters"))
    (candidate,) = boshnas.ask(1)
    boshnas.tell(candidate, 0.5, objectives={"parameters": 1.0})
    assert boshnas.front[0][1]["parameters"] == parameters([candidate.spec])[0]


def test_limits_hold_in_a_space_too_large_to_list(flexibert_space):
    level = flexibert_space.level(layers_per_stack=1)
    sizes = parameters(list(level.stream(seed=1, limit=200)))
    limit = float(sizes.min())
    settings = BOSHNASSettings(num_init=4, num_samples=100, num_mutations=100, patience=100)
    boshnas = BOSHNAS(level, settings=settings, objectives=("score", "parameters"), constraints={"parameters": limit})
    proposed = run(boshnas, 8)
    assert max(parameters([candidate.spec for candidate in proposed])) <= limit
    assert len({candidate.spec.hash for candidate in proposed}) == 8


def test_the_search_converges_when_the_front_stays(tiny_library):
    settings = BOSHNASSettings(num_init=2, patience=2)
    boshnas = BOSHNAS(tiny_library, settings=settings, objectives=("score", "parameters"))
    told = 0
    while candidates := boshnas.ask(1):
        size = parameters([candidates[0].spec])[0]
        boshnas.tell(candidates[0], 2.0 if not told else 1.0 - size / 1e9)
        told += 1
    assert boshnas.phase == "converged"
    assert told < 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objectives": ("parameters",)}, "'objectives' must include 'score'. Got parameters"),
        ({"objectives": ("score", "flops", "flops")}, "'objectives' must be different"),
        ({"constraints": {"score": 0.5}}, "upper limits of what should be low; the score has none"),
        ({"constraints": {"latency_ms": 0}}, "limit of 'latency_ms' .* finite number above 0. Got 0"),
        (
            {"constraints": {"parameters": 1000}},
            r"None of the 272 .*'parameters' is at least 509,024, and its limit 1,000",
        ),
    ],
    ids=["no score", "twice", "score limited", "zero", "impossible"],
)
def test_goals_that_make_no_sense_are_refused(tiny_library, options, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        BOSHNAS(tiny_library, **options)


def test_an_impossible_limit_on_a_large_space_is_refused(flexibert_space):
    with pytest.raises(ValueError, match="None of the members found of the space keeps all constraints"):
        BOSHNAS(flexibert_space.level(layers_per_stack=1), constraints={"parameters": 1000})


@pytest.mark.parametrize(
    ("settings", "goals", "message"),
    [
        ({"second_order": True}, {"constraints": {"latency_ms": 1}}, "'second_order' climbs the score alone"),
        ({"cost_aware": True, "acquisition": "log_ei"}, {"objectives": ("score", "flops")}, "'cost_aware' needs one"),
    ],
    ids=["second order", "cost aware"],
)
def test_settings_that_do_not_fit_are_refused(tiny_library, settings, goals, message):
    with pytest.raises(ValueError, match=message):
        BOSHNAS(tiny_library, settings=BOSHNASSettings(**settings), **goals)


@pytest.mark.parametrize(
    ("model", "num_outputs", "pooler"),
    [
        (FlexiBERTForSequenceClassification, 3, True),
        (FlexiBERTForTokenClassification, 3, False),
        (FlexiBERTForQuestionAnswering, 2, False),
    ],
    ids=["text", "tokens", "questions"],
)
def test_exact_costs_are_those_of_the_model(tiny_library, model, num_outputs, pooler):
    specs = tiny_library.specs[::60]
    config = FlexiBERTConfig(vocab_size=50, max_position_embeddings=20)
    costs = exact_costs(config, length=16, num_outputs=num_outputs, pooler=pooler)
    for spec, size, flops in zip(specs, costs["parameters"](specs), costs["flops"](specs), strict=True):
        full = FlexiBERTConfig(
            model_dict=spec.to_dict(), vocab_size=50, max_position_embeddings=20, num_labels=num_outputs
        )
        assert size == model(full).num_parameters()
        assert flops == pytest.approx(count_flops(spec, 16, config, pooler=pooler))
    assert costs["size_mb"](specs) == pytest.approx(4e-6 * costs["parameters"](specs))


def test_a_limit_on_the_file_depends_on_what_runs_it(tiny_library):
    """Twice as many parameters fit into a file of 8-bit numbers, and more."""
    config = FlexiBERTConfig(vocab_size=20_000, position_embedding_type="absolute")
    limit = float(np.median(exact_costs(config)["size_mb"](tiny_library.specs))) / 2
    kept = {}
    for runtime in ("torch", "onnx-int8"):
        goals = Goals(constraints={"size_mb": limit}, exact=exact_costs(config, runtime=runtime))
        kept[runtime] = int(goals.is_feasible(goals.columns(tiny_library.specs)).sum())
    assert kept["torch"] == 0
    assert kept["onnx-int8"] == len(tiny_library.specs)


def test_ranks_are_peeled_off():
    gains = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert nondominated_ranks(gains).tolist() == [0, 0, 2, 0, 1]
    assert nondominated_ranks(gains, most=1).tolist() == [0, 0, 1, 0, 1]


def test_what_breaks_limits_least_comes_after_what_keeps_them():
    goals = Goals(objectives=("score", "latency_ms"), constraints={"latency_ms": 10})
    values = {
        "slow": {"score": 0.9, "latency_ms": 20.0},
        "slower": {"score": 0.95, "latency_ms": 30.0},
        "unknown": {"score": 0.99},
        "beaten": {"score": 0.4, "latency_ms": 9.0},
        "good": {"score": 0.5, "latency_ms": 8.0},
        "small": {"score": 0.3, "latency_ms": 2.0},
    }
    assert goals.ranked(values) == ["good", "small", "beaten", "slow", "slower", "unknown"]
    assert goals.front(values) == ["good", "small"]
    assert goals.constraint_violation(values["slow"]) == 1.0
    assert goals.constraint_violation(values["unknown"]) == math.inf


@pytest.mark.parametrize(("text", "limit"), [("parameters<=2e6", 2e6), ("latency_ms=10", 10.0)], ids=["<=", "="])
def test_limits_are_written_with_either_sign(text, limit):
    assert parse_limit(text) == (text.replace("<", "=").split("=")[0], limit)


@pytest.mark.parametrize("text", ["parameters", "parameters=", "=3", "parameters=-1", "parameters<=many", "a>=3"])
def test_anything_else_is_no_limit(text):
    with pytest.raises(ValueError, match=r"must be written like parameters=2e6 .* Got '"):
        parse_limit(text)


def test_the_optimistic_hypervolume_is_exact_where_nothing_is_uncertain():
    """Of one exact cost and a score without doubt, against areas computed by hand."""
    from search.acquisition.constrained_multi_objective import MultiObjectiveAcquisition
    from search.objectives import Goals
    from search.surrogates import Layout, Moments

    class Sure(torch.nn.Module):
        def predict_moments(self, X):
            return Moments(X[:, 0], torch.zeros(len(X)), torch.zeros(len(X)))

    goals = Goals(objectives=("score", "parameters"))
    observed = torch.tensor([[1.0, 6.0], [3.0, 9.0], [0.0, 8.0]], dtype=torch.float64)
    layout, worst = Layout(0, 1, 0, 1), {"parameters": 10.0}
    options = {"confidence": 2.0, "aleatoric": False}
    steering = MultiObjectiveAcquisition(goals, layout, Sure(), {}, observed, observed[:, 0], worst, **options)
    candidates = torch.tensor([[2.0, 7.0], [4.0, 9.0], [0.5, 4.0], [1.0, 7.0]], dtype=torch.float64)
    # In units of (3 - 0) x (10 - 6): the front covers 1 x 4 + 2 x 1.
    added = torch.tensor([2.0, 1.0, 1.0, 0.0]) / 12
    assert torch.allclose(steering.value(candidates, expected=False), added.double(), atol=1e-6)
