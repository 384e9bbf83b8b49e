"""What is left of a fine-tuned encoder with fewer layers, before training: by which layers stay, and what is refitted.

    python -m tests.benchmarks.depth ENCODER [--task python_docs]

Validation scores in percent of every depth: of the layers whose loss costs least gone, of every other one, and of the
lower ones; as they are, and with all that is left refitted by least squares.
"""

import argparse

from rich.console import Console
from transformers import PreTrainedModel

from flexibert.pruning import Shrinker
from flexibert.pruning.units import without
from search.training.evaluate import outputs_on
from search.training.initial_weights import example_batches
from search.training.task_heads import model_class
from tests.benchmarks.fine_tuned import add_root_arguments, fine_tuned


def main() -> None:
    """Read the arguments, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_root_arguments(parser)
    run, root = fine_tuned(parser.parse_args(), 0, Console())
    data, spec = run.data.tasks[run.data.largest_task], root.candidate.spec
    model = model_class(data).from_pretrained(run.models_dir / spec.hash).eval()
    shrinker, rows = Shrinker(model, example_batches(data, spec, 16)), data.split("validation")
    print("| layers | which stay | as they are | repaired |\n| --- | --- | --- | --- |")
    count = len(spec.layers)
    for depth in range(count - 1, 0, -1):
        spread = [place * count // depth for place in range(depth)]
        for name, places in (("least loss first", None), ("spread", spread), ("lower", list(range(depth)))):
            children = [_child(shrinker, depth, places, repair=repair) for repair in (False, True)]
            scores = [100 * data.measure(outputs_on(rows, one, data), "validation")[data.metric] for one in children]
            print(f"| {depth} | {name} | {scores[0]:.1f} | {scores[1]:.1f} |", flush=True)


def _child(shrinker: Shrinker, depth: int, places: list[int] | None, *, repair: bool) -> PreTrainedModel:
    """Of these layers; of those that the shrinker chooses where none are given."""
    if places is None:
        child = shrinker.largest(depth, lambda _: True)
        assert child is not None
        return shrinker.child(child, repair=repair)
    return shrinker.extracted(without(shrinker.spec, [], places), repair=repair)


if __name__ == "__main__":
    main()
