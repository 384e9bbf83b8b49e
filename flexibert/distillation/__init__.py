"""Learning from a teacher: how far a model's outputs are from those of another, for every kind of output."""

from .losses import distillation_loss, loss_of_outputs
from .teacher import check_labels, load_teacher

__all__ = ["check_labels", "distillation_loss", "load_teacher", "loss_of_outputs"]
