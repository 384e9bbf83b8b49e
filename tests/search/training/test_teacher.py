"""What a teacher says of each row: the same as the teacher itself says, whatever the kind of task; how it is used; and
which teachers are none."""

import dataclasses
import json
import random
import shutil
from pathlib import Path

import datasets as hf_datasets
import numpy as np
import pytest
import torch
from rich.console import Console
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments

from dataset import PreparedData, build_tokenizer
from dataset.prepare import DataOptions
from design_space import ModelSpec
from flexibert.distillation import load_teacher
from search import Candidate, Origin
from search.training.collators import collator
from search.training.recipe import Recipe, TrainingJob
from search.training.samplers import OrderedTrainer
from search.training.task_heads import model_class, model_config
from search.training.teacher import taught, taught_loss, teacher_logits
from search.training.train import train_candidate

RECIPE = Recipe(pretrain_steps=0, max_length=32, epochs=2, batch_size=8, learning_rate=1e-2)
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
KINDS = ("classes", "labels", "number", "words", "questions")


def _spec(hidden: int = 16, operation: str = "sa") -> ModelSpec:
    parameter = {"sa": "sdp", "l": "dct"}[operation]
    return ModelSpec.from_dict({"l": 1, "o": [operation], "h": [hidden], "n": [2], "f": [[32]], "p": [parameter]})


def _rows(kind: str) -> list[dict]:
    rng, rows = random.Random(0), []
    for number in range(90):
        word, filler = rng.choice(("fine", "dull")), " ".join(["and", "so", "on"] * (number % 3))
        text = f"a {word} story number {number} {filler}".strip()
        answers = {"text": [word], "answer_start": [text.index(word)]}
        rows.append(
            {
                "classes": {"text": text, "label": ["bad", "good", "none"][number % 3]},
                "labels": {"text": text, "labels": ["short", word][: number % 3]},
                "number": {"text": text, "label": number / 10 + 0.05},
                "words": {"tokens": text.split(), "tags": ["B-X" if w == word else "O" for w in text.split()]},
                "questions": {"question": f"what story {number}", "context": text, "answers": answers},
            }[kind]
        )
    return rows


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("inputs"), {}
    (folder / "corpus.txt").write_text("\n".join(row["text"] for row in _rows("classes")))

    def of(kind: str) -> PreparedData:
        if kind not in found:
            (folder / f"{kind}.jsonl").write_text("\n".join(map(json.dumps, _rows(kind))))
            options = DataOptions(
                task=str(folder / f"{kind}.jsonl"), corpus=(folder / "corpus.txt",), vocab_size=300, max_length=32
            )
            found[kind] = options.prepare(folder / f"prepared-{kind}", Console(quiet=True))
        return found[kind]

    return of


def _job(data: PreparedData, folder: Path, spec: ModelSpec | None = None, **fields) -> TrainingJob:
    return TrainingJob(
        trial="t0001",
        candidate=Candidate(spec or _spec(), Origin()),
        data_dir=str(data.path),
        models_dir=str(folder / "models"),
        work_dir=str(folder / "work"),
        **{"recipe": RECIPE, "seed": 3} | fields,
    )


def _saved(data: PreparedData, folder: Path, spec: ModelSpec | None = None, seed: int = 0) -> Path:
    """A teacher with weights large enough that its outputs differ from row to row."""
    torch.manual_seed(seed)
    model = model_class(data)(model_config(_job(data, folder, spec), data))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    data.tokenizer.save_pretrained(folder)
    return folder


def _live(folder: Path, data: PreparedData) -> dict[str, list[torch.Tensor]]:
    """What a teacher says, row by row."""
    teacher = load_teacher(folder)
    collate, said = collator(data, getattr(teacher.config, "model_spec", None)), {}
    for row in data.split("train"):
        outputs = teacher(**{name: x for name, x in collate([row]).items() if name in INPUTS})
        for name in (name for name in outputs if name.endswith("logits")):
            said.setdefault(f"teacher_{name}", []).append(outputs[name][0])
    return said


