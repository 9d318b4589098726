"""Callback URLs: whatever way an address is written, it is known for what it is."""

from __future__ import annotations

import socket

import pytest

from mlq_cli.model.addresses import Reach, reach_of, read_address
from mlq_cli.model.callback_policy import SHUT, Policy, is_own_name, policy_of, read_allow, read_target
from mlq_cli.model.errors import Misuse
from mlq_cli.model.profile import load

# The cloud's metadata, 169.254.169.254, as no reader of addresses may fail to know it.
METADATA = [
    "169.254.169.254", "2852039166", "0xa9fea9fe", "0xA9FEA9FE", "0XA9.0XFE.0XA9.0XFE", "025177524776",
    "0251.0376.0251.0376", "0xa9.254.0251.254", "169.254.43518", "169.16689662", "0xa9.0xfea9fe", "0251.254.0xa9fe",
    "00251.00376.00251.00376", "169.254.169.254.", "0xa9fea9fe.", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
    "[0:0:0:0:0:ffff:a9fe:a9fe]", "[::169.254.169.254]", "[::a9fe:a9fe]", "[64:ff9b::169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[2002:a9fe:a9fe::1]", "[2002:A9FE:A9FE:1:2:3:4:5]",
    "[2001:0:a9fe:a9fe::]", "[2001:0:808:808::5601:5601]", "[2001:4860::5efe:a9fe:a9fe]",
    "[2001:4860::200:5efe:169.254.169.254]", "[::ffff:0:169.254.169.254]", "①⑥⑨.②⑤④.①⑥⑨.②⑤④",
    "169。254。169。254", "１６９.２５４.１６９.２５４", "169．254．169．254", "0ｘa9fea9fe",
]  # fmt: skip
NEVER = [
    "0.0.0.0", "0", "0x0", "00", "0.1.2.3", "0.0.0.0.", "169.254.0.1", "169.254.170.2", "224.0.0.1", "239.255.255.250",
    "0xe0000001", "255.255.255.255", "4294967295", "0xffffffff", "037777777777", "100.100.100.200", "168.63.129.16",
    "192.0.0.192", "[::]", "[0:0:0:0:0:0:0:0]", "[fe80::1]", "[febf::1]", "[ff02::1]", "[ff0e::1]", "[fd00:ec2::254]",
    "[fd20:ce::254]", "[fd00:42::42]", "[::ffff:0.0.0.0]", "[::ffff:224.0.0.1]", "[64:ff9b::255.255.255.255]",
    "[2002:e000:1::]", "[fd00:0ec2:0:0:0:0:0:0254]",
]  # fmt: skip
PRIVATE = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1",
    "127.255.255.254",
    "10.0.0.1", "10.1", "0xa.0.0.1", "012.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "3232235777",
    "100.64.0.1", "198.18.0.1", "192.0.2.1", "203.0.113.9", "240.0.0.1", "254.255.255.255",
    "[::1]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::127.0.0.1]", "[fc00::1]", "[fd12:3456::1]", "[fec0::1]",
    "[64:ff9b::10.0.0.1]", "[64:ff9b::8.8.8.8]", "[64:ff9b:1::a00:1]", "[2002:7f00:1::]", "[2002:808:808::]",
    "[2001:db8::1]", "[2001:0:808:808::1]", "[3fff::1]", "[100::1]", "①②⑦.⓪.⓪.①",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255",
    "223.255.255.255",
    "134744072", "0x08080808", "[2606:4700::1111]", "[2a00:1450:4001::2004]", "[::ffff:8.8.8.8]", "100.63.255.255",
    "100.128.0.0", "128.0.0.1", "126.255.255.255", "[2003::1]", "[2001:4860:4860::8888]",
]  # fmt: skip
NONE = [
    "256.1.1.1", "1.2.3.4.5", "1.2.3.999999", "0x1ffffffff", "08.8.8.8", "127.0.0.09", "1..2", "host.1", "a.0x7f",
    "[::1%25lo]", "[::1%lo]", "[fe80::1%25eth0]", "[::ffff:999.1.1.1]", "[:::1]", "99999999999", "127.0.0.1..",
]  # fmt: skip


def reach(host: str) -> Reach:
    target = read_target(f"http://{host}:8080/x")
    assert target.address is not None
    return reach_of(target.address)


@pytest.mark.parametrize("host", [*METADATA, *NEVER])
def test_what_is_never_called_is_known_in_every_spelling_and_mode(host: str) -> None:
    assert reach(host) is Reach.NEVER
    for policy in (Policy(), Policy(private=True), Policy(private=True, allow=("0.0.0.0/0", "::/0", host.strip("[]")))):
        for scheme in ("http", "https"):
            with pytest.raises(Misuse, match="never called"):
                policy.check(read_target(f"{scheme}://{host}/latest/meta-data"))


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_called_only_where_that_is_allowed(host: str) -> None:
    target = read_target(f"http://{host}/x")
    assert reach(host) is Reach.PRIVATE
    with pytest.raises(Misuse, match="public internet"):
        Policy().check(target)
    Policy(private=True).check(target)
    Policy(allow=(f"{target.address}/24" if target.address and target.address.version == 4 else "::/0",)).check(target)


@pytest.mark.parametrize("host", PUBLIC)
def test_the_public_internet_may_be_called(host: str) -> None:
    assert reach(host) is Reach.PUBLIC
    Policy().check(read_target(f"https://{host}/x"))


@pytest.mark.parametrize("host", NONE)
def test_what_only_looks_like_an_address_is_refused(host: str) -> None:
    with pytest.raises(Misuse, match="cannot be a callback URL"):
        read_target(f"http://{host}/")


