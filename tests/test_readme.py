"""What README and docs show is executed: their Python as it stands, their commands as far as their flags. Files, flags
and pages that they name exist. The tutorial runs as a whole in ``test_tutorial.py``."""

import importlib
import io
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import warnings
from contextlib import redirect_stdout, suppress
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
RUN_ELSEWHERE = ("docs/tutorial.md", "docs/extending.md")
SCRIPTS = {
    "generate_library": "embeddings.generate_library",
    "prepare_data": "dataset.prepare",
    "run_boshnas": "search.run_boshnas",
    "hierarchical": "search.hierarchical",
    "convert_bert": "flexibert.convert_bert",
    "shrink_model": "search.shrink",
}
WITH_VALUES = ("embeddings.generate_library", "dataset.prepare", "search.run_boshnas", "search.hierarchical")
MODULES = (
    "search.evaluation",
    "search.benchmark",
    "search.report",
    "search.serve",
    "search.quickstart",
    "search.track",
)
OPERATIONS = ("transfer", "stitch", "prune", "merge-layers", "retrain-block", "export")
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
FLAGS_OF_OTHERS = {"--generate", "--head", "--address", "--nproc_per_node", "--cpu", "--json", "--constraint"}

# What a page takes for granted before its Python, and what must be so after it.
PRELUDES = {
    "README.md": """
from dataset import build_tokenizer
from flexibert import FlexiBERTConfig, FlexiBERTForSequenceClassification
spec = {'l': 1, 'o': ['sa'], 'h': [8], 'n': [2], 'f': [[8]], 'p': ['sdp']}
model = FlexiBERTForSequenceClassification(FlexiBERTConfig(model_dict=spec, vocab_size=400))
model.save_pretrained("runs/level-2/best")
build_tokenizer("train", ["some plain words"], vocab_size=400).save_pretrained("runs/level-2/best")
""",
    "docs/pruning.md": """
import torch
from transformers import Trainer, TrainingArguments
from flexibert import FlexiBERTConfig, FlexiBERTForSequenceClassification
spec = {'l': 1, 'o': ['sa'], 'h': [768], 'n': [12], 'f': [[64]], 'p': ['sdp']}
model = FlexiBERTForSequenceClassification(FlexiBERTConfig(model_dict=spec, vocab_size=50))
model.save_pretrained("runs/parent")
rows = [{"input_ids": list(range(2, 8)), "labels": i % 2} for i in range(8)]
batches = [{"input_ids": torch.tensor([row["input_ids"] for row in rows]), "labels": torch.tensor([0, 1] * 4)}]
arguments = TrainingArguments("trainer", max_steps=2, save_strategy="no", report_to="none", use_cpu=True)
""",
}
CHECKS = {
    "README.md": """
assert model.config.model_spec.layers[0].hidden_size == 8
assert tokenizer.mask_token_id is not None
""",
    "docs/model.md": """
assert flexibert_mini.config.model_spec.to_dict()["h"] == [256, 256, 128, 128]
assert config.model_spec.format == "hetero" and config.model_spec.to_dict()["h"] == [256, 128]
""",
    "docs/morphisms.md": "assert 0.9 < overlap <= 1.0",
    "docs/pruning.md": """
assert small.num_parameters() < model.num_parameters()
assert FlexiBERTForSequenceClassification.from_pretrained("runs/child").num_parameters() < model.num_parameters()
""",
    "docs/search.md": "assert [score['score'] for _, score in boshnas.front] == [0.8]",
}


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page], flags=re.DOTALL)


def _commands() -> list[str]:
    """Every command of this project in a shell block, once, as a module (and ``flexibert``'s COMMAND) and arguments."""
    commands = []
    blocks = [block for page in PAGES if page not in RUN_ELSEWHERE for block in _blocks(page, "shell")]
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        words = [SCRIPTS.get(word, word) for word in shlex.split(line, comments=True)]
        start = next((i for i, word in enumerate(words) if word in (*SCRIPTS.values(), *MODULES, "flexibert")), None)
        if start is not None:
            commands.append(shlex.join(words[start:]))
    return list(dict.fromkeys(commands))


