"""The sections of the configuration that say what strangers may cost a node."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSection:
    """How much one client may ask for. Each limit has its own answer when it is exceeded."""

    body_bytes: Annotated[
        int,
        Meta(ge=1024, le=4 << 20, description="Request body, before and after decompression; more is answered 413."),
    ] = 2 * 1024 * 1024
    header_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 20, description="Request line and headers together; more is answered 431.")
    ] = 32 * 1024
    header_timeout_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=3600,
            description="Time from the first byte of a request to the end of its headers; longer is answered 408.",
        ),
    ] = 10.0
    body_timeout_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=3600,
            description="Time from the end of the headers to the end of the body; longer is answered 408.",
        ),
    ] = 30.0
    idle_timeout_s: Annotated[
        float, Meta(ge=1, le=86_400, description="A connection without a request is closed after this time.")
    ] = 75.0
    connections: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Open connections; further ones are answered 503 and closed.")
    ] = 10_000
    connections_per_address: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Connections, and WebSockets, from one address; further ones are answered 503. Does not apply"
            " to this machine, trusted proxies and the nodes of the cluster: many clients may stand behind them.",
        ),
    ] = 1000
    reserved_connections: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="How many of the connections, at most a tenth, are kept for this machine, trusted"
            " proxies and other nodes.",
        ),
    ] = 64
    websockets: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Open WebSockets of clients, at most four fifths of the connections; further ones get a 503.",
        ),
    ] = 8000
    instances: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000_000,
            description="Instances and tombstones that clients may make this node hold; a new one beyond it fails.",
        ),
    ] = 2_000_000
    instances_per_request: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Instances in one request; more is answered 400.")
    ] = 1000
    id_characters: Annotated[
        int, Meta(ge=1, le=1000, description="Length of ids and names; a longer one fails its instance.")
    ] = 256
    url_characters: Annotated[
        int, Meta(ge=1, le=65_536, description="Length of an instance's urls; a longer one fails its instance.")
    ] = 2048
    metadata_entries: Annotated[
        int, Meta(ge=0, le=65_536, description="Metadata entries of an instance; more fail it.")
    ] = 64
    metadata_bytes: Annotated[
        int, Meta(ge=0, le=1 << 19, description="Metadata of an instance, in bytes of UTF-8; more fail it.")
    ] = 16 * 1024
    arriving_bytes: Annotated[
        int,
        Meta(
            ge=8 << 20,
            le=1 << 40,
            description="Held of request bodies that are not complete, all together. Beyond, those that began first are"
            " answered 408.",
        ),
    ] = 256 * 1024 * 1024
    unsent_bytes: Annotated[
        int,
        Meta(
            ge=1 << 20,
            le=1 << 40,
            description="Answers held for clients that do not take them, all together; and as much again of changes"
            " that wait for subscribers. Beyond, the slowest are cut (subscribers with 1013).",
        ),
    ] = 256 * 1024 * 1024
    unsent_bytes_per_connection: Annotated[
        int,
        Meta(
            ge=1 << 16,
            le=1 << 40,
            description="The same for one client. A larger answer is a 503; a subscriber for whom more is waiting is"
            " closed (1013).",
        ),
    ] = 128 * 1024 * 1024
    websocket_text_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 24, description="One text received on a WebSocket; a longer one closes it (1009).")
    ] = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketSection:
    """Sessions of subscribers and of clients that heartbeat over a WebSocket."""

    session_ttl_s: Annotated[
        float, Meta(ge=1, le=86_400, description="Age at which the RPC sessions are closed, so that clients spread.")
    ] = 360.0
    backlog: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Messages a subscriber may fall behind; one more closes it (1013)."),
    ] = 1024
    subscribe_timeout_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=86_400,
            description="A socket that subscribes to nothing, or sends no heartbeat, for this long is closed (1008).",
        ),
    ] = 60.0
    ping_interval_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="Silence of a client after which the node pings it.")
    ] = 25.0
    pong_timeout_s: Annotated[
        float,
        Meta(ge=0.1, le=3600, description="A client that is pinged and stays silent for this long is cut off."),
    ] = 20.0
    black_list_heartbeat: Annotated[
        tuple[str, ...], Meta(description="Peer addresses refused on the heartbeat WebSocket.")
    ] = ()
    black_list_discovery: Annotated[
        tuple[str, ...], Meta(description="Peer addresses refused on the WebSockets of single services.")
    ] = ()
    black_list_discoveries: Annotated[
        tuple[str, ...], Meta(description="Peer addresses refused on the WebSocket of all services.")
    ] = ()
