"""Who sends a request and what they may do: from the Authorization header to a role."""

from __future__ import annotations

import time

from mlq_cli.http.door.book import Book
from mlq_cli.http.door.failures import Failures
from mlq_cli.http.door.refusal import Refusal, retry_after
from mlq_cli.model.access import AccessToken, Role, opens, read_key
from mlq_cli.model.errors import StoreUnavailable

_CHALLENGE = (b"www-authenticate", b'Bearer realm="mlq"')


class Callers:
    """Tells callers by their tokens. Where none is asked for, one that is shown has to be right all the same."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._failures = Failures()

    async def role_of(self, authorization: bytes | None, peer: str, *, needed: bool) -> tuple[Role, AccessToken | None]:
        """Return what a caller may do, and by which token. Raises Refusal: 401, 429 or 503."""
        if authorization is None:
            if needed:
                raise _unknown()
            return Role.ADMIN, None
        scheme, _, shown = authorization.partition(b" ")
        key = read_key(shown.decode("latin-1")) if scheme.lower() == b"bearer" else None
        if key is not None:
            try:
                token = await self._book.find(key.id)
            except StoreUnavailable as error:
                raise Refusal(503, "store-unavailable", error.message, headers=[retry_after(1)]) from None
            if opens(key, token) and token is not None:
                return token.role, token
        # Whoever guesses is slowed down. Whoever has a good token is let in all the same: behind a proxy, or on a
        # machine of many, they have the address of the one who guesses.
        wait = self._failures.note(peer, time.monotonic())
        if wait is not None:
            raise Refusal(
                429, "too-many-failures", "too many wrong tokens from this address", headers=[retry_after(wait)]
            )
        raise _unknown()

    async def still(self, token: AccessToken) -> bool:
        """Whether a token that was good still is; what nobody can say counts as no."""
        try:
            return await self._book.find(token.id) == token
        except StoreUnavailable:
            return False


def _unknown() -> Refusal:
    """The same for every reason: it tells nobody how near they were."""
    return Refusal(
        401,
        "token-needed",
        "this takes an access token: Authorization: Bearer mlq_…",
        hint="mlq token add makes one",
        headers=[_CHALLENGE],
    )
