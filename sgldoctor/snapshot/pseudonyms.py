"""Names of hosts and people replaced by pseudonyms, so that a snapshot can be shown and still be compared.

A pseudonym is a keyed hash (BLAKE2b) of the name alone. A salt for each file would give one node another name in every
file, and nobody could say any more which nodes differ, or whether two files show the same one; so all files use the
same key. By default it is a constant of this program: comparable everywhere, enough against a reader, but whoever
guesses a name can test the guess. Set :data:`VARIABLE` to a secret of your own on all nodes to exclude that.

What is replaced: the machine's own name and the present user's wherever they stand in free text; the user in paths
below ``home`` or ``users``; the host in URLs; hosts and addresses where a variable or an option is about one. Loopback
addresses and hosts that everybody knows stay, since rules look at the former and the latter give nobody away.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from sgldoctor.facts import Row
from sgldoctor.lazy import lazy
from sgldoctor.typed import Any, NamedTuple

VARIABLE = "SGLDOCTOR_PSEUDONYM_KEY"
_PUBLIC_KEY = b"sgldoctor.snapshot/1"
_KNOWN_HOSTS = frozenset({
    "localhost", "huggingface.co", "github.com", "download.pytorch.org",
    "docs.sglang.ai", "flashinfer.ai", "hf-mirror.com", "modelscope.cn", "www.modelscope.cn",
})  # fmt: skip
_LOCAL = lazy(r"\[?(?:127\.[0-9.]+|0\.0\.0\.0|::1?|\*?)\]?")
_HOME = lazy(r"(?i)(/(?:home|users)/)([^/\s:;,'\"\\]+)")
_URL = lazy(r"(?i)(\b[a-z][a-z0-9+.-]{1,20}://(?:[^\s/@]{1,200}@)?)(\[[0-9a-f:.]{2,45}\]|[^\s/:@'\"\[\]<>,]{1,253})")
_HOST_NAMES = lazy(r"(?i)(?:^|[_-])(?:no[_-]proxy|proxy|addr|address|host|hostname|hosts|ip|url|endpoint|server)$")
_HOST_OPTION = lazy(
    r"(?i)((?<!\S)--[a-z0-9-]{0,40}-?(?:addr|address|host|hostname|ip|url|endpoint)[= ]{1,4})([^\s'\"]{1,512})"
)
_HOST = lazy(r"(?i)((?:[a-z][a-z0-9+.-]{1,20}://)?(?:[^\s/@]{1,200}@)?)(\[[0-9a-f:.]{2,45}\]|[^:/\[\]@\s]{1,253})(.*)")
_AT = lazy(r"(?<![\w.:/+-])([A-Za-z_][\w.-]{0,31})@([A-Za-z0-9][A-Za-z0-9.-]{0,252}[A-Za-z0-9])(?![\w@])")
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_VERSION = (
    r"(?:[=<>~!]=[ ]?|[\w.]-|\bv|\bversion[ \t:=]{1,4}|\.so\.|\b(?:cudnn|nccl|cublas)[ \t]{1,4}"
    r"|[a-z]-[\w-]{1,60}[\"',:()]{0,3}[ \t]{1,60})"
)
_IPV4 = lazy(
    rf"(?i)(?P<version>{_VERSION}\d{{1,6}}(?:\.\d{{1,6}}){{3}})"
    rf"|(?<![\w.])(?P<address>{_OCTET}(?:\.{_OCTET}){{3}})(?![\w]|\.\d)"
)
_IPV6 = lazy(
    r"(?i)(?<![\w:.])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:.])"
    r"|(?<![\w:.])(?=[0-9a-f:]{1,40}[0-9])(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6}(?![\w:.])"
)
_SPOKEN = lazy(
    r"(?i)(\b(?:hostname|host|node|nodename|master_addr|slurmd_nodename)[\"']?[ \t]{0,2}[=:][ \t]{0,2}[\"']?)"
    r"((?!(?:none|null|true|false)\b)[a-z][a-z0-9-]{0,62}(?:\.[a-z0-9-]{1,63}){0,5})(?![\w.(\[/-])"
)
_DONE = lazy(r"(?:host|address|net|user)-[0-9a-f]{12}(?![\w-])")
_FREE = ("environment", "launch", "ports", "hub", "disks", "python", "model", "interfaces", "toolkit")
"""Facts (first word of the name) with free text in them; names of packages, libraries and symbols are left alone."""
_ADDRESSES = ("addresses",)


class Names(NamedTuple):
    """What to replace: the key, how it is called in the file, this machine's names, people with their home folders."""

    key: bytes
    kind: str
    hosts: tuple[str, ...]
    users: tuple[str, ...]
    homes: tuple[tuple[str, str], ...]


