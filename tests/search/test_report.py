"""The report is one page that needs nothing else, and says what the journal says."""

import html.parser
import json
import shutil
import subprocess

import matplotlib.image
import numpy as np
import pytest
import yaml

from design_space import ModelSpec
from flexibert import Latency
from search.candidate import Candidate, Origin
from search.names import spoken_name
from search.records.comparison_file import write_comparison
from search.records.journal import Journal, TrialRecord
from search.report import write_report
from search.report.__main__ import report
from search.report.curves import losses_over_progress, scores_over_seconds
from search.report.drawing import drawing, sizes_beside
from search.report.figures import pareto_front
from search.report.lineage import lineage
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


def test_a_run_whose_best_model_was_moved_away_is_told_without_it(tiny_library, tmp_path):
    _run(tmp_path, tiny_library)
    simple = {"name": "bag of words", "kind": "simple", "trial": None, "score": [0.5, 0.4, 0.6], "note": ""}
    simple |= {"difference": [0.0] * 3, "behind": [0.0] * 3, "kept": [1.0] * 3, "parameters": 10, "latency": None}
    compared = {"metric": "accuracy", "split": "test", "rows": 9, "sizes": {"train": 9}, "length": 16, "threads": 1}
    compared |= {"runtime": "torch", "models": [simple], "unmet": []}
    (tmp_path / "comparison.json").write_text(json.dumps(compared))
    assert "bag of words" not in write_report(tmp_path).read_text()
    assert "t0006" in write_report(tmp_path).read_text()


def test_a_finished_run_is_told_in_one_page(tiny_library, tmp_path):
    specs = _run(tmp_path, tiny_library)
    (tmp_path / "best").mkdir()
    evaluation = {"metric": "accuracy", "split": "test", "metrics": {"accuracy": 0.625}, "majority_share": 0.5}
    evaluation["trial"] = "t0006"
    evaluation["speed"] = "3.00 ms (2.90 to 3.20) for 8 x 16 tokens in PyTorch on the CPU with 1 thread"
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
    assert page.tags.count("svg") == 5  # progress, two trade-offs, what was expected, the map
    assert "1 inside of 95 %" in text  # 0.53; 0.54, 0.55 and 0.56 are outside
    assert "3 outside" in text
    assert all(place.startswith("data:") for place in page.fetched)
    assert page.tags.count("script") == 2  # the figures of the trials, and what shows them
    best = f"{spoken_name(specs[6].hash)} (t0006)"
    assert f'<p class="sentence">{best} is the best model: accuracy 0.6250 on test.</p>' in text
    assert (
        "accuracy 0.5600 on validation; on test: accuracy 0.6250 (always the most frequent class: accuracy 0.5000)"
        in text
    )
    assert "A forward pass takes 3.00 ms (2.90 to 3.20) for 8 x 16 tokens in PyTorch on the CPU with 1 thread." in text
    assert "<b>7 M</b>" in text
    assert "model = AutoModelForTokenClassification.from_pretrained" in text
    trained = "trained under the same recipe: accuracy"
    assert f"same-size</b>, {trained} 0.5375 on validation; 7,000,000 parameters, 3.46 ms (3.4" in text
    assert f"Baseline bert-mini</b>, {trained} 0.5000 on validation." in text
    assert all(spec.hash in text for spec in specs)
    assert f"transfer of {spoken_name(specs[0].hash)} (t0000)" in text
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
    assert "(t0003) is the best so far: score 0.5300 on validation" in text  # better ones have more parameters
    assert "Limits of the search: at most 4,000,000 parameters (4,000,000 when it was found): kept." in text
    front = text[text.index("<h3>The Pareto front") : text.index("<h3>Who inherited")]
    assert [number for number in range(8) if f">t000{number}</a>" in front] == [0, 1, 2, 3]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config | goals | {"constraints": ["latency_ms=0.5"]}))
    assert "kept by no trial; this one breaks them least" in write_report(tmp_path).read_text()


