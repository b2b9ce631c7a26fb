"""``sgldoctor smoke``: does a running server really answer: health, models, chat, streaming, errors, latency.

With ``--format json`` one object is written: ``{"schema": "sgldoctor.smoke/1", "ok", "servers": [{"url", "role",
"model", "sglang", "ok", "checks": [{"name", "state", "detail", "seconds", "advice"}]}]}``.
"""

from __future__ import annotations

import os
import re
import sys

from sgldoctor.cli import common
from sgldoctor.cli.options import Namespace, refusal
from sgldoctor.errors import UsageError
from sgldoctor.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgldoctor.probe.serving import Server
    from sgldoctor.smoke import Check, Result

DEFAULT = "http://127.0.0.1:30000"
LOADING = 600.0
"""Seconds that a server which says it is loading is waited for."""

EPILOG = """examples:
  sgldoctor smoke
  sgldoctor smoke http://node7:30000 --api-key sk-... --wait 1200
  sgldoctor smoke http://router:8000 --prefill http://p0:30000 --decode http://d0:30001

A server that answers 503 is loading and is waited for, 10 minutes unless --wait says otherwise; one that does not
listen yet is waited for with --wait only. The key may also stand in $SGLANG_API_KEY. No proxy is used. Exit status:
0 all is well, 1 something failed.
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    made = common.parser("smoke", "Try a running server as a client would.", EPILOG, common.PLAIN)
    made.add_argument("url", nargs="?", default=DEFAULT, metavar="URL", help=f"server or router (default: {DEFAULT})")
    made.add_argument("--api-key", metavar="KEY", default="", help="the key of the server (default: $SGLANG_API_KEY)")
    made.add_argument("--model", metavar="NAME", default="", help="the model to ask (default: the first it serves)")
    made.add_argument("--prompt", metavar="TEXT", default="Say hello in one word.", help="what to ask it")
    made.add_argument("--timeout", metavar="S", type=_seconds, default=60.0, help="for each request (default: 60)")
    made.add_argument("--wait", metavar="S", type=_seconds, help="wait so long for the server to be there and ready")
    made.add_argument(
        "--prefill", metavar="URL", action="append", default=[], help="a prefill server behind the router"
    )
    made.add_argument("--decode", metavar="URL", action="append", default=[], help="a decode server behind the router")
    args = made.parse_args(arguments)
    from sgldoctor.probe.serving import server

    key = args.api_key or os.environ.get("SGLANG_API_KEY", "")
    # All addresses are read before anything is asked: a mistake in the last one is told at once.
    where = server(args.url, key)
    sides = [(kind, server(url, key)) for kind in ("prefill", "decode") for url in getattr(args, kind)]
    results = _run(where, sides, args)
    common.write(_json(results, key) if args.format == "json" else _text(results, args, key))
    sys.stdout.flush()
    return 0 if all(result.ok for result in results) else 1


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(?:\.\d{1,3})?", text) or float(text) <= 0:
        raise refusal(f"{text!r} is no number of seconds")
    return float(text)


def _run(where: Server, sides: list[tuple[str, Server]], args: Namespace) -> list[Result]:
    from sgldoctor.smoke import Asked, side, smoke

    if not args.prompt.strip():
        raise UsageError("--prompt is empty")
    results = [side(one, kind, _health(one, args)) for kind, one in sides]
    results.append(smoke(where, _health(where, args), Asked(args.model, args.prompt, args.timeout)))
    return results


def _health(where: Server, args: Namespace) -> Check:
    from sgldoctor.smoke import wait

    progress = _Progress(where.url, quiet=args.quiet)
    try:
        return wait(where, args.wait or LOADING, patient=args.wait is not None, told=progress.tell)
    finally:
        progress.end()


class _Progress:
    """What is being waited for, on standard error: a line that moves on a terminal, else one line a minute."""

    def __init__(self, url: str, *, quiet: bool) -> None:
        self._url = url
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._next = 0.0
        self._width = 0

    def tell(self, state: str, spent: float) -> None:
        """Say that ``state`` has lasted for ``spent`` seconds."""
        if self._quiet or (not self._live and spent < self._next):
            return
        self._next = spent + 60
        if not self._live:
            print(f"sgldoctor: waiting for {self._url}: {state}", file=sys.stderr, flush=True)
            return
        bar = "=" * (int(spent) % 20) + ">"
        line = f"waiting for {self._url} [{bar:<20}] {spent:4.0f} s, {state}"
        print("\r" + line.ljust(self._width), end="", file=sys.stderr, flush=True)
        self._width = len(line)

    def end(self) -> None:
        """Take the moving line away."""
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)


def _hidden(text: str, key: str) -> str:
    """``text`` without the key, which a server may echo."""
    from sgldoctor.report.human import safe

    return safe(text.replace(key, "***") if key else text)


def _text(results: list[Result], args: Namespace, key: str) -> str:
    from sgldoctor.report.human import Line, paragraph, plain
    from sgldoctor.smoke import FAILED

    width = common.width(args)
    bad = [check for result in results for check in result.checks if check.state == FAILED]
    lines: list[Line] = [
        [("bad", "FAILED  "), ("title", f"{len(bad)} of {sum(len(result.checks) for result in results)} checks")]
        if bad
        else [("good", "OK  "), ("title", "the server answers as it should")]
    ]
    for result in results:
        about = ", ".join(
            part for part in (result.role, result.model, f"SGLang {result.sglang}" if result.sglang else "") if part
        )
        lines += [[], [("title", _hidden(f"{result.url} ({about})", key))]]
        for check in result.checks:
            took = f" ({check.seconds:.2f} s)" if check.seconds else ""
            lines += paragraph(f"{check.name}", f"{check.state}{took}: {_hidden(check.detail, key)}", width)
            if check.advice and check.state == FAILED:
                lines += paragraph("", _hidden(check.advice, key), width)
    return plain(lines)


def _json(results: list[Result], key: str) -> str:
    import json

    from sgldoctor import __version__
    from sgldoctor.report.as_json import cleaned

    servers: list[dict[str, Any]] = [
        {
            **{name: value for name, value in result._asdict().items() if name != "checks"},
            "ok": result.ok,
            "checks": [{**check._asdict(), "detail": _hidden(check.detail, key)} for check in result.checks],
        }
        for result in results
    ]
    answer = {
        "schema": "sgldoctor.smoke/1",
        "tool": {"name": "sgldoctor", "version": __version__},
        "command": "smoke",
        "ok": all(result.ok for result in results),
        "servers": servers,
    }
    return json.dumps(cleaned(answer), indent=1) + "\n"
