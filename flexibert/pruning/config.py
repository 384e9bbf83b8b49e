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

from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from typing import Any

METHODS = ("topK", "threshold", "sigmoied_threshold", "magnitude", "l0")
DENSE_SUBMETHODS = ("default", "1d", "1d_alt")
ATTENTION_SUBMETHODS = ("default", "1d", "joint")
MASK_INITS = ("constant", "uniform", "kaiming")
REGULARIZATIONS = ("disabled", "l0", "l1")
FINETUNES = ("fixed", "filled")
# Options of nn_pruning that are left out: (beginning of the name, why).
LEFT_OUT = {
    "ampere": "2:4 sparsity needs hardware and removes no structure",
    "initial_ampere": "2:4 sparsity needs hardware and removes no structure",
    "final_ampere": "2:4 sparsity needs hardware and removes no structure",
    "qat": "quantization is a step after pruning, not a part of it",
    "qconfig": "quantization is a step after pruning, not a part of it",
    "rewind": "weights are not rewound",
    "layer_norm_patch": "LayerNorms stay as they are",
    "gelu_patch": "activations stay as they are",
    "decoder": "the models are encoders",
}


@dataclass(frozen=True, kw_only=True)
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

    mask_scores_learning_rate: float = 1e-2
    dense_pruning_method: str = "topK"
    attention_pruning_method: str = "topK"
    attention_output_with_dense: bool = True
    bias_mask: bool = True
    mask_init: str = "constant"
    mask_scale: float = 0.0
    dense_block_rows: int = 1
    dense_block_cols: int = 1
    attention_block_rows: int = 1
    attention_block_cols: int = 1
    initial_threshold: float = 1.0
    final_threshold: float = 0.5
    initial_warmup: float = 1
    final_warmup: float = 2
    regularization: str = "disabled"
    regularization_final_lambda: float = 0.0
    attention_lambda: float = 1.0
    dense_lambda: float = 1.0
    distil_teacher_name_or_path: str | None = None
    distil_alpha_ce: float = 0.5
    distil_alpha_teacher: float = 0.5
    distil_temperature: float = 2.0
    final_finetune: bool | str = False
    linear_min_parameters: float = 0.005
    eval_with_current_patch_params: bool = False

    def __new__(cls, **options: Any) -> "PruningConfig":
        problems = _unknown_options(options)
        if problems:
            raise ValueError(_listed(problems))
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name in ("dense_pruning_method", "attention_pruning_method"):
            value = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, value.replace("sigmoid_threshold", "sigmoied_threshold"))
        problems = self._method_problems() + self._number_problems() + self._partner_problems()
        if problems:
            raise ValueError(_listed(problems))

    @property
    def dense(self) -> tuple[str, str]:
        """Method and submethod of the feed-forward linears."""
        return split_method(self.dense_pruning_method)

    @property
    def attention(self) -> tuple[str, str]:
        """Method and submethod of query, key and value."""
        return split_method(self.attention_pruning_method)

    def _method_problems(self) -> list[str]:
        problems = []
        known = {"dense_pruning_method": DENSE_SUBMETHODS, "attention_pruning_method": ATTENTION_SUBMETHODS}
        for name, submethods in known.items():
            method, submethod = split_method(getattr(self, name))
            if method not in METHODS:
                problems.append(f"'{name}' must be one of {', '.join(METHODS)}. Got {method!r}")
            if submethod not in submethods:
                problems.append(f"'{name}' must have a submethod of {', '.join(submethods)}. Got {submethod!r}")
        choices = {"mask_init": MASK_INITS, "regularization": REGULARIZATIONS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                problems.append(f"'{name}' must be one of {', '.join(allowed)}. Got {getattr(self, name)!r}")
        if not isinstance(self.final_finetune, bool) and self.final_finetune not in FINETUNES:
            problems.append(f"'final_finetune' must be False, True, fixed or filled. Got {self.final_finetune!r}")
        return problems

    def _number_problems(self) -> list[str]:
        problems = []
        for name in ("dense_block_rows", "dense_block_cols", "attention_block_rows", "attention_block_cols"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                problems.append(f"'{name}' must be a whole number above 0. Got {value!r}")
        at_least_zero = ("initial_warmup", "final_warmup", "regularization_final_lambda", "attention_lambda")
        for name in (*at_least_zero, "dense_lambda", "distil_alpha_ce", "distil_alpha_teacher"):
            if not _is_number(getattr(self, name)) or getattr(self, name) < 0:
                problems.append(f"'{name}' must be a number of 0 or more. Got {getattr(self, name)!r}")
        for name in ("mask_scores_learning_rate", "distil_temperature"):
            if not _is_number(getattr(self, name)) or getattr(self, name) <= 0:
                problems.append(f"'{name}' must be a number above 0. Got {getattr(self, name)!r}")
        if not _is_number(self.mask_scale):
            problems.append(f"'mask_scale' must be a number. Got {self.mask_scale!r}")
        if not _is_number(self.linear_min_parameters) or not 0 <= self.linear_min_parameters <= 1:
            problems.append(f"'linear_min_parameters' must be in [0, 1]. Got {self.linear_min_parameters!r}")
        for name in ("initial_threshold", "final_threshold"):
            problems += self._threshold_problems(name)
        return problems

    def _threshold_problems(self, name: str) -> list[str]:
        value, methods = getattr(self, name), {self.dense[0], self.attention[0]}
        if not _is_number(value):
            return [f"'{name}' must be a number. Got {value!r}"]
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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _unknown_options(options: dict[str, Any]) -> list[str]:
    known = [field.name for field in fields(PruningConfig) if field.default is not MISSING]
    problems = []
    for name in options:
        if name in known:
            continue
        reason = next((why for start, why in LEFT_OUT.items() if name.startswith(start)), None)
        nearest = get_close_matches(name, known, n=1)
        if reason is not None:
            problems.append(f"'{name}' of nn_pruning is left out here: {reason}")
        else:
            hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
            problems.append(f"'{name}' is not an option of PruningConfig{hint}")
    return problems


def _listed(problems: list[str]) -> str:
    plural = "s" * (len(problems) > 1)
    return f"{len(problems)} problem{plural} in the pruning configuration:\n  - " + "\n  - ".join(problems)
