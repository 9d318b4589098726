"""Packing: what is packed comes back, whoever packs at the same time and whatever failed before."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from decimal import Decimal
from typing import Any

import msgpack
import pytest

from mlq_cli.model import values
from mlq_cli.model.errors import Misuse, NotCarried, TooLarge
from mlq_cli.model.values import pack, unpack


class Raising(dict[str, Any]):
    """A dict that raises in the middle of being packed."""

    def items(self) -> Any:
        yield "a", 1
        raise RuntimeError("its own")


class Asking(dict[str, Any]):
    """A dict that packs something itself when it is packed."""

    def items(self) -> Any:
        return {"inner": pack([2**70, "x" * 300])}.items()


@pytest.mark.parametrize(
    ("bad", "error"), [([1, object()], NotCarried), ({1: "\ud800"}, NotCarried), (Raising(a=1, b=2), RuntimeError)]
)
def test_a_failed_value_leaves_nothing_in_the_next(bad: Any, error: type[Exception]) -> None:
    for _ in range(3):
        with pytest.raises(error):
            pack(["before", bad])
        assert pack({"i": 7}) == b"\x81\xa1i\x07"


def test_a_value_that_packs_while_it_is_packed_disturbs_nothing() -> None:
    for _ in range(3):
        outer = unpack(pack(["left", Asking(inner=0), "right"]))
        assert outer[0] == "left" and outer[2] == "right" and unpack(outer[1]["inner"]) == [2**70, "x" * 300]


def test_threads_that_pack_at_once_get_their_own() -> None:
    wrong: list[Any] = []

    def work(number: int) -> None:
        value = [number, dt.date(2020, 1, 1 + number), str(number) * 1000]
        wrong.extend(found for _ in range(300) if (found := unpack(pack(value))) != value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_large_value_leaves_no_large_buffer_behind() -> None:
    values._packers.clear()
    pack(b"x" * (values._KEPT + 1))
    assert not values._packers
    pack(b"x")
    assert len(values._packers) == 1


def test_a_value_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge, match="the result is 12 bytes, over the limit of 11"):
        pack(b"x" * 10, limit=11, what="result")


@pytest.mark.parametrize("text", ["1.4", "-0", "1E+400", "NaN", "0.1000"])
def test_a_decimal_comes_back_digit_by_digit(text: str) -> None:
    assert str(unpack(pack([Decimal(text)]))[0]) == text


def test_a_decimal_that_is_none_stays_what_it_is() -> None:
    assert unpack(msgpack.packb(msgpack.ExtType(9, b"1.2.3"))) == msgpack.ExtType(9, b"1.2.3")


@pytest.mark.parametrize("code", [6, 7])
@pytest.mark.parametrize(
    "parts", [{}, [], ["<i4", b""], ["<i4"], ["i4,,i4", [1], b"xxxx"], ["<0)", b"abcd"], ["<U2", [1], b"a\0\0\xc0bbbb"]]
)
def test_a_numpy_value_that_is_none_is_a_message_that_cannot_be_read_and_nothing_else(code: int, parts: Any) -> None:
    pytest.importorskip("numpy")
    with contextlib.suppress(Misuse):
        unpack(msgpack.packb(msgpack.ExtType(code, msgpack.packb(parts))))


def test_a_masked_array_is_refused_rather_than_carried_without_its_mask() -> None:
    numpy = pytest.importorskip("numpy")
    with pytest.raises(NotCarried, match="its mask would be lost"):
        pack({"a": numpy.ma.array([1, 2], mask=[False, True])})
    assert (unpack(pack(numpy.ma.array([1, 2]).filled())) == [1, 2]).all()
