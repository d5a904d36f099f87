"""Users, teams and channels, made by the API."""

from typing import Any

from tests.rig.rest import PASSWORD, Rest, unique


def sign_up(url: str, prefix: str = "user", **fields: Any) -> dict[str, Any]:
    """Create an account; its JSON."""
    name = unique(prefix)
    rest = Rest(url)
    try:
        user: dict[str, Any] = rest.post(
            "/users", {"username": name, "email": f"{name}@example.com", "password": PASSWORD, **fields}
        )
    finally:
        rest.close()
    return user


def new_user(url: str, prefix: str = "user", **fields: Any) -> Rest:
    """Create an account and log in."""
    return Rest(url).log_in(sign_up(url, prefix, **fields)["username"])


def new_team(owner: Rest, *members: Rest, **fields: Any) -> dict[str, Any]:
    """Create a team of `owner` and add `members`."""
    name = unique("team")
    team: dict[str, Any] = owner.post("/teams", {"name": name, "display_name": name, "type": "O", **fields})
    for member in members:
        owner.post(f"/teams/{team['id']}/members", {"team_id": team["id"], "user_id": member.id})
    return team


def new_channel(owner: Rest, team: dict[str, Any], *members: Rest, kind: str = "O") -> dict[str, Any]:
    """Create a channel of `owner` and add `members`."""
    name = unique("channel")
    channel: dict[str, Any] = owner.post(
        "/channels", {"team_id": team["id"], "name": name, "display_name": name, "type": kind}
    )
    for member in members:
        owner.post(f"/channels/{channel['id']}/members", {"user_id": member.id})
    return channel


def new_member(owner: Rest, team: dict[str, Any], channel: dict[str, Any], member: Rest) -> None:
    """Add somebody to the team and its channel."""
    owner.post(f"/teams/{team['id']}/members", {"team_id": team["id"], "user_id": member.id})
    owner.post(f"/channels/{channel['id']}/members", {"user_id": member.id})


def town_square(who: Rest, team: dict[str, Any]) -> dict[str, Any]:
    """The team's default channel."""
    channel: dict[str, Any] = who.get(f"/teams/{team['id']}/channels/name/town-square")
    return channel
