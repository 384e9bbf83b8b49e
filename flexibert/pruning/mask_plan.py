"""The plan of masks says which scores mask which linears, by the methods of a ``PruningConfig``."""

from collections.abc import Sequence

from torch import nn

from .config import PruningConfig
from .families import LayerLinears
from .masks import Axis, MaskFactor, Scores, Threshold

Factors = list[MaskFactor]


def plan_masks(
    layers: Sequence[LayerLinears], config: PruningConfig, threshold: Threshold
) -> list[tuple[nn.Linear, Factors]]:
    """Every linear with the factors of its mask, whose scores are initialized; the linears stay as they are.

    Raises:
        ValueError: listing every block that does not divide the matrix it is used on.
    """
    plans = [_LayerPlan(layer, config, threshold) for layer in layers]
    masks = [entry for plan in plans for entry in plan.masks()]
    problems = [problem for plan in plans for problem in plan.problems]
    if problems:
        raise ValueError("Blocks must divide the matrices they are used on:\n  - " + "\n  - ".join(problems))
    return masks


class _LayerPlan:
    """Makes the factors of one layer's masks and collects the blocks that do not fit."""

    def __init__(self, layer: LayerLinears, config: PruningConfig, threshold: Threshold) -> None:
        self.layer, self.config, self.threshold = layer, config, threshold
        self.linears = dict(layer.named())
        self.methods = {"attention": config.attention, "dense": config.dense}
        self.blocks = {
            "attention": (config.attention_block_rows, config.attention_block_cols),
            "dense": (config.dense_block_rows, config.dense_block_cols),
        }
        self.joint: dict[tuple[int, ...], MaskFactor] = {}  # of matrices of one shape, under ``joint``
        self.problems: list[str] = []

    def masks(self) -> list[tuple[nn.Linear, Factors]]:
        """The factors of every linear's mask, in the order of the layer."""
        attention = [self._attention(name) for name in self.layer.attention]
        factors = [*attention, self._output(), *self._stack()]
        return list(zip(self.linears.values(), factors, strict=True))

    def _attention(self, name: str) -> Factors:
        if self.methods["attention"][1] != "joint":
            return self._unshared(name, "attention")
        shape = tuple(self.linears[name].weight.shape)
        if shape not in self.joint:
            self.joint[shape] = self._factor(name, "attention", "both", self.blocks["attention"])
        return [self.joint[shape]]

    def _output(self) -> Factors:
        """The output linear's: like the dense ones, or like the attention with rows and columns swapped."""
        if self.config.attention_output_with_dense:
            if self.methods["dense"][1] == "1d_alt":  # its neurons are its columns, which no dense linear shares
                return [self._factor("output", "dense", "columns", self.blocks["dense"])]
            return self._unshared("output", "dense")
        of_transposed = self.joint.get(tuple(reversed(self.layer.output.weight.shape)))
        if of_transposed is not None:
            return [MaskFactor(of_transposed.scores, "transposed")]
        return self._unshared("output", "attention", is_transposed=True)

    def _stack(self) -> list[Factors]:
        names = list(self.linears)[-len(self.layer.stack) :]
        if self.methods["dense"][1] != "1d_alt":
            return [self._unshared(name, "dense") for name in names]
        factors: list[Factors] = [[] for _ in names]
        for number, name in enumerate(names[:-1]):
            rows = self._factor(name, "dense", "rows", self.blocks["dense"])
            factors[number].append(rows)
            factors[number + 1].append(MaskFactor(rows.scores, "columns"))
        return factors

    def _unshared(self, name: str, kind: str, *, is_transposed: bool = False) -> Factors:
        """Factors whose scores no other linear shares."""
        block = self.blocks[kind][::-1] if is_transposed else self.blocks[kind]
        axes: tuple[Axis, ...] = ("rows", "columns") if self.methods[kind][1] == "1d" else ("both",)
        return [self._factor(name, kind, axis, block) for axis in axes]

    def _factor(self, name: str, kind: str, axis: Axis, block: tuple[int, int]) -> MaskFactor:
        """A factor with new scores: one per block, which on ``rows`` or ``columns`` is as long as the matrix is."""
        linear = self.linears[name]
        rows, columns = linear.weight.shape
        r, c = 1 if axis == "columns" else block[0], 1 if axis == "rows" else block[1]
        if rows % r or columns % c:
            matrix = f"'{self.layer.name}.{name}' of {rows} x {columns}"
            self.problems.append(f"a block of {r} x {c} (rows x columns) does not divide {matrix}")
        shapes = {"both": (rows // r, columns // c), "rows": (rows // r,), "columns": (columns // c,)}
        scores = Scores(
            shapes[axis],
            (r, c) if axis == "both" else (max(r, c), 1),
            self.methods[kind][0],
            self.threshold,
            self.config.linear_min_parameters,
            kind,
        )
        scores.to(device=linear.weight.device, dtype=linear.weight.dtype).train(linear.training)
        scores.initialize(self.config.mask_init, self.config.mask_scale, linear.in_features)
        return MaskFactor(scores, axis)
