"""Three nodes over one database, of either kind: one service for whoever writes and reads."""

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from tests.plugins.drivers import Driver, drivers
from tests.rig import backends
from tests.rig.at_once import AtOnce
from tests.rig.cluster import Cluster
from tests.rig.load import Load, assert_exactly_once
from tests.rig.mariadb import MariaCluster
from tests.rig.network import Loopback, Unavailable
from tests.rig.people import new_channel, new_member, new_team, new_user, town_square
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import PASSWORD, Rest, unique
from tests.rig.scale import scale
from tests.rig.socket import Socket
from tests.rig.wait import until

pytestmark = drivers("postgres", "mysql")


@pytest.fixture(scope="module")
def servers(driver: Driver) -> Iterator[PgCluster | MariaCluster]:
    """A master for this module's nodes."""
    with backends.servers(driver, 0) as servers:
        yield servers


@pytest.mark.node
@pytest.mark.namespaces
def test_of_three_that_start_at_once_on_an_empty_database_one_migrates(servers: PgCluster | MariaCluster) -> None:
    for _ in range(scale(1, 20)):
        with Cluster(servers, enable=False) as cluster:
            applied = [
                [line for line in node.log.splitlines() if "migration applied" in line] for node in cluster.nodes
            ]
            assert sorted(bool(lines) for lines in applied) == [False, False, True], applied
            names = [line.partition("migration=")[2] for lines in applied for line in lines]
            assert len(names) == len(set(names)) > 0
            stored = [name for (name,) in cluster.sql("SELECT name FROM schema_migrations ORDER BY name")]
            assert names == stored
            assert not any("Traceback" in node.log for node in cluster.nodes)


def test_who_logs_in_on_one_node_is_known_to_every_other_at_once(cluster: Cluster) -> None:
    for number in range(scale(15, 300)):
        ann = new_user(cluster.nodes[number % 3].url)
        for place in range(3):
            assert cluster.client(ann, place).get("/users/me")["id"] == ann.id


def test_what_is_posted_on_one_node_is_read_on_every_other_at_once(cluster: Cluster) -> None:
    ann = new_user(cluster.nodes[0].url)
    channel = new_channel(ann, new_team(ann))
    here = [cluster.client(ann, place) for place in range(3)]
    at_once = AtOnce(cluster)
    for number in range(scale(60, 1500)):
        post = here[number % 3].write(channel["id"], f"post {number}")
        for place in range(3):
            assert here[place].get(f"/posts/{post['id']}")["message"] == f"post {number}"
            at_once(
                lambda: here[place].get(f"/channels/{channel['id']}/posts?per_page=1")["order"] == [post["id"]],  # noqa: B023
                f"post {number} is the newest of its channel",
            )


def test_what_becomes_of_a_team_on_one_node_is_so_and_is_heard_on_every_other(cluster: Cluster) -> None:
    ann, bob, carl = (new_user(cluster.nodes[0].url) for _ in range(3))
    team = new_team(ann, bob)
    path, square = f"/teams/{team['id']}", town_square(ann, team)["id"]
    here = [cluster.client(ann, place) for place in range(3)]
    his = [cluster.client(bob, place) for place in range(3)]
    sockets = [Socket.open(one) for one in his]
    at_once, told = AtOnce(cluster), Counter[str]()

    def everywhere(what: str, condition: Callable[[Rest], bool], event: str) -> None:
        told[event] += 1
        for place in range(3):
            at_once(lambda: condition(his[place]), what)  # noqa: B023
            until(lambda: len(sockets[place].named(event)) == told[event], 2.5, f"{event} is heard")  # noqa: B023

    for number in range(3):
        here[number].call("PUT", f"{path}/patch", {"display_name": f"Team {number}"})
        everywhere("it is renamed", lambda who: who.get(path)["display_name"] == f"Team {number}", "update_team")  # noqa: B023
    here[1].call("PUT", f"{path}/privacy", {"privacy": "O"})
    everywhere("it is open", lambda who: bool(who.get(path)["allow_open_invite"]), "update_team")
    new = here[2].post(f"{path}/regenerate_invite_id", {})["invite_id"]
    everywhere("it has another invitation", lambda who: who.get(path)["invite_id"] == new, "update_team")
    here[0].post(f"{path}/members/batch", [{"team_id": team["id"], "user_id": carl.id}])
    for place in range(3):
        at_once(lambda: len(cluster.client(carl, place).get("/users/me/teams/members")) == 1, "carl is in it")  # noqa: B023
        at_once(lambda: his[place].get(f"{path}/stats")["total_member_count"] == 3, "who is counted")  # noqa: B023
    his[2].call("PUT", f"/users/me{path}/read")
    here[1].write(square, "not read yet")
    for place in range(3):
        at_once(lambda: his[place].get(f"/users/me{path}/unread")["msg_count"] == 1, "a post is not read")  # noqa: B023
        sockets[place].expect_post("not read yet", 2.5)
    his[0].call("PUT", f"/users/me{path}/read")
    for place in range(3):
        at_once(lambda: his[place].get("/users/me/teams/unread")[0]["msg_count"] == 0, "all is read")  # noqa: B023
    here[1].call("DELETE", path)
    everywhere("it is archived", lambda who: who.get("/users/me/teams") == [], "delete_team")
    here[2].post(f"{path}/restore", {})
    everywhere("it is back", lambda who: len(who.get("/users/me/teams")) == 1, "restore_team")
    for socket in sockets:
        socket.close()


