"""Sign-up, team, channel, post, live events: the path every client takes first."""

from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team
from tests.rig.rest import Rest
from tests.rig.socket import Socket

pytestmark = drivers("all")


def test_two_users_talk(node: Node, ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    channel = new_channel(ann, team, bob)
    anns, bobs = Socket.open(ann), Socket.open(bob)
    try:
        post = ann.write(channel["id"], f"hello @{bob.user['username']}", pending_post_id="p1")
        assert post["pending_post_id"] == "p1"
        arrived = bobs.expect_post(post["message"])
        assert arrived["id"] == post["id"]
        assert bobs.expect("posted", channel_name=channel["name"])["data"]["mentions"] == f'["{bob.id}"]'
        anns.expect_post(post["message"])
        anns.expect("multiple_channels_viewed", channel_times={channel["id"]: post["create_at"]})
        assert bobs.ask("user_typing", {"channel_id": channel["id"], "parent_id": ""})["status"] == "OK"
        assert anns.expect("typing")["data"]["user_id"] == bob.id
        assert not bobs.named("typing")
        read = bob.get(f"/channels/{channel['id']}/posts")
        assert read["order"][0] == post["id"]
        assert read["posts"][post["id"]]["message"] == post["message"]
    finally:
        anns.close()
        bobs.close()
