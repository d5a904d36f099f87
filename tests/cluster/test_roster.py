"""Who belongs to the cluster: rows, lists and what is not to be believed."""

import random
from dataclasses import replace

import msgspec
import pytest
import zmq

from cluster.peers.keyring import KeyRing, Registration
from cluster.peers.roster import Refusal, Removal, Roster
from db.model.entities import ClusterNode
from tests.rig.scale import for_each_seed, scale

RING = KeyRing("s" * 32)
KEYS = [zmq.curve_keypair()[0].decode() for _ in range(12)]


def row(
    number: int, incarnation: int = 1, *, key: str = "", ring: KeyRing = RING, left_at: int = 0, removed_at: int = 0
) -> ClusterNode:
    node_id, address = f"node{number}", f"10.0.0.{number}:8075"
    said = Registration("installation", node_id, incarnation, key or KEYS[(number + 3 * incarnation) % 12], address)
    return ClusterNode(
        node_id, incarnation, said.public_key, address, f"host{number}", "0.1.0", ring.seal(said), 5, left_at, removed_at, 0
    )  # fmt: skip


@pytest.fixture
def roster() -> Roster:
    return Roster("installation", "node1", 1, RING, row(1).public_key)


def test_members_are_those_whose_rows_are_right(roster: Roster) -> None:
    view = roster.judge([row(1), row(2)], [])
    assert set(view.members) == {"node1", "node2"}
    assert view.members["node2"].address == "10.0.0.2:8075"
    assert view.keys == {row(1).public_key: "node1", row(2).public_key: "node2"}
    assert view.registered
    assert not view.superseded
    assert not view.news


def test_a_row_with_a_wrong_mac_is_refused_and_told_of_once(roster: Roster) -> None:
    stranger = row(2, ring=KeyRing("x" * 32))
    view = roster.judge([row(1), stranger], [])
    assert set(view.members) == {"node1"}
    assert view.refused == {"node2": Refusal.BAD_MAC}
    assert view.news == [("node2", Refusal.BAD_MAC)]
    assert stranger.public_key not in view.keys
    again = roster.judge([row(1), stranger], [])
    assert again.refused == {"node2": Refusal.BAD_MAC}
    assert again.news == []
    assert roster.judge([row(1), row(2, 2, ring=KeyRing("x" * 32))], []).news == [("node2", Refusal.BAD_MAC)]


def test_a_row_of_another_installation_proves_nothing_here() -> None:
    view = Roster("another", "node1", 1, RING, row(1).public_key).judge([row(2)], [])
    assert view.refused == {"node2": Refusal.BAD_MAC}


def test_a_key_that_is_none_is_refused_although_its_node_knows_the_secret(roster: Roster) -> None:
    assert roster.judge([row(2, key="#" * 40)], []).refused == {"node2": Refusal.BAD_KEY}


def test_a_node_that_starts_again_has_its_new_key_and_no_longer_the_old_one(roster: Roster) -> None:
    roster.judge([row(1), row(2, 1)], [])
    view = roster.judge([row(1), row(2, 2)], [])
    assert view.members["node2"].incarnation == 2
    assert row(2, 2).public_key in view.keys
    assert row(2, 1).public_key not in view.keys


def test_a_registration_of_old_that_is_put_back_is_refused_and_the_last_one_stays(roster: Roster) -> None:
    roster.judge([row(1), row(2, 2)], [])
    view = roster.judge([row(1), row(2, 1)], [])
    assert view.news == [("node2", Refusal.REPLAYED)]
    assert view.members["node2"].incarnation == 2
    assert row(2, 1).public_key not in view.keys
    gone = roster.judge([row(1)], [])
    assert "node2" not in gone.members
    assert roster.judge([row(1), row(2, 1)], []).members.keys() == {"node1"}


