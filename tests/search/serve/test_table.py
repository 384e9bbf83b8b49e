"""A table is shown as it is read, and can be read otherwise, before a search is made of it."""

import json

import pytest

from tests.search.serve.services import ROWS, SPACE, TABLE, TOKEN


def _look(service, table, name="films.csv", **options):
    data = {"options": json.dumps(options)} if options else {}
    return service.client.post("/api/tables", files=[("table", (name, table))], data=data)


def test_columns_labels_duplicates_and_long_texts_are_told(refusing):
    long = f"a {'very ' * 80}long story,good"
    answer = _look(refusing, "\n".join(["review,verdict", *ROWS, ROWS[0], long]).encode())
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["columns"] == ["review", "verdict"]
    assert found["first_rows"][0] == ["a dull and sad story 0", "bad"]
    assert (found["rows"], sum(found["sizes"].values())) == (42, found["rows"])
    assert (found["kind"], found["metric"], found["num_labels"]) == ("one class for each text", "accuracy", 2)
    assert {one["label"] for one in found["labels"]} == {"good", "bad"}
    assert sum(one["rows"] for one in found["labels"]) == found["sizes"]["train"]
    assert found["duplicates"] == 1
    assert found["max_length"] == 64
    assert any("labels from 'verdict'" in note for note in found["notes"])
    assert not any((refusing.root / "incoming").glob("*"))


def test_other_columns_can_be_named(refusing):
    rows = "\n".join(
        [
            "title,review,stars,verdict",
            *(f"film {n},{row.replace(',', f',{n % 3 + 1},')}" for n, row in enumerate(ROWS)),
        ]
    )
    assert _look(refusing, rows.encode(), label_column="verdict").json()["num_labels"] == 2
    other = _look(refusing, rows.encode(), text_column="title", label_column="stars").json()
    assert other["first_rows"][0][0] == "film 0"
    assert other["longest_words"] == 2
    assert other["num_labels"] == 3 or other["kind"] == "a number for each text"


@pytest.mark.parametrize(
    ("table", "name", "options", "message"),
    [
        (b"text\nonly one\n", "a.csv", {}, "table.csv needs a column of texts and one of labels"),
        (TABLE, "a.exe", {}, "'table' must be a file ending in"),
        (TABLE, "a.csv", {"label_column": "nothing"}, "has no column 'nothing'"),
        (TABLE, "a.csv", {"label_colum": "verdict"}, "Unknown option 'label_colum'"),
        (TABLE, "a.csv", {"label_column": 3}, "must be a text, or true or false"),
    ],
    ids=["one column", "ending", "missing column", "unknown option", "no text"],
)  # fmt: skip
def test_what_cannot_be_read_is_told(refusing, table, name, options, message):
    answer = _look(refusing, table, name, **options)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]


def test_nobody_looks_without_the_token(refusing):
    answer = refusing.client.post(
        "/api/tables", files=[("table", ("a.csv", TABLE))], headers={"Authorization": "Bearer no"}
    )
    assert answer.status_code == 401
    assert TOKEN not in answer.text


def test_what_the_three_steps_send_is_a_search(service):
    space = service.client.get("/api/space")
    assert space.status_code == 200
    options = {"epochs": 2, "num_init": 3, "pretrain_steps": 120, "max_length": 64, "max_trials": 12}
    options |= {"constraints": ["parameters=1000000"], "text_column": "review", "label_column": "verdict"}
    folder = service.accepted(design_space=("space.yaml", space.content), table=("films.csv", TABLE), options=options)
    assert folder.request["options"]["constraints"] == ["parameters=1000000"]
    assert folder.request["task_name"] == "films"
    assert SPACE != space.content
