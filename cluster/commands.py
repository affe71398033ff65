"""`artemis cluster`: start, watch, break, and stop a cluster on this machine."""

import json
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

import click
import trio

from .control import ControlError, request
from .faults import FaultError
from .foreground import detach as detach_cluster
from .foreground import run_in_foreground, wait_for_end
from .launcher import NotUp
from .logs import follow, tail
from .simulation.commands import simulate
from .state import DEFAULT_STATE, State, StateError
from .table import cluster_table, make_console
from .topology import Topology, TopologyError, encode_toml, load_topology, node_settings, simple_topology
from .watch import NodeView

SECRET_VARIABLE = "ARTEMIS_CLUSTER_SECRET"

F = TypeVar("F", bound=Callable[..., object])

FAILED = 1
"""Exit code of a command that could not do what was asked."""


def state_option(command: F) -> F:
    """--state, the same for every command."""
    return click.option(
        "--state",
        "state_directory",
        type=click.Path(path_type=Path, file_okay=False),
        default=DEFAULT_STATE,
        show_default=True,
        help="Where the cluster keeps its configurations, data, logs, and control socket.",
    )(command)


def json_option(command: F) -> F:
    """--json, the same for every command."""
    return click.option("--json", "is_json", is_flag=True, help="Print JSON, for scripts.")(command)


def fail(error: Exception) -> NoReturn:
    """Say why on standard error, and end."""
    click.echo(f"artemis cluster: {error}", err=True)
    sys.exit(FAILED)


@click.group()
def cluster() -> None:
    """Run a cluster of real processes on this machine, and break its network.

    \b
    artemis cluster up --nodes 3          start it; watch it; Ctrl-C stops it
    artemis cluster up --detach           leave it running in the background
    artemis cluster partition 'a,b|c'     cut c off from a and b
    artemis cluster heal                  make everything well again
    artemis cluster kill b                kill -9; then: artemis cluster restart b
    artemis cluster down                  stop it, and leave nothing behind
    artemis cluster simulate              no processes: hundreds of clusters in virtual time
    """


@cluster.command()
@click.option("--nodes", "count", type=int, help="Number of nodes, named a, b, c, ...  [default: 3]")
@click.option("--zones", type=int, default=1, show_default=True, help="Zones to deal the nodes out to.")
@click.option("--topology", type=click.Path(path_type=Path), help="A topology file, or the name of an example.")
@click.option(
    "--secret",
    envvar=SECRET_VARIABLE,
    help=f"Secret of the peer links; also {SECRET_VARIABLE}, which no process list shows.  [default: a random one]",
)
@click.option("--clients", is_flag=True, help="Proxies for client traffic too: urls of nodes lead through them.")
@click.option("--detach", "-d", is_flag=True, help="Return when all nodes are up, and leave them running.")
@click.option("--keep", is_flag=True, help="Keep data and logs when the cluster stops.")
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds until all nodes must be up.")
@json_option
@state_option
def up(
    count: int | None,
    zones: int,
    topology: Path | None,
    secret: str | None,
    clients: bool,
    detach: bool,
    keep: bool,
    timeout: float,
    is_json: bool,
    state_directory: Path,
) -> None:
    """Start a cluster, wait until all nodes are up, and show a live table."""
    try:
        plan = _plan(count, zones, topology)
        state = State(state_directory)
        if detach:
            arguments = _arguments(count, zones, topology, clients=clients, keep=keep, timeout=timeout)
            environment = {} if secret is None else {SECRET_VARIABLE: secret}
            detach_cluster([*arguments, "--state", str(state_directory)], state, timeout, environment)
            _show(request(state, "status"), is_json)
        else:
            run_in_foreground(
                plan,
                state,
                secret=secrets.token_urlsafe(24) if secret is None else secret,
                with_client_proxies=clients,
                timeout_s=timeout,
                keep=keep,
                is_json=is_json,
            )
    except (TopologyError, StateError, NotUp) as error:
        fail(error)


def _arguments(
    count: int | None,
    zones: int,
    topology: Path | None,
    *,
    clients: bool,
    keep: bool,
    timeout: float,
) -> list[str]:
    """The arguments of `up` once more, for the process in the background; the secret is not among them."""
    arguments = ["up", "--zones", str(zones), "--timeout", str(timeout)]
    for flag, value in (("--nodes", count), ("--topology", topology)):
        if value is not None:
            arguments += [flag, str(value)]
    return arguments + ["--clients"] * clients + ["--keep"] * keep


def _plan(count: int | None, zones: int, topology: Path | None) -> Topology:
    if topology is None:
        return simple_topology(3 if count is None else count, zones=zones)
    if count is not None or zones != 1:
        raise TopologyError("a topology says how many nodes and zones there are; leave out --nodes and --zones")
    return load_topology(topology)


@cluster.command()
@json_option
@state_option
def status(is_json: bool, state_directory: Path) -> None:
    """Show nodes, their peer links, and the faults in force. Exits with 1 when a node is not up."""
    answer = _ask(state_directory, "status")
    _show(answer, is_json)
    if not all(view.is_up for view in _views(answer)):
        sys.exit(FAILED)


@cluster.command()
@click.argument("node", required=False)
@click.option("--follow", "-f", "is_following", is_flag=True, help="Go on with what is written from now on.")
@click.option("--lines", "-n", type=int, default=20, show_default=True, help="Lines from the end of each log.")
@state_option
def logs(node: str | None, is_following: bool, lines: int, state_directory: Path) -> None:
    """Show the log of NODE, or of all nodes, each line with the node's name."""
    state = State(state_directory)
    names = sorted(path.name for path in (state_directory / "nodes").glob("*"))
    if not names:
        fail(StateError(f"{state_directory}: there is no cluster"))
    if node is not None and node not in names:
        fail(StateError(f"there is no node {node!r}; there are: {', '.join(names)}"))
    chosen = [node] if node else names
    files = {name: state.log_file(name) for name in chosen}
    for line in tail(files, lines):
        click.echo(line)
    if is_following:
        trio.run(follow, files, click.echo)


