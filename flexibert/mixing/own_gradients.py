"""Where functions with a gradient written out may stand in for ``torch``'s, and how they are differentiated twice."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad


def is_traced() -> bool:
    """Whether operations are recorded or transformed by somebody who does not know functions of ours."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or is_transformed()


def is_transformed() -> bool:
    """Whether ``torch.func`` or forward-mode differentiation, which fused kernels do not know either, is at work."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def needs_differentiable(*gradients: Tensor | None) -> bool:
    """In a backward pass: whether what is done is differentiated again, recorded, or done for a batch of gradients, so
    that it must consist of operations that ``torch`` knows, none of them in place."""
    is_batched = torch._C._functorch.is_legacy_batchedtensor
    return torch.is_grad_enabled() or is_traced() or any(x is not None and is_batched(x) for x in gradients)


def has_numbers(x: Tensor) -> bool:
    """Whether the numbers of a tensor can be looked at: not while traced, on ``meta`` or fake."""
    return not (is_traced() or x.is_meta or isinstance(x, FakeTensor) or is_faked())


def is_faked() -> bool:
    """Whether tensors are made without numbers."""
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None


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
