"""The machinery of simulations: what happens to a host that is frozen or killed, and to requests on their way."""

import random
from collections.abc import Awaitable, Callable

import pytest
import trio

from artemis.cluster.simulation.clocks import HostClock
from artemis.cluster.simulation.history import History
from artemis.cluster.simulation.hosts import Host
from artemis.cluster.simulation.network import Network
from artemis.cluster.simulation.scenario import REGION, Scenario
from artemis.cluster.simulation.scheduling import HOST, RunQueue, run
from artemis.cluster.simulation.wire import REQUEST_S, Unanswered, Wire

SCENARIO = Scenario(nodes=2)
LOOKUP = "/artemis/api/discovery/lookup.json"
BODY = {"discoveryConfigs": [{"serviceId": "any"}], "regionId": REGION}


def on_hosts(main: Callable[[dict[str, Host], Wire, Network], Awaitable[None]]) -> None:
    """Run `main` with two nodes that are up."""

    async def start(queue: RunQueue) -> None:
        network = Network(
            [*SCENARIO.names, "c1"],
            rng=random.Random(1),
            hosts={SCENARIO.ip_of(name): name for name in SCENARIO.names},
        )
        async with trio.open_nursery() as nursery:
            hosts = {
                name: Host(
                    name,
                    SCENARIO.config_of(name),
                    network=network,
                    queue=queue,
                    history=History(),
                    nursery=nursery,
                    clock=HostClock(skew_ms=0, uptime_s=1000.0),
                    seed=number,
                    seen=lambda host, change: None,
                    opened=lambda: None,
                )
                for number, name in enumerate(SCENARIO.names)
            }
            for host in hosts.values():
                host.start()
            await trio.sleep(5)
            await main(hosts, Wire(network, hosts), network)
            nursery.cancel_scope.cancel()
        for host in hosts.values():
            host.scrap()

    run(1, start)


def test_a_frozen_host_takes_no_step_and_goes_on_where_it_was() -> None:
    steps: list[float] = []

    async def step_by_step() -> None:
        HOST.set("frozen")
        while True:
            steps.append(trio.current_time())
            await trio.sleep(1)

    async def main(queue: RunQueue) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(step_by_step)
            await trio.sleep(2.5)
            queue.freeze("frozen")
            await trio.sleep(5)
            queue.thaw("frozen")
            await trio.sleep(1.25)
            nursery.cancel_scope.cancel()

    run(1, main)
    assert steps == [0.0, 1.0, 2.0, 7.5, 8.5]


def test_requests_are_answered_and_those_to_a_frozen_node_are_not() -> None:
    async def main(hosts: dict[str, Host], wire: Wire, network: Network) -> None:
        assert (await wire.ask("c1", "a", LOOKUP, BODY))["services"]
        hosts["a"].freeze()
        began_s = trio.current_time()
        with pytest.raises(Unanswered) as caught:
            await wire.ask("c1", "a", LOOKUP, BODY)
        assert caught.value.reached
        assert trio.current_time() - began_s == pytest.approx(REQUEST_S)
        hosts["a"].thaw()
        assert (await wire.ask("c1", "a", LOOKUP, BODY))["services"]

    on_hosts(main)


def test_requests_over_a_cut_network_never_arrive() -> None:
    async def main(hosts: dict[str, Host], wire: Wire, network: Network) -> None:
        network.cut([("c1", "a")])
        with pytest.raises(Unanswered) as caught:
            await wire.ask("c1", "a", LOOKUP, BODY)
        assert not caught.value.reached

    on_hosts(main)


def test_a_killed_node_is_noticed_at_once_and_one_without_power_is_not() -> None:
    async def main(hosts: dict[str, Host], wire: Wire, network: Network) -> None:
        cluster = hosts["b"].node.cluster if hosts["b"].node else None
        assert cluster is not None
        await hosts["a"].kill()
        await trio.sleep(0.1)
        assert not cluster.conversations()
        hosts["a"].start()
        await trio.sleep(5)
        assert cluster.conversations()
        await hosts["a"].kill(silently=True)
        await trio.sleep(3)
        assert cluster.conversations()
        await trio.sleep(5)
        assert not cluster.conversations()

    on_hosts(main)


def test_a_restarted_node_finds_its_disk_again_unless_it_is_lost() -> None:
    async def main(hosts: dict[str, Host], wire: Wire, network: Network) -> None:
        instance = {"regionId": "lab", "serviceId": "s", "instanceId": "i", "ip": "10.1.0.1", "url": "http://i"}
        await wire.ask("c1", "a", "/artemis/api/registry/register.json", {"instances": [instance]})
        await trio.sleep(1)
        for host in hosts.values():
            await host.kill()
        hosts["b"].replace_disk()
        for host in hosts.values():
            host.start()
        await trio.sleep(0.001)
        assert hosts["a"].holds(("s", "i"), "http://i")
        assert not hosts["b"].holds(("s", "i"), "http://i")

    on_hosts(main)


def test_a_host_that_has_just_been_started_runs_before_there_is_a_node() -> None:
    """Otherwise the end of the trouble starts it again, which once ended a whole hunt (seed 500014)."""

    async def main(hosts: dict[str, Host], wire: Wire, network: Network) -> None:
        host = hosts["b"]
        await host.kill()
        assert not host.is_running
        host.start()
        assert host.node is None
        assert host.is_running

    on_hosts(main)
