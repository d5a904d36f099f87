"""Which databases the node works with, and how it goes over to others while it runs.

A reload only reads the configuration; a recycle makes every worker go over to the data sources it names. The relay,
whose probes let replicas be read, goes last: so no worker reads a replica while another one does not yet raise floors.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

import msgspec

from app.config.settings import Config, SqlSettings
from cluster.commands import of_worker
from cluster.commands.of_worker import ALL, RELAY, SERVING
from cluster.node import followed
from db.pool.place import place_of

log = logging.getLogger(__name__)

Answer = dict[str, object]
AskWorkers = Callable[[Collection[str], of_worker.AnyCommand], Awaitable[dict[str, dict[str, object]]]]


class DatabaseServers:
    """embedded_dsn: of the node's own PostgreSQL, None when the database is outside. ask: some roles of workers.

    memory: a file, see `cluster/node/followed.py`.
    """

    def __init__(self, settings: SqlSettings, embedded_dsn: str | None, ask: AskWorkers, memory: Path) -> None:
        self._memory = memory
        self.active = followed.recall(memory, settings)
        """By what the connections in use were made."""
        self._embedded_dsn = embedded_dsn
        self.ask = ask
        self.one_at_a_time = asyncio.Lock()

    def sources(self, config: Config) -> of_worker.Sources:
        """The configuration with the data sources in use, for the start of a worker."""
        return self._sources_of(config, self.active)

    def _sources_of(self, config: Config, settings: SqlSettings) -> of_worker.Sources:
        return of_worker.Sources(config, self._embedded_dsn or settings.data_source, settings.data_source_replicas)

    def places(self) -> dict[str, object]:
        """Where the servers in use are, without secrets (the embedded one's connection string holds none)."""
        driver = self.active.driver_name
        return {
            "driver": driver,
            "embedded": self._embedded_dsn is not None,
            "master": self._embedded_dsn or place_of(driver, self.active.data_source),
            "replicas": [place_of(driver, dsn) for dsn in self.active.data_source_replicas],
        }

    async def status(self) -> Answer:
        """What the prober knows of each server, and how the workers use them."""
        answers = await self.ask(ALL, of_worker.Database())
        relay = answers.pop("relay", {})
        return {"ok": bool(relay.get("ok")), **self.places(), **relay, "workers": answers}

    def pending(self, wanted: SqlSettings) -> list[str]:
        """Keys of SqlSettings that a recycle would apply."""
        return [
            f"SqlSettings.{one.encode_name}"
            for one in msgspec.structs.fields(SqlSettings)
            if getattr(wanted, one.name) != getattr(self.active, one.name)
        ]

    @property
    def embedded(self) -> bool:
        """Whether the database is the node's own."""
        return self._embedded_dsn is not None

    async def is_later(self, config: Config) -> bool | str:
        """Whether the configuration names another master than the present one; a text: why nobody knows."""
        sql = config.sql_settings
        answers = await self.ask(RELAY, of_worker.Survey(sql.driver_name, sql.data_source))
        answer = answers.get("relay", {})
        return bool(answer.get("later")) if answer.get("ok") else str(answer.get("error", "the relay does not answer"))

    async def hand_over(
        self, config: Config, to: str, heads: Mapping[str, int], *, force: bool, promote: bool, closed: bool = False
    ) -> Answer:
        """See `db.pool.failover.hand_over`. `unreachable` in a refusal: another node may reach the old master."""
        driver = config.sql_settings.driver_name
        asked = of_worker.Failover(driver, to, dict(heads), force=force, promote=promote, closed=closed)
        answers = await self.ask(RELAY, asked)
        if _all_ok(answers):
            return {"ok": True}
        return _refused(answers) | {"unreachable": any(answer.get("unreachable") for answer in answers.values())}

    async def close_master(self) -> Answer:
        """Close the present master for writing."""
        return (await self.ask(RELAY, of_worker.Close())).get("relay", {"ok": False})

    def keep(self, named: SqlSettings) -> None:
        """The configuration names this: what is used instead is remembered for the next start."""
        followed.keep(self._memory, named, self.active)

    async def go_over(self, config: Config, wanted: SqlSettings) -> Answer:
        """Go over to these sources. Refused as a whole when the new master cannot be verified."""
        changed = msgspec.structs.replace(config, sql_settings=wanted)
        sources = self._sources_of(changed, wanted)
        answers = await self.ask(RELAY, of_worker.Verify(sources))
        if not _all_ok(answers):
            return _refused(answers)
        self.active = wanted  # a worker that starts from now on begins with it
        answers = await self.ask(SERVING, of_worker.Recycle(sources))
        if _all_ok(answers):
            answers |= await self.ask(RELAY, of_worker.Recycle(sources))
        if not _all_ok(answers):
            return _refused(answers) | {"workers": answers}
        self.keep(config.sql_settings)
        log.info("database connections recycled", extra={"database": self.places()["master"]})
        return {"ok": True, "database": self.places(), "workers": answers}


def _all_ok(answers: dict[str, dict[str, object]]) -> bool:
    return all(answer.get("ok") for answer in answers.values())


def _refused(answers: dict[str, dict[str, object]]) -> Answer:
    reasons = sorted({str(answer.get("error")) for answer in answers.values() if not answer.get("ok")})
    log.error("database connections are not recycled", extra={"reason": "; ".join(reasons)})
    return {"ok": False, "error": "; ".join(reasons)}