def test_a_spoiled_row_does_not_make_others_forget_its_node(roster: Roster) -> None:
    roster.judge([row(1), row(2)], [])
    view = roster.judge([row(1), msgspec.structs.replace(row(2), public_key=KEYS[0])], [])
    assert view.refused == {"node2": Refusal.BAD_MAC}
    assert view.members["node2"].public_key == row(2).public_key
    assert KEYS[0] not in view.keys


@pytest.mark.parametrize(("left_at", "removed_at", "expected"), [(5, 0, Removal.LEFT), (0, 5, Removal.REMOVED)])
def test_who_left_or_was_removed_is_no_member_until_it_starts_again(
    roster: Roster, left_at: int, removed_at: int, expected: Removal
) -> None:
    view = roster.judge([row(1), row(2, left_at=left_at, removed_at=removed_at)], [])
    assert view.removed == {"node2": expected}
    assert row(2).public_key not in view.keys
    view = roster.judge([row(1), row(2, 2)], [])
    assert "node2" in view.members
    assert not view.removed


def test_an_old_row_that_is_put_back_does_not_make_its_node_leave_again(roster: Roster) -> None:
    roster.judge([row(1), row(2, 2)], [])
    view = roster.judge([row(1), row(2, 1, left_at=5)], [])
    assert not view.removed
    assert view.members["node2"].incarnation == 2


def test_a_row_that_is_not_believed_can_be_removed(roster: Roster) -> None:
    view = roster.judge([row(1), row(2, ring=KeyRing("x" * 32), removed_at=5)], [])
    assert view.removed == {"node2": Removal.REMOVED}


def test_a_node_sees_that_a_later_start_holds_its_id_or_that_its_row_was_lost(roster: Roster) -> None:
    assert roster.judge([row(1, 2)], []).superseded
    lost = Roster("installation", "node1", 3, RING, row(1, 3).public_key)
    assert lost.judge([row(1, 3)], []).registered
    for rows in ([], [row(1, 2)], [row(1, 3, ring=KeyRing("x" * 32))]):
        view = lost.judge(rows, [])
        assert not view.registered
        assert not view.superseded


def test_what_this_process_wrote_without_hearing_of_it_is_no_later_start(roster: Roster) -> None:
    """The commit of an enrolment whose answer was lost."""
    view = roster.judge([row(1, 2, key=row(1).public_key)], [])
    assert not view.superseded
    assert not view.registered


def test_another_secret_is_believed_from_its_renewal_on(roster: Roster) -> None:
    other = KeyRing("n" * 32)
    assert "node2" not in roster.judge([row(2, ring=other)], []).members
    roster.renew(KeyRing("s" * 32, "n" * 32))
    assert "node2" in roster.judge([row(2, ring=other)], []).members


# InterNodeUrls ------------------------------------------------------------------------------------------------------


def test_an_entry_that_nobody_claims_is_unknown(roster: Roster) -> None:
    urls = ["http://10.0.0.1:8075", "HOST2:8075", "http://10.0.0.9:8075/", "far:1"]
    view = roster.judge([row(1), row(2)], urls)
    assert view.unknown == ["http://10.0.0.9:8075/", "far:1"]
    roster.claim("http://far:1", "node2")
    assert roster.judge([row(1), row(2)], urls).unknown == ["http://10.0.0.9:8075/"]


ALL = ["http://10.0.0.1:8075", "10.0.0.2:8075", "10.0.0.3:8075"]


