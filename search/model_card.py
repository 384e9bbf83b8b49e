"""The model card that lies beside every trained model: what it is, where it comes from, what it measured, how to load
it."""

import json
from collections.abc import Mapping
from pathlib import Path

from dataset import PreparedData

from .candidate import Candidate


def write_model_card(folder: Path, candidate: Candidate, objectives: Mapping[str, float], data: PreparedData) -> None:
    """Write ``README.md`` into a model folder."""
    origin = candidate.origin
    lineage = "pre-trained from scratch" if origin.parent is None else f"{origin.kind} from the model `{origin.parent}`"
    has_transforms = any(head.operation == "l" for layer in candidate.spec.layers for head in layer.heads)
    fixed_length = f"padding='max_length', max_length={data.max_length}"
    padding = f"\nLinear transforms run over the padded length: pad texts as in training, `{fixed_length}`.\n"
    figures = "\n".join(f"| {name} | {value:g} |" for name, value in objectives.items())
    (folder / "README.md").write_text(
        f"""---
library_name: transformers
tags: [flexibert, neural-architecture-search]
---

# FlexiBERT `{candidate.spec.hash[:12]}` for {data.name}

First weights: {lineage}. Chosen by the search as `{candidate.proposed_by}`.

```python
import flexibert  # registers the architecture
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained("PATH OF THIS FOLDER")
tokenizer = AutoTokenizer.from_pretrained("PATH OF THIS FOLDER")
```
{padding if has_transforms else ""}
| measured on validation ({len(data.validation):,} texts) | |
| --- | --- |
{figures}

`latency_ms` is the median time of a forward pass over 8 full-length texts, on the worker that trained it.

Architecture (`model_dict`):

```json
{json.dumps(candidate.spec.to_dict())}
```
""",
        encoding="utf-8",
    )
