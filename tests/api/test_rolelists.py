"""Roles as clients ask for them: which there are, what they carry, and that this is what counts."""

import pytest

from app import roles
from app.permissionlists import PERMISSIONS
from db.model.ids import is_id
from tests.api.expect import NOBODYS_ID, refused
from tests.api.world import World

OFFERED_TO_ALL = {
    "system_user": {"create_team", "create_direct_channel", "list_public_teams", "view_members"},
    "team_user": {"create_public_channel", "create_private_channel", "list_team_channels", "invite_user"},
    "channel_user": {"create_post", "upload_file", "add_reaction", "manage_public_channel_members", "edit_post"},
}
"""What the web app asks for before it shows the box of messages, the menu of the team and the link to a new one."""
CONSOLE = {
    "sysconsole_read_user_management_users",
    "sysconsole_write_environment_web_server",
    "sysconsole_read_plugins",
}


def test_the_roles_of_the_first_load_carry_what_clients_look_for(world: World) -> None:
    found = {role["name"]: role for role in world.member.post("/roles/names", [*OFFERED_TO_ALL, "system_admin"])}
    for name, permissions in OFFERED_TO_ALL.items():
        assert permissions <= set(found[name]["permissions"]), name
        assert (found[name]["built_in"], found[name]["scheme_managed"]) == (True, True)
    assert set(found["system_admin"]["permissions"]) >= CONSOLE


def test_a_role_is_the_same_by_name_by_id_and_in_the_list(world: World) -> None:
    every = world.system_admin.get("/roles")
    assert {role["name"] for role in every} == set(PERMISSIONS)
    assert len({role["id"] for role in every}) == len(every)
    for role in every:
        assert is_id(role["id"])
        assert world.stranger.get(f"/roles/name/{role['name']}") == role
        assert world.stranger.get(f"/roles/{role['id']}") == role


def test_roles_come_once_in_the_order_of_the_question_and_unknown_ones_not_at_all(world: World) -> None:
    asked = ["team_user", "playbook_member", "no_such_role", "team_user", " ", "channel_guest"]
    found = [role["name"] for role in world.member.post("/roles/names", asked)]
    assert found == ["team_user", "playbook_member", "channel_guest"]


@pytest.mark.parametrize("names", [[], ["System_User"], ["channel-user"], ["a" * 65], ["system_user", "ö"]])
def test_what_is_no_name_is_refused(world: World, names: list[str]) -> None:
    refused(world.member.call("POST", "/roles/names", names), 400, "body")


def test_a_question_names_only_so_many_roles(world: World) -> None:
    names = [f"role_{number}" for number in range(roles.MAX_NAMES)]
    assert world.member.post("/roles/names", [*names, *names]) == []
    too_many = world.member.call("POST", "/roles/names", [*names, "one_more"])
    refused(too_many, 400, "api.roles.get_multiple_by_name_too_many.request_error")


def test_a_role_that_is_none_is_not_found(world: World) -> None:
    refused(world.member.call("GET", f"/roles/{NOBODYS_ID}"), 404, "app.role.get.app_error")
    refused(world.member.call("GET", "/roles/name/no_such_role"), 404, "app.role.get_by_name.app_error")
    refused(world.member.call("GET", "/roles/name/System_User"), 400, "url")


def test_what_is_told_of_a_role_is_what_counts() -> None:
    for name, told in roles.ALL.items():
        assert roles.ROLES[name] == set(told["permissions"])
        assert len(told["permissions"]) == len(set(told["permissions"]))
        if name.startswith("system_"):
            assert all(roles.granted("system", name, one) for one in told["permissions"])


@pytest.mark.parametrize("name", ["system_manager", "system_user_manager", "system_read_only_admin"])
def test_who_runs_the_console_reads_no_private_channel_and_gives_no_roles(name: str) -> None:
    assert not roles.ROLES[name] & {
        "read_channel",
        "read_channel_content",
        "manage_roles",
        "manage_system",
        "create_post",
    }


def test_a_team_administrator_writes_only_where_they_are_a_member() -> None:
    assert not roles.ROLES["team_admin"] & {"read_channel", "create_post", "add_reaction", "upload_file"}
