"""`artemis audit`, `explain`: who did what, and why an instance is, or is not, in an answer."""

import re
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import click

from .asking import asks_a_node
from .exits import NEGATIVE, USAGE, Failure
from .managing import Rest, ask_rest, path_of
from .output import print_json, print_table

AUDIT: Final = "/api/management/audit"

UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.command()
@click.option("--type", "operation_type", help="Only writes to this kind of thing: instance, zone, route-rule, ...")
@click.option("--by", "operator_id", metavar="NAME", help="Only writes of this operator.")
@click.option("--target", help="Only writes to this target, as the table shows it.")
@click.option("--service", help="Only pull-outs of instances of this service.")
@click.option("--instance", help="Only pull-outs of this instance.")
@click.option("--server", metavar="IP", help="Only pull-outs of this server.")
@click.option("--since", metavar="TIME", help="From then on: 90s, 30m, 2h, 7d ago, or 2026-01-31T12:00.")
@click.option("--until", metavar="TIME", help="Up to then.")
@click.option("--before", metavar="ID", type=click.IntRange(min=1), help="The page before this entry.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Entries at most.")
@asks_a_node
def audit(
    operation_type: str | None,
    operator_id: str | None,
    target: str | None,
    service: str | None,
    instance: str | None,
    server: str | None,
    since: str | None,
    until: str | None,
    before: int | None,
    limit: int,
    urls: Sequence[str],
    as_json: bool,
) -> None:
    """Show who did what, newest first. --json has what was there before and after, too.

    \b
    Examples:
        artemis audit
        artemis audit --by alice --since 2h
        artemis audit --service orders --instance orders-1
        artemis audit --type route-rule --json | jq '.[] | {before, after}'
    """
    now_s = time.time()
    arguments: dict[str, str | int | None] = {
        "operationType": operation_type,
        "operatorId": operator_id,
        "targetId": target,
        "since": None if since is None else _time_ms("--since", since, now_s),
        "until": None if until is None else _time_ms("--until", until, now_s),
        "before": before,
        "limit": limit,
    }
    view = "logs"
    if service or instance:
        view = "instance-logs"
        arguments |= {"serviceId": service, "instanceId": instance}
    elif server:
        view = "server-logs"
        arguments |= {"serverId": server}

    async def work(rest: Rest) -> list[dict[str, Any]]:
        return list(await rest.get(f"{AUDIT}/{view}", **arguments))

    found = ask_rest(urls, work)
    if as_json:
        print_json(found)
    else:
        columns = ("TIME", "OPERATOR", "FROM", "OPERATION", "TYPE", "TARGET", "REASON")
        print_table(columns, [_entry_row(entry) for entry in found])


@click.command()
@click.argument("service")
@click.argument("instance", required=False)
@click.option("--ip", help="Of the caller; ours unless given.")
@click.option("--region", help="Of the caller; the node's unless given.")
@click.option("--zone", help="Of the caller; the node's unless given.")
@asks_a_node
def explain(
    service: str,
    instance: str | None,
    ip: str | None,
    region: str | None,
    zone: str | None,
    urls: Sequence[str],
    as_json: bool,
) -> None:
    """Say of every instance of SERVICE, or of one, whether a caller is given it next, and why.

    Exits with 1 when the caller is given none of them.

    \b
    Examples:
        artemis explain orders
        artemis explain orders orders-1
        artemis explain orders --ip 10.1.2.3 --zone zone2
    """
    arguments = {"serviceId": service, "instanceId": instance, "ip": ip, "regionId": region, "zoneId": zone}

    async def work(rest: Rest) -> dict[str, Any]:
        return dict(await rest.ask(path_of("/api/discovery/explain", arguments)))

    found = ask_rest(urls, work)
    if as_json:
        print_json({name: value for name, value in found.items() if name != "responseStatus"})
    else:
        rows = [
            (each["instanceId"], "yes" if each["kept"] else "no", each["filter"], each["reason"])
            for each in found["instances"]
        ]
        print_table(("INSTANCE", "GIVEN", "FILTER", "WHY"), rows)
    if not any(each["kept"] for each in found["instances"]):
        raise Failure(NEGATIVE, f"{found['caller']['ip']} is given no instance of {service}")


def _entry_row(entry: dict[str, Any]) -> tuple[object, ...]:
    clock = datetime.fromtimestamp(entry["operationTime"] / 1000).astimezone()
    names = ("operatorId", "address", "operation", "operationType", "targetId", "reason")
    ended = " (ended)" if entry["complete"] and entry["operation"] != "pullin" else ""
    texts = [entry[name] for name in names]
    texts[2] = f"{texts[2]}{ended}"
    return clock.strftime("%Y-%m-%d %H:%M:%S"), *texts


def _time_ms(flag: str, text: str, now_s: float) -> int:
    """A moment as epoch milliseconds: so long ago, or a date and perhaps a time, local unless it says otherwise."""
    ago = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if ago:
        return max(0, int((now_s - int(ago[1]) * UNIT_S[ago[2]]) * 1000))
    try:
        return max(0, int(datetime.fromisoformat(text.strip()).timestamp() * 1000))
    except (ValueError, OverflowError):
        raise Failure(USAGE, f"{flag}: {text!r} is not a time such as 2h or 2026-01-31T12:00") from None
