"""Searchers on a space too large to list, with a known objective: mean regret after 20, 40, 60 queries.

The space is ``design_space.yaml`` at two layers per stack (432,653,508 architectures) or, with ``--fine``, at one, with
heterogeneous feed-forwards (2.2e22). The objective is a function of the spec with what makes trained networks hard to
predict: returns that diminish with size, operations that suit early or late layers, costs of narrowing, neighbors that
should differ, and noise of repeated training that searchers see and regret does not. The optimum is the best of a long
evolution without noise.
"""

import argparse
import itertools
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import torch
from botorch.acquisition import LogExpectedImprovement
from sklearn.ensemble import RandomForestRegressor

from design_space import DesignSpace, Level, ModelSpec
from flexibert import cost_of
from search import BOSHNAS, BOSHNASSettings
from search.pools.features import features, layer_codes
from search.pools.space_pool import SpacePool
from search.surrogates import fit_surrogate, single_thread

SPACE = Path(__file__).resolve().parents[2] / "design_space" / "design_space.yaml"
NOISE, NUM_INIT, DRAWN = 0.01, 10, 1000
SUITS = {"sdp": (0.6, 0.3), "wma": (0.5, 0.35), "dft": (0.4, -0.1), "dct": (0.45, -0.15), "c": (0.75, -0.5)}

Ask = Callable[[list[ModelSpec], list[float]], ModelSpec]


def objective(spec: ModelSpec) -> float:
    """Without noise; between 0 and about 1.5."""
    layers = spec.layers
    size = math.log(cost_of([spec], 128).parameters[0] / 4e6) / math.log(20)
    value = 0.7 * size - 0.3 * size**2
    for place, layer in enumerate(layers):
        depth = place / (len(layers) - 1)
        name = layer.heads[0].parameter
        base, slope = SUITS[name if isinstance(name, str) else "c"]
        kernel = -0.05 * abs(int(name) - 9) / 4 if not isinstance(name, str) else 0.0
        width = -0.05 * (math.log2(sum(layer.feed_forward)) - 11.5) ** 2 / 4
        heads = 0.05 * math.log2(len(layer.heads)) * (layer.heads[0].operation == "sa")
        value += (base + slope * depth + kernel + width + heads) / len(layers)
    for before, after in itertools.pairwise(layers):
        narrowing = max(0.0, math.log2(before.hidden_size / after.hidden_size))
        differs = before.heads[0].operation != after.heads[0].operation
        value += (0.15 * differs - 0.1 * narrowing) / (len(layers) - 1)
    return value


def measured(spec: ModelSpec, seed: int) -> float:
    """With the noise of one training."""
    return objective(spec) + NOISE * float(np.random.default_rng([int(spec.hash[:8], 16), seed]).standard_normal())


def boshnas(level: Level, seed: int, **settings: object) -> Ask:
    """The searcher, with other settings than its defaults where given."""
    one = BOSHNAS(level, seed=seed, settings=BOSHNASSettings(patience=10_000, **settings))  # type: ignore[arg-type]
    waiting = []

    def ask(specs: list[ModelSpec], scores: list[float]) -> ModelSpec:
        if scores:
            one.tell(waiting.pop(), scores[-1])
        waiting.append(one.ask(1)[0])
        return waiting[0].spec

    return ask


def random_search(level: Level, seed: int) -> Ask:
    """Uniformly."""
    stream = level.stream(seed=seed, limit=100_000)
    return lambda specs, scores: next(stream)


def evolution(level: Level, seed: int) -> Ask:
    """Regularised evolution (Real et al., AAAI 2019) with the mutations that BOSHNAS draws candidates by."""
    rng, stream = np.random.default_rng(seed), level.stream(seed=seed, limit=100)

    def ask(specs: list[ModelSpec], scores: list[float]) -> ModelSpec:
        if len(specs) < NUM_INIT:
            return next(stream)
        young = np.arange(max(0, len(specs) - 20), len(specs))
        drawn = rng.choice(young, min(5, len(young)), replace=False)
        return level.mutated(specs[drawn[np.argmax(np.array(scores)[drawn])]], rng)

    return ask


def local_search(level: Level, seed: int) -> Ask:
    """Mutations of the best."""
    rng, stream = np.random.default_rng(seed), level.stream(seed=seed, limit=100)
    return lambda specs, scores: level.mutated(specs[int(np.argmax(scores))], rng) if specs else next(stream)


def modelled(level: Level, seed: int, *, kind: str) -> Ask:
    """A model over fresh draws: ``gp`` (Matérn, expected improvement) of members at random, ``forest`` (mean plus one
    deviation) of members at random and mutations of the best five, as in SMAC."""
    rng, stream = np.random.default_rng(seed), level.stream(seed=seed, limit=10**7)
    pool = SpacePool(level, num_samples=1, num_mutations=1)

    def ask(specs: list[ModelSpec], scores: list[float]) -> ModelSpec:
        if len(specs) < NUM_INIT:
            return next(stream)
        free = list(itertools.islice(stream, DRAWN))
        Y = np.array(scores)
        if kind == "gp":
            free += list(itertools.islice(stream, DRAWN))
            with single_thread(), torch.no_grad():
                X = pool.vectors(specs)
                model = fit_surrogate("features", X, torch.from_numpy(Y), unlabelled=X[:0], seed=0, layout=pool.layout)
                value = LogExpectedImprovement(model, best_f=Y.max())(pool.vectors(free)[:, None]).numpy()
        else:
            best = np.argsort(-Y)[:5]
            free += [level.mutated(specs[best[number % 5]], rng) for number in range(DRAWN)]
            inputs = [np.hstack([features(of), layer_codes(of, 6)]) for of in (specs, free)]
            forest = RandomForestRegressor(100, max_features=0.5, random_state=int(rng.integers(2**31)))
            forest.fit(inputs[0], Y)
            predicted = np.stack([tree.predict(inputs[1]) for tree in forest.estimators_])
            value = predicted.mean(0) + predicted.std(0)
        return free[int(value.argmax())]

    return ask


