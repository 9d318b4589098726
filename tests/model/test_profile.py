"""The profile: what can be set, and where the values come from."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlq_cli.model.errors import Misuse, NotAllowed, UnknownKey
from mlq_cli.model.profile import Profile, load
from mlq_cli.model.settings import SETTINGS, mask_url

EXAMPLE = Path(__file__).parents[2] / "mlq.yaml.example"

Write = Callable[..., str]


@pytest.fixture(autouse=True)
def _nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of the user, and none in the current folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str, name: str = "some.yaml") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    return to_file


# --- what can be set -----------------------------------------------------------------------------------------------
def test_the_defaults_are_those_of_the_agreement() -> None:
    profile = load(environ={})
    assert profile == Profile()
    assert profile.namespace == "mlq_default" and profile.secret is None and profile.warnings == ()
    worker = profile.worker
    assert (worker.executors, worker.lease, worker.grace, worker.retries, worker.timeout) == (1, 30.0, 30.0, 0, None)
    assert (worker.max_crashes, worker.backoff) == (2, 1.0)
    assert (profile.reaper.interval, profile.reaper.retries, profile.reaper.timeout) == (60.0, 5, None)
    assert (profile.server.host, profile.server.port) == ("127.0.0.1", 5001)
    assert dataclasses.astuple(profile.retention) == (None, None, None)
    assert (profile.limits.message, profile.limits.result) == (32 * 2**20, 512 * 2**20)


def test_the_example_changes_nothing() -> None:
    example = load(str(EXAMPLE), environ={})
    assert dataclasses.replace(example, origins={}) == Profile()
    assert example.warnings == ()


def test_the_example_shows_every_setting_in_order_with_its_one_line() -> None:
    shown, section, comment = [], "", ""
    for line in EXAMPLE.read_text().split("\n\n", 1)[1].splitlines():
        if match := re.fullmatch(r"( *)# (.*)", line):
            comment = match[2]
        elif match := re.fullmatch(r"(\w+):", line):
            section = f"{match[1]}."
        elif match := re.fullmatch(r"( *)(\w+): \S.*", line):
            shown.append(((section if match[1] else "") + match[2], comment))
    assert shown == [(setting.key, setting.doc) for setting in SETTINGS.values()]


def test_every_setting_has_a_variable_of_its_own() -> None:
    assert SETTINGS["worker.max_crashes"].variable == "MLQ_WORKER_MAX_CRASHES"
    assert SETTINGS["redis.url"].variable == "MLQ_REDIS_URL" and SETTINGS["secret"].variable == "MLQ_SECRET"
    assert len({setting.variable for setting in SETTINGS.values()} | {"MLQ_PROFILE"}) == len(SETTINGS) + 1


def test_a_profile_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load(environ={}).worker.lease = 5  # type: ignore[misc]


# --- which one holds -----------------------------------------------------------------------------------------------
def test_flags_win_over_the_environment_over_the_file_over_defaults(write: Write) -> None:
    path = write("worker: {lease: 1m, grace: 1m, retries: 1}\n")
    environ = {"MLQ_WORKER_LEASE": "2m", "MLQ_WORKER_GRACE": "2m"}
    profile = load(path, {"worker.lease": "3m", "worker.grace": None}, environ)
    worker = profile.worker
    assert (worker.lease, worker.grace, worker.retries, worker.max_crashes) == (180.0, 120.0, 1, 2)
    keys = ("worker.lease", "worker.grace", "worker.retries", "worker.max_crashes")
    assert [profile.origin(key) for key in keys] == ["flag", "MLQ_WORKER_GRACE", path, "default"]


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load(environ={"MLQ_NAMESPACE": "", "MLQ_PROFILE": ""}) == Profile()


def test_text_from_the_environment_becomes_what_the_setting_is() -> None:
    environ = {"MLQ_REDIS_HOST": "r", "MLQ_REDIS_TLS": "yes", "MLQ_REDIS_DB": "3", "MLQ_WORKER_TIMEOUT": "null",
               "MLQ_LIMITS_MESSAGE": "1MiB", "MLQ_RETENTION_COUNT": "10"}  # fmt: skip
    profile = load(environ=environ)
    assert (profile.redis.tls, profile.redis.db, profile.worker.timeout) == (True, 3, None)
    assert (profile.limits.message, profile.retention.count) == (2**20, 10)


def test_names_of_the_server_have_ports_and_those_for_callbacks_networks(write: Write) -> None:
    file = write("server: {hosts: [Queue.example.org, 'localhost:8080', '[::1]:80']}")
    profile = load(file, environ={"MLQ_CALLBACKS_ALLOW": "*.example.org, 10.1.0.0/16"})
    assert profile.server.hosts == ("queue.example.org", "localhost:8080", "[::1]:80")
    assert profile.callbacks.allow == ("*.example.org", "10.1.0.0/16")
    with pytest.raises(Misuse, match=r"server\.hosts"):
        load(flags={"server.hosts": "10.1.0.0/16"}, environ={})


def test_null_is_the_default_spelled_out_and_overrides_what_lies_below(write: Write) -> None:
    assert load(write("retention: {age: 5d}\n"), {"retention.age": "null"}, {}).retention.age is None


def test_a_setting_that_is_never_null_refuses_null(write: Write) -> None:
    with pytest.raises(Misuse, match=r"worker\.lease in .*some\.yaml cannot be None"):
        load(write("worker: {lease: null}\n"), environ={})


def test_an_address_replaces_the_whole_address_below_it(write: Write) -> None:
    path = write("redis: {host: inner, port: 6380, password: '${PW}', db: 2}\n")
    profile = load(path, {"redis.url": "redis://other/0"}, {"PW": "geheim"})
    assert profile.redis_url() == "redis://other/0"
    assert profile.origin("redis.password") == "default"
    profile = load(write("redis: {url: 'redis://:geheim@inner/2'}\n"), environ={"MLQ_REDIS_HOST": "other"})
    assert profile.redis_url() == "redis://other:6379/0"


def test_settings_are_listed_in_the_order_of_the_file_with_where_they_came_from(write: Write) -> None:
    path = write("redis: {url: 'redis://u:geheim@h/0'}\nsecret: geheim\n")
    listed = load(path, {"namespace": "n"}, {}).settings()
    assert [key for key, _, _ in listed] == list(SETTINGS)
    assert ("redis.url", "redis://u:****@h/0", path) in listed
    assert ("secret", "****", path) in listed and ("namespace", "n", "flag") in listed
    assert ("worker.lease", 30.0, "default") in listed and ("redis.password", None, "default") in listed


def test_secrets_are_in_no_repr(write: Write) -> None:
    path = write("redis: {url: 'redis://u:geheim@h/0', password: geheim}\nsecret: geheim\n")
    assert "geheim" not in repr(load(path, environ={}))


def test_the_origin_of_an_unknown_key_is_an_error() -> None:
    with pytest.raises(UnknownKey) as caught:
        Profile().origin("worker.leese")
    assert caught.value.hint == "did you mean 'worker.lease'?"


# --- which file ----------------------------------------------------------------------------------------------------
def test_the_file_here_comes_before_the_users_and_after_a_named_one(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_, **__: str(tmp_path / "config/mlq"))

    def namespace(profile: str | None = None, **environ: str) -> str:
        return load(profile, environ=environ).namespace

    write("namespace: mine\n", "config/mlq/mlq.yaml")
    assert namespace() == "mine"
    write("namespace: here\n", "here/mlq.yaml")
    assert namespace() == "here"
    write("namespace: lab\n", "config/mlq/lab.yaml")
    assert namespace(MLQ_PROFILE="lab") == "lab"
    assert namespace(MLQ_PROFILE="./mlq.yaml") == "here"
    write("namespace: other\n", "here/other.yml")
    assert namespace("other.yml", MLQ_PROFILE="lab") == "other"
    assert namespace(str(tmp_path / "here/other.yml")) == "other"


@pytest.mark.parametrize("wanted", ["nowhere", "./nowhere", "nowhere.yaml", "/nowhere/at.yml"])
def test_a_profile_that_was_asked_for_and_is_missing_is_an_error(wanted: str) -> None:
    with pytest.raises(Misuse, match=r"there is no profile .*nowhere"):
        load(wanted, environ={})
    with pytest.raises(Misuse, match=r"there is no profile .*nowhere"):
        load(environ={"MLQ_PROFILE": wanted})


@pytest.mark.parametrize("text", ["", "\n# only words\n", "worker:\n  # lease: 5m\n"])
def test_a_file_that_says_nothing_is_fine(write: Write, text: str) -> None:
    assert load(write(text), environ={}) == Profile()


def test_paths_in_a_file_start_from_that_file(tmp_path: Path, write: Write) -> None:
    redis = load(write("redis: {server: bin/valkey, data: jobs}\n"), environ={}).redis
    assert (redis.server, redis.data) == (str(tmp_path / "bin/valkey"), str(tmp_path / "jobs"))
    assert load(write("redis: {server: redis-server}\n"), environ={}).redis.server == "redis-server"
    assert load(write("redis: {data: ~/jobs}\n"), environ={}).redis.data == str(tmp_path / "jobs")
    assert load(environ={"MLQ_REDIS_DATA": "jobs"}).redis.data == str(tmp_path / "here/jobs")


def test_a_strangers_file_in_this_folder_runs_no_program(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("redis: {server: ./evil}\n", "here/mlq.yaml")
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    if os.stat(path).st_uid == 0:
        os.chown(path, 12_345, -1)
    with pytest.raises(NotAllowed, match="belongs to somebody else"):
        load(environ={})
    assert load("./mlq.yaml", environ={}).redis.server


# --- what is wrong with it -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "unknown", "hint"),
    [
        ("namespaces: x\n", "namespaces", "did you mean 'namespace'?"),
        ("worker: {leese: 30}\n", "leese", "did you mean 'lease'?"),
        ("limits: {xyzzy: 1}\n", "xyzzy", "known keys: chain, message, result"),
        ("1: 2\n", "1", None),
    ],
)
def test_an_unknown_key_is_an_error_that_says_what_was_meant(
    write: Write, text: str, unknown: str, hint: str | None
) -> None:
    path = write(text)
    with pytest.raises(UnknownKey, match=f"unknown key '{unknown}'") as caught:
        load(path, environ={})
    assert path in str(caught.value)
    assert hint is None or caught.value.hint == hint


def test_an_unknown_flag_is_an_error() -> None:
    with pytest.raises(UnknownKey, match=r"worker\.leese"):
        load(flags={"worker.leese": 1}, environ={})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("worker.lease", "soon"), ("worker.lease", "0"), ("worker.lease", "-5"), ("worker.lease", "true"),
        ("worker.executors", "0"), ("worker.executors", "1.5"), ("worker.executors", "[1]"), ("worker.timeout", "0"),
        ("redis.port", "0"), ("redis.port", "65536"), ("redis.tls", "perhaps"), ("redis.url", "localhost:6379"),
        ("redis.host", "localhost:6379"), ("redis.host", "a/b"), ("namespace", "a b"), ("namespace", "_ours"),
        ("namespace", "12"), ("namespace", "no"), ("limits.message", "0"), ("limits.result", "1GiB"),
        ("limits.message", "'9999999999999999999999999999'"), ("retention.count", "-1"), ("reaper.interval", "0"),
        ("redis.db", "{a: 1}"), ("redis.password", "12345"), ("worker.lease", ".inf"),
    ],
)  # fmt: skip
def test_a_bad_value_names_the_key_the_file_and_what_is_accepted(write: Write, key: str, value: str) -> None:
    section, _, name = key.rpartition(".")
    path = write(f"{section}:\n  {name}: {value}\n" if section else f"{name}: {value}\n")
    with pytest.raises(Misuse) as caught:
        load(path, environ={})
    assert key in str(caught.value) and path in str(caught.value)
    assert caught.value.hint and caught.value.hint.startswith(f"{key} takes ")


def test_a_bad_secret_is_not_repeated(write: Write) -> None:
    for text in ("redis: {password: 12345}\n", "redis: {url: '12345:6379'}\n"):
        with pytest.raises(Misuse) as caught:
            load(write(text), environ={})
        assert "12345" not in str(caught.value)


def test_a_bad_variable_is_named() -> None:
    with pytest.raises(Misuse, match=r"worker\.lease in MLQ_WORKER_LEASE cannot be 'soon'"):
        load(environ={"MLQ_WORKER_LEASE": "soon"})


def test_a_key_that_is_there_twice_is_an_error(write: Write) -> None:
    with pytest.raises(Misuse, match=r"has the key 'lease' twice, again in line 3"):
        load(write("worker:\n  lease: 5\n  lease: 6\n"), environ={})


@pytest.mark.parametrize("text", ["- a\n", "words\n", "worker: 3\n", "worker: [1]\n"])
def test_what_is_no_mapping_is_an_error(write: Write, text: str) -> None:
    with pytest.raises(Misuse, match="is no mapping"):
        load(write(text), environ={})


@pytest.mark.parametrize(
    "text", ["a: [\n", "a: b: c\n", "--- 1\n--- 2\n", "secret: !!python/object:os.system x\n", "? [1]\n"]
)
def test_what_is_no_yaml_is_an_error(write: Write, text: str) -> None:
    with pytest.raises(Misuse):
        load(write(text), environ={})


def test_what_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misuse, match="cannot be read"):
        load(str(tmp_path / "b.yaml"), environ={})


# --- filled from the environment -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A}", "a"), ("x-${A}.${A}", "x-a.a"), ("${B:-b}", "b"), ("${EMPTY:-b}", "b"), ("${A:-b}", "a"), ("$A", "$A"),
        ("$${A}", "${A}"), ("${LOOP}", "${A}"), ("${B:-${A}", "${A"),
    ],
)  # fmt: skip
def test_values_are_filled_from_the_environment_once(write: Write, text: str, filled: str) -> None:
    environ = {"A": "a", "EMPTY": "", "LOOP": "${A}"}
    assert load(write(f"secret: '{text}'\n"), environ=environ).secret == filled


def test_a_filled_value_becomes_what_the_setting_is(write: Write) -> None:
    profile = load(write("redis: {host: h, port: '${PORT:-7000}'}\nsecret: ${NONE:-}\n"), environ={})
    assert profile.redis.port == 7000 and profile.secret is None


def test_keys_are_not_filled(write: Write) -> None:
    with pytest.raises(UnknownKey):
        load(write("'${A}': 1\n"), environ={"A": "namespace"})


def test_a_variable_that_is_not_set_is_named(write: Write) -> None:
    path = write("secret: ${NOT_THERE}\n")
    with pytest.raises(Misuse, match=f"secret in {re.escape(path)} needs NOT_THERE"):
        load(path, environ={})


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${a b}", "${A"])
def test_a_placeholder_that_names_nothing_is_an_error(write: Write, text: str) -> None:
    with pytest.raises(Misuse, match="names no variable"):
        load(write(f"secret: '{text}'\n"), environ={"A": "a"})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("secret: geheim\n", "secret"),
        ("redis: {host: h, password: geheim}\n", "redis.password"),
        ("redis: {url: 'redis://u:geheim@h/0'}\n", "redis.url"),
        ("redis: {url: 'redis://${U:-u}:geheim@h/0'}\n", "redis.url"),
        ("redis: {url: 'unix:///s?password=geheim'}\n", "redis.url"),
        ("redis: {url: 'redis://u:${P}@h:6379/0'}\n", None),
        ("redis: {url: 'redis://:${Q:-x}@h:6379/0'}\n", None),
        ("redis: {url: 'redis://h:6379/0', password: '${P}'}\nsecret: ${P}\n", None),
    ],
)
def test_a_secret_that_others_can_read_is_a_warning(write: Write, text: str, named: str | None) -> None:
    path = write(text)
    assert load(path, environ={"P": "p"}).warnings == ()
    os.chmod(path, 0o640)
    warnings = load(path, environ={"P": "p"}).warnings
    assert len(warnings) == (named is not None)
    assert named is None or (named in warnings[0] and path in warnings[0] and "geheim" not in warnings[0])


# --- where Redis is ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("redis", "url"),
    [
        ({}, None),
        ({"url": "redis://h:1/2"}, "redis://h:1/2"),
        ({"url": "redis://h:1/2", "password": "p@/:"}, "redis://:p%40%2F%3A@h:1/2"),
        ({"url": "redis://u:old@h:1/2", "password": "new"}, "redis://u:new@h:1/2"),
        ({"url": "unix:///run/r.sock?db=1", "username": "u", "password": "p"}, "unix://u:p@/run/r.sock?db=1"),
        ({"url": "redis+sentinel://a:1,[::1]:2/s/0", "password": "p"}, "redis+sentinel://:p@a:1,[::1]:2/s/0"),
        ({"url": "redis+cluster://u:old@a,b:2?x=1", "password": "new"}, "redis+cluster://u:new@a,b:2?x=1"),
        ({"host": "h"}, "redis://h:6379/0"),
        ({"host": "h", "port": 1, "db": 2, "tls": True}, "rediss://h:1/2"),
        ({"host": "::1", "username": "ü", "password": "a b"}, "redis://%C3%BC:a%20b@[::1]:6379/0"),
        ({"host": "h", "username": "u"}, "redis://u@h:6379/0"),
    ],
)
def test_the_address_of_redis_is_put_together(redis: dict[str, Any], url: str | None) -> None:
    profile = load(flags={f"redis.{key}": value for key, value in redis.items()}, environ={})
    assert profile.redis_url() == url


def test_url_and_host_exclude_each_other(write: Write) -> None:
    path = write("redis: {url: 'redis://a', host: b}\n")
    with pytest.raises(Misuse, match=f"exclude each other, and {re.escape(path)} has both"):
        load(path, environ={})
    with pytest.raises(Misuse, match="MLQ_REDIS_URL and MLQ_REDIS_HOST"):
        load(environ={"MLQ_REDIS_URL": "redis://a", "MLQ_REDIS_HOST": "b"})


@pytest.mark.parametrize("redis", ["port: 1", "db: 1", "tls: true", "password: p", "url: 'redis://h', db: 1"])
def test_half_an_address_is_an_error(write: Write, redis: str) -> None:
    with pytest.raises(Misuse, match=r"says nothing without redis\.host"):
        load(write(f"redis: {{{redis}}}\n"), environ={})


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://u@h:6379/0", "redis://u@h:6379/0"),
        ("redis://:p@h/0", "redis://:****@h/0"),
        ("redis://u:p:p@p/@h/0", "redis://u:****@h/0"),
        ("unix:///s?db=1&password=p&a=b", "unix:///s?db=1&password=****&a=b"),
        ("redis+cluster://u:p@h:1,i:2", "redis+cluster://u:****@h:1,i:2"),
        ("redis+cluster://h:1,i:2", "redis+cluster://h:1,i:2"),
        (
            "redis+sentinel://h:1,i:2/s/0?sentinel_username=u&sentinel_password=p",
            "redis+sentinel://h:1,i:2/s/0?sentinel_username=u&sentinel_password=****",
        ),
    ],
)
def test_passwords_in_urls_are_masked(url: str, masked: str) -> None:
    assert mask_url(url) == masked


# --- what it costs -------------------------------------------------------------------------------------------------
def test_without_a_file_yaml_is_not_imported() -> None:
    code = "import sys; from mlq_cli.model.profile import load; load(environ={}); sys.exit('yaml' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
