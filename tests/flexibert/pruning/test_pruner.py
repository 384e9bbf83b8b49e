"""Which scores a model gets, what training does to them, and how mistakes are named."""

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from flexibert import MovementPruner, PruningConfig, from_bert
from flexibert.pruning import Family
from tests.flexibert.pruning.small_models import add_noise, bert, deit, flexibert, inputs_of, logits

HYBRID = {
    "attention_block_rows": 16,
    "attention_block_cols": 64,
    "attention_output_with_dense": False,
    "dense_pruning_method": "topK:1d_alt",
}


def shapes(pruner, layer=0):
    """Shapes of the scores of each linear of a layer."""
    found = {}
    for name, linear in pruner.layers[layer].named():
        mask = linear.parametrizations.weight[0]
        found[name] = [(factor.scores.shape, factor.axis) for factor in mask.factors]
    return found


def test_blocks_of_the_attention_are_swapped_for_its_output():
    found = shapes(MovementPruner(bert(), PruningConfig(**HYBRID)))
    assert found["query"] == found["key"] == found["value"] == [((4, 1), "both")]
    assert found["output"] == [((1, 4), "both")]
    assert found["intermediate0"] == [((128,), "rows")]
    assert found["dense"] == [((128,), "columns")]


def test_1d_alt_shares_scores_between_a_width_and_what_reads_it():
    pruner = MovementPruner(flexibert("mixed"), PruningConfig(**HYBRID))
    found = shapes(pruner, 1)
    assert found["intermediate0"] == [((96,), "rows")]
    assert found["intermediate1"] == [((96,), "columns"), ((128,), "rows")]
    assert found["dense"] == [((128,), "columns")]
    masks = [linear.parametrizations.weight[0] for linear in pruner.layers[1].stack]
    assert masks[0].parts[0] is masks[1].parts[0]
    assert masks[1].parts[1] is masks[2].parts[0]
    assert len(pruner.scores) == len({id(scores) for scores in pruner.scores})


def test_joint_shares_one_score_matrix_between_query_key_and_value():
    pruner = MovementPruner(bert(), PruningConfig(**HYBRID | {"attention_pruning_method": "topK:joint"}))
    add_noise(pruner)
    parts = [linear.parametrizations.weight[0].parts[0] for linear in pruner.layers[0].attention.values()]
    assert parts[0] is parts[1] is parts[2]
    masks = pruner.masks()
    assert torch.equal(masks["encoder.layer.0.query"], masks["encoder.layer.0.value"])
    assert torch.equal(masks["encoder.layer.0.query"].T, masks["encoder.layer.0.output"])


def test_1d_scores_rows_and_columns_apart():
    options = {"attention_pruning_method": "topK:1d", "attention_block_rows": 16, "dense_pruning_method": "topK:1d"}
    found = shapes(MovementPruner(deit(), PruningConfig(**options)))
    assert found["query"] == [((4,), "rows"), ((64,), "columns")]
    assert found["output"] == [((64,), "rows"), ((64,), "columns")]
    assert found["dense"] == [((64,), "rows"), ((128,), "columns")]


def test_topk_keeps_its_share_of_every_matrix():
    pruner = MovementPruner(bert(), PruningConfig(final_threshold=0.25))
    add_noise(pruner)
    densities = {name: mask.mean().item() for name, mask in pruner.masks().items()}
    assert set(densities.values()) == {0.25}
    assert len(densities) == 3 * 6


def test_scores_start_as_the_configuration_says():
    pruner = MovementPruner(bert(), PruningConfig(mask_init="constant", mask_scale=0.3))
    assert all(bool((scores.scores == 0.3).all()) for scores in pruner.scores)
    torch.manual_seed(0)
    pruner = MovementPruner(bert(), PruningConfig(mask_init="kaiming", mask_scale=2.0))
    largest = pruner.layers[0].attention["query"].parametrizations.weight[0].parts[0].scores.abs().max()
    assert 0.24 < largest.item() <= 2 / 64**0.5


