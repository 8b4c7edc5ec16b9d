"""A proxy between client and server that keeps every answer, to be searched for what no worker may see."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

# Each connection has its own of these.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Wiretap:
    """Passes every request on to `target`, and keeps what comes back."""

    def __init__(self, target: str) -> None:
        self.target = target
        # Each one as "GET /path", its headers and its body.
        self.answers: list[str] = []
        self.listener = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.listener.server_port}"
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        tap = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                tap._pass_on(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

            def log_message(self, *_) -> None:
                """Nothing: the answers say more."""

        return Handler

    def _pass_on(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        answer = requests.request(
            request.command, self.target + request.path, headers=headers, data=body, timeout=60, allow_redirects=False
        )
        self.answers.append(f"{request.command} {request.path}\n{answer.status_code} {answer.headers}\n{answer.text}")
        request.send_response(answer.status_code)
        for name, value in answer.headers.items():
            # The body is passed on as it reads, not as it was compressed.
            if name.lower() not in HOP_BY_HOP | {"content-encoding"}:
                request.send_header(name, value)
        request.send_header("content-length", str(len(answer.content)))
        request.end_headers()
        request.wfile.write(answer.content)

    def answers_to(self, start: str) -> list[str]:
        """The answers to requests that begin like this: "GET /path"."""
        return [answer for answer in self.answers if answer.startswith(start)]

    def answers_with(self, text: str) -> list[str]:
        """The answers that contain this text."""
        return [answer for answer in self.answers if text in answer]

    def close(self) -> None:
        """Takes no more requests."""
        self.listener.shutdown()
        self.listener.server_close()