@pytest.mark.parametrize(
    ("lists", "stays"),
    [
        ({"node1": ALL[:2], "node2": ALL[:2]}, False),
        ({"node1": ALL[:2], "node2": ALL}, True),  # one still lists it
        ({"node1": ALL[:2], "node2": []}, True),  # an empty list says nothing
        ({"node1": ALL[:2], "node2": [*ALL[:2], "other:8075"]}, True),  # whose is that?
        ({"node1": ALL[:2], "node2": ALL[:2], "node3": ALL}, False),  # alive, and the only one that lists it
        ({"node1": ALL[:2], "node2": ALL[:2], "node3": ALL[2:]}, True),  # it never said that it belongs to the others
        ({"node1": ALL[:2], "node2": ALL[:2], "node3": ALL[:2]}, False),
        ({"node2": ALL[:2]}, True),  # without this node's own word nothing is known
        (None, True),
    ],
)
def test_a_node_is_removed_when_every_live_member_took_it_off_its_list(
    roster: Roster, lists: dict[str, list[str]] | None, stays: bool
) -> None:
    view = roster.judge([row(1), row(2), row(3)], ALL[:2], lists)
    assert ("node3" in view.members) == stays
    assert view.removed == ({} if stays else {"node3": Removal.NOT_LISTED})


def test_whoever_looks_the_same_nodes_are_removed_heard_or_not() -> None:
    """The one that was taken off, too: what it says of itself keeps it in nobody's list."""
    lists = {"node1": ALL[:2], "node2": ALL[:2], "node3": ALL}
    for number in (1, 2, 3):
        viewer = Roster("installation", f"node{number}", 1, RING, row(number).public_key)
        for heard in (lists, {one: entries for one, entries in lists.items() if one != "node3" or number == 3}):
            assert viewer.judge([row(1), row(2), row(3)], [], heard).removed == {"node3": Removal.NOT_LISTED}


def test_all_that_ever_registered_may_come_back_but_for_those_that_an_operator_took_out(roster: Roster) -> None:
    rows = [row(1), row(2), row(3, left_at=5), row(4, removed_at=5), row(5, ring=KeyRing("x" * 32))]
    assert roster.judge(rows, []).registered_ids == {"node1", "node2", "node3", "node5"}
    lists = {"node1": ALL[:2], "node2": ALL[:2]}
    assert roster.judge(rows, [], lists).registered_ids == {"node1", "node2", "node5"}


def test_the_list_of_a_removed_node_does_not_count(roster: Roster) -> None:
    lists = {"node1": ALL[:1], "node2": ALL}
    view = roster.judge([row(1), row(2, removed_at=5), row(3)], [], lists)
    assert view.removed == {"node2": Removal.REMOVED, "node3": Removal.NOT_LISTED}


def test_whatever_is_written_to_the_table_only_the_last_right_key_of_a_member_is_admitted() -> None:
    def simulate(rng: random.Random) -> None:
        roster = Roster("installation", "node0", 1, RING, row(0).public_key)
        table: dict[str, ClusterNode] = {}
        old: list[ClusterNode] = []
        highest: dict[str, ClusterNode] = {}
        for _ in range(60):
            number = rng.randrange(4)
            node_id = f"node{number}"
            match rng.choice(["start", "start", "leave", "replay", "spoil", "forge", "delete"]):
                case "start":
                    incarnation = highest[node_id].incarnation + 1 if node_id in highest else 1
                    table[node_id] = highest[node_id] = row(number, incarnation, key=rng.choice(KEYS))
                    old.append(table[node_id])
                case "leave" if node_id in table:
                    table[node_id] = msgspec.structs.replace(table[node_id], left_at=9)
                case "replay" if old:
                    again = rng.choice(old)
                    table[again.node_id] = again
                case "spoil" if node_id in table:
                    table[node_id] = msgspec.structs.replace(table[node_id], public_key=rng.choice(KEYS))
                case "forge":
                    table[node_id] = row(number, 99, key=KEYS[0], ring=KeyRing("x" * 32))
                case "delete":
                    table.pop(node_id, None)
            view = roster.judge(list(table.values()), [])
            for key, owner in view.keys.items():
                assert key == highest[owner].public_key
                assert view.members[owner].incarnation == highest[owner].incarnation

    for_each_seed(scale(100, 2000), simulate)


def test_a_member_does_not_change_behind_ones_back(roster: Roster) -> None:
    member = roster.judge([row(1)], []).members["node1"]
    assert replace(member, address="x:1") != member