def test_short_addresses_are_read_as_the_system_reads_them() -> None:
    hosts = ["1.2.3", "127.1", "0x7f.1", "017700000001", "2130706433", "1.2.770", "0x1.0x2.0x3.0x4", "010.010.010.010"]
    for host in hosts:
        assert str(read_target(f"http://{host}/").address) == socket.inet_ntoa(socket.inet_aton(host))


def test_the_corpus_is_large_enough() -> None:
    assert len({*METADATA, *NEVER, *PRIVATE}) >= 80


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/", "file:///etc/passwd", "gopher://host/", "http:///x", "http://", "//host/x", "host/x",
        "javascript:1",
        "http://user@host/", "http://user:pw@host/", "http://@host/", "http://host:99999/", "http://host:0/",
        "http://host:port/", "http://ho st/", "http://host/\r\nX: y", "http://host\\@evil/", "http://host\t/",
        "http://host/\x00", "http://-host/", "http://host-/", "http://" + "a" * 64 + "/", "http://a..b/", "http://.a/",
        "http://ho%73t/", "http://host<x>/", "http://[::1/", "http://host/" + "x" * 2048, "http://ho℀st/",
        "http://[v1.x]/",
    ],
)  # fmt: skip
def test_what_is_no_callback_url_is_refused(url: str) -> None:
    with pytest.raises(Misuse, match="callback URL"):
        read_target(url)


def test_names_are_read_in_one_way() -> None:
    target = read_target("HTTPS://Bücher.Example.:8443/ä b?q=ü&x=%20#top".replace(" ", "%20"))
    assert (target.scheme, target.host, target.port) == ("https", "xn--bcher-kva.example", 8443)
    assert (target.authority, target.path, target.query) == (
        "xn--bcher-kva.example:8443",
        "/%C3%A4%20b",
        "q=%C3%BC&x=%20",
    )
    assert (
        read_target("http://0x7f.1").authority == "127.0.0.1"
        and read_target("http://[::1]:81/").authority == "[::1]:81"
    )


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "a.localhost", "ⓛocalhost"])
def test_the_own_machine_by_name_needs_no_look_up(host: str) -> None:
    target = read_target(f"http://{host}:8000/")
    assert is_own_name(target.host)
    with pytest.raises(Misuse, match="this machine"):
        Policy().check(target)
    Policy(private=True).check(target)
    Policy(allow=read_allow("localhost, *.localhost")).check(target)


def test_ports_are_those_of_the_web() -> None:
    for port in SHUT:
        with pytest.raises(Misuse, match=f"port {port}"):
            Policy(private=True).check(read_target(f"http://host:{port}/"))
    with pytest.raises(Misuse, match="port 25"):
        Policy().check(read_target("http://8.8.8.8:25/"))
    Policy(private=True).check(read_target("http://127.0.0.1:25/"))
    for port in (80, 443, 1024, 65535):
        Policy().check(read_target(f"http://8.8.8.8:{port}/"))


def test_of_the_addresses_of_a_name_all_have_to_be_allowed() -> None:
    good, bad = read_address("8.8.8.8"), read_address("10.0.0.1")
    assert good is not None and bad is not None
    target = read_target("http://both.example/")
    Policy().check_addresses(target, [good])
    with pytest.raises(Misuse, match=r"leads to 10\.0\.0\.1"):
        Policy().check_addresses(target, [good, bad])
    Policy(allow=("both.example",)).check_addresses(target, [good, bad])
    Policy(allow=("*.example",)).check_addresses(target, [bad])
    Policy(allow=("10.0.0.0/8",)).check_addresses(target, [bad])
    for allow in (("example",), ("other.example",), ("*.both.example",), ("10.1.0.0/16",)):
        with pytest.raises(Misuse):
            Policy(allow=allow).check_addresses(target, [bad])


@pytest.mark.parametrize(
    ("url", "local"),
    [
        (None, True), ("unix:///run/redis.sock", True), ("redis://localhost", True), ("redis://127.0.0.1:6379/0", True),
        ("redis://:pw@[::1]:6379/0", True), ("rediss://127.8.8.8", True), ("redis://10.0.0.1", False),
        ("redis://redis:6379/0", False), ("rediss://example.com", False), ("redis://localhost.example.com", False),
        ("redis+sentinel://localhost:26379/main", False), ("redis+cluster://localhost,other", False),
    ],
)  # fmt: skip
def test_private_networks_are_open_by_default_where_redis_is_on_this_machine(url: str | None, local: bool) -> None:
    profile = load(flags={"redis.url": url}, environ={})
    assert policy_of(profile).private is local
    assert policy_of(load(flags={"redis.url": url, "callbacks.private": "no"}, environ={})).private is False
    assert policy_of(load(flags={"redis.url": url, "callbacks.private": "yes"}, environ={})).private is True
    assert policy_of(profile).strict().private is False


def test_the_port_of_our_own_redis_is_shut() -> None:
    policy = policy_of(load(flags={"redis.url": "redis://localhost:7777/0"}, environ={}))
    with pytest.raises(Misuse, match="port 7777"):
        policy.check(read_target("http://localhost:7777/"))


def test_hosts_and_networks_that_are_allowed_are_read_from_lists_and_text() -> None:
    assert read_allow(["Host.Example", "10.0.0.0/8"]) == ("host.example", "10.0.0.0/8")
    assert read_allow("a.example, *.b.example 10.0.0.1") == ("a.example", "*.b.example", "10.0.0.1")
    for wrong in (["a b"], [1], 7, "*", "http://host/", ["host:80"]):
        with pytest.raises(ValueError):
            read_allow(wrong)
    with pytest.raises(Misuse, match=r"callbacks\.allow"):
        load(flags={"callbacks.allow": "ho/st"}, environ={})
