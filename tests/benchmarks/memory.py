"""Peak memory of preparing a corpus and pre-training on it, by the size of the corpus.

``python -m tests.benchmarks.memory --megabytes 100 300`` writes a corpus of each size (Zipf-distributed words, new ones
all along), runs ``python -m search.evaluation`` on it under a limit of its own memory (``RLIMIT_DATA``), and prints the
peaks of what the process and its children own (anonymous memory) and of all that is resident, which counts
memory-mapped files that the system may drop at any time. Linux only.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_WORDS_PER_LINE = 80
_LINES_PER_PART = 5000
_RECIPE = "pretrain_steps: 10\npretrain_batch_size: 16\nmax_length: 64\nepochs: 1\nbatch_size: 16\n"


def write_corpus(file: Path, megabytes: int) -> None:
    """Lines of words whose frequencies fall as in English; one in a hundred words is a number that may be new."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(rng.choice(letters, length)) for length in rng.integers(2, 11, 50_000)])
    shares = 1 / np.arange(1, len(words) + 1)
    shares /= shares.sum()
    with file.open("w") as stream:
        while stream.tell() < megabytes * 1e6:
            size = (_LINES_PER_PART, _WORDS_PER_LINE)
            chosen = words[rng.choice(len(words), size, p=shares)].astype(object)
            is_number = rng.random(size) < 0.01
            chosen[is_number] = [str(number) for number in rng.integers(0, 10**9, int(is_number.sum()))]
            stream.writelines(" ".join(row) + "\n" for row in chosen)


def peaks_mb(command: list[str], limit_mb: int) -> tuple[float, float, float]:
    """Run a command; most anonymous and most resident memory of it (of the first process alone), and seconds.

    Raises:
        RuntimeError: when it fails.
    """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit_mb * 10**6, limit_mb * 10**6))

    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, preexec_fn=limit, stdout=output, stderr=subprocess.STDOUT)
        anonymous = resident = 0.0
        while process.poll() is None:
            for own, all_of_it in _memory_mb(process.pid):
                anonymous, resident = max(anonymous, own), max(resident, all_of_it)
            time.sleep(0.05)
        output.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{output.read()[-2000:]}")
    return anonymous, resident, time.perf_counter() - start


def _memory_mb(pid: int) -> Iterator[tuple[float, float]]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has just ended
        return
    found = {line.split()[0]: int(line.split()[1]) / 1000 for line in lines if line.startswith(("RssAnon", "VmHWM"))}
    if len(found) == 2:
        yield found["RssAnon:"], found["VmHWM:"]


def main() -> None:
    """Print one row per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 300], help="sizes of the corpus")
    parser.add_argument("--limit_mb", type=int, default=2000, help="of a process's own memory")
    parser.add_argument("--tokenizer", default="train", help="as of prepare_data; training one counts different words")
    options = parser.parse_args()
    print("| corpus, MB | own memory, MB | resident, MB | blocks on disk, MB | minutes |\n|" + " --- |" * 5)
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_corpus(folder / "corpus.txt", megabytes)
            rows = "\n".join(f"a {'fine' if i % 2 else 'dull'} story {i},{i % 2}" for i in range(64))
            (folder / "task.csv").write_text(f"text,label\n{rows}")
            (folder / "recipe.yaml").write_text(_RECIPE)
            command = [sys.executable, "-m", "search.evaluation", "--task", str(folder / "task.csv")]
            command += ["--corpus", str(folder / "corpus.txt"), "--recipe", str(folder / "recipe.yaml")]
            command += [
                "--tokenizer",
                options.tokenizer,
                "--baseline",
                "bert-tiny",
                "--output_dir",
                str(folder / "out"),
            ]
            own, resident, seconds = peaks_mb(command, options.limit_mb)
            blocks = sum(file.stat().st_size for file in (folder / "out" / "data" / "pretrain").iterdir()) / 1e6
            print(f"| {megabytes} | {own:.0f} | {resident:.0f} | {blocks:.0f} | {seconds / 60:.1f} |", flush=True)


if __name__ == "__main__":
    main()
