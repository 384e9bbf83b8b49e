"""How long a search goes on, and on which machines."""

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from design_space.options import Count, Natural, Positive, below_home, flag, options

_HIDDEN = "***"
_PASSWORD = re.compile(r"(?<=://)([^/@:]*:)(.+)(?=@)")
"""After the user's name."""


def _split(value: Any) -> Any:
    """``7,6`` and a single number as several."""
    return value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]


def _joined(numbers: tuple[int, ...]) -> Any:
    return list(numbers) if len(numbers) > 1 else numbers[0]


def _resources(value: Any) -> dict[str, float]:
    """``cpu=2,gpu=0.5``, or a mapping, as amounts by name."""
    parts = value.items() if isinstance(value, Mapping) else [part.split("=") for part in str(value).split(",")]
    try:
        resources = {str(name).strip(): float(amount) for name, amount in parts}
    except (TypeError, ValueError):
        raise ValueError("must be written like cpu=2,gpu=0.5") from None
    is_finite = all(0 <= amount < float("inf") for amount in resources.values())
    if not set(resources) <= {"cpu", "gpu"} or not is_finite or not any(resources.values()):
        raise ValueError("must give cpu, gpu or both, above 0 and finite")
    return resources


def without_password(text: str, uri: str | None = None) -> str:
    """A text without the password of a URI in it, and of ``uri`` wherever it is."""
    for _, secret in _PASSWORD.findall(uri or ""):
        for form in (secret, unquote(secret)):
            text = text.replace(form, _HIDDEN)
    return _PASSWORD.sub(rf"\1{_HIDDEN}", text)


def _storage(text: str) -> str:
    """A URI, or an absolute path."""
    if any(secret == _HIDDEN for _, secret in _PASSWORD.findall(text)):
        raise ValueError(f"was given with a password, which is not kept: give it again. Got {text!r}")
    return text if "://" in text else str(below_home(text).absolute())


PerLevel = Annotated[
    tuple[Count, ...],
    BeforeValidator(_split),
    PlainSerializer(_joined),
    WithJsonSchema({"type": "integer", "minimum": 1}),
]
Resources = Annotated[
    dict[str, float], BeforeValidator(_resources), WithJsonSchema({"type": "string", "format": "cpu=2,gpu=0.5"})
]


@options
class BudgetOptions:
    """How long is searched, and what is kept."""

    max_trials: Annotated[PerLevel | None, flag(unit="trials")] = None
    """Stop after this many finished trials; of each level, or one number a level (7,6); when not given, when
    BOSHNAS converges."""
    max_hours: Annotated[Positive | None, flag(unit="hours")] = None
    """Propose nothing more when the trials (of a level) have trained this long together."""
    keep_models: Count | None = None
    """Keep the weights of this many best models of the run (of each level), of parents in use and of other runs
    only; all when not given."""
    scheduler: Literal["none", "asha"] = "none"
    """Scheduler of trials; asha: stop those early whose score after some epochs is not among the best quarter
    (successive halving; Li et al. 2020)."""
    confirm: Natural = 0
    """Train this many best trials again, with another seed, before one of them is named the best by its mean score."""
    max_concurrent: Annotated[Count | None, flag(unit="trials")] = None
    """Trials side by side; as many as fit when not given."""


@options
class ClusterOptions:
    """Where trials run."""

    resources_per_trial: Resources = field(default_factory=lambda: {"cpu": 1.0})
    """What a trial takes, for example cpu=2,gpu=0.5."""
    address: str | None = None
    """Running Ray cluster (host:port, ray://host:port or auto); a local Ray is started when not given."""
    storage: Annotated[str, AfterValidator(_storage)] | None = None
    """Where data and weights travel when nodes of the cluster share no folder: a URI that fsspec can open, for
    example s3://bucket/folder. A password in it is not kept: --resume needs it again."""
