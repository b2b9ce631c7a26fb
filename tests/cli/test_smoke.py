"""``sgldoctor smoke`` against real HTTP servers: sound, slow, loading, dead, unauthorised and half-broken ones."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from sgldoctor.__main__ import main

KEY = "sk-secret-key-of-the-test"


class Sglang(BaseHTTPRequestHandler):
    """A server that speaks as much of SGLang's API as a client uses; ``how`` says what is wrong with it."""

    protocol_version = "HTTP/1.1"
    how: ClassVar[dict[str, Any]] = {}
    born = 0.0

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def say(self, status: int, body: object, kind: str = "application/json") -> None:
        """Answer with JSON, or with text as it is."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def allowed(self) -> bool:
        """As ``srt/utils/auth.py``: health is free, all else wants the key."""
        if not self.how.get("key") or self.path == "/health":
            return True
        if self.headers.get("Authorization") == f"Bearer {self.how['key']}":
            return True
        self.say(401, {"error": "Unauthorized"})
        return False

    def do_GET(self) -> None:
        """Health, models, information, workers."""
        if not self.allowed():
            return
        if self.path == "/health":
            loading = time.monotonic() - self.born < self.how.get("loads", 0)
            self.say(503 if loading else self.how.get("health", 200), b"", "text/plain")
        elif self.path == "/v1/models" and "models" not in self.how:
            self.say(200, {"object": "list", "data": [{"id": "org/m", "object": "model", "owned_by": "sglang"}]})
        elif self.path == "/v1/models":
            self.say(*self.how["models"])
        elif self.path == "/server_info" and "workers" not in self.how:
            self.say(200, {"version": "0.5.23", "disaggregation_mode": self.how.get("mode", "null")})
        elif self.path == "/workers" and "workers" in self.how:
            self.say(200, {"workers": self.how["workers"]})
        else:
            self.say(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        """A chat, streamed or not."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        time.sleep(self.how.get("slow", 0))
        if not isinstance(asked.get("messages"), list):
            status, body = self.how.get(
                "wrong", (400, {"object": "error", "message": "messages: not a list", "code": 400})
            )
            self.say(status, body)
        elif asked.get("stream"):
            self.how.get("stream", stream)(self)
        elif "chat" in self.how:
            self.say(*self.how["chat"])
        else:
            text = self.how.get("text", "Hello!")
            self.say(200, {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                           "usage": {"completion_tokens": 2}})  # fmt: skip


