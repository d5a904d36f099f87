"""How this node is: what its beats say of it, and whether its reads go on without a master. The shell around
`reasons.py` and `quiet.py`; the relay's.
"""

import asyncio
import logging

from api.proxies import Trust
from app.config.settings import Config
from app.filestore import writable
from cluster.peers import masters
from cluster.peers.interlink import Interlink, now_s
from cluster.peers.quiet import Quiet
from cluster.relay.reasons import Facts, Reasons
from cluster.relay.relay import Relay
from cluster.shm.page import Page
from db.model.board import boottime_ns, fence_open
from db.pool.hosts import Hosts
from db.pool.pool import Database
from db.pool.prober import Prober
from db.sql.outbox import Follower

log = logging.getLogger(__name__)

LOOK_S = 0.25
FILES_S = 10.0
_NEVER = float("-inf")
_LONG_MS = 1 << 40


class Condition:
    """`run` until cancelled. interlink: None while this node takes no part in a cluster."""

    interlink: Interlink | None = None
    hosts: Hosts | None = None
    schema_newer = 0
    """The version of the schema if this program does not know it."""

    def __init__(
        self, config: Config, page: Page, database: Database, prober: Prober, follower: Follower, relay: Relay
    ) -> None:
        self.config = config
        self.reasons: list[str] = []
        self.config_pending = False
        """The configuration names another master than the one that is used."""
        self._page = page
        self._database = database
        self._prober = prober
        self._follower = follower
        self._relay = relay
        self._quiet = Quiet()
        self._doubted: tuple[str, ...] = ()
        self._waits_for = page.waits_for()
        self._found = Reasons()
        self._trust = Trust(lambda: self.config)
        self._files_good = True
        self._files_at = _NEVER

    @property
    def has_master(self) -> bool:
        """Whether the master answered the last probe."""
        return self._prober.master is not None and not self._page.master_lost()

    @property
    def master_silent_ms(self) -> int:
        """How long ago the master answered last."""
        return min(_LONG_MS, (boottime_ns() - self._prober.heard_ns) // 1_000_000)

    def wait_for(self, what: str) -> None:
        """This is what the node waits for before it takes traffic; '': nothing."""
        self._waits_for = what
        self._page.set_waits_for(what)

    async def run(self) -> None:
        """Look four times a second until cancelled."""
        while True:
            now = now_s()
            self._look_at_master(now)
            if now - self._files_at >= FILES_S:
                self._files_at = now
                self._files_good = await asyncio.to_thread(writable, self.config.file_settings)
            waits = [f"waits_for ({self._waits_for[:200]})"] if self._waits_for else []
            self.reasons = self._found.find(self._facts(), now) + waits
            await asyncio.sleep(LOOK_S)

    def _look_at_master(self, now: float) -> None:
        """While no member can commit anything, what is kept stays true: as good as a poll that found nothing."""
        link = self.interlink
        heard_at = self._prober.heard_ns / 1e9
        self._page.set_master_elsewhere(link is not None and masters.is_elsewhere(link.mesh, heard_at, now))
        quiet = self._quiet.look(
            now,
            lost=not self.has_master and self._follower.polls > 0 and self._follower.trusted,
            polled_at=self._follower.applied_ns / 1e9,
            peers=[] if link is None else link.witnesses(),
            stranger_at=_NEVER if link is None else link.stranger_at,
            most_s=self.config.cluster_settings.degraded_read_max_s,
        )
        if self._needs_interlink() and (link is None or not link.mesh.joined):
            quiet = None
        if quiet is not None:
            self._page.set_polled(max(self._page.polled_ns(), int(quiet * 1e9)))
        if (quiet is not None) != self._page.degraded:
            self._page.set_degraded(quiet is not None)
            log.warning("reads go on without a master" if quiet is not None else "reads need a master again")
        if self._quiet.doubted != self._doubted:
            self._doubted = self._quiet.doubted
            if self._doubted:
                log.warning(
                    "these nodes may be writing where nobody hears them, so nothing is read without a master:"
                    " start them, or, if they will not come back, say mmnode cluster remove NODE",
                    extra={"nodes": " ".join(self._doubted)},
                )

    def _forgotten_proxy(self) -> str:
        address = self._page.stranger()
        return "" if self._trust.trusts(address) else address  # it has been named since

    def _is_unsynchronous(self) -> bool:
        """Whether commits are to wait for a copy of the master and do not."""
        master = self._prober.master
        needed = self._database.settings.require_synchronous
        return master is not None and (master.synchronous is False or (needed and not master.synchronous))

    def _needs_interlink(self) -> bool:
        return self.config.cluster_settings.enable

    def _facts(self) -> Facts:
        link = self.interlink
        return Facts(
            master_lost=not self.has_master,
            degraded=self._page.degraded,
            outbox_stale=not fence_open(self._page.polled_ns(), boottime_ns()),
            unsynchronous=self._is_unsynchronous(),
            hosts_lost=", ".join(self.hosts.lost) if self.hosts is not None else "",
            indistinct=", ".join(self._prober.indistinct()),
            schema_newer=self.schema_newer,
            replicas_out=not self._database.replicas_fit(),
            isolated=link is not None and link.is_isolated(),
            files_bad=not self._files_good,
            workers_missing=self._relay.is_a_worker_missing(),
            crashing=self._page.crashing,
            stranger=self._forgotten_proxy(),
            config_pending=self.config_pending,
            repairs=0 if link is None else link.repairs,
            drops=self._relay.dropped + (0 if link is None else link.dropped),
            late_turns=self._relay.late_turns,
            restarts=self._relay.restarts,
        )
