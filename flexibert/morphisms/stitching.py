"""Stitching: two encoders of one vocabulary and depth side by side in one model.

``grouped`` (ours, the default) keeps a residual stream per source (``ModelSpec.side_by_side``), so that both functions
are reproduced exactly, whatever their operations, widths and head sizes. ``concat`` and ``skip`` are the original's:
one architecture of the joint width, every Linear block-diagonal, off-diagonal blocks filled with a constant or with
noise. One LayerNorm over the joint width is not the sources' two (post-norm), so these reproduce neither source; its
weights are the sources' side by side (``concat``) or stay at 1 and 0 (``skip``).

Task heads are stitched too: what reads the states averages, so a grouped model's logits are the mean of its sources'.
A decoder that is the joint table of word vectors (``concat`` and ``skip`` of two tied sources) cannot be halved; the
weights of the LayerNorm before it are.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from design_space import ModelSpec

from ..checkpoints.model_card import add_to_lineage
from ..mixing.axes import Sizes
from ..model.configuration_flexibert import FlexiBERTConfig
from ..model.heads import has_tied_decoder
from ..model.modeling_flexibert import FlexiBERTPreTrainedModel
from ..transfer.class_names import by_class, class_names, label_permutation
from .assembly import AnyModel, built_like
from .block_diagonal import Filling, joint_encoder_parameters, joint_spec, matrix_of_blocks

LAYERNORMS = ("grouped", "concat", "skip")
SHARED_OPTIONS = (*Sizes._fields, "hidden_act", "layer_norm_eps", "mask_padding", "pooling")


def stitch(
    a: AnyModel,
    b: AnyModel,
    *,
    epsilon: float = 0.0,
    noise_std: float = 0.0,
    layernorm: Literal["grouped", "concat", "skip"] = "grouped",
    seed: int = 0,
) -> AnyModel:
    """Both models as one, as wide as both together.

    Args:
        a: any FlexiBERT model of text, with or without a task head, stitched itself or not; it is not changed.
        b: another of the same class, vocabulary and depth; it is not changed. Its classes have the names of ``a``'s, in
            any order; where one has the default names (``LABEL_0``, ...), they are taken by place.
        epsilon: constant in the off-diagonal blocks of every Linear; 0 or above.
        noise_std: standard deviation of normal noise there, instead of a constant; 0 or above.
        layernorm: ``grouped``: each source is normalised on its own; ``concat`` or ``skip``: one LayerNorm over the
            joint width, with the sources' weights or with initial ones.
        seed: of the noise.

    Returns:
        A model of the same class, in ``a``'s type, device and mode, its classes in ``a``'s order. Its states are those
        of ``a`` and ``b`` side by side, its logits their mean: exactly with ``grouped``, else only as far as one
        LayerNorm allows.

    Raises:
        ValueError: when the models do not fit together, listing why; when their mixing cannot be written as one
            architecture (``concat`` and ``skip``); or for options out of range.
    """
    _check_options(epsilon, noise_std, layernorm)
    _check_sources(a, b)
    is_grouped = layernorm == "grouped"
    specs = a.config.model_spec, b.config.model_spec
    spec = ModelSpec.side_by_side(specs) if is_grouped else joint_spec(*specs)
    stitched = built_like(a, spec, is_tied=is_grouped or (has_tied_decoder(a) and has_tied_decoder(b)))
    filling = Filling(epsilon, noise_std, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        if is_grouped:
            for ours, theirs in zip(_streams(stitched), [*_streams(a), *_streams(b)], strict=True):
                ours.load_state_dict(theirs.state_dict())
        else:
            for name, value in joint_encoder_parameters(a.base_model, b.base_model, spec, filling):
                if layernorm == "concat" or ".LayerNorm." not in name:
                    stitched.base_model.get_parameter(name).copy_(value)
        _stitch_outer(a, b, stitched, filling, keeps_norms=layernorm != "skip")
    add_to_lineage(stitched, f"Stitched of two models side by side, LayerNorms {layernorm}.", [a, b])
    return stitched


def random_like(model: AnyModel, spec: ModelSpec | None = None, seed: int = 0) -> AnyModel:
    """A model of the same class and sizes with random weights: the control to stitch with instead of a trained one.

    Args:
        spec: its architecture; default: the model's own.
        seed: of the weights; the global generator is left alone.
    """
    return built_like(model, model.config.model_spec if spec is None else spec, seed)


def _check_options(epsilon: float, noise_std: float, layernorm: str) -> None:
    problems = []
    if layernorm not in LAYERNORMS:
        problems.append(f"'layernorm' must be one of {', '.join(LAYERNORMS)}. Got {layernorm!r}")
    for name, value in (("epsilon", epsilon), ("noise_std", noise_std)):
        if not 0 <= value < float("inf"):
            problems.append(f"'{name}' must be 0 or above. Got {value}")
    if epsilon and noise_std:
        problems.append(f"Only one of 'epsilon' and 'noise_std' fills the blocks. Got {epsilon} and {noise_std}")
    if layernorm == "grouped" and (epsilon or noise_std):
        problems.append(
            "'epsilon' and 'noise_std' must be 0 with layernorm='grouped', which has no off-diagonal blocks; "
            "use 'concat' or 'skip'"
        )
    if problems:
        raise ValueError("\n".join(problems))


def _check_sources(a: Any, b: Any) -> None:
    for model in (a, b):
        if not isinstance(model, FlexiBERTPreTrainedModel) or not isinstance(model.config, FlexiBERTConfig):
            raise ValueError(f"Stitched models must be FlexiBERT models of text. Got {type(model).__name__}")
    if type(a) is not type(b):
        raise ValueError(
            f"Stitched models must be of one class. Got {type(a).__name__} and {type(b).__name__}; "
            "stitch their encoders ('base_model')"
        )
    names = [*SHARED_OPTIONS, *(["num_labels"] if a.base_model is not a else [])]
    problems = different_options(a, b, names)
    depths = a.config.num_hidden_layers, b.config.num_hidden_layers
    if depths[0] != depths[1]:
        problems.append(f"Stitched models must have the same number of layers. Got {depths[0]} and {depths[1]}")
    if a.config.num_labels == b.config.num_labels and label_permutation(b, a) is None:
        problems.append(
            f"'id2label' must name the same classes in both models, in any order. Got {', '.join(class_names(a))} and "
            f"{', '.join(class_names(b))}; rename them where they mean the same"
        )
    if problems:
        raise ValueError("\n".join(problems))


def different_options(a: Any, b: Any, names: Iterable[str]) -> list[str]:
    """One complaint for each option of the configurations of two models that is not the same."""
    return [
        f"'{name}' must be the same in both models. Got {getattr(a.config, name)!r} and {getattr(b.config, name)!r}"
        for name in names
        if getattr(a.config, name) != getattr(b.config, name)
    ]


def _streams(model: Any) -> list[nn.ModuleList]:
    """Embeddings and encoder of each residual stream of a model."""
    embeddings, encoder = model.base_model.embeddings, model.base_model.encoder
    if not model.config.model_spec.groups:
        return [nn.ModuleList([embeddings, encoder])]
    return [nn.ModuleList(pair) for pair in zip(embeddings.groups, encoder.groups, strict=True)]


def _stitch_outer(a: Any, b: Any, stitched: Any, filling: Filling, *, keeps_norms: bool) -> None:
    """Pooler and task head: what hands on the joint width is block-diagonal, what reads it for good averages."""
    places = label_permutation(b, a)
    assert places is not None
    for name, written in _outer_parameters(stitched):
        first, second = (model.get_parameter(name).to(written.device) for model in (a, b))
        second = by_class(name, second, places)
        is_norm = ".LayerNorm." in name
        if is_norm and not keeps_norms:
            continue
        if is_norm or "pooler." in name or ".transform." in name:
            is_matrix = written.dim() == 2
            written.copy_(matrix_of_blocks(first, second, filling) if is_matrix else torch.cat([first, second]))
        elif written.dim() == 2:
            written.copy_(torch.cat([first, second], dim=1) / 2)
        else:
            written.copy_((first + second) / 2)
    if has_tied_decoder(stitched):
        norm = stitched.cls.predictions.transform.LayerNorm
        norm.weight.div_(2)
        norm.bias.div_(2)


def _outer_parameters(model: Any) -> Iterator[tuple[str, Tensor]]:
    inside = {
        id(parameter)
        for part in (model.base_model.embeddings, model.base_model.encoder)
        for parameter in part.parameters()
    }
    for name, parameter in model.named_parameters():
        if id(parameter) not in inside:
            yield name, parameter