def test_what_people_are_on_one_node_is_read_and_heard_on_every_other_at_once(cluster: Cluster) -> None:
    """Profiles, pictures, custom statuses, passwords; and what ends by itself, which one of the nodes sees to."""
    ann, bob = (new_user(cluster.nodes[0].url, name) for name in ("ann", "bob"))
    here, there = cluster.client(ann, 0), [cluster.client(bob, place) for place in (1, 2)]
    own = [cluster.client(Rest(cluster.nodes[place].url).log_in(ann.user["username"]), place) for place in (1, 2)]
    sockets = [Socket.open(one) for one in there]
    at_once = AtOnce(cluster)

    def everywhere(what: Callable[[Rest], object], wanted: object, why: str) -> None:
        for one in there:
            at_once(lambda: what(one) == wanted, why)  # noqa: B023

    for number in range(scale(5, 100)):
        nickname = f"nick{number}"
        assert here.call("PUT", "/users/me/patch", {"nickname": nickname}).status_code == 200
        everywhere(lambda one: one.get(f"/users/{ann.id}")["nickname"], nickname, "a patch")
        for socket in sockets:
            until(lambda: nickname in json.dumps(socket.named("user_updated")), 2.5, "a patch is told")  # noqa: B023
    tags = {one.call("GET", f"/users/{ann.id}/image").headers["ETag"] for one in there}
    assert len(tags) == 1
    assert here.call("PUT", "/users/me/patch", {"username": unique("zoe")}).status_code == 200
    everywhere(lambda one: one.call("GET", f"/users/{ann.id}/image").headers["ETag"] in tags, False, "another picture")
    over = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    status = {"emoji": "tea", "text": "Tea", "duration": "date_and_time", "expires_at": over}
    assert here.call("PUT", "/users/me/status/custom", status).status_code == 200
    everywhere(lambda one: "Tea" in one.get(f"/users/{ann.id}")["props"]["customStatus"], True, "a custom status")
    for socket in sockets:
        until(lambda: "Tea" in json.dumps(socket.named("user_updated")), 2.5, "a custom status is told")  # noqa: B023
    heard = [len(socket.named("user_updated")) for socket in sockets]
    dnd = {"user_id": ann.id, "status": "dnd", "dnd_end_time": int(time.time()) + 2}
    assert here.call("PUT", "/users/me/status", dnd).status_code == 200
    everywhere(lambda one: one.get(f"/users/{ann.id}/status")["status"], "dnd", "do not disturb")
    for one, socket, before in zip(there, sockets, heard, strict=True):
        until(lambda: one.get(f"/users/{ann.id}/status")["status"] == "offline", 10, "dnd is over")  # noqa: B023
        until(lambda: one.get(f"/users/{ann.id}")["props"]["customStatus"] == "", 10, "and the status")  # noqa: B023
        until(lambda: len(socket.named("user_updated")) > before, 10, "and told")  # noqa: B023
    body = {"current_password": PASSWORD, "new_password": f"{PASSWORD}-2"}
    assert here.call("PUT", "/users/me/password", body).status_code == 200
    for one in own:
        at_once(lambda: one.call("GET", "/users/me").status_code == 401, "another password ends sessions")  # noqa: B023
    assert here.get("/users/me")["id"] == ann.id
    for socket, before in zip(sockets, heard, strict=True):
        assert len(socket.named("user_updated")) <= before + 2  # the end, once, and the password
        socket.close()


