"""The load of wrk, where it is installed: the same prepared requests, sent by a C program.

wrk cannot tell a failure that is answered with 200, so every script is tried once by us before it is handed
over; of what wrk itself notices (other statuses, broken connections, timeouts) nothing is forgiven.
"""

import json
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .http import Address, BenchFailed, Connection
from .load import SUCCESS, LoadResult
from .measurements import number

SCRIPT = """
local requests, position = {}, 0
local file = io.open(os.getenv("BENCH_REQUESTS"), "rb")
while true do
   local head = file:read(4)
   if not head then break end
   local a, b, c, d = head:byte(1, 4)
   requests[#requests + 1] = file:read(a * 16777216 + b * 65536 + c * 256 + d)
end
file:close()
request = function()
   position = position % #requests + 1
   return requests[position]
end
done = function(summary, latency)
   local e = summary.errors
   io.write(string.format(
      'RESULT {"requests":%d,"duration_us":%d,"failures":%d,"p50_us":%d,"p99_us":%d}\\n',
      summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
      latency:percentile(50), latency:percentile(99)))
end
"""

EXTRA_S = 30.0
"""How much longer than its measurement wrk may take before it is given up."""


def find_wrk() -> str | None:
    """The program, if there is one."""
    return shutil.which("wrk")


def closed_loop(
    program: str, address: Address, scripts: Sequence[Sequence[bytes]], *, duration_s: float, core: int
) -> LoadResult:
    """One connection per script, as fast as the answers come; requests of all scripts take turns."""
    _try_once(address, scripts)
    with tempfile.TemporaryDirectory(prefix="artemis-wrk-") as directory:
        script, requests = Path(directory, "load.lua"), Path(directory, "requests")
        script.write_text(SCRIPT, encoding="utf-8")
        requests.write_bytes(b"".join(struct.pack("!I", len(one)) + one for one in interleaved(scripts)))
        seconds = max(1, round(duration_s))
        host, port = address
        finished = subprocess.run(
            [program, "-t1", f"-c{len(scripts)}", f"-d{seconds}s", "-s", str(script), f"http://{host}:{port}"],
            env={**os.environ, "BENCH_REQUESTS": str(requests)},
            capture_output=True,
            text=True,
            timeout=seconds + EXTRA_S,
            check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
    return read_result(finished.stdout, finished.stderr)


def read_result(output: str, errors: str = "") -> LoadResult:
    """What wrk found; raises `BenchFailed` when anything failed, or nothing was measured."""
    for line in output.splitlines():
        if line.startswith("RESULT "):
            result: dict[str, int] = json.loads(line.removeprefix("RESULT "))
            if result["failures"]:
                raise BenchFailed(f"wrk saw {number(result['failures'])} failures")
            return LoadResult(
                requests=result["requests"],
                elapsed_s=result["duration_us"] / 1e6,
                latencies_s=[],
                percentiles_s={50: result["p50_us"] / 1e6, 99: result["p99_us"] / 1e6},
            )
    raise BenchFailed(f"wrk measured nothing: {output[-300:]} {errors[-300:]}")


def interleaved(scripts: Sequence[Sequence[bytes]]) -> list[bytes]:
    """The first request of every script, then the second of every one, and so on."""
    longest = max(map(len, scripts))
    return [script[i % len(script)] for i in range(longest) for script in scripts]


def _try_once(address: Address, scripts: Sequence[Sequence[bytes]]) -> None:
    with Connection(address) as connection:
        for script in scripts:
            for request in script[:1]:
                answer = connection.exchange(request)
                if answer.status not in (200, 201) or SUCCESS not in answer.body:
                    raise BenchFailed(f"{answer.status} {answer.body[:300].decode(errors='replace')}")
