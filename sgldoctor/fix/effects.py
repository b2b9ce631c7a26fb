"""Actions other than packages: what they would meet, doing them, and taking them back.

Before anything is done, :func:`prepare` says what the way back needs; that goes to the journal first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from sgldoctor.errors import FixError
from sgldoctor.fix import files, variables
from sgldoctor.fix.actions import (
    CACHES,
    Action,
    LoadModule,
    RemoveCache,
    SetEnv,
    SystemPackage,
    UnsetEnv,
    WriteFile,
)
from sgldoctor.probe.run import run
from sgldoctor.typed import Any, NamedTuple


class Ground(NamedTuple):
    """Where actions take place: the environment's prefix, the user's variables, the identity of the repair."""

    prefix: str
    environ: Mapping[str, str]
    id: str


def check(action: Action, ground: Ground) -> str:
    """Why the action cannot be done, ``""`` if it can."""
    if isinstance(action, SetEnv | UnsetEnv):
        return files.check(variables.path_of(ground.prefix, ground.environ))
    if isinstance(action, WriteFile):
        return files.check(_path(action.path, ground.environ))
    if isinstance(action, RemoveCache):
        return _cache_problem(_path(CACHES[action.cache], ground.environ), ground.environ)
    return ""


def prepare(action: Action, ground: Ground) -> dict[str, Any]:
    """What the journal must hold for the way back, as plain values with the key ``do``."""
    data: dict[str, Any] = {"do": action.do}
    if isinstance(action, SetEnv | UnsetEnv):
        path = variables.path_of(ground.prefix, ground.environ)
        held = variables.load(path)
        data |= {"path": path, "name": action.name, "had": action.name in held, "before": held.get(action.name)}
    elif isinstance(action, WriteFile):
        path = _path(action.path, ground.environ)
        data |= {"path": path, "before": files.read(path), "after": action.content}
    elif isinstance(action, RemoveCache):
        path = _path(CACHES[action.cache], ground.environ)
        data |= {"path": path, "aside": f"{path}.sgldoctor-{ground.id}"}
    elif isinstance(action, LoadModule):
        data |= {"module": action.module, "loaded": os.path.isdir(f"/sys/module/{action.module}")}
    elif isinstance(action, SystemPackage):
        data |= {"packages": list(action.packages), "tool": action.tool}
    return data


def apply(action: Action, data: Mapping[str, Any], ground: Ground) -> None:
    """Do it; raises FixError with the reason where it fails."""
    if isinstance(action, SetEnv | UnsetEnv):
        held = variables.load(data["path"])
        held[action.name] = action.value if isinstance(action, SetEnv) else None
        variables.save(data["path"], ground.prefix, held)
    elif isinstance(action, WriteFile):
        files.write(data["path"], action.content, 0o644)
    elif isinstance(action, RemoveCache):
        _rename(data["path"], data["aside"])
    elif isinstance(action, LoadModule):
        _run(["modprobe", action.module], 60)
    elif isinstance(action, SystemPackage):
        _run([action.tool, "install", "-y", *action.packages], 1800)
    else:
        raise FixError(f"{action.do} is not done by the doctor")


def undo(data: Mapping[str, Any], ground: Ground) -> str:
    """Take an action back; returns what a person should know, ``""`` if nothing. Also right where it never happened."""
    do = data["do"]
    if do in ("set-env", "unset-env"):
        held = variables.load(data["path"])
        if data["had"]:
            held[data["name"]] = data["before"]
        else:
            held.pop(data["name"], None)
        variables.save(data["path"], ground.prefix, held)
    elif do == "write-file":
        now = files.read(data["path"])
        if (
            data.get("backup")
            and now in (data["before"], data["after"])
            and files.read(data["backup"]) == data["before"]
        ):
            files.remove(data["backup"])
        if now == data["before"]:
            return ""
        if now != data["after"]:
            return f"{data['path']} was changed since: it is left as it is"
        if data["before"] is None:
            files.remove(data["path"])
        else:
            files.write(data["path"], data["before"])
    elif do == "remove-cache":
        if os.path.isdir(data["aside"]):
            if os.path.lexists(data["path"]):
                return f"{data['path']} is in use again; the former cache is in {data['aside']}"
            _rename(data["aside"], data["path"])
    elif do == "load-module" and not data["loaded"] and os.path.isdir(f"/sys/module/{data['module']}"):
        _run(["modprobe", "-r", data["module"]], 60)
    elif do == "system-package":
        return f"the system packages {', '.join(data['packages'])} stay installed"
    return ""


def finish(data: Mapping[str, Any]) -> None:
    """What is only done once the repair is proven: an emptied cache is really deleted."""
    if data["do"] == "remove-cache" and os.path.isdir(data["aside"]):
        import shutil

        shutil.rmtree(data["aside"], ignore_errors=True)


def _path(text: str, environ: Mapping[str, str]) -> str:
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