def names_of(environ: Mapping[str, str], host: str) -> Names:
    """The names of this machine and of the present user; the key from ``environ``."""
    own = environ.get(VARIABLE, "").encode("utf-8", "surrogateescape")
    users, homes = {environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER")}, []
    try:
        import pwd

        entry = pwd.getpwuid(os.getuid())
        users.add(entry.pw_name)
        homes.append((entry.pw_dir, entry.pw_name))
    except (ImportError, KeyError):
        pass  # a container may run as a number without a name
    hosts = {host, host.split(".", maxsplit=1)[0]}
    return Names(
        own or _PUBLIC_KEY,
        "own key" if own else "public key",
        tuple(sorted((name for name in hosts if len(name) > 1 and name not in _KNOWN_HOSTS), key=len, reverse=True)),
        tuple(sorted(users - {"", "root"})),
        tuple((home.rstrip("/"), user) for home, user in homes if user != "root" and home.count("/") > 1),
    )


def pseudonym(kind: str, name: str, key: bytes) -> str:
    """``host-3f2a...`` for ``name``: 48 bits of its keyed hash, the same for each spelling in capitals."""
    import hashlib

    secret = hashlib.blake2b(key, digest_size=32).digest()
    digest = hashlib.blake2b(name.lower().encode("utf-8", "surrogateescape"), key=secret, digest_size=6)
    return f"{kind}-{digest.hexdigest()}"


def host(name: str, names: Names) -> str:
    """The pseudonym of a host; its domain has one of its own, so that ``node1`` and ``node1.example`` stay alike."""
    if not name or name.lower() in _KNOWN_HOSTS or _LOCAL.fullmatch(name) or _DONE.match(name):
        return name
    if re.fullmatch(r"\[?[0-9a-fA-F:.]+\]?", name) and not name.strip("[]").isdigit():
        return pseudonym("address", name.strip("[]"), names.key)
    label, dot, domain = name.partition(".")
    return pseudonym("host", label, names.key) + (f".{pseudonym('net', domain, names.key)}" if dot and domain else "")


def text(line: str, names: Names) -> str:
    """Any text with pseudonyms in the place of names: as in a snapshot, and addresses wherever they stand.

    Four numbers with dots are an address unless they are a version: behind a comparison, a name with a dash or of a
    file, the name of a package and blanks (as lists of packages print them), or the word itself.
    """
    line = _text(line, names, free=True)
    line = _AT.sub(lambda match: f"{_user(match[1], names)}@{host(match[2], names)}", line)
    line = _IPV4.sub(lambda match: match[0] if match["version"] else host(match["address"], names), line)
    line = _IPV6.sub(lambda match: host(match[0], names), line)
    return _SPOKEN.sub(lambda match: match[1] + host(match[2], names), line)


def hide(data: dict[str, Any], names: Names) -> dict[str, Any]:
    """A snapshot (:func:`sgldoctor.snapshot.to_object`) with pseudonyms in the place of names."""
    packages = {str(row.get("name")) for row in data["facts"].get("packages", {}).get("rows", [])}
    # A user or host called like a package ("sglang") is no secret, and replacing that word would spoil the facts.
    words = names._replace(
        users=tuple(user for user in names.users if user not in packages and user != "python"),
        hosts=tuple(host for host in names.hosts if host not in packages),
    )
    return {
        **data,
        "host": host(data["host"], names),
        "pseudonyms": names.kind,
        "facts": {fact: {**entry, "rows": _rows(fact, entry["rows"], words)} for fact, entry in data["facts"].items()},
        "unknown": [{**entry, "because": _text(entry["because"], words, free=True)} for entry in data["unknown"]],
    }


def _rows(fact: str, rows: list[Row], names: Names) -> list[Row]:
    free = fact.split(".", maxsplit=1)[0] in _FREE
    out = []
    option = ""
    for row in rows:
        label = str(row.get("flag") or row.get("name") or "")
        about = bool(_HOST_NAMES.search(label))
        new = {
            column: _value(column, value, names, free=free, about_host=column == "value" and about)
            for column, value in row.items()
        }
        if fact == "launch.argument" and isinstance(row.get("text"), str):
            new["text"] = _argument(option, row["text"], names)
            option = row["text"]
        out.append(new)
    return out


def _argument(before: str, text: str, names: Names) -> str:
    """One argument of a launch line, which may be ``--flag=value`` or the value of the flag before it."""
    flag, equals, value = text.partition("=")
    if flag.startswith("-") and equals:
        return f"{flag}={_hosts(value, names) if _HOST_NAMES.search(flag) else _text(value, names, free=True)}"
    if before.startswith("-") and "=" not in before and _HOST_NAMES.search(before) and not text.startswith("-"):
        return _hosts(text, names)
    return _text(text, names, free=True)


def _value(column: str, value: Any, names: Names, *, free: bool, about_host: bool) -> Any:
    if isinstance(value, list):
        return [_value(column, entry, names, free=free, about_host=about_host) for entry in value]
    if not isinstance(value, str):
        return value
    if column in _ADDRESSES:
        address, slash, bits = value.partition("/")
        return f"{host(address, names)}{slash}{bits}"
    return _hosts(value, names) if about_host else _text(value, names, free=free and column != "name")


def _hosts(text: str, names: Names) -> str:
    """A list of hosts, ``host:port`` pairs, networks or URLs, each host replaced."""
    return "".join(_one_host(piece, names) for piece in re.split(r"([,;\s]+)", text))


def _one_host(piece: str, names: Names) -> str:
    match = _HOST.fullmatch(piece)
    if not match or not re.search(r"\w", match[2]):
        return _text(piece, names, free=True)
    if piece.count(":") > 1 and re.fullmatch(r"[0-9a-fA-F:.]+", piece):  # IPv6 without brackets
        return host(piece, names)
    before, name, rest = match.groups()
    dot = "." if name.startswith(".") else ""  # NO_PROXY=.corp.example
    return f"{before}{dot}{host(name[len(dot) :], names)}{_text(rest, names, free=True)}"


def _text(text: str, names: Names, *, free: bool) -> str:
    for home, user in names.homes:
        if home in text:
            parent = home.rpartition("/")[0]
            text = re.sub(rf"{re.escape(home)}(?![\w.-])", f"{parent}/{pseudonym('user', user, names.key)}", text)
    if "/" in text:
        text = _HOME.sub(lambda match: match[1] + _user(match[2], names), text)
        text = _URL.sub(lambda match: match[1] + host(match[2], names), text)
    if free:
        text = _HOST_OPTION.sub(lambda match: match[1] + _hosts(match[2], names), text)
        for name in names.hosts:
            text = re.sub(rf"(?i)(?<![\w.-]){re.escape(name)}(?![\w-])", lambda match: host(match[0], names), text)
        for user in names.users:
            text = re.sub(rf"(?<![\w.-]){re.escape(user)}(?![\w.-])", pseudonym("user", user, names.key), text)
    return text


def _user(name: str, names: Names) -> str:
    return name if _DONE.match(name) else pseudonym("user", name, names.key)
