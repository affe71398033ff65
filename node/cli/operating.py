"""`artemis pull-out`, `pull-in`: take instances, servers, zones and groups out of discovery, and put them back."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from .asking import asks_a_node
from .managing import KEY, Rest, ask_rest, checked_key, operates, part
from .output import print_json

OUT: Final = "pullout"
IN: Final = "pullin"
DONE: Final = {OUT: "pulled out", IN: "pulled in"}
VERB: Final = {OUT: "Take out", IN: "Put back"}


@click.group(name="pull-out")
def pull_out() -> None:
    """Take instances out of discovery, at once and on every node, until they are pulled in.

    They stay registered and may go on with their heartbeats; no answer shows them, and subscribers are told that they
    left. Several pull-outs stack: what is out for two reasons comes back when both have gone.

    \b
    Examples:
        artemis pull-out instance orders orders-1 --reason "leaks memory"
        artemis pull-out server 10.0.0.7
        artemis pull-out zone zone2 --reason "power maintenance"
        artemis pull-out zone zone2 --service orders
        artemis pull-out group orders:default:zone1:blue
    """


@click.group(name="pull-in")
def pull_in() -> None:
    """Put back what was pulled out. What is not out stays in.

    \b
    Examples:
        artemis pull-in instance orders orders-1
        artemis pull-in server 10.0.0.7
        artemis pull-in zone zone2
        artemis pull-in group orders:default:zone1:blue
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """In which direction, by whom and why, and how it is told."""

    operation: str
    operator: str
    reason: str | None
    urls: Sequence[str]
    as_json: bool

    def fields(self) -> dict[str, str | None]:
        """As the REST API wants to know it."""
        return {"operation": self.operation, "operatorId": self.operator, "reason": self.reason}

    def carry_out(self, what: str, work: Callable[[Rest], Awaitable[dict[str, Any]]]) -> None:
        """Run `work`, which returns what it was about and what it hit, and tell that it is done."""
        done = ask_rest(self.urls, work)
        if self.as_json:
            print_json({**done, **self.fields()})
            return
        hit = f"{_counted(done['instances'], 'instance')} of {_counted(done['services'], 'service')}"
        click.echo(f"{DONE[self.operation]} {what}: {hit}")
        if done["warning"]:
            click.echo(f"artemis: warning: {done['warning']}", err=True)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _reach(answer: dict[str, Any]) -> dict[str, Any]:
    """What an answer says of what was hit."""
    return {name: answer[name] for name in ("instances", "services", "warning")}


_with_region = click.option("--region", help="The region; that of the node unless given.")


def _instance(operation: str) -> click.Command:
    @click.command(
        name="instance",
        help=f"{VERB[operation]} one INSTANCE of SERVICE. What is not registered yet is out when it comes."
        if operation == OUT
        else f"{VERB[operation]} one INSTANCE of SERVICE.",
    )
    @click.argument("service")
    @click.argument("instance")
    @_with_region
    @operates
    @asks_a_node
    def command(service: str, instance: str, region: str | None, **how: Any) -> None:
        order = Order(operation=operation, **how)

        async def work(rest: Rest) -> dict[str, Any]:
            key = {"regionId": region or await rest.region(), "serviceId": service, "instanceId": instance}
            body = {"instanceKey": key, **order.fields()}
            done = await rest.answer("/api/management/instance/operate-instance.json", body)
            return {"kind": "instance", **key, **_reach(done)}

        order.carry_out(f"{instance} of {service}", work)

    return command


def _server(operation: str) -> click.Command:
    @click.command(name="server", help=f"{VERB[operation]} every instance that registered with the address IP.")
    @click.argument("ip")
    @_with_region
    @operates
    @asks_a_node
    def command(ip: str, region: str | None, **how: Any) -> None:
        order = Order(operation=operation, **how)

        async def work(rest: Rest) -> dict[str, Any]:
            server = {"serverId": ip, "regionId": region or await rest.region()}
            done = await rest.answer("/api/management/server/operate-server.json", server | order.fields())
            return {"kind": "server", **server, **_reach(done)}

        order.carry_out(f"server {ip}", work)

    return command


def _zone(operation: str) -> click.Command:
    @click.command(name="zone", help=f"{VERB[operation]} a whole ZONE: of every service, or of one.")
    @click.argument("zone")
    @click.option("--service", help="Of this service only; of all unless given.")
    @_with_region
    @operates
    @asks_a_node
    def command(zone: str, service: str | None, region: str | None, **how: Any) -> None:
        order = Order(operation=operation, **how)

        async def work(rest: Rest) -> dict[str, Any]:
            place = {"zoneId": zone, "regionId": region or await rest.region(), "serviceId": service}
            path = f"/api/management/zone/pull-{'out' if operation == OUT else 'in'}"
            done = await rest.send("POST", path, place | order.fields())
            return {"kind": "zone", **place, **_reach(done)}

        order.carry_out(f"zone {zone}{f' of {service}' if service else ''}", work)

    return command


def _group(operation: str) -> click.Command:
    @click.command(name="group", help=f"{VERB[operation]} the instances that registered with the group KEY.")
    @click.argument("key", metavar=KEY)
    @operates
    @asks_a_node
    def command(key: str, **how: Any) -> None:
        checked_key(key)
        order = Order(operation=operation, **how)

        async def work(rest: Rest) -> dict[str, Any]:
            path = f"/api/routing/groups/{part(key)}/pull-{'out' if operation == OUT else 'in'}"
            done = await rest.send("POST", path, order.fields())
            return {"kind": "group", "groupId": done["groupId"], "groupKey": done["groupKey"], **_reach(done)}

        order.carry_out(f"group {key}", work)

    return command


for _direction, _operation in ((pull_out, OUT), (pull_in, IN)):
    for _factory in (_instance, _server, _zone, _group):
        _direction.add_command(_factory(_operation))
