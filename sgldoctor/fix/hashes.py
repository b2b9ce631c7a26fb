"""Hash-checking mode (``UV_REQUIRE_HASHES``, ``PIP_REQUIRE_HASHES``): what a repair needs so that it can be kept.

There every requirement has to be pinned and its hash known; uv takes both from constraint files, pip only from
requirement files, which a repair does not write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sgldoctor.errors import FixError
from sgldoctor.fix import files
from sgldoctor.fix.install import Installer
from sgldoctor.fix.plan import Step, exact, name_of


def required(installer: Installer) -> bool:
    """Whether the user has told this installer to check hashes."""
    value = installer.environ.get("UV_REQUIRE_HASHES" if installer.kind == "uv" else "PIP_REQUIRE_HASHES", "")
    return value.lower() in ("1", "true", "yes", "on")


def pinned(installer: Installer, steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps with every requirement pinned as the user's constraint files pin it, where hashes are required.

    Raises:
        FixError: pip is the installer, or a file does not pin what is needed with a hash.
    """
    if not required(installer):
        return tuple(steps)
    if installer.kind == "pip":
        raise FixError(
            "PIP_REQUIRE_HASHES is set, and pip takes hashes from requirement files only: use --installer uv"
        )
    known = _known(installer)
    out = []
    for step in steps:
        if step.verb != "install":
            out.append(step)
            continue
        packages = []
        for text in step.packages:
            name = name_of(text)
            version = known.get(name, "")
            if not version or (exact(text) and exact(text).partition("+")[0] != version.partition("+")[0]):
                raise FixError(
                    f"UV_REQUIRE_HASHES is set, and no --constraint file pins {text} with a hash; nothing was changed"
                )
            packages.append(text if exact(text) else f"{name}=={version}")
        out.append(step._replace(packages=tuple(packages)))
    return tuple(out)


def _known(installer: Installer) -> dict[str, str]:
    """Name to version of every line with a hash in the constraint files of the options and of ``UV_CONSTRAINT``."""
    from sgldoctor.knowledge.releases import normalise

    found: dict[str, str] = {}
    for path in (*installer.settings.constraints, *installer.environ.get("UV_CONSTRAINT", "").split()):
        text = re.sub(r"\\\r?\n", " ", files.read(path) or "")
        for line in text.splitlines():
            match = re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*==\s*([\w.!+]+)\s[^#]*--hash=", line)
            if match:
                found[normalise(match[1])] = match[2]
    return found