def test_the_whole_loss_mixes_task_teacher_and_regularizer():
    options = {"regularization": "l1", "regularization_final_lambda": 10.0}
    teacher = bert(num_hidden_layers=1)
    config = PruningConfig(**HYBRID, **options, distil_alpha_ce=0.25, distil_alpha_teacher=0.75)
    model = bert()
    pruner = MovementPruner(model, config, teacher=teacher)
    inputs = {**inputs_of(model), "labels": torch.tensor([0, 1, 1])}
    pruner.threshold.current = 0.5
    outputs = model.eval()(**inputs)
    without = {name: x for name, x in inputs.items() if name != "labels"}
    p, q = (torch.softmax(x / 2, -1) for x in (logits(teacher, **without), outputs.logits.detach()))
    distilled = 4 * (p * (p / q).log()).sum(-1).mean()
    found = pruner.loss(outputs.loss, inputs, outputs)
    # all scores are 0: the mean sigmoid of each of the two kinds is 1/2
    assert found.item() == pytest.approx(
        (0.25 * outputs.loss + 0.75 * distilled + 10 * (0.5 + 0.5) / 2).item(), rel=1e-5
    )
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


class Log(nn.Module):
    """A dataset of a few rows, and what a trainer needs besides."""

    def __init__(self, model):
        super().__init__()
        rows = inputs_of(model, batch=16)
        self.rows = [{"input_ids": x, "labels": x[0] % 2} for x in rows["input_ids"]]


def trained(pruner, tmp_path, steps=12, save_strategy="no", trainer_class=Trainer, own=None, **options):
    pytest.importorskip("accelerate", reason="needs the extra 'search'")
    arguments = TrainingArguments(
        str(tmp_path), max_steps=steps, warmup_steps=2, per_device_train_batch_size=8, learning_rate=1e-3,
        save_strategy=save_strategy, report_to=[], use_cpu=True, disable_tqdm=True, logging_steps=1, **options,
    )  # fmt: skip
    trainer = trainer_class(
        pruner.model, arguments, train_dataset=Log(pruner.model).rows, callbacks=[pruner.callback()], **(own or {})
    )
    trainer.train()
    return trainer


def test_a_training_that_was_broken_off_leaves_no_second_part_of_the_loss(tmp_path):
    pytest.importorskip("accelerate", reason="needs the extra 'search'")

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            raise KeyboardInterrupt

    pruner = MovementPruner(bert(), PruningConfig(**HYBRID))
    arguments = TrainingArguments(
        str(tmp_path), max_steps=2, save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True
    )
    trainer = Trainer(pruner.model, arguments, train_dataset=Log(pruner.model).rows, callbacks=[pruner.callback()])
    trainer.add_callback(broken := Stop())
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    trainer.remove_callback(broken)
    seen = []
    trainer.add_callback(type("Seen", (TrainerCallback,), {"on_step_end": lambda *_, **__: seen.append(len(hooks))})())
    hooks = pruner.model._forward_hooks
    trainer.train()
    assert seen == [1, 1]
    assert not hooks


def test_a_trainer_learns_scores_and_follows_the_schedule(tmp_path):
    options = {"regularization": "l1", "regularization_final_lambda": 1.0}
    pruner = MovementPruner(bert(), PruningConfig(**HYBRID, **options), teacher=bert(num_hidden_layers=1))
    seen = []
    pruner.model.register_forward_hook(lambda *_: seen.append(pruner.threshold.current))
    trainer = trained(pruner, tmp_path)
    # 12 steps, 2 of warm-up: 1.0 up to step 2, then down over 6 steps, 0.5 from step 8
    expected = [1.0] * 3 + [0.5 + 0.5 * (1 - k / 6) ** 3 for k in range(1, 6)] + [0.5] * 4
    assert seen == pytest.approx(expected)
    weights, scores = trainer.optimizer.param_groups[:-1], trainer.optimizer.param_groups[-1]
    assert scores["initial_lr"] == 1e-2
    assert len(scores["params"]) == len(pruner.scores)
    assert sum(len(group["params"]) for group in weights) + len(scores["params"]) == len(
        list(pruner.model.parameters())
    )
    assert all(bool(x.scores.ne(0).any()) for x in pruner.scores)
    inputs = inputs_of(pruner.model)
    masked = logits(pruner.model, **inputs)
    torch.testing.assert_close(logits(pruner.compact(), **inputs), masked, rtol=0, atol=1e-5)
    # the logged loss of the first step has the regularizer in it: 1 * (1.0 / 0.5) * (0.5 + 0.5) / 2
    assert trainer.state.log_history[0]["loss"] > 1


