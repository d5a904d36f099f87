"""Who belongs to the cluster, where, and with which key; sans-I/O.

    rows of cluster_nodes ─┐                          ┌─> members, the keys that the gate admits
    InterNodeUrls ─────────┼─> Roster.judge(…) ─> View┼─> removed, and by what; refused, and why
    lists in heartbeats ───┘                          └─> entries of InterNodeUrls that nobody claims

A registration counts when its MAC is right, and only as long as no higher incarnation of the same id was seen: a row
that goes back is one that somebody put there again. What was once seen to be right stays in force until it is replaced,
taken back or removed, so that a spoiled row neither admits anybody nor makes others forget a node that may be writing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from cluster.peers.keyring import KeyRing, Registration, is_key
from db.model.entities import ClusterNode


class Removal(Enum):
    """By what a node stopped being a member."""

    LEFT = "it left"
    REMOVED = "it was removed by an operator"
    NOT_LISTED = "no live member lists it in InterNodeUrls"


class Refusal(Enum):
    """Why a row is not believed."""

    BAD_MAC = "its MAC is wrong: the node has another ClusterSettings.Secret, or somebody changed the row"
    BAD_KEY = "its public key is none"
    REPLAYED = "a higher incarnation was seen before: somebody put an old row back, or the database went back"


@dataclass(frozen=True)
class Member:
    """A node of the cluster. address: `host:port` of its reliable lane. public_key: Z85."""

    node_id: str
    incarnation: int
    public_key: str
    address: str
    hostname: str
    version: str


@dataclass(frozen=True)
class View:
    """The cluster as the rows have it. All by node id.

    registered_ids: all that ever registered, also those that left; not those that an operator took out, by command or
    by the lists. registered: this node's own row is the one it wrote; if not, it is to enrol again, above the
    incarnation it has. superseded: a later start, of another process, holds this node's id: this one must stop.
    unknown: entries of this node's InterNodeUrls that no member claims. news: what to tell operators, each once.
    """

    members: Mapping[str, Member] = field(default_factory=dict)
    removed: Mapping[str, Removal] = field(default_factory=dict)
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    registered_ids: frozenset[str] = frozenset()
    unknown: Sequence[str] = ()
    registered: bool = False
    superseded: bool = False
    news: Sequence[tuple[str, Refusal]] = ()

    @property
    def keys(self) -> dict[str, str]:
        """The public keys to admit, with the node each belongs to."""
        return {member.public_key: node_id for node_id, member in self.members.items()}


class Roster:
    """Remembers what was right, what was highest, and what was said.

    incarnation: of this start of this node. public_key: of its process, whichever of its relays enrols.
    """

    def __init__(self, cluster_id: str, node_id: str, incarnation: int, keyring: KeyRing, public_key: str) -> None:
        self._cluster_id = cluster_id
        self._node_id = node_id
        self._public_key = public_key
        self.incarnation = incarnation
        self._keyring = keyring
        self._good: dict[str, Member] = {}
        self._highest: dict[str, int] = {}
        self._said: set[tuple[str, int, str, Refusal]] = set()
        self._claims: dict[str, str] = {}
        self.view = View()

    def renew(self, keyring: KeyRing) -> None:
        """Another secret: rows are judged by it from now on."""
        self._keyring = keyring

    def claim(self, entry: str, node_id: str) -> None:
        """The node that answers at this entry of an InterNodeUrls said who it is."""
        self._claims[host_port(entry)] = node_id

    def judge(
        self, rows: Sequence[ClusterNode], urls: Sequence[str], lists: Mapping[str, Sequence[str]] | None = None
    ) -> View:
        """The cluster by these rows; also in `view` from now on.

        urls: this node's InterNodeUrls. lists: those of every member that is live, this node's own included; None as
        long as that is not known.
        """
        refused: dict[str, Refusal] = {}
        news: list[tuple[str, Refusal]] = []
        for row in rows:
            reason = self._believe(row)
            if reason is not None:
                refused[row.node_id] = reason
                said = (row.node_id, row.incarnation, row.mac, reason)
                if said not in self._said:
                    self._said.add(said)
                    news.append((row.node_id, reason))
        there = {row.node_id for row in rows}
        self._good = {node_id: member for node_id, member in self._good.items() if node_id in there}
        self._said = {said for said in self._said if said[0] in there}

        removed: dict[str, Removal] = {}
        for row in rows:
            if row.incarnation >= self._highest.get(row.node_id, 0) and (row.removed_at or row.left_at):
                removed[row.node_id] = Removal.REMOVED if row.removed_at else Removal.LEFT
        candidates = {node_id: member for node_id, member in self._good.items() if node_id not in removed}
        known = {one: member for one, member in self._good.items() if removed.get(one) is not Removal.REMOVED}
        not_listed = self._not_listed(candidates, known, lists)
        taken_out = {*not_listed, *(one for one, why in removed.items() if why is Removal.REMOVED)}
        for node_id in not_listed & candidates.keys():
            removed[node_id] = Removal.NOT_LISTED
        members = {node_id: member for node_id, member in candidates.items() if node_id not in removed}
        own = next((row for row in rows if row.node_id == self._node_id and row.node_id not in refused), None)
        self.view = View(
            members=members,
            removed=removed,
            refused=refused,
            registered_ids=frozenset(there - taken_out),
            unknown=[entry for entry in urls if self._owner(host_port(entry), candidates) is None],
            registered=own is not None and own.incarnation == self.incarnation,
            superseded=own is not None
            and own.incarnation > self.incarnation
            and own.public_key != self._public_key,  # with ours: we wrote it, and did not hear that it was committed
            news=news,
        )
        return self.view

    def _believe(self, row: ClusterNode) -> Refusal | None:
        """Take a row in when it is right; else why not."""
        said = Registration(self._cluster_id, row.node_id, row.incarnation, row.public_key, row.address)
        if not self._keyring.is_good(said, row.mac):
            return Refusal.BAD_MAC
        if not is_key(row.public_key):
            return Refusal.BAD_KEY
        if row.incarnation < self._highest.get(row.node_id, 0):
            return Refusal.REPLAYED
        self._highest[row.node_id] = row.incarnation
        self._good[row.node_id] = Member(
            row.node_id, row.incarnation, row.public_key, row.address, row.hostname, row.version
        )
        return None

    def _not_listed(
        self,
        candidates: Mapping[str, Member],
        known: Mapping[str, Member],
        lists: Mapping[str, Sequence[str]] | None,
    ) -> set[str]:
        """Those of `known` whom every live member has taken off its list. candidates: whose lists count.

        A list that is empty, or that holds an entry of which nobody knows whose it is, may mean anybody. Where a node
        lists itself, that says nothing, if it lists others with it and these do not: so it does not matter whether one
        that was taken off still runs, and is heard.
        """
        listed: dict[str, set[str]] = {}
        if not lists or self._node_id not in lists:
            return set()
        for node_id, entries in lists.items():
            if node_id not in candidates:
                continue
            owners = {self._owner(host_port(entry), known) for entry in entries}
            if not owners or None in owners:
                return set()
            listed[node_id] = {owner for owner in owners if owner is not None}
        return {one for one in known if not _belongs(one, listed)}

    def _owner(self, entry: str, candidates: Mapping[str, Member]) -> str | None:
        """Whose entry it is: by what answered there, by its address, by its host name."""
        if entry in self._claims:
            return self._claims[entry]
        for node_id, member in candidates.items():
            port = member.address.rpartition(":")[2]
            if entry in (member.address.lower(), f"{member.hostname.lower()}:{port}"):
                return node_id
        return None


def _belongs(node_id: str, listed: Mapping[str, set[str]]) -> bool:
    """Whether a live member lists the node: another one, or, if it is alone on its own list, itself."""
    if any(node_id in owners for by, owners in listed.items() if by != node_id):
        return True
    own = listed.get(node_id, set())
    return node_id in own and not any(one in listed for one in own - {node_id})


def host_port(entry: str) -> str:
    """An entry of InterNodeUrls without its scheme and trailing slash, in lower case: `host:port`."""
    return entry.lower().removeprefix("http://").removeprefix("https://").removeprefix("tcp://").rstrip("/")
