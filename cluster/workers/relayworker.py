"""The relay's process: schema, prober, outbox, post office, and the node's part in the cluster."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any, assert_never

import msgspec

from app import jobs, logins
from app.config.client import ClientConfig
from app.config.settings import Config
from app.jobs import Duty
from app.journal import Entry, Journal, details
from app.version import VERSION
from cluster.commands import of_node, of_worker
from cluster.commands.of_worker import Body, OfRelay
from cluster.peers import advertise, colours, digest
from cluster.peers.bodies import Beat
from cluster.peers.interlink import UPGRADING, Interlink, Place, now_s
from cluster.peers.keyring import KeyRing
from cluster.peers.telling import Telling
from cluster.peers.zap import KeyPair
from cluster.relay import lease
from cluster.relay.condition import Condition
from cluster.relay.lease import LeaseRunner
from cluster.relay.news import News
from cluster.relay.relay import Relay
from cluster.shm.page import Page
from cluster.workers import measured
from cluster.workers.start import Start
from cluster.workers.worker import Fatal, Worker
from db.model.board import Term
from db.model.errors import DatabaseError, Unavailable
from db.model.ids import new_id
from db.pool import failover, migrate, systems
from db.pool.hosts import Hosts
from db.pool.place import Where, place_of, where
from db.pool.pool import Database
from db.pool.prober import Prober
from db.sql import nodes
from db.sql.leases import Fence
from db.sql.outbox import Follower

log = logging.getLogger(__name__)

_RETRY_S = 0.5
FOLLOW_S = 0.5
"""For so long a node looks for the master where its configuration says, before it goes where its peers are."""
_NEWS_S = 0.5
_SCHEMA_S = 10.0
_A_POLL = "a poll of the outbox, for what was committed before the others heard it"


class RelayWorker(Worker):
    """The relay, which also brings the schema up to date."""

    relay: Relay | None = None
    prober: Prober | None = None
    follower: Follower | None = None
    hosts: Hosts | None = None
    interlink: Interlink | None = None
    leader: LeaseRunner | None = None
    journal: Journal
    page: Page
    condition: Condition
    schema_version = 0
    secrets: tuple[str, str] = ("", "")
    """Those by which the interlink works."""
    tells = ""
    """What this node would tell clients if it were alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._telling = Telling()

    async def serve(self, ready: Callable[[], None]) -> None:
        """See `Worker`."""
        await migrate.run(self.settings)
        self.schema_version = await migrate.version(self.settings)
        self.page = self.start.page(self.name)
        self.page.set_joining(self.start.config.cluster_settings.enable)
        self.page.set_waits_for("the database, to register there" if self.start.config.cluster_settings.enable else "")
        database = await self.open_database(self.page)
        if await systems.find(database, "cluster_id") is None:  # a write may have to wait for what the prober finds out
            await systems.claim(database, "cluster_id", new_id())
        self.prober = Prober(database, self.page)
        self.relay = relay = Relay(
            self.start.paths.bus,
            self.page,
            database,
            node_id=self.start.paths.node_id,
            incarnation=self.start.incarnation,
            away_after_s=self.live.config.team_settings.user_status_away_timeout,
            workers=[f"api{one}" for one in range(self.start.workers)]
            + [f"ws{one}" for one in range(self.start.ws_workers)],
            operate=self._operate_for_a_peer,
            poll_now=lambda: follower.poll_now(),
            distrust=lambda: follower.distrust(),
        )
        self.follower = follower = Follower(database, relay.note_changes)
        condition = Condition(self.live.config, self.page, database, self.prober, follower, relay)
        self.condition = condition
        self.live.on_reload(self._use)
        self.live.watch("TeamSettings.UserStatusAwayTimeout", relay.set_away_after)
        holder = f"{self.start.paths.node_id}/{os.getpid()}/{self.start.incarnation}"
        self.journal = Journal(database, self.start.paths.node_id)
        self.leader = LeaseRunner(
            database,
            lease.JOBS,
            holder,
            lambda fence: jobs.run_for_ever(self._duty(database, relay, fence)),
        )
        self.hosts = Hosts(database)
        condition.hosts = self.hosts
        work = [self.prober.run(), self.follower.run(), self.relay.serve(), self.leader.run(), condition.run()]
        work += [self.hosts.run(), self._watch_schema(database)]
        if self.start.config.cluster_settings.enable:
            work += [self._take_part(database), self._follow_for_ever()]
        ready()
        await self._run_until_stopped(work)
        superseded = self.interlink is not None and self.interlink.superseded
        if self.interlink is not None:
            await self.interlink.close(leave=not superseded)
        await self.journal.close()
        await database.close()
        if superseded:
            raise Fatal("another process runs as this node")

    async def _watch_schema(self, database: Database) -> None:
        """Others may bring the schema to a later version while this node runs. Raises Fatal as `look_at_schema`."""
        while True:
            with contextlib.suppress(DatabaseError):
                self.condition.schema_newer = await self.look_at_schema(database)
            await asyncio.sleep(_SCHEMA_S)

    async def _run_until_stopped(self, work: list[Coroutine[Any, Any, None]]) -> None:
        """Until told to stop, or one of them ends: then its error, if it has one, is raised."""
        tasks = [asyncio.create_task(one) for one in work]
        stopping = asyncio.create_task(self.stop_asked.wait())
        await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in tasks:
            if task.done():
                await task
            task.cancel()
        await asyncio.wait(tasks)

    # The cluster ---------------------------------------------------------------------------------------------------

    async def _take_part(self, database: Database) -> None:
        """Enrol as soon as the database lets us, then take part for ever."""
        assert self.relay is not None
        settings = self.start.config.cluster_settings
        place = Place(
            cluster_id=await systems.find(database, "cluster_id") or "",
            node_id=self.start.paths.node_id,
            listen=advertise.listen(self.start.config),
            advertise=advertise.address(self.start.config),
            hostname=settings.override_hostname or socket.gethostname(),
            version=VERSION,
            urls=settings.inter_node_urls,
        )
        self.secrets, keyring = self._secrets(), _keyring(self.live.config)
        interlink = Interlink(place, KeyPair(*self.start.keys), keyring, database, self.relay, self._renew)
        while True:
            try:
                await interlink.open(self._about(place))
                break
            except DatabaseError as error:
                log.warning("this node cannot enrol yet", extra={"reason": str(error).strip()})
                await asyncio.sleep(_RETRY_S)
        self.interlink = self.relay.interlink = self.condition.interlink = interlink
        for key in ("Secret", "SecretNext"):
            self.live.watch(f"ClusterSettings.{key}", self._renew_secret)
        await self.journal.record(Entry("clusterJoin", details=details(address=place.advertise, version=VERSION)))
        telling = asyncio.create_task(self._tell_news(interlink))
        try:
            await interlink.run()
        finally:
            telling.cancel()

    async def _tell_news(self, interlink: Interlink) -> None:
        """Each change of a node's state is one line of the log. Who was taken out hears no others: of itself only."""
        news, own = News(), self.start.paths.node_id
        while True:
            members = [one for one in self._members(interlink) if one["id"] == own or not interlink.removed]
            for line in news.look(members, asyncio.get_running_loop().time()):
                log.log(line.level, "a node is in another state", extra=dict(line.fields))
            await asyncio.sleep(_NEWS_S)

    async def _follow_for_ever(self) -> None:
        """Go where the peers are whose master is the present one, when our configuration leads to none or a former."""
        astray_s = 0.0
        while True:
            await asyncio.sleep(_RETRY_S / 2)
            place = self._elsewhere()
            astray_s = astray_s + _RETRY_S / 2 if place is not None else 0.0
            if place is None or astray_s < FOLLOW_S:
                continue
            answer = await self.operator.ask(of_node.Switch("follow", False, place.host, place.port, place.database))
            if not answer.get("ok"):
                log.warning("the master of the other nodes cannot be used", extra={"reason": answer.get("error", "")})
                await asyncio.sleep(_RETRY_S * 4)

    def _elsewhere(self) -> Where | None:
        """Where a peer has the present master, if we have none and look for it elsewhere."""
        page, link = self.page, self.interlink
        if link is None or (self.condition.has_master and page.met() == page.term()):
            return None
        for peer in link.mesh.peers.values():
            if peer.beat is None or not peer.beat.has_master or Term.of(*peer.beat.term) != page.term():
                continue
            place = Where.of(peer.beat.master)
            if place is not None and place != self._place():
                return place
        return None

    def _place(self) -> Where | None:
        return where(self.settings.driver, self.start.data_source)

    def _about(self, place: Place) -> Beat:
        host, _, _ = place.advertise.rpartition(":")
        beat = Beat(
            state="joining",
            version=VERSION,
            schema=self.schema_version,
            hostname=place.hostname,
            address=host.strip("[]"),
            url=f"http://{place.advertise}",
            urls=list(place.urls),
        )
        self._renew(beat)
        return beat

    def _renew(self, beat: Beat) -> None:
        """What changes while the node runs."""
        config = self._in_use()
        beat.sections = dict(digest.digests(config, _keyring(config).digest_key))
        beat.config_hash = digest.config_hash(config)
        beat.tells = self.tells
        term = self.page.term()
        beat.term = (term.number, term.timeline)
        beat.reasons = self.condition.reasons
        beat.has_master = self.condition.has_master
        here = self._place()
        beat.master = here.told() if here is not None and self.page.met() == term else {}
        beat.master_ms = self.condition.master_silent_ms
        if self.interlink is not None:
            link = self.interlink
            ready = link.mesh.may_serve(self.page.polled_ns() / 1e9)
            joining = link.removed or link.outsider or not ready
            self.condition.wait_for((link.waits_for() or _A_POLL) if joining else "")
            self.page.set_joining(joining)
            if link.mesh.joined:
                self.page.set_told(str(self._telling.look(link.mesh.tells(), now_s()) or ""))

    def _in_use(self) -> Config:
        """The configuration, with the servers that are used: what waits for a recycle is `config_pending`."""
        sql = self.live.config.sql_settings
        if not sql.data_source:
            return self.live.config
        used = {"data_source": self.start.data_source, "data_source_replicas": list(self.start.replicas)}
        return msgspec.structs.replace(self.live.config, sql_settings=msgspec.structs.replace(sql, **used))

    async def _operate_for_a_peer(self, command: str, arguments: Body) -> Body:
        """What an administrator asked of all nodes, by one of them; or a step of a change of the master."""
        try:
            asked = of_node.read(command, arguments, "peer")
        except of_node.BadCommand as error:
            return {"ok": False, "error": str(error)}
        return await self.operator.ask(asked)

    async def operate(self, command: OfRelay) -> Body:
        """See `Worker`."""
        assert self.database is not None
        match command:
            case of_worker.Audit():
                await self.journal.record(Entry(command.action, command.result, details=command.details))
                return {}
            case of_worker.Unlock():
                found = await logins.unlock_by_name(self.database, self.journal, command.user)
                return {"ok": True} if found else {"ok": False, "error": "there is no such user"}
            case of_worker.Survey():
                return {"later": await failover.is_later(self.database, command.to)}
        if self.interlink is None:
            raise Unavailable("this node has not joined the cluster")
        match command:
            case of_worker.Cluster():
                return {"members": self._members(self.interlink)}
            case of_worker.Everywhere(what=what):
                asked = self.interlink.requests.ask_all(what.name(), what.arguments(), command.answer_s)
                return {"nodes": await asked}
            case of_worker.Remove():
                removed = await nodes.remove(self.database, command.node)
                return {"ok": removed} if removed else {"ok": False, "error": "there is no such node"}
            case of_worker.Upgrade():
                await systems.put(self.database, UPGRADING, "1" if command.begin else "0")
                return {}
            case _:
                assert_never(command)

    def _duty(self, database: Database, relay: Relay, fence: Fence) -> Duty:
        """What a job has while this node does those of the cluster: the configuration is that of its moment."""
        return Duty(database, relay, fence, lambda: self.live.config)

    def _members(self, interlink: Interlink) -> list[dict[str, Any]]:
        patient = self.live.config.cluster_settings.peer_timeout_policy == "patient"
        return colours.status(interlink.members(), patient=patient, upgrading=interlink.upgrading)

    # What all workers do -------------------------------------------------------------------------------------------

    async def recycle(self, database: Database, start: Start) -> None:
        """See `Worker`."""
        await super().recycle(database, start)
        if self.prober is not None:
            self.prober.restart()
            self._look_at_config()

    def _look_at_config(self) -> None:
        """Whether the configuration names another master than the one that is used."""
        sql = self.live.config.sql_settings
        named = where(sql.driver_name, sql.data_source) if sql.data_source else None
        self.condition.config_pending = named is not None and named != self._place()

    def database_status(self) -> Body:
        """See `Worker`."""
        parts = [part.status() for part in (self.prober, self.follower, self.hosts) if part is not None]
        schema = {"schema_version": self.schema_version, "schema_needed": migrate.newest(self.settings.driver)}
        return super().database_status() | schema | {key: value for part in parts for key, value in part.items()}

    def _use(self, config: Config) -> None:
        self.tells = str(ClientConfig(config).own)
        self.condition.config = config
        self._look_at_config()

    def _secrets(self) -> tuple[str, str]:
        cluster = self.live.config.cluster_settings
        return cluster.secret, cluster.secret_next

    def _renew_secret(self, _changed: str) -> None:
        """Once, also when both change."""
        if self.interlink is not None and self._secrets() != self.secrets:
            self.secrets = self._secrets()
            self.interlink.renew_secret(_keyring(self.live.config))

    def measure(self) -> None:
        """See `Worker`."""
        super().measure()
        if self.relay is None or self.prober is None or self.follower is None:
            return
        measured.relay(self.metrics, self.relay, self.condition, self.leader)
        places = [place_of(self.settings.driver, dsn) for dsn in self.start.replicas]
        measured.servers(self.metrics, self.page.term(), self.follower, self.prober, places)
        if self.interlink is not None:
            measured.cluster(self.metrics, self.interlink)

    def status(self) -> Body:
        """See `Worker`."""
        if self.relay is None:
            return {}
        figures = {"relayed": self.relay.relayed, "dropped": self.relay.dropped, "reasons": self.condition.reasons}
        return figures | (self.leader.status() if self.leader is not None else {})


def _keyring(config: Config) -> KeyRing:
    return KeyRing(config.cluster_settings.secret, config.cluster_settings.secret_next)
