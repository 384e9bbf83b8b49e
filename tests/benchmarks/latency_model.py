"""How well the time of an architecture is predicted from a few that were measured, in every runtime.

    python -m tests.benchmarks.latency_model [--runtimes torch onnx onnx-int8] [--measured 24] [--predicted 36]

Of two spaces: the parts of an encoder of MiniLM's shape, and the repository's ``design_space.yaml``. Median relative
error and Kendall's tau of the architectures that the model was not fitted to; and by how much two measurements of one
architecture, as far apart in the run as can be, differ in the median.
"""

import argparse
import statistics
from pathlib import Path

from scipy.stats import kendalltau

from design_space import DesignSpace, ModelSpec, Subarchitectures
from flexibert import FlexiBERTConfig, FlexiBERTModel, fit_latency_model, measure_in_turn

SPACE = Path(__file__).resolve().parents[2] / "design_space" / "design_space.yaml"
MINILM = {"l": 6, "o": ["sa"] * 6, "h": [384] * 6, "n": [12] * 6, "f": [[1536]] * 6, "p": ["sdp"] * 6}


def main() -> None:
    """Read the arguments, measure, and print a line for each space and runtime."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtimes", nargs="+", default=["torch", "onnx", "onnx-int8"])
    parser.add_argument("--measured", type=int, default=24)
    parser.add_argument("--predicted", type=int, default=36)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    count = arguments.measured + arguments.predicted
    parts = Subarchitectures(ModelSpec.from_dict(MINILM))
    spaces = {
        "parts of MiniLM": [parts.root, *parts.stream(seed=0, limit=count - 1)],
        "design_space.yaml": DesignSpace.from_yaml(SPACE).sample(count, layers_per_stack=2, seed=0),
    }
    print("| space | runtime | median error | Kendall's tau | the same one twice |\n| --- | --- | --- | --- | --- |")
    for name, specs in spaces.items():
        for runtime in arguments.runtimes:
            models = [_model(spec) for spec in (*specs, specs[0])]
            speeds = measure_in_turn(
                models, batch_size=1, length=arguments.length, threads=1, repeats=arguments.repeats, runtime=runtime
            )
            *times, again = [speed.median_ms for speed in speeds]
            fitted = fit_latency_model(
                specs[: arguments.measured], times[: arguments.measured], length=arguments.length
            )
            predicted, truths = fitted(specs[arguments.measured :]), times[arguments.measured :]
            error = statistics.median(abs(a / b - 1) for a, b in zip(predicted, truths, strict=True))
            tau = kendalltau(predicted, truths).statistic
            print(f"| {name} | {runtime} | {error:.1%} | {tau:.2f} | {abs(again / times[0] - 1):.1%} |", flush=True)


def _model(spec: ModelSpec) -> FlexiBERTModel:
    return FlexiBERTModel(FlexiBERTConfig(model_dict=spec.to_dict(), vocab_size=1000, max_position_embeddings=64))


if __name__ == "__main__":
    main()
