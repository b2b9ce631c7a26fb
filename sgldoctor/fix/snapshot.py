"""What is installed at a moment, as far as a repair can bring it back; and the difference between two moments."""

from __future__ import annotations

import os
import re

from sgldoctor.errors import FixError
from sgldoctor.probe.target import Target
from sgldoctor.typed import Any, NamedTuple


class Installed(NamedTuple):
    """One distribution. ``url`` is where a direct install came from; ``whole`` says that its RECORD is there."""

    version: str
    url: str = ""
    editable: bool = False
    installer: str = ""
    whole: bool = True


class State(NamedTuple):
    """The distributions of one folder by normalised name, and what half-removed ones have left there."""

    site: str
    packages: dict[str, Installed]
    leftovers: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain object; :func:`from_json` reads it back."""
        return {
            "site": self.site,
            "packages": {name: list(entry) for name, entry in self.packages.items()},
            "leftovers": list(self.leftovers),
        }


def from_json(data: dict[str, Any]) -> State:
    """Rebuild a state from the journal."""
    packages = {str(name): Installed(*entry) for name, entry in data["packages"].items()}
    return State(str(data["site"]), packages, tuple(map(str, data["leftovers"])))


def site_of(target: Target) -> str:
    """The folder into which an installer writes: the first site-packages of the environment itself."""
    inside = [site for site in target.sites if site.startswith(target.prefix.rstrip("/") + "/") and os.path.isdir(site)]
    there = inside or [site for site in target.sites if os.path.isdir(site)]
    return there[0] if there else ""


def stamp(prefix: str) -> int:
    """When a virtual environment was made, in nanoseconds; 0 for another kind. A new one of the same name differs."""
    try:
        return os.stat(os.path.join(prefix, "pyvenv.cfg")).st_mtime_ns
    except OSError:
        return 0


def take(target: Target) -> State:
    """Read the folder into which repairs are written, and the platform's second one (``lib64``) where they differ.

    Raises:
        FixError: a folder cannot be listed.
    """
    site = site_of(target)
    packages: dict[str, Installed] = {}
    leftovers: list[str] = []
    seen: set[str] = set()
    prefix = target.prefix.rstrip("/") + "/"
    for folder in [site, *(other for other in target.sites if other.startswith(prefix))]:
        try:
            real = os.path.realpath(folder)
            if not folder or real in seen or not os.path.isdir(folder):
                continue
            seen.add(real)
            entries = sorted(os.listdir(folder))
        except OSError as error:
            raise FixError(f"cannot list {folder}: {error.strerror or error}") from error
        for entry in entries:
            if entry.startswith("~"):
                leftovers.append(entry)
            elif entry.endswith(".dist-info"):
                found = _read(os.path.join(folder, entry))
                if found is not None:
                    packages.setdefault(*found)
    return State(site, packages, tuple(leftovers))


def _read(folder: str) -> tuple[str, Installed] | None:
    from sgldoctor.knowledge.releases import normalise

    stem = os.path.basename(folder)[: -len(".dist-info")]
    name, _, version = stem.rpartition("-")
    try:
        with open(os.path.join(folder, "METADATA"), encoding="utf-8", errors="replace") as stream:
            head = stream.read(1 << 16)
    except OSError:
        head = ""
    told = re.search(r"^Name:[ \t]*(\S+)", head, re.MULTILINE)
    written = re.search(r"^Version:[ \t]*(\S+)", head, re.MULTILINE)
    name, version = (told[1] if told else name), (written[1] if written else version)
    if not name or not version:
        return None
    url, editable = _origin(os.path.join(folder, "direct_url.json"))
    whole = os.path.isfile(os.path.join(folder, "RECORD"))
    return normalise(name), Installed(version, url, editable, _first(os.path.join(folder, "INSTALLER")), whole)


def _first(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(64).strip()[:32]
    except OSError:
        return ""


def _origin(path: str) -> tuple[str, bool]:
    import json

    try:
        with open(path, encoding="utf-8") as stream:
            data = json.load(stream)
        editable = bool(data.get("dir_info", {}).get("editable"))
        url = str(data["url"])
        vcs = data.get("vcs_info")
        if isinstance(vcs, dict):
            url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
        # A password has no place there (PEP 610), but some installers left one: it must not reach the journal.
        return re.sub(r"//[^/@:]*:[^/@]*@", "//", url), editable
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", False


class Difference(NamedTuple):
    """What leads back: names to uninstall, requirements to install, names that cannot be brought back and why."""

    uninstall: tuple[str, ...]
    install: tuple[str, ...]
    lost: tuple[str, ...]


def back(before: State, now: State, only: set[str] | None = None) -> Difference:
    """From ``now`` back to ``before``: what differs, at the noted versions; of the names in ``only`` where given."""
    surplus = [name for name, entry in now.packages.items() if name not in before.packages and entry.whole]
    wanted: list[str] = []
    lost: list[str] = []
    for name, entry in before.packages.items():
        held = now.packages.get(name)
        if (
            held is not None and (held.version, held.url) == (entry.version, entry.url) and held.whole >= entry.whole
        ) or (only is not None and name not in only):
            continue
        if entry.editable:
            lost.append(f"{name} (an editable install of {entry.url})")
        else:
            wanted.append(requirement(name, entry))
    gone = [name for name in surplus if only is None or name in only]
    return Difference(tuple(gone), tuple(wanted), tuple(lost))


def requirement(name: str, entry: Installed) -> str:
    """What brings a noted distribution back."""
    return f"{name} @ {entry.url}" if entry.url else f"{name}=={entry.version}"


def changed(before: State, after: State) -> list[str]:
    """Names of the distributions that are not the same in both."""
    names = sorted(before.packages.keys() | after.packages.keys())
    return [name for name in names if before.packages.get(name) != after.packages.get(name)]
