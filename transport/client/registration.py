"""The registry client: keeps instances registered for as long as it is open.

It heartbeats at a quarter of the lease, so that three heartbeats may be lost before a lease runs out. A node that does
not know an instance gets it again; a node that does not answer is left for the next one. None of this needs its user.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import httpx
import msgspec
import trio

from artemis.store.instances import LEASE_TTL_KEY, Instance

from .errors import ArtemisError, Refused
from .groups import only_cause
from .http import Http, open_http
from .messages import Failed, InstanceKey, Written, read
from .nodes import Nodes

logger = logging.getLogger(__name__)

LEASE_TTL_S: Final = 20.0
"""What a node grants unless it is configured otherwise."""

HEARTBEATS_PER_LEASE: Final = 4
TRIES_PER_INTERVAL: Final = 4
"""After a failed heartbeat the next one comes this many times sooner."""

INSTANCES_PER_REQUEST: Final = 500
GOODBYE_S: Final = 2.0
"""Longest time that leaving takes, when no node answers any more."""

Key = tuple[str, str]


class RegistryClient:
    """Instances of this process and their leases."""

    def __init__(self, http: Http, *, lease_ttl_s: float | None) -> None:
        self._http = http
        self._asked_ttl_s = lease_ttl_s
        self.interval_s = (lease_ttl_s or LEASE_TTL_S) / HEARTBEATS_PER_LEASE
        self._instances: dict[Key, Instance] = {}
        self.heartbeat_count = 0
        """Heartbeats that a node took."""
        self.last_heartbeat_s: float | None = None
        """When a node last took one, in Trio's time."""

    @property
    def instances(self) -> tuple[Instance, ...]:
        """What is kept registered."""
        return tuple(self._instances.values())

    async def register(self, *instances: Instance) -> None:
        """Register, and keep registered until `unregister` or the end. Also to change the data of an instance.

        Raises Refused for the first instance that the node refuses; that one is not kept, the others are.
        """
        asked = [self._with_lease(instance) for instance in instances]
        failed = {_key(failure): failure for failure in await self._register(asked)}
        for instance in asked:
            if _key(instance) not in failed:
                self._instances[_key(instance)] = instance
        for failure in failed.values():
            raise Refused(failure.error_code, failure.error_message)

    async def unregister(self, *instances: Instance) -> None:
        """Take instances out of the registry. They are no longer kept, even when no node can be told."""
        for instance in instances:
            self._instances.pop(_key(instance), None)
        await self._send("unregister", instances)

    def release(self) -> None:
        """Keep nothing any more, and unregister nothing: what is registered stays until its lease runs out."""
        self._instances.clear()

    async def heartbeat(self) -> None:
        """Renew all leases now, registering again what the node does not know. The client does so by itself."""
        instances = self.instances
        if not instances:
            return
        failed = await self._send("heartbeat", instances)
        unknown = {_key(failure) for failure in failed if failure.error_code == "data-not-found"}
        for failure in failed:
            if failure.error_code != "data-not-found":
                logger.warning("a heartbeat was refused: %s %s", failure.error_code, failure.error_message)
        again = [instance for key, instance in self._instances.items() if key in unknown]
        if again:
            logger.info("%s does not know %d instances; registering again", self._http.nodes.current, len(again))
            for failure in await self._register(again):
                logger.warning("registering again was refused: %s %s", failure.error_code, failure.error_message)
        self.heartbeat_count += 1
        self.last_heartbeat_s = trio.current_time()

    async def run(self) -> None:
        """Heartbeat for ever, sooner after a failure."""
        next_s = trio.current_time() + self.interval_s
        while True:
            await trio.sleep_until(next_s)
            wait_s = self.interval_s
            try:
                await self.heartbeat()
            except ArtemisError as error:
                wait_s /= TRIES_PER_INTERVAL
                logger.warning("no heartbeat: %s; again in %.1f s", error, wait_s)
            next_s = max(next_s, trio.current_time() - self.interval_s) + wait_s

    async def unregister_all(self) -> None:
        """Say goodbye for everything that is still kept."""
        instances = self.instances
        if instances:
            await self.unregister(*instances)

    async def _register(self, instances: Sequence[Instance]) -> list[Failed]:
        failed: list[Failed] = []
        for chunk in _chunks(instances):
            body = await self._http.post("/api/registry/register.json", {"instances": chunk})
            failed += read(Written, body).failures()
        return failed

    async def _send(self, operation: str, instances: Sequence[Instance]) -> list[Failed]:
        """Heartbeat or unregister by keys: the node knows the rest."""
        failed: list[Failed] = []
        for chunk in _chunks(instances):
            keys = [InstanceKey(each.region_id, each.service_id, each.instance_id) for each in chunk]
            body = await self._http.post(f"/api/registry/{operation}.json", {"instanceKeys": keys})
            failed += read(Written, body).failures()
        return failed

    def _with_lease(self, instance: Instance) -> Instance:
        if self._asked_ttl_s is None:
            return instance
        metadata = {**(instance.metadata or {}), LEASE_TTL_KEY: str(round(self._asked_ttl_s * 1000))}
        return msgspec.structs.replace(instance, metadata=metadata)


@asynccontextmanager
async def open_registry_client(
    *urls: str,
    lease_ttl_s: float | None = None,
    timeout_s: float = 5.0,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncGenerator[RegistryClient, None]:
    """A client of these nodes; at the end of the block everything that it registered is unregistered.

    `lease_ttl_s` asks the node for a lease of that length; without it the node's own applies (20 s by default).
    """
    try:
        async with (
            open_http(Nodes(urls), timeout_s=timeout_s, transport=transport) as http,
            trio.open_nursery() as nursery,
        ):
            client = RegistryClient(http, lease_ttl_s=lease_ttl_s)
            nursery.start_soon(client.run, name="heartbeats")
            try:
                yield client
            finally:
                nursery.cancel_scope.cancel()
                with trio.move_on_after(GOODBYE_S, shield=True):
                    await _say_goodbye(client)
    except BaseExceptionGroup as group:
        raise only_cause(group) from None


async def _say_goodbye(client: RegistryClient) -> None:
    """Unregister what is left. A failure must not hide the reason for leaving: the leases will run out."""
    try:
        await client.unregister_all()
    except ArtemisError as error:
        logger.warning("could not unregister: %s; the leases run out by themselves", error)


def _key(instance: Instance | InstanceKey) -> Key:
    return (instance.service_id or "").lower(), (instance.instance_id or "").lower()


def _chunks(instances: Sequence[Instance]) -> list[Sequence[Instance]]:
    return [
        instances[start : start + INSTANCES_PER_REQUEST] for start in range(0, len(instances), INSTANCES_PER_REQUEST)
    ]
