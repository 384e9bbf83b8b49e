"""Exported folders: what their program answers, without torch, is what the model computes."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
import onnxruntime
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer, BertTokenizer

from flexibert import (
    FlexiBERTForMaskedLM,
    FlexiBERTForMultipleChoice,
    FlexiBERTForQuestionAnswering,
    FlexiBERTForSequenceClassification,
    FlexiBERTForTokenClassification,
)
from flexibert.__main__ import main
from flexibert.commands.examples import ExampleOptions, read_examples
from flexibert.runtimes import onnx_file

pytest.importorskip("onnxruntime", reason="needs the extra 'export'")

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

LAYERS = {"l": 2, "o": ["sa", "c"], "h": [16, 16], "n": [2, 2], "f": [[32]] * 2, "p": ["sdp", 3]}
LINEAR = {"l": 2, "o": ["l", "l"], "h": [16, 16], "n": [2, 2], "f": [[32]] * 2, "p": ["dft", "dft"]}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"the film is good bad long and short what dull".split(), "##y"]


@pytest.fixture
def folder(tiny: Callable, tmp_path: Path) -> Callable[..., tuple[Any, Path]]:
    """Makes a model with a head, saved with a tokenizer."""

    def made(head: Any, layers: dict[str, Any] = LAYERS, **options: Any) -> tuple[Any, Path]:
        config = tiny(layers, vocab_size=len(WORDS), max_position_embeddings=12, pad_token_id=0, **options)
        model = head(config).eval()
        model.save_pretrained(tmp_path / "model")
        vocabulary = {word: number for number, word in enumerate(WORDS)}
        BertTokenizer(vocab=vocabulary, model_max_length=10).save_pretrained(tmp_path / "model")
        return model, tmp_path / "model"

    return made


def export(source: Path, target: Path, *flags: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", str(source), str(target), *flags])
    assert not ended.value.code


def output_names(file: Path) -> list[str]:
    return [each.name for each in onnxruntime.InferenceSession(file).get_outputs()]


def answers(target: Path, lines: list[str]) -> list[dict[str, Any]]:
    """What the folder's program says, run in this process."""
    found = importlib.util.spec_from_file_location("predict", target / "predict.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return [module.Predictor(target)(line) for line in lines]


def tokens(source: Path, *texts: Any, **options: Any) -> dict[str, torch.Tensor]:
    tokenizer = BertTokenizer.from_pretrained(source)
    return dict(tokenizer(*texts, **({"truncation": True, "max_length": 10, "return_tensors": "pt"} | options)))


def test_classes_without_torch(folder: Callable, tmp_path: Path) -> None:
    labels = {0: "bad", 1: "so so", 2: "good"}
    model, source = folder(FlexiBERTForSequenceClassification, num_labels=3, id2label=labels)
    target = tmp_path / "out"
    export(source, target)
    code = "import sys, runpy; sys.modules['torch'] = sys.modules['transformers'] = None; "
    code += "sys.argv = ['predict.py']; runpy.run_path('predict.py', run_name='__main__')"
    texts = ["the film is good", "dully\tthe film is short", "long " * 30]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=target,
        input="\n".join(texts),
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for text, one in zip(texts, found, strict=True):
        shares = model(**tokens(source, *text.split("\t"))).logits.softmax(-1)[0]
        assert one["label"] == labels[int(shares.argmax())]
        assert one["score"] == pytest.approx(float(shares.max()), abs=1e-4)
    card = (target / "README.md").read_text()
    assert "one label of `bad`, `so so`, `good`. Texts are cut at 10 tokens." in card
    [answer] = answers(target, ["a text"])
    assert f"The second line prints `{json.dumps(answer)}`" in card
    assert "library_name: onnx\n" in card
    assert "| 1 x 12 |" in card
    assert {file.name for file in target.glob("*.py")} == {"predict.py", "serve.py"}
    assert str(Path(__file__).parents[3]).encode() not in (target / "model.onnx").read_bytes()


def test_other_programs_find_the_names_they_know(folder: Callable, tmp_path: Path) -> None:
    labels = {0: "bad", 1: "good"}
    _, source = folder(FlexiBERTForSequenceClassification, num_labels=2, id2label=labels)
    export(source, tmp_path / "classes")
    assert AutoConfig.from_pretrained(tmp_path / "classes").id2label == labels
    assert AutoTokenizer.from_pretrained(tmp_path / "classes")("the film").input_ids == [2, 5, 6, 3]
    assert output_names(tmp_path / "classes" / "model.onnx") == ["logits"]
    _, source = folder(FlexiBERTForQuestionAnswering)
    export(source, tmp_path / "answers", "--int8")
    assert output_names(tmp_path / "answers" / "model.onnx") == ["start_logits", "end_logits"]


def test_optimum_loads_it(folder: Callable, tmp_path: Path) -> None:
    # optimum-onnx 0.1.0 needs transformers below 4.58 and cannot be imported beside this project
    reason = "needs an optimum-onnx that runs with this transformers"
    optimum = pytest.importorskip("optimum.onnxruntime", reason=reason, exc_type=ImportError)
    model, source = folder(FlexiBERTForSequenceClassification, num_labels=3)
    export(source, tmp_path / "out")
    loaded = optimum.ORTModelForSequenceClassification.from_pretrained(tmp_path / "out")
    inputs = tokens(source, "the film is good")
    torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits.detach(), atol=1e-4, rtol=1e-4)