def test_the_best_of_a_run_that_goes_on_is_not_told_with_an_earlier_ones_test(tiny_library, tmp_path):
    _run(tmp_path, tiny_library)
    (tmp_path / "best").mkdir()
    evaluation = {"metric": "accuracy", "split": "test", "metrics": {"accuracy": 0.625}, "majority_share": 0.5}
    (tmp_path / "best" / "evaluation.json").write_text(json.dumps(evaluation | {"trial": "t0002", "speed": "9 ms"}))
    text = write_report(tmp_path).read_text()
    assert "(t0006) is the best so far: accuracy 0.5600 on validation" in text
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
    assert "(t0020) is the best so far" in write_report(tmp_path).read_text()


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


def _model(name, kind, trial, score, *, behind=(0.0, 0.0, 0.0), difference=(0.0, 0.0, 0.0), parameters=100, ms=None):
    low, high = score - 0.05, score + 0.05
    kept = [score / 0.8, low / 0.8, high / 0.8]
    latency = {"median_ms": ms, "low_ms": 0.9 * ms, "high_ms": 1.1 * ms} if ms else None
    return {
        "name": name, "kind": kind, "trial": trial, "score": [score, low, high], "difference": list(difference),
        "behind": list(behind), "kept": kept, "parameters": parameters, "latency": latency, "note": "on <few> words",
    }  # fmt: skip


def _compared(folder, models, *, answers=None, unmet=()):
    comparison = {"metric": "accuracy", "split": "test", "rows": 500, "length": 16, "threads": 1, "runtime": "torch"}
    comparison["sizes"] = {"train": 4000, "validation": 400, "test": 500}
    write_comparison(folder, comparison | {"models": models, "unmet": list(unmet)}, answers)
    (folder / "best").mkdir(exist_ok=True)
    evaluation = {"trial": "t0006", "metric": "accuracy", "split": "test", "metrics": {"accuracy": 0.78}}
    (folder / "best" / "evaluation.json").write_text(json.dumps(evaluation | {"majority_share": 0.5}))


def _told(folder):
    text = write_report(folder).read_text()
    assert _Page(text).open == []
    return text, text[text.index('class="answer"') : text.index("<nav")]


ROOT = _model("tiny-bert", "encoder", "t0000", 0.8, parameters=300, ms=9.0)
WORDS = _model("bag of words", "simple", None, 0.7, behind=(0.08, 0.03, 0.12))


def test_the_verdict_stands_beside_the_encoder_with_intervals(tiny_library, tmp_path):
    specs = _run(tmp_path, tiny_library)
    best = _model("t0006", "best", "t0006", 0.78, difference=(-0.02, -0.05, 0.01), ms=3.0)
    _compared(tmp_path, [ROOT, best, WORDS], unmet=["4 times as fast, measured at the end 3.00"])
    text, verdict = _told(tmp_path)
    name = f"{spoken_name(specs[6].hash)} (t0006)"
    assert (
        f"{name} answers as well as tiny-bert, as far as 500 test rows can tell, and is 3.0 times faster and 3.0 times "
        "smaller." in verdict
    )
    assert "<b>97.5 %</b>" in verdict
    assert "95 % interval 91.2 to 103.8 %" in verdict
    assert "95 % interval 2.5 to 3.7" in verdict  # 8.1 / 3.3 and 9.9 / 2.7
    assert "3.00 ms against 9.00 ms for one text of 16 tokens in PyTorch on the CPU with 1 thread" in verdict
    assert (
        "the difference to tiny-bert is -2.0 points of accuracy (95 % interval -5.0 to +1.0), which chance" in verdict
    )
    assert "bag of words reaches accuracy 0.7000 (0.6500 to 0.7500): 8.0 points (3.0 to 12.0) less" in verdict
    assert "Not reached: 4 times as fast, measured at the end 3.00." in verdict
    assert "-2.0 points<small>-5.0 to +1.0, not told apart</small>" in text
    assert "on &lt;few&gt; words" in text
    assert "always the most frequent class" in text
    assert "Models were trained on 4,000 rows, chosen on 400 rows, judged on 500 rows." in text


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ((0.03, 0.01, 0.05), "answers better than tiny-bert, by 3.0 points of accuracy"),
        ((-0.04, -0.06, -0.02), "answers less well than tiny-bert, by 4.0 points of accuracy"),
    ],
    ids=["better", "worse"],
)
def test_what_is_told_apart_is_said_to_be(difference, said, tiny_library, tmp_path):
    _run(tmp_path, tiny_library)
    best = _model("t0006", "best", "t0006", 0.78, difference=difference, parameters=600, ms=9.1)
    _compared(tmp_path, [ROOT, best])
    assert f"{said}, and is 2.0 times larger." in _told(tmp_path)[1]


