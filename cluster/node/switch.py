"""A change of the master is the cluster's act: whichever node is asked first leads it, the others take part.

    hold      all nodes: nothing is written or acknowledged any more; what was acknowledged last
    hand over the leader: the old master closed, by whoever reaches it; the new one has all of it, is promoted
    follow    the leader, then the others: verify, go over, by credentials of their own
    release   writes go on

Only the place of the new master goes from node to node. Who takes part and hears nothing more lets go by itself; then
it follows as everybody does whose connection string leads to no master while a peer has one (`RelayWorker`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from app.config.settings import Config, SqlSettings
from cluster.commands import of_worker
from cluster.commands.of_node import Switch
from cluster.commands.of_worker import ALL
from cluster.node import followed
from cluster.node.servers import Answer, DatabaseServers
from db.pool.place import Where, moved, where

log = logging.getLogger(__name__)

HELD_S = 40.0
"""Who takes part lets go after so long without a word: longer than the leader may take."""
HEADS = 5_000
"""Channels written to last, of which a node tells."""
_STEP_S, _FOLLOW_S = 3.0, 20.0
AskPeers = Callable[[Switch, float], Awaitable[dict[str, dict[str, Any]]]]


class MasterSwitch:
    """One node's part. ask_peers: does a step on every other node; a result of each by its id, {} without others.

    learn: (driver, connection string): what in it is secret.
    """

    def __init__(self, servers: DatabaseServers, ask_peers: AskPeers, learn: Callable[[str, str], None]) -> None:
        self._servers = servers
        self._ask_peers = ask_peers
        self._learn = learn
        self._idle = asyncio.Event()
        self._idle.set()
        self._timer: asyncio.TimerHandle | None = None

    # Who leads -----------------------------------------------------------------------------------------------------

    async def settled(self) -> None:
        """Wait while another node changes the master."""
        await self._idle.wait()

    async def lead(self, config: Config, wanted: SqlSettings, *, force: bool, promote: bool, store: bool) -> Answer:
        """Make the DataSource of these settings the master of all nodes.

        promote, force: see `db.pool.failover.hand_over`. store: each node writes it into its configuration. The answer
        has `nodes`, a result for each other node.
        """
        to = where(wanted.driver_name, wanted.data_source)
        if to is None:
            return {"ok": False, "error": "the connection string of the new master cannot be read"}
        try:
            peers = await self._ask_peers(Switch("hold"), _STEP_S)
            own = await self.hold()
            silent = sorted(one for one, answer in peers.items() if answer["result"] not in ("ok", "down"))
            if silent and not force:
                return {"ok": False, "error": f"these nodes do not say what they acknowledged: {', '.join(silent)}"}
            heads = unpacked([str(answer.get("heads", "")) for answer in (own, *peers.values())])
            answer = await self._hand_over(config, wanted, heads, force=force, promote=promote)
            if not answer["ok"]:
                return answer
            answer = await self._servers.go_over(config, wanted)
            if not answer["ok"]:
                return answer
            followed = await self._ask_peers(Switch("follow", store, to.host, to.port, to.database), _FOLLOW_S)
            log.warning("this node has changed the master of all", extra={"database": self._servers.places()["master"]})
            return answer | ({"nodes": followed} if followed else {})
        finally:
            await self.release()
            await self._ask_peers(Switch("release"), _STEP_S)

    async def _hand_over(
        self, config: Config, wanted: SqlSettings, heads: Mapping[str, int], *, force: bool, promote: bool
    ) -> Answer:
        answer = await self._servers.hand_over(config, wanted.data_source, heads, force=force, promote=promote)
        if answer["ok"] or force:
            return answer
        closed = await self._ask_peers(Switch("close"), _STEP_S) if answer.get("unreachable") else {}
        if not any(one.get("ok") for one in closed.values()):
            return answer
        return await self._servers.hand_over(
            config, wanted.data_source, heads, force=force, promote=promote, closed=True
        )

    # Who takes part ------------------------------------------------------------------------------------------------

    async def take(self, asked: Switch, config: Config) -> Answer:
        """What the leader asks of this node."""
        match asked.step:
            case "hold":
                self._idle.clear()
                self._let_go_in(HELD_S)
                return await self.hold()
            case "close":
                return await self._servers.close_master()
            case "follow":
                place = {"host": asked.host, "port": asked.port, "database": asked.database}
                return await self._follow(Where.of(place), config)
            case "release":
                await self._let_go()
                return {"ok": True}

    async def hold(self) -> Answer:
        """Nothing is written or acknowledged from here on; the newest numbers that were acknowledged before."""
        await self._servers.ask(ALL, of_worker.Hold())
        heads: dict[str, int] = {}
        answers = await self._servers.ask(of_worker.Heads.roles, of_worker.Heads())
        for answer in answers.values():
            for channel_id, seq in dict(answer.get("heads") or {}).items():  # type: ignore[call-overload]
                heads[channel_id] = max(seq, heads.get(channel_id, 0))
        return {"ok": all(answer.get("ok") for answer in answers.values()), "heads": packed(heads)}

    async def release(self) -> None:
        """Writes go on."""
        await self._servers.ask(ALL, of_worker.Release())

    def _let_go_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, lambda: loop.create_task(self._let_go()))

    async def _let_go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.release()
        self._idle.set()

    async def _follow(self, to: Where | None, config: Config) -> Answer:
        if to is None:
            return {"ok": False, "error": "the place of the master is none"}
        active = self._servers.active
        driver = active.driver_name
        named = config.sql_settings
        if where(driver, active.data_source) == to:
            return {"ok": True}
        pending = where(driver, named.data_source) != to
        try:
            source = moved(driver, active.data_source, to) if pending else named.data_source
        except ValueError as error:
            return {"ok": False, "error": str(error)}
        self._learn(driver, source)
        wanted = followed.using(named, source, to)
        answer = await self._servers.go_over(config, wanted)
        if answer["ok"] and pending:
            log.warning(
                "this node follows the other nodes to another master than its configuration names",
                extra={"database": self._servers.places()["master"]},
            )
        return answer | {"changed": answer["ok"]}


def packed(heads: Mapping[str, int]) -> str:
    """For a message: those written to last, `channel:number` by spaces."""
    return " ".join(f"{channel}:{seq}" for channel, seq in list(heads.items())[-HEADS:])


def unpacked(texts: list[str]) -> dict[str, int]:
    """The highest number of each channel in all of them."""
    heads: dict[str, int] = {}
    for pair in " ".join(texts).split():
        channel, _, seq = pair.rpartition(":")
        if channel and seq.isdigit():
            heads[channel] = max(int(seq), heads.get(channel, 0))
    return heads