def test_training_ends_without_a_trace_in_the_models_loss(tmp_path):
    pruner = MovementPruner(bert(), PruningConfig(**HYBRID), teacher=bert(num_hidden_layers=1))
    trained(pruner, tmp_path)
    assert not pruner.model._forward_hooks


@pytest.mark.parametrize("kind", ["fixed", "filled"])
def test_final_finetune_keeps_what_is_gone(kind, tmp_path):
    options = {"attention_block_rows": 8, "attention_block_cols": 32, "attention_output_with_dense": False}
    options["dense_pruning_method"] = "topK:1d_alt"
    pruner = MovementPruner(bert(), PruningConfig(**options, final_threshold=0.25, final_finetune=kind))
    add_noise(pruner)
    inputs = inputs_of(pruner.model)
    before, kept = logits(pruner.model, **inputs), pruner.structure()
    pruner.start_final_finetune()
    torch.testing.assert_close(logits(pruner.model, **inputs), before, rtol=0, atol=1e-6)
    trained(pruner, tmp_path)
    assert pruner.structure() == kept
    zeros = (pruner.layers[0].attention["value"].weight == 0).float().mean()
    assert zeros == (0.75 if kind == "fixed" else 1 - len(kept[0].heads) / 4)
    masked = logits(pruner.model, **inputs)
    assert (masked - before).abs().max() > 1e-3
    torch.testing.assert_close(logits(pruner.compact(), **inputs), masked, rtol=0, atol=1e-5)


def test_final_finetune_needs_a_kind():
    with pytest.raises(ValueError, match="'kind' must be fixed or filled where 'final_finetune' is False"):
        MovementPruner(bert(), PruningConfig()).start_final_finetune()


def test_parameter_groups_have_every_parameter_once():
    pruner = MovementPruner(bert(), PruningConfig(**HYBRID))
    weights, scores = pruner.parameter_groups(1e-4, weight_decay=0.1)
    assert (weights["lr"], weights["weight_decay"], scores["lr"], scores["weight_decay"]) == (1e-4, 0.1, 1e-2, 0.0)
    both = {id(x) for x in weights["params"]} | {id(x) for x in scores["params"]}
    assert both == {id(x) for x in pruner.model.parameters()}


def test_a_block_that_does_not_divide_a_matrix_is_named():
    with pytest.raises(
        ValueError, match=r"a block of 24 x 64 \(rows x columns\) does not divide 'encoder.layer.0.query'"
    ):
        MovementPruner(bert(), PruningConfig(attention_block_rows=24, attention_block_cols=64))


def test_a_refused_model_is_left_as_it_was():
    model = bert()
    with pytest.raises(ValueError, match="must have the model's labels"):
        MovementPruner(model, PruningConfig(), teacher=bert(num_labels=3))
    assert not any("parametrizations" in name for name, _ in model.named_parameters())


def test_a_teacher_with_other_labels_is_refused():
    names = {0: "good", 1: "bad"}
    with pytest.raises(ValueError, match="labels, in their order: LABEL_0, LABEL_1. Got good, bad"):
        MovementPruner(bert(), PruningConfig(), teacher=bert(id2label=names))


def test_a_teacher_is_read_from_its_folder(tmp_path):
    teacher = from_bert(bert(num_hidden_layers=1))
    teacher.save_pretrained(tmp_path)
    config = PruningConfig(distil_teacher_name_or_path=str(tmp_path))
    pruner = MovementPruner(bert(), config)
    inputs = inputs_of(teacher)
    assert torch.equal(logits(pruner.teacher, **inputs), logits(teacher, **inputs))
    with pytest.raises(ValueError, match="not both"):
        MovementPruner(bert(), config, teacher=teacher)


