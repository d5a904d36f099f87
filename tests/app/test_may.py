"""Rules as data: each asks for exactly what it says, by the scope that it names."""

from types import SimpleNamespace
from typing import Any

import pytest

from app import may
from app.errors import AppError
from app.may import Asked, InChannel, InTeam, SelfOr, System
from db.model.ids import UserId

ME, OTHER, NOBODY = UserId("m" * 26), UserId("o" * 26), "n" * 26
NAMED = {"user_id": OTHER, "team_id": "t" * 26, "channel_id": "c" * 26}


def _member(scope: str, *, admin: bool = False) -> Any:
    return SimpleNamespace(delete_at=0, scheme_guest=False, scheme_user=True, scheme_admin=admin, roles="", of=scope)


class Cache:
    """What is kept, by key."""

    def __init__(self, **found: Any) -> None:
        self._found = found

    async def get(self, key: Any) -> Any:
        return self._found.get(key if isinstance(key, str) else key[0])


def _ctx(kind: str, *, in_team: bool, in_channel: bool) -> Any:
    team_member = _member("team") if in_team else None
    access = SimpleNamespace(
        channel=SimpleNamespace(type=kind), member=_member("channel") if in_channel else None, team_member=team_member
    )
    caches = SimpleNamespace(
        access=Cache(**{NAMED["channel_id"]: access}),
        team_members=Cache(**({NAMED["team_id"]: team_member} if in_team else {})),
        teams=Cache(**{NAMED["team_id"]: object()}),
        users=Cache(**{OTHER: object()}),
    )
    return SimpleNamespace(caches=caches)


def _actor(roles: str = "system_user") -> Any:
    return SimpleNamespace(user=SimpleNamespace(roles=roles), user_id=ME)


async def _status(ctx: Any, actor: Any, *rules: Asked, **other: str) -> int:
    try:
        await may.ask(ctx, actor, rules, NAMED | other)
    except AppError as error:
        return error.status
    return 200


READS = InChannel("read_channel", public="read_public_channel")


@pytest.mark.parametrize(
    ("rule", "outside", "in_team", "in_channel", "administrator"),
    [
        (System("manage_system"), 403, 403, 403, 200),
        (System("create_team"), 200, 200, 200, 200),
        (SelfOr("edit_other_users"), 403, 403, 403, 200),
        (InTeam("view_team"), 403, 200, 200, 200),
        (InTeam("manage_team"), 403, 403, 403, 200),
        (READS, 403, 403, 200, 200),
        (InChannel("create_post"), 403, 403, 200, 200),
    ],
)
async def test_a_rule_asks_for_its_permission_in_its_scope(
    rule: Asked, outside: int, in_team: int, in_channel: int, administrator: int
) -> None:
    found = [
        await _status(_ctx("P", in_team=False, in_channel=False), _actor(), rule),
        await _status(_ctx("P", in_team=True, in_channel=False), _actor(), rule),
        await _status(_ctx("P", in_team=True, in_channel=True), _actor(), rule),
        await _status(_ctx("P", in_team=False, in_channel=False), _actor("system_user system_admin"), rule),
    ]
    assert found == [outside, in_team, in_channel, administrator]


async def test_a_public_channel_is_its_teams_where_the_rule_says_so() -> None:
    ctx = _ctx("O", in_team=True, in_channel=False)
    assert await _status(ctx, _actor(), READS) == 200
    assert await _status(ctx, _actor(), InChannel("read_channel")) == 403
    assert await _status(_ctx("O", in_team=False, in_channel=False), _actor(), READS) == 403


async def test_one_may_act_for_oneself() -> None:
    assert (
        await _status(_ctx("P", in_team=False, in_channel=False), _actor(), SelfOr("edit_other_users"), user_id=ME)
        == 200
    )


async def test_every_rule_must_hold() -> None:
    ctx = _ctx("P", in_team=True, in_channel=False)
    assert await _status(ctx, _actor(), InTeam("view_team"), SelfOr("edit_other_users")) == 403
    assert await _status(ctx, _actor(), InTeam("view_team"), SelfOr("edit_other_users"), user_id=ME) == 200


async def test_only_who_might_learns_that_there_is_no_such_thing() -> None:
    ctx = _ctx("P", in_team=False, in_channel=False)
    for rule, name in ((InTeam("view_team"), "team_id"), (SelfOr("edit_other_users"), "user_id")):
        assert await _status(ctx, _actor(), rule, **{name: NOBODY}) == 403
        assert await _status(ctx, _actor("system_user system_admin"), rule, **{name: NOBODY}) == 404
    assert await _status(ctx, _actor("system_user system_admin"), READS, channel_id=NOBODY) == 403