def test_settings_and_sidebars_that_change_on_one_node_have_changed_on_every_other_at_once(cluster: Cluster) -> None:
    """Read on all before, so that all have copies; a client on another node hears of each."""
    ann = new_user(cluster.nodes[0].url)
    channel = new_channel(ann, team := new_team(ann))["id"]
    here = [cluster.client(ann, place) for place in range(3)]
    base = f"/users/me/teams/{team['id']}/channels/categories"
    sockets = [Socket.open(one) for one in here]
    at_once = AtOnce(cluster)

    def named(place: int) -> set[str]:
        kept = here[place].get("/users/me/preferences")
        favorites = here[place].get(base)["categories"][0]["channel_ids"]
        return {f"{one['name']} {one['value']}" for one in kept if one["category"] == "story"} | {*favorites}

    def names(place: int) -> list[str]:
        return [one["display_name"] for one in here[place].get(base)["categories"]]

    for number in range(scale(12, 300)):
        writer = here[number % 3]
        favored = {} if number % 2 else {channel}
        assert all(len(named(place)) >= 0 and names(place) for place in range(3))
        saved = [
            {"user_id": ann.id, "category": "story", "name": "n", "value": str(number)},
            {
                "user_id": ann.id,
                "category": "favorite_channel",
                "name": channel,
                "value": "false" if number % 2 else "true",
            },
        ]
        assert writer.call("PUT", "/users/me/preferences", saved).ok
        for place in range(3):
            at_once(lambda: named(place) == {f"n {number}", *favored}, f"preferences {number}")  # noqa: B023
        made = writer.post(base, {"user_id": ann.id, "team_id": team["id"], "display_name": f"c{number}"})
        for place in range(3):
            at_once(lambda: f"c{number}" in names(place), f"category {number}")  # noqa: B023
        assert here[(number + 1) % 3].call("DELETE", f"{base}/{made['id']}").ok
        for place in range(3):
            at_once(lambda: names(place) == ["Favorites", "Channels", "Direct Messages"], f"{number} is gone")  # noqa: B023
        for socket in sockets:
            socket.expect("sidebar_category_deleted", category_id=made["id"])
            assert socket.named("preferences_changed")[-1]["data"]["preferences"].count(f'"value":"{number}"') == 1
            assert socket.faults == []


def test_who_chose_a_word_is_mentioned_by_it_on_every_node_and_hears_what_they_mark(cluster: Cluster) -> None:
    """The words are copied by each worker: a new one counts at once, wherever a post is written."""
    ann = new_user(cluster.nodes[0].url)
    team = new_team(ann)
    channel = new_channel(ann, team)
    at_once = AtOnce(cluster)
    for place in range(3):
        word = unique("w")
        bob = new_user(cluster.nodes[place].url, notify_props={"mention_keys": word})
        new_member(ann, team, channel, bob)
        sockets = [Socket.open(cluster.client(bob, elsewhere)) for elsewhere in range(3)]
        for writes in range(3):

            def mentioned(writes: int = writes, word: str = word, bob: Rest = bob) -> bool:
                post = cluster.client(ann, writes).write(channel["id"], f"{word} is said")
                marked = cluster.client(bob, (writes + 1) % 3).post(f"/users/me/posts/{post['id']}/set_unread", {})
                return bool(marked["mention_count"] == 1)

            at_once(mentioned, f"a word of node {place} is found on node {writes}")
        for socket in sockets:
            until(lambda: len(socket.named("post_unread")) >= 3, 10, "what was marked on other nodes")  # noqa: B023
            socket.close()


def test_all_nodes_tell_clients_the_lowest_version_and_the_same_configuration(cluster: Cluster) -> None:
    """As in a rolling update, behind a balancer that changes node with each request."""

    def told() -> set[str]:
        answers = [requests.get(f"{node.url}/api/v4/system/ping", timeout=10) for node in cluster.nodes * 2]
        return {answer.headers["X-Version-Id"] for answer in answers}

    until(lambda: len(told()) == 1, 10, "one version at the beginning")
    before = told()
    cluster.configure(cluster.nodes[1], {"ServiceSettings": {"CompatibilityVersion": "10.11.0"}})
    assert cluster.nodes[1].ask("reload")["ok"]
    until(lambda: all(one.startswith("10.11.0.") for one in told()) and len(told()) == 1, 10, "10.11.0 by all")
    ann = new_user(cluster.nodes[0].url)
    for place in range(3):
        assert cluster.client(ann, place).get("/config/client?format=old")["Version"] == "10.11.0"
        with contextlib.closing(Socket.open(cluster.client(ann, place))) as socket:
            assert socket.events[0]["data"]["server_version"].startswith("10.11.0.")
            assert socket.events[0]["data"]["server_hostname"]
    cluster.configure(cluster.nodes[1], {})
    assert cluster.nodes[1].ask("reload")["ok"]
    until(lambda: told() == before, 10, "the version of the beginning by all")


