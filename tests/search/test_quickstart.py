"""What ``make search`` runs, at a size that takes a minute; and that everything we ship for it is sound."""

import json

import pytest

from search import quickstart
from search.quickstart import RECIPE
from search.records.journal import Journal
from search.runs.options import parse

TINY = """
task: python_docs
vocab_size: 500
max_length: 16
max_train_examples: 200
num_init: 1
pretrain_steps: 5
epochs: 1
min_overlap: 0.2
surrogate: gp
max_concurrent: 1
"""


def test_the_recipe_we_ship_is_understood():
    options = parse(["--config", RECIPE, "--dataset_file", "library.json"])
    assert options.tuned_recipe.pretrain_steps > 0
    assert options.settings.num_init == 3
    assert options.settings.origins == ("scratch", "pretrained", "transfer", "prune", "stitch", "merge")
    assert options.data.task == "python_docs"


@pytest.mark.integration
def test_two_levels_end_in_one_tested_model_and_a_second_start_says_so(tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(TINY)
    flags = ["--from_scratch", "--run_dir", str(tmp_path / "run"), "--config", str(tmp_path / "tiny.yaml")]
    quickstart.quickstart([*flags, "--trials", "2", "2"])
    printed = capsys.readouterr().out
    origins = {}
    for level in (1, 2):
        events = list(Journal(tmp_path / "run" / f"level-{level}" / "journal.jsonl").events())
        assert sum(event["event"] == "finished" for event in events) == 2
        origins[level] = [event["origin"]["kind"] for event in events if event["event"] == "suggested"]
    assert origins[1][0] == "scratch"
    assert "scratch" not in origins[2]  # models of the first level are parents in the second
    evaluation = json.loads((tmp_path / "run" / "best" / "evaluation.json").read_text())
    assert evaluation["split"] == "test"
    assert f"{evaluation['metrics']['accuracy']:.4f}" in (tmp_path / "run" / "summary.md").read_text()
    for part in ("generate_library", "run_boshnas", "hierarchical", "Best model", "lineage"):
        assert part in printed
    quickstart.quickstart(flags)
    assert "holds a finished search" in capsys.readouterr().out


def test_the_encoder_of_the_package_is_found_without_running_its_code(tmp_path, monkeypatch):
    package = tmp_path / quickstart.ENCODER_PACKAGE
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(quickstart, "ENCODER_PACKAGE", "a_package_that_is_not_there")
    assert quickstart.pretrained_encoder() is None
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(tmp_path))
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('this code must not run')")
    assert quickstart.pretrained_encoder() == package / "model"