def events(handler: Sglang, lines: list[str], *, pause: float = 0.0) -> None:
    """Send server-sent events as chunks."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for line in lines:
        data = f"data: {line}\n\n".encode()
        handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        handler.wfile.flush()
        time.sleep(pause)
    handler.wfile.write(b"0\r\n\r\n")


def piece(text: str) -> str:
    return json.dumps({"choices": [{"delta": {"content": text}}]})


def stream(handler: Sglang) -> None:
    events(handler, [piece("Hel"), piece("lo"), "[DONE]"], pause=0.02)


@pytest.fixture
def start() -> Iterator[Callable[..., str]]:
    """Start a server that is ``how``; returns its URL."""
    running: list[ThreadingHTTPServer] = []

    def begin(**how: Any) -> str:
        handler = type("Handler", (Sglang,), {"how": how, "born": time.monotonic()})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        running.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield begin
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def smoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("SGLANG_API_KEY", raising=False)
    # A proxy of the environment must not come between.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    def run(*arguments: str) -> dict[str, Any]:
        status = main(["smoke", "--format", "json", *arguments])
        said = capsys.readouterr()
        assert KEY not in said.out + said.err
        answer = json.loads(said.out)
        states = {check["name"]: check for check in answer["servers"][-1]["checks"]}
        return {"exit": status, "err": said.err, **answer, **states}

    return run


def test_a_sound_server(start: Any, smoke: Any) -> None:
    said = smoke(start())
    assert (said["exit"], said["ok"]) == (0, True)
    assert [check["state"] for check in said["servers"][0]["checks"]] == ["ok"] * 5
    assert said["servers"][0]["sglang"] == "0.5.23"
    assert "Hello!" in said["chat"]["detail"]
    assert "first text after" in said["streaming"]["detail"]
    assert "messages: not a list" in said["errors"]["detail"]


def test_nobody_there(smoke: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = smoke(f"127.0.0.1:{port}")
    assert said["exit"] == 1
    assert f"nothing listens on 127.0.0.1:{port}" in said["health"]["detail"]


def test_a_loading_server_is_waited_for(start: Any, smoke: Any) -> None:
    said = smoke(start(loads=1.5), "--wait", "20")
    assert said["exit"] == 0
    assert "of waiting" in said["health"]["detail"]
    assert "waiting for" in said["err"]


def test_waiting_ends(start: Any, smoke: Any) -> None:
    begin = time.monotonic()
    said = smoke(start(loads=99), "--wait", "1")
    assert said["exit"] == 1
    assert "503" in said["health"]["detail"]
    assert time.monotonic() - begin < 8


def test_a_server_that_comes_later(start: Any, smoke: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    late: list[ThreadingHTTPServer] = []

    def come() -> None:
        handler = type("Handler", (Sglang,), {"how": {}, "born": 0.0})
        late.append(ThreadingHTTPServer(("127.0.0.1", port), handler))
        late[0].serve_forever(poll_interval=0.02)

    timer = threading.Timer(1.2, come)
    timer.daemon = True
    timer.start()
    said = smoke(f"http://127.0.0.1:{port}", "--wait", "20")
    late[0].shutdown()
    late[0].server_close()
    assert said["exit"] == 0


def test_a_server_that_accepts_and_says_nothing(smoke: Any) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        said = smoke(f"http://127.0.0.1:{mute.getsockname()[1]}", "--wait", "1")
    assert said["exit"] == 1
    assert "no answer" in said["health"]["detail"]


def test_no_http_at_all(smoke: Any) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def greet() -> None:
            peer, _ = other.accept()
            peer.recv(4096)
            peer.sendall(b"220 mail.example ESMTP\r\n")
            peer.close()

        threading.Thread(target=greet, daemon=True).start()
        said = smoke(f"http://127.0.0.1:{other.getsockname()[1]}")
    assert said["exit"] == 1
    assert "does not speak HTTP" in said["health"]["detail"]


def test_the_key(start: Any, smoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = start(key=KEY)
    said = smoke(url)
    assert said["exit"] == 1
    assert "401: Unauthorized" in said["models"]["detail"]
    assert "--api-key" in said["models"]["advice"]
    assert smoke(url, "--api-key", KEY)["exit"] == 0
    monkeypatch.setenv("SGLANG_API_KEY", KEY)
    assert smoke(url)["exit"] == 0


def test_an_echoed_key_is_not_shown(start: Any, smoke: Any) -> None:
    said = smoke(start(models=(500, {"message": f"bad key {KEY}"})), "--api-key", KEY)
    assert "***" in said["models"]["detail"]


def test_too_slow(start: Any, smoke: Any) -> None:
    said = smoke(start(slow=3), "--timeout", "1")
    assert said["exit"] == 1
    assert "within 1 s" in said["chat"]["detail"]
    assert said["streaming"]["state"] == "failed"


def drip(handler: Sglang) -> None:
    events(handler, [piece("x")] * 40, pause=0.1)


def test_a_dripping_answer_ends_with_the_time_limit(start: Any, smoke: Any) -> None:
    begin = time.monotonic()
    said = smoke(start(stream=drip), "--timeout", "1")
    assert "within 1 s" in said["streaming"]["detail"]
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(("how", "name", "detail"), [
    ({"text": "  "}, "chat", "an empty answer"),
    ({"chat": (200, {"choices": []})}, "chat", "no choices"),
    ({"chat": (200, b"<html>busy</html>")}, "chat", "no JSON"),
    ({"chat": (500, {"object": "error", "message": "CUDA error"})}, "chat", "500: CUDA error"),
    ({"stream": lambda h: events(h, ["[DONE]"])}, "streaming", "held no text"),
    ({"stream": lambda h: events(h, [piece("a"), "{"])}, "streaming", "no JSON"),
    ({"stream": lambda h: events(h, [piece("a"), piece("b")])}, "streaming", "without [DONE]"),
    ({"stream": lambda h: events(h, [piece("a"), json.dumps({"error": "aborted"})])}, "streaming", "aborted"),
    ({"wrong": (200, {})}, "errors", "status 200"),
    ({"wrong": (500, {"message": "oops"})}, "errors", "status 500"),
    ({"wrong": (400, b"bad")}, "errors", "without an error text"),
    ({"models": (200, {"data": []})}, "models", "no list of models"),
    ({"models": (404, {"detail": "Not Found"})}, "models", "404: Not Found"),
    ({"health": 404}, "health", "404"),
])  # fmt: skip
def test_half_broken_servers(start: Any, smoke: Any, how: dict[str, Any], name: str, detail: str) -> None:
    said = smoke(start(**how))
    assert said["exit"] == 1
    assert said[name]["state"] == "failed"
    assert detail in said[name]["detail"]


def cut(handler: Sglang) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    data = f"data: {piece('a')}\n\n".encode()
    handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def test_a_connection_that_breaks_in_the_stream(start: Any, smoke: Any) -> None:
    said = smoke(start(stream=cut))
    assert said["streaming"]["state"] == "failed"
    assert "1 pieces, then" in said["streaming"]["detail"]


def worker(kind: str, *, healthy: bool = True) -> dict[str, Any]:
    return {"url": f"http://{kind}", "worker_type": kind, "is_healthy": healthy}


def test_a_router_and_both_sides(start: Any, smoke: Any) -> None:
    router = start(workers=[worker("prefill"), worker("decode")])
    prefill, decode = start(mode="prefill"), start(mode="decode")
    said = smoke(router, "--prefill", prefill, "--decode", decode)
    assert said["exit"] == 0
    assert [server["role"] for server in said["servers"]] == ["prefill", "decode", "router"]
    assert said["workers"]["detail"] == "1 of 1 prefill, 1 of 1 decode healthy"


@pytest.mark.parametrize(("workers", "advice"), [
    ([], "start it with"), ([worker("prefill")], "no healthy decode"),
    ([worker("prefill"), worker("decode", healthy=False)], "no healthy decode"),
    ([worker("regular", healthy=False)], "no healthy regular"),
])  # fmt: skip
def test_a_router_without_what_it_needs(start: Any, smoke: Any, workers: list[dict[str, Any]], advice: str) -> None:
    said = smoke(start(workers=workers))
    assert said["exit"] == 1
    assert advice in said["workers"]["advice"]


def test_sides_that_were_mixed_up(start: Any, smoke: Any) -> None:
    router = start(workers=[worker("prefill"), worker("decode")])
    said = smoke(router, "--prefill", start(mode="decode"), "--decode", start())
    roles = [check for server in said["servers"][:2] for check in server["checks"] if check["name"] == "role"]
    assert [check["detail"] for check in roles] == ["it runs as decode", "it runs as no side"]
    assert said["exit"] == 1


def test_one_side_alone_is_not_asked_for_a_chat(start: Any, smoke: Any) -> None:
    said = smoke(start(mode="prefill"))
    assert said["exit"] == 0
    assert said["chat"]["state"] == "skipped"


def test_a_model_that_is_not_served(start: Any, smoke: Any) -> None:
    said = smoke(start(), "--model", "other")
    assert said["exit"] == 1
    assert "org/m" in said["models"]["detail"]


def test_a_prefix_and_v1_in_the_url(start: Any, smoke: Any) -> None:
    assert smoke(start() + "/v1/")["exit"] == 0


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://a b", "http://u:p@h", "http://h:99999", "http://h:x"])
def test_bad_urls_are_one_line(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert main(["smoke", url]) == 2
    said = capsys.readouterr().err
    assert said.startswith("sgldoctor: ")
    assert said.count("\n") <= 2


def test_for_people(start: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smoke", start()]) == 0
    said = capsys.readouterr().out
    assert said.startswith("OK  the server answers as it should")
    assert main(["smoke", start(text="")]) == 1
    assert capsys.readouterr().out.startswith("FAILED  1 of 5 checks")
