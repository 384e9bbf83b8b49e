"""What people call a model."""

import json
from pathlib import Path

import pytest

from flexibert.conversion.origin import name_of

COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"


@pytest.mark.parametrize(
    ("folder", "card", "before", "name"),
    [
        ("my-bert", "# all-MiniLM-L6-v2\n", "owner/base", "my-bert"),
        ("model", "---\nlicense: mit\n---\n\n# all-MiniLM-L6-v2\nSome text.\n", "owner/base", "all-MiniLM-L6-v2"),
        ("model", "# A model of mine\n", "owner/base", "base"),
        ("checkpoint-500", "---\nbase_model:\n- owner/one\n- owner/two\n---\n", "owner/base", "one"),
        (f"models--owner--good-name/snapshots/{COMMIT}", "", "/tmp/somewhere", "good-name"),
        ("model", "", "/tmp/somewhere", "model"),
        ("best", "---\n{broken\n---\n", "owner/base", "base"),
    ],
    ids=["says it itself", "heading", "sentence", "card", "cache", "unknown", "broken card"],
)
def test_a_folder_that_says_nothing_is_called_by_what_is_known(
    folder: str, card: str, before: str, name: str, tmp_path: Path
) -> None:
    place = tmp_path / folder
    place.mkdir(parents=True)
    (place / "README.md").write_text(card)
    (place / "config.json").write_text(json.dumps({"model_type": "bert", "_name_or_path": before}))
    assert name_of(place) == name
    assert name_of(str(place)) == name


def test_a_name_on_the_hub_is_called_by_its_last_part() -> None:
    assert name_of("sentence-transformers/all-MiniLM-L6-v2") == "all-MiniLM-L6-v2"
    assert name_of("nowhere/model") == "model"
