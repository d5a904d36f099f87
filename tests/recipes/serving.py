"""An operation, a page, a setting, a metric, a port."""

from tests.recipes.step import NEW, Edit, Recipe, Step

OPERATIONS = "tests/api/test_operation.py::test_the_table_of_the_documents_is_what_is_declared"
SETTINGS = "tests/test_tables.py::test_no_table_is_stale[docs/settings.md]"

OPERATION = Recipe(
    "Add an operation",
    (
        Step(
            (
                Edit(
                    "api/ops/reactions.py",
                    "",
                    '''

@operation(
    "POST",
    "/users/{user_id}/posts/{post_id}/ack",
    may=(may.SelfOr("manage_system"),),
    verb_asks=(may.OfPost("read_channel"),),
    errors=("api.acknowledgement.save.archived_channel.app_error", _NONE),
    notes="`post_acknowledgement_added`",
)
async def acknowledge(call: Call, user_id: UserId, post_id: PostId) -> None:
    """Say that a user has read a post."""
    await reactions.acknowledge(call.ctx, call.actor, user_id, post_id)
''',
                ),
                Edit(
                    "app/reactions.py",
                    "",
                    '''

_ACKNOWLEDGE = PostRule(
    "read_channel", "read_channel", lambda: AppError("api.acknowledgement.save.archived_channel.app_error", 403)
)


async def acknowledge(ctx: Context, actor: Actor, user_id: UserId, post_id: PostId) -> None:
    """Say that a user has read a post. Raises 403, 404."""
    post, access = await posts.find_for(ctx, actor, post_id, "read_channel")
    _ACKNOWLEDGE.ask(actor, post, access)
''',
                ),
            ),
            (
                "tests/api/test_errors.py::test_every_id_in_the_code_has_a_text",
                "tests/api/test_errors.py::test_every_use_fills_its_text",
                "tests/api/test_operation.py",
            ),
        ),
        Step(
            (
                Edit(
                    "app/errors.py",
                    """    "api.reaction.save_reaction.user_id.app_error": "You cannot save reaction for the other user.",
""",
                    """    "api.acknowledgement.save.archived_channel.app_error": "You cannot acknowledge in an archived channel.",
""",
                ),
            ),
            (OPERATIONS,),
        ),
    ),
    (("docs/api.md", "| POST `/users/{user_id}/posts/{post_id}/ack` |"),),
)

SETTING = Recipe(
    "Add a setting",
    (
        Step(
            (
                Edit(
                    "app/config/settings.py",
                    """    max_notifications_per_channel: Live[Positive] = 1000
""",
                    """    enable_acknowledgements: Live[bool] = True
""",
                ),
                Edit(
                    "app/reactions.py",
                    """    \"""Say that a user has read a post. Raises 403, 404.\"""
""",
                    """    if not ctx.config.team_settings.enable_acknowledgements:
        raise AppError("api.acknowledgement.save.archived_channel.app_error", 403)
""",
                ),
            ),
            (
                "tests/api/test_live_settings.py::test_every_live_key_has_somebody_who_shows_that_it_is",
                SETTINGS,
            ),
        ),
        Step(
            (
                Edit(
                    "tests/api/test_live_settings.py",
                    """CASES = {
""",
                    """    "TeamSettings.EnableAcknowledgements": Case(
        False, lambda site: site.bob.call("POST", f"/users/me/posts/{'n' * 26}/ack").status_code
    ),
""",
                ),
            ),
        ),
    ),
    (("docs/settings.md", "EnableAcknowledgements"),),
)

METRIC = Recipe(
    "Add a metric",
    (
        Step(
            (
                Edit(
                    "app/metrics.py",
                    """POSTS = _counter("mattermost_post_total", "Posts that users wrote.")
""",
                    """ACKNOWLEDGED = _counter("mmnode_acknowledgements", "Posts that users said to have read.")
""",
                ),
            ),
            (
                "tests/app/test_counting.py::test_every_metric_is_declared_once_and_named_by_the_conventions",
                "tests/app/test_counting.py::test_every_metric_is_counted_or_measured_somewhere",
            ),
        ),
        Step(
            (
                Edit("app/metrics.py", '"mmnode_acknowledgements', "_total"),
                Edit(
                    "app/reactions.py",
                    """    ctx.bus.publish(await ctx.db.transact(write))
""",
                    """    ctx.metrics.counter(ACKNOWLEDGED).inc()
""",
                ),
                Edit(
                    "app/reactions.py",
                    """from app.permissions import""",
                    """from app.metrics import ACKNOWLEDGED
from app.permissions import""",
                    instead=True,
                ),
            ),
        ),
    ),
)

PORT = Recipe(
    "Use a port",
    (
        Step(
            (
                Edit(
                    "app/reactions.py",
                    """import asyncio
""",
                    """import h11
""",
                ),
            ),
            ("requests to elsewhere only by cluster/outside/outbound.py",),
        ),
        Step(
            (
                Edit(
                    "app/reactions.py",
                    """import h11
""",
                    "",
                    instead=True,
                ),
                Edit(
                    "app/reactions.py",
                    """    ctx.metrics.counter(ACKNOWLEDGED).inc()
""",
                    """    await ctx.outbound.fetch("GET", "https://example.com/", limits=Limits(max_bytes=1000))
""",
                ),
                Edit(
                    "app/reactions.py",
                    """from app.postrules import PostRule
""",
                    """from app.ports import Limits
""",
                ),
            ),
        ),
    ),
)

PAGE = Recipe(
    "Add a console page",
    (
        Step(
            (Edit("console/about.html", NEW, "<!doctype html>\n<title>About</title>\n"),),
            ("tests/test_docs.py::test_every_folders_map_names_its_files_and_no_others[console]",),
        ),
        Step(
            (
                Edit(
                    "console/__init__.py",
                    """root.html  what every path outside /api answers
""",
                    """about.html what this is
""",
                ),
            ),
            ("tests/api/test_operation.py::test_every_page_is_served_and_needs_nothing_from_elsewhere",),
        ),
        Step((Edit("api/http/pages.py", 'PAGES: Mapping[str, str] = {"/": "root.html"', ', "/about": "about.html"'),)),
    ),
)
