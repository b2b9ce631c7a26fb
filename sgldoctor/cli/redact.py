"""``sgldoctor redact``: a log, or any other text, without its secrets."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from sgldoctor.cli.options import Parser
from sgldoctor.errors import InputError, unreadable

EPILOG = """examples:
  sgldoctor redact crash.log > crash.public.log
  docker logs -f sglang 2>&1 | sgldoctor redact
  zcat crash.log.gz | sgldoctor redact
  sgldoctor redact --pseudonyms crash.log > crash.public.log

Only secrets are replaced, by <redacted>; lines, colours, encodings and everything else stay byte for byte.

With --pseudonyms, names of hosts and users and addresses are replaced as well: one name, one pseudonym, in all files,
so that they can still be compared. Set SGLDOCTOR_PSEUDONYM_KEY to a secret of your own: nobody can test a guess then.
A host's bare name is known where it is this machine's own or stands in a URL, an option, host=..., or user@host.
"""
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_BLOCK = 1 << 18


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    made = Parser(
        prog="sgldoctor redact",
        description="Copy a text to standard output without tokens, keys, passwords and credentials in URLs.",
        epilog=EPILOG,
    )
    made.add_argument("file", metavar="FILE", nargs="?", default="-", help="default, and '-': standard input")
    made.add_argument("--pseudonyms", action="store_true", help="replace names of hosts and users, and addresses")
    args = made.parse_args(arguments)
    from sgldoctor.report.stream import redacted

    try:
        descriptor = sys.stdin.fileno() if args.file == "-" else os.open(args.file, os.O_RDONLY)
        for piece in redacted(_reader(descriptor, args.file), _hiding() if args.pseudonyms else str):
            _write(piece)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise unreadable(args.file, error) from error
    return 0


def _hiding() -> Callable[[str], str]:
    from functools import partial

    from sgldoctor.snapshot.pseudonyms import names_of, text

    return partial(text, names=names_of(os.environ, os.uname().nodename))


def _reader(descriptor: int, name: str) -> Callable[[], bytes]:
    begun = False

    def read() -> bytes:
        nonlocal begun
        piece = os.read(descriptor, _BLOCK)
        if not begun:
            for magic, packing in _PACKED.items():
                if piece.startswith(magic):  # its secrets would pass unseen
                    raise InputError(
                        f"{name}: {packing} data; unpack it first, such as: zcat {name} | sgldoctor redact"
                    )
            begun = True
        return piece

    return read


def _write(piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(1, view) :]
