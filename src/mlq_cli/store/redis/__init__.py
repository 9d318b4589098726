"""Jobs in Redis or Valkey. Nothing else imports `redis`."""

from __future__ import annotations

from mlq_cli.model.profile import Profile
from mlq_cli.store.redis.connect import Endpoint, UrlEndpoint
from mlq_cli.store.redis.store import RedisStore


def open_store(profile: Profile) -> RedisStore:
    """Return the store that a profile names; without a URL it is the embedded server, started on first use.

    Opening connects to nothing yet. Raises Misuse for a URL that is none.
    """
    return RedisStore(endpoint_of(profile), profile.namespace)


def endpoint_of(profile: Profile) -> Endpoint:
    """Return where a profile says Redis is."""
    url = profile.redis_url()
    if url is not None:
        return endpoint_at(url, profile.namespace)
    from mlq_cli.store.redis.embedded import EmbeddedEndpoint

    return EmbeddedEndpoint(binary=profile.redis.server, data=profile.redis.data)


def signing_secret(profile: Profile) -> str | None:
    """Return the secret that signs: the profile's, or the private server's own; None where there is neither.

    The private server's is made when it is first asked for. Raises NotAllowed, StoreUnavailable.
    """
    if profile.secret is not None:
        return profile.secret
    folder = endpoint_of(profile).data if profile.redis_url() is None else None
    return None if folder is None else folder.secret()


def endpoint_at(url: str, namespace: str) -> Endpoint:
    """Return where a URL of any of the kinds leads for a namespace. Raises Misuse for a URL that is none."""
    scheme = url.partition("://")[0]
    if scheme.endswith("+sentinel"):
        from mlq_cli.store.redis.sentinel import SentinelEndpoint

        return SentinelEndpoint(url)
    if scheme.endswith("+cluster"):
        from mlq_cli.store.redis.cluster import ClusterEndpoint

        return ClusterEndpoint(url, namespace)
    return UrlEndpoint(url)
