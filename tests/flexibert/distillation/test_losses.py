"""The loss of each kind of output against PyTorch's own divergences, and which positions count."""

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, kl_divergence
from torch.nn import functional
from transformers.modeling_outputs import QuestionAnsweringModelOutput, SequenceClassifierOutput

from flexibert.distillation import distillation_loss, loss_of_outputs

T = 2.0


def _logits(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    student, teacher = (3 * torch.randn(*shape, generator=generator) for _ in range(2))
    return student.requires_grad_(), teacher


def test_classes_are_compared_as_kl_div_compares_them():
    student, teacher = _logits(5, 3)
    found = distillation_loss(student, teacher, kind="single_label_classification", temperature=T)
    expected = functional.kl_div(
        torch.log_softmax(student / T, -1), torch.log_softmax(teacher / T, -1), log_target=True, reduction="batchmean"
    )
    torch.testing.assert_close(found, T**2 * expected)
    torch.testing.assert_close(
        found, T**2 * kl_divergence(Categorical(logits=teacher / T), Categorical(logits=student / T)).mean()
    )


def test_several_labels_are_compared_as_bernoulli_distributions():
    student, teacher = _logits(5, 4)
    found = distillation_loss(student, teacher, kind="multi_label_classification", temperature=T)
    expected = kl_divergence(Bernoulli(logits=teacher / T), Bernoulli(logits=student / T)).mean()
    torch.testing.assert_close(found, T**2 * expected)
    (gradient,) = torch.autograd.grad(found, student)
    cross = functional.binary_cross_entropy_with_logits(student / T, torch.sigmoid(teacher / T))  # soft targets
    torch.testing.assert_close(gradient, torch.autograd.grad(T**2 * cross, student)[0])


def test_numbers_are_compared_by_the_squared_difference_at_any_temperature():
    student, teacher = _logits(6, 1)
    for temperature in (1.0, 4.0):
        found = distillation_loss(student, teacher, kind="regression", temperature=temperature)
        torch.testing.assert_close(found, functional.mse_loss(student, teacher))


def test_only_tags_that_count_are_compared():
    student, teacher = _logits(2, 4, 3)
    mask = torch.tensor([[False, True, True, False], [False, True, False, False]])
    found = distillation_loss(student, teacher, kind="token_classification", temperature=T, mask=mask)
    kept = distillation_loss(student[mask], teacher[mask], kind="single_label_classification", temperature=T)
    torch.testing.assert_close(found, kept)
    none = torch.zeros_like(mask)
    assert distillation_loss(student, teacher, kind="token_classification", temperature=T, mask=none) == 0


def test_padded_positions_are_no_answers():
    student, teacher = _logits(2, 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    found = distillation_loss(student, teacher, kind="question_answering", temperature=T, mask=mask)
    rows = [
        kl_divergence(Categorical(logits=teacher[i, :n] / T), Categorical(logits=student[i, :n] / T))
        for i, n in enumerate((5, 3))
    ]
    torch.testing.assert_close(found, T**2 * torch.stack(rows).mean())
    (gradient,) = torch.autograd.grad(found, student)
    assert (gradient[1, 3:] == 0).all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("single_label_classification", (4, 3)),
        ("multi_label_classification", (4, 3)),
        ("regression", (4, 1)),
        ("token_classification", (4, 6, 3)),
        ("question_answering", (4, 6)),
    ],
)
def test_a_student_that_says_the_same_has_no_loss_and_no_gradient(kind, shape):
    student, _ = _logits(*shape)
    loss = distillation_loss(student, student.detach(), kind=kind, temperature=T)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, student)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-6)


def test_half_precision_is_compared_in_full_precision():
    student, teacher = _logits(5, 3)
    found = distillation_loss(student.bfloat16(), teacher, kind="single_label_classification", temperature=T)
    assert found.dtype == torch.float32
    expected = distillation_loss(student.bfloat16().float(), teacher, kind="single_label_classification", temperature=T)
    assert found == expected


def test_outputs_are_compared_by_what_they_are():
    student, teacher = _logits(4, 3)
    mine, theirs = SequenceClassifierOutput(logits=student), SequenceClassifierOutput(logits=teacher)
    for problem_type in ("single_label_classification", "multi_label_classification"):
        found = loss_of_outputs(mine, theirs, {}, temperature=T, problem_type=problem_type)
        assert found == distillation_loss(student, teacher, kind=problem_type, temperature=T)
    one, other = _logits(4, 1)
    found = loss_of_outputs({"logits": one}, {"logits": other}, {}, temperature=T)
    torch.testing.assert_close(found, functional.mse_loss(one, other))


def test_outputs_for_tokens_count_where_labels_are_or_else_where_text_is():
    student, teacher = _logits(2, 4, 3)
    labels, attention = torch.tensor([[-100, 1, 2, -100], [-100, 0, -100, -100]]), torch.tensor([[1] * 4, [1, 1, 1, 0]])
    inputs = {"labels": labels, "attention_mask": attention}
    outputs = {"logits": student}, {"logits": teacher}
    for given, mask in ((inputs, labels != -100), ({"attention_mask": attention}, attention)):
        found = loss_of_outputs(*outputs, given, temperature=T)
        expected = distillation_loss(student, teacher, kind="token_classification", temperature=T, mask=mask)
        assert found == expected


def test_the_ends_of_answers_are_two_losses_of_which_the_mean_is_taken():
    (start, start_of_teacher), (end, end_of_teacher) = _logits(3, 5), _logits(3, 6)
    end, end_of_teacher = end[:, :5], end_of_teacher[:, :5]
    mask = torch.tensor([[1] * 5, [1] * 4 + [0], [1] * 2 + [0] * 3])
    found = loss_of_outputs(
        QuestionAnsweringModelOutput(start_logits=start, end_logits=end),
        QuestionAnsweringModelOutput(start_logits=start_of_teacher, end_logits=end_of_teacher),
        {"attention_mask": mask, "start_positions": torch.tensor([0, 1, 0])},
        temperature=T,
    )
    parts = [
        distillation_loss(a, b, kind="question_answering", temperature=T, mask=mask)
        for a, b in ((start, start_of_teacher), (end, end_of_teacher))
    ]
    torch.testing.assert_close(found, torch.stack(parts).mean())


def test_models_with_different_heads_are_named():
    with pytest.raises(ValueError, match="Got start_logits of the teacher and logits of the student"):
        loss_of_outputs({"logits": torch.zeros(1, 2)}, {"start_logits": torch.zeros(1, 2)}, {}, temperature=T)