def tpe(level: Level, seed: int) -> Ask:
    """Optuna's TPE over the depth and, stack by stack, hidden size, heads, operation and feed-forward."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=NUM_INIT, multivariate=True, group=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    choices = level.branches[0][0]  # the same in every stack of a first level
    layers = [choices.layer(number) for number in range(choices.size)]
    parts = [(one.hidden_size, len(one.heads), one.heads[0].parameter, one.feed_forward) for one in layers]
    numbers = {part: number for number, part in enumerate(parts)}
    options = [sorted({part[place] for part in parts}, key=str) for place in range(4)]
    trials: list[optuna.Trial] = []

    def ask(specs: list[ModelSpec], scores: list[float]) -> ModelSpec:
        if trials:
            study.tell(trials[-1], scores[-1])
        trial = study.ask()
        trials.append(trial)
        branch = level.branches[trial.suggest_categorical("branch", list(range(len(level.branches))))]
        stacks: list[object] = []
        for stack in range(len(branch)):
            part = tuple(
                of[trial.suggest_categorical(f"{stack}-{place}", list(range(len(of))))]
                for place, of in enumerate(options)
            )
            stacks += [layers[numbers[part]]] * level.layers_per_stack
        return ModelSpec(tuple(stacks))  # type: ignore[arg-type]

    return ask


SEARCHERS: dict[str, Callable[[Level, int], Ask]] = {
    "boshnas": boshnas,
    "boshnas, no mutations": lambda level, seed: boshnas(level, seed, num_mutations=0, num_samples=2 * DRAWN),
    "boshnas, log_ei": lambda level, seed: boshnas(level, seed, acquisition="log_ei"),
    "boshnas, auto": lambda level, seed: boshnas(level, seed, surrogate="auto"),
    "boshnas, architecture": lambda level, seed: boshnas(level, seed, surrogate="architecture"),
    "boshnas, alpha = beta = 0.1": lambda level, seed: boshnas(level, seed, alpha=0.1, beta=0.1),
    "gp": lambda level, seed: modelled(level, seed, kind="gp"),
    "forest": lambda level, seed: modelled(level, seed, kind="forest"),
    "tpe": tpe,
    "evolution": evolution,
    "local": local_search,
    "random": random_search,
}


def optimum(level: Level) -> float:
    """The best of a long evolution without noise, from several starts."""
    best = -math.inf
    for seed in range(5):
        rng = np.random.default_rng(seed)
        population = sorted(level.sample(50, seed=seed), key=objective)
        values = [objective(spec) for spec in population]
        for _ in range(3000):
            child = level.mutated(population[max(rng.integers(50, size=3))], rng)
            value = objective(child)
            if value > values[0] and child not in population:
                place = int(np.searchsorted(values, value))
                population.insert(place, child)
                values.insert(place, value)
                del population[0], values[0]
        best = max(best, values[-1])
    return best


def main(arguments: list[str] | None = None) -> None:
    """Print mean regrets with standard errors, and seconds per suggestion."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fine", action="store_true", help="one layer per stack, heterogeneous feed-forwards")
    parser.add_argument("--searchers", nargs="+", default=list(SEARCHERS), choices=list(SEARCHERS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--queries", type=int, default=60)
    options = parser.parse_args([] if arguments is None else arguments)
    space = DesignSpace.from_yaml(SPACE)
    level = (
        space.level(layers_per_stack=1, heterogeneous_feed_forward=True)
        if options.fine
        else space.level(layers_per_stack=2)
    )
    best = optimum(level)
    print(f"{level.size:,} architectures; optimum found {best:.4f}; {options.seeds} seeds", flush=True)
    counts = [count for count in range(20, options.queries + 1, 20)]
    for name in options.searchers:
        regrets, seconds = [], 0.0
        for seed in range(options.seeds):
            ask, specs, scores, truths = SEARCHERS[name](level, seed), [], [], []  # type: ignore[var-annotated]
            for _ in range(options.queries):
                start = time.perf_counter()
                specs.append(ask(specs, scores))
                seconds += time.perf_counter() - start
                scores.append(measured(specs[-1], seed))
                truths.append(objective(specs[-1]))
            # What one would pick: the best as measured so far.
            regrets.append([best - truths[int(np.argmax(scores[:count]))] for count in counts])
        mean, error = np.mean(regrets, 0), np.std(regrets, 0, ddof=1) / math.sqrt(len(regrets))
        shown = ", ".join(f"@{c} {m:.3f} ± {e:.3f}" for c, m, e in zip(counts, mean, error, strict=True))
        print(f"  {name:28} {shown}; {seconds / options.seeds / options.queries:.2f} s / suggestion", flush=True)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
