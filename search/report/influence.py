"""Which properties of architectures went with high scores, and what each way to first weights cost and brought."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from design_space import ModelSpec, operations
from flexibert import MORPHISMS, Morphism

from ..records.journal import TrialRecord

_FEWEST = 5


def influence(finished: Sequence[TrialRecord]) -> list[tuple[str, float, float]]:
    """Returns the rank correlation of properties of architectures with the score and its p-value, the strongest first.
    Each is looked at by itself, so it is not more than a hint."""
    if len(finished) < _FEWEST:
        return []
    rows = [_properties(record.candidate.spec) for record in finished]
    scores = [record.score for record in finished]
    found = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        if len(set(values)) > 1 and len(set(scores)) > 1:
            result = spearmanr(values, scores)
            found.append((name, float(result.statistic), float(result.pvalue)))
    return sorted(found, key=lambda entry: -abs(entry[1]))


def _properties(spec: ModelSpec) -> dict[str, float]:
    heads = [head for layer in spec.layers for head in layer.heads]
    kinds = {operation.meaning: operation.name for operation in operations()}
    early = [head for layer in spec.layers[: (len(spec.layers) + 1) // 2] for head in layer.heads]
    return {
        "number of layers": float(len(spec.layers)),
        "mean hidden size": float(np.mean([layer.hidden_size for layer in spec.layers])),
        "mean heads per layer": len(heads) / len(spec.layers),
        "mean feed-forward width": float(np.mean([np.mean(layer.feed_forward) for layer in spec.layers])),
        "feed-forward vertices per layer": float(np.mean([len(layer.feed_forward) for layer in spec.layers])),
        **{f"share of {name}": float(np.mean([h.operation == op for h in heads])) for name, op in kinds.items()},
        **{
            f"share of {name} in the first half": float(np.mean([h.operation == op for h in early]))
            for name, op in kinds.items()
        },
    }


def costs(records: Sequence[TrialRecord]) -> list[tuple[Morphism, int, float, float]]:
    """Returns of each morphism the number of trials with a cost, the seconds, and the best score."""
    found = []
    for name, morphism in sorted(MORPHISMS.items()):
        made = [r for r in records if r.candidate.origin.name == name and r.cost_s is not None]
        if made:
            best = max(record.score or 0.0 for record in made)
            found.append((morphism, len(made), sum(record.cost_s or 0.0 for record in made), best))
    return found
