"""The listening socket of a node: its options, and the loop that accepts from it whatever happens."""

import errno
import logging
import socket
from collections.abc import Callable

import trio

from .limits import Limits

logger = logging.getLogger(__name__)

ACCEPTS_MAX = 64
"""Connections accepted in one go; then open connections have their turn."""
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
EXHAUSTED_PAUSE_S = 0.1
"""After the process ran out of descriptors; new connections wait in the kernel's backlog meanwhile."""
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 60, 20, 3
"""After these a connection whose other end is no more is found out, even if we have nothing to send."""

NOT_SENT_BYTES = 128 * 1024
"""What the kernel keeps of an answer for a client that does not read, beside what it has on its way: instead of
megabytes for each. A client that reads loses nothing, the window of its connection is as large as it was."""

Admit = Callable[[socket.socket, str], None]
"""Takes over an accepted, non-blocking connection from this address."""


def open_listener(host: str, port: int, limits: Limits) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError when the address cannot be had."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        _tune(listener, limits)
        listener.bind(address)
        listener.listen(limits.backlog)
    except OSError:
        listener.close()
        raise
    return listener


def _tune(listener: socket.socket, limits: Limits) -> None:
    """Set the options that accepted connections inherit."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.send_timeout_s * 1000))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # Linux, macOS
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT_BYTES)


class Acceptor:
    """Accepts connections until it is cancelled. Running out of descriptors makes it pause, not end."""

    def __init__(self, listener: socket.socket, admit: Admit) -> None:
        self._listener = listener
        self._admit = admit
        self._exhausted = False

    async def run(self) -> None:
        try:
            while True:
                await trio.lowlevel.wait_readable(self._listener)
                if not self._accept_waiting():
                    await trio.sleep(EXHAUSTED_PAUSE_S)
        finally:
            trio.lowlevel.notify_closing(self._listener)
            self._listener.close()

    def _accept_waiting(self) -> bool:
        """Accept what waits in the backlog. False when the process has no descriptors left."""
        for _ in range(ACCEPTS_MAX):
            try:
                connection, address = self._listener.accept()
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    continue  # that connection broke before we had it
                if not self._exhausted:
                    logger.warning("connections wait: %s", error)
                self._exhausted = True
                return False
            self._exhausted = False
            connection.setblocking(False)
            self._admit(connection, str(address[0]).removeprefix("::ffff:"))
        return True
