"""How far a student's outputs are from its teacher's (Hinton et al. 2015, section 2), for every kind of output.

Classes are compared by the divergence ``T^2 KL(p || q)`` of the teacher's probabilities p and the student's q, both of
logits over the temperature T, whose square keeps gradients as large as those of the task's loss. Several labels are as
many distributions over yes and no, tags classes of every token that counts, the first and the last token of an answer
classes that are the positions. Numbers are compared by the squared difference, without a temperature.
Letters: B batch, S sequence, L labels.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

Kind = Literal[
    "single_label_classification",
    "multi_label_classification",
    "regression",
    "token_classification",
    "question_answering",
]
_NO_LABEL = -100
_SPANS = ("start_logits", "end_logits")


def distillation_loss(
    student_logits: Tensor, teacher_logits: Tensor, *, kind: Kind, temperature: float, mask: Tensor | None = None
) -> Tensor:
    """The mean, over all that counts, of the difference between a student and its teacher: a scalar; 0 where nothing
    counts.

    Args:
        student_logits, teacher_logits: ``(B, L)``; of tags ``(B, S, L)``; of first or last tokens of answers
            ``(B, S)``; of other sets of classes ``(..., L)``.
        kind: of the task, by Hugging Face's names.
        temperature: above 0; numbers have none.
        mask: which rows ``(B,)`` or tokens ``(B, S)`` count; of answers, which positions ``(B, S)`` there are.
    """
    precise = torch.promote_types(student_logits.dtype, torch.float32)
    student = student_logits.to(precise)
    teacher = teacher_logits.to(student)
    if kind == "regression":
        return _mean((student - teacher).square().mean(-1), mask)
    if kind == "multi_label_classification":
        target = torch.sigmoid(teacher / temperature)
        cross, own = (
            functional.binary_cross_entropy_with_logits(logits / temperature, target, reduction="none")
            for logits in (student, teacher)
        )
        return temperature**2 * _mean((cross - own).mean(-1), mask)
    if kind == "question_answering" and mask is not None:
        nowhere = torch.finfo(precise).min  # of a finite number, which a probability of 0 makes 0
        student, teacher = (logits.masked_fill(~mask.bool(), nowhere) for logits in (student, teacher))
        mask = None
    log_q, log_p = (functional.log_softmax(logits / temperature, dim=-1) for logits in (student, teacher))
    return temperature**2 * _mean((log_p.exp() * (log_p - log_q)).sum(-1), mask)


def loss_of_outputs(
    outputs: Mapping[str, Any],
    of_teacher: Mapping[str, Any],
    inputs: Mapping[str, Any],
    *,
    temperature: float,
    problem_type: str | None = None,
) -> Tensor:
    """``distillation_loss`` of everything that ends in ``logits`` and that both models return: their mean.

    Args:
        outputs, of_teacher: what the models returned.
        inputs: what the student was called with: tokens whose label is -100, or without labels the padded ones, do not
            count.
        problem_type: Hugging Face's, of labels of whole texts; by default classes, or a number where there is one.

    Raises:
        ValueError: when they return no logits of one name.
    """
    names = [name for name in outputs if name.endswith("logits") and name in of_teacher]
    if not names:
        raise ValueError(
            f"The teacher must return logits that the student returns. Got {', '.join(of_teacher)} of the teacher and "
            f"{', '.join(outputs)} of the student; use models with the same head"
        )
    terms = []
    for name in names:
        kind, mask = _kind_and_mask(name, outputs[name], inputs, problem_type)
        terms.append(distillation_loss(outputs[name], of_teacher[name], kind=kind, temperature=temperature, mask=mask))
    return torch.stack(terms).mean()


def _kind_and_mask(
    name: str, logits: Tensor, inputs: Mapping[str, Any], problem_type: str | None
) -> tuple[Kind, Tensor | None]:
    labels, attention = inputs.get("labels"), inputs.get("attention_mask")
    if name in _SPANS:
        return "question_answering", attention
    if logits.dim() == 2:
        if problem_type == "multi_label_classification":
            return "multi_label_classification", None
        return ("regression" if logits.shape[-1] == 1 else "single_label_classification"), None
    if labels is not None:
        return "token_classification", labels != _NO_LABEL
    return "token_classification", attention


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return values.mean()
    return (values * mask).sum() / mask.sum().clamp(min=1)