def test_a_masked_model_is_not_masked_again():
    model = bert()
    MovementPruner(model, PruningConfig())
    with pytest.raises(ValueError, match="must not be masked already"):
        MovementPruner(model, PruningConfig())


class Other(nn.Module):
    """A model of a family that nobody knows."""

    def __init__(self):
        super().__init__()
        layer = nn.ModuleDict({name: nn.Linear(8, 8) for name in ("q", "k", "v", "o", "up", "down")})
        self.blocks = nn.ModuleList([layer])


PATHS = {"query": "q", "key": "k", "value": "v", "output": "o", "stack": "up", "stack_output": "down"}


def test_an_unknown_family_is_told_the_known_and_the_way():
    message = "known: FlexiViT, FlexiBERT, BERT, DeiT. Got Other; describe where .* flexibert.pruning.Family"
    with pytest.raises(ValueError, match=message):
        MovementPruner(Other(), PruningConfig())


def test_a_described_family_is_masked_but_compacted_only_with_a_conversion():
    family = Family(name="Other", model_class=Other, layers="blocks", **PATHS)
    pruner = MovementPruner(Other(), PruningConfig(final_threshold=0.25), family=family)
    assert {mask.mean().item() for mask in pruner.masks().values()} == {0.25}
    with pytest.raises(ValueError, match="Family Other must have a 'converted'"):
        pruner.compact()


def test_a_path_that_leads_nowhere_is_named():
    family = Family(name="Other", model_class=Other, layers="blocks", **PATHS | {"output": "proj"})
    with pytest.raises(
        ValueError, match="Family Other: 'output' must be the path of a Linear below 'blocks.0'. Got 'proj'"
    ):
        MovementPruner(Other(), PruningConfig(), family=family)


def test_warmups_that_fill_the_training_stop_it(tmp_path):
    pruner = MovementPruner(bert(), PruningConfig())
    with pytest.raises(ValueError, match="must be below the 6 steps of training"):
        trained(pruner, tmp_path, steps=6)


def _weighted(outputs, labels, num_items_in_batch=None):
    return nn.functional.cross_entropy(outputs.logits, labels, weight=torch.tensor([1.0, 2.0]))


class OwnLoss(Trainer):
    """Gives the model its labels, and takes another loss than the model's."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        return _weighted(outputs, inputs["labels"])


@pytest.mark.parametrize(
    "options",
    [{"label_smoothing_factor": 0.1}, {"own": {"compute_loss_func": _weighted}}, {"trainer_class": OwnLoss}],
    ids=["label smoothing", "compute_loss_func", "compute_loss"],
)
def test_a_trainer_that_computes_the_loss_itself_is_refused(options, tmp_path):
    pruner = MovementPruner(bert(), PruningConfig(**HYBRID))
    with pytest.raises(ValueError, match="The Trainer must take the model's loss"):
        trained(pruner, tmp_path, **options)


def test_another_scheduler_is_refused_or_has_the_scores_from_the_start(tmp_path):
    pruner = MovementPruner(bert(), PruningConfig(**HYBRID))
    optimizer = torch.optim.AdamW(pruner.model.parameters())
    other = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)
    with pytest.raises(ValueError, match="'lr_scheduler_type' must be .* Got a CosineAnnealingLR"):
        trained(pruner, tmp_path, own={"optimizers": (optimizer, other)})
    pruner = MovementPruner(bert(), PruningConfig(**HYBRID))
    optimizer = torch.optim.AdamW(pruner.parameter_groups(1e-3))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, [1e-3, 1e-2], total_steps=14)
    trained(pruner, tmp_path, own={"optimizers": (optimizer, scheduler)})
    assert len(optimizer.param_groups) == 2
    assert all(bool(x.scores.ne(0).any()) for x in pruner.scores)


def test_checkpoints_of_a_masked_model_are_refused_at_the_start(tmp_path):
    pruner = MovementPruner(bert(), PruningConfig())
    with pytest.raises(ValueError, match="'save_strategy' must be 'no' while a model is masked"):
        trained(pruner, tmp_path, save_strategy="steps")
