"""Many keep-alive connections with one request each under way; the client does as little as possible."""

import asyncio
import time
from collections.abc import Callable


async def _one(host: str, port: int, make: Callable[[], bytes], until: float, counts: list[int]) -> None:
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 22)
    try:
        while time.monotonic() < until:
            writer.write(make())
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
            lower = head.lower()
            if status != 304:
                start = lower.index(b"content-length:") + 15
                await reader.readexactly(int(lower[start : lower.index(b"\r\n", start)]))
            counts[0 if status < 400 else 1] += 1
    finally:
        writer.close()


async def run(url: str, make: Callable[[], bytes], *, connections: int, seconds: float) -> tuple[int, int]:
    """Requests that succeeded and that failed. `make` gives the bytes of a request."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    counts = [0, 0]
    until = time.monotonic() + seconds
    await asyncio.gather(*(_one(host, int(port), make, until, counts) for _ in range(connections)))
    return counts[0], counts[1]
