"""What a change looks like to subscribers: the texts of the RPC sockets and of `/ws`."""

from datetime import UTC, datetime
from typing import Final

from artemis.store.changes import InstanceChange, ServiceChange
from artemis.store.instances import Instance, encode_instance

from .operations.answers import encode_json
from .operations.discovery import change_json

RPC_TEXT_MAX: Final = 8 * 1024
"""Bytes that the Java client takes in one text. More makes it drop the session, so it is told to reload instead."""


def _reload_instance(change: ServiceChange) -> bytes:
    return encode_instance(
        Instance(service_id=change.service_id, instance_id="reload", ip="0.0.0.0", url="http://serviceId/reload")
    )


def _reload(change: ServiceChange) -> str:
    text = b'{"changeTime":%d,"changeType":"reload","instance":%b}' % (change.time_ms, _reload_instance(change))
    return text.decode()


def rpc_texts(change: ServiceChange) -> tuple[str, ...]:
    """One InstanceChange per text. Clients of the contract know no `change`: they replace what they have by `new`."""
    if change.rpc_reload:
        return (_reload(change),)
    texts = [change_json(_as_new(one)) for one in change.changes]
    if any(len(text) > RPC_TEXT_MAX for text in texts):
        return (_reload(change),)
    return tuple(text.decode() for text in texts)


def _as_new(change: InstanceChange) -> InstanceChange:
    if change.change_type != "change":
        return change
    return InstanceChange("new", change.json, change.key, change.time_ms)


def _changes_json(change: ServiceChange) -> bytes:
    if not change.changes:
        return b"[%b]" % _ws_change(change.time_ms, "reload", _reload_instance(change))
    return b"[%b]" % b",".join([_ws_change(one.time_ms, one.change_type, one.json) for one in change.changes])


def _ws_change(time_ms: int, change_type: str, instance: bytes) -> bytes:
    """An InstanceChange as clients of `/ws` read it: its time as text for those, as a number for whoever counts."""
    text = b'{"changeTime":"%b","changeTimeMs":%d,"changeType":"%b","instance":%b}'
    return text % (rfc3339(time_ms).encode(), time_ms, change_type.encode(), instance)


def rfc3339(epoch_ms: int) -> str:
    """A time in UTC with milliseconds, e.g. `2026-11-22T03:58:55.170Z`."""
    seconds = datetime.fromtimestamp(epoch_ms // 1000, UTC)
    return f"{seconds:%Y-%m-%dT%H:%M:%S}.{epoch_ms % 1000:03d}Z"


def ws_texts(change: ServiceChange) -> tuple[str, ...]:
    """One `service_change` per revision."""
    name = encode_json(change.service_id)
    text = b'{"type":"service_change","serviceId":%b,"service_id":%b,"revision":%d,"changes":%b}' % (
        name,
        name,
        change.revision,
        _changes_json(change),
    )
    return (text.decode(),)


def subscribed_snapshot(service_id: str, revision: int, service: bytes) -> str:
    """The answer to a subscription: everything there is."""
    name = encode_json(service_id)
    text = b'{"type":"subscribed","serviceId":%b,"service_id":%b,"revision":%d,"service":%b}'
    return (text % (name, name, revision, service)).decode()


def subscribed_resumed(service_id: str, revision: int, missed: list[ServiceChange]) -> str:
    """The answer to a subscription that resumes: the missed changes, oldest first, each with its revision."""
    name = encode_json(service_id)
    changes = [(step.revision, _changes_json(step)) for step in missed]
    steps = b",".join(b'{"revision":%d,"changes":%b}' % step for step in changes)
    flat = b",".join(encoded[1:-1] for _, encoded in changes)
    text = b'{"type":"subscribed","serviceId":%b,"service_id":%b,"revision":%d,"changes":[%b],"missed":[%b]}'
    return (text % (name, name, revision, flat, steps)).decode()


def subscribed_everything(version: int) -> str:
    """The answer to a subscription to all services: no snapshot."""
    return f'{{"type":"subscribed","serviceId":"*","service_id":"*","revision":{version}}}'


def unsubscribed(service_id: str) -> str:
    name = encode_json(service_id).decode()
    return f'{{"type":"unsubscribed","serviceId":{name},"service_id":{name}}}'


def said_wrong(message: str) -> str:
    return '{"type":"error","message":' + encode_json(message).decode() + "}"


PONG: Final = '{"type":"pong"}'