@pytest.mark.parametrize(
    ("behind", "said"),
    [
        ((-0.05, -0.08, -0.02), "5.0 points (2.0 to 8.0) more than the best model. Use that, or train for longer."),
        ((0.01, -0.02, 0.04), "which is not told apart from the best model: this task may not need a network"),
    ],
    ids=["more", "as much"],
)
def test_a_simple_baseline_that_does_as_well_is_a_warning(behind, said, tiny_library, tmp_path):
    _run(tmp_path, tiny_library)
    words = _model("bag of words", "simple", None, 0.79, behind=behind)
    _compared(tmp_path, [_model("t0006", "best", "t0006", 0.78, ms=3.0), words])
    verdict = _told(tmp_path)[1]
    assert "(t0006) reaches accuracy 0.7800 (0.7300 to 0.8300) on 500 test rows." in verdict
    assert '<p class="warning">Without training a network, bag of words reaches' in verdict
    assert said in verdict


def test_an_encoder_that_nothing_smaller_matches_is_kept(tiny_library, tmp_path):
    _run(tmp_path, tiny_library)
    _compared(tmp_path, [ROOT | {"trial": "t0006"}, WORDS])
    assert "Nothing smaller was good enough: the encoder tiny-bert itself is kept" in _told(tmp_path)[1]


def test_answers_are_shown_and_texts_are_escaped(tiny_library, tmp_path):
    _run(tmp_path, tiny_library)
    answers = {
        "trial": "t0006", "split": "test", "rows": 9, "reference": "tiny-bert", "label_names": ["no", "<yes>"],
        "confusion": [[4, 1], [2, 2]], "counts": {"both": 5, "best": 1, "reference": 2, "neither": 1}, "num_wrong": 2,
        "classes": [{"name": "<yes>", "precision": 0.667, "recall": 0.5, "f1": 0.571, "rows": 4}],
        "examples": [
            dict(text="<script>alert(1)</script> a film", label="<yes>", best="no", sure=0.98, reference="<yes>"),
        ],
    }  # fmt: skip
    best = _model("t0006", "best", "t0006", 0.78, ms=3.0)
    _compared(tmp_path, [ROOT, best], answers=answers)
    text, _ = _told(tmp_path)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; a film" in text
    assert "<script>alert" not in text
    assert "<yes>" not in text
    assert '<td class="right" data-label="no" style="--share: 0.800">4</td>' in text
    assert "only tiny-bert is right: 2" in text
    assert "the model says <b>no</b>, 98 % sure" in text
    (tmp_path / "answers.json").write_text(json.dumps(answers | {"trial": "t0001"}))
    assert "alert" not in _told(tmp_path)[0]  # of an earlier best model


def test_marks_lead_to_entries_and_say_what_they_are(tiny_library, tmp_path):
    specs = _run(tmp_path, tiny_library)
    text = write_report(tmp_path).read_text()
    said = f"t0003 {spoken_name(specs[3].hash)}: 0.5300, 4,000,000 parameters, 6.00 ms, scratch"
    assert f'<a href="#trial-t0003"><title>{said}</title>' in text
    assert '<details id="trial-t0003">' in text
    data = text[text.index('id="marks">') + len('id="marks">') :]
    marks = json.loads(data[: data.index("</script>")])
    assert marks[3] == {
        "place": "trial-t0003", "said": said, "score": 0.53, "objectives": {"parameters": 4e6, "latency_ms": 6.0}
    }  # fmt: skip
    assert "http" not in text.replace("http://www.w3.org/", "")


def test_curves_are_those_of_the_last_start():
    def event(kind, time, **content):
        return {"event": kind, "trial": "t1", "time": time, **content}

    events = [
        event("suggested", 0.0),
        event("started", 1.0),
        event("reported", 2.0, phase="fine-tune", validation_score=0.1),
        event("started", 10.0),
        event("reported", 11.0, phase="pre-train", progress=0.5, loss=9.0),
        event("reported", 12.0, phase="fine-tune", progress=0.25, loss=0.7),
        event("reported", 13.0, phase="fine-tune", validation_score=0.6),
        event("reported", 15.0, phase="fine-tune", validation_score=0.8),
    ]
    assert scores_over_seconds(events) == {"t1": ([3.0, 5.0], [0.6, 0.8])}
    assert losses_over_progress(events) == {"t1": ([25.0], [0.7])}


