"""What moving weights costs: losses before training, steps saved, stitches and merged models after fine-tuning.

    python -m tests.benchmarks.morphisms FOLDER --work_dir runs/morphisms

``FOLDER`` holds ``text/wikitext-2.train.txt.gz``, ``text/wikitext-2.valid.txt``, ``glue/SST-2/train_full.tsv.gz`` and
``glue/SST-2/dev.tsv``.
Trained parents and every figure are kept in the working folder, so that a stopped run goes on; parts can run in
processes of their own (``--parts``). About two hours on one core. Not part of ``make bench``.
"""

import argparse
import csv
import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student
from torch import Tensor
from transformers import AutoTokenizer

from dataset.tokenizer import build_tokenizer
from flexibert import (
    FlexiBERTConfig,
    FlexiBERTForMaskedLM,
    FlexiBERTForSequenceClassification,
    Training,
    merge_layers,
    random_like,
    stitch,
)
from flexibert.commands.masked_lm_loss import hide_tokens, masked_lm_loss, text_blocks
from flexibert.transfer import transfer as ordered_transfer

LENGTH, VOCAB, BATCH = 64, 2048, 48
PRETRAIN_STEPS, SCRATCH_STEPS, TASK_STEPS, FINE_TUNE_STEPS, SENTENCE = 800, 400, 800, 300, 32
PARENT = {"l": 4, "o": ["sa"] * 4, "h": [128] * 4, "n": [2] * 4, "f": [[256]] * 4, "p": ["sdp"] * 4}
CONTROL = PARENT | {"h": [256] * 4, "n": [4] * 4, "f": [[512]] * 4}
CHILDREN = {
    "width x 2": PARENT | {"h": [256] * 4},
    "width and heads x 2": PARENT | {"h": [256] * 4, "n": [4] * 4},
    "feed-forward x 2": PARENT | {"f": [[512]] * 4},
    "feed-forward stack + 1": PARENT | {"f": [[256, 256]] * 4},
    "layers + 2": {key: value[:1] * 6 if isinstance(value, list) else 6 for key, value in PARENT.items()},
    "width x 1.5": PARENT | {"h": [192] * 4},
    "heads x 2, size / 2": PARENT | {"n": [4] * 4},
    "width / 2": PARENT | {"h": [64] * 4},
    "width and heads / 2": PARENT | {"h": [64] * 4, "n": [1] * 4},
    "feed-forward / 2": PARENT | {"f": [[128]] * 4},
}
NEIGHBORS = {
    "width x 0.75": PARENT | {"h": [96] * 4},
    "layers + 1": {key: value[:1] * 5 if isinstance(value, list) else 5 for key, value in PARENT.items()},
}
MODES = ("consistent", "OD", "RP", "RP, original")


