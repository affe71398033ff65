"""Logs of several nodes as one: the ends of the files, and what is appended to them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import trio

POLL_S = 0.2


def tail(files: Mapping[str, Path], lines: int) -> list[str]:
    """The last lines of each log, every line with the name of its node when there are several."""
    width = max(map(len, files), default=0)
    return [
        _labelled(name, line, width, len(files))
        for name, file in files.items()
        if file.exists()
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    ]


async def follow(files: Mapping[str, Path], write: Callable[[str], object]) -> None:
    """Write lines as they are appended, until cancelled. A log that starts anew is read from its start."""
    width = max(map(len, files), default=0)
    positions = {name: _size(file) for name, file in files.items()}
    rests = dict.fromkeys(files, b"")
    while True:
        for name, file in files.items():
            size = _size(file)
            if size < positions[name]:
                positions[name], rests[name] = 0, b""
            if size > positions[name]:
                with file.open("rb") as opened:
                    opened.seek(positions[name])
                    appended = opened.read(size - positions[name])
                positions[name] = size
                *complete, rests[name] = (rests[name] + appended).split(b"\n")
                for line in complete:
                    write(_labelled(name, line.decode(errors="replace"), width, len(files)))
        await trio.sleep(POLL_S)


def _labelled(name: str, line: str, width: int, count: int) -> str:
    return line if count == 1 else f"{name:<{width}} | {line}"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
