"""The target: which machine and which Python environment are examined.

Probes never look at their own interpreter or at ``/`` directly, only through a target: so the doctor examines another
environment, an unpacked container image, or a folder that a test laid out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from sgldoctor.typed import NamedTuple


class Target(NamedTuple):
    """What to examine.

    Attributes:
        root: folder that stands for ``/``; ``"/"`` on a live machine.
        python: path of the interpreter, or ``""`` where there is none.
        prefix: its ``sys.prefix``, absolute, inside ``root``.
        sites: its site-packages folders in import order, absolute, inside ``root``.
        version: ``"3.11"`` or ``"3.11.7"``, ``""`` if unknown.
        environ: environment variables that count.
        chosen: how this environment was found, for the report.
        kind: ``venv``, ``conda`` or ``system``.
        pid: the running server that is examined, 0 for none.
        cwd: the folder in which the server is, or would be, started with ``python -m``; ``""`` where that is not known.
    """

    root: str
    python: str
    prefix: str
    sites: tuple[str, ...]
    version: str
    environ: Mapping[str, str]
    chosen: str
    kind: str
    pid: int = 0
    cwd: str = ""

    @property
    def live(self) -> bool:
        """Whether the target is this very machine, so that programs may be run and devices asked."""
        return self.root == "/"

    def path(self, absolute: str) -> str:
        """Where ``absolute`` (a path as the target sees it) lies for us."""
        return absolute if self.root == "/" else os.path.join(self.root, absolute.lstrip("/"))
