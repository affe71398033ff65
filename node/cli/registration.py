"""`artemis register`, `unregister`: put an instance into the registry by hand, and take it out."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import click
import msgspec
import trio

from artemis.store.instances import Instance
from artemis.transport.client.errors import Refused
from artemis.transport.client.http import Http
from artemis.transport.client.messages import Written, read
from artemis.transport.client.registration import open_registry_client

from .asking import TIMEOUT_S, ask_http, asks_a_node, checked, run
from .exits import USAGE, Failure
from .output import as_json as instance_as_json
from .output import print_json


class _Place(msgspec.Struct, rename="camel"):
    """Of the health page: where the node is, for instances that do not say where they are."""

    region_id: str = "default"
    zone_id: str = "default"


@click.command()
@click.argument("service")
@click.option("--at", "instance_url", required=True, metavar="URL", help="Where clients reach it.")
@click.option("--id", "instance_id", help="Its id; host:port of its url unless given.")
@click.option("--region", help="Its region; that of the node unless given.")
@click.option("--zone", help="Its zone; that of the node unless given.")
@click.option("--group", help="Its group.")
@click.option("--status", default="up", show_default=True, help="What it says of itself.")
@click.option("--health-check", help="Where its health can be asked.")
@click.option("--metadata", "-m", multiple=True, metavar="NAME=VALUE", help="An entry of its metadata; repeatable.")
@click.option("--lease", "lease_s", type=click.FloatRange(min=0.1), metavar="SECONDS", help="A lease of its own.")
@click.option("--keep", is_flag=True, help="Stay, heartbeat, and unregister on Ctrl-C.")
@asks_a_node
def register(
    service: str,
    instance_url: str,
    instance_id: str | None,
    region: str | None,
    zone: str | None,
    group: str | None,
    status: str,
    health_check: str | None,
    metadata: Sequence[str],
    lease_s: float | None,
    keep: bool,
    urls: Sequence[str],
    as_json: bool,
) -> None:
    """Register an instance of SERVICE.

    Without --keep it is there for one lease, unless something else heartbeats for it.

    \b
    Examples:
        artemis register orders --at http://127.0.0.1:9000/
        artemis register orders --at http://127.0.0.1:9000/ --id blue-1 -m version=1.4 --keep
    """
    parts = urlsplit(instance_url)
    if not parts.hostname:
        raise Failure(USAGE, f"--at: {instance_url!r} is not a url such as http://10.0.0.1:9000/")
    entries = _metadata(metadata)
    place = ask_http(urls, _place)
    instance = Instance(
        service_id=service,
        instance_id=instance_id or parts.netloc,
        region_id=region or place.region_id,
        zone_id=zone or place.zone_id,
        group_id=group,
        url=instance_url,
        ip=parts.hostname,
        port=parts.port or (443 if parts.scheme == "https" else 80),
        protocol=parts.scheme,
        status=status,
        health_check_url=health_check,
        metadata=entries,
    )
    run(lambda: _register(urls, instance, lease_s=lease_s, keep=keep, as_json=as_json))


@click.command()
@click.argument("service")
@click.argument("instance_id", metavar="INSTANCE")
@click.option("--region", help="Its region; that of the node unless given.")
@asks_a_node
def unregister(service: str, instance_id: str, region: str | None, urls: Sequence[str], as_json: bool) -> None:
    """Take INSTANCE of SERVICE out of the registry. It is gone from every answer at once.

    An instance that is not there is fine. One that still heartbeats will register again.

    \b
    Example:
        artemis unregister orders blue-1
    """

    async def unregister_there(http: Http) -> dict[str, str]:
        region_id = region or (await _place(http)).region_id
        key = {"regionId": region_id, "serviceId": service, "instanceId": instance_id}
        answer = await http.post("/api/registry/unregister.json", {"instanceKeys": [key]})
        for failure in read(Written, answer).failures():
            raise Refused(failure.error_code, failure.error_message)
        return key

    key = ask_http(urls, unregister_there)
    if as_json:
        print_json(key)
    else:
        click.echo(f"unregistered {instance_id} of {service}")


async def _register(
    urls: Sequence[str], instance: Instance, *, lease_s: float | None, keep: bool, as_json: bool
) -> None:
    async with open_registry_client(*checked(urls), lease_ttl_s=lease_s, timeout_s=TIMEOUT_S) as client:
        await client.register(instance)
        if as_json:
            print_json(instance_as_json(client.instances[0]))
        else:
            click.echo(f"registered {instance.instance_id} of {instance.service_id}")
        if keep:
            await trio.sleep_forever()
        client.release()


async def _place(http: Http) -> _Place:
    return msgspec.json.decode(await http.get("/health"), type=_Place)


def _metadata(entries: Sequence[str]) -> dict[str, str | None] | None:
    pairs = [entry.partition("=") for entry in entries]
    for name, separator, _ in pairs:
        if not name or not separator:
            raise Failure(USAGE, f"--metadata: {name!r} does not look like NAME=VALUE")
    return {name: value for name, _, value in pairs} or None
