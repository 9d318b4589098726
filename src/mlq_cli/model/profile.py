"""The profile: where the values of the settings come from.

    flags  ▷  environment (MLQ_WORKER_LEASE for worker.lease)  ▷  file (mlq.yaml)  ▷  defaults

The only module that reads the environment and YAML for settings. What costs time to import is imported when there is a
file to read: most commands have none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mlq_cli.model.errors import Misuse, NotAllowed, UnknownKey
from mlq_cli.model.settings import FILE, FOLDER, PROGRAM, SECTIONS, SETTINGS, Profile, mask_url

__all__ = ["Profile", "load"]

FLAG = "flag"

_PLACEHOLDER = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\})?")
_ONLY_WITH_HOST = ("redis.port", "redis.db", "redis.tls")
_LOGIN = ("redis.username", "redis.password")


class _Given(NamedTuple):
    """One value as somebody said it."""

    key: str
    value: object
    origin: str
    folder: str = ""  # that a relative path in it starts from


def load(
    profile: str | None = None, flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> Profile:
    """Return the settings that hold here.

    Args:
        profile: a name, meaning NAME.yaml in the user's configuration folder, or the path of a file. None: MLQ_PROFILE,
            ./mlq.yaml, mlq.yaml in the user's configuration folder, or no file at all.
        flags: values by dotted key, `{"worker.lease": "5m"}`; None counts as not given.
        environ: instead of the environment. A variable that is empty counts as not set.

    Raises:
        UnknownKey: the file, or `flags`, has a key that does not exist.
        Misuse: a value makes no sense, or the file is missing or no YAML.
        NotAllowed: the file cannot be read.
    """
    environ = os.environ if environ is None else environ
    path = _find(profile or environ.get("MLQ_PROFILE"))
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    warnings: list[str] = []
    in_file: list[_Given] = []
    if path is not None:
        raw = list(_flatten(_read(path), path))
        in_file = [given._replace(value=_fill(given, environ)) for given in raw]
        _guard(path, raw, warnings, chosen=bool(profile or environ.get("MLQ_PROFILE")))
    in_environ = [
        _Given(setting.key, environ[setting.variable], setting.variable)
        for setting in SETTINGS.values()
        if environ.get(setting.variable)
    ]
    in_flags = [_Given(key, value, FLAG) for key, value in (flags or {}).items() if value is not None]
    for layer in (in_file, in_environ, in_flags):  # the later ones win
        _lay_over(values, origins, layer)
    _check(values, origins)
    sections = {
        name: section(**{k.partition(".")[2]: v for k, v in values.items() if k.startswith(f"{name}.")})
        for name, section in SECTIONS.items()
    }
    alone = {key: value for key, value in values.items() if "." not in key}
    return Profile(**sections, **alone, warnings=tuple(warnings), origins=origins)


# --- the file ------------------------------------------------------------------------------------------------------
def _find(wanted: str | None) -> Path | None:
    if wanted:
        named = "/" not in wanted and not wanted.endswith((".yaml", ".yml"))
        path = _folder() / f"{wanted}.yaml" if named else Path(wanted).expanduser().absolute()
        if path.is_file():
            return path
        hint = f"mlq looks for a profile called {wanted} there; a path has a '/' or ends in .yaml" if named else None
        raise Misuse(f"there is no profile {path}", hint=hint)
    here = Path("mlq.yaml").absolute()
    if here.is_file():
        return here
    mine = _folder() / "mlq.yaml"
    return mine if mine.is_file() else None


def _folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_config_dir("mlq", appauthor=False))


def _read(path: Path) -> object:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML's safe loader, but a key that is there twice is an error: one of the two would be lost."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in seen:
                    raise Misuse(f"{path} has the key '{key.value}' twice, again in line {key.start_mark.line + 1}")
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except PermissionError:
        raise NotAllowed(f"the profile {path} cannot be read by this user") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Misuse(f"the profile {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:  # its text would quote the file, and perhaps a password
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise Misuse(f"{path} is no YAML{line}", hint=getattr(error, "problem", None)) from None


def _flatten(document: object, path: Path) -> Iterator[_Given]:
    top = [*SECTIONS, *(key for key in SETTINGS if "." not in key)]
    for name, value in _mapping(document, "it", path):
        if name not in top:
            raise UnknownKey(name, top, where=str(path))
        if name not in SECTIONS:
            yield _Given(name, value, str(path), str(path.parent))
            continue
        for inner, each in _mapping(value, name, path):
            key = f"{name}.{inner}"
            if key not in SETTINGS:
                known = [key.partition(".")[2] for key in SETTINGS if key.startswith(f"{name}.")]
                raise UnknownKey(inner, known, where=f"'{name}' of {path}")
            yield _Given(key, each, str(path), str(path.parent))


def _mapping(value: object, what: str, path: Path) -> list[tuple[str, object]]:
    if value is None:  # everything below is commented out
        return []
    if not isinstance(value, dict):
        raise Misuse(f"{what} in {path} is no mapping", hint="write 'key: value' lines, as in mlq.yaml.example")
    return [(str(key), each) for key, each in value.items()]


def _fill(given: _Given, environ: Mapping[str, str]) -> object:
    def fill(match: re.Match[str]) -> str:
        name, default = match.groups()
        if match[0] == "$${":
            return "${"
        if name is None:
            raise Misuse(
                f"{given.key} in {given.origin} has a '${{' that names no variable",
                hint="write ${NAME} or ${NAME:-default}; $${ stands for the two characters themselves",
            )
        if default is not None:
            return environ.get(name) or str(default)[2:]
        if name not in environ:
            raise Misuse(
                f"{given.key} in {given.origin} needs {name}, which is not set in the environment",
                hint=f"set {name}, or write ${{{name}:-default}}",
            )
        return environ[name]

    return _PLACEHOLDER.sub(fill, given.value) if isinstance(given.value, str) else given.value


def _guard(path: Path, raw: list[_Given], warnings: list[str], *, chosen: bool) -> None:
    """Warn of secrets that others can read; run no program only because a stranger's file in this folder says so."""
    stat = path.stat()
    if not chosen and stat.st_uid not in (0, os.geteuid()) and any(g.key == "redis.server" and g.value for g in raw):
        raise NotAllowed(
            f"{path} belongs to somebody else and names a program to run", hint=f"if you trust it, say --profile {path}"
        )
    literal = [given.key for given in raw if isinstance(given.value, str) and _bears_secret(given.key, given.value)]
    if literal and stat.st_mode & 0o044:
        names = " and ".join(literal)
        warnings.append(f"{path} holds {names} and others can read it: chmod 600 it, or write ${{NAME}} instead")


