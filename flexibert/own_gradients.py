"""Where functions with a gradient written out may stand in for ``torch``'s, and how they are differentiated twice."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def is_traced() -> bool:
    """Whether operations are recorded or transformed by somebody who does not know functions of ours."""
    is_transformed = torch._C._are_functorch_transforms_active()
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or is_transformed


def is_eager_on_cpu(x: Tensor) -> bool:
    """Whether functions with a gradient of their own may stand in for ``torch``'s: on a CPU, in full precision."""
    is_full = x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")
    return x.device.type == "cpu" and is_full and not is_traced()


def differentiable_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor | None], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of ``function`` at ``inputs`` that can be differentiated again; None for inputs without.

    Taken at aliases, for one input may be made of another.
    """
    with torch.enable_grad():
        aliases = [x.view_as(x) if x is not None and x.requires_grad else x for x in inputs]
        wanted = [x for x in aliases if x is not None and x.requires_grad]
        found = iter(torch.autograd.grad(function(*aliases), wanted, gradient, create_graph=True, allow_unused=True))
    return tuple(next(found) if x is not None and x.requires_grad else None for x in inputs)
