"""The effective arguments of a launch line: what it gives, else the release's declared default."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sgldoctor.derive.arguments import whole
from sgldoctor.facts import Facts
from sgldoctor.knowledge import flags
from sgldoctor.knowledge.flags import Flag
from sgldoctor.typed import Any, NamedTuple

REST = "rest of the launch line"
"""What is noted as unknown where further options may be given that are not seen."""


def release_of(facts: Facts, line: Facts | None = None) -> str | None:
    """The release that a launch line runs in: that of its own image, else the one that the facts tell; None if none."""
    return (line or facts).value("launch", "release") or facts.value("sglang", "version") or None


class Settings(NamedTuple):
    """Values by canonical flag; one that is given but not known is None in ``values``.

    ``model`` is the row of that fact, ``environment`` the variables of the server, ``capabilities`` and ``memory`` the
    compute capabilities and the MiB of its GPUs, all empty where unknown.
    """

    values: Mapping[str, str | None]
    flags: Mapping[str, Flag]
    release: str
    model: Mapping[str, Any]
    environment: Mapping[str, str]
    capabilities: frozenset[tuple[int, int]]
    memory: frozenset[int]

    @property
    def majors(self) -> frozenset[int]:
        """The major numbers of the compute capabilities."""
        return frozenset(major for major, _ in self.capabilities)

    def given(self, flag: str) -> bool:
        """Whether the line has the flag."""
        return flag in self.values

    def unsure(self, flag: str) -> bool:
        """Whether the line has the flag with a value that is not known."""
        return flag in self.values and self.values[flag] is None

    def on(self, flag: str) -> bool:
        """Whether a switch is set."""
        return flag in self.values and self.values[flag] not in ("False", "false")

    def text(self, flag: str) -> str:
        """The value as text, ``""`` where it is neither given nor declared, or not known."""
        if flag in self.values:
            return self.values[flag] or ""
        default = self.flags[flag].default if flag in self.flags else None
        return default if isinstance(default, str) else ""

    def number(self, flag: str) -> int | None:
        """The value as a whole number; None where it is not known, not declared or no number."""
        if flag in self.values:
            value = self.values[flag]
            return whole(value) if value is not None else None
        default = self.flags[flag].default if flag in self.flags else None
        return default if isinstance(default, int) and not isinstance(default, bool) else None

    def real(self, flag: str) -> float | None:
        """The value as a number; None where it is not known, not declared or no number."""
        if flag in self.values:
            try:
                return float(self.values[flag] or "")
            except ValueError:
                return None
        default = self.flags[flag].default if flag in self.flags else None
        return float(default) if isinstance(default, (int, float)) and not isinstance(default, bool) else None


def read(facts: Facts) -> Settings:
    """The settings of the line in ``launch.option``, with the defaults of the release in ``sglang``."""
    values: dict[str, str | None] = {}
    for row in facts.rows("launch.option"):
        # argparse keeps the last of several.
        flag = str(row["flag"])
        negated = str(row.get("given", "")).startswith("--no-") and not flag.startswith("--no-")
        values[flags.canonical(flag) or flags.by_dest(flag[2:].replace("-", "_")) or flag] = (
            None if not row.get("known", True) else "False" if negated else str(row.get("value", ""))
        )
    judged = flags.judges(release_of(facts))
    by_flag = {flag.flag: flag for flag in flags.table(judged.release).values()}
    # The variables of the line come after those of the machine.
    environment = {str(row.get("name")): str(row.get("value")) for row in facts.rows("environment")}
    said = [str(row.get("capability") or "").partition(".") for row in facts.rows("gpus")]
    capabilities = frozenset((int(one), int(two or 0)) for one, _, two in said if one.isdigit())
    memory = frozenset(int(row["memory_total_mib"]) for row in facts.rows("gpus") if row.get("memory_total_mib"))
    return Settings(values, by_flag, judged.release, facts.one("model"), environment, capabilities, memory)


def whole_line(facts: Facts) -> bool:
    """Whether all options of the line are seen, so that what is absent is really absent."""
    return not any(entry.what == REST for entry in facts.unknown)


def below(flag: str, least: float) -> Callable[[Settings], str]:
    """A check that ``flag``, if given, is at least ``least``."""

    def check(s: Settings) -> str:
        value = s.real(flag) if s.given(flag) else None
        return f"{flag} {value:g} must be at least {least:g}" if value is not None and value < least else ""

    return check
