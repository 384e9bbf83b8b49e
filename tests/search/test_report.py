"""The report is one page that needs nothing else, and says what the journal says."""

import html.parser
import json
import shutil
import subprocess

import matplotlib.image
import numpy as np
import pytest
import yaml

from flexibert import Latency
from search.candidate import Candidate, Origin
from search.records.journal import Journal
from search.report import write_report
from search.report.__main__ import report
from search.report.figures import pareto_front
from tests.patience import HANG_S
from tests.search.optimizer.test_offspring import children

BROWSER_FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --enable-logging=stderr"
).split()
VOID = {"meta", "link", "br", "img", "hr", "input"}


class _Page(html.parser.HTMLParser):
    """Tags in balance, and everything that a browser would fetch."""

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.tags = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        is_link = {"src", "srcset"} if tag != "link" else {"href"}
        self.fetched += [value for name, value in attrs if name in is_link]

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _run(folder, library, num_trials=8):
    """A run over a library whose second half inherits from its first, and whose last trial failed."""
    journal = Journal(folder / "journal.jsonl")
    specs = library.specs[:num_trials]
    for number, spec in enumerate(specs):
        trial = f"t{number:04d}"
        origin = Origin() if number < num_trials // 2 else Origin("transfer", specs[number - num_trials // 2].hash)
        expected = {"predicted": {"mean": 0.52, "deviation": 0.01}} if number > 2 else {}
        journal.append("suggested", trial, **Candidate(spec, origin).to_dict(), **expected)
        journal.append("started", trial)
        if number + 1 == num_trials:
            journal.append("failed", trial, error="Traceback: <out of memory> & more")
        else:
            objectives = {"parameters": 1e6 * (number + 1), "latency_ms": 9.0 - number}
            journal.append("finished", trial, score=0.5 + number / 100, objectives=objectives, cost_s=10.0)
    library.save(folder / "library.json")
    config = {"task": "cola <b>", "dataset_file": str(folder / "library.json"), "seed": 3}
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"library_fingerprint": library.fingerprint}))
    return specs


def test_a_finished_run_is_told_in_one_page(tiny_library, tmp_path):
    specs = _run(tmp_path, tiny_library)
    (tmp_path / "best").mkdir()
    evaluation = {"metric": "accuracy", "split": "test", "metrics": {"accuracy": 0.625}, "majority_share": 0.5}
    evaluation["trial"] = "t0006"
    evaluation["speed"] = "3.00 ms (2.90 to 3.20) for 8 x 16 tokens on cpu with 1 thread(s)"
    (tmp_path / "best" / "evaluation.json").write_text(json.dumps(evaluation))
    config = {"model_type": "flexibert", "architectures": ["FlexiBERTForTokenClassification"]}
    (tmp_path / "best" / "config.json").write_text(json.dumps(config))
    (tmp_path / "baselines").mkdir()
    speed = Latency(3.456, 3.4, 3.6, batch_size=8, length=16, threads=1, device="cpu", repeats=9)._asdict()
    baselines = {
        "same-size": {"score": 0.5375, "objectives": {"parameters": 7e6, "latency_ms": 3.5}, "speed": speed},
        "bert-mini": {"score": 0.5},
    }
    (tmp_path / "baselines" / "baselines.json").write_text(json.dumps(baselines))
    text = write_report(tmp_path).read_text()
    page = _Page(text)
    assert page.open == []
    assert page.tags.count("svg") == 6
    assert "1 inside of 95 %" in text  # 0.53; 0.54, 0.55 and 0.56 are outside
    assert "3 outside" in text
    assert all(place.startswith("data:") for place in page.fetched)
    assert "<script" not in text
    assert "<b>Best model: t0006</b>, accuracy 0.5600 on validation;\non test: accuracy 0.6250" in text
    assert "7,000,000 parameters, 3.00 ms (2.90 to 3.20) for 8 x 16 tokens on cpu with 1 thread(s)." in text
    assert "model = AutoModelForTokenClassification.from_pretrained" in text
    assert (
        "same-size, trained under the same recipe: accuracy 0.5375 on validation; 7,000,000 parameters, 3.46 ms (3.4"
        in text
    )
    assert "Baseline bert-mini, trained under the same recipe: accuracy 0.5000 on validation.<" in text
    assert all(spec.hash in text for spec in specs)
    assert f"transfer({specs[0].hash[:8]})" in text
    assert "Traceback: &lt;out of memory&gt; &amp; more" in text
    assert "cola &lt;b&gt;" in text
    assert "cola <b>" not in text
    assert "seed: 3" in text
    assert "library_fingerprint" not in text