def test_what_an_administrator_declares_on_one_node_is_so_on_every_other(cluster: Cluster) -> None:
    admin = cluster.admin
    here = [cluster.client(admin, place) for place in range(3)]
    channel = new_channel(admin, new_team(admin))

    def typing() -> list[int]:
        body = {"channel_id": channel["id"]}
        return [one.call("POST", f"/users/{admin.id}/typing", body).status_code for one in here]

    assert here[1].call("POST", "/server_busy?seconds=600").status_code == 200
    assert [one.get("/server_busy")["busy"] for one in here] == [True] * 3
    until(lambda: typing() == [503] * 3, 10, "503 by every node")
    assert here[2].call("DELETE", "/server_busy").status_code == 200
    until(lambda: typing() == [200] * 3, 10, "200 by every node")
    here[1].post("/system/onboarding/complete", {"organization": "Ours"})
    assert [one.get("/system/onboarding/complete")["value"] for one in here] == ["true"] * 3
    refused = here[0].call("PUT", "/config/patch", {"TeamSettings": {"SiteName": "Ours"}})
    assert (refused.status_code, refused.json()["id"]) == (403, "ent.cluster.save_config.error")


def test_one_channel_has_one_order_whoever_writes(cluster: Cluster) -> None:
    writers, channel = _writers(cluster, 6)
    with Load(writers) as load:
        load.expect_more(scale(200, 5000), 60)
    assert_exactly_once(cluster.sql, load)
    rows = cluster.sql(f"SELECT seq, create_at FROM posts WHERE channel_id = '{channel}' ORDER BY seq")
    assert [at for _, at in rows] == sorted(at for _, at in rows)
    assert len({at for _, at in rows}) == len(rows)


def test_a_retry_on_another_node_is_the_same_post(cluster: Cluster) -> None:
    ann = new_user(cluster.nodes[0].url)
    channel = new_channel(ann, new_team(ann))
    here = [cluster.client(ann, place) for place in range(3)]
    for number in range(scale(10, 300)):
        pending = f"{ann.id}:{number}"
        ids: list[str] = []

        def write(place: int, pending: str = pending, ids: list[str] = ids) -> None:
            ids.append(here[place].write(channel["id"], pending, pending_post_id=pending)["id"])

        threads = [threading.Thread(target=write, args=(place,)) for place in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(ids) == 3
        assert len(set(ids)) == 1


def _writers(cluster: Cluster, count: int, *places: int) -> tuple[list[tuple[Rest, str]], str]:
    """New users who write to one channel, each on a node of its own; and the channel."""
    people = [new_user(cluster.nodes[0].url, f"writer{number}") for number in range(count)]
    channel = str(new_channel(people[0], new_team(people[0], *people[1:]), *people[1:])["id"])
    where = places or (0, 1, 2)
    return [(cluster.client(one, where[number % len(where)]), channel) for number, one in enumerate(people)], channel


def test_the_others_go_on_when_a_node_dies_and_it_comes_back(cluster: Cluster) -> None:
    survivors, channel = _writers(cluster, 4, 0, 1)
    ann, _ = survivors[0]
    mortal = cluster.client(ann, 2)
    with Load(survivors) as load:
        load.expect_more(50)
        post: dict[str, Any] = mortal.write(channel, "before")
        cluster.kill(2)
        assert cluster.pids(2) == []
        load.expect_more(100)
        assert ann.get(f"/posts/{post['id']}")["message"] == "before"
        began = time.monotonic()
        cluster.restart(2)
        print(f"back after {time.monotonic() - began:.1f} s")
        assert mortal.get(f"/posts/{post['id']}")["message"] == "before"
        assert load.retries == 0
    mortal.write(channel, "after")
    assert_exactly_once(cluster.sql, load)


@pytest.mark.node
def test_nodes_on_loopback_are_a_cluster_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.rig.cluster.network", Loopback)  # what a user gets who may make no namespaces
    with PgCluster(0) as servers, Cluster(servers, 2) as cluster:
        ann = new_user(cluster.nodes[0].url)
        assert cluster.client(ann, 1).get("/users/me")["id"] == ann.id
        assert cluster.is_green()
        with pytest.raises(Unavailable):
            cluster.cut(0, 1)


def test_a_node_that_is_frozen_holds_up_nobody_else(cluster: Cluster) -> None:
    others, channel = _writers(cluster, 4, 0, 1)
    mine = cluster.client(others[0][0], 2)
    with Load(others) as load:
        load.expect_more(20)
        cluster.stop(2)
        load.expect_more(100)
        cluster.cont(2)
        load.expect_more(20)
        assert load.retries == 0
    until(lambda: cluster.nodes[2].ping() == 200, 10)
    mine.write(channel, "awake")
    assert_exactly_once(cluster.sql, load)
