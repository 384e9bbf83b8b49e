"""What the API answers, as types; FastAPI makes the OpenAPI document from them. Times are seconds since the epoch."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .answering import LONGEST_TEXT, MOST_TEXTS

State = Literal["queued", "running", "stopping", "finished", "stopped", "failed", "interrupted", "damaged"]
Stage = Literal["library", "data", "search"]
Cost = Literal["parameters", "latency_ms"]


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


class TrialCounts(BaseModel):
    """Trials by state; ``open`` ones were proposed and are not in training now."""

    finished: int = 0
    failed: int = 0
    running: int = 0
    open: int = 0


class BestTrial(BaseModel):
    """The finished trial with the highest score of those that keep the constraints, if any does; of a finished search
    the one that it chose. ``error``: the standard error of the score; 0 of older ones."""

    trial: str
    name: str = Field(description="of its architecture, for people to say")
    score: float
    error: float
    origin: str
    architecture: str = Field(description="layer by layer")
    summary: str = Field(description="the architecture in a phrase")
    objectives: dict[str, float]
    model_dict: dict[str, Any]


class RunningTrial(BaseModel):
    """A trial in training and what it last reported: its phase and the share of it that is done."""

    trial: str
    name: str = Field(description="of its architecture, for people to say")
    architecture: str = Field(description="layer by layer")
    summary: str = Field(description="the architecture in a phrase")
    elapsed_s: float
    phase: str | None = None
    progress: float | None = None
    loss: float | None = None
    validation_score: float | None = None
    curve: list[tuple[float, float]] = Field(default=[], description="epochs and scores on validation")


class Scored(BaseModel):
    """A finished trial: its score, the standard error of that (0 of older ones), and what the model costs, as far as
    that was measured."""

    trial: str
    score: float
    error: float
    parameters: float | None = None
    latency_ms: float | None = None


class FailedTrial(BaseModel):
    """A trial that failed, and the first line of why."""

    trial: str
    error: str


class Tested(BaseModel):
    """What the chosen model of a finished search reaches on rows that the search did not see (validation where there
    are no such rows), with the standard error of the score."""

    trial: str
    split: str
    score: float
    error: float
    most_frequent_class: float | None = None


class SearchStatus(BaseModel):
    """One search. ``interrupted``: its process was ended from outside; it is taken up when the service starts.
    ``damaged``: a file of it is; ``error`` says which."""

    id: str
    name: str
    task: str
    state: State
    stage: Stage | None = Field(
        default=None, description="what a running search is at: its graph library, its data, or trials"
    )
    queue_position: int | None = Field(default=None, description="1 for the next one to start")
    created: float
    started: float | None = Field(default=None, description="of the last attempt")
    ended: float | None = None
    elapsed_s: float | None = Field(default=None, description="of the last attempt")
    training_s: float = Field(default=0.0, description="spent on finished trials, all attempts together")
    max_trials: int | None = Field(default=None, description="none: until BOSHNAS converges")
    options: dict[str, Any] = {}
    trials: TrialCounts = TrialCounts()
    best: BestTrial | None = None
    running_trials: list[RunningTrial] = []
    scores: list[Scored] = Field(default=[], description="of finished trials, in that order; the last 200")
    fronts: dict[Cost, list[Scored]] = Field(
        default={},
        description="by what is to be low: the trials that no other beats in score and in that, the lowest first",
    )
    metric: str | None = Field(default=None, description="what scores are; none before the data are prepared")
    most_frequent_class: float | None = Field(
        default=None, description="the accuracy, on validation, of always answering the most frequent class"
    )
    failures: list[FailedTrial] = Field(default=[], description="the last 3")
    tested: Tested | None = Field(default=None, description="of a finished search")
    start_from: str | None = Field(default=None, description="the encoder; none: from scratch")
    has_model: bool = False
    error: str | None = Field(default=None, description="why it failed, cannot start, or cannot be read")


class Resume(BaseModel):
    """Options that override those of the search, for example a larger ``max_trials``."""

    model_config = ConfigDict(extra="forbid")
    options: dict[str, Any] = {}


class Question(BaseModel):
    """Texts for a model. Two texts of a pair, or a question and its context, are one with a tab between them."""

    model_config = ConfigDict(extra="forbid")
    texts: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]], Field(min_length=1, max_length=MOST_TEXTS)
    ]


class Prediction(BaseModel):
    """What a model says: of each text ``label`` and ``score`` (0 to 1), or what its kind of task asks for."""

    model: str = Field(description="the folder of the model in the search's run")
    runtime: str = Field(description="what ran it: torch, or onnx where an export stands beside it")
    answers: list[dict[str, Any]]


class Option(BaseModel):
    """An option a client may set."""

    help: str
    default: Any = None
    choices: list[str] | None = None
    several: bool = False


class Options(BaseModel):
    """What a submission may say."""

    tasks: list[str]
    encoders: list[str] = Field(description="pre-trained ones that 'start_from' may name")
    options: dict[str, Option]
    library_options: dict[str, Option]
