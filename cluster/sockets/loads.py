"""Evenly loaded api workers: what each says of its load, and the way of a connection from one to another."""

from collections.abc import Sequence
from pathlib import Path

from cluster.shm.page import Page
from cluster.sockets.handover import Link
from cluster.sockets.offers import offer


class PageLoads:
    """Fulfils `app.ports.Loads` by the node page."""

    def __init__(self, page: Page, worker: int, workers: int) -> None:
        self._page = page
        self._worker = worker
        self._workers = workers

    def read(self) -> list[int | None]:
        """See `app.ports.Loads`."""
        return [self._page.load(worker) for worker in range(self._workers)]

    def write(self, connections: int) -> None:
        """See `app.ports.Loads`."""
        self._page.set_load(self._worker, connections)


class PeerSender:
    """Fulfils `app.ports.Peers` by handover."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._links = [Link(path) for path in paths]

    async def offer(self, fd: int, received: bytes, worker: int) -> bool:
        """See `app.ports.Peers`."""
        return await offer(fd, received, [self._links[worker]])

    def close(self) -> None:
        """Close the connections; offers under way fail."""
        for link in self._links:
            link.close()
