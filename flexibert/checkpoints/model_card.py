"""The model card in every saved folder: what the model is, how its weights came about, what it measured, how to load it
(Mitchell et al. 2019)."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from design_space.files import write_atomically

from .remote_code import auto_class_of

# A card with this line is written anew when a model is saved beside it; without the line it is left as it is.
GENERATED = "<!-- Generated when the model was saved. Remove this line to keep your own changes. -->"


def write_model_card(
    folder: Path | str,
    model: Any,
    *,
    title: str = "",
    scores: Mapping[str, float] | None = None,
    scores_heading: str = "measured",
    notes: Sequence[str] = (),
    loading: str = "",
    library: str = "transformers",
) -> None:
    """Write ``README.md`` beside a saved model, unless there is one without the line that marks ours.

    Args:
        folder: of the saved model.
        model: a FlexiBERT or FlexiViT model.
        title: default: the class and the first digits of the architecture's hash.
        scores: name -> value, for a table under ``scores_heading``.
        notes: further paragraphs.
        loading: how the model is used; default: by ``transformers``.
        library: that loads it, as the Hub calls it.
    """
    card = Path(folder) / "README.md"
    if card.exists() and GENERATED not in card.read_text(encoding="utf-8"):
        return
    name = type(model).__name__
    spec = model.config.model_spec
    sections = [
        f"---\n{_front_matter(model.config, library)}\n---",
        GENERATED,
        f"# {title or f'{name} {spec.hash[:12]}'}",
        *notes,
        loading or _loading(name, model.config.model_type),
        *([_padding_note()] if spec.depends_on_length else []),
        _table(scores_heading, scores) if scores else "",
        f"## Architecture\n\n{_sizes(model)}\n\n```json\n{json.dumps(spec.to_dict())}\n```",
        f"## Lineage\n\n{_steps(model.config.lineage)}",
    ]
    # Whole or not at all: the rest of a torn card would pass for its owner's own.
    write_atomically(card, "\n\n".join(section for section in sections if section) + "\n")


def add_to_lineage(model: Any, step: str, parents: Sequence[Any] | None = None) -> None:
    """Record how ``model`` got its weights, and whose work its parents started from.

    Args:
        step: one sentence.
        parents: models that the weights came from, whose steps come first; what two have in common from the beginning
            is told once. Default: the model itself, which was trained on.
    """
    histories = [list(parent.config.lineage or []) for parent in parents or (model,)]
    _inherit_origin(model, parents or (model,))
    steps = []
    for number, history in enumerate(histories):
        told = max((_num_in_common(history, earlier) for earlier in histories[:number]), default=0)
        steps += history[told:]
    model.config.lineage = [*steps, step]


def _inherit_origin(model: Any, parents: Sequence[Any]) -> None:
    """Base models and licence of the parents; where these have several licences, it is none of those with a name."""
    found = [parent.config.base_model for parent in parents]
    names = dict.fromkeys(name for each in found if each for name in ([each] if isinstance(each, str) else each))
    if not names:
        return
    licenses = {parent.config.license for parent, each in zip(parents, found, strict=True) if each}
    model.config.base_model = next(iter(names)) if len(names) == 1 else list(names)
    model.config.license = licenses.pop() if len(licenses) == 1 else "other"


def _front_matter(config: Any, library: str) -> str:
    return ModelCardData(
        base_model=config.base_model,
        license=config.license,
        library_name=library,
        tags=[config.model_type, "neural-architecture-search"],
    ).to_yaml()


def _num_in_common(a: Sequence[str], b: Sequence[str]) -> int:
    """How many steps two histories begin with alike."""
    return next((number for number, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _table(heading: str, scores: Mapping[str, float]) -> str:
    rows = [f"| {name} | {value:g} |" for name, value in scores.items()]
    return "\n".join([f"| {heading} | |", "| --- | --- |", *rows])


def _loading(name: str, model_type: str) -> str:
    auto_class = auto_class_of(name, model_type)
    return f"""```python
from transformers import {auto_class}

model = {auto_class}.from_pretrained("PATH OF THIS FOLDER", trust_remote_code=True)
# AutoTokenizer.from_pretrained("PATH OF THIS FOLDER", trust_remote_code=True), where the folder has a tokenizer
```

The code is in this folder. After `import flexibert` the installed project's is used, and `trust_remote_code` is not
needed."""


def _padding_note() -> str:
    return (
        "Linear transforms (`l`) run over the padded length: pad to the length that was used in training "
        "(`padding='max_length'`)."
    )


def _sizes(model: Any) -> str:
    """Number of parameters, and the layers, equal neighbors in one row."""
    layers = model.config.model_spec.layers
    rows = [
        "| layers | heads | head size | width | feed-forward |",
        "| --- | --- | --- | --- | --- |",
    ]
    first = 1
    for layer, group in groupby(layers):
        last = first + len(list(group)) - 1
        kinds = [(f"{head.operation}/{head.parameter}", head) for head in layer.heads]
        heads = ", ".join(
            f"{sum(other == kind for other, _ in kinds)} of {kind}" for kind in dict.fromkeys(kind for kind, _ in kinds)
        )
        numbers = str(first) if first == last else f"{first} to {last}"
        widths = ", ".join(map(str, layer.feed_forward))
        rows.append(f"| {numbers} | {heads} | {layer.head_size} | {layer.hidden_size} | {widths} |")
        first = last + 1
    total, encoder = model.num_parameters(), model.base_model.num_parameters()
    head = f", {encoder:,} of them in the encoder" if encoder != total else ""
    return f"{total:,} parameters{head}.\n\n" + "\n".join(rows)


def _steps(lineage: Sequence[str] | None) -> str:
    if not lineage:
        return "Nothing is recorded: the weights were random at first, or come from a folder without a record."
    return "\n".join(f"{number}. {step}" for number, step in enumerate(lineage, start=1))
