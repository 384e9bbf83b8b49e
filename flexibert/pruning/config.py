"""Options of movement pruning, under the names of nn_pruning (Lagunas et al. 2021), with its defaults.

A pruning method is written ``method`` or ``method:submethod``. Methods say which blocks stay:

    topK                  the share ``threshold`` of blocks with the highest scores
    threshold             blocks whose score is above ``threshold``
    sigmoied_threshold    blocks whose score's sigmoid is (the published spelling; ``sigmoid_threshold`` is read too)
    magnitude             the share ``threshold`` of blocks with the largest mean |weight|; nothing is learned
    l0                    hard concrete gates (Louizos et al. 2018); the threshold plays no part

Submethods say what a block is: ``default`` a rectangle; ``1d`` rows and columns, each with scores of their own, their
two masks multiplied; ``1d_alt`` (dense only) a neuron: a row before and a column after it; ``joint`` (attention only) a
rectangle shared by query, key and value.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

METHODS = ("topK", "threshold", "sigmoied_threshold", "magnitude", "l0")
# Options of nn_pruning that are left out: beginnings of names, and why.
LEFT_OUT = {
    ("ampere", "initial_ampere", "final_ampere"): "2:4 sparsity needs hardware and removes no structure",
    ("qat", "qconfig"): "quantization is a step after pruning, not a part of it",
    ("rewind",): "weights are not rewound",
    ("layer_norm_patch",): "LayerNorms stay as they are",
    ("gelu_patch",): "activations stay as they are",
    ("decoder",): "the models are encoders",
}


def _method_of(*submethods: str) -> Callable[[str], str]:
    """A check of a method, whose submethod must be one of these."""

    def check(text: str) -> str:
        method, submethod = split_method(text)
        problems = [] if method in METHODS else [f"must be one of {', '.join(METHODS)}. Got {method!r}"]
        if submethod not in submethods:
            problems.append(f"must have a submethod of {', '.join(submethods)}. Got {submethod!r}")
        if problems:
            raise ValueError("; and ".join(problems))
        return text

    return check


def _published_spelling(text: Any) -> Any:
    return text.replace("sigmoid_threshold", "sigmoied_threshold") if isinstance(text, str) else text


def _explained(config: Any) -> Any:
    """A class whose problems are told in the words of ``_problem``."""
    build = config.__init__

    @wraps(build)
    def init(self: Any, **options: Any) -> None:
        try:
            build(self, **options)
        except ValidationError as error:
            problems = list(dict.fromkeys(line for found in error.errors() for line in _problem(found).splitlines()))
            listed = "\n  - ".join(problems)
            plural = "s" * (len(problems) > 1)
            raise ValueError(f"{len(problems)} problem{plural} in the pruning configuration:\n  - {listed}") from None

    config.__init__ = init
    return config


# A type with the rule that its values keep, for messages.
Method = Annotated[str, BeforeValidator(_published_spelling), "a method, such as topK or topK:1d"]
BlockSize = Annotated[int, Field(ge=1), "a whole number above 0"]
Number = Annotated[float, "a number"]
Positive = Annotated[float, Field(gt=0), "a number above 0"]
AtLeastZero = Annotated[float, Field(ge=0), "a number of 0 or more"]
Share = Annotated[float, Field(ge=0, le=1), "in [0, 1]"]
MaskInit = Annotated[Literal["constant", "uniform", "kaiming"], "one of constant, uniform, kaiming"]
Regularization = Annotated[Literal["disabled", "l0", "l1"], "one of disabled, l0, l1"]
Finetune = Annotated[bool | Literal["fixed", "filled"], "False, True, fixed or filled"]
Flag = Annotated[bool, "True or False"]
Folder = Annotated[str | Path | None, "a folder"]


@_explained
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class PruningConfig:
    """What is masked, how, when, and with which losses.

    Args:
        mask_scores_learning_rate: of the scores alone; weights have the trainer's.
        dense_pruning_method: of the feed-forward linears; see the module.
        attention_pruning_method: of query, key and value.
        attention_output_with_dense: the attention's output linear follows the dense settings; otherwise the
            attention's, transposed, and under ``joint`` it shares their scores.
        bias_mask: the bias of a row that is masked in full is masked too.
        mask_init: initial scores: ``constant`` (``mask_scale`` everywhere), ``uniform`` (between minus and plus
            ``mask_scale``) or ``kaiming`` (uniform, bound 1 / sqrt(columns) as for a Linear, times ``mask_scale``).
        mask_scale: see ``mask_init``.
        dense_block_rows, dense_block_cols, attention_block_rows, attention_block_cols: size of a block, in rows and
            columns of a (out, in) weight. Each must divide every matrix it is used on. 1-D scores use the one that
            lies along them.
        initial_threshold, final_threshold: the threshold at the start and the end of the schedule: a share in [0, 1]
            (``topK``, ``magnitude``), in [0, 1) (``sigmoied_threshold``) or any number (``threshold``).
        initial_warmup, final_warmup: how long the threshold keeps its first and its last value, as a multiple of the
            trainer's warm-up steps.
        regularization: ``disabled``, ``l1`` or ``l0``: of the scores.
        regularization_final_lambda: its weight, where the threshold has its final value.
        attention_lambda, dense_lambda: factors of that weight.
        distil_teacher_name_or_path: folder of a trained model with the same labels.
        distil_alpha_ce, distil_alpha_teacher: weights of the task's loss and of the teacher's, used with a teacher.
        distil_temperature: of the teacher's loss.
        final_finetune: how training goes on after pruning: ``fixed`` (or True), the masks stay; ``filled``, what they
            removed inside of surviving heads and neurons may grow again. False: no such phase.
        linear_min_parameters: share of a matrix's blocks that stays at least, under the two threshold methods.
        eval_with_current_patch_params: evaluate with the threshold of the moment, not the final one.

    Raises:
        ValueError: listing everything that is wrong.
    """

    mask_scores_learning_rate: Positive = 1e-2
    dense_pruning_method: Annotated[Method, AfterValidator(_method_of("default", "1d", "1d_alt"))] = "topK"
    attention_pruning_method: Annotated[Method, AfterValidator(_method_of("default", "1d", "joint"))] = "topK"
    attention_output_with_dense: Flag = True
    bias_mask: Flag = True
    dense_block_rows: BlockSize = 1
    dense_block_cols: BlockSize = 1
    attention_block_rows: BlockSize = 1
    attention_block_cols: BlockSize = 1
    mask_init: MaskInit = "constant"
    mask_scale: Number = 0.0
    initial_threshold: Number = 1.0
    final_threshold: Number = 0.5
    initial_warmup: AtLeastZero = 1
    final_warmup: AtLeastZero = 2
    regularization: Regularization = "disabled"
    regularization_final_lambda: AtLeastZero = 0.0
    attention_lambda: AtLeastZero = 1.0
    dense_lambda: AtLeastZero = 1.0
    distil_teacher_name_or_path: Folder = None
    distil_alpha_ce: AtLeastZero = 0.5
    distil_alpha_teacher: AtLeastZero = 0.5
    distil_temperature: Positive = 2.0
    final_finetune: Finetune = False
    linear_min_parameters: Share = 0.005
    eval_with_current_patch_params: Flag = False

    @property
    def dense(self) -> tuple[str, str]:
        """Method and submethod of the feed-forward linears."""
        return split_method(self.dense_pruning_method)

    @property
    def attention(self) -> tuple[str, str]:
        """Method and submethod of query, key and value."""
        return split_method(self.attention_pruning_method)

    @model_validator(mode="after")
    def _fits_together(self) -> "PruningConfig":
        thresholds = [
            problem for name in ("initial_threshold", "final_threshold") for problem in self._threshold_problems(name)
        ]
        problems = thresholds + self._partner_problems()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _threshold_problems(self, name: str) -> list[str]:
        value, methods = getattr(self, name), {self.dense[0], self.attention[0]}
        if methods & {"topK", "magnitude"} and not 0 <= value <= 1:
            return [f"'{name}' must be in [0, 1]: the share of blocks that topK and magnitude keep. Got {value}"]
        if "sigmoied_threshold" in methods and not 0 <= value < 1:
            return [f"'{name}' must be in [0, 1): sigmoied_threshold compares sigmoids with it. Got {value}"]
        return []

    def _partner_problems(self) -> list[str]:
        problems = []
        methods = {self.dense[0], self.attention[0]}
        if self.regularization != "disabled" and not self.regularization_final_lambda:
            problems.append(
                f"'regularization' {self.regularization} must have a 'regularization_final_lambda' above 0. Got 0"
            )
        if self.regularization == "disabled" and self.regularization_final_lambda:
            problems.append("'regularization_final_lambda' must have a 'regularization', l0 or l1. Got 'disabled'")
        if self.regularization != "disabled" and methods == {"magnitude"}:
            problems.append("'regularization' must be disabled: magnitude has no scores")
        if self.regularization != "disabled" and self.final_threshold == 0 and methods != {"l0"}:
            problems.append("'final_threshold' must not be 0 with a regularization, whose weight is a multiple of 1/it")
        if self.mask_init != "constant" and not self.mask_scale:
            problems.append(f"'mask_init' {self.mask_init} must have a 'mask_scale' that is not 0. Got 0")
        if "l0" in methods and self.regularization != "l0":
            problems.append("method l0 must have 'regularization' l0: without it no gate ever closes")
        return problems


def split_method(text: str) -> tuple[str, str]:
    """Method and submethod of ``method`` (submethod ``default``) or ``method:submethod``."""
    method, _, submethod = str(text).partition(":")
    return method, submethod or "default"


def _problem(found: Any) -> str:
    """What is wrong with an option: name, rule and value; or what a rule over several options says."""
    said = str(found.get("ctx", {}).get("error", ""))
    if not found["loc"]:
        return said
    name, types = str(found["loc"][0]), get_type_hints(PruningConfig, include_extras=True)
    if name in types:
        rule = next(extra for extra in types[name].__metadata__ if isinstance(extra, str))
        return f"'{name}' " + (said or f"must be {rule}. Got {found['input']!r}")
    reason = next((why for starts, why in LEFT_OUT.items() if name.startswith(starts)), None)
    if reason is not None:
        return f"'{name}' of nn_pruning is left out here: {reason}"
    nearest = get_close_matches(name, types, n=1)
    return f"'{name}' is not an option of PruningConfig" + (f"; did you mean '{nearest[0]}'?" if nearest else "")
