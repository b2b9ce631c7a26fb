"""Actions other than packages: one small class for each kind, with what it needs, does, proves, and takes back.

Before anything is done, ``prepare`` says what the way back needs; that goes to the journal first, and ``undo`` works
from it alone, in another process and also where the action never happened. Packages are the transaction's
(:mod:`~sgldoctor.fix.transaction`), flags are the launch file's (:mod:`~sgldoctor.fix.launchfile`).
"""

# ruff: noqa: ARG002  one signature for all kinds

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from sgldoctor.errors import FixError
from sgldoctor.fix import files, variables
from sgldoctor.fix.actions import CACHES, Action
from sgldoctor.probe.run import run
from sgldoctor.typed import Any, NamedTuple

Data = Mapping[str, Any]
"""What the journal holds of an action: plain values, with its kind under ``do``."""


class Ground(NamedTuple):
    """Where actions take place: the environment's prefix, the user's variables, the identity of the repair."""

    prefix: str
    environ: Mapping[str, str]
    id: str


class Effect:
    """What a kind of action does. This one does nothing, which is right for advice and for flags."""

    def check(self, action: Any, ground: Ground) -> str:
        """Why the action cannot be done, ``""`` if it can."""
        return ""

    def prepare(self, action: Any, ground: Ground) -> dict[str, Any]:
        """What the way back needs, besides ``do``."""
        return {}

    def apply(self, action: Any, data: Data, ground: Ground) -> None:
        """Do it; raises FixError with the reason where it fails."""
        raise FixError(f"{action.do} is not done by the doctor")

    def verify(self, action: Any, data: Data, ground: Ground) -> str:
        """Why it does not hold after it was done, ``""`` if it does."""
        return ""

    def undo(self, data: Data, ground: Ground) -> str:
        """Take it back; returns what a person should know, ``""`` if nothing."""
        return ""

    def finish(self, data: Data) -> None:
        """What is only done once the repair is proven."""


class Variable(Effect):
    """``set-env`` and ``unset-env``: a line in the environment's own file of variables."""

    def check(self, action: Any, ground: Ground) -> str:
        """The file must be one that may be written."""
        return files.check(variables.path_of(ground.prefix, ground.environ))

    def prepare(self, action: Any, ground: Ground) -> dict[str, Any]:
        """``path``, ``name``, and what the file said of it."""
        path = variables.path_of(ground.prefix, ground.environ)
        held = variables.load(path)
        return {"path": path, "name": action.name, "had": action.name in held, "before": held.get(action.name)}

    def apply(self, action: Any, data: Data, ground: Ground) -> None:
        """Write the file anew."""
        held = variables.load(data["path"])
        held[action.name] = getattr(action, "value", None)
        variables.save(data["path"], ground.prefix, held)

    def verify(self, action: Any, data: Data, ground: Ground) -> str:
        """Read it back."""
        held = variables.load(data["path"])
        wanted = getattr(action, "value", None)
        said = action.name in held and held[action.name] == wanted
        return "" if said else f"{data['path']} does not say {action.describe()}"

    def undo(self, data: Data, ground: Ground) -> str:
        """Only this variable: others may have come since."""
        held = variables.load(data["path"])
        if data["had"]:
            held[data["name"]] = data["before"]
        else:
            held.pop(data["name"], None)
        variables.save(data["path"], ground.prefix, held)
        return ""


class File(Effect):
    """``write-file``: a small file, whole or not at all."""

    def check(self, action: Any, ground: Ground) -> str:
        """No link, no foreign owner, a folder that can be written."""
        return files.check(expanded(action.path, ground.environ))

    def prepare(self, action: Any, ground: Ground) -> dict[str, Any]:
        """``path``, and the text before and after."""
        path = expanded(action.path, ground.environ)
        return {"path": path, "before": files.read(path), "after": action.content}

    def apply(self, action: Any, data: Data, ground: Ground) -> None:
        """Write it."""
        files.write(data["path"], action.content, 0o644)

    def verify(self, action: Any, data: Data, ground: Ground) -> str:
        """Read it back."""
        return "" if files.read(data["path"]) == action.content else f"{data['path']} does not hold what was written"

    def undo(self, data: Data, ground: Ground) -> str:
        """The former text, unless somebody has changed the file since; a backup beside it goes."""
        now = files.read(data["path"])
        backup = str(data.get("backup") or "")
        if backup and now in (data["before"], data["after"]) and files.read(backup) == data["before"]:
            files.remove(backup)
        if now == data["before"]:
            return ""
        if now != data["after"]:
            return f"{data['path']} was changed since: it is left as it is"
        if data["before"] is None:
            files.remove(data["path"])
        else:
            files.write(data["path"], data["before"])
        return ""


class Cache(Effect):
    """``remove-cache``: set aside first, deleted only when the repair is proven."""

    def check(self, action: Any, ground: Ground) -> str:
        """It must look like a cache of ours."""
        return _cache_problem(expanded(CACHES[action.cache], ground.environ), ground.environ)

    def prepare(self, action: Any, ground: Ground) -> dict[str, Any]:
        """``path``, and where it is set aside."""
        path = expanded(CACHES[action.cache], ground.environ)
        return {"path": path, "aside": f"{path}.sgldoctor-{ground.id}"}

    def apply(self, action: Any, data: Data, ground: Ground) -> None:
        """Rename it."""
        _rename(data["path"], data["aside"])

    def verify(self, action: Any, data: Data, ground: Ground) -> str:
        """It is set aside; a new one may have come since."""
        return "" if os.path.isdir(data["aside"]) else f"{data['path']} was not set aside"

    def undo(self, data: Data, ground: Ground) -> str:
        """Put it back, unless a new one is in use."""
        if not os.path.isdir(data["aside"]):
            return ""
        if os.path.lexists(data["path"]):
            return f"{data['path']} is in use again; the former cache is in {data['aside']}"
        _rename(data["aside"], data["path"])
        return ""

    def finish(self, data: Data) -> None:
        """Delete it."""
        if os.path.isdir(data["aside"]):
            import shutil

            shutil.rmtree(data["aside"], ignore_errors=True)


