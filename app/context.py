"""Everything a verb needs, built once per process and passed as `ctx`."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from app.activity import Activity, Touched, Typing
from app.busy import Busy
from app.caches import Caches
from app.config.client import ClientConfig, Told
from app.config.settings import Config
from app.counting import Metrics
from app.emergency import Administrators
from app.events.kinds import Stored
from app.initials import Pictures
from app.journal import Journal
from app.passwords import Hasher
from app.ports import Blobs, Bus, NodeHealth, Operator, Outbound
from app.workpool import WorkPool
from db.pool.pool import Database
from db.writer.batch import PostWriter


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass
class Context:
    """What verbs work with. `config` and `client_config` are replaced, never changed, by a reload."""

    config: Config
    db: Database
    posts: PostWriter
    bus: Bus
    hasher: Hasher
    health: NodeHealth
    operator: Operator
    outbound: Outbound
    blobs: Blobs
    now_ms: Callable[[], int] = wall_clock_ms
    node_id: str = ""
    hostname: str = ""
    web_app: Blobs | None = None
    """The files of ServiceSettings.WebAppDirectory; None: there are none."""
    metrics: Metrics = field(default_factory=Metrics)
    work: WorkPool = field(default_factory=WorkPool)
    activity: Activity = field(default_factory=Activity)
    typing: Typing = field(default_factory=Typing)
    touched: Touched = field(default_factory=Touched)
    stored: Stored = field(default_factory=Stored)
    pictures: Pictures = field(default_factory=Pictures)
    client_config: ClientConfig = field(init=False)
    caches: Caches = field(init=False)
    busy: Busy = field(init=False)
    audit: Journal = field(init=False)
    administrators: Administrators = field(init=False)

    def __post_init__(self) -> None:
        self.client_config = ClientConfig(self.config)
        self.caches = Caches(self.db)
        self.busy = Busy(self.db, self.now_ms)
        self.administrators = Administrators(self.db)
        self.audit = Journal(self.db, self.node_id)

    def reload(self, config: Config) -> None:
        """Use another configuration from now on."""
        self.config = config
        self.client_config = ClientConfig(config, self.client_config.peers)

    def hear(self, peers: Told | None) -> None:
        """What other nodes tell their clients."""
        if peers != self.client_config.peers:
            self.client_config = ClientConfig(self.config, peers)
