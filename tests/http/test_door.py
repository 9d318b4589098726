"""The door: who is let in, and what every answer carries."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mlq_cli.http.door.failures import MOST, PEERS, Failures
from mlq_cli.http.roles import Role
from mlq_cli.model.errors import StoreUnavailable

from .conftest import Entrance, Within

EVERY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
JSON = {"Content-Type": "application/json"}


# --- names (H-6) ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", EVERY_METHOD)
def test_a_name_that_is_not_ours_is_turned_away_whatever_is_asked(within: Within, method: str) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False)
        for host in (
            "evil.example", "evil.example:5001", "localhost.evil:5001", "localhost.:5001", "2130706433:5001",
            "127.0.0.1", "127.0.0.1:5002", "127.1:5001", "0x7f.1:5001", "[::ffff:127.0.0.1]:5001", "0.0.0.0:5001",
            "localhost:5001.", "localhost:05001", "user@localhost:5001", "localhost:5001, evil.example",
        ):  # fmt: skip
            answer = await entrance.ask(method, "/role", {"Host": host})
            assert answer.status_code == 421, host
            assert answer.headers["connection"] == "close"
        for host in ("localhost:5001", "LOCALHOST:5001", "127.0.0.1:5001", "[::1]:5001"):
            assert (await entrance.ask(method, "/role", {"Host": host})).status_code != 421, host
        assert (await entrance.ask(method, "/role", {"Host": ""})).status_code == 400
        twice = [("Host", "localhost:5001"), ("Host", "evil.example")]
        assert (await entrance.ask(method, "/role", twice)).status_code == 400

    within(ask())


def test_names_of_the_profile_are_right_and_the_address_that_was_reached(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(host="0.0.0.0", hosts=("queue.example.org", "localhost:8080"))
        key = entrance.key(Role.READ)
        right = ("queue.example.org", "Queue.Example.org", "queue.example.org:5001", "localhost:8080", "127.0.0.1:5001")
        for host in right:
            assert (await entrance.ask("GET", "/role", {"Host": host} | key)).status_code == 200, host
        for host in ("queue.example.org:8080", "localhost:8081", "evil.queue.example.org", "10.0.0.1:5001"):
            assert (await entrance.ask("GET", "/role", {"Host": host})).status_code == 421, host

    within(ask())


def test_what_comes_by_a_proxy_needs_a_token_although_the_proxy_is_on_this_machine(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False, hosts=("queue.example.org", "localhost:8080"))
        for host in ("localhost:5001", "localhost:8080", "127.0.0.1:5001"):
            assert (await entrance.ask("GET", "/role", {"Host": host})).status_code == 200, host
        key = entrance.key(Role.READ)
        for headers in (
            {"Host": "queue.example.org"},
            {"X-Forwarded-For": "127.0.0.1"},
            {"Forwarded": "for=127.0.0.1"},
            {"Via": "1.1 proxy"},
            {"X-Real-IP": "127.0.0.1"},
        ):
            assert (await entrance.ask("GET", "/role", headers)).status_code == 401, headers
            assert (await entrance.ask("GET", "/role", headers | key)).status_code == 200, headers
            assert (await entrance.ask("GET", "/stranger", headers | key)).json() is True, headers
        assert (await entrance.ask("GET", "/stranger", key)).json() is False, "a token makes nobody one"

    within(ask())


# --- pages (H-7) ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://127.0.0.1:5001.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "anything"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Origin": "http://127.0.0.1:5001", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_a_page_of_another_origin_changes_nothing(within: Within, headers: dict[str, str]) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False)
        for method in ("POST", "DELETE"):
            answer = await entrance.ask(method, "/jobs", JSON | headers, content=b"{}")
            assert answer.status_code == 403
            assert not any(name.startswith("access-control") for name in answer.headers)
        assert entrance.changed == 0

    within(ask())


def test_a_page_of_ours_may_and_so_may_who_is_no_page(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False)
        for headers in (
            {},
            {"Origin": "http://127.0.0.1:5001", "Sec-Fetch-Site": "same-origin"},
            {"Origin": "https://127.0.0.1:5001"},
            {"Sec-Fetch-Site": "same-origin"},
        ):
            assert (await entrance.ask("POST", "/jobs", JSON | headers, content=b"{}")).status_code == 200
        assert entrance.changed == 4

    within(ask())


def test_other_pages_may_link_here_but_not_load_anything_from_here(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False)
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert (await entrance.ask("GET", "/role", link)).status_code == 200
        for dest, mode in (("image", "no-cors"), ("script", "no-cors"), ("iframe", "navigate"), ("empty", "cors")):
            headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
            assert (await entrance.ask("GET", "/role", headers)).status_code == 403
        assert (await entrance.ask("GET", "/role", {"Sec-Fetch-Site": "none"})).status_code == 200

    within(ask())


def test_a_listed_origin_gets_exactly_its_own_name_and_others_nothing(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(origins=("https://app.example.org",))
        asking = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "POST"}
        before = await entrance.ask("OPTIONS", "/jobs", asking)
        assert before.status_code == 204 and before.headers["vary"] == "origin"
        assert before.headers["access-control-allow-origin"] == "https://app.example.org"
        assert "authorization" in before.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in before.headers
        asked = {"Origin": "https://app.example.org", "Sec-Fetch-Site": "cross-site"} | entrance.key(Role.POST)
        answer = await entrance.ask("POST", "/jobs", JSON | asked, content=b"{}")
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example.org"
        refused = await entrance.ask("POST", "/jobs", JSON | {"Origin": "https://app.example.org"}, content=b"{}")
        assert refused.status_code == 401 and "access-control-allow-origin" in refused.headers
        for origin in ("https://app.example.org.evil", "http://app.example.org", "https://app.example.org:444", "*"):
            other = await entrance.ask("OPTIONS", "/jobs", {**asking, "Origin": origin})
            assert other.status_code == 403 and "access-control-allow-origin" not in other.headers

    within(ask())


def test_only_json_changes_anything_and_what_curl_calls_a_form(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False)
        for kind in ("text/plain", "multipart/form-data; boundary=x", "application/xml", "application/jsonx", ""):
            answer = await entrance.ask("POST", "/jobs", {"Content-Type": kind}, content=b"{}")
            assert answer.status_code == 415, kind
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        page = {"Origin": "http://127.0.0.1:5001"}
        assert (await entrance.ask("POST", "/jobs", form | page, content=b"{}")).status_code == 415
        assert (await entrance.ask("POST", "/jobs", content=b"{}")).status_code == 415
        assert entrance.changed == 0
        for kind in ("application/json", "Application/JSON; charset=utf-8", "application/x-www-form-urlencoded"):
            assert (await entrance.ask("POST", "/jobs", {"Content-Type": kind}, content=b"{}")).status_code == 200
        assert (await entrance.ask("DELETE", "/jobs")).status_code == 200

    within(ask())


# --- sizes and paths (H-4) -----------------------------------------------------------------------------------------
def test_a_body_that_is_too_large_is_refused_before_it_is_read_and_while_it_comes(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False, body=1000)
        told = await entrance.ask("POST", "/jobs", JSON | {"Content-Length": "1001"}, content=b"x")
        assert told.status_code == 413 and told.headers["connection"] == "close"

        pieces = 0

        async def endless():  # type: ignore[no-untyped-def]
            nonlocal pieces
            while True:
                pieces += 1
                yield bytes(100)

        untold = await entrance.ask("POST", "/jobs", JSON, content=endless())
        assert untold.status_code == 413 and untold.headers["connection"] == "close" and pieces <= 12
        assert (await entrance.ask("POST", "/jobs", JSON, content=bytes(1000))).json() == 1000
        for odd in ("-1", "1e3", "0x10", "9" * 30, "+1", "1_0", ""):
            answer = await entrance.ask("POST", "/jobs", JSON | {"Content-Length": odd}, content=b"x")
            assert answer.status_code == 400, odd

    within(ask())


def test_a_compressed_request_is_refused(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False)
        for encoding in ("gzip", "br", "deflate, gzip", "identity, gzip"):
            answer = await entrance.ask("POST", "/jobs", JSON | {"Content-Encoding": encoding}, content=b"{}")
            assert answer.status_code == 415, encoding
        answer = await entrance.ask("POST", "/jobs", JSON | {"Content-Encoding": "identity"}, content=b"{}")
        assert answer.status_code == 200

    within(ask())


def test_what_no_path_has_is_plainly_not_there(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False)
        for path in (
            "/%2e%2e/role",
            "/x/%2e%2e/role",
            "/role%00",
            "/%252e",
            "/role%5c",
            "/static/%2e%2e/x",
            "/ro%0ale",
        ):
            answer = await entrance.ask("GET", path)
            assert answer.status_code == 404, path

    within(ask())


# --- tokens (H-5) --------------------------------------------------------------------------------------------------
def test_a_token_has_its_role_and_nothing_else_is_one(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance()
        for role in Role:
            answer = await entrance.ask("GET", "/role", entrance.key(role))
            assert (answer.status_code, answer.json()) == (200, role.name.lower())
        good = entrance.key(Role.READ)["Authorization"].removeprefix("Bearer ")
        refused = await entrance.ask("GET", "/role")
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == 'Bearer realm="mlq"'
        for number, shown in enumerate([
            f"Bearer {good[:-1]}", f"Bearer {good}A", f"Basic {good}", good, f"Bearer  {good}", f"Bearer {good} x",
            f"Bearer {good.replace('read', 'admin')}", "Bearer", "", f"Bearer {good[:-1]}\xe9",
        ]):  # fmt: skip
            headers = {"Authorization": shown.encode("latin-1")}
            answer = await entrance.ask("GET", "/role", headers, peer=f"10.0.0.{number}")
            assert (answer.status_code, answer.content) == (401, refused.content), shown
            assert answer.headers["www-authenticate"] == 'Bearer realm="mlq"'
        twice = [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")]
        assert (await entrance.ask("GET", "/role", twice)).status_code == 400
        assert (await entrance.ask("GET", f"/role?token={good}")).status_code == 401
        assert (await entrance.ask("GET", "/role", {"Authorization": f"bearer {good}"})).status_code == 200
        assert (await entrance.ask("GET", "/healthz")).status_code == 200

    within(ask())


def test_a_role_may_what_is_its_own_and_below(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance()
        may = {Role.READ: ["GET"], Role.POST: ["GET", "POST"], Role.ADMIN: ["GET", "POST", "DELETE"]}
        for role, methods in may.items():
            key = entrance.key(role)
            for method in ("GET", "POST", "DELETE"):
                path = "/role" if method == "GET" else "/jobs"
                try:
                    allowed = (await entrance.ask(method, path, JSON | key, content=b"")).status_code == 200
                except Exception:
                    allowed = False  # what `needs` raises, the app of the API turns into a 403
                assert allowed == (method in methods), (role, method)

    within(ask())


def test_where_no_token_is_needed_a_wrong_one_is_still_wrong(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False)
        assert (await entrance.ask("GET", "/role")).json() == "admin"
        assert (await entrance.ask("GET", "/role", entrance.key(Role.READ))).json() == "read"
        assert (await entrance.ask("GET", "/role", {"Authorization": "Bearer no"})).status_code == 401

    within(ask())


def test_whoever_guesses_has_to_wait_and_nobody_else_has_to(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance()
        wrong = {"Authorization": "Bearer " + "x" * 60}
        statuses = [(await entrance.ask("GET", "/role", wrong)).status_code for _ in range(MOST + 2)]
        assert statuses == [401] * MOST + [429, 429]
        late = await entrance.ask("GET", "/role", wrong)
        assert 50 <= int(late.headers["retry-after"]) <= 61
        assert (await entrance.ask("GET", "/role", entrance.key(Role.READ))).status_code == 200
        assert (await entrance.ask("GET", "/role", wrong, peer="10.0.0.2")).status_code == 401

    within(ask())


def test_failures_are_forgotten_after_a_minute_and_in_bounded_memory() -> None:
    failures = Failures()
    assert [failures.note("a", second) for second in range(MOST)] == [None] * MOST
    assert failures.note("a", 10.0) == 50.0
    assert failures.note("a", 60.0) is None
    for number in range(3 * PEERS):
        assert failures.note(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 61.0) is None
    assert len(failures._peers) == PEERS
    assert [failures.note(f"2001:db8::{n:x}", 61.0) for n in range(MOST)] == [None] * MOST
    assert failures.note("2001:db8::ffff", 61.0) is not None, "one network is one peer"


def test_a_token_that_is_new_works_at_once_and_one_that_is_removed_not_for_long(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance()
        first = entrance.key(Role.READ)
        assert (await entrance.ask("GET", "/role", first)).status_code == 200
        assert (await entrance.ask("GET", "/role", entrance.key(Role.READ))).status_code == 200
        entrance.safe.tokens.clear()
        entrance.clock[0] += 2.1
        assert (await entrance.ask("GET", "/role", first)).status_code == 401

    within(ask())


def test_the_store_is_asked_a_few_times_a_second_however_many_ids_are_tried(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance()
        for number in range(200):
            wrong = f"Bearer mlq_read_{number:08x}_{'x' * 43}"
            await entrance.ask("GET", "/role", {"Authorization": wrong}, peer=f"10.0.0.{number}")
            entrance.clock[0] += 0.01
        assert 10 <= entrance.safe.asked <= 25

    within(ask())


def test_while_the_store_is_away_known_tokens_go_on_for_a_minute(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance()
        known = entrance.key(Role.READ)
        assert (await entrance.ask("GET", "/role", known)).status_code == 200
        entrance.safe.broken = StoreUnavailable("gone")
        unknown = {"Authorization": f"Bearer mlq_read_00000000_{'x' * 43}"}
        for passed, status in ((1, 200), (3, 200), (50, 200), (10, 503)):
            entrance.clock[0] += passed
            assert (await entrance.ask("GET", "/role", known)).status_code == status, passed
            answer = await entrance.ask("GET", "/role", unknown)
            assert answer.status_code == 503 and answer.headers["retry-after"]
        entrance.safe.broken = None
        entrance.clock[0] += 2
        assert (await entrance.ask("GET", "/role", known)).status_code == 200

    within(ask())


def test_a_token_that_has_expired_opens_nothing_even_while_the_store_is_away(within: Within) -> None:
    async def ask() -> None:
        import time

        entrance = Entrance()
        short = entrance.key(Role.READ, expires_at=time.time() + 30)
        assert (await entrance.ask("GET", "/role", short)).status_code == 200
        entrance.safe.broken = StoreUnavailable("gone")
        entrance.clock[0] += 31
        assert (await entrance.ask("GET", "/role", short)).status_code == 401

    within(ask())


def test_a_stream_ends_when_its_token_is_removed(within: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlq_cli.http.door.visit._AGAIN", 0.1)

    async def ask() -> None:
        entrance = Entrance()
        key = entrance.key(Role.READ)
        whole = await entrance.ask("GET", "/parts", key)
        assert whole.content == b"part\n" * 60
        entrance.safe.tokens.clear()
        entrance.clock[0] += 1.5  # a reading begins in the background and the stream is still welcome
        cut = await entrance.ask("GET", "/parts", key)
        assert cut.status_code == 200 and 0 < len(cut.content) < 300

    within(ask())


# --- answers -------------------------------------------------------------------------------------------------------
def test_nothing_that_is_not_ours_is_a_page(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False)
        for kind in ("text/html", "text/html; charset=utf-8", "image/svg+xml", "application/xhtml+xml", "text/xml"):
            answer = await entrance.ask("GET", f"/page?kind={kind.replace('+', '%2b')}")
            assert answer.headers["content-type"] == "application/octet-stream", kind
            assert answer.headers["content-disposition"] == "attachment"
        answer = await entrance.ask("GET", "/page?kind=image/png")
        assert answer.headers["content-type"] == "image/png"

    within(ask())


def test_every_answer_says_how_a_browser_is_to_take_it(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance()
        for path, headers in (("/role", entrance.key(Role.READ)), ("/role", {}), ("/healthz", {}), ("/%00", {})):
            answer = await entrance.ask("GET", path, headers)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert "sandbox" in answer.headers["content-security-policy"]
            assert len(answer.headers["x-request-id"]) == 16
        named = await entrance.ask("GET", "/healthz", {"X-Request-Id": "mine-1"})
        assert named.headers["x-request-id"] == "mine-1"
        odd = await entrance.ask("GET", "/healthz", {"X-Request-Id": "a b\tc"})
        assert len(odd.headers["x-request-id"]) == 16

    within(ask())


def test_too_many_large_answers_at_once_are_put_off(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False)
        entrance.door._room._most = 3 << 20
        taken = entrance.door._room.take(2 << 20)
        late = await entrance.ask("GET", f"/large?size={2 << 20}")
        assert late.status_code == 503 and late.headers["retry-after"]
        assert (await entrance.ask("GET", "/large?size=1000")).status_code == 200
        entrance.door._room.give_back(taken)
        whole = await entrance.ask("GET", f"/large?size={8 << 20}")
        assert len(whole.content) == 8 << 20, "one alone always has room"
        assert entrance.door._room._used == 0

    within(ask())


# --- functions -----------------------------------------------------------------------------------------------------
OCTETS = {"Content-Type": "application/octet-stream"}


def test_bytes_change_something_only_where_functions_come_in(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False)
        assert (await entrance.ask("POST", "/consumer", OCTETS, content=b"MLQF")).status_code == 200
        assert (await entrance.ask("POST", "/jobs", OCTETS, content=b"MLQF")).status_code == 415
        for kind in ("text/plain", "multipart/form-data; boundary=x", ""):
            answer = await entrance.ask("POST", "/consumer", {"Content-Type": kind}, content=b"MLQF")
            assert answer.status_code == 415, kind
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://127.0.0.1:5001"}
        assert (await entrance.ask("POST", "/consumer", form, content=b"MLQF")).status_code == 415
        for foreign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = await entrance.ask("POST", "/consumer", OCTETS | foreign, content=b"MLQF")
            assert answer.json()["code"] == "foreign-page"
        rebound = await entrance.ask("POST", "/consumer", OCTETS | {"Host": "evil.example"}, content=b"MLQF")
        assert rebound.status_code == 421
        assert entrance.changed == 1

    within(ask())


def test_a_function_has_a_limit_of_its_own_within_that_of_all_bodies(within: Within) -> None:
    async def ask() -> None:
        entrance = Entrance(token_needed=False, body=1000, function=500)
        for size, path, status in ((500, "/consumer", 200), (501, "/consumer", 413), (1000, "/jobs", 200)):
            headers = OCTETS if path == "/consumer" else {"Content-Type": "application/json"}
            assert (await entrance.ask("POST", path, headers, content=b"x" * size)).status_code == status, size
        entrance = Entrance(token_needed=False, body=100, function=500)
        assert (await entrance.ask("POST", "/consumer", OCTETS, content=b"x" * 101)).status_code == 413

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(6):
                yield b"x" * 100

        assert (await entrance.ask("POST", "/consumer", OCTETS, content=pieces())).status_code == 413

    within(ask())
