"""Which environment is examined: from a name, a folder or the variables to a :class:`Target`.

The layout on disk tells (``pyvenv.cfg``, ``conda-meta``, ``lib/pythonX.Y``); only where it does not, and only on a live
machine, is the interpreter started, isolated, without its site-packages, and with a limit.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping

from sgldoctor.errors import InputError
from sgldoctor.probe import rooted
from sgldoctor.probe.target import Target
from sgldoctor.typed import NamedTuple

SECONDS = 10.0
"""How long an interpreter may take to say who it is."""

SYSTEM_FOLDERS = frozenset(f"/{name}" for name in "bin boot dev etc lib lib32 lib64 proc run sbin sys usr var".split())
"""Where nobody puts an environment and where most of the files of an image are."""

MOST_FOLDERS = 2000

ASK = (
    "import sys,site,json;print(json.dumps({'prefix':sys.prefix,'base':sys.base_prefix,"
    "'version':'.'.join(map(str,sys.version_info[:3])),'sites':site.getsitepackages(),'executable':sys.executable}))"
)


class Layout(NamedTuple):
    """What an environment looks like; paths as the target sees them."""

    python: str
    prefix: str
    sites: tuple[str, ...]
    version: str
    kind: str
    note: str = ""


def find(python: str | None, venv: str | None, root: str | None, environ: Mapping[str, str]) -> Target:
    """The environment to examine; all paths of the result are as the target sees them (see ``Target.path``).

    Args:
        python: an interpreter: a name on PATH or a path.
        venv: the folder of a virtual or conda environment.
        root: folder that stands for ``/``, or None on this machine. This process' own variables say nothing about
            another root: those of the process are used where ``root`` is ``/proc/PID/root``, else none.
        environ: variables of this machine: the environment is by default the one named by VIRTUAL_ENV, then
            CONDA_PREFIX, then that of the ``python3`` on PATH.

    Raises:
        InputError: what was named is not there, or is no Python environment.
    """
    top = "/"
    if root is not None:
        top = os.path.abspath(root)
        if not os.path.isdir(top):
            raise InputError(f"--root {root}: no such folder")
    variables = dict(environ) if top == "/" else _variables_of(top)
    chosen, layout = _choose(python, venv, top, variables)
    sites = _with_path_files(top, _with_user_site(top, layout, variables))
    sites = (*_python_path(top, variables, sites), *sites)
    chosen = f"{chosen}; {layout.note}" if layout.note else chosen
    return Target(top, layout.python, layout.prefix, sites, layout.version, variables, chosen, layout.kind)


def _variables_of(root: str) -> dict[str, str]:
    """The variables of the process whose root this is, if it is named as ``/proc/PID/root``."""
    parts = root.strip("/").split("/")
    if len(parts) != 3 or parts[0] != "proc" or parts[2] != "root" or not parts[1].isdigit():
        return {}
    data = rooted.read("/", f"/proc/{parts[1]}/environ") or b""
    pairs = (item.partition(b"=") for item in data.split(b"\0") if b"=" in item)
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, _, value in pairs}


def _choose(python: str | None, venv: str | None, root: str, variables: Mapping[str, str]) -> tuple[str, Layout]:
    if python:
        path = _named(python, root, variables)
        return f"--python {python}", _of_interpreter(path, root, f"--python {python}")
    if venv:
        folder = _inside(venv, root)
        if not rooted.is_folder(root, folder):
            raise InputError(f"--venv {venv}: no such folder")
        layout = _of_folder(folder, root)
        if layout is None:
            raise InputError(f"--venv {venv}: no Python environment (no lib/python3.x/site-packages in it)")
        return f"--venv {venv}", layout
    stale = []
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        folder = variables.get(name, "")
        if not folder:
            continue
        found = _of_folder(folder, root)
        if found is not None:
            return f"{name}={folder}", found
        stale.append(f"{name}={folder} is no environment")
    for path in _candidates(root, variables):
        how = "python3 on PATH" if root == "/" else f"found under {root}"
        return "; ".join([f"{how}: {path}", *stale]), _of_interpreter(path, root, path)
    where = f" under {root}" if root != "/" else ""
    raise InputError(f"no Python environment found{where}: name one with --python PATH or --venv DIR")


def _inside(path: str, root: str) -> str:
    """A path given by the user, as the target sees it: theirs may name the root or start inside it."""
    if root == "/":
        return os.path.abspath(os.path.expanduser(path))
    full = os.path.abspath(path)
    if full.startswith(root + "/"):
        return full[len(root) :]
    return os.path.normpath("/" + path.lstrip("/"))


def _named(python: str, root: str, variables: Mapping[str, str]) -> str:
    if "/" in python or (os.sep != "/" and os.sep in python):
        path = _inside(python, root)
        if rooted.is_folder(root, path):
            raise InputError(f"--python {python}: a folder; name its interpreter, or use --venv")
        if not rooted.is_file(root, path):
            link = os.path.islink(path if root == "/" else os.path.join(root, path.lstrip("/")))
            raise InputError(f"--python {python}: " + ("a link to a file that is gone" if link else "no such file"))
        return path
    for folder in _path_folders(root, variables):
        path = os.path.join(folder, python)
        if rooted.is_file(root, path):
            return path
    raise InputError(f"--python {python}: not found on PATH")


def _path_folders(root: str, variables: Mapping[str, str]) -> list[str]:
    path = variables.get("PATH")
    if path is None and root != "/":
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [folder for folder in (path or "").split(os.pathsep) if folder.startswith("/")]


def _candidates(root: str, variables: Mapping[str, str]) -> Iterator[str]:
    """Interpreters on PATH, best first; in an image, environments that serve models come before them.

    ``uvx`` and ``pipx`` put the tool's own environment first on PATH: where the doctor runs from an environment of its
    own that holds no SGLang, the next interpreter is the one that the user means.
    """
    own = os.path.join(sys.prefix, "bin") if root == "/" and sys.prefix != sys.base_prefix else ""
    if root != "/":
        folders = _folders_of_image(root)
        yield from (f"{folder}/bin/python" for folder in folders if _serves_models(f"{folder}/bin", root))
    later = []
    for folder in _path_folders(root, variables):
        for name in ("python3", "python"):
            path = os.path.join(folder, name)
            if not rooted.is_file(root, path):
                continue
            if own and rooted.resolve("/", folder) == rooted.resolve("/", own) and not _serves_models(own, root):
                later.append(path)
            else:
                yield path
            break
    yield from later


def _folders_of_image(root: str) -> list[str]:
    """Environments at most three folders deep in an image.

    The PATH of an image is not written in its files, so this is how ``/opt/venv`` or ``/app/.venv`` is found.
    """
    found: list[str] = []
    level = [""]
    for _ in range(3):
        below = []
        for parent in level:
            try:
                with os.scandir(root + parent) as entries:
                    folders = sorted(
                        f"{parent}/{entry.name}" for entry in entries if entry.is_dir(follow_symlinks=False)
                    )
            except OSError:
                continue
            for folder in folders:
                if any(os.path.lexists(f"{root}{folder}/{mark}") for mark in ("pyvenv.cfg", "conda-meta")):
                    found.append(folder)
                elif folder not in SYSTEM_FOLDERS:
                    below.append(folder)
        level = below[:MOST_FOLDERS]
    return [folder for folder in found if _of_folder(folder, root) is not None]


def _serves_models(folder: str, root: str) -> bool:
    layout = _of_folder(os.path.dirname(folder), root)
    return layout is not None and any(
        rooted.is_folder(root, f"{site}/{name}") for site in layout.sites for name in ("sglang", "torch")
    )


def _of_interpreter(path: str, root: str, label: str) -> Layout:
    prefix = os.path.dirname(os.path.dirname(path))
    for folder in (prefix, os.path.dirname(path)):
        if rooted.is_file(root, folder + "/pyvenv.cfg") or rooted.is_folder(root, folder + "/conda-meta"):
            found = _of_folder(folder, root)
            if found is None:
                raise InputError(f"{label}: the environment {folder} is broken: it has no lib/python3.x/site-packages")
            return found._replace(python=path)
    real = rooted.real(root, path)
    name = os.path.basename(real)
    minor = name[len("python") :] if name.startswith("python3.") else ""
    base = os.path.dirname(os.path.dirname(real))
    if minor and rooted.is_file(root, f"{base}/lib/python{minor}/os.py"):
        return Layout(path, base, _base_sites(base, minor, root), minor, "system")
    if base.startswith("/") and rooted.is_folder(root, base + "/conda-meta"):
        found = _of_folder(base, root)
        if found is not None:
            return found._replace(python=path)
    if root != "/":
        raise InputError(f"{label}: not a Python interpreter whose environment can be told from its files")
    return _ask(path, label)


def _ask(path: str, label: str) -> Layout:
    """Start the interpreter, isolated and without its site-packages, and let it say who it is."""
    import json

    from sgldoctor.probe.run import run

    answer = run([path, "-I", "-S", "-c", ASK], seconds=SECONDS)
    if answer.status is None:
        raise InputError(f"{label}: cannot be started: {answer.because}")
    try:
        said = json.loads(answer.stdout)
        sites = tuple(str(site) for site in said["sites"] if os.path.isdir(site))
        version, prefix, executable = str(said["version"]), str(said["prefix"]), str(said["executable"])
    except (ValueError, KeyError, TypeError):
        last = answer.stderr.strip().splitlines()[-1:] or [f"exit status {answer.status}"]
        # A program that is no Python repeats the code that it was given: that tells a reader nothing.
        said = last[0] if len(last[0]) < 120 else f"exit status {answer.status}"
        raise InputError(f"{label}: not a Python interpreter ({said})") from None
    # A shim (pyenv, asdf) runs another interpreter, perhaps that of a virtual environment, which -S does not show.
    if executable and rooted.resolve("/", executable) != rooted.resolve("/", path):
        inner = os.path.dirname(os.path.dirname(executable))
        if os.path.isfile(inner + "/pyvenv.cfg"):
            found = _of_folder(inner, "/")
            if found is not None:
                return found
    return Layout(executable or path, prefix, sites, version, "system")


def _of_folder(folder: str, root: str) -> Layout | None:
    """The virtual or conda environment in a folder, or None where it is none."""
    folder = os.path.normpath(folder) if folder.startswith("/") else folder
    if not folder.startswith("/") or not rooted.is_folder(root, folder):
        return None
    settings = _settings(rooted.text(root, folder + "/pyvenv.cfg"))
    minors = [name[len("python") :] for name in rooted.names(root, folder + "/lib") if name.startswith("python3.")]
    conda = rooted.is_folder(root, folder + "/conda-meta")
    version = _full_version(settings) or (_conda_version(folder, root) if conda else "")
    minor = ".".join(version.split(".")[:2])
    if minor not in minors:
        if not minors:
            return None
        minor, version = minors[-1], minors[-1]
    sites: list[str] = []
    for lib in ("lib", "lib64"):
        site = f"{folder}/{lib}/python{minor}/site-packages"
        if rooted.is_folder(root, site) and rooted.resolve(root, site) not in {rooted.resolve(root, s) for s in sites}:
            sites.append(site)
    if not sites:
        return None
    if settings.get("include-system-site-packages", "").lower() == "true" and settings.get("home"):
        sites.extend(_base_sites(os.path.dirname(settings["home"]), minor, root))
    python, note = "", ""
    for name in ("python", "python3", f"python{minor}"):
        path = f"{folder}/bin/{name}"
        if rooted.is_file(root, path):
            python = path
            break
        host = path if root == "/" else os.path.join(root, path.lstrip("/"))
        if os.path.islink(host):
            note = f"its interpreter is gone: {os.readlink(host)}"
    kind = "conda" if conda else "venv" if settings else "system"
    return Layout(python, folder, tuple(sites), version, kind, "" if python else note or "it has no interpreter")


def _settings(content: str | None) -> dict[str, str]:
    pairs = (line.partition("=") for line in (content or "").splitlines() if "=" in line)
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _full_version(settings: Mapping[str, str]) -> str:
    """``3.11.7`` of pyvenv.cfg: venv writes ``version``, uv ``version_info``, virtualenv adds ``.final.0``."""
    text = settings.get("version") or settings.get("version_info") or ""
    return ".".join(text.split(".")[:3])


def _conda_version(folder: str, root: str) -> str:
    for name in rooted.names(root, folder + "/conda-meta"):
        if name.startswith("python-3.") and name.endswith(".json"):
            return name.split("-")[1]
    return ""


def _base_sites(prefix: str, minor: str, root: str) -> tuple[str, ...]:
    """Site folders of an installed interpreter; Debian's own Python keeps ``dist-packages`` in three places."""
    folders = [f"{prefix}/lib/python{minor}/site-packages", f"{prefix}/lib64/python{minor}/site-packages"]
    if prefix == "/usr":
        folders = [
            f"/usr/local/lib/python{minor}/dist-packages",
            "/usr/lib/python3/dist-packages",
            f"/usr/lib/python{minor}/dist-packages",
            f"/usr/local/lib/python{minor}/site-packages",
            f"/usr/local/lib64/python{minor}/site-packages",
            *folders,
        ]
    seen: dict[str, str] = {}
    for folder in folders:
        if rooted.is_folder(root, folder):
            seen.setdefault(rooted.resolve(root, folder), folder)
    return tuple(seen.values())


