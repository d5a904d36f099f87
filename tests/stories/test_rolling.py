"""Nodes of the version before and of this one are one cluster, and it is brought from one to the other and back under load.

A clone without history has no version before: there `make test` leaves this file out (tests/conftest.py says so at the
start of the run), and `make prove` fails by its name.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence

import pytest

from app.version import VERSION
from tests.plugins.resources import uses
from tests.rig import before
from tests.rig.cluster import Cluster
from tests.rig.follower import Follower
from tests.rig.lateness import within
from tests.rig.load import Load, assert_exactly_once
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import Rest
from tests.rig.scale import scale
from tests.rig.socket import Socket
from tests.rig.wait import until

NOW = ""
"""In PYTHONPATH: nothing stands before this checkout."""
Pairs = Sequence[tuple[int, int]]
"""Nodes of different versions: where something is done, and where it is looked for."""
LATE_S, STALE_S = 2.5, 2.0
CHANGES = ["posted", "post_edited", "reaction_added", "post_edited", "reaction_removed", "post_deleted", "user_removed"]


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the version before lies."""
    if not before.commit():
        pytest.fail(
            f"the version before ({before.COMMIT.name}) is not in this clone: git fetch --unshallow", pytrace=False
        )
    return str(before.write(tmp_path_factory.mktemp("before")))


@pytest.fixture(scope="module")
@uses("node", "namespaces")
def cluster(code: str) -> Iterator[Cluster]:
    """Three nodes of the version before, whose schema it made."""
    with PgCluster(1) as servers, Cluster(servers, environment={"PYTHONPATH": code}) as cluster:
        yield cluster


class Company:
    """A team whose people write and listen on every node."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.people = [new_user(cluster.nodes[0].url) for _ in range(4)]
        self.team = new_team(self.people[0], *self.people[1:])

    def tell_each_other(self, pairs: Pairs) -> None:
        """What is done on one node is heard on the other one, in its order, and read there at once."""
        for writes, hears in pairs:
            ann, bob = self.cluster.client(self.people[0], writes), self.cluster.client(self.people[1], hears)
            channel = str(new_channel(ann, self.team, bob, kind="P")["id"])
            with contextlib.closing(Socket.open(bob)) as ears:
                began = time.monotonic()
                self._change_all(ann, bob, channel)
                self._until_heard(ears, channel)
                assert within(LATE_S, since=began), (writes, hears)
                assert ears.faults == []
            assert bob.call("GET", f"/channels/{channel}/posts").status_code == 403

    @staticmethod
    def _change_all(ann: Rest, bob: Rest, channel: str) -> None:
        post = str(ann.write(channel, "first")["id"])
        ann.call("PUT", f"/posts/{post}/patch", {"message": "other"}).raise_for_status()
        ann.post("/reactions", {"user_id": ann.id, "post_id": post, "emoji_name": "ox"})
        ann.call("POST", f"/posts/{post}/pin").raise_for_status()
        wrote = time.monotonic()

        def is_known() -> bool:
            page = bob.get(f"/channels/{channel}/posts")["posts"][post]
            return (page["message"], page["is_pinned"], len(page["metadata"]["reactions"])) == ("other", True, 1)

        until(is_known, 10, "a page of the other node with all of it")
        assert within(STALE_S, since=wrote)
        ann.call("DELETE", f"/users/me/posts/{post}/reactions/ox").raise_for_status()
        ann.call("DELETE", f"/posts/{post}").raise_for_status()
        ann.call("DELETE", f"/channels/{channel}/members/{bob.id}").raise_for_status()

    @staticmethod
    def _until_heard(ears: Socket, channel: str) -> None:
        until(lambda: len(_of(ears, channel)) >= len(CHANGES), 10, f"{CHANGES}; heard: {_of(ears, channel)}")
        assert _of(ears, channel) == CHANGES

    def end_sessions(self, pairs: Pairs) -> None:
        """A session that ends on one node has ended on the other one."""
        for ends, knows in pairs:
            who = self.cluster.client(self.people[2], ends)
            there = Rest(self.cluster.nodes[knows].url).log_in(self.people[2].user["username"])
            assert there.get("/users/me")["id"] == who.id
            session = there.get("/users/me/sessions")
            mine = max(session, key=lambda one: int(one["create_at"]))
            who.post("/users/me/sessions/revoke", {"session_id": mine["id"]})
            began = time.monotonic()
            until(lambda: there.call("GET", "/users/me").status_code == 401, 10, "the end of a session")  # noqa: B023
            assert within(STALE_S, since=began)

    def command(self, place: int) -> None:
        """What this node asks of all is done by all."""
        for command in ("reload", "recycle"):
            answer = self.cluster.nodes[place].ask(command, cluster=True)
            assert answer["ok"], (command, answer)
        purged = self.cluster.client(self.cluster.admin, place).call("POST", "/caches/invalidate?cluster=true", {})
        assert purged.status_code == 200, purged.text


def _of(ears: Socket, channel: str) -> list[str]:
    return [
        one["event"]
        for one in ears.events
        if channel in (one["broadcast"]["channel_id"], one["data"].get("channel_id"))
    ]


def test_versions_serve_side_by_side_and_none_that_comes_or_goes_loses_anything(cluster: Cluster, code: str) -> None:
    company = Company(cluster)
    channels = [str(new_channel(company.people[0], company.team, *company.people[1:])["id"]) for _ in range(3)]
    followers = [
        Follower([cluster.client(who, at) for at in range(3)], place, channels)
        for place, who in enumerate(company.people)
    ]
    until(lambda: all(one.live.is_set() for one in followers), 20, "four sockets")
    writers = [(cluster.client(company.people[place], place), channels[place]) for place in range(3)]
    cluster.nodes[0].ask("upgrade", begin=True)
    versions = [before.VERSION] * 3
    try:
        with Load(writers, pause_s=0.05) as load:
            for place, path in ((0, NOW), (1, NOW), (1, code), (1, NOW), (2, NOW)):
                cluster.restart(place, PYTHONPATH=path)
                versions[place] = before.VERSION if path == code else VERSION
                load.expect_more(scale(20, 200), 60)
                until(lambda: _versions(cluster) == [versions] * 3, 20, f"{versions}, by every node")
                others = [other for other in range(3) if versions[other] != versions[place]]
                pairs = [pair for other in others for pair in ((place, other), (other, place))]
                company.tell_each_other(pairs)
                company.end_sessions(pairs)
                for asked in [place, *others][:2]:
                    company.command(asked)
        cluster.nodes[0].ask("upgrade", begin=False)
        cluster.until_green()
        acknowledged = {one.post_id for one in load.acknowledged}
        until(lambda: all(acknowledged <= one for one in map(_known, followers)), 30, "every post at every client")
    finally:
        for one in followers:
            one.close()
    assert [one.faults for one in followers] == [[]] * 4
    assert_exactly_once(lambda query, *_: cluster.sql(query), load)
    for channel_id in channels:
        rows = cluster.sql(f"SELECT id FROM posts WHERE channel_id = '{channel_id}' ORDER BY seq")
        order = [row[0] for row in rows]
        for number, one in enumerate(followers):
            places = [order.index(post_id) for post_id in one.posts[channel_id]]
            assert places == list(range(places[0], len(order))), (number, places)


def _versions(cluster: Cluster) -> list[list[str]]:
    members = [cluster.members(by) for by in range(3)]
    return [[str(one[place]["version"]) for place in range(3)] for one in members]


def _known(follower: Follower) -> set[str]:
    return {post for posts in follower.posts.values() for post in posts}
