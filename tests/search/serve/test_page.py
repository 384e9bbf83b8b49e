"""The page in a real browser: a table is read and searched, and what becomes of it is seen, heard and tabbed to."""

import json
import re
import shutil

import pytest

from search.serve.folder import SearchFolder
from tests.search.serve.services import TABLE, TOKEN, prepare, train

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_MS = 120_000
UNTIL_DONE = "import pathlib, time\nwhile not pathlib.Path('done').exists(): time.sleep(0.05)"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright, of the extra dev")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"needs a browser: one of {', '.join(BROWSERS)} on the path")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program)
        yield opened
        opened.close()


@pytest.fixture
def page(browser, served):
    """The page of a service, which must say nothing to the console."""
    said = []
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(f"{served.address}/#token={TOKEN}")
    yield opened
    context.close()
    assert said == []


def _drop(page):
    """Drop the table onto its place, as a mouse does."""
    data = page.evaluate_handle(
        """text => { const data = new DataTransfer(); data.items.add(new File([text], "films.csv")); return data; }""",
        TABLE.decode(),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})


def test_a_table_becomes_a_search_whose_scores_and_result_are_seen(page, served, start, tiny_library, tmp_path):
    page.get_by_text("Search in three steps").click()
    _drop(page)
    reading = page.locator("#reading")
    reading.get_by_text("40 rows: 32 train, 4 validation, 4 test").wait_for()
    assert "2 labels" in reading.inner_text()
    page.get_by_role("combobox", name="Column of labels").select_option("verdict")
    page.get_by_label("How many models may be trained?").fill("5")
    page.get_by_role("button", name="Start the search").click()
    article = page.get_by_role("article", name="films")
    article.get_by_text("queued, number 1 in the queue").wait_for()
    assert page.evaluate("document.activeElement.id") == "all"

    status = served.jobs.status(*served.jobs.everything())
    assert (status.max_trials, status.options["label_column"]) == (5, "verdict")
    folder = SearchFolder(served.root / "searches" / status.id)
    start(folder, UNTIL_DONE)
    prepare(folder, tmp_path)
    train(folder, tiny_library, errors=0.02)
    for epoch, score in ((1, 0.4), (2, 0.6)):
        folder.run.journal.append("reported", "t0004", phase="fine-tune", validation_score=score, epoch=epoch)
    article.get_by_text("3 of 5 trials finished, 1 failed, 1 in training, 1 open").wait_for()
    article.get_by_role("img", name="accuracy of 3 trials; the best 0.5300; the most frequent class 0.5000").wait_for()
    article.get_by_role("img", name="accuracy against parameters; no other beats t0001 (0.5100, 10K), t0002").wait_for()
    article.get_by_role("img", name="accuracy against milliseconds; no other beats t0003 (0.5300, 2.5)").wait_for()
    article.get_by_role("img", name="accuracy 0.6000 after 2 rounds, 0.4000 after 1").wait_for()
    article.get_by_text("Best so far: accuracy 0.5300 ± 0.0200").wait_for()
    article.get_by_text("t0005 failed: out of memory").wait_for()

    page.get_by_role("button", name="Log, films").focus()
    tested = {"trial": "t0002", "split": "test", "metric": "accuracy", "metrics": {"accuracy": 0.75}}
    folder.run.best_dir.mkdir()
    (folder.run.best_dir / "evaluation.json").write_text(
        json.dumps(tested | {"score_error": 0.1, "majority_share": 0.5})
    )
    (folder.path / "done").touch()
    article.get_by_text("Result: accuracy 0.7500 ± 0.1000 on test").wait_for()
    assert "Always the most frequent class: 0.5000." in article.inner_text()
    assert re.search("films: .*finished", page.locator("#news").inner_text())
    assert page.evaluate("document.activeElement.textContent") == "Report"  # the buttons are others; focus stays there


def test_an_encoder_and_a_goal_are_chosen_by_keyboard(page, served, tmp_path):
    page.get_by_role("heading", name="Searches", exact=True).wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    (tmp_path / "films.csv").write_bytes(TABLE)
    page.get_by_label("Drop a table here").set_input_files(tmp_path / "films.csv")
    page.locator("#guided-go:enabled").wait_for()
    page.get_by_label("Start from").focus()
    for key in ("ArrowDown", "Tab", "ArrowDown", "Tab"):  # the encoder; its first goal, the second, its number
        page.keyboard.press(key)
    page.keyboard.type("4")
    page.keyboard.press("Enter")
    page.get_by_role("article", name="films").get_by_text("starts from my-bert").wait_for()
    status = served.jobs.status(*served.jobs.everything())
    assert (status.start_from, status.options) == ("my-bert", {"smaller": 4.0})


def test_every_control_has_a_name(page):
    page.get_by_role("heading", name="Searches", exact=True).wait_for()
    nameless = """() => [...document.querySelectorAll("button, input, select, textarea")]
        .filter((one) => !one.labels?.length && !one.ariaLabel && !one.textContent.trim()).map((one) => one.id)"""
    assert page.evaluate(nameless) == []