@pytest.mark.integration
def test_a_browser_shows_the_page_without_complaint(tiny_library, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium")
    (tmp_path / "run").mkdir()
    _run(tmp_path / "run", tiny_library)
    picture = tmp_path / "page.png"
    flags = [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1100,2400", f"--screenshot={picture}"]
    shown = subprocess.run(
        [browser, *BROWSER_FLAGS, *flags, write_report(tmp_path / "run").as_uri()],
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )
    assert shown.returncode == 0, shown.stderr
    assert "CONSOLE" not in shown.stderr  # warnings and errors of the page
    pixels = matplotlib.image.imread(picture)
    assert pixels.shape[:2] == (2400, 1100)
    colours = {tuple(colour) for colour in (255 * pixels[::3, ::3, :3]).astype(int).reshape(-1, 3).tolist()}
    assert len(colours) > 100  # of pictures, beside those of text


def test_the_front_and_the_constraints_are_told(tiny_library, tmp_path):
    _run(tmp_path, tiny_library)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    goals = {"objectives": ["score", "parameters"], "constraints": ["parameters<=4e6"]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config | goals))
    text = write_report(tmp_path).read_text()
    assert _Page(text).open == []
    assert "Best model: t0003</b>, score 0.5300" in text  # better ones have more parameters
    assert "Constraints: parameters at most 4,000,000:\nkept." in text
    front = text[text.index("The Pareto front") : text.index("The best five")]
    assert [number for number in range(8) if f"<td>t000{number}</td>" in front] == [0, 1, 2, 3]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config | goals | {"constraints": ["latency_ms=0.5"]}))
    assert "kept by no trial; this one breaks them least" in write_report(tmp_path).read_text()


def test_the_best_of_a_run_that_goes_on_is_not_told_with_an_earlier_ones_test(tiny_library, tmp_path):
    _run(tmp_path, tiny_library)
    (tmp_path / "best").mkdir()
    evaluation = {"metric": "accuracy", "split": "test", "metrics": {"accuracy": 0.625}, "majority_share": 0.5}
    (tmp_path / "best" / "evaluation.json").write_text(json.dumps(evaluation | {"trial": "t0002", "speed": "9 ms"}))
    text = write_report(tmp_path).read_text()
    assert "<b>Best model: t0006</b>, accuracy 0.5600 on validation" in text
    assert "0.6250" not in text
    assert "9 ms" not in text
    assert "holds an earlier model" in text


def test_children_from_outside_of_the_library_are_on_the_map(tiny_library, tmp_path):
    _run(tmp_path, tiny_library)
    assert "made by pruning, stitching, merging" not in write_report(tmp_path).read_text()
    parents = [spec for spec in tiny_library.specs if len(spec.layers) == 4][:2]
    (child,) = children(parents, ["stitch"])
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("suggested", "t0020", **child.to_dict())
    journal.append("finished", "t0020", score=0.7, objectives={"parameters": 1e6}, cost_s=10.0)
    text = write_report(tmp_path).read_text()
    assert "made by pruning, stitching, merging" in text
    assert "of the library" in text


def test_of_equal_scores_the_first_suggested_is_the_best_as_in_the_folder_of_the_best(tiny_library, tmp_path):
    _run(tmp_path, tiny_library)
    journal = Journal(tmp_path / "journal.jsonl")
    for number in (20, 21):
        journal.append("suggested", f"t00{number}", **Candidate(tiny_library.specs[number], Origin()).to_dict())
    for number in (21, 20):
        journal.append("finished", f"t00{number}", score=0.9, objectives={"parameters": 1e6}, cost_s=10.0)
    assert "<b>Best model: t0020</b>" in write_report(tmp_path).read_text()


def test_a_run_that_goes_on_has_a_report_too(tiny_library, tmp_path):
    _run(tmp_path, tiny_library, num_trials=2)
    text = write_report(tmp_path).read_text()
    assert "The run has not ended" in text
    assert "1 trials finished, 1 failed, 0 open" in text
    (tmp_path / "journal.jsonl").unlink()
    assert "No trial has finished yet." in write_report(tmp_path).read_text()


def test_the_command_refuses_a_folder_without_a_run(tmp_path):
    with pytest.raises(ValueError, match=r"holds no run \(no config.yaml\)"):
        report([str(tmp_path)])


def test_the_pareto_front_has_what_no_other_beats_in_both():
    costs, scores = np.array([3.0, 1.0, 2.0, 2.0, 4.0]), np.array([0.5, 0.2, 0.4, 0.3, 0.5])
    assert pareto_front(costs, scores) == [1, 2, 0]