def test_linear_transforms_are_padded_as_in_training(folder: Callable, tmp_path: Path) -> None:
    model, source = folder(FlexiBERTForSequenceClassification, layers=LINEAR, num_labels=2)
    export(source, tmp_path / "out", "--padded_length", "9")
    [answer] = answers(tmp_path / "out", ["the film"])
    padded, plain = (
        float(model(**tokens(source, "the film", **options)).logits.softmax(-1).max())
        for options in ({"padding": "max_length", "max_length": 9}, {})
    )
    assert answer["score"] == pytest.approx(padded, abs=1e-4)
    assert padded != pytest.approx(plain, abs=1e-3)
    export(source, tmp_path / "whole")  # texts have at most 10 tokens
    [answer] = answers(tmp_path / "whole", ["the film"])
    whole = model(**tokens(source, "the film", padding="max_length")).logits.softmax(-1).max()
    assert answer["score"] == pytest.approx(float(whole), abs=1e-4)


def test_a_model_in_half_precision_is_written_in_single(folder: Callable, tmp_path: Path) -> None:
    model, source = folder(FlexiBERTForSequenceClassification, num_labels=2)
    model.to(torch.bfloat16).save_pretrained(source)
    export(source, tmp_path / "out")
    [answer] = answers(tmp_path / "out", ["the film"])
    share = float(model.float()(**tokens(source, "the film")).logits.softmax(-1).max())
    assert answer["score"] == pytest.approx(share, abs=1e-4)


def test_examples_are_cut_and_padded_as_predict_py_does(folder: Callable, tmp_path: Path) -> None:
    table = tmp_path / "films.csv"
    table.write_text("text,label\n" + f"the film,LABEL_0\n{'long ' * 30},LABEL_1\n" * 6)
    options = ExampleOptions(examples=table, max_examples=2, batch_size=1)
    for layers, shortest in ((LAYERS, 4), (LINEAR, 10)):
        model, source = folder(FlexiBERTForSequenceClassification, layers=layers, num_labels=2)
        read = read_examples(options, model, source)
        assert read is not None
        assert {batch["input_ids"].shape[1] for batch in read.batches} == {shortest, 10}
    further = read_examples(options, model, source, padded_length=7)
    assert further is not None
    assert {batch["input_ids"].shape[1] for batch in further.batches} == {7, 10}


def test_what_whole_numbers_cost_is_said_and_bounded(folder: Callable, tmp_path: Path, capsys: Any) -> None:
    labels = {0: "bad", 1: "good"}
    model, source = folder(FlexiBERTForSequenceClassification, num_labels=2, id2label=labels)
    texts = ["the film is good", "a dull film", "long and bad", "short", "bad film", "good and short"]
    logits = [model(**tokens(source, text)).logits[0] for text in texts]
    table = tmp_path / "films.csv"
    rows = [f"{text},{labels[int(each.argmax())]}" for text, each in zip(texts, logits, strict=True)]
    if len({row.rpartition(",")[2] for row in rows}) == 1:  # a table of one class is none
        rows[-1] = f"{texts[-1]},{'bad' if rows[-1].endswith('good') else 'good'}"
    table.write_text("\n".join(["text,label", *rows * 4]) + "\n")
    export(source, tmp_path / "a", "--int8", "--examples", str(table), "--max_drop", "30")
    assert "points of accuracy on 24 examples are lost" in capsys.readouterr().out
    export(source, tmp_path / "b", "--int8", "--max_drop", "40")
    said = capsys.readouterr().out
    assert "of 100 random texts are answered otherwise" in said
    assert said.splitlines()[1] in (tmp_path / "b" / "README.md").read_text()
    with pytest.raises(SystemExit):
        main(["export", str(source), str(tmp_path / "c"), "--max_drop", "1"])
    assert "--max_drop must be given with --int8" in capsys.readouterr().err