def _node_command(name: str, text: str) -> None:
    @cluster.command(name, help=text)
    @click.argument("node")
    @state_option
    def command(node: str, state_directory: Path) -> None:
        _ask(state_directory, name, node=node)


_node_command("kill", "SIGKILL a node: it has no time for anything. Bring it back with restart.")
_node_command("pause", "SIGSTOP a node: it stands still, and its connections stay open.")
_node_command("resume", "SIGCONT a paused node.")


@cluster.command()
@click.argument("node")
@click.option("--wait", "wait_s", type=float, default=30.0, show_default=True, help="Seconds until it has to be up.")
@state_option
def restart(node: str, wait_s: float, state_directory: Path) -> None:
    """Stop a node if it runs, start it again on the same data, and wait until it is up."""
    _ask(state_directory, "restart", node=node, wait_s=wait_s)


@cluster.command()
@click.argument("islands", nargs=-1, required=True)
@click.option("--reset", is_flag=True, help="Reset connections and turn new ones away, instead of silence.")
@state_option
def partition(islands: tuple[str, ...], reset: bool, state_directory: Path) -> None:
    """Cut the network into ISLANDS: 'a,b|c', or a,b/c without quotes; 'a>b' cuts one direction; 'a' isolates a.

    Nodes that are not named keep their links. Client traffic is 'clients', if the cluster is up with --clients.
    """
    _ask(state_directory, "partition", flows=_flows(islands), reset=reset)


@cluster.command()
@click.argument("flows", nargs=-1)
@state_option
def heal(flows: tuple[str, ...], state_directory: Path) -> None:
    """Mend everything, or only FLOWS, written as for partition."""
    _ask(state_directory, "heal", flows=_flows(flows))


@cluster.command()
@click.argument("flows", nargs=-1)
@click.option("--delay-ms", type=float, default=100.0, show_default=True, help="Delay in each direction.")
@click.option("--jitter-ms", type=float, default=0.0, show_default=True, help="Up to so much more, at random.")
@click.option("--kib-per-s", type=float, default=0.0, help="Bandwidth of each connection.  [default: no limit]")
@state_option
def slow(flows: tuple[str, ...], delay_ms: float, jitter_ms: float, kib_per_s: float, state_directory: Path) -> None:
    """Delay everything, or only FLOWS, written as for partition."""
    _ask(
        state_directory,
        "slow",
        flows=_flows(flows),
        delay_s=delay_ms / 1000,
        jitter_s=jitter_ms / 1000,
        bytes_per_s=kib_per_s * 1024,
    )


@cluster.command()
@click.argument("flows", nargs=-1)
@click.option("--loss", type=float, default=0.05, show_default=True, help="Share of pieces that are sent twice.")
@click.option("--reset", type=float, default=0.0, show_default=True, help="Share of pieces that reset a connection.")
@state_option
def lossy(flows: tuple[str, ...], loss: float, reset: float, state_directory: Path) -> None:
    """Lose pieces of everything, or only of FLOWS: TCP sends them again, late, or gives up."""
    _ask(state_directory, "lossy", flows=_flows(flows), loss=loss, reset=reset)


@cluster.command()
@state_option
def down(state_directory: Path) -> None:
    """Stop all nodes, and remove the state directory (unless it was up with --keep)."""
    answer = _ask(state_directory, "down")
    pid = answer["pid"]
    assert isinstance(pid, int)
    wait_for_end(pid)


@cluster.command()
@click.option("--topology", type=click.Path(path_type=Path), required=True, help="A topology file, or an example.")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), required=True, help="Directory to write to.")
@click.option("--data", default="/var/lib/artemis", show_default=True, help="Data directory on the machines.")
@click.option("--secret-file", default="/etc/artemis/secret", show_default=True, help="Secret on the machines.")
def configure(topology: Path, into: Path, data: str, secret_file: str) -> None:
    """Write one configuration per node of a topology, to be copied to real machines."""
    try:
        plan = load_topology(topology)
    except TopologyError as error:
        fail(error)
    into.mkdir(parents=True, exist_ok=True)
    for name in plan.names:
        settings = node_settings(plan, name, data_directory=data)
        settings["cluster"]["secret_file"] = secret_file
        file = into / f"{name}.toml"
        file.write_text(encode_toml(settings), encoding="utf-8")
        click.echo(f"{file}: {plan.node(name).url}")


cluster.add_command(simulate)


def _flows(words: Sequence[str]) -> str:
    return "".join(words).replace("/", "|")


def _ask(state_directory: Path, action: str, **arguments: object) -> dict[str, object]:
    try:
        return request(State(state_directory), action, **arguments)
    except (StateError, ControlError, FaultError) as error:
        fail(error)


def _views(answer: dict[str, object]) -> list[NodeView]:
    nodes = answer["nodes"]
    assert isinstance(nodes, list)
    return [NodeView(**node) for node in nodes]


def _show(answer: dict[str, object], is_json: bool) -> None:
    if is_json:
        click.echo(json.dumps(answer, indent=2))
        return
    faults = answer["faults"]
    assert isinstance(faults, dict)
    make_console().print(cluster_table(_views(answer), faults))
