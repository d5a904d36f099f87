"""Posts that change, by the API."""

from typing import Any

from tests.rig.rest import Rest

Post = dict[str, Any]


def patch(who: Rest, post: Post, **fields: Any) -> Post:
    """Change a part of a post; the post as it is then."""
    return good(who.call("PUT", f"/posts/{post['id']}/patch", fields))


def put(who: Rest, post: Post, **fields: Any) -> Post:
    """Replace what a post says; the post as it is then."""
    return good(who.call("PUT", f"/posts/{post['id']}", {"id": post["id"], **fields}))


def good(response: Any) -> Post:
    """The post of an answer, which must be 200."""
    assert response.status_code == 200, response.text
    found: Post = response.json()
    return found
