"""Rows for the tests of this folder."""

from db.model.entities import User
from db.model.ids import UserId, new_id


def user(name: str) -> User:
    """A user who is not in the database yet; the name is made unique."""
    user_id = UserId(new_id())
    return User(
        user_id, 1, 1, 0, f"{name}-{user_id}", "-", f"{user_id}@example.com", False, "", "", "", "", "system_user",
        "en", "{}", "{}", "{}", 0, 0, 0, False,
    )  # fmt: skip