class Texts:
    """WikiText-2 as blocks of token ids, SST-2 as padded rows."""

    def __init__(self, folder: Path, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        train = work / "train.txt"
        if not train.exists():
            train.write_bytes(gzip.decompress((folder / "text" / "wikitext-2.train.txt.gz").read_bytes()))
        if not (work / "tokenizer").exists():
            with train.open() as lines:
                build_tokenizer("train", lines, vocab_size=VOCAB).save_pretrained(work / "tokenizer")
        self.tokenizer = AutoTokenizer.from_pretrained(work / "tokenizer")
        cache = work / "blocks.pt"
        if not cache.exists():
            blocks = text_blocks(train, self.tokenizer, LENGTH)
            held_out = text_blocks(folder / "text" / "wikitext-2.valid.txt", self.tokenizer, LENGTH)
            torch.save((blocks, held_out[:400]), cache)
        self.train, held_out = torch.load(cache)
        self.validation = self.hidden(held_out[:200], 0)
        sentences = folder / "glue" / "SST-2"
        self.sentences = self._labelled(gzip.decompress((sentences / "train_full.tsv.gz").read_bytes()).decode())
        self.dev = self._labelled((sentences / "dev.tsv").read_text(encoding="utf-8"))

    def hidden(self, blocks: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Blocks with 15 % of the tokens hidden, and labels."""
        return hide_tokens(blocks, self.tokenizer.mask_token_id, self.tokenizer.all_special_ids, seed=seed)

    def batches(self, seed: int, groups: int = 16) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Batches of 32 labelled sentences of like length, without end."""
        generator = torch.Generator().manual_seed(seed)
        ids, mask, labels = self.sentences
        while True:
            rows = torch.randint(len(ids), (groups * 32,), generator=generator)
            by_length = rows[mask[rows].sum(1).argsort()].view(groups, 32)
            for batch in by_length[torch.randperm(groups, generator=generator)]:
                width = int(mask[batch].sum(1).max())
                yield ids[batch, :width], mask[batch, :width], labels[batch]

    def _labelled(self, table: str) -> tuple[Tensor, Tensor, Tensor]:
        """Ids and mask (N, S), labels (N,)."""
        rows = list(csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
        texts = [row["sentence"] for row in rows]
        encoded = self.tokenizer(texts, truncation=True, max_length=SENTENCE, padding="max_length", return_tensors="pt")
        return encoded["input_ids"], encoded["attention_mask"], torch.tensor([int(row["label"]) for row in rows])


def configuration(model_dict: dict[str, Any], texts: Texts, positions: str = "relative_key") -> FlexiBERTConfig:
    """No dropout: these models see each text few times."""
    return FlexiBERTConfig(
        model_dict=model_dict,
        vocab_size=len(texts.tokenizer),
        max_position_embeddings=LENGTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=texts.tokenizer.pad_token_id,
        position_embedding_type=positions,
    )


def steps_of(model: Any, steps: int, rate: float, loss_of: Callable[[int], Tensor]) -> Iterator[int]:
    """Train in place by AdamW, warming up and falling linearly; yields the number of steps done."""
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    warmup = min(100, steps // 5)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, max(0.02, 1 - step / steps))
    )
    for step in range(steps):
        model.train()
        loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield step + 1


def pretrain(model: Any, texts: Texts, steps: int, seed: int, rate: float = 2e-3) -> Iterator[int]:
    """Masked LM on WikiText-2."""
    generator = torch.Generator().manual_seed(seed)

    def loss_of(step: int) -> Tensor:
        rows = torch.randint(len(texts.train), (BATCH,), generator=generator)
        ids, labels = texts.hidden(texts.train[rows], seed * 1_000_003 + step)
        return model(ids, labels=labels).loss

    return steps_of(model, steps, rate, loss_of)


def fine_tune(model: Any, texts: Texts, seed: int, steps: int, rate: float = 5e-4) -> float:
    """SST-2 in place; returns the accuracy on its validation split."""
    batches = texts.batches(seed)

    def loss_of(step: int) -> Tensor:
        ids, mask, labels = next(batches)
        return model(ids, mask, labels=labels).loss

    for _ in steps_of(model, steps, rate, loss_of):
        pass
    return accuracy(model, texts)


@torch.no_grad()
def accuracy(model: Any, texts: Texts) -> float:
    """On SST-2's validation split."""
    model.eval()
    ids, mask, labels = texts.dev
    logits = torch.cat([model(a, b).logits for a, b in zip(ids.split(128), mask.split(128), strict=True)])
    return float((logits.argmax(1) == labels).float().mean())


def parent(texts: Texts, work: Path, seed: int) -> Any:
    """A pre-trained masked-LM model, from the working folder where it is there."""
    folder = work / f"parent-{seed}"
    if not folder.exists():
        torch.manual_seed(seed)
        model = FlexiBERTForMaskedLM(configuration(PARENT, texts))
        for _ in pretrain(model, texts, PRETRAIN_STEPS, seed):
            pass
        model.save_pretrained(folder)
    return FlexiBERTForMaskedLM.from_pretrained(folder).eval()


def classifier(texts: Texts, work: Path, seed: int, name: str = "classifier", model_dict: Any = PARENT) -> Any:
    """A model trained on SST-2 from scratch, from the working folder where it is there.

    With absolute positions: a layer has one table of relative ones, which two stitched sources do not share. Such a
    model that was pre-trained for 600 steps gave every token one state, and then did not learn the task.
    """
    folder = work / f"{name}-{seed}"
    if not folder.exists():
        torch.manual_seed(seed)
        model = FlexiBERTForSequenceClassification(configuration(model_dict, texts, "absolute"))
        fine_tune(model, texts, seed, TASK_STEPS, rate=1e-3)
        model.save_pretrained(folder)
    return FlexiBERTForSequenceClassification.from_pretrained(folder).eval()


def moved(source: Any, model_dict: dict, texts: Texts, mode: str, seed: int) -> tuple[Any, float]:
    """A child with the source's weights, and the overlap. ``RP, original`` draws a projection for every matrix."""
    torch.manual_seed(seed)
    child = FlexiBERTForMaskedLM(configuration(model_dict, texts), transfer_mode=mode[:2] if "RP" in mode else mode)
    shared = ordered_transfer.OrderedTransfer._projection
    if mode == "RP, original":

        def fresh(fitter: Any, space: Any, source_size: int, target_size: int) -> Tensor:
            fitter.projections.clear()
            return shared(fitter, space, source_size, target_size)

        ordered_transfer.OrderedTransfer._projection = fresh
    try:
        overlap = child.load_model_from_source(source, seed=seed)
    finally:
        ordered_transfer.OrderedTransfer._projection = shared
    return child.eval(), overlap


def losses_after_the_move(texts: Texts, work: Path, seed: int) -> dict[str, float]:
    """Masked-LM loss of the parent and of children by each mode, before any training."""
    source = parent(texts, work, seed)
    found = {"parent": masked_lm_loss(source, *texts.validation)}
    for name, model_dict in CHILDREN.items():
        for mode in MODES:
            found[f"{name} | {mode}"] = masked_lm_loss(
                moved(source, model_dict, texts, mode, seed)[0], *texts.validation
            )
    return found


def steps_to_reach(texts: Texts, work: Path, seed: int, name: str) -> dict[str, float]:
    """Steps after which a child reaches the loss that training from scratch ends with; of at most a third of these
    steps (one more: not reached)."""
    source, found = parent(texts, work, seed), {}
    most = SCRATCH_STEPS // 3
    torch.manual_seed(seed + 10)
    scratch = FlexiBERTForMaskedLM(configuration(NEIGHBORS[name], texts))
    for _ in pretrain(scratch, texts, SCRATCH_STEPS, seed + 10):
        pass
    wanted = found[f"{name} | from scratch, loss"] = masked_lm_loss(scratch, *texts.validation)
    for mode in ("consistent", "OD", "RP"):
        child, overlap = moved(source, NEIGHBORS[name], texts, mode, seed)
        found[f"{name} | {mode}, overlap"] = overlap
        loss = found[f"{name} | {mode}, loss before training"] = masked_lm_loss(child, *texts.validation)
        reached = 0 if loss <= wanted else most + 1
        if reached:
            for step in pretrain(child, texts, most, seed + 20, rate=1e-3):
                if step % 10 == 0:
                    loss = masked_lm_loss(child, *texts.validation)
                    if loss <= wanted:
                        reached = step
                        break
        found[f"{name} | {mode}, steps"] = reached
        found[f"{name} | {mode}, last loss"] = loss
    return found


def stitches(texts: Texts, work: Path, seed: int) -> dict[str, float]:
    """Accuracy of each kind of stitch of two trained classifiers after the same fine-tuning."""
    first, second = (classifier(texts, work, number) for number in (seed, seed % 3 + 1))
    wide = classifier(texts, work, seed, "control", CONTROL)
    random_source = random_like(second, seed=seed)
    variants = {
        "mini": lambda: first,
        "small-sized control": lambda: wide,
        "mini-mini": lambda: stitch(first, second, layernorm="concat"),
        "mini-mini, skip-LN": lambda: stitch(first, second, layernorm="skip"),
        "mini-random": lambda: stitch(first, random_source, layernorm="concat"),
        "mini-mini, epsilon 1e-3": lambda: stitch(first, second, layernorm="concat", epsilon=1e-3),
        "mini-mini, normal 1e-3": lambda: stitch(first, second, layernorm="concat", noise_std=1e-3, seed=seed),
        "grouped": lambda: stitch(first, second),
    }
    found = {}
    ids, mask, _ = texts.dev
    with torch.no_grad():
        mean = (first(ids[:64], mask[:64]).logits + second(ids[:64], mask[:64]).logits) / 2
        found["grouped, logits less mean"] = float(
            (stitch(first, second)(ids[:64], mask[:64]).logits - mean).abs().max()
        )
    states = {name: value.clone() for name, value in first.state_dict().items()}
    for name, make in variants.items():
        first.load_state_dict(states)
        model = make()
        found[f"{name} | accuracy before"] = accuracy(model, texts)
        found[f"{name} | accuracy"] = fine_tune(model, texts, seed + 10, FINE_TUNE_STEPS)
        found[f"{name} | parameters"] = model.num_parameters()
    return found


def merges(texts: Texts, work: Path, seed: int) -> dict[str, float]:
    """Accuracy of a trained classifier, and with every second pair of layers merged, before and after fine-tuning."""
    teacher = classifier(texts, work, seed)
    source = texts.batches(seed + 20)
    batches = [{"input_ids": ids, "attention_mask": mask} for ids, mask, _ in itertools.islice(source, 150)]
    merged = merge_layers(teacher, batches, training=Training(steps=150, seed=seed))
    found = {"teacher": accuracy(teacher, texts), "merged": accuracy(merged, texts)}
    found["merged, fine-tuned"] = fine_tune(merged, texts, seed + 10, FINE_TUNE_STEPS)
    found["share kept"] = found["merged, fine-tuned"] / found["teacher"]
    torch.manual_seed(seed)
    shallow = FlexiBERTForSequenceClassification(merged.config)
    found["half the layers, from scratch"] = fine_tune(shallow, texts, seed + 10, FINE_TUNE_STEPS)
    return found


PARTS: dict[str, Callable[[Texts, Path, int], dict[str, float]]] = {
    "move": losses_after_the_move,
    "steps": lambda texts, work, seed: steps_to_reach(texts, work, seed, "width x 0.75"),
    "steps_deeper": lambda texts, work, seed: steps_to_reach(texts, work, seed, "layers + 1"),
    "stitch": stitches,
    "merge": merges,
}


def table(work: Path, parts: list[str]) -> str:
    """Means over the seeds, with 95 % intervals."""
    lines = []
    for part in parts:
        figures = [json.loads(path.read_text()) for path in sorted((work / "figures").glob(f"{part}-*.json"))]
        lines += [f"\n{part}, {len(figures)} seeds"]
        for name in figures[0] if figures else []:
            values = torch.tensor([each[name] for each in figures], dtype=torch.float64)
            count = len(values)
            half = float(student.ppf(0.975, count - 1) * values.std() / count**0.5) if count > 1 else float("nan")
            lines.append(f"| {name} | {values.mean():.5g} ± {half:.2g} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="with text/ and glue/SST-2/")
    parser.add_argument("--work_dir", type=Path, required=True, help="for models and figures")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    work = arguments.work_dir.resolve()
    texts = Texts(arguments.folder.resolve(), work)
    (work / "figures").mkdir(exist_ok=True)
    for seed in arguments.seeds:
        for part in arguments.parts:
            path = work / "figures" / f"{part}-{seed}.json"
            if not path.exists():
                path.write_text(json.dumps(PARTS[part](texts, work, seed), indent=1))
                print(path.read_text(), flush=True)
    print(table(work, arguments.parts))


if __name__ == "__main__":
    main()
