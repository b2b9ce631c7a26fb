"""Variables, folders and layouts around the packages."""

from __future__ import annotations

from tests.lab.env import Copy, Variant

SURROUNDINGS: tuple[Variant, ...] = ()
