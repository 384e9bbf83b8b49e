"""What may be submitted, what is refused with which reason, and that nothing leaves the folder of the search."""

import io
import json

import pytest
import yaml

from design_space.files import read_yaml
from search.serve.options import check_search_options
from tests.search.serve.services import SPACE, TABLE, Service


def _refusal(service, code=422, **parts):
    """Why a submission is refused; nothing of it stays, and the reason names no place on the server."""
    answer = service.submit(**parts)
    assert answer.status_code == code, answer.text
    detail = answer.json()["detail"]
    assert str(service.root) not in detail
    assert not any((service.root / "searches").iterdir())
    assert not any((service.root / "incoming").glob("*"))
    return detail


def test_a_submission_lies_in_its_folder(service):
    folder = service.accepted(
        name="films",
        table=("films of 2026.csv", TABLE),
        corpus=b"some text\n",
        options={"max_trials": 3, "learning_rate": "1e-4", "origins": ["scratch"], "resources_per_trial": {"cpu": 2}},
        library_options={"layers_per_stack": 2, "embedding_size": 4},
    )
    assert (folder.path / "space.yaml").read_bytes() == SPACE
    assert (folder.path / "table" / "films_of_2026.csv").read_bytes() == TABLE
    assert (folder.path / "corpus" / "001.txt").read_bytes() == b"some text\n"
    kept = {"max_trials": 3, "learning_rate": 1e-4, "origins": ["scratch"], "resources_per_trial": {"cpu": 2.0}}
    assert read_yaml(folder.options_file) == kept
    status = service.get(folder).json()
    assert status["state"] == "queued"
    assert status["queue_position"] == 1
    assert (status["name"], status["task"], status["max_trials"]) == ("films", "films_of_2026", 3)
    assert service.client.get("/api/searches").json() == [status]


def test_the_commands_get_what_was_submitted(service):
    folder = service.accepted(
        table=TABLE,
        validation=TABLE,
        corpus=b"text\n",
        library_options={"max_graphs": 20, "kernel": "WeisfeilerLehman"},
    )
    library, search = service.jobs._commands(folder)
    assert library[2:6] == ["-m", "embeddings.generate_library", "--design_space_file", str(folder.path / "space.yaml")]
    assert library[-4:] == ["--max_graphs", "20", "--kernel", "WeisfeilerLehman"]
    assert search[2:4] == ["-m", "search.run_boshnas"]
    for flag, place in [
        ("--run_dir", "run"),
        ("--dataset_file", "library.json"),
        ("--config", "options.yaml"),
        ("--task", "table/my_table.csv"),
        ("--validation_file", "validation/validation.csv"),
        ("--corpus", "corpus/001.txt"),
    ]:
        assert search[search.index(flag) + 1] == str(folder.path / place)
    assert "--resume" not in search


def test_plugins_are_those_of_whoever_started_the_service(tmp_path):
    service = Service(tmp_path / "root", plugins=("one", "two.three"))
    with service.client:
        for command in service.jobs._commands(service.accepted()):
            assert command[4:7] == ["--plugin", "one", "two.three"]


def test_a_library_is_taken_as_it_is(service, tiny_library, tmp_path):
    tiny_library.save(tmp_path / "library.json")
    content = (tmp_path / "library.json").read_bytes()
    folder = service.accepted(design_space=None, library=content, task="cola")
    assert folder.library.read_bytes() == content
    (search,) = service.jobs._commands(folder)
    assert search[search.index("--task") + 1] == "cola"


