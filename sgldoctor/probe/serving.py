"""One HTTP request to a running server, with a limit on its whole length; failing is a value, never an exception.

By http.client alone: no proxy of the environment is used, no redirect is followed, no more than 8 MiB is read.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from sgldoctor.errors import UsageError
from sgldoctor.typed import Any, NamedTuple

LARGEST = 8 << 20
_CHUNK = 1 << 16


class Server(NamedTuple):
    """Where a server is, and the key that it asks for; ``base`` is the path in front of all of its paths."""

    scheme: str
    host: str
    port: int
    base: str
    key: str

    @property
    def url(self) -> str:
        """The address, without the key."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.base}"


class Reply(NamedTuple):
    """What came back: ``status`` is None where nothing did, ``because`` says why; ``first``: seconds to first data."""

    status: int | None
    body: bytes
    kind: str
    seconds: float
    first: float
    because: str

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def server(url: str, key: str = "") -> Server:
    """The server that a URL names; ``host:port`` and ``host`` are understood, too. Raises UsageError."""
    text = url if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", url) else f"http://{url}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise UsageError(f"{url!r} is no URL of a server, such as http://127.0.0.1:30000")
    if parts.username or parts.password:
        raise UsageError("give the key with --api-key, not inside the URL")
    if re.search(r"[\s\x00-\x1f\x7f]", key) or not key.isascii():
        raise UsageError("the API key holds characters that no HTTP header can carry")
    base = parts.path.rstrip("/")
    base = base.removesuffix("/v1")
    usual = 443 if parts.scheme == "https" else 30000 if "://" not in url else 80
    return Server(parts.scheme, parts.hostname, port or usual, base, key)


def call(
    where: Server, path: str, body: Mapping[str, Any] | None = None, *, seconds: float = 30.0,
    each: Callable[[bytes], None] | None = None,
) -> Reply:  # fmt: skip
    """GET ``path``, or POST ``body`` as JSON; ``each`` gets the lines of the answer as they come."""
    begin = time.monotonic()
    end = begin + seconds
    headers = {"Accept": "text/event-stream, application/json", "User-Agent": "sgldoctor"}
    if where.key:
        headers["Authorization"] = f"Bearer {where.key}"
    data = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode()
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = kind(where.host, where.port, timeout=min(seconds, 10.0))
    status: int | None = None
    held, first, content = b"", 0.0, ""
    try:
        connection.connect()
        connection.sock.settimeout(seconds)
        connection.request("GET" if data is None else "POST", where.base + path, data, headers)
        answer = connection.getresponse()
        status, content = answer.status, answer.headers.get("Content-Type", "")
        held, first = _body(answer, connection, end, begin, each)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Reply(status, held, content, time.monotonic() - begin, first, _why(error, where, seconds))
    finally:
        connection.close()
    return Reply(status, held, content, time.monotonic() - begin, first, "")


def _body(
    answer: http.client.HTTPResponse, connection: http.client.HTTPConnection, end: float, begin: float,
    each: Callable[[bytes], None] | None,
) -> tuple[bytes, float]:  # fmt: skip
    """All of the answer until its end, the largest size or the deadline; each read gets only what time is left."""
    held, rest, first = b"", b"", 0.0
    while len(held) < LARGEST:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if connection.sock is not None:
            connection.sock.settimeout(left)
        piece = answer.read1(_CHUNK)
        if not piece:
            break
        first = first or time.monotonic() - begin
        held += piece
        if each is not None:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                each(line.rstrip(b"\r"))
    if each is not None and rest:
        each(rest)
    return held, first


def _why(error: Exception, where: Server, seconds: float) -> str:
    """The failure in words of somebody who has a server that does not answer."""
    import ssl

    at = f"{where.host}:{where.port}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection to {at}: {error.reason or error}"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on {at}"
    if isinstance(error, socket.gaierror):
        return f"the name {where.host} cannot be resolved"
    if isinstance(error, TimeoutError):  # socket.timeout is the same
        return f"no answer from {at} within {seconds:g} s"
    if isinstance(error, (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)):
        return f"{at} closed the connection without an answer"
    if isinstance(error, http.client.IncompleteRead):
        return f"{at} closed the connection in the middle of an answer"
    if isinstance(error, (http.client.HTTPException, ValueError)):
        return f"{at} does not speak HTTP: {type(error).__name__}"
    return f"{at}: {getattr(error, 'strerror', None) or error}"
