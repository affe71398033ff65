"""`artemis canary`: which callers are sent to the canary instances of a service."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import click

from .asking import asks_a_node
from .managing import Rest, ask_rest, lists_when_bare, operates, part
from .output import print_json, print_table

CANARY = "/api/management/canary"
COLUMNS = ("SERVICE", "GROUP", "ENABLED", "CALLERS")


@click.group(invoke_without_command=True)
@asks_a_node
@click.pass_context
def canary(context: click.Context, urls: Sequence[str], as_json: bool) -> None:
    """List canaries, or change them.

    The canary instances of a service are those that registered with its canary group, or are bound to it. Callers on
    the white list get these, all others get the rest.

    \b
    Examples:
        artemis canary set orders --ip 10.1.2.3 --ip 10.9.0.0/16
        artemis canary disable orders --reason "errors in the new version"
        artemis canary delete orders
    """
    if not lists_when_bare(context):
        return

    async def work(rest: Rest) -> list[dict[str, Any]]:
        return list(await rest.get(f"{CANARY}/configs"))

    _print(ask_rest(urls, work), as_json=as_json)


@canary.command()
@click.argument("service")
@asks_a_node
def show(service: str, urls: Sequence[str], as_json: bool) -> None:
    """Show the canary of SERVICE."""

    async def work(rest: Rest) -> dict[str, Any]:
        return dict(await rest.get(f"{CANARY}/config/{part(service)}"))

    found = ask_rest(urls, work)
    _print(found if as_json else [found], as_json=as_json)


@canary.command(name="set")
@click.argument("service")
@click.option("--ip", "ips", multiple=True, required=True, help="A caller's address or network; repeatable.")
@click.option("--group", default="canary", show_default=True, help="The group that makes an instance a canary.")
@click.option("--disabled", is_flag=True, help="Configure, and leave it switched off.")
@operates
@asks_a_node
def configure(service: str, ips: Sequence[str], group: str, disabled: bool, **how: Any) -> None:
    """Set who is sent to the canaries of SERVICE, instead of whoever was."""
    body = {"serviceId": service, "ipWhitelist": ips, "groupId": group, "enabled": not disabled}
    _write("set", service, lambda rest, who: rest.send("POST", f"{CANARY}/config", body | who), **how)


@canary.command()
@click.argument("service")
@operates
@asks_a_node
def enable(service: str, **how: Any) -> None:
    """Switch the canary of SERVICE on."""
    body = {"serviceId": service, "enabled": True}
    _write("enabled", service, lambda rest, who: rest.send("POST", f"{CANARY}/enable", body | who), **how)


@canary.command()
@click.argument("service")
@operates
@asks_a_node
def disable(service: str, **how: Any) -> None:
    """Switch the canary of SERVICE off: everybody gets every instance."""
    body = {"serviceId": service, "enabled": False}
    _write("disabled", service, lambda rest, who: rest.send("POST", f"{CANARY}/enable", body | who), **how)


@canary.command()
@click.argument("service")
@operates
@asks_a_node
def delete(service: str, **how: Any) -> None:
    """Remove the canary of SERVICE, if it has one."""
    path = f"{CANARY}/config/{part(service)}"
    _write("deleted", service, lambda rest, who: rest.send("DELETE", path, **who), **how)


Write = Callable[[Rest, dict[str, str | None]], Awaitable[dict[str, Any] | None]]


def _write(
    done: str,
    service: str,
    work: Write,
    *,
    operator: str,
    reason: str | None,
    urls: Sequence[str],
    as_json: bool,
) -> None:
    who = {"operatorId": operator, "reason": reason}
    found = ask_rest(urls, lambda rest: work(rest, who))
    if as_json:
        print_json(found or {"serviceId": service})
    else:
        click.echo(f"{done} the canary of {service}")


def _print(found: object, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    elif isinstance(found, list):
        print_table(COLUMNS, [_row(each) for each in found])


def _row(canary: dict[str, Any]) -> tuple[object, ...]:
    enabled = "yes" if canary["enabled"] else "no"
    return canary["serviceId"], canary["groupId"], enabled, " ".join(canary["ipWhitelist"])
