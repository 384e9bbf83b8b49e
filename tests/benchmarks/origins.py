"""Does it pay to inherit weights? Searches with other origins, for equal seconds of training.

    python -m tests.benchmarks.origins [--tasks python_docs sst2] [--seeds 3] [--minutes 6] [--work_dir DIR]

Each search has the quick start's space and recipe, but widths of 32 and 64, one trial at a time, and ends when its
trials have trained for so long together. Afterwards a homogeneous BERT as deep as the best found, and of as many
parameters, is trained under the same recipe. Shown are the best by validation, on the test split, and that BERT on it.
SST-2 is that of the folder of data beside the repository: 4,000 rows for training, 2,000 for validation, and
``dev.tsv`` for the test.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import yaml

from dataset import PreparedData
from search.records.journal import Journal
from search.training.evaluate import evaluate

ROOT = Path(__file__).resolve().parents[2]
SST2 = ROOT.parent / "shared" / "data" / "glue" / "SST-2"
ARMS = {
    "scratch": ["--origins", "scratch"],
    "transfer": ["--origins", "scratch", "transfer"],
    "all": ["--origins", "scratch", "transfer", "prune", "stitch", "merge"],
    "all, per second": ["--origins", "scratch", "transfer", "prune", "stitch", "merge", "--cost_aware"],
}
TASKS = ("python_docs", "sst2")
_NUM_TRAIN = 4000


def main(arguments: list[str] | None = None) -> None:
    """Search, and print a table for each task. What is in ``work_dir`` is used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--work_dir", type=Path, default=Path(tempfile.gettempdir()) / "origins")
    options = parser.parse_args([] if arguments is None else arguments)
    options.work_dir.mkdir(parents=True, exist_ok=True)
    library = options.work_dir / "library.json"
    if not library.exists():
        space = options.work_dir / "space.yaml"
        widths = {"hidden_size": [32, 64], "feed-forward_hidden": [64, 128]}
        content = yaml.safe_load((ROOT / "design_space" / "quickstart.yaml").read_text(encoding="utf-8"))
        space.write_text(yaml.safe_dump({"architecture": content["architecture"] | widths}), encoding="utf-8")
        _call("embeddings.generate_library", "--design_space", str(space), "--dataset_file", str(library))
    for task in options.tasks:
        if task == "sst2" and not SST2.is_dir():
            print("sst2 needs the folder 'shared' beside the repository")
            continue
        of_task = _sst2(options.work_dir) if task == "sst2" else ["--task", task]
        runs: dict[str, list[dict[str, float]]] = {arm: [] for arm in options.arms}
        for seed in range(options.seeds):
            for arm in options.arms:
                folder = options.work_dir / task / f"{arm.replace(', ', '-').replace(' ', '-')}-{seed}"
                runs[arm].append(_figures(folder, library, of_task, ARMS[arm], seed, options.minutes))
                print(f"{task}, seed {seed}, {arm}: {json.dumps(runs[arm][-1])}", flush=True)
        print(_table(task, runs))


def _figures(
    folder: Path, library: Path, task: list[str], origins: list[str], seed: int, minutes: float
) -> dict[str, float]:
    """Of one search, run unless it was."""
    if not (folder / "figures.json").exists():
        data_dir, own = folder.parent / f"data-{seed}", folder.parent / f"{folder.name}.json"
        folder.parent.mkdir(exist_ok=True)
        if not own.exists():
            shutil.copy(library, own)  # a search writes its scores there
        flags = ["--dataset_file", str(own), "--run_dir", str(folder), "--prepared_dir", str(data_dir)]
        flags += ["--config", str(ROOT / "search" / "quickstart.yaml"), *task, "--seed", str(seed), *origins]
        flags += ["--max_hours", str(minutes / 60), "--patience", "1000", "--max_concurrent", "1"]
        resume = ["--resume"] if (folder / "config.yaml").exists() else []
        _call("search.run_boshnas", *flags, *resume, "--baseline", "same-size")
        data = PreparedData.load(data_dir)
        finished = [trial for trial in Journal(folder / "journal.jsonl").trials().values() if trial.score is not None]
        best = max(finished, key=lambda trial: trial.score or 0.0)
        (baseline,) = json.loads((folder / "baselines" / "baselines.json").read_text()).values()
        (baseline_dir,) = (folder / "baselines" / "models").iterdir()
        figures = {
            "validation": best.score,
            "test": evaluate(folder / "models" / best.candidate.spec.hash, data, "test")[data.metric],
            "bert_validation": baseline["score"],
            "bert_test": evaluate(baseline_dir, data, "test")[data.metric],
            "trials": len(finished),
            "seconds": sum(trial.cost_s or 0.0 for trial in finished),
            **Counter(trial.candidate.origin.name for trial in finished),
            "best_is_" + best.candidate.origin.name: 1,
        }
        (folder / "figures.json").write_text(json.dumps(figures))
    return json.loads((folder / "figures.json").read_text())


def _table(task: str, runs: dict[str, list[dict[str, float]]]) -> str:
    """Means ± standard deviations over seeds, in Markdown."""
    lines = [f"| {task} | validation | test | BERT of that size, test | trials | best from |", "| --- " * 6 + "|"]
    for arm, figures in runs.items():
        cells = []
        for name in ("validation", "test", "bert_test"):
            values = [100 * of[name] for of in figures]
            cells.append(f"{np.mean(values):.1f} ± {np.std(values, ddof=1) if len(values) > 1 else 0.0:.1f}")
        from_kinds = Counter(name.removeprefix("best_is_") for of in figures for name in of if "best_is_" in name)
        kinds = ", ".join(f"{kind} {number}" for kind, number in from_kinds.items())
        cells += [f"{np.mean([of['trials'] for of in figures]):.0f}", kinds]
        lines.append(f"| {' | '.join([arm, *cells])} |")
    return "\n".join(lines)


def _sst2(work_dir: Path) -> list[str]:
    """The task's flags; its files are split anew, so that there is a test."""
    folder = work_dir / "glue" / "SST-2"
    flags = ["--task", "sst2", "--data_dir", str(folder)]
    if folder.exists():
        return flags
    folder.mkdir(parents=True)
    header, *rows = (SST2 / "train.tsv").read_text(encoding="utf-8").splitlines()
    for name, part in (("train.tsv", rows[:_NUM_TRAIN]), ("dev.tsv", rows[-2000:])):
        (folder / name).write_text("\n".join([header, *part]) + "\n", encoding="utf-8")
    (folder / "test.tsv").write_text((SST2 / "dev.tsv").read_text(encoding="utf-8"), encoding="utf-8")
    return flags


def _call(module: str, *flags: str) -> None:
    subprocess.run([sys.executable, "-m", module, *flags], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(sys.argv[1:])
