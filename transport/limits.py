"""The limits of the listener and of both lanes: every one with a unit, a default, and a consequence."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a stranger may cost this node. Built once from the configuration and never changed."""

    connections: int = 10_000
    """Open connections at a time. One more is answered 503 and closed."""
    backlog: int = 1024
    """Connections the kernel holds until they are accepted. One more is refused by the kernel."""
    header_bytes: int = 32 * 1024
    """Request line and header section. More is answered 431 and closed."""
    body_bytes: int = 2 * 1024 * 1024
    """Request body, as sent and again when inflated. More is answered 413."""
    header_timeout_s: float = 10.0
    """From connecting, or from the first byte of a later request, to the end of its headers. Longer is 408."""
    body_timeout_s: float = 30.0
    """From the end of the headers to the end of the body. Longer is 408 and closed."""
    idle_timeout_s: float = 75.0
    """Between two requests of a connection. Longer is closed without a word."""
    send_timeout_s: float = 20.0
    """For a peer that takes nothing of what we send (more for long answers). Then the connection is cut."""
    arriving_bytes: int = 256 * 1024 * 1024
    """Held of all request bodies that are not complete. Beyond, those that began first are answered 408 and closed."""
    unsent_bytes: int = 256 * 1024 * 1024
    """Held for all clients that are behind with taking what they are sent. Beyond, the slowest of them are cut."""
    unsent_bytes_per_connection: int = 128 * 1024 * 1024
    """The same for one client. A larger answer is a 503, and a connection that holds more is cut."""
    linger_s: float = 2.0
    """How long a refused client may go on sending before its connection is reset under it."""
    websocket_text_bytes: int = 64 * 1024
    """One text message from a client. More is closed with 1009."""
    websocket_binary_bytes: int = 16 * 1024 * 1024
    """One binary message from a peer. More is closed with 1009."""
    websocket_hello_bytes: int = 8 * 1024
    """The first binary message of a peer, which says who it is. More is closed with 1009."""
    websocket_queue: int = 16
    """Messages a session may leave unread. One more and nothing is read from that socket, pings included."""
    websocket_ping_s: float = 25.0
    """Silence of a client after which it is pinged."""
    websocket_pong_s: float = 20.0
    """For the answer to a ping, or anything else. Longer and the connection is cut."""
    websockets: int = 8000
    """WebSockets of clients at a time, and at most four fifths of all connections. One more is a 503."""
    connections_per_address: int = 1000
    """Connections of one address that is not near. One more is answered 503 and closed."""
    reserved_connections: int = 64
    """Of all connections, and at most a tenth of them: those that only this machine, peers and proxies may take."""
    websocket_close_s: float = 2.0
    """For the closing handshake of a WebSocket. Longer and it is cut."""