def test_numbers_and_several_labels(folder: Callable, tmp_path: Path) -> None:
    model, source = folder(FlexiBERTForSequenceClassification, num_labels=1, problem_type="regression")
    export(source, tmp_path / "number")
    [answer] = answers(tmp_path / "number", ["the film"])
    assert answer == {"label": pytest.approx(float(model(**tokens(source, "the film")).logits), abs=1e-4)}
    model, source = folder(FlexiBERTForSequenceClassification, num_labels=4, problem_type="multi_label_classification")
    export(source, tmp_path / "several")
    [answer] = answers(tmp_path / "several", ["the film"])
    shares = model(**tokens(source, "the film")).logits.sigmoid()[0]
    assert [one["label"] for one in answer["labels"]] == [f"LABEL_{place}" for place in range(4) if shares[place] > 0.5]


def test_a_label_for_every_word(folder: Callable, tmp_path: Path) -> None:
    model, source = folder(FlexiBERTForTokenClassification, num_labels=3)
    export(source, tmp_path / "out")
    [answer] = answers(tmp_path / "out", ["the dully film"])
    assert [one["word"] for one in answer["words"]] == ["the", "dully", "film"]
    labels = model(**tokens(source, "the dully film")).logits[0].argmax(-1)
    assert [one["label"] for one in answer["words"]] == [f"LABEL_{labels[place]}" for place in (1, 2, 4)]


def test_the_answer_is_a_piece_of_the_context(folder: Callable, tmp_path: Path) -> None:
    model, source = folder(FlexiBERTForQuestionAnswering)
    export(source, tmp_path / "out")
    context = "the film is long"
    [answer] = answers(tmp_path / "out", [f"what\t{context}"])
    inputs = tokens(source, "what", context)
    output = model(**inputs)
    begins, ends = output.start_logits.softmax(-1)[0].detach(), output.end_logits.softmax(-1)[0].detach()
    places = range(3, 7)  # [CLS] what [SEP] the film is long [SEP]
    best = max(((b, e) for b in places for e in places if b <= e), key=lambda pair: begins[pair[0]] * ends[pair[1]])
    assert (
        r"printf 'who wrote it\tit was written by Ada\n' | python predict.py"
        in (tmp_path / "out/README.md").read_text()
    )
    assert answer["label"] == " ".join(context.split()[best[0] - 3 : best[1] - 2])
    assert answer["score"] == pytest.approx(float(begins[best[0]] * ends[best[1]]), abs=1e-4)


def test_one_of_the_choices(folder: Callable, tmp_path: Path) -> None:
    model, source = folder(FlexiBERTForMultipleChoice)
    export(source, tmp_path / "out")
    choices = ["good", "bad and dull"]
    [answer] = answers(tmp_path / "out", ["\t".join(["what is the film", *choices])])
    inputs = tokens(source, ["what is the film"] * 2, choices, padding=True)
    shares = model(**{name: tensor[None] for name, tensor in inputs.items()}).logits.softmax(-1)[0]
    assert answer["label"] == choices[int(shares.argmax())]
    assert answer["score"] == pytest.approx(float(shares.max()), abs=1e-4)


def test_what_the_file_scores_is_measured_on_rows_held_out(folder: Callable, tmp_path: Path, capsys: Any) -> None:
    labels = {0: "bad", 1: "good"}
    model, source = folder(FlexiBERTForSequenceClassification, num_labels=2, id2label=labels)
    split = {}
    for split_name in ("train", "validation", "test"):  # one text a split, of which the labels are half right
        split[split_name] = [("the film is " + "short " * len(split_name), label) for label in ("bad", "good")]
    said = labels[int(model(**tokens(source, split["validation"][0][0])).logits.argmax())]
    split["validation"] += [(split["validation"][0][0], said)] * 2
    for split_name, rows in split.items():
        lines = ["text,label", *(f"{text},{label}" for text, label in rows)]
        (tmp_path / "films").mkdir(exist_ok=True)
        (tmp_path / "films" / f"{split_name}.csv").write_text("\n".join(lines) + "\n")
    export(source, tmp_path / "out", "--examples", str(tmp_path / "films"), "--max_examples", "4")
    assert "It scores 0.7500 (accuracy) on 4 examples." in capsys.readouterr().out
    assert "It scores 0.7500 (accuracy) on 4 examples." in (tmp_path / "out" / "README.md").read_text()


def test_a_missing_package_is_told_in_one_line(folder: Callable, tmp_path: Path) -> None:
    _, source = folder(FlexiBERTForSequenceClassification)
    export(source, tmp_path / "out")
    for package in ("tokenizers", "onnxruntime"):
        for script, argument in (("predict.py", "a text"), ("serve.py", "--port=0")):
            code = f"import sys, runpy; sys.modules['{package}'] = None; sys.argv = ['{script}', '{argument}']; "
            code += f"sys.path[0] = '.'; runpy.run_path('{script}', run_name='__main__')"
            done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "out", capture_output=True, text=True)
            [line] = done.stderr.splitlines()
            assert (done.returncode, package in line) == (2, True)
            assert line.endswith("pip install -r requirements.txt")


