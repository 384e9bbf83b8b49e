"""The operations that networks know, by name; ``register_head_operation`` adds one and checks that it is complete.

What is forgotten would be a wrong cost or a lost weight much later, so it is an error here: an operation without its
specification, weights that differ from their description, contexts of another shape, and products that are not counted.
"""

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from design_space import operation_named, operations

from .attention import Padding
from .convolution import ConvolutionHeads
from .linear_transform import LinearTransformHeads
from .operation import Attends, HeadInputs, HeadOperation
from .self_attention import SelfAttentionHeads

_REGISTRY: dict[str, HeadOperation] = {
    operation.name: operation for operation in (SelfAttentionHeads(), LinearTransformHeads(), ConvolutionHeads())
}
_SIZE, _LENGTH = 8, 5  # of the heads that are tried


def head_operation(name: str) -> HeadOperation:
    """The operation of that name. Raises ``ValueError`` when networks do not know it."""
    if name not in _REGISTRY:
        raise ValueError(
            f"Operation '{name}' is known to specifications, but no network knows what its heads compute: call "
            "flexibert.mixing.register_head_operation too, in the same module"
        )
    return _REGISTRY[name]


def register_head_operation(operation: HeadOperation) -> HeadOperation:
    """Make an operation known to networks, and return it.

    Raises:
        ValueError: when it is incomplete, with everything that is missing or wrong; when another one has its name.
    """
    known = _REGISTRY.get(getattr(operation, "name", ""))
    if known is not None and type(known).__qualname__ != type(operation).__qualname__:
        raise ValueError(f"Operation '{operation.name}' is registered already, by {type(known).__name__}")
    problems = problems_of(operation)
    if problems:
        raise ValueError(f"{type(operation).__name__} cannot be registered:\n  - " + "\n  - ".join(problems))
    return _REGISTRY.setdefault(operation.name, operation)


def problems_of(operation: HeadOperation) -> list[str]:
    """What is missing or wrong, found by building and running heads of 8 channels on 5 positions."""
    if getattr(operation, "name", None) not in [known.name for known in operations()]:
        return [
            "'name' must be that of an operation which design_space.register_operation made known. Got "
            f"{getattr(operation, 'name', None)!r}"
        ]
    problems = []
    if operation.attends is Attends.NOTHING and not operation.mixes:
        problems.append("its heads neither attend nor mix: set 'attends', or 'mixes' and write 'mix'")
    if set(operation.reads) - {"query", "key"}:
        problems.append(f"'reads' may name 'query' and 'key'. Got {operation.reads!r}")
    for parameter in operation_named(operation.name).parameters.examples():
        rule = operation_named(operation.name).rule
        size = next((size for size in (_SIZE, 16, 32, 64) if rule is None or rule(parameter, size) is None), None)
        if size is not None:
            problems += [f"with parameter {parameter!r}, {problem}" for problem in _tried(operation, parameter, size)]
    return list(dict.fromkeys(problems))


def _tried(operation: HeadOperation, parameter: object, size: int) -> list[str]:
    own = operation.build(parameter, size)
    built: dict[str, tuple[int, ...]] = {}
    for name, weight in own.items():
        if name[-1:].isdigit() or not name.isidentifier():
            return [f"'build' names a weight {name!r}: names are identifiers that do not end in a digit"]
        inside = {name: weight} if isinstance(weight, nn.Parameter) else _named(name, weight)
        built |= {key: tuple(value.shape) for key, value in inside.items()}
    described = {item.name: tuple(axis.length for axis in item.axes) for item in operation.parameters(parameter, size)}
    if built != described:
        return [f"'parameters' must describe the weights of 'build'. Got {described}, built are {built}"]
    axes = [axis for item in operation.parameters(parameter, size) for axis in item.axes]
    if any(axis.kind not in ("head", "fixed") or (axis.kind == "head" and not axis.space) for axis in axes):
        return ["axes of 'parameters' must be 'fixed', or 'head' with the space whose vectors they list"]
    operation.init_weights({name: weight for name, weight in own.items() if isinstance(weight, nn.Parameter)})
    try:
        return _run(operation, own, parameter, size) or _mixes_wrongly(operation, own, parameter, size)
    except NotImplementedError:
        return ["'mix' is not written; write it, or set 'mixes' to False"]
    except Exception as error:
        reads = ", ".join(operation.reads) or "neither query nor key"
        return [f"its heads do not run ('reads' names {reads}; others are None): {type(error).__name__}: {error}"]


def _run(operation: HeadOperation, own: dict[str, nn.Parameter | nn.Module], parameter: object, size: int) -> list[str]:
    q, k, v = torch.randn(3, 2, _LENGTH, size)
    query, key = (x if name in operation.reads else None for name, x in (("query", q), ("key", k)))
    outputs = {}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        if operation.attends is Attends.CONTENTS:
            outputs["content"] = operation.content(q, own)
        if operation.mixes:
            outputs["mix"] = operation.mix(HeadInputs(query, key, v, Padding()), own, parameter)
    wrong = [
        f"'{name}' must return a tensor of shape (batch, sequence, head size) {tuple(v.shape)}. Got "
        f"{tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__}"
        for name, output in outputs.items()
        if not isinstance(output, torch.Tensor) or output.shape != v.shape
    ]
    counted = 2 * 2 * operation.flops(parameter, size, _LENGTH).products
    if counter.get_total_flops() > counted:
        wrong.append(
            f"'flops' must count all products: {counter.get_total_flops() // 4} multiply-adds for one sequence of "
            f"{_LENGTH} positions and heads of {size}. Got {counted // 4}"
        )
    return wrong


def _mixes_wrongly(operation: HeadOperation, own: dict[str, Any], parameter: object, size: int) -> list[str]:
    """What is claimed of ``mix`` and does not hold: that padding is not read, and that zeros stay zeros."""
    if not operation.mixes:
        return []
    whole = _LENGTH + 3
    q, k, v = torch.randn(3, 1, whole, size)

    def mixed(value: torch.Tensor, length: int, padding: Padding) -> torch.Tensor:
        query, key = (x[:, :length] if name in operation.reads else None for name, x in (("query", q), ("key", k)))
        return operation.mix(HeadInputs(query, key, value[:, :length], padding), own, parameter)

    wrong = []
    is_real = torch.arange(whole).unsqueeze(0) < _LENGTH
    with torch.no_grad():
        alone = mixed(v, _LENGTH, Padding())
        padded = mixed(v, whole, Padding.from_mask(is_real, v.dtype))[:, :_LENGTH]
        if not operation_named(operation.name).depends_on_length and not torch.allclose(alone, padded, atol=1e-4):
            wrong.append(
                "'mix' must not read padded positions: read 'inputs.padding.zeroed(...)' of what it reads, or register "
                "the operation with depends_on_length=True"
            )
        if operation.maps_zero_to_zero and mixed(torch.zeros_like(v), _LENGTH, Padding()).abs().max() > 1e-6:
            wrong.append("'maps_zero_to_zero' must be False: 'mix' of values of zero is not zero")
    return wrong


def _named(name: str, module: nn.Module) -> dict[str, nn.Parameter]:
    return {f"{name}.{key}": value for key, value in module.named_parameters()}