class Module(Effect):
    """``load-module``: a kernel module of the host, as root."""

    def prepare(self, action: Any, ground: Ground) -> dict[str, Any]:
        """``module``, and whether it was loaded already."""
        return {"module": action.module, "loaded": os.path.isdir(f"/sys/module/{action.module}")}

    def apply(self, action: Any, data: Data, ground: Ground) -> None:
        """``modprobe``, whose exit status is the proof: what is built in has no folder of its own."""
        _run(["modprobe", action.module], 60)

    def undo(self, data: Data, ground: Ground) -> str:
        """Unload it where the repair has loaded it."""
        if not data["loaded"] and os.path.isdir(f"/sys/module/{data['module']}"):
            _run(["modprobe", "-r", data["module"]], 60)
        return ""


class System(Effect):
    """``system-package``: packages of the distribution, as root. They are not taken back."""

    def check(self, action: Any, ground: Ground) -> str:
        """The distribution's installer has to be there."""
        import shutil

        return "" if shutil.which(action.tool, path=ground.environ.get("PATH")) else f"{action.tool} is not on PATH"

    def prepare(self, action: Any, ground: Ground) -> dict[str, Any]:
        """``packages`` and ``tool``."""
        return {"packages": list(action.packages), "tool": action.tool}

    def apply(self, action: Any, data: Data, ground: Ground) -> None:
        """One call of the installer, whose exit status is the proof."""
        _run([action.tool, "install", "-y", *action.packages], 1800)

    def undo(self, data: Data, ground: Ground) -> str:
        """They stay: something else may need them by now."""
        return f"the system packages {', '.join(data['packages'])} stay installed"


EFFECTS: Mapping[str, Effect] = {
    "set-env": Variable(),
    "unset-env": Variable(),
    "write-file": File(),
    "remove-cache": Cache(),
    "load-module": Module(),
    "system-package": System(),
}
"""Kind of action to what it does; every other kind is done elsewhere, or by a person."""
_NONE = Effect()


def check(action: Action, ground: Ground) -> str:
    """Why the action cannot be done, ``""`` if it can."""
    return EFFECTS.get(action.do, _NONE).check(action, ground)


def prepare(action: Action, ground: Ground) -> dict[str, Any]:
    """What the journal must hold for the way back, as plain values with the key ``do``."""
    return {"do": action.do, **EFFECTS.get(action.do, _NONE).prepare(action, ground)}


def apply(action: Action, data: Data, ground: Ground) -> None:
    """Do it, and see that it holds; raises FixError with the reason where it fails."""
    effect = EFFECTS.get(action.do, _NONE)
    effect.apply(action, data, ground)
    because = effect.verify(action, data, ground)
    if because:
        raise FixError(because)


def undo(data: Data, ground: Ground) -> str:
    """Take an action back; returns what a person should know, ``""`` if nothing. Also right where it never happened."""
    return EFFECTS.get(data["do"], _NONE).undo(data, ground)


def finish(data: Data) -> None:
    """What is only done once the repair is proven: an emptied cache is really deleted."""
    EFFECTS.get(data["do"], _NONE).finish(data)


def expanded(text: str, environ: Mapping[str, str]) -> str:
    """``~``, ``$NAME`` and ``${NAME:-default}`` expanded; raises FixError where the result is not absolute."""
    home = environ.get("HOME") or os.path.expanduser("~")
    known = {"HOME": home, "USER": _user(), **environ}

    def value(match: re.Match[str]) -> str:
        name, default = match[1] or match[3], match[2]
        return known.get(name) or ("" if default is None else _expand(default, known))

    path = re.sub(r"\$(?:\{([A-Z_]+)(?::-([^}]*))?\}|([A-Z_]+))", value, text)
    path = home + path[1:] if path.startswith("~/") else path
    if not os.path.isabs(path):
        raise FixError(f"{text}: no absolute path")
    return os.path.normpath(path)


def _expand(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\$([A-Z_]+)", lambda match: known.get(match[1], ""), text)


def _user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def _cache_problem(path: str, environ: Mapping[str, str]) -> str:
    """A cache is only removed where it cannot be anything else: a real folder, ours, and well below / and $HOME."""
    home = os.path.normpath(environ.get("HOME") or os.path.expanduser("~"))
    deep = path.count("/") > 2 or path.startswith((home + "/", "/tmp/"))  # noqa: S108  where torch puts its cache
    if not deep or path == home or home.startswith(path + "/"):
        return f"{path} does not look like a cache"
    if not os.path.lexists(path):
        return f"{path} is not there"
    if os.path.islink(path) or not os.path.isdir(path):
        return f"{path} is no folder"
    if hasattr(os, "geteuid") and os.stat(path).st_uid not in (os.geteuid(), *([0] if os.geteuid() == 0 else [])):
        return f"{path} belongs to somebody else"
    return ""


def _rename(source: str, destination: str) -> None:
    try:
        os.rename(source, destination)
    except OSError as error:
        raise FixError(f"{source}: {error.strerror}") from error


def _run(argv: list[str], seconds: float) -> None:
    ran = run(argv, seconds=seconds)
    if ran.status != 0:
        said = (ran.stderr or ran.stdout).strip().splitlines()[-3:]
        raise FixError(f"{' '.join(argv)}: {ran.because or ' '.join(said) or f'exit status {ran.status}'}")