def test_the_lineage_is_a_tree_below_first_parents(tiny_library):
    a, b, c, d, e = tiny_library.specs[:5]
    origins = {
        a: Origin(),
        b: Origin("transfer", a.hash),
        c: Origin("stitch", b.hash, a.hash),
        d: Origin("transfer", e.hash),
        e: Origin("transfer", d.hash),
    }
    records = [
        TrialRecord(f"t{number}", Candidate(spec, origin), "finished", 0.5 + number / 10)
        for number, (spec, origin) in enumerate(origins.items())
    ]
    ranked = sorted(records, key=lambda record: record.trial != "t2")
    trees, left_out = lineage(ranked)
    assert left_out == 0
    found = {}

    def walk(branch, depth):
        found[branch.record.trial] = depth, branch.is_path, [other.trial for other in branch.others]
        for child in branch.children:
            walk(child, depth + 1)

    for tree in trees:
        walk(tree, 0)
    assert found["t0"] == (0, True, [])
    assert found["t1"] == (1, True, [])
    assert found["t2"] == (2, True, ["t0"])
    assert sorted(found) == ["t0", "t1", "t2", "t3", "t4"]  # of two that are parents of each other too
    assert lineage(records[:1]) == ([], 0)


def test_runs_are_compared_with_intervals_the_best_first(tiny_library, tmp_path, capsys):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        _run(tmp_path / name, tiny_library)
    _compared(tmp_path / "second", [ROOT, _model("t0006", "best", "t0006", 0.78, ms=3.0)])
    report([str(tmp_path / "first"), str(tmp_path / "second"), "--output", str(tmp_path / "both.html")])
    said = capsys.readouterr().out
    assert said.index("second: accuracy 0.7800 (0.7300 to 0.8300) on 500 rows of test") < said.index(
        "first: score 0.56"
    )
    text = (tmp_path / "both.html").read_text()
    page = _Page(text)
    assert page.open == []
    assert all(place.startswith("data:") for place in page.fetched)
    assert "0.7800<small>0.7300 to 0.8300</small>" in text
    assert "3.00<small>2.70 to 3.30</small>" in text
    assert "not about the same task, metric and rows" in text
    assert ">70<small>" in text  # seconds of training of seven trials
    assert "cola &lt;b&gt;" in text


def test_a_drawing_is_to_the_scale_of_what_stands_beside_it():
    whole = ModelSpec.homogeneous(3, 32, 4, 128)
    part = ModelSpec.from_dict(
        {"l": 2, "o": ["sa"] * 2, "h": [32] * 2, "n": [4, 1], "f": [[64], [16]], "p": ["sdp"] * 2}
    )
    drawn = drawing(part, whole)
    assert [layer.feed_forward for layer in drawn.layers] == [((64, 50.0),), ((16, 12.5),)]
    assert [len(layer.heads) for layer in drawn.layers] == [4, 1]
    [layers] = drawing(whole, part).layers
    assert (layers.first, layers.last, layers.feed_forward) == (1, 3, ((128, 100.0),))
    assert sizes_beside(part, whole) == (
        "2 layers instead of 3, 5 heads instead of 12, 80 feed-forward width in all instead of 384"
    )


def test_names_are_the_same_for_the_same_architecture(tiny_library):
    assert spoken_name("0" * 64) == "able adder"
    assert spoken_name(f"{102 * 3 + 56:064x}") == "ample lark"
    assert len({spoken_name(spec.hash) for spec in tiny_library.specs}) > 0.95 * len(tiny_library.specs)


def test_the_pareto_front_has_what_no_other_beats_in_both():
    costs, scores = np.array([3.0, 1.0, 2.0, 2.0, 4.0]), np.array([0.5, 0.2, 0.4, 0.3, 0.5])
    assert pareto_front(costs, scores) == [1, 2, 0]