@pytest.mark.parametrize("operation", ["sa", "l"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_is_what_the_teacher_says(kind, operation, prepared, tmp_path):
    data = prepared(kind)
    folder = _saved(data, tmp_path / "teacher", _spec(operation=operation))
    rows, live = taught(data, teacher_logits([folder], data, tmp_path / "kept")), _live(folder, data)
    assert len(rows) == len(data.split("train"))
    assert rows.select_columns(data.split("train").column_names)[:] == data.split("train")[:]
    assert set(live) == set(rows.column_names) - set(data.split("train").column_names)
    assert len(rows.cache_files) > 0  # memory-mapped
    for name, of_rows in live.items():
        for length, kept, said in zip(map(len, rows["input_ids"]), rows[name], of_rows, strict=True):
            expected = said if kind in ("classes", "labels", "number") else said[:length]
            torch.testing.assert_close(torch.tensor(kept), expected, rtol=0, atol=1e-5)


def test_several_teachers_are_averaged_and_nothing_is_computed_twice(prepared, tmp_path):
    data = prepared("classes")
    folders = [_saved(data, tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    kept = teacher_logits(folders, data, tmp_path / "kept")
    means = [(a + b) / 2 for a, b in zip(*(_live(folder, data)["teacher_logits"] for folder in folders), strict=True)]
    np.testing.assert_allclose(taught(data, kept)["teacher_logits"], torch.stack(means), rtol=0, atol=1e-5)
    (file,) = (kept / "train").glob("*.arrow")
    written = file.stat().st_mtime_ns
    assert teacher_logits(folders[::-1], data, tmp_path / "kept") == kept
    assert file.stat().st_mtime_ns == written
    assert teacher_logits(folders[:1], data, tmp_path / "kept") != kept
    _saved(data, tmp_path / "a", seed=5)
    assert teacher_logits(folders, data, tmp_path / "kept") != kept


def test_what_a_killed_process_left_is_no_teaching(prepared, tmp_path, monkeypatch):
    data = prepared("classes")
    folder = _saved(data, tmp_path / "teacher")

    class PowerCut(Exception):
        pass

    def cut(*_, **__):
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(hf_datasets.Dataset, "save_to_disk", cut)
        with pytest.raises(PowerCut):
            teacher_logits([folder], data, tmp_path / "kept")
    assert not [path for path in (tmp_path / "kept").iterdir() if path.is_dir() and not path.name.startswith(".")]
    kept = teacher_logits([folder], data, tmp_path / "kept")
    assert len(taught(data, kept)) == len(data.split("train"))
    assert [path for path in (tmp_path / "kept").iterdir() if path.is_dir()] == [kept]


@pytest.mark.parametrize("kind", ["classes", "labels", "number"])
def test_rows_without_labels_get_them_of_the_teacher_and_are_trained_on(kind, prepared, tmp_path):
    data, further = prepared(kind), prepared(kind).split("validation").remove_columns("labels")
    more = dataclasses.replace(data, path=tmp_path / "more", sizes={**data.sizes, "unlabelled_further": len(further)})
    shutil.copytree(data.path, more.path)
    further.save_to_disk(str(more.path / "unlabelled_further"))
    folder = _saved(data, tmp_path / "teacher")
    kept = teacher_logits([folder], more, tmp_path / "kept")
    rows, num_labelled = taught(more, kept), len(data.split("train"))
    assert rows["input_ids"][num_labelled:] == further["input_ids"][:]
    assert rows["labels"][:num_labelled] == data.split("train")["labels"][:]
    logits = torch.tensor(rows["teacher_logits"][num_labelled:])
    expected = {"classes": logits.argmax(-1), "labels": (logits > 0).float(), "number": logits[:, 0]}[kind]
    torch.testing.assert_close(torch.tensor(rows["labels"][num_labelled:]), expected)
    assert len(taught(data, teacher_logits([folder], data, tmp_path / "kept"))) == num_labelled
    job = _job(more, tmp_path, recipe=dataclasses.replace(RECIPE, epochs=1), teacher=str(kept))
    assert train_candidate(job, lambda _: None).figures["finetune_train_tokens_per_s"] > 0


def test_other_data_are_refused(prepared, tmp_path):
    data = prepared("classes")
    kept = teacher_logits([_saved(data, tmp_path / "teacher")], data, tmp_path / "kept")
    hf_datasets.load_from_disk(str(kept / "train")).select(range(5)).save_to_disk(str(tmp_path / "less" / "train"))
    with pytest.raises(ValueError, match=r"less holds what a teacher says of 5 rows; .* has 72"):
        taught(data, tmp_path / "less")


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_compared_with_what_was_said_of_its_own_rows(kind, prepared, tmp_path):
    data = prepared(kind)
    folder = _saved(data, tmp_path / "teacher", _spec(32))
    recipe = dataclasses.replace(RECIPE, distillation_weight=1.0)
    trainer = OrderedTrainer(
        model=load_teacher(folder).requires_grad_(True),
        args=TrainingArguments(
            str(tmp_path), per_device_train_batch_size=8, use_cpu=True, train_sampling_strategy="group_by_length"
        ),
        data_collator=collator(data, _spec(32)),
        train_dataset=taught(data, teacher_logits([folder], data, tmp_path / "kept")),
        taught_loss=taught_loss(recipe, data),
    )
    trainer.model.eval()
    losses = [trainer.compute_loss(trainer.model, batch).item() for batch in trainer.get_train_dataloader()]
    assert losses == pytest.approx([0.0] * len(losses), abs=1e-5)  # of any other row the teacher says something else
    wrong = dict(next(iter(trainer.get_train_dataloader())))
    name = next(name for name in wrong if name.startswith("teacher_"))
    wrong[name] = wrong[name].roll(1, dims=0)
    assert trainer.compute_loss(trainer.model, wrong).item() > 1e-4


def test_the_loss_is_a_mixture_of_the_tasks_and_the_teachers(prepared):
    data, task_loss = prepared("number"), torch.tensor(3.0)
    outputs = {"logits": torch.tensor([[1.0], [2.0]])}
    said = {"logits": torch.tensor([[0.0], [0.0]])}
    for share, expected in ((0.0, 3.0), (0.8, 0.2 * 3 + 0.8 * 2.5), (1.0, 2.5)):
        mixed = taught_loss(dataclasses.replace(RECIPE, distillation_weight=share), data)
        assert mixed(task_loss, outputs, {}, said).item() == pytest.approx(expected)


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["labels", "questions"])
def test_a_candidate_learns_from_a_teacher_and_says_so(kind, prepared, tmp_path):
    data = prepared(kind)
    kept = teacher_logits([_saved(data, tmp_path / "teacher")], data, tmp_path / "kept")
    recipe, weights = dataclasses.replace(RECIPE, epochs=1), []
    for share in (0.0, 0.8):
        job = _job(data, tmp_path / f"{share}", recipe=dataclasses.replace(recipe, distillation_weight=share))
        train_candidate(dataclasses.replace(job, teacher=str(kept)), lambda _: None)
        folder = Path(job.models_dir) / _spec().hash
        assert f"a teacher's outputs were {share:.0%} of the loss" in (folder / "README.md").read_text()
        weights.append(load_teacher(folder).state_dict())
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.integration
def test_a_student_that_is_only_taught_becomes_its_teacher(prepared, tmp_path):
    data = prepared("classes")
    kept = teacher_logits([_saved(data, tmp_path / "teacher")], data, tmp_path / "kept")
    recipe = dataclasses.replace(RECIPE, distillation_weight=1.0, distillation_temperature=1.0, epochs=8)
    train_candidate(_job(data, tmp_path, recipe=recipe, teacher=str(kept)), lambda _: None)
    mine, its = (
        torch.stack(_live(folder, data)["teacher_logits"]).argmax(-1)
        for folder in (tmp_path / "models" / _spec().hash, tmp_path / "teacher")
    )
    assert (mine == its).float().mean() > 0.9


@pytest.mark.integration
def test_a_taught_job_cut_off_goes_on_to_the_result_of_a_straight_run(prepared, tmp_path):
    data = prepared("words")
    kept = str(teacher_logits([_saved(data, tmp_path / "teacher")], data, tmp_path / "kept"))
    straight = train_candidate(_job(data, tmp_path / "straight", teacher=kept), lambda _: None)

    class PowerCut(Exception):
        pass

    def cut(report: dict) -> None:
        if report["progress"] > 0.5:
            raise PowerCut

    job = _job(data, tmp_path / "cut", teacher=kept)
    with pytest.raises(PowerCut):
        train_candidate(job, cut)
    assert list((tmp_path / "cut" / "work").glob("*/checkpoint-*"))
    assert train_candidate(job, lambda _: None).score == straight.score
    a, b = (load_teacher(tmp_path / run / "models" / _spec().hash).state_dict() for run in ("straight", "cut"))
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


def _bert(data: PreparedData, folder: Path, **options) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    names = {"id2label": dict(enumerate(data.label_names)), "vocab_size": data.vocab_size}
    BertForSequenceClassification(BertConfig(**sizes | names | options)).save_pretrained(folder)
    data.tokenizer.save_pretrained(folder)
    return folder


def test_a_model_of_transformers_teaches_too(prepared, tmp_path):
    data = prepared("classes")
    folder = _bert(data, tmp_path / "bert")
    kept = taught(data, teacher_logits([folder], data, tmp_path / "kept"))["teacher_logits"]
    np.testing.assert_allclose(kept, torch.stack(_live(folder, data)["teacher_logits"]), rtol=0, atol=1e-5)


def _other_words(data: PreparedData, folder: Path) -> Path:
    other = _bert(data, folder)
    build_tokenizer("train", ["entirely different letters"] * 20, vocab_size=300).save_pretrained(other)
    return other


def _without_words(data: PreparedData, folder: Path) -> Path:
    other = _bert(data, folder, vocab_size=data.vocab_size + 8)
    for file in other.glob("*token*"):
        file.unlink()
    return other


BAD = {
    "no folder": (lambda data, folder: folder, r"A teacher of 'classes' must be the folder of a trained model"),
    "other classes": (
        lambda data, folder: _bert(data, folder, id2label={0: "bad", 1: "great", 2: "none"}),
        "it must have the task's classes, in their order: bad, good, none. Got bad, great, none",
    ),
    "fewer classes": (
        lambda data, folder: _bert(data, folder, id2label={0: "LABEL_0", 1: "LABEL_1"}),
        "in their order: bad, good, none. Got LABEL_0, LABEL_1",
    ),
    "several labels": (
        lambda data, folder: _bert(data, folder, problem_type="multi_label_classification"),
        "it must be trained for single_label_classification. Got multi_label_classification",
    ),
    "other words": (_other_words, r"it must have the words of the data's tokenizer. Word \d+ is '.*' there and"),
    "no words": (_without_words, r"it must know the data's 300 words. Got 308"),
    "short texts": (
        lambda data, folder: _bert(data, folder, max_position_embeddings=24),
        r"it sees texts of 24 tokens, the data have up to 32 \(--max_length\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_teacher_that_is_none_is_refused_with_the_reason(name, prepared, tmp_path):
    make, message = BAD[name]
    data = prepared("classes")
    with pytest.raises(ValueError, match=message) as found:
        teacher_logits([make(data, tmp_path / "teacher")], data, tmp_path / "kept")
    assert "\n" not in str(found.value)
    assert not [path for path in (tmp_path / "kept").glob("*") if not path.name.startswith(".")]


def test_a_teacher_of_another_kind_of_task_is_refused(prepared, tmp_path):
    words = prepared("words")
    folder = _saved(words, tmp_path / "words")
    with pytest.raises(
        ValueError, match=r"must have the head of this kind of task, \.\.\.ForSequenceClassification. Got Flex"
    ):
        teacher_logits([folder], prepared("classes"), tmp_path / "kept")
