"""Weights and products in whole numbers of 8 bits: smaller files, and faster runs on processors.

Every output channel of a weight has a scale of its own: pruned models have outliers in single channels, and one scale a
matrix costs them several points. Activations are scaled as they come (dynamic quantisation), so nothing is calibrated.
"""

import ast
import logging
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from .onnx_file import SCOPES


def quantize(source: Path, target: Path, *, in_float: Collection[str] = ()) -> None:
    """Write an ONNX file in whole numbers.

    Args:
        in_float: parts of the model (see ``parts_of``) that stay as they are.
    """
    import onnx  # an extra: only who exports needs it
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    excluded = [node.name for node in model.graph.node if _part(node) in in_float]
    logger, level = logging.getLogger(), logging.getLogger().level
    logger.setLevel(logging.ERROR)  # else it advises to process the file before, which has been done
    try:
        quantize_dynamic(model, target, per_channel=True, weight_type=QuantType.QInt8, nodes_to_exclude=excluded)
    finally:
        logger.setLevel(level)


def parts_of(source: Path) -> list[str]:
    """What of a model can stay in float for itself: each layer, the embeddings, and what comes after the encoder."""
    import onnx

    nodes = onnx.load(source, load_external_data=False).graph.node
    weighted = [node for node in nodes if node.op_type in ("MatMul", "Gemm", "Gather", "Conv")]
    return [part for part in dict.fromkeys(map(_part, weighted)) if part]


def quantize_within(
    source: Path, target: Path, score: Callable[[Path], float], max_drop: float
) -> tuple[float, list[str]]:
    """Write an ONNX file in whole numbers that scores at most so much less than it does in float; where all of it loses
    more, parts stay in float, those first without which most is won.

    Args:
        score: of a file; higher is better.
        max_drop: largest difference of scores.

    Returns:
        The difference of scores, and the parts that stay in float.

    Raises:
        ValueError: when the bound is kept only in float.
    """
    of_float = score(source)
    with tempfile.TemporaryDirectory() as folder:

        def drop(in_float: Collection[str], file: Path) -> float:
            quantize(source, file, in_float=in_float)
            return of_float - score(file)

        found, kept, parts = drop([], target), list[str](), parts_of(source)
        if found > max_drop:
            parts.sort(key=lambda part: drop([part], Path(folder) / "one.onnx"))
        while found > max_drop:
            if len(kept) + 1 >= len(parts):
                raise ValueError(
                    f"'max_drop' must be at least what whole numbers cost. Got {100 * max_drop:g} points, and with one "
                    f"part of {len(parts)} in whole numbers {100 * found:g} are lost still"
                )
            kept.append(parts[len(kept)])
            found = drop(kept, target)
    return found, kept


def _part(node: Any) -> str:
    """The layer that a node is of, or the first module's name; empty where the exporter does not say."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "[]")
    names = [str(name) for name in ast.literal_eval(scopes) if name]
    layers = [name for name in names if name.rpartition(".")[0].endswith("layer")]
    inner = [name for name in names if name not in ("bert", "encoder", "bert.encoder")]
    return (layers or inner or [""])[0].removeprefix("bert.")
