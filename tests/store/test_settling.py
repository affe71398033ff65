"""What instances leave out is settled wherever they come from: their zone, their ip, and the case of their status."""

from typing import Any

import pytest

from artemis.store.instances import Instance, decode_instance, encode_instance, settled
from artemis.store.registry import Registry, RegistrySettings
from artemis.store.versions import HybridClock

from .building import NOW_MS

BARE = Instance(region_id="lab", service_id="svc.a", instance_id="i1", url="http://[2001:DB8::0:2]:80/", status="UP")
KEY = "svc.a\ni1"
VERSION = NOW_MS << 22


def a_registry() -> Registry:
    settings = RegistrySettings("lab", zone_id="zone1", pause_s=1e9)
    return Registry(settings, clock=HybridClock(7), origin=7, now_s=0.0, now_ms=NOW_MS)


def register(table: Registry) -> None:
    table.register([BARE], now_s=1.0, now_ms=NOW_MS)


def restore(table: Registry) -> None:
    table.restore([(KEY, VERSION, encode_instance(BARE), NOW_MS, 0)], now_s=1.0, now_ms=NOW_MS)


def merge(table: Registry) -> None:
    table.merge([(KEY, VERSION, encode_instance(BARE), 0, 9)], via=9, now_s=1.0, now_ms=NOW_MS)


@pytest.mark.parametrize("arrive", [register, restore, merge])
def test_an_instance_is_settled_however_it_arrives(arrive: Any) -> None:
    table = a_registry()
    arrive(table)
    entry = table.find("svc.a", "i1")
    assert entry is not None
    shown = decode_instance(entry.json)
    assert (shown.zone_id, shown.ip, shown.status) == ("zone1", "2001:db8::2", "up")
    assert (entry.zone_key, entry.ip) == ("zone1", "2001:db8::2")


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ({"zone_id": None}, {"zone_id": "here"}),
        ({"zone_id": "  "}, {"zone_id": "here"}),
        ({"zone_id": " Zone2 "}, {"zone_id": "Zone2"}),
        ({"ip": None, "url": "http://host/"}, {"ip": ""}),
        ({"ip": "", "url": "http://10.0.0.9:80"}, {"ip": "10.0.0.9"}),
        ({"ip": " ", "url": "http://10.0.0.9:80"}, {"ip": "10.0.0.9"}),
        ({"ip": "10.0.0.8", "url": "http://10.0.0.9:80"}, {"ip": "10.0.0.8"}),
        ({"ip": "::FFFF:10.0.0.8"}, {"ip": "10.0.0.8"}),
        ({"ip": "VM-1"}, {"ip": "VM-1"}),
        ({"status": "UP"}, {"status": "up"}),
        ({"status": " Starting "}, {"status": "starting"}),
        ({"status": None}, {"status": None}),
        ({"status": ""}, {"status": ""}),
    ],
)
def test_what_is_left_out_is_filled_in_and_the_rest_stays(given: dict[str, Any], held: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"url": "u", "zone_id": "zone1", "ip": "10.0.0.1", "status": "up", **given}
    expected = Instance(region_id="lab", service_id="s", instance_id="i", **{**fields, **held})
    assert settled(Instance(region_id="lab", service_id="s", instance_id="i", **fields), "here") == expected
    assert settled(expected, "elsewhere") is expected