BOMB = b"a: &a [1, 1]\nb: &b [*a, *a]\narchitecture: {hidden_size: *b}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"architecture: [", "'design_space' cannot be used: space.yaml is not valid YAML"),
        (b"[1, 2]", "must hold a mapping"),
        (b"a: \xff\xfe", "'design_space' cannot be used"),
        (SPACE.replace(b"num_heads", b"num_head"), "Unknown key 'num_head'"),
        (SPACE.replace(b"[16, 32]", b"[15]"), "'num_heads' 2 does not divide 'hidden_size' 15"),
        (b"!!python/object/apply:os.system ['true']", "'design_space' cannot be used"),
        (BOMB, "aliases (*name) are not allowed"),
        (b"[" * 30_000, "it is nested more than 10 levels deep"),
        (b"#" * 70_000, "a YAML file of at most 64 KiB"),
        (SPACE.replace(b"[2, 4]", b"[12]"), "too many to list"),
    ],
    ids=["yaml", "list", "bytes", "key", "heads", "python", "alias", "deep", "long", "size"],
)
def test_a_bad_design_space_is_refused(refusing, content, message):
    assert message in _refusal(refusing, design_space=content, library_options={"layers_per_stack": 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_trial": 3}, "Unknown option 'max_trial' in options. Did you mean 'max_trials'"),
        ({"max_trials": 0}, "'max_trials' in options must be a whole number of at least 1. Got 0"),
        ({"max_trials": "many"}, "'max_trials' in options must be a whole number of at least 1"),
        ({"max_trials": True}, "'max_trials' in options must be a whole number of at least 1. Got True"),
        ({"max_trials": [3]}, "'max_trials' in options must be a whole number of at least 1. Got [3]"),
        ({"pretrain_steps": 1.5}, "'pretrain_steps' in options must be a whole number of at least 0. Got 1.5"),
        ({"pretrain_steps": -1}, "'pretrain_steps' in options must be a whole number of at least 0. Got -1"),
        ({"max_trials": "3,2"}, "'max_trials' must be one number, or one for each of the 1 levels"),
        ({"constraints": ["/etc/passwd"]}, "'constraints' in options must be written like parameters=2e6"),
        ({"constraints": ["colour=3"]}, "'constraints' in options must limit one of"),
        ({"min_overlap": 2}, "'min_overlap' in options must be in [0, 1]. Got 2"),
        ({"surrogate": "woods"}, "'surrogate' in options must be one of"),
        ({"origins": ["transfer"]}, "'origins' must include 'scratch'"),
        ({"origins": "scratch"}, "'origins' in options must be a list. Got 'scratch'"),
        ({"autotune": "yes"}, "'autotune' in options must be true or false. Got 'yes'"),
        ({"resources_per_trial": {"ram": 4}}, "must give cpu, gpu or both, above 0"),
        ({"corpus_weights": [1.0]}, "'corpus_weights' must be one number above 0 for each 'corpus' file"),
        ('{"learning_rate": Infinity}', "'learning_rate' in options must be a finite number of at least 0. Got inf"),
        ('{"learning_rate": 1e999}', "'learning_rate' in options must be a finite number of at least 0. Got inf"),
        ("{max_trials: 3}", "'options': Invalid JSON: key must be a string at line 1 column 2. Got '{max_trials: 3}'"),
        ("[3]", "'options': Input should be a valid dictionary. Got [3]"),
        ("[" * 50_000, "'options': Invalid JSON: recursion limit exceeded"),
        ({"label_column": "verdict"}, "'label_column' belong to an uploaded 'table', and there is none"),
        ({"metric": "x\ny"}, "'metric' in options must be at most 200 printable characters"),
        ({"recipe": "cheap"}, "'recipe' in options must be one of original, cpu, single-gpu, pretrained. Got 'cheap'"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str | dict) else "",
)
def test_bad_options_are_refused(refusing, options, message):
    assert message in _refusal(refusing, options=options)


OUTSIDE = ["run_dir", "data_dir", "models_dir", "prepared_dir", "dataset_file", "config", "address", "resume"]
OUTSIDE += ["plugin", "levels", "task", "corpus", "validation_file", "test_file", "help", "start_from", "teacher"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_options_that_name_places_are_the_servers(refusing, name):
    message = f"'{name}' in options is not for clients; leave it out"
    for value in ("/etc", "../..", ["/etc"], True, None):
        with pytest.raises(ValueError, match=message):
            check_search_options({name: value})
    assert message in _refusal(refusing, options={name: "x"})


@pytest.mark.parametrize("value", ["/etc/passwd", "../../x", "~/x", "a/../b", "..", "./a", "a//b", "a/b/c", "a\\b", ""])
def test_texts_cannot_be_paths(refusing, value):
    message = (
        "'tokenizer' in options must be 'train' or a name on the Hub.*\n.*must be one of original, cpu, single-gpu"
    )
    with pytest.raises(ValueError, match=message):
        check_search_options({"tokenizer": value, "recipe": f"{value}.yaml"})
    assert "Unknown task" in _refusal(refusing, task=value or "x")


def test_a_name_on_the_hub_is_a_tokenizer(service):
    folder = service.accepted(options={"tokenizer": "google-bert/bert-base-uncased", "recipe": "cpu"})
    assert read_yaml(folder.options_file)["tokenizer"] == "google-bert/bert-base-uncased"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 2}, "Unknown option 'layers' in library_options. Did you mean 'layers_per_stack'"),
        ({"n_jobs": 999}, "'n_jobs' in library_options is not for clients"),
        ({"layers_per_stack": 3}, "'layers_per_stack' must divide every option of 'encoder_layers'"),
        ({"kernel": "Best"}, "'kernel' in library_options must be one of"),
        ({"embedding_size": 0}, "'embedding_size' must be between 1 and the number of landmarks less one, 71. Got 0"),
        ({"max_graphs": 1}, "A library needs at least two architectures, or there is nothing to search. Got 1"),
        ({"max_graphs": 0}, "'max_graphs' in library_options must be in [1, 1e+06]. Got 0"),
        ({"num_neighbors": 72}, "'num_neighbors' must be between 1 and the number of architectures less one, 71"),
        ({"plot": "x.svg"}, "Unknown option 'plot'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_options_of_the_library_are_refused(refusing, options, message):
    assert message in _refusal(refusing, library_options=options)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"review,verdict\ngood\n", "line 2 has 1 fields, the header 2"),
        ("t.csv", b"", "'table' cannot be used"),
        ("t.csv", b"text,label\n" + b"same words,one\n" * 9, "at least two classes"),
        ("t.csv", b"text,label\n\xff,1\n", "is not UTF-8"),
        ("t.jsonl", b'{"text": "a"\n', "is not JSON"),
        ("t.parquet", b"PAR1 no", "'table' cannot be used"),
        ("t.exe", TABLE, "'table' must be a file ending in .csv"),
        ("../../t", TABLE, "'table' must be a file ending in .csv"),
    ],
    ids=["fields", "empty", "classes", "bytes", "json", "parquet", "exe", "none"],
)
def test_a_bad_table_is_refused(refusing, name, content, message):
    assert message in _refusal(refusing, table=(name, content))


