"""What an installation is planned for, and the steps that a plan is made of."""

from __future__ import annotations

import re

from sgldoctor.typed import NamedTuple


class Wish(NamedTuple):
    """What is to be planned; ``""`` where it is not known or not given.

    ``cuda`` is a major or a release (``12``, ``12.9``, ``cu129``), ``python`` as ``3.12``, ``capability`` as ``9.0``;
    the driver, ``glibc`` and ``machine`` are those of the place where it will run.
    """

    sglang: str
    cuda: str = ""
    python: str = ""
    companions: tuple[str, ...] = ()
    driver: str = ""
    glibc: str = ""
    machine: str = "x86_64"
    capability: str = ""


class Step(NamedTuple):
    """One step: its ``commands`` in order, what it would otherwise ``moves``, and ``why`` it stands here."""

    title: str
    commands: tuple[str, ...]
    why: str = ""
    moves: str = ""


def major_of(cuda: str) -> str:
    """The major release of a CUDA as people write it: ``12.9`` and ``cu129`` are ``12``; ``""`` where it is none."""
    match = re.fullmatch(r"(?:cu)?(\d\d)(?:\.?\d)?(?:\.\d+)?", cuda)
    return match[1] if match else ""
