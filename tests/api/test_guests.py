"""Guests become users, and users guests: in all their teams and channels at once."""

import pytest

from tests.api.conftest import Add, Configure
from tests.api.expect import refused
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team
from tests.rig.rest import Rest
from tests.rig.socket import Socket

pytestmark = drivers("postgres", "mysql")


@pytest.fixture
def with_guests(configure: Configure) -> None:
    configure({"GuestAccountsSettings": {"Enable": True}})


def _memberships(node: Node, user: Rest) -> set[tuple[bool, ...]]:
    """(guest, user, administrator) of all memberships of teams and channels."""
    columns = "CASE WHEN scheme_guest THEN 1 ELSE 0 END, CASE WHEN scheme_user THEN 1 ELSE 0 END"
    columns += ", CASE WHEN scheme_admin THEN 1 ELSE 0 END"
    of_table = "SELECT {columns} FROM {table} WHERE user_id = %s"
    tables = [of_table.format(columns=columns, table=table) for table in ("team_members", "channel_members")]
    return {tuple(map(bool, row)) for row in node.sql(" UNION ALL ".join(tables), user.id, user.id)}


def test_a_user_becomes_a_guest_and_a_user_again(own_node: Node, own_admin: Rest, add: Add, with_guests: None) -> None:
    user, other = add(), add()
    team = new_team(user, other)
    channel = new_channel(user, team, other)
    assert _memberships(own_node, user) == {(False, True, True)}
    sockets = [Socket.open(one) for one in (user, other)]
    assert own_admin.call("POST", f"/users/{user.id}/demote").status_code == 200
    assert user.get("/users/me")["roles"] == "system_guest"
    assert _memberships(own_node, user) == {(True, False, False)}
    refused(user.call("GET", f"/users/{own_admin.id}"), 403, "permissions")
    refused(user.call("POST", f"/channels/{channel['id']}/members", {"user_id": own_admin.id}), 403, "permissions")
    assert user.write(channel["id"], "still here")["user_id"] == user.id
    sockets[0].expect("user_role_updated", roles="system_guest")
    sockets[0].expect("memberrole_updated")
    sockets[0].expect("channel_member_updated")
    assert sockets[1].expect("user_updated")["data"]["user"]["roles"] == "system_guest"
    error = "api.user.demote_user_to_guest.already_guest.app_error"
    refused(own_admin.call("POST", f"/users/{user.id}/demote"), 501, error)
    refused(other.call("POST", f"/users/{user.id}/promote"), 403, "permissions")
    assert own_admin.call("POST", f"/users/{user.id}/promote").status_code == 200
    assert user.get("/users/me")["roles"] == "system_user"
    assert _memberships(own_node, user) == {(False, True, False)}
    assert user.get(f"/users/{own_admin.id}")["id"] == own_admin.id
    rows = own_node.sql("SELECT action FROM audits WHERE extra_info = %s AND result = 'success'", f"user_id={user.id}")
    assert {action for (action,) in rows} >= {"demoteUserToGuest", "promoteGuestToUser"}
    error = "api.user.promote_guest_to_user.no_guest.app_error"
    refused(own_admin.call("POST", f"/users/{user.id}/promote"), 501, error)
    for socket in sockets:
        socket.close()


def test_who_was_a_guest_is_in_the_default_channels_then(own_admin: Rest, add: Add, with_guests: None) -> None:
    owner, guest = add(), add()
    team = new_team(owner, guest)
    path = f"/users/{guest.id}/teams/{team['id']}/channels"
    off_topic = next(one["id"] for one in guest.get(path) if one["name"] == "off-topic")
    assert guest.call("DELETE", f"/channels/{off_topic}/members/{guest.id}").status_code == 200
    assert own_admin.call("POST", f"/users/{guest.id}/demote").status_code == 200
    assert [one["name"] for one in guest.get(path)] == ["town-square"]
    socket = Socket.open(owner)
    assert own_admin.call("POST", f"/users/{guest.id}/promote").status_code == 200
    assert sorted(one["name"] for one in guest.get(path)) == ["off-topic", "town-square"]
    socket.expect("user_added", user_id=guest.id)
    socket.close()


def test_nobody_becomes_a_guest_where_there_are_none(own_admin: Rest, add: Add) -> None:
    error = "api.team.demote_user_to_guest.disabled.error"
    refused(own_admin.call("POST", f"/users/{add().id}/demote"), 501, error)


def test_the_last_administrator_stays_one(own_admin: Rest, add: Add, with_guests: None) -> None:
    error = "app.user.last_administrator.app_error"
    refused(own_admin.call("POST", f"/users/{own_admin.id}/demote"), 400, error)
    refused(own_admin.call("POST", f"/users/{'z' * 26}/demote"), 404, "app.user.missing_account.const")
    refused(add().call("POST", f"/users/{own_admin.id}/demote"), 403, "permissions")
