"""A team with channels, and somebody in each relation to them: what the tests of many operations share."""

from dataclasses import dataclass
from typing import Any

from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest

ROLES = ("nobody", "stranger", "teammate", "member", "team_admin", "system_admin")


@dataclass(frozen=True)
class World:
    """Tests change nothing of it but by adding.

    nobody: has no session. stranger: is in neither the team nor its channels. teammate: is in the team, but in none of
    the two channels. member: is in the team and both channels. team_admin: made the team and the channels.
    system_admin: is in none of them, but in a direct channel with member. The post was edited.
    """

    nobody: Rest
    stranger: Rest
    teammate: Rest
    member: Rest
    team_admin: Rest
    system_admin: Rest
    team: dict[str, Any]
    public: dict[str, Any]
    private: dict[str, Any]
    post: dict[str, Any]

    def who(self, role: str) -> Rest:
        """Somebody by their role."""
        rest: Rest = getattr(self, role)
        return rest

    def close(self) -> None:
        """Close the connections."""
        for role in ROLES:
            self.who(role).close()


def build(url: str, admin_name: str) -> World:
    """Make it by the API."""
    people = {role: new_user(url, role.replace("_", "")) for role in ("stranger", "teammate", "member", "team_admin")}
    owner, member = people["team_admin"], people["member"]
    admin = Rest(url).log_in(admin_name)
    admin.post("/channels/direct", [admin.id, member.id])
    team = new_team(owner, people["teammate"], member)
    private = new_channel(owner, team, member, kind="P")
    post = owner.write(private["id"], "a post in the private channel")
    owner.call("PUT", f"/posts/{post['id']}/patch", {"message": "a post in the private channel, edited"})
    return World(
        nobody=Rest(url),
        system_admin=admin,
        team=team,
        public=new_channel(owner, team, member),
        private=private,
        post=owner.get(f"/posts/{post['id']}"),
        **people,
    )
