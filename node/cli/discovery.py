"""`artemis services`, `instances`, `watch`: who is there, and what changes."""

import time
from collections.abc import Sequence

import click

from artemis.store.instances import Instance
from artemis.transport.client.discovery import DiscoveryClient
from artemis.transport.client.messages import Service
from artemis.transport.client.picture import ServiceUpdate
from artemis.transport.client.watching import EVERYTHING

from .asking import ask_discovery, asks_a_node
from .exits import NEGATIVE, Failure
from .output import as_json as instance_as_json
from .output import print_json, print_json_line, print_table, styled

SIGNS = {"new": "+", "change": "~", "delete": "-", "reload": "!"}
COLOURS = {"new": "green", "change": "yellow", "delete": "red", "reload": "cyan"}


@click.command()
@asks_a_node
def services(urls: Sequence[str], as_json: bool) -> None:
    """List the services that have instances.

    \b
    Examples:
        artemis services
        artemis services --json | jq -r '.[].serviceId'
    """
    found = ask_discovery(urls, DiscoveryClient.services)
    if as_json:
        print_json([{"serviceId": each.service_id, "instanceCount": len(each.instances)} for each in found])
    else:
        print_table(
            ("SERVICE", "INSTANCES", "ZONES"), [(each.service_id, len(each.instances), _zones(each)) for each in found]
        )


@click.command()
@click.argument("service")
@asks_a_node
def instances(service: str, urls: Sequence[str], as_json: bool) -> None:
    """List the instances of SERVICE that a client here would be given.

    Exits with 1 when there is none.

    \b
    Examples:
        artemis instances orders
        artemis instances orders --json | jq -r '.[].url'
        artemis instances orders --url http://10.0.0.1:8080 --url http://10.0.0.2:8080
    """
    found = ask_discovery(urls, lambda client: client.service(service))
    if as_json:
        print_json([instance_as_json(instance) for instance in found.instances])
    elif found.instances:
        print_table(
            ("INSTANCE", "URL", "STATUS", "ZONE", "GROUP", "METADATA"),
            [
                (each.instance_id, each.url, each.status, each.zone_id, each.group_id, _metadata(each))
                for each in found.instances
            ],
        )
    if not found.instances:
        raise Failure(NEGATIVE, f"no instance of {service}")


@click.command()
@click.argument("service", default=EVERYTHING)
@click.option("--count", type=click.IntRange(min=1), help="End after this many updates.")
@asks_a_node
def watch(service: str, count: int | None, urls: Sequence[str], as_json: bool) -> None:
    """Follow SERVICE live: first what is there, then every change. Without SERVICE: the changes of all.

    It survives lost connections and restarts of the node, and misses nothing. Ctrl-C ends it.

    \b
    Examples:
        artemis watch orders
        artemis watch                     # the changes of all services
        artemis watch orders --json | jq -c '.changes[]'
    """

    async def follow(client: DiscoveryClient) -> None:
        seen = 0
        async with client.watch(service) as updates:
            async for update in updates:
                (_print_update_json if as_json else _print_update)(update)
                seen += 1
                if seen == count:
                    return

    ask_discovery(urls, follow)


def _print_update(update: ServiceUpdate) -> None:
    clock = time.strftime("%H:%M:%S")
    if update.kind == "snapshot":
        click.echo(styled(f"{clock}   {update.service_id}: {len(update.instances)} instances", None))
        for instance in update.instances:
            click.echo(styled(f"{clock} = {_line(instance)}", None))
    elif update.kind == "resync":
        click.echo(styled(f"{clock} ! reconnected; changes may have been missed", "cyan"))
    for change in update.changes:
        text = f"{clock} {SIGNS[change.change_type]} {update.service_id}  {_line(change.instance)}"
        click.echo(styled(text, COLOURS[change.change_type]))


def _print_update_json(update: ServiceUpdate) -> None:
    line: dict[str, object] = {"kind": update.kind, "serviceId": update.service_id, "revision": update.revision}
    if update.kind == "snapshot":
        line["instances"] = [instance_as_json(instance) for instance in update.instances]
    else:
        line["changes"] = [
            {
                "changeType": change.change_type,
                "changeTime": change.time_ms,
                "instance": instance_as_json(change.instance),
            }
            for change in update.changes
        ]
    print_json_line(line)


def _line(instance: Instance) -> str:
    return "  ".join(part for part in (instance.instance_id, instance.url, instance.status) if part)


def _zones(service: Service) -> str:
    return ", ".join(sorted({instance.zone_id for instance in service.instances if instance.zone_id}))


def _metadata(instance: Instance) -> str:
    return " ".join(f"{name}={value}" for name, value in (instance.metadata or {}).items())