WITH_PYTHON = [page for page in PAGES if _blocks(page, "python") and page not in RUN_ELSEWHERE]
# Importing the libraries takes longer than all else: one process does it, and a child of it for each page goes on.
RUN_EACH = """
import os, sys
import search.benchmark.__main__, flexibert, dataset, embeddings, transformers.trainer
for folder in sys.argv[1:]:
    child = os.fork()
    if not child:
        os.chdir(folder)
        with open("said.txt", "w") as said:
            os.dup2(said.fileno(), 1), os.dup2(said.fileno(), 2)
        exec(compile(open("code.py").read(), "code.py", "exec"), {"__name__": "__main__"})
        print("done", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@cache
def _flags(command: str) -> frozenset[str]:
    """The flags in the ``--help`` of a module, or of ``flexibert COMMAND``."""
    module, *first = command.split()
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), suppress(SystemExit):
        patch.setattr(sys, "argv", [module, *first, "--help"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # imported before, by another test
            runpy.run_module(module, run_name="__main__")
    return frozenset(FLAG.findall(printed.getvalue()))


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> dict[str, str]:
    """What the Python of each page printed."""
    place = tmp_path_factory.mktemp("pages")
    for number, page in enumerate(WITH_PYTHON):
        shutil.copytree(ROOT / "design_space", place / str(number) / "design_space")
        code = "\n".join([PRELUDES.get(page, ""), *_blocks(page, "python"), CHECKS[page]])
        (place / str(number) / "code.py").write_text(code)
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "HOME": str(place)}
    command = [sys.executable, "-c", RUN_EACH, *map(str, range(len(WITH_PYTHON)))]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {page: (place / str(number) / "said.txt").read_text() for number, page in enumerate(WITH_PYTHON)}


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_their_python_runs(page, said):
    assert said[page].endswith("done\n"), said[page][-2000:]


@pytest.mark.parametrize("line", _commands())
def test_their_commands_have_the_flags_they_are_shown_with(line):
    command, *arguments = shlex.split(line)
    if command == "flexibert":
        command = f"{command} {arguments[0]}"
    assert {argument.split("=")[0] for argument in arguments if FLAG.match(argument)} <= _flags(command)


@pytest.mark.parametrize("line", [line for line in _commands() if line.startswith(WITH_VALUES)])
def test_their_commands_take_the_values_they_are_shown_with(line):
    command, *arguments = shlex.split(line)
    module = importlib.import_module(command)
    # An input that does not exist stops the command after its flags were understood.
    missing = [
        f"/nowhere/{argument}.yaml" if before == "--design_space" and "." not in argument else argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
    ]
    missing = [f"/nowhere/{one}" if one.endswith((".json", ".yaml", ".csv")) else one for one in missing]
    name = {"dataset.prepare": "prepare_data"}.get(command, command.rpartition(".")[2])
    with pytest.raises(ValueError, match=r"\A(?![\s\S]*--help)"):  # which is named where a flag is not understood
        getattr(module, name)(
            [*missing, "--seed", "0"] if name != "prepare_data" else ["--task", "/nowhere/x.csv", *missing[2:]]
        )


@pytest.mark.parametrize("page", PAGES)
def test_flags_in_their_sentences_exist(page):
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", PAGES[page])
    ours = [span for span in spans if "tests.benchmarks" not in span]
    known = {*SCRIPTS.values(), *MODULES, *(f"flexibert {name}" for name in OPERATIONS)}
    every = FLAGS_OF_OTHERS.union(*map(_flags, sorted(known)))
    assert {flag for span in ours for flag in FLAG.findall(span)} <= every


@pytest.mark.parametrize("page", PAGES)
def test_pages_and_files_they_name_exist(page):
    text, folder = PAGES[page], (ROOT / page).parent
    linked = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target}
    named = set(re.findall(r"`((?:design_space|embeddings|dataset|flexibert|search|docs|tests)/[\w./-]*)`", text))
    assert not {target for target in linked if not (folder / target).exists()}
    assert not {name for name in named if not (ROOT / name).exists()}


def test_every_page_is_on_the_site():
    listed = set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text()))
    assert listed == {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}


def test_their_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = {target for text in PAGES.values() for target in re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)}
    assert targets >= {"search", "test", "check", "bench", "docs"}
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)
