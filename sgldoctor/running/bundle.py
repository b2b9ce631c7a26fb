"""A bundle: what somebody else needs to understand a failed run, redacted, as one ``.tar.gz``.

It holds ``run.json`` (``sgldoctor.bundle/1``: command, how it ended, what of its output was kept), ``output.log``,
``report.json``, ``report.md`` and ``snapshot.json``, which ``check --snapshot`` reads.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterable

from sgldoctor import whole
from sgldoctor.report import as_json, as_markdown
from sgldoctor.report.model import Report
from sgldoctor.report.stream import redacted
from sgldoctor.typed import Any

SCHEMA = "sgldoctor.bundle/1"


def write(
    path: str, how: dict[str, Any], log: bytes, report: Report, snapshot: str, also: Callable[[str], str] = str
) -> None:
    """Write the bundle whole or not at all; raises InputError where that cannot be done.

    ``also`` is given each text but the snapshot's, free of secrets, and returns what to write: with pseudonyms, say.
    """
    from sgldoctor.report.redact import redact

    command = redact(" ".join(how["command"]))  # an option and its secret are two words
    files: dict[str, str | bytes] = {
        "run.json": also(json.dumps(as_json.cleaned({"schema": SCHEMA, **how, "command": command}), indent=1) + "\n"),
        "output.log": b"".join(redacted(functools.partial(io.BytesIO(log).read, 1 << 18), also)),
        "report.json": also(as_json.render(report)),
        "report.md": also(as_markdown.render(report)),
        "snapshot.json": snapshot,
    }
    whole.save(path, packed((name, data) for name, data in files.items()), 0o600)


def packed(files: Iterable[tuple[str, str | bytes]]) -> bytes:
    """Files as a ``.tar.gz`` that is the same for the same files: no times, no owners."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files:
            if isinstance(data, str):
                data = data.encode("utf-8", "backslashreplace")
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(held.getvalue(), mtime=0)
