"""How much there is."""

from api import shapes
from api.call import Call
from api.operation import operation
from app import teamlists
from app.events.wire import Json


@operation(
    "GET",
    "/usage/posts",
    answers=shapes.PostsUsage,
    notes="rounded down to its first digit, below 1000 to 0; beyond 20,000 posts it is estimated",
)
async def get_posts_usage(call: Call) -> Json:
    """About how many messages there are."""
    return await teamlists.posts_usage(call.ctx)


@operation("GET", "/usage/teams", answers=shapes.TeamsUsage)
async def get_teams_usage(call: Call) -> Json:
    """How many teams there are."""
    return await teamlists.teams_usage(call.ctx)
