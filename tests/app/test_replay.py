"""What the database tells of a channel is what was published: kind by kind, on each kind of database."""

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import pytest

from app import edits, postlists, posts, reactions, replay
from app.config.settings import Config
from app.context import Context
from app.edits import Patch
from app.errors import AppError
from app.events import wire
from app.events.messages import Event, Message
from app.permissions import Actor
from app.postlists import Threads
from app.posts import Draft
from app.reactions import NewReaction
from app.replay import Found
from db.model.entities import Channel, Post, Session
from db.model.ids import ChannelId, PostId, TeamId, UserId, new_id
from db.pool.pool import Database
from db.sql import channels, users
from db.writer import connect
from db.writer.batch import PostWriter
from tests.db import rooms
from tests.db.people import user
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")


class FakeBus:
    """Collects what is published."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, message: Message) -> None:
        if isinstance(message, Event) and message.seq:
            self.events.append(message)


class Chat:
    """A channel with one member who does everything. It has come to number 1: they have joined."""

    def __init__(self, ctx: Context, bus: FakeBus, actor: Actor, channel_id: ChannelId) -> None:
        self.ctx, self.bus, self.actor, self.channel_id = ctx, bus, actor, channel_id

    async def write(self, message: str, root_id: str = "") -> Post:
        post, _ = await posts.create(
            self.ctx, self.actor, Draft(channel_id=self.channel_id, message=message, root_id=root_id)
        )
        return post

    async def edit(self, post: Post, message: str) -> None:
        await edits.patch(self.ctx, self.actor, post.id, Patch(message=message))

    async def delete(self, post: Post) -> None:
        await edits.delete(self.ctx, self.actor, post.id)

    async def react(self, post: Post, emoji_name: str = "+1") -> None:
        new = NewReaction(user_id=self.actor.user_id, post_id=post.id, emoji_name=emoji_name)
        await reactions.add(self.ctx, self.actor, new)

    async def take_back(self, post: Post, emoji_name: str = "+1") -> None:
        await reactions.remove(self.ctx, self.actor, self.actor.user_id, post.id, emoji_name)

    async def read(self, after: int, limit: int = replay.LIMIT) -> Found:
        return await replay.read(self.ctx, self.channel_id, after, limit)

    async def head(self) -> int:
        return (await channels.find_seqs(self.ctx.db, [self.channel_id]))[self.channel_id][0]


@pytest.fixture
async def chat(database: Database) -> AsyncIterator[Chat]:
    bus, author = FakeBus(), user("ann")
    await users.insert(database, author)
    channel = Channel(ChannelId(new_id()), 1, 1, 0, TeamId(new_id()), "O", "C", "c", "", "", "", 0)
    async with database.transaction() as tx:
        await rooms.insert(tx, channel)
        await rooms.join(tx, channel.id, author.id)
    writer = PostWriter(lambda: connect.connect(database))
    nothing = cast(Any, None)
    ctx = Context(Config(), database, writer, cast(Any, bus), *[nothing] * 5)
    yield Chat(ctx, bus, Actor(cast(Session, None), author), channel.id)
    await writer.close()


def _seen(event: Event) -> tuple[str, int, dict[str, Any], dict[str, Any] | None]:
    """An event as clients see it: for most, and for administrators where that is another copy."""
    return event.name, event.seq, _data(event.frame), _data(event.sensitive) if event.sensitive else None


def _data(frame: bytes) -> dict[str, Any]:
    whole = json.loads(frame + b"}")
    assert whole["broadcast"]["channel_id"]
    data: dict[str, Any] = whole["data"]
    return {key: json.loads(value) if key in ("post", "reaction") else value for key, value in data.items()}


def _kinds(found: Found) -> list[tuple[str, int]]:
    return [(event.name, event.seq) for event in found.events]


async def test_an_edit_is_told_again_as_it_was(chat: Chat) -> None:
    post = await chat.write("before")
    await chat.react(post)
    await chat.edit(post, "after")
    found = await chat.read(3)
    assert [_seen(event) for event in found.events] == [_seen(chat.bus.events[-1])]
    assert _kinds(found) == [("post_edited", 4)]


async def test_a_pin_is_told_again_as_an_edit(chat: Chat) -> None:
    post = await chat.write("post")
    await edits.pin(chat.ctx, chat.actor, post.id, pinned=True)
    found = await chat.read(2)
    assert [_seen(event) for event in found.events] == [_seen(chat.bus.events[-1])]
    assert _data(found.events[0].frame)["post"]["is_pinned"] is True


async def test_reactions_are_told_again_as_they_were(chat: Chat) -> None:
    post = await chat.write("post")
    await chat.react(post)
    await chat.take_back(post)
    found = await chat.read(2)
    assert [_seen(event) for event in found.events] == [_seen(event) for event in chat.bus.events[-2:]]
    assert _kinds(found) == [("reaction_added", 3), ("reaction_removed", 4)]


async def test_a_deletion_is_told_again_in_both_copies_without_what_was_said(chat: Chat) -> None:
    """Who hears of it now may have come after it, so they get what a list shows; live it was told as the post was."""
    post = await chat.write("secret")
    await chat.react(post)
    await chat.delete(post)
    (event,) = (await chat.read(3)).events
    name, seq, seen, sensitive = _seen(event)
    assert (name, seq) == _seen(chat.bus.events[-1])[:2] == ("post_deleted", 4)
    assert sensitive == seen | {"delete_by": chat.actor.user_id}
    assert "delete_by" not in seen
    listed = await postlists.since(chat.ctx.db, chat.channel_id, 1, Threads())
    assert seen["post"] == json.loads(wire.encode(listed.json()))["posts"][post.id]
    assert (seen["post"]["message"], seen["post"]["metadata"]) == ("", {})
    live = _seen(chat.bus.events[-1])[2]["post"]
    assert (live["message"], live["delete_at"], len(live["metadata"]["reactions"])) == ("secret", 0, 1)


async def test_buttons_are_told_again_without_where_they_lead(chat: Chat) -> None:
    attachments = {"attachments": [{"actions": [{"name": "yes", "integration": {"url": "s3cret"}}]}]}
    draft = Draft(
        channel_id=chat.channel_id,
        message="choose",
        props={name: msgspec.Raw(msgspec.json.encode(value)) for name, value in attachments.items()},
    )
    post, _ = await posts.create(chat.ctx, chat.actor, draft)
    await chat.edit(post, "choose now")
    found = await chat.read(1)
    assert _kinds(found) == [("posted", 2), ("post_edited", 3)]
    now = _data(chat.bus.events[-1].frame)["post"]
    assert [_data(event.frame)["post"] for event in found.events] == [now, now]
    assert not any(b"s3cret" in event.frame for event in (*found.events, *chat.bus.events))
    assert "s3cret" in post.props


async def test_the_sender_is_called_as_an_integration_says_where_a_setting_allows_it(chat: Chat) -> None:
    """And as nobody else says. Live and again."""
    own = chat.actor.user.username
    for allowed, by_integration, name, shown in (
        (False, True, "robot", own),
        (True, False, "robot", own),
        (True, True, "robot", "robot"),
        (True, True, "", own),
        (True, True, 5, own),
    ):
        service = msgspec.structs.replace(Config().service_settings, enable_post_username_override=allowed)
        chat.ctx.reload(msgspec.structs.replace(Config(), service_settings=service))
        props = {"override_username": msgspec.Raw(msgspec.json.encode(name))}
        draft = Draft(channel_id=chat.channel_id, message="hello", props=props)
        before = await chat.head()
        await posts.create(chat.ctx, chat.actor, draft, by_integration=by_integration)
        (again,) = (await chat.read(before)).events
        told = [_data(event.frame)["sender_name"] for event in (chat.bus.events[-1], again)]
        assert told == [f"@{shown}"] * 2, (allowed, by_integration, name)


async def test_an_edited_post_is_told_with_what_it_says_now(chat: Chat) -> None:
    post = await chat.write("before")
    await chat.edit(post, "after")
    await chat.react(post)
    found = await chat.read(1)
    assert _kinds(found) == [("posted", 2), ("post_edited", 3), ("reaction_added", 4)]
    told = [_data(event.frame)["post"] for event in found.events[:2]]
    assert told[0] == told[1]
    assert (told[0]["message"], len(told[0]["metadata"]["reactions"])) == ("after", 1)


async def test_of_a_deleted_post_only_its_deletion_is_told(chat: Chat) -> None:
    root = await chat.write("root")
    await chat.write("reply", root.id)
    await chat.edit(root, "edited")
    await chat.react(root)
    await chat.take_back(root)
    await chat.delete(root)
    await chat.write("later")
    found = await chat.read(1)
    assert _kinds(found) == [("post_deleted", 7), ("posted", 8)]
    assert found.upto == found.end == await chat.head() == 8


async def test_what_changes_nothing_takes_no_number(chat: Chat) -> None:
    post = await chat.write("post")
    await chat.react(post)
    before = await chat.head()
    await chat.react(post)
    await chat.edit(post, "post")
    await chat.take_back(post, "smile")
    await edits.pin(chat.ctx, chat.actor, post.id, pinned=False)
    assert await chat.head() == before == 3
    assert len(chat.bus.events) == 2
    await chat.delete(post)
    with pytest.raises(AppError, match=r"app\.post\.get"):
        await chat.delete(post)
    assert (await chat.head(), len(chat.bus.events)) == (4, 3)


async def test_a_part_of_what_is_missing_ends_where_posts_or_changes_end(chat: Chat) -> None:
    written = [await chat.write(str(number)) for number in range(3)]
    for post in written:
        await chat.edit(post, f"{post.message} after")
    assert _kinds(await chat.read(1, limit=2)) == [("posted", 2), ("posted", 3)]
    assert _kinds(await chat.read(3, limit=2)) == [("posted", 4), ("post_edited", 5), ("post_edited", 6)]
    assert _kinds(await chat.read(6, limit=2)) == [("post_edited", 7)]


async def test_a_change_of_what_is_gone_or_unknown_is_left_out_and_the_head_goes_on(chat: Chat) -> None:
    post = await chat.write("post")
    await chat.edit(post, "after")
    await chat.ctx.db.execute("UPDATE channel_events SET ref = %s WHERE kind = 'post_edited'", (new_id(),))
    await chat.react(post)
    await chat.ctx.db.execute("UPDATE channel_events SET kind = 'of_a_later_version' WHERE kind = 'reaction_added'")
    found = await chat.read(1)
    assert (_kinds(found), found.upto) == ([("posted", 2)], 4)


async def test_a_change_that_fails_leaves_no_event(chat: Chat) -> None:
    """Nothing is told of what was not done."""
    post = await chat.write("post")
    nobody = Actor(chat.actor.session, user("nobody"))
    for work in (
        edits.patch(chat.ctx, nobody, post.id, Patch(message="x")),
        edits.delete(chat.ctx, nobody, post.id),
        edits.delete(chat.ctx, chat.actor, PostId(new_id())),
        reactions.remove(chat.ctx, chat.actor, UserId(new_id()), post.id, "+1"),
    ):
        with pytest.raises(AppError, match="permissions"):
            await work
    assert _kinds(await chat.read(1)) == [("posted", 2)]


async def test_a_number_that_the_present_master_never_had_is_lost(chat: Chat) -> None:
    """The channel went on from an earlier one under a later term."""
    for _ in range(3):
        await chat.write("under the first master")
    await chat.ctx.db.execute("DELETE FROM posts WHERE channel_id = %s AND seq = 4", (chat.channel_id,))
    await chat.ctx.db.execute("INSERT INTO systems (name, value) VALUES ('db_generation', '1 another/1')")
    assert not (await chat.read(4)).lost, "all of one term"
    await chat.write("under the second")
    head = await chat.head()
    assert await chat.read(4) == Found(head, head, lost=True)
    found = await chat.read(3)
    assert (found.lost, [event.seq for event in found.events]) == (False, [head])
    assert (await chat.read(head + 1)).lost