def _bears_secret(key: str, text: str) -> bool:
    bare = _PLACEHOLDER.sub("", text)
    return bool(bare) if SETTINGS[key].secret else key == "redis.url" and mask_url(bare) != bare


# --- one over the other --------------------------------------------------------------------------------------------
def _lay_over(values: dict[str, Any], origins: dict[str, str], layer: list[_Given]) -> None:
    read: dict[str, Any] = {}
    for given in layer:
        if given.key not in SETTINGS:
            raise UnknownKey(given.key, SETTINGS, where="the flags")
        read[given.key] = _resolve(given, SETTINGS[given.key].read(given.value, given.origin))
    # An address replaces the whole address below it: a password goes to no other server than the one it was meant for.
    url, host = read.get("redis.url"), read.get("redis.host")
    if url and host:
        where = " and ".join(dict.fromkeys(g.origin for g in layer if g.key in ("redis.url", "redis.host")))
        raise Misuse(f"redis.url and redis.host exclude each other, and {where} has both", hint="keep one of them")
    stale: tuple[str, ...] = ()
    if url:
        stale = ("redis.url", "redis.host", *_ONLY_WITH_HOST, *_LOGIN)
    elif host and values.get("redis.url"):
        stale = ("redis.url", *_LOGIN)
    for key in stale:
        values.pop(key, None)
        origins.pop(key, None)
    values.update(read)
    origins.update((given.key, given.origin) for given in layer)


def _resolve(given: _Given, value: Any) -> Any:
    kind = SETTINGS[given.key].kind
    if value is not None and (kind in (FOLDER, FILE) or (kind is PROGRAM and "/" in value)):
        return os.path.abspath(os.path.join(given.folder, os.path.expanduser(value)))
    return value


def _check(values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    if values.get("redis.host"):
        return
    for key in (*_ONLY_WITH_HOST, *(() if values.get("redis.url") else _LOGIN)):
        if values.get(key, SETTINGS[key].default) != SETTINGS[key].default:
            hint = "write it into the URL" if values.get("redis.url") else "say redis.host as well, or redis.url"
            raise Misuse(f"{key} in {origins[key]} says nothing without redis.host", hint=hint)
