"""Events, and a command."""

from tests.recipes.step import Edit, Recipe, Step

_KINDS, _COMMANDS = "tests/app/test_kinds.py", "tests/cluster/test_commands.py"
PROTOCOL = "tests/test_tables.py::test_no_table_is_stale[docs/protocol.md]"

LOSABLE = Recipe(
    "Add an event kind",
    (
        Step(
            (
                Edit(
                    "app/events/names.py",
                    """    TYPING = "typing", {Room.CHANNEL: Care.BEST_EFFORT}
""",
                    """    TOAST = "show_toast", {Room.USER: Care.BEST_EFFORT}
""",
                ),
            ),
            (
                f"{_KINDS}::test_every_name_is_built_somewhere",
                f"{_KINDS}::test_best_effort_are_only_those_that_clients_do_without",
            ),
        ),
        Step(
            (
                Edit(
                    "app/events/messages.py",
                    "",
                    '''

def toast(user_id: UserId, text: str) -> Event:
    """What a client is to show its user for a moment."""
    return build(Name.TOAST, {"text": text}, Audience(user_id=user_id))
''',
                ),
                Edit(_KINDS, """    assert {"typing", """, """"show_toast", """),
            ),
        ),
    ),
)

RECOVERABLE = Recipe(
    "Add an event kind",
    (
        Step(
            (
                Edit(
                    "app/events/names.py",
                    """    REACTION_REMOVED = "reaction_removed", {Room.CHANNEL: Care.RECOVERABLE}
""",
                    """    POST_ACKNOWLEDGED = "post_acknowledgement_added", {Room.CHANNEL: Care.RECOVERABLE}
""",
                ),
            ),
            (f"{_KINDS}::test_every_kind_is_registered_and_is_one_of_the_recoverable_names",),
        ),
        Step(
            (
                Edit(
                    "app/events/kinds.py",
                    '''    """Somebody took a reaction back. create_at: when."""

    kind = Name.REACTION_REMOVED
''',
                    '''

class PostAcknowledged(OfPost, frozen=True):
    """Somebody has read a post. at: when, ms."""

    kind = Name.POST_ACKNOWLEDGED
    user_id: UserId
    at: int

    def of_post(self, seq: int, scene: Scene, post: Post) -> Event:
        """See `OfPost`."""
        said = {"user_id": self.user_id, "post_id": post.id, "acknowledged_at": self.at}
        return _event(self, seq, scene, {"acknowledgement": wire.encode(said).decode()})
''',
                ),
                Edit(
                    "app/reactions.py",
                    """    _ACKNOWLEDGE.ask(actor, post, access)
""",
                    """
    async def write(tx: Transaction) -> Event:
        place, current = await _ACKNOWLEDGE.lock(tx, actor, post)
        change = PostAcknowledged(post.id, user_id, place.at)
        await changes.record(tx, place, change)
        return change.live(place.seq, Scene(access.channel, {post.id: current}))

    ctx.bus.publish(await ctx.db.transact(write))
""",
                ),
                Edit(
                    "app/reactions.py",
                    "from app.events.kinds import ReactionAdded,",
                    "from app.events.kinds import PostAcknowledged, ReactionAdded,",
                    instead=True,
                ),
            ),
            (
                f"{_KINDS}::test_what_is_stored_is_what_the_version_before_reads_and_wrote",
                "tests/app/test_races.py::test_every_verb_that_writes_is_raced_with_every_rule",
            ),
        ),
        Step(
            (
                Edit(
                    "tests/app/races.py",
                    """WRITES: dict[str, Write] = {
""",
                    """    "acknowledge": Write(
        "reactions.acknowledge",
        "bob",
        "bob",
        lambda w: reactions.acknowledge(w.ctx, w.actor("bob"), w.id("bob"), w.root.id),
        {**_ON_POST, "channel is archived": 403},
    ),
""",
                ),
                Edit(
                    _KINDS,
                    """STORED = {
""",
                    """    ("post_acknowledgement_added", "p", '{"user_id":"a","at":5}'): PostAcknowledged("p", UserId("a"), 5),
""",
                ),
                Edit(
                    _KINDS,
                    """    Kind,
    PostDeleted,
""",
                    """    Kind,
    PostAcknowledged,
    PostDeleted,
""",
                    instead=True,
                ),
            ),
        ),
    ),
)

COMMAND = Recipe(
    "Add a command",
    (
        Step(
            (
                Edit(
                    "cluster/commands/of_node.py",
                    """class Switch(Command, omit_defaults=False):""",
                    '''class Greet(Command):
    """Say good day."""

    by = OF_OPERATORS
    audit = "greet"
    line = ("greet",)


class Switch(Command, omit_defaults=False):''',
                    instead=True,
                ),
            ),
            (f"{_COMMANDS}::test_no_command_is_left_out_of_its_union",),
        ),
        Step(
            (
                Edit(
                    "cluster/commands/of_node.py",
                    """    | Unlock
""",
                    """    | Greet
""",
                ),
            ),
            (
                f"{_COMMANDS}::test_the_vocabulary_of_the_version_before_is_whole",
                f"{_COMMANDS}::test_every_command_of_the_command_line_says_what_it_says",
                "cluster/node/operations.py",
                PROTOCOL,
            ),
        ),
        Step(
            (
                Edit(
                    "cluster/node/operations.py",
                    """            case of_node.Diff():
""",
                    """            case of_node.Greet():
                return {"ok": True, "said": "good day"}
            case of_node.Diff():
""",
                    instead=True,
                ),
                Edit(_COMMANDS, '"cluster upgrade end", ', '"greet", '),
                Edit(_COMMANDS, "of_node.Upgrade(False), ", "of_node.Greet(), "),
                Edit(
                    _COMMANDS,
                    """    "unlock": {"user": "ann@example.com"},
""",
                    """    "greet": {},
""",
                ),
            ),
        ),
    ),
    (("docs/protocol.md", "| `greet` |"),),
)