def test_columns_of_the_table_are_checked(service):
    assert "has no column 'stars'" in _refusal(service, table=TABLE, options={"label_column": "stars"})
    folder = service.accepted(table=TABLE, options={"label_column": "verdict", "text_column": "review"})
    assert read_yaml(folder.options_file) == {"label_column": "verdict", "text_column": "review"}


def test_rows_without_a_label_are_left_out_where_the_client_says_so(service):
    table = ("reviews.csv", TABLE + b"\nnothing said of this,\n")
    assert "skip_empty" in _refusal(service, table=table)
    assert read_yaml(service.accepted(table=table, options={"skip_empty": True}).options_file) == {"skip_empty": True}


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("../../../etc/cron.csv", "cron"),
        ("..\\..\\windows.csv", "windows"),
        ("/etc/passwd.csv", "passwd"),
        ("....csv", "table"),
        (".csv", "table"),
        ("--resume.csv", "resume"),
        ("a;b $(c)`d`.csv", "a_b_c_d"),
        ("films\x00.csv", "films_00"),
        ("ünï.csv", "n"),
        ("a" * 300 + ".CSV", "a" * 40),
    ],
)
def test_names_of_uploads_lead_nowhere(service, name, stored):
    before = {path for path in service.root.parent.rglob("*") if service.root not in path.parents}
    folder = service.accepted(table=(name, TABLE))
    assert [path.name for path in (folder.path / "table").iterdir()] == [f"{stored}.csv"]
    assert {path for path in service.root.parent.rglob("*") if service.root not in path.parents} == before


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"design_space": None}, "Give one of 'design_space' (a YAML file), 'library'"),
        ({"library": b"{}"}, "Give one of 'design_space' (a YAML file), 'library'"),
        ({"design_space": None, "library": b"{}"}, "'library' cannot be used"),
        ({"design_space": None, "library": b"{"}, "is damaged or cut off"),
        ({"design_space": None, "library": ("a.pkl", b"")}, "'library' must be a file ending in .json, .parquet"),
        ({"design_space": ("space.py", SPACE)}, "'design_space' must be a file ending in .yaml, .yml"),
        ({"task": "colla"}, "Unknown task 'colla'. Did you mean 'cola'"),
        ({"task": "owner/dataset"}, "Unknown task 'owner/dataset'"),
        ({"task": "cola", "table": TABLE}, "Give either 'task' (a name) or 'table' (a file)"),
        ({"validation": TABLE}, "'validation' belong to an uploaded 'table'"),
        ({"corpus": b"  \n"}, "No text in the corpus"),
        ({"name": "x" * 101}, "'name' must be at most 100"),
        ({"tabel": TABLE}, "Unknown form field 'tabel'. Did you mean 'table'"),
        ({"table": "a text"}, "'table'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_does_not_make_a_search_is_refused(refusing, parts, message):
    assert message in _refusal(refusing, **parts)


def test_all_problems_are_told_at_once(refusing):
    answer = refusing.submit(
        design_space=b"x: 1", task="colla", options={"max_trial": 1, "run_dir": "/"}, name="\n", table=None
    )
    detail = answer.json()["detail"]
    for part in ("'name'", "'max_trial'", "'run_dir'", "Unknown key 'x'", "'colla'"):
        assert part in detail


def test_a_body_that_is_no_form_is_refused(refusing):
    for content in (b"", b"{}", b"--b\r\nnonsense"):
        headers = {"Content-Type": "multipart/form-data; boundary=b"} if content.startswith(b"--") else {}
        answer = refusing.client.post("/api/searches", content=content, headers=headers)
        assert answer.status_code in (400, 422)
        assert answer.json()["detail"]


def test_options_are_described(refusing):
    described = refusing.client.get("/api/options").json()
    assert described["tasks"][:3] == ["python_docs", "glue", "cola"]
    assert described["options"]["epochs"] == {
        "help": "Epochs of fine-tuning.",
        "default": 3,
        "choices": None,
        "several": False,
    }
    assert described["options"]["origins"]["several"]
    assert not set(OUTSIDE) & described["options"].keys()
    assert "n_jobs" not in described["library_options"]
    yaml.safe_dump(json.load(io.StringIO(json.dumps(described))))
