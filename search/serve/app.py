"""The API, and the page over it. Every refusal is a 4xx with ``detail``: 401 without the token, 404 for an unknown
search, 409 for what cannot be done in its state, 413 for too large a body, 422 for bad content, 429 when the queue is
full.
"""

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp

from design_space.files import nearest_name
from design_space.options import short
from embeddings.generate_library import SpaceLibraryOptions

from ..records.zipped import zipped
from ..report import write_report
from ..report.page import REPORT_FILE
from ..runs.options import SearchOptions
from .answering import Answerer, UnfitModelError
from .folder import DamagedSearchError, SearchFolder, UnknownSearchError
from .http.guard import SCRIPTS, Guard
from .http.stream import Streams
from .jobs import FullQueueError, Jobs, WrongStateError
from .options import describe_options
from .reading import BusyError
from .schemas import Options, Prediction, Problem, Question, Resume, SearchStatus
from .submission import TASKS, Submission
from .table import TableForm, TableReading

SEARCHES = "/api/searches"
PREDICT = "/models/{search_id}/predict"
TABLES = "/api/tables"
_REFUSALS: dict[type[Exception], int] = {
    UnknownSearchError: 404,
    WrongStateError: 409,
    UnfitModelError: 409,
    DamagedSearchError: 409,
    FullQueueError: 429,
    BusyError: 429,
}


def create_app(jobs: Jobs, is_ending: Callable[[], bool] = lambda: False) -> ASGIApp:
    """The service over ``jobs``, which are closed when it ends.

    Args:
        is_ending: whether its server waits for the last requests.
    """
    answerer, streams = Answerer(jobs.settings.plugins), Streams(jobs, is_ending)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        answerer.close()
        jobs.close()

    app = FastAPI(
        title="flexibert-nas",
        description="Architecture searches: submit, watch, stop, resume, download.",
        lifespan=lifespan,
        docs_url=None,  # these pages load their code from the network
        redoc_url=None,
        openapi_url="/api/openapi.json",
        dependencies=[Depends(HTTPBearer(auto_error=False))],  # for the document; Guard enforces it
        responses={status: {"model": Problem} for status in (401, 404, 409, 413, 422, 429)},
    )
    for kind, code in _REFUSALS.items():
        app.add_exception_handler(kind, _refuse(code))
    app.add_exception_handler(RequestValidationError, _refuse_form)
    _add_page(app)
    _add_searches(app, jobs, streams)
    _add_results(app, jobs)
    _add_predictions(app, jobs, answerer)
    settings = jobs.settings
    return Guard(app, token=settings.token, max_bytes=settings.max_upload_bytes, uploads_to=(SEARCHES, TABLES))


def _add_page(app: FastAPI) -> None:
    folder = files("search.serve")

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return Response((folder / "page.html").read_bytes(), media_type="text/html")

    @app.get("/{name}.js", include_in_schema=False)
    def script(name: str) -> Response:
        if name not in SCRIPTS:
            raise HTTPException(404)
        return Response((folder / f"{name}.js").read_bytes(), media_type="text/javascript")


def _add_searches(app: FastAPI, jobs: Jobs, streams: Streams) -> None:
    offered = Options(
        tasks=list(TASKS),
        encoders=list(jobs.settings.offered),
        options=describe_options(SearchOptions),
        library_options=describe_options(SpaceLibraryOptions),
    )

    @app.get("/api/options")
    def options() -> Options:
        """What a submission may say: tasks, and options with their defaults."""
        return offered

    @app.get("/api/space", response_class=Response)
    def space() -> Response:
        """A small design space for a first search, as YAML."""
        return Response((files("design_space") / "quickstart.yaml").read_bytes(), media_type="text/yaml")

    @app.post(TABLES)
    def table(form: Annotated[TableForm, Form(media_type="multipart/form-data")]) -> TableReading:
        """How a table would be read: columns, labels and how often they come, duplicates, texts that would be cut."""
        with _told(ValueError, 422):
            return form.read(jobs.incoming)

    @app.post(SEARCHES, status_code=201, dependencies=[Depends(_known_fields)])
    def submit(form: Annotated[Submission, Form(media_type="multipart/form-data")]) -> SearchStatus:
        """Submit a search. It starts at once, or when those before it have ended."""
        with _told(ValueError, 422):
            return jobs.submit(form)

    @app.get(SEARCHES, response_model=list[SearchStatus])
    def searches() -> Response:
        """All searches, the latest first."""
        return Response(f"[{','.join(jobs.everything().values())}]", media_type="application/json")

    @app.get("/api/events", response_class=StreamingResponse)
    async def events() -> StreamingResponse:
        """All searches, and from then on each that has changed, as server-sent events: ``search`` with its status, and
        ``searches`` with the ids of all, the latest first, when there are others."""
        return streams.opened()

    @app.get(SEARCHES + "/{search_id}")
    def search(search_id: str) -> SearchStatus:
        """Progress of a search: best so far, trials by state, trials in training, times."""
        return jobs.status(search_id)

    @app.post(SEARCHES + "/{search_id}/stop", status_code=202)
    def stop(search_id: str) -> SearchStatus:
        """Let a search end; finished trials are kept and it can be resumed. Asked again, it is killed."""
        return jobs.stop(search_id)

    @app.post(SEARCHES + "/{search_id}/resume", status_code=202)
    def resume(search_id: str, change: Resume | None = None) -> SearchStatus:
        """Go on with a search that has ended."""
        with _told(ValueError, 422):
            return jobs.resume(search_id, {} if change is None else change.options)