def test_what_cannot_be_exported_is_refused(
    folder: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def message(*arguments: Path | str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["export", *map(str, arguments)])
        assert ended.value.code == 2
        return capsys.readouterr().err

    _, source = folder(FlexiBERTForMaskedLM)
    assert "The model must have a task head (FlexiBERTForSequenceClassification" in message(source, tmp_path / "out")
    _, source = folder(FlexiBERTForSequenceClassification)
    assert "exists already" in message(source, source)
    inside = source / "config.json" / "out"
    assert f"cannot be made; {source / 'config.json'} must be a folder that you may write" in message(source, inside)
    assert "'padded_length' must be at most that of the longest text, 10. Got 11" in message(
        *(source, tmp_path / "out", "--padded_length", "11")
    )
    table = tmp_path / "films.csv"
    table.write_text("text,label\n" + "the film,x\nthe dull film,y\n" * 6)
    assert "labels must be the model's, LABEL_0, LABEL_1, or their numbers. Got x, y" in message(
        *(source, tmp_path / "out", "--examples", table)
    )
    AutoTokenizer.from_pretrained(source).save_pretrained(tmp_path / "words")
    more = AutoTokenizer.from_pretrained(source)
    more.add_tokens(["novel"])
    more.save_pretrained(source)
    assert f"must have at most the words of the model, {len(WORDS)}. Got {len(WORDS) + 1}" in message(
        source, tmp_path / "out"
    )
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (source / file).unlink()
    assert "holds no tokenizer" in message(source, tmp_path / "out")
    monkeypatch.setattr(onnx_file, "PACKAGES", ("onnx", "no_such_package"))
    assert "no_such_package must be installed: pip install 'flexibert-nas[export]'" in message(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_folder_answers_over_http_without_torch(folder: Callable, tmp_path: Path) -> None:
    model, source = folder(FlexiBERTForSequenceClassification, num_labels=3)
    target = tmp_path / "out"
    export(source, target)
    assert {"Dockerfile", "serve.py", "predict.py"} <= {file.name for file in target.iterdir()}
    copied = re.search(r"(?m)^COPY (model.onnx .*) /model/$", (target / "Dockerfile").read_text())
    assert copied is not None
    assert all((target / name).is_file() for name in (*copied[1].split(), "requirements.txt"))
    assert f"onnxruntime=={version('onnxruntime')}\n" in (target / "requirements.txt").read_text()
    code = "import sys, runpy; sys.modules['torch'] = sys.modules['transformers'] = None; sys.path[0] = '.'; "
    code += "sys.argv = ['serve.py', '--port', '0']; runpy.run_path('serve.py', run_name='__main__')"
    with subprocess.Popen([sys.executable, "-c", code], cwd=target, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        try:
            with httpx2.Client(trust_env=False, timeout=60) as client:
                texts = ["the film is good", "dully\tthe film", "what " * 100]
                found = client.post(address, json={"texts": texts}).json()["answers"]
                for text, one in zip(texts, found, strict=True):
                    with torch.no_grad():
                        shares = model(**tokens(source, *text.split("\t"))).logits.softmax(-1)[0]
                    assert one["label"] == f"LABEL_{int(shares.argmax())}"
                    assert one["score"] == pytest.approx(float(shares.max()), abs=1e-4)
                assert client.get(address.replace("/predict", "/health")).json() == {"status": "ready"}
                assert client.get(address).status_code == 404
                for wrong, why in (
                    ({"texts": []}, "with 1 to 64 texts"),
                    ({"texts": ["a"] * 65}, "with 1 to 64 texts"),
                    ({"texts": ["a", ""]}, "Text 2 must be a text of 1 to 10000 characters"),
                    ({"texts": ["a" * 10_001]}, "Text 1 must be"),
                    ({"texts": ["a"], "file": "b"}, "must be {"),
                    (["a"], "must be {"),
                    ({"texts": ["a\tb\tc"]}, "A line must hold 1 or 2 texts"),
                ):
                    refused = client.post(address, json=wrong)
                    assert (refused.status_code, why in refused.json()["detail"]) == (422, True)
                assert client.post(address, content=b"[" * 100_000).status_code == 422
                assert client.post(address, content=b'{"texts": ["\\ud800"]}').status_code == 422
                assert client.post(address, content=b" " * (2**20 + 1)).status_code == 413
            port = address.split(":")[-1].removesuffix("/predict")
            command = [sys.executable, "serve.py", "--port", port]
            second = subprocess.run(command, cwd=target, capture_output=True, text=True)
            assert (second.returncode, second.stderr) == (2, f"127.0.0.1, port {port}: Address already in use\n")
        finally:
            server.terminate()
