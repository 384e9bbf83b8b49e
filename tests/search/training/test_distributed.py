"""One training run in two processes on this machine, as ``torchrun`` starts them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler

from flexibert import FlexiBERTForSequenceClassification
from search.baselines import baseline_spec
from search.training.samplers import EpochOrder
from tests.patience import HANG_S

ROOT = Path(__file__).resolve().parents[3]


def test_processes_see_different_rows_of_an_epoch():
    seen = []
    for rank in range(2):
        batches = BatchSampler(EpochOrder(100, batch_size=8, seed=0, num_processes=2), batch_size=8, drop_last=False)
        seen.append([row for batch in BatchSamplerShard(batches, 2, rank) for row in batch])
    assert [len(rows) for rows in seen] == [48, 48]  # of 100 rows, 6 rounds of 2 x 8
    assert len({*seen[0], *seen[1]}) == 96


@pytest.mark.integration
def test_two_processes_train_one_model_and_the_first_writes_it(tmp_path):
    rows = [f"a {'fine' if i % 2 else 'dull'} story number {i},{'good' if i % 2 else 'bad'}" for i in range(100)]
    (tmp_path / "films.csv").write_text("\n".join(["review,verdict", *rows]))
    (tmp_path / "corpus.txt").write_text("\n".join(f"a story about people, number {i}" for i in range(100)))
    (tmp_path / "mine.yaml").write_text(
        "pretrain_steps: 3\npretrain_batch_size: 8\nmax_length: 16\nepochs: 3\nbatch_size: 4\nlearning_rate: 2.0e-3"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "search.evaluation", "--task", str(tmp_path / "films.csv"), "--baseline", "bert-tiny"]
    command += [
        "--corpus",
        str(tmp_path / "corpus.txt"),
        "--vocab_size",
        "300",
        "--recipe",
        str(tmp_path / "mine.yaml"),
    ]
    run = subprocess.run(
        [*command, "--output_dir", str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True, timeout=HANG_S
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.count("bert-tiny, seed 0: accuracy") == 1
    (result,) = json.loads((tmp_path / "out" / "results.json").read_text())["bert-tiny"]
    assert result["score"] > 0.9  # one word tells; what one process learnt the other did too
    folder = tmp_path / "out" / "bert-tiny-seed-0" / "models" / baseline_spec("bert-tiny").hash
    assert FlexiBERTForSequenceClassification.from_pretrained(folder).num_labels == 2
    assert [path.name for path in (tmp_path / "out" / "bert-tiny-seed-0").rglob("training.json")] == ["training.json"]
    assert not list((tmp_path / "out" / "bert-tiny-seed-0" / "work").iterdir())
