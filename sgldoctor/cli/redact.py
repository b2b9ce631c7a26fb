"""``sgldoctor redact``: a log, or any other text, without its secrets."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

from sgldoctor.cli.options import Parser
from sgldoctor.errors import InputError, unreadable

EPILOG = """examples:
  sgldoctor redact crash.log > crash.public.log
  docker logs -f sglang 2>&1 | sgldoctor redact
  sgldoctor redact crash.log.gz > crash.public.log    gzip and zstd come out unpacked
  sgldoctor redact crash.tar.gz > public.tar.gz     an archive: each plain file in it, without who packed it
  sgldoctor redact --pseudonyms crash.log > crash.public.log

Only secrets are replaced, by <redacted>; lines, colours, encodings and everything else stay byte for byte.

With --pseudonyms, names of hosts and users and addresses are replaced as well: one name, one pseudonym, in all files,
so that they can still be compared. Set SGLDOCTOR_PSEUDONYM_KEY to a secret of your own: nobody can test a guess then.
A host's bare name is known where it is this machine's own or stands in a URL, an option, host=..., or user@host.
"""
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
    from sgldoctor.report.archive import is_archive
    from sgldoctor.report.stream import redacted

    if args.file != "-" and is_archive(args.file):
        return _archive(args.file, hiding() if args.pseudonyms else str)
    if args.file == "-" and sys.stdin.isatty():
        print("sgldoctor: reading from the terminal; Ctrl-D ends the text", file=sys.stderr)
    try:
        descriptor = sys.stdin.fileno() if args.file == "-" else os.open(args.file, os.O_RDONLY)
        for piece in redacted(_reader(descriptor, args.file), hiding() if args.pseudonyms else str):
            _write(piece)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise unreadable(args.file, error) from error
    return 0


def _archive(path: str, also: Callable[[str], str]) -> int:
    """An archive, such as the bundle of a run, as another one."""
    import tarfile
    import zlib

    from sgldoctor.errors import UsageError
    from sgldoctor.report.archive import rewrite
    from sgldoctor.report.text import clean

    if sys.stdout.isatty():
        raise UsageError(f"{path} is an archive, and so is what comes out: redirect it to a file")
    try:
        for left_out in rewrite(path, sys.stdout.buffer, also):
            print(f"sgldoctor: left out {clean(left_out)}", file=sys.stderr)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: {error}") from error
    return 0


def hiding() -> Callable[[str], str]:
    """What puts pseudonyms in the place of names and addresses in any text."""
    from functools import partial

    from sgldoctor.snapshot.pseudonyms import names_of, text

    return partial(text, names=names_of(os.environ, os.uname().nodename))


def _reader(descriptor: int, name: str) -> Callable[[], bytes]:
    """What stands in the file, unpacked; each call gives as much as there is: a live log passes line by line."""
    from sgldoctor.log.blocks import unpacked
    from sgldoctor.report.archive import PACKED

    def read() -> Iterator[bytes]:
        while piece := os.read(descriptor, _BLOCK):
            yield piece

    def checked() -> Iterator[bytes]:
        begun = False
        for piece in unpacked(read(), "standard input" if name == "-" else name, _BLOCK):
            if not begun and piece[257:262] == b"ustar":
                raise InputError(f"{name}: a tar archive; name its file instead of piping it")
            packing = next((kind for magic, kind in PACKED.items() if piece.startswith(magic)), "")
            if not begun and packing:  # its secrets would pass unseen
                raise InputError(f"{name}: {packing} data; unpack it first")
            begun = True
            yield piece

    pieces = checked()
    return lambda: next(pieces, b"")


def _write(piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        try:
            view = view[os.write(1, view) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise InputError(f"cannot write the output: {error.strerror}") from error