def _add_results(app: FastAPI, jobs: Jobs) -> None:
    one_report = threading.Lock()

    @app.get(SEARCHES + "/{search_id}/model", response_class=StreamingResponse)
    def model(search_id: str) -> StreamingResponse:
        """The best model as a zip of its Hugging Face folder; of a search that goes on, the best so far."""
        place = _model_dir(jobs, jobs.find(search_id))
        return StreamingResponse(zipped(place), media_type="application/zip", headers=_attachment(search_id, "zip"))

    @app.get(SEARCHES + "/{search_id}/report", response_class=Response)
    def report(search_id: str) -> Response:
        """The self-contained HTML report, as of now."""
        folder = jobs.find(search_id)
        if not folder.run.exists():
            raise WrongStateError(f"The search is {folder.state()} and has nothing to report yet")
        with one_report, _told(ValueError, 409):
            page = _report(folder)
        return Response(page, media_type="text/html", headers=_attachment(search_id, "html"))

    @app.get(SEARCHES + "/{search_id}/log", response_class=Response)
    def log(search_id: str) -> Response:
        """The last 64 KiB of what its processes printed."""
        return Response(jobs.find(search_id).log(), media_type="text/plain")


def _add_predictions(app: FastAPI, jobs: Jobs, answerer: Answerer) -> None:
    @app.post(PREDICT)
    def predict(search_id: str, question: Question) -> Prediction:
        """What the best model of a search says about texts; of a search that goes on, the best so far."""
        folder = jobs.find(search_id)
        place = _model_dir(jobs, folder)
        try:
            answers, runtime = answerer.answers(place, question.texts)
        except UnfitModelError as error:
            raise UnfitModelError(f"The model does not answer: {folder.without_places(str(error))}") from error
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return Prediction(model=place.name, runtime=runtime, answers=answers)


def _model_dir(jobs: Jobs, folder: SearchFolder) -> Path:
    place = jobs.reader.model_dir(folder)
    if place is None:
        raise WrongStateError(f"The search is {folder.state()} and has no model yet")
    return place


def _report(folder: SearchFolder) -> bytes:
    """The one of a finished search as it is, else a fresh one."""
    path = folder.run.path / REPORT_FILE
    if folder.state() != "finished" or not path.exists():
        path = write_report(folder.run.path)
    return folder.without_places(path.read_text(encoding="utf-8")).encode()


async def _known_fields(request: Request) -> None:
    """Refuses form fields that would be ignored."""
    form = await request.form()
    with _told(ValueError, 422):
        for name in form:
            if name not in Submission.model_fields:
                known = nearest_name(name[:80], Submission.model_fields)
                raise ValueError(f"Unknown form field {name[:80]!r}. {known}")
            if len(form.getlist(name)) > 1 and name != "corpus":
                raise ValueError(f"'{name}' is given more than once")


@contextmanager
def _told(kind: type[Exception], code: int) -> Iterator[None]:
    """Turn the caller's mistakes, and no others, into refusals."""
    try:
        yield
    except kind as error:
        raise HTTPException(code, str(error)) from error


def _attachment(search_id: str, suffix: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{search_id}.{suffix}"'}


def _refuse(code: int) -> Callable[[Request, Exception], JSONResponse]:
    return lambda request, error: JSONResponse({"detail": str(error)}, code)


def _refuse_form(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's list of problems as one text."""
    problems: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else []
    lines = [
        f"'{'.'.join(map(str, problem['loc'][1:]))}': {problem['msg']}. Got {short(problem['input'])}"
        for problem in problems
    ]
    return JSONResponse({"detail": "\n".join(lines)}, 422)
