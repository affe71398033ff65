"""`artemis groups`: named sets of instances, their tags, and the instances bound to them by hand."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import click

from .asking import asks_a_node
from .managing import KEY, Rest, ask_rest, checked_key, lists_when_bare, operates, pairs_of, part, parts_of
from .output import print_json, print_table

GROUPS = "/api/routing/groups"
COLUMNS = ("GROUP", "TYPE", "STATUS", "TAGS", "DESCRIPTION")


@click.group(invoke_without_command=True)
@click.option("--service", help="Only groups of this service.")
@click.option("--region", help="Only groups of this region.")
@click.option("--zone", help="Only groups of this zone.")
@click.option("--name", help="Only groups of this name.")
@click.option("--tag", "tags", multiple=True, metavar="NAME:VALUE", help="Only groups with this tag; repeatable.")
@asks_a_node
@click.pass_context
def groups(
    context: click.Context,
    service: str | None,
    region: str | None,
    zone: str | None,
    name: str | None,
    tags: Sequence[str],
    urls: Sequence[str],
    as_json: bool,
) -> None:
    """List groups, or change them. A group is named by its key, SERVICE:REGION:ZONE:NAME, or by its id.

    \b
    Examples:
        artemis groups --service orders
        artemis groups create orders:default:zone1:blue --description "version 2"
        artemis groups tag orders:default:zone1:blue team=checkout
        artemis groups bind orders:default:zone1:blue orders-7 orders-8
        artemis groups show orders:default:zone1:blue
    """
    if not lists_when_bare(context):
        return
    wanted = {"serviceId": service, "regionId": region, "zoneId": zone, "name": name}

    async def work(rest: Rest) -> list[dict[str, Any]]:
        return list(await rest.get(GROUPS, **wanted, tag=tags))

    found = ask_rest(urls, work)
    if as_json:
        print_json(found)
    else:
        print_table(COLUMNS, [_row(group) for group in found])


@groups.command()
@click.argument("key", metavar=KEY)
@asks_a_node
def show(key: str, urls: Sequence[str], as_json: bool) -> None:
    """Show a group and the instances in it, those that are pulled out included."""

    async def work(rest: Rest) -> dict[str, Any]:
        path = f"{GROUPS}/{part(checked_key(key))}"
        return {"group": await rest.get(path), "instances": await rest.get(f"{path}/instances")}

    found = ask_rest(urls, work)
    if as_json:
        print_json(found)
        return
    print_table(COLUMNS, [_row(found["group"])])
    click.echo()
    rows = [(each["instanceId"], each["url"], each["status"], each["groupId"]) for each in found["instances"]]
    print_table(("INSTANCE", "URL", "STATUS", "REGISTERED WITH"), rows)


@groups.command()
@click.argument("key", metavar=KEY)
@click.option("--type", "group_type", type=click.Choice(["physical", "logical"]), default="physical")
@click.option("--app", help="The application; the service unless given.")
@click.option("--description", help="What the group is for.")
@operates
@asks_a_node
def create(key: str, group_type: str, app: str | None, description: str | None, **how: Any) -> None:
    """Create a group."""
    service, region, zone, name = parts_of(key)
    place = {"serviceId": service, "regionId": region, "zoneId": zone, "name": name}
    body = {**place, "groupType": group_type, "appId": app, "description": description}
    _write("created", lambda rest, who: rest.send("POST", GROUPS, body | who), **how)


@groups.command()
@click.argument("key", metavar=KEY)
@click.option("--type", "group_type", type=click.Choice(["physical", "logical"]))
@click.option("--status", type=click.Choice(["active", "inactive"]), help="An inactive group has no part in rules.")
@click.option("--description", help="What the group is for.")
@operates
@asks_a_node
def change(key: str, group_type: str | None, status: str | None, description: str | None, **how: Any) -> None:
    """Change what is given of a group, and leave the rest."""
    body = {"groupType": group_type, "status": status, "description": description}
    _write("changed", lambda rest, who: rest.send("PATCH", f"{GROUPS}/{part(checked_key(key))}", body | who), **how)


@groups.command()
@click.argument("key", metavar=KEY)
@operates
@asks_a_node
def delete(key: str, **how: Any) -> None:
    """Remove a group with its tags, bindings, pull-outs, and its part in rules."""

    async def work(rest: Rest, who: dict[str, str | None]) -> dict[str, Any]:
        group = await rest.get(f"{GROUPS}/{part(checked_key(key))}")
        await rest.send("DELETE", f"{GROUPS}/{part(key)}", **who)
        return dict(group)

    _write("deleted", work, **how)


@groups.command()
@click.argument("key", metavar=KEY)
@click.argument("tags", nargs=-1, required=True, metavar="NAME=VALUE...")
@operates
@asks_a_node
def tag(key: str, tags: Sequence[str], **how: Any) -> None:
    """Set tags of a group; its other tags stay."""
    body = {"tags": [{"key": name, "value": value} for name, value in pairs_of(tags).items()]}
    path = f"{GROUPS}/{part(checked_key(key))}/tags"
    _write("tagged", lambda rest, who: rest.send("POST", path, body | who), **how)


@groups.command()
@click.argument("key", metavar=KEY)
@click.argument("name")
@operates
@asks_a_node
def untag(key: str, name: str, **how: Any) -> None:
    """Remove the tag NAME of a group."""
    path = f"{GROUPS}/{part(checked_key(key))}/tags/{part(name)}"
    _write("untagged", lambda rest, who: rest.send("DELETE", path, **who), **how)


@groups.command()
@click.argument("key", metavar=KEY)
@click.argument("instances", nargs=-1, required=True, metavar="INSTANCE...")
@operates
@asks_a_node
def bind(key: str, instances: Sequence[str], **how: Any) -> None:
    """Bind instances to a group by hand: all of them, or none when one is bound already."""

    async def work(rest: Rest, who: dict[str, str | None]) -> dict[str, Any]:
        group = await rest.get(f"{GROUPS}/{part(checked_key(key))}")
        items = [{"groupId": group["groupId"], "instanceId": instance} for instance in instances]
        path = f"/api/routing/services/{part(group['serviceId'])}/instances"
        await rest.send("POST", path, {"instances": items, **who})
        return dict(group)

    _write(f"bound {', '.join(instances)} to", work, **how)


@groups.command()
@click.argument("key", metavar=KEY)
@click.argument("instance")
@operates
@asks_a_node
def unbind(key: str, instance: str, **how: Any) -> None:
    """Unbind INSTANCE from a group. What it registered with stays."""

    async def work(rest: Rest, who: dict[str, str | None]) -> dict[str, Any]:
        group = await rest.get(f"{GROUPS}/{part(checked_key(key))}")
        await rest.send("DELETE", f"{GROUPS}/{part(key)}/instances/{part(instance)}", **who)
        return dict(group)

    _write(f"unbound {instance} from", work, **how)


Write = Callable[[Rest, dict[str, str | None]], Awaitable[dict[str, Any]]]


def _write(done: str, work: Write, *, operator: str, reason: str | None, urls: Sequence[str], as_json: bool) -> None:
    """Carry out a write that returns the group, and tell that it is done."""
    who = {"operatorId": operator, "reason": reason}
    group = ask_rest(urls, lambda rest: work(rest, who))
    if as_json:
        print_json(group)
    else:
        click.echo(f"{done} {group['groupKey']}")


def _row(group: dict[str, Any]) -> tuple[object, ...]:
    tags = " ".join(f"{tag['key']}={tag['value']}" for tag in group["tags"])
    return group["groupKey"], group["groupType"], group["status"], tags, group["description"]