def _with_user_site(root: str, layout: Layout, variables: Mapping[str, str]) -> tuple[str, ...]:
    """The sites with the user's own in front, where this interpreter would use it (never in a venv of its own)."""
    home = variables.get("PYTHONUSERBASE") or (f"{variables['HOME']}/.local" if variables.get("HOME") else "")
    if not home or layout.kind == "venv" or variables.get("PYTHONNOUSERSITE"):
        return layout.sites
    minor = ".".join(layout.version.split(".")[:2])
    site = f"{home}/lib/python{minor}/site-packages"
    if rooted.is_folder(root, site) and site not in layout.sites:
        return (site, *layout.sites)
    return layout.sites


def _with_path_files(root: str, sites: tuple[str, ...]) -> tuple[str, ...]:
    """The sites and the folders that their .pth files add; lines that run code are left alone."""
    result = list(sites)
    for site in sites:
        for name in rooted.names(root, site):
            if not name.endswith(".pth") or name.startswith("."):
                continue
            for line in (rooted.text(root, f"{site}/{name}", 65536) or "").splitlines()[:200]:
                line = line.strip()
                if line.startswith(("import ", "import\t")):
                    result += [folder for folder in _mapped(root, site, line) if folder not in result]
                    continue
                if not line or line.startswith("#"):
                    continue
                folder = os.path.normpath(os.path.join(site, line))
                if folder not in result and rooted.is_folder(root, folder):
                    result.append(folder)
    return tuple(result)


def _mapped(root: str, site: str, line: str) -> list[str]:
    """The folders to which the finder of an editable install leads (setuptools), from the map in its source."""
    match = re.match(r"import (__editable___\w{1,200}_finder)\b", line)
    text = rooted.text(root, f"{site}/{match[1]}.py", 65536) if match else None
    folders = []
    for name, path in re.findall(r"'(\w{1,100})': '(/[^'\n]{1,500})'", (text or "").partition("NAMESPACES")[0]):
        folder, _, last = os.path.normpath(path).rpartition("/")
        if last == name and rooted.is_folder(root, folder):
            folders.append(folder)
    return folders


def _python_path(root: str, variables: Mapping[str, str], sites: tuple[str, ...]) -> list[str]:
    """Folders of PYTHONPATH that hold installed distributions: they come before every site-packages."""
    folders = []
    for folder in variables.get("PYTHONPATH", "").split(os.pathsep):
        if not folder.startswith("/") or folder in sites or folder in folders:
            continue
        if any(name.endswith((".dist-info", ".egg-info")) for name in rooted.names(root, folder)):
            folders.append(folder)
    return folders
