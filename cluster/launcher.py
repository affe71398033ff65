"""The launcher: owns the processes of a local cluster and the proxies between them.

Everything it starts ends with it: leaving `open_cluster` stops the nodes, then the proxies; dying without
leaving kills the nodes through the kernel.
"""

import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

import trio

from .faults import CLIENTS, FaultTable
from .processes import GRACE_S, Child, free_ports, node_command
from .proxy import Network, Proxy
from .state import State
from .topology import Topology, encode_toml, node_settings
from .watch import NodeView, ask

POLL_S = 1.0
"""How often nodes are asked while somebody watches; status queries are rate-limited by the nodes."""

STARTING_POLL_S = 0.05
GOODBYE_S = GRACE_S + 5.0

Command = Callable[[Path], Sequence[str]]
"""How a node is started with a configuration file."""


class NotUp(Exception):
    """The cluster did not come up, with what is known of why."""


class Cluster:
    """A running cluster. Nodes are named as in the topology."""

    def __init__(self, topology: Topology, state: State, network: Network, proxies: Sequence[Proxy]) -> None:
        self.topology = topology
        self.state = state
        self.network = network
        self.proxies = tuple(proxies)
        self.children: dict[str, Child] = {}
        self._paused: set[str] = set()
        self._names_by_url = {plan.url: plan.name for plan in topology.nodes}

    def child(self, name: str) -> Child:
        """The process of a node; raises `TopologyError` when there is no such node."""
        return self.children[self.topology.node(name).name]

    def kill(self, name: str) -> None:
        """SIGKILL: the node has no time for anything."""
        self.child(name).kill()
        self._paused.discard(name)

    def pause(self, name: str) -> None:
        """SIGSTOP: the node does not run, and its connections stay open."""
        if self.child(name).signal(signal.SIGSTOP):
            self._paused.add(name)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self.child(name).signal(signal.SIGCONT)
        self._paused.discard(name)

    async def restart(self, name: str) -> None:
        """Stop the node if it runs, and start it again on the same data."""
        child = self.child(name)
        self._paused.discard(name)
        await child.stop()
        child.start()

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Stop all nodes at once; those that do not end in time are killed."""
        self._paused.clear()
        async with trio.open_nursery() as nursery:
            for name, child in self.children.items():
                nursery.start_soon(child.stop, grace_s, name=f"stop {name}")

    def process_of(self, name: str) -> str:
        """How the process of a node fares, in a word."""
        child = self.child(name)
        if child.pid is not None:
            return "paused" if name in self._paused else "running"
        code = child.exit_code
        if code is None:
            return "not started"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"

    async def views(self, *, brief: bool = False) -> list[NodeView]:
        """Ask every node how it is, all at the same time; only for its status when `brief`."""
        views: dict[str, NodeView] = {}

        async def view(name: str) -> None:
            views[name] = await self._view(name, brief=brief)

        async with trio.open_nursery() as nursery:
            for name in self.topology.names:
                nursery.start_soon(view, name, name=f"ask {name}")
        return [views[name] for name in self.topology.names]

    async def wait_until_up(
        self,
        timeout_s: float,
        progress: Callable[[Sequence[NodeView]], None] = lambda views: None,
        *,
        names: Sequence[str] | None = None,
    ) -> list[NodeView]:
        """Wait until every node, or each of `names`, is up. Raises `NotUp` when one ends, or when it takes too long."""
        deadline_s = trio.current_time() + timeout_s
        while True:
            views = [view for view in await self.views(brief=True) if names is None or view.name in names]
            progress(views)
            if all(view.is_up for view in views):
                return views
            for view in views:
                if view.pid is None:
                    raise NotUp(f"node {view.name} {view.process}; its log ends with:\n{self.log_tail(view.name)}")
            if trio.current_time() > deadline_s:
                waiting = ", ".join(
                    f"{view.name} is {view.status}" + (f" ({view.reason})" if view.reason else "")
                    for view in views
                    if not view.is_up
                )
                raise NotUp(f"not up after {timeout_s:g} s: {waiting}")
            await trio.sleep(STARTING_POLL_S)

    def log_tail(self, name: str, lines: int = 10) -> str:
        """The last lines of a node's log."""
        text = self.state.log_file(name).read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    async def _view(self, name: str, *, brief: bool) -> NodeView:
        plan = self.topology.node(name)
        report = None
        if self.process_of(name) == "running":
            names = None if brief else self._names_by_url
            report = await ask(plan.host, plan.port, name, names)
        return NodeView(
            name=name,
            region=plan.region,
            zone=plan.zone,
            url=plan.url,
            address=f"{plan.host}:{plan.port}",
            process=self.process_of(name),
            pid=self.child(name).pid,
            status=report.status if report else "silent",
            reason=report.reason if report else "",
            peers=report.peers if report else {},
            instances=report.instances if report else None,
            lag_ms=report.lag_ms if report else None,
        )


@asynccontextmanager
async def open_cluster(
    topology: Topology,
    state: State,
    *,
    secret: str = "",
    with_client_proxies: bool = False,
    seed: int | None = None,
    command: Command = node_command,
) -> AsyncGenerator[Cluster]:
    """Start every node of a topology on this machine, with a proxy for each directed pair of peers.

    With `with_client_proxies` every node is known by the url of a proxy of its own, so that the traffic of
    clients can be broken too. Returns without waiting for the nodes to be up. Stops everything on leaving.
    """
    nodes = len(topology.nodes)
    ports = iter(free_ports(nodes * (nodes + 1)))  # the nodes, a proxy for each pair, and one for the clients of each
    local = topology.on_loopback(islice(ports, nodes))
    state.create(local.names)
    network = Network(FaultTable([*local.names, CLIENTS]), seed=seed)
    async with trio.open_nursery() as nursery:
        client_proxies = [
            Proxy(network, CLIENTS, plan.name, (plan.host, plan.port), port=next(ports))
            for plan in local.nodes
            if with_client_proxies
        ]
        peer_proxies = [
            Proxy(network, plan.name, peer.name, (peer.host, peer.port), port=next(ports))
            for plan in local.nodes
            for peer in local.peers(plan.name)
        ]
        proxies = [*client_proxies, *peer_proxies]
        for proxy in proxies:
            await nursery.start(proxy.run, name=f"proxy {proxy.source} to {proxy.target}")
        local = local.advertising({proxy.target: proxy.url for proxy in client_proxies})
        cluster = Cluster(local, state, network, proxies)
        for name in local.names:
            dial = {local.node(proxy.target).url: proxy.url for proxy in peer_proxies if proxy.source == name}
            settings = node_settings(
                local, name, data_directory=str(state.data_directory(name).resolve()), secret=secret, dial=dial
            )
            _write_private(state.config_file(name), encode_toml(settings))
            child = Child(command(state.config_file(name)), state.log_file(name))
            cluster.children[name] = child
        try:
            for child in cluster.children.values():
                child.start()
            yield cluster
        finally:
            with trio.move_on_after(GOODBYE_S, shield=True):
                await cluster.stop()
            for child in cluster.children.values():
                child.kill()
            nursery.cancel_scope.cancel()


def _write_private(file: Path, text: str) -> None:
    """Configurations hold the secret."""
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
