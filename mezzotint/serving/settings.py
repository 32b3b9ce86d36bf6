"""Where the server listens, what it serves, and who may ask."""

import ipaddress
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from mezzotint.errors import ConfigError, MissingInputError
from mezzotint.serving.limits import Limits

SHORTEST_TOKEN = 32
TOKEN_VARIABLE = "MEZZOTINT_TOKEN"  # noqa: S105


@dataclass(frozen=True)
class Settings:
    """How a server is set up.

    Attributes:
        root: a run, or a folder of runs.
        host, port: where it listens; port 0 takes a free one.
        token: what a caller has to know; None asks nothing, on loopback only.
        names: host names besides the address that requests may be made to.
        data: folders and files of images that training may be started on from the page.
        device: where models work; None takes what there is.
        limits: see :class:`Limits`.

    Raises:
        ConfigError: an address that others reach without a token, or a short token.
        MissingInputError: there is nothing at ``root``.
    """

    root: Path
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    names: tuple[str, ...] = ()
    data: tuple[Path, ...] = ()
    device: str | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuse what would not be safe."""
        if not self.root.is_dir():
            raise MissingInputError("there is no folder here", str(self.root), "name a run or runs")
        for path in self.data:
            if not path.exists():
                raise MissingInputError("there are no images here", str(path), "check --data")
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(
                f"{self.host} can be reached by others, and there is no token",
                where="--host",
                fix=f"--token {secrets.token_urlsafe(24)}, or listen on 127.0.0.1",
            )
        if self.token is not None:
            _require_strong(self.token)

    def knows_host(self, host: str) -> bool:
        """Whether a request's Host names this server and not a page that was rebound to it.

        An address can name nobody else; a name has to be known.
        """
        name = host_name(host)
        known = {"localhost", self.host.casefold(), *(name.casefold() for name in self.names)}
        if is_loopback(self.host):
            return is_loopback(name) or name in known
        return _is_address(name) or name in known


def _require_strong(token: str) -> None:
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"a token of {len(token)} letters can be guessed",
            where="--token",
            fix=f"{SHORTEST_TOKEN} ASCII letters or more: --token {secrets.token_urlsafe(24)}",
        )


def token_of(given: str | None) -> str | None:
    """The token of the command line or of the environment."""
    return given or os.environ.get(TOKEN_VARIABLE) or None


def host_name(host: str) -> str:
    """The name of a Host header without its port, small letters: ``[::1]:80`` -> ``::1``."""
    if host.startswith("["):
        return host[1:].partition("]")[0].casefold()
    return host.partition(":")[0].casefold() if host.count(":") <= 1 else host.casefold()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
