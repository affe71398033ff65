"""`artemis rules`: how the traffic of a service is spread over its groups."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import click

from artemis.transport.client.errors import Refused

from .asking import asks_a_node
from .managing import Rest, ask_rest, lists_when_bare, operates, part
from .output import print_json, print_table

RULES = "/api/routing/rules"
COLUMNS = ("RULE", "SERVICE", "STATUS", "STRATEGY", "GROUPS", "NAME")
STRATEGIES = click.Choice(["weighted-round-robin", "close-by-visit"])

_of_service = click.option("--service", help="The service, when several have a rule of this name.")


@click.group(invoke_without_command=True)
@click.option("--service", help="Only rules of this service.")
@click.option("--status", type=click.Choice(["active", "inactive"]), help="Only rules that are so.")
@asks_a_node
@click.pass_context
def rules(context: click.Context, service: str | None, status: str | None, urls: Sequence[str], as_json: bool) -> None:
    """List route rules, or change them. Of several active rules of a service the one published last decides.

    \b
    Examples:
        artemis rules --service orders
        artemis rules create split --service orders
        artemis rules weigh split blue 70
        artemis rules weigh split green 30
        artemis rules publish split --reason "half of the traffic to version 2"
    """
    if not lists_when_bare(context):
        return

    async def work(rest: Rest) -> list[dict[str, Any]]:
        return list(await rest.get(RULES, serviceId=service, status=status))

    found = ask_rest(urls, work)
    if as_json:
        print_json(found)
    else:
        print_table(COLUMNS, [_row(rule) for rule in found])


@rules.command()
@click.argument("rule")
@_of_service
@asks_a_node
def show(rule: str, service: str | None, urls: Sequence[str], as_json: bool) -> None:
    """Show a rule and its groups with their weights."""

    async def work(rest: Rest) -> dict[str, Any]:
        return dict(await rest.get(_path(rule), serviceId=service))

    found = ask_rest(urls, work)
    if as_json:
        print_json(found)
        return
    print_table(COLUMNS, [_row(found)])
    click.echo()
    rows = [
        (link["groupKey"], link["weight"], _waiting(link), link["regionId"], link["zoneId"]) for link in found["groups"]
    ]
    print_table(("GROUP", "WEIGHT", "NOT RELEASED", "REGION", "ZONE"), rows)


@rules.command()
@click.argument("rule")
@click.option("--service", required=True, help="The service whose traffic it spreads.")
@click.option("--strategy", type=STRATEGIES, default="weighted-round-robin", show_default=True)
@click.option("--name", help="A name for people; RULE unless given.")
@click.option("--description", help="What the rule is for.")
@operates
@asks_a_node
def create(rule: str, service: str, strategy: str, name: str | None, description: str | None, **how: Any) -> None:
    """Create RULE. It does nothing before it has groups and is published."""
    body = {"routeId": rule, "serviceId": service, "name": name, "strategy": strategy, "description": description}
    _write("created", lambda rest, who: rest.send("POST", RULES, body | who), **how)


@rules.command()
@click.argument("rule")
@_of_service
@click.option("--strategy", type=STRATEGIES)
@click.option("--name", help="A name for people.")
@click.option("--description", help="What the rule is for.")
@operates
@asks_a_node
def change(
    rule: str, service: str | None, strategy: str | None, name: str | None, description: str | None, **how: Any
) -> None:
    """Change what is given of a rule, and leave the rest."""
    body = {"strategy": strategy, "name": name, "description": description}
    _write("changed", lambda rest, who: rest.send("PATCH", _path(rule), body | who, serviceId=service), **how)


@rules.command()
@click.argument("rule")
@_of_service
@operates
@asks_a_node
def publish(rule: str, service: str | None, **how: Any) -> None:
    """Let a rule decide, from now on and on every node."""
    path = f"{_path(rule)}/publish"
    _write("published", lambda rest, who: rest.send("POST", path, who, serviceId=service), **how)


@rules.command()
@click.argument("rule")
@_of_service
@operates
@asks_a_node
def unpublish(rule: str, service: str | None, **how: Any) -> None:
    """Let a rule do nothing any more; the active rule published before it decides."""
    path = f"{_path(rule)}/unpublish"
    _write("unpublished", lambda rest, who: rest.send("POST", path, who, serviceId=service), **how)


@rules.command()
@click.argument("rule")
@_of_service
@operates
@asks_a_node
def delete(rule: str, service: str | None, **how: Any) -> None:
    """Remove a rule. Its groups stay."""

    async def work(rest: Rest, who: dict[str, str | None]) -> dict[str, Any]:
        found = await rest.get(_path(rule), serviceId=service)
        await rest.send("DELETE", _path(rule), serviceId=service, **who)
        return dict(found)

    _write("deleted", work, **how)


@rules.command()
@click.argument("rule")
@click.argument("group")
@click.argument("weight", type=click.IntRange(0, 10_000))
@_of_service
@click.option("--near-region", help="The region that the group is near to; its own unless given.")
@click.option("--near-zone", help="The zone that the group is near to; its own unless given.")
@operates
@asks_a_node
def weigh(
    rule: str,
    group: str,
    weight: int,
    service: str | None,
    near_region: str | None,
    near_zone: str | None,
    **how: Any,
) -> None:
    """Give GROUP a part in a rule, or another weight. It counts at once. GROUP is a name, key or id."""
    fields = {"weight": weight, "regionId": near_region, "zoneId": near_zone}

    async def work(rest: Rest, who: dict[str, str | None]) -> dict[str, Any]:
        path = f"{_path(rule)}/groups"
        try:
            await rest.send("PATCH", f"{path}/{part(group)}", {**fields, **who}, serviceId=service)
        except Refused as refusal:
            if refusal.status != 404:
                raise
            await rest.send("POST", path, {"groupId": group, **fields, **who}, serviceId=service)
        return dict(await rest.get(_path(rule), serviceId=service))

    _write(f"{group} has the weight {weight} in", work, **how)


@rules.command()
@click.argument("rule")
@click.argument("group")
@_of_service
@operates
@asks_a_node
def drop(rule: str, group: str, service: str | None, **how: Any) -> None:
    """Take GROUP out of a rule. GROUP is a name, key or id."""

    async def work(rest: Rest, who: dict[str, str | None]) -> dict[str, Any]:
        await rest.send("DELETE", f"{_path(rule)}/groups/{part(group)}", serviceId=service, **who)
        return dict(await rest.get(_path(rule), serviceId=service))

    _write(f"{group} is no longer in", work, **how)


Write = Callable[[Rest, dict[str, str | None]], Awaitable[dict[str, Any]]]


def _write(done: str, work: Write, *, operator: str, reason: str | None, urls: Sequence[str], as_json: bool) -> None:
    """Carry out a write that returns the rule, and tell that it is done."""
    who = {"operatorId": operator, "reason": reason}
    rule = ask_rest(urls, lambda rest: work(rest, who))
    if as_json:
        print_json(rule)
    else:
        click.echo(f"{done} {rule['routeId']} of {rule['serviceId']}")


def _path(rule: str) -> str:
    return f"{RULES}/{part(rule)}"


def _row(rule: dict[str, Any]) -> tuple[object, ...]:
    groups = " ".join(f"{_short(link, rule)}={_weight(link)}" for link in rule["groups"])
    name = rule["name"] if rule["name"] != rule["routeId"] else None
    return rule["routeId"], rule["serviceId"], rule["status"], rule["strategy"], groups, name


def _short(link: dict[str, Any], rule: dict[str, Any]) -> str:
    """The name of a group, unless the rule has a namesake of it."""
    key = str(link["groupKey"])
    name = key.rpartition(":")[2]
    namesakes = [each for each in rule["groups"] if str(each["groupKey"]).rpartition(":")[2] == name]
    return name if len(namesakes) == 1 else key


def _weight(link: dict[str, Any]) -> object:
    return "?" if link["weight"] is None else link["weight"]


def _waiting(link: dict[str, Any]) -> object:
    """The weight that waits for its release, if it is another one."""
    return link["unreleasedWeight"] if link["unreleasedWeight"] != link["weight"] else None
