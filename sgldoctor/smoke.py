"""The smoke test of a running server: one request of each kind that a client makes, and what the answers are worth.

Paths and shapes are those of ``srt/entrypoints/http_server.py`` and ``srt/entrypoints/openai/protocol.py`` (0.5.8 and
0.5.23), the router's of SGLang's model gateway (``/workers``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from sgldoctor.probe.serving import Reply, Server, call
from sgldoctor.typed import Any, NamedTuple

OK, FAILED, SKIPPED = "ok", "failed", "skipped"
SIDES = ("prefill", "decode")


class Check(NamedTuple):
    """One thing tried: its ``state``, what was seen, how long it took, and what to do where it failed."""

    name: str
    state: str
    detail: str
    seconds: float = 0.0
    advice: str = ""


class Asked(NamedTuple):
    """What to ask of a server: the model (``""``: the first it has), the prompt, seconds for each request."""

    model: str = ""
    prompt: str = "Say hello in one word."
    seconds: float = 60.0


class Result(NamedTuple):
    """All checks of one server, and what it says it is: ``role`` is server, router, prefill or decode."""

    url: str
    role: str
    model: str
    sglang: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not any(check.state == FAILED for check in self.checks)


def wait(where: Server, seconds: float, *, patient: bool, told: Callable[[str, float], None]) -> Check:
    """Ask for health until the server is ready, ``seconds`` at most.

    A server that loads answers 503. One that does not listen yet is waited for only where the caller is ``patient``.
    """
    begin = time.monotonic()
    while True:
        reply = call(where, "/health", seconds=max(min(10.0, seconds), 1.0))
        spent = time.monotonic() - begin
        if reply.status == 200:
            waited = f", after {spent:.0f} s of waiting" if spent > reply.seconds + 1 else ""
            return Check("health", OK, f"ready{waited}", reply.seconds)
        loading = reply.status == 503 or (patient and reply.status is None)
        if not loading or spent >= seconds:
            return _unhealthy(reply, spent)
        told("loading" if reply.status == 503 else reply.because, spent)
        time.sleep(min(1.0, max(seconds - spent, 0.05)))


def _unhealthy(reply: Reply, spent: float) -> Check:
    if reply.status is None:
        advice = (
            "is the name right? Name the server by its address where no name server knows it"
            if "cannot be resolved" in reply.because
            else "is the server up, and bound to this address (--host 0.0.0.0)? --wait SECONDS waits for it to come"
        )
        return Check("health", FAILED, reply.because, spent, advice)
    if reply.status == 503:
        advice = "it is still loading (--wait waits longer), or a worker hangs: its log says which"
        return Check("health", FAILED, f"503 for {spent:.0f} s", spent, advice)
    if reply.status in (401, 403):
        return Check("health", FAILED, f"{reply.status}: {text_of(reply)}", spent, "give the server's --api-key")
    advice = "is this an SGLang server, and is the path in front of /health right?" if reply.status == 404 else ""
    return Check("health", FAILED, f"{reply.status}: {text_of(reply)}", spent, advice)


def smoke(where: Server, health: Check, asked: Asked) -> Result:
    """Try one server that is healthy, or report only that it is not."""
    if health.state != OK:
        return Result(where.url, "server", asked.model, "", (health,))
    info = _info(where)
    workers = call(where, "/workers", seconds=10.0) if not info else None
    rows = _workers(workers) if workers is not None else None
    role = "router" if rows is not None else str(info.get("disaggregation_mode") or "null")
    role = role if role in ("router", *SIDES) else "server"
    checks = [health]
    if rows is not None:
        checks.append(_sides(rows))
    model, models = _models(where, asked.model)
    checks.append(models)
    if role in SIDES:
        said = f"a {role} server answers through its router only; try the router's URL"
        checks += [Check(name, SKIPPED, said) for name in ("chat", "streaming")]
    elif models.state == OK:
        checks += [_chat(where, model, asked), _stream(where, model, asked)]
    if models.state == OK:
        checks.append(_error(where, model, asked))
    return Result(where.url, role, model, str(info.get("version") or ""), tuple(checks))


def _info(where: Server) -> dict[str, Any]:
    """What the server says of itself; empty for a router, or where it does not say."""
    for path in ("/server_info", "/get_server_info"):
        found = call(where, path, seconds=10.0)
        said = found.json() if found.status == 200 else None
        if isinstance(said, dict):
            return said
    return {}


def _workers(reply: Reply) -> list[dict[str, Any]] | None:
    said = reply.json() if reply.status == 200 else None
    rows = said.get("workers") if isinstance(said, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None


def _sides(rows: list[dict[str, Any]]) -> Check:
    """The workers that a router knows: some must be healthy, on each side where there are sides."""
    kinds = [str(row.get("worker_type") or "regular") for row in rows]
    healthy = [kind for row, kind in zip(rows, kinds, strict=True) if row.get("is_healthy", True) is True]
    told = ", ".join(f"{healthy.count(kind)} of {kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    if not rows:
        return Check(
            "workers", FAILED, "the router knows no worker", 0.0, "start it with the workers' URLs, or add them"
        )
    needed = SIDES if set(kinds) & set(SIDES) else tuple(dict.fromkeys(kinds))
    missing = [kind for kind in needed if kind not in healthy]
    if missing:
        return Check(
            "workers", FAILED, told, 0.0, f"no healthy {' and no healthy '.join(missing)} worker: try its own URL"
        )
    return Check("workers", OK, f"{told} healthy")


def _models(where: Server, wanted: str) -> tuple[str, Check]:
    reply = call(where, "/v1/models", seconds=15.0)
    said = reply.json() if reply.status == 200 else None
    rows = said.get("data") if isinstance(said, dict) else None
    names = (
        [str(row["id"]) for row in rows if isinstance(row, dict) and row.get("id")] if isinstance(rows, list) else []
    )
    if not names:
        return wanted, _bad("models", reply, "no list of models")
    if wanted and wanted not in names:
        advice = f"ask for one of these, or start the server with --served-model-name {wanted}"
        return wanted, Check("models", FAILED, f"{wanted} is not among: {', '.join(names[:5])}", reply.seconds, advice)
    return wanted or names[0], Check("models", OK, ", ".join(names[:5]), reply.seconds)


def _request(model: str, asked: Asked, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": asked.prompt}]
    return {"model": model, "messages": messages, "max_tokens": 32, "temperature": 0, **more}


def _chat(where: Server, model: str, asked: Asked) -> Check:
    reply = call(where, "/v1/chat/completions", _request(model, asked), seconds=asked.seconds)
    said = reply.json() if reply.status == 200 else None
    if not isinstance(said, dict):
        return _bad("chat", reply, "the answer is no JSON object")
    try:
        choice = said["choices"][0]
        message = choice["message"]
        text = message.get("content") or message.get("reasoning_content") or ""
    except (KeyError, IndexError, TypeError, AttributeError):
        return Check("chat", FAILED, "the answer has no choices with a message", reply.seconds)
    if not isinstance(text, str) or not (text.strip() or message.get("tool_calls")):
        return Check("chat", FAILED, f"an empty answer (finish_reason {choice.get('finish_reason')})", reply.seconds,
                     "an empty or repeated answer points to wrong weights, quantization or chat template")  # fmt: skip
    usage = said.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return Check("chat", OK, f"{tokens if tokens is not None else '?'} tokens: {short(text, 60)!r}", reply.seconds)


def _stream(where: Server, model: str, asked: Asked) -> Check:
    pieces: list[float] = []
    broken: list[str] = []
    done: list[bool] = []
    begin = time.monotonic()

    def each(line: bytes) -> None:
        if not line.startswith(b"data:"):
            return
        data = line[5:].strip()
        if data == b"[DONE]":
            done.append(True)
            return
        try:
            event = json.loads(data)
        except ValueError:
            broken.append("a line of the stream is no JSON")
            return
        if isinstance(event, dict) and event.get("error"):
            broken.append(short(str(event["error"]), 160))
            return
        choices = event.get("choices") if isinstance(event, dict) else None
        delta = (
            choices[0].get("delta") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
        )
        if isinstance(delta, dict) and (delta.get("content") or delta.get("reasoning_content")):
            pieces.append(time.monotonic() - begin)

    reply = call(
        where, "/v1/chat/completions", _request(model, asked, stream=True), seconds=asked.seconds, each=each
    )  # fmt: skip
    if reply.status != 200 or (reply.because and not pieces):
        return _bad("streaming", reply, "")
    if broken:
        return Check("streaming", FAILED, broken[0], reply.seconds)
    if not pieces:
        return Check("streaming", FAILED, "the stream held no text", reply.seconds)
    if not done:
        said = reply.because or "the stream ended without [DONE]"
        return Check("streaming", FAILED, f"{len(pieces)} pieces, then: {said}", reply.seconds,
                     "the server or a proxy in front of it cut the answer")  # fmt: skip
    rate = (len(pieces) - 1) / (pieces[-1] - pieces[0]) if len(pieces) > 1 and pieces[-1] > pieces[0] else 0
    pace = f", {rate:.0f} pieces/s" if rate else ""
    return Check("streaming", OK, f"first text after {pieces[0] * 1000:.0f} ms{pace}", reply.seconds)


def _error(where: Server, model: str, asked: Asked) -> Check:
    """A request that cannot be right: the server has to say so in JSON, with a status of 4xx."""
    wrong = {**_request(model, asked), "messages": "not a list"}
    reply = call(where, "/v1/chat/completions", wrong, seconds=min(asked.seconds, 20.0))
    said = reply.json()
    if reply.status is None:
        return _bad("errors", reply, "")
    if not 400 <= reply.status < 500:
        return Check("errors", FAILED, f"a wrong request got status {reply.status}", reply.seconds,
                     "clients cannot tell their own mistakes from faults of the server")  # fmt: skip
    message = _message(said)
    if not message:
        return Check("errors", FAILED, f"status {reply.status} without an error text in JSON", reply.seconds)
    return Check("errors", OK, f"{reply.status}: {short(message, 80)}", reply.seconds)


def _message(said: Any) -> str:
    if not isinstance(said, dict):
        return ""
    inner = said.get("error")
    text = said.get("message") or (inner.get("message") if isinstance(inner, dict) else inner) or said.get("detail")
    return text if isinstance(text, str) else json.dumps(text) if text else ""


def text_of(reply: Reply) -> str:
    """The error that an answer carries, in one short line."""
    return short(_message(reply.json()) or reply.body[:400].decode("utf-8", "replace") or "no text", 160)


def _bad(name: str, reply: Reply, otherwise: str) -> Check:
    advice = ""
    if reply.status in (401, 403):
        advice = "give the key that the server was started with: --api-key, or $SGLANG_API_KEY"
    elif reply.status == 404:
        advice = "this path is not there: is it an SGLang server or router, and is the prefix of the URL right?"
    elif reply.status is not None and reply.status >= 500:
        advice = "the server failed: its log says why; sgldoctor explain reads it"
    elif reply.status is None:
        advice = "the server hangs or is gone: its log says why; sgldoctor explain reads it"
    if reply.because:
        return Check(name, FAILED, reply.because, reply.seconds, advice)
    detail = otherwise if reply.status == 200 else f"{reply.status}: {text_of(reply)}"
    return Check(name, FAILED, detail or "not understood", reply.seconds, advice)


def short(text: str, most: int) -> str:
    """``text`` in one line of at most ``most`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def side(where: Server, wanted: str, health: Check) -> Result:
    """One side of a PD pair, by its own URL: healthy, and really that side."""
    if health.state != OK:
        return Result(where.url, wanted, "", "", (health,))
    info = _info(where)
    mode = str(info.get("disaggregation_mode") or "")
    if not info:
        check = Check("role", SKIPPED, "the server does not say which side it is")
    elif mode != wanted:
        check = Check("role", FAILED, f"it runs as {'no side' if mode in ('', 'null') else mode}", 0.0,
                      f"start it with --disaggregation-mode {wanted}, or give the other URL")  # fmt: skip
    else:
        backend = info.get("disaggregation_transfer_backend")
        check = Check("role", OK, f"{mode}" + (f", transfer by {backend}" if backend else ""))
    return Result(where.url, wanted, "", str(info.get("version") or ""), (health, check))
