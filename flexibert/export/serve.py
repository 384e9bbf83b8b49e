"""The model in this folder over HTTP; needs onnxruntime and tokenizers alone.

    python serve.py [--host 127.0.0.1] [--port 8080]

POST /predict with {"texts": ["a text", ...]} answers {"answers": [...]}, one for each text, as predict.py does; GET
/health answers when the model is ready. A request takes 1 to 64 texts of 1 to 10,000 characters; what is wrong is told
as {"detail": "why"}. There is no token and no encryption: let nothing but a proxy reach it from outside.
"""

import argparse
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

MOST_TEXTS, LONGEST_TEXT, MOST_BYTES = 64, 10_000, 2**20
MOST_AT_ONCE = 32
"""Connections; further ones wait."""


class Refusal(Exception):
    """Why a request is not answered, with HTTP's number of the reason."""


class Handler(BaseHTTPRequestHandler):
    """One request a connection."""

    timeout = 10  # seconds that a client may be silent
    predictor: Any  # of the file beside this one

    def do_GET(self) -> None:
        """Says that the model is ready."""
        if self.path == "/health":
            self._answer(200, {"status": "ready"})
        else:
            self._answer(404, {"detail": "There are POST /predict and GET /health"})

    def do_POST(self) -> None:
        """Answers texts."""
        try:
            self._answer(200, {"answers": self.predictor.batch(self._texts())})
        except Refusal as refusal:
            code, reason = refusal.args
            self._answer(code, {"detail": reason})
        except ValueError as error:
            self._answer(422, {"detail": str(error)})
        except Exception as error:  # of the runtime, which has a class for every reason
            self._answer(500, {"detail": f"The model gave no answer: {error}"})

    def _texts(self) -> list[str]:
        if self.path != "/predict":
            raise Refusal(404, "There are POST /predict and GET /health")
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or len(length) > 9 or int(length) > MOST_BYTES:
            raise Refusal(413, f"A request must announce its length, at most {MOST_BYTES} bytes")
        try:
            content = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise Refusal(422, "A request must be JSON") from None
        texts = content.get("texts") if isinstance(content, dict) and set(content) == {"texts"} else None
        if not isinstance(texts, list) or not 1 <= len(texts) <= MOST_TEXTS:
            raise Refusal(422, f'A request must be {{"texts": [...]}}, with 1 to {MOST_TEXTS} texts')
        for number, text in enumerate(texts, start=1):
            if not isinstance(text, str) or not 1 <= len(text) <= LONGEST_TEXT:
                raise Refusal(422, f"Text {number} must be a text of 1 to {LONGEST_TEXT} characters")
        return texts

    def _answer(self, code: int, content: dict[str, Any]) -> None:
        body = json.dumps(content, ensure_ascii=False).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is written down of what is asked."""


class Server(ThreadingHTTPServer):
    """A thread for each connection, of which there are so many at once."""

    daemon_threads = True
    _free = threading.BoundedSemaphore(MOST_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Waits for a free place."""
        self._free.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: socket, client_address: Any) -> None:  # type: ignore[override]
        """Answers, and gives the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


def main() -> None:
    """Load the model and serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    try:
        from predict import Predictor  # type: ignore[import-not-found]

        Handler.predictor = Predictor()
        server = Server((options.host, options.port), Handler)
    except ModuleNotFoundError as error:
        parser.exit(2, f"{error}: pip install -r requirements.txt\n")
    except OSError as error:
        parser.exit(2, f"{options.host}, port {options.port}: {error.strerror}\n")
    with server:
        host, port = server.server_address[:2]
        print(f"http://{host!s}:{port}/predict", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
