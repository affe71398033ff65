"""Prints what an instance costs in memory: `python tests/store/measure_memory.py [count]`."""

import gc
import sys
from pathlib import Path

from artemis.store.instances import Instance
from artemis.store.registry import Registry, RegistrySettings
from artemis.store.versions import HybridClock

NOW_MS = 1_795_348_934_139


def resident_bytes() -> int:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def make(number: int) -> Instance:
    """An instance as services really describe themselves."""
    host = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return Instance(
        region_id="lab",
        zone_id="zone1",
        service_id=f"framework.test.v1.service{number // 100}",
        instance_id=f"host-{number}.example",
        machine_name=f"host-{number}",
        ip=host,
        port=8080,
        protocol="http",
        url=f"http://{host}:8080/hello",
        health_check_url=f"http://{host}:8080/hello/ping",
        status="up",
        metadata={"version": "1.2.3", "k": "v"},
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    table = Registry(RegistrySettings("lab"), clock=HybridClock(1), origin=1, now_s=0, now_ms=NOW_MS)
    gc.collect()
    before = resident_bytes()
    for start in range(0, count, 100):
        table.register([make(n) for n in range(start, min(start + 100, count))], now_s=0, now_ms=NOW_MS)
    gc.collect()
    print(f"{(resident_bytes() - before) / count:.0f} bytes per instance after registering {count}")
    for service in table.services.values():
        service.fragment()
    print(f"{(resident_bytes() - before) / count:.0f} bytes per instance once every service was asked for")


if __name__ == "__main__":
    main()
