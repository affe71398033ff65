"""A program that looks like a node to the launcher: health, cluster status, metrics; and nothing behind them.

It reads the generated configuration, and reports as its peers' status whether they can be reached by the
address that it was told to dial.
"""

import json
import socket
import sys
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

CONFIG = tomllib.loads(Path(sys.argv[1]).read_text())
CLUSTER = CONFIG["cluster"]
METRICS = "artemis_instances 7.0\nartemis_replication_lag_max_seconds 0.004\n"


def reaches(url: str) -> bool:
    """Whether whoever listens there answers a request."""
    if url == CONFIG["node"]["url"]:
        return True
    parts = urlsplit(CLUSTER.get("dial", {}).get(url, url))
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=0.3) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            return connection.recv(100).startswith(b"HTTP")
    except OSError:
        return False


def status_of_all() -> dict[str, object]:
    urls = [url for zone in CLUSTER["nodes"].values() for url in zone]
    return {"nodesStatus": [{"node": {"url": url}, "status": "up" if reaches(url) else "down"} for url in urls]}


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        pages = {
            "/health": {"status": "up"},
            "/artemis/api/status/cluster.json": status_of_all() if "cluster" in self.path else None,
            "/metrics": METRICS,
        }
        page = pages[self.path]
        body = (page if isinstance(page, str) else json.dumps(page)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as the base class has it
        print(format % args, flush=True)


if "crash" in CONFIG["node"]["id"]:
    sys.exit("told to crash")
ThreadingHTTPServer((CONFIG["node"]["host"], CONFIG["node"]["port"]), Pages).serve_forever()
