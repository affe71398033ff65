"""Metrics: what is counted, how it is exposed, and what counting costs."""

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock

from artemis.node.lag import LoopWatch
from artemis.node.metrics import Histogram, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    page, _ = metrics.expose()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def test_requests_are_counted_by_operation_and_outcome_with_their_latency() -> None:
    metrics = Metrics()
    metrics.requests.request("heartbeat", 200, "success", 0.000_3)
    metrics.requests.request("heartbeat", 200, "success", 0.002)
    metrics.requests.request("heartbeat", 200, "data-not-found", 20.0)
    found = samples(metrics)
    by_outcome = {"success": 2.0, "data-not-found": 1.0}
    for outcome, count in by_outcome.items():
        labels = (("operation", "heartbeat"), ("outcome", outcome))
        assert found["artemis_requests_total", labels] == count
    operation = ("operation", "heartbeat")
    assert found["artemis_request_seconds_bucket", (("le", "0.0005"), operation)] == 1
    assert found["artemis_request_seconds_bucket", (("le", "10.0"), operation)] == 2
    assert found["artemis_request_seconds_bucket", (("le", "+Inf"), operation)] == 3
    assert found["artemis_request_seconds_count", (operation,)] == 3
    assert found["artemis_request_seconds_sum", (operation,)] == pytest.approx(20.0023)


def test_a_value_on_a_bound_belongs_to_the_bucket_of_that_bound() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (1.0, 1.5, 2.0, 3.0):
        histogram.observe(value)
    assert histogram.buckets() == [("1.0", 1.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert histogram.count == 4


def test_parts_of_the_node_are_read_at_scrape_time() -> None:
    metrics = Metrics()
    live = {"instances": 1}
    metrics.gauge("artemis_instances", "Live instances.", lambda: live["instances"])
    metrics.gauges("artemis_mailbox_depth", "Waiting messages.", ("mailbox",), lambda: {"writer": 3})
    metrics.counters("artemis_frames", "Frames.", ("peer", "kind"), lambda: {("b", "renewals"): 7})
    live["instances"] = 5
    found = samples(metrics)
    assert found["artemis_instances", ()] == 5
    assert found["artemis_mailbox_depth", (("mailbox", "writer"),)] == 3
    assert found["artemis_frames_total", (("kind", "renewals"), ("peer", "b"))] == 7


def test_two_nodes_in_one_process_do_not_share_metrics() -> None:
    first, second = Metrics(node_id="a"), Metrics(node_id="b")
    first.requests.request("register", 200, "success", 0.001)
    assert "register" not in second.expose()[0].decode()
    assert any(dict(labels).get("node") == "b" for name, labels in samples(second) if name == "artemis_build_info")


def test_a_scraper_that_accepts_open_metrics_gets_it() -> None:
    page, content_type = Metrics().expose("application/openmetrics-text;version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")
    assert Metrics().expose(None)[1].startswith("text/plain; version=")


def test_a_name_is_given_once() -> None:
    metrics = Metrics()
    metrics.gauge("artemis_instances", "Live instances.", lambda: 0)
    with pytest.raises(AssertionError):
        metrics.gauge("artemis_instances", "Again.", lambda: 0)


async def test_the_loop_watch_notes_how_late_it_wakes_and_forgets_the_worst(autojump_clock: MockClock) -> None:
    metrics = Metrics()
    watch = LoopWatch(metrics)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.sleep(0.25)
        autojump_clock.jump(2.0)  # the process was paused
        await trio.sleep(0.25)
        assert watch.worst_s() == pytest.approx(1.95, abs=0.11)
        await trio.sleep(59)
        assert watch.worst_s() > 1
        await trio.sleep(2)
        assert watch.worst_s() == pytest.approx(0, abs=1e-6)
        nursery.cancel_scope.cancel()
