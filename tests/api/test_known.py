"""What Mattermost has, and what of it is here: where a request leads that no operation takes. No server needed."""

import pytest

from api.known import Map, form_of, read
from api.operation import V4
from api.table import EVERY
from db.model.ids import is_id

KNOWN = read()
LEADS = Map(EVERY, KNOWN)


def test_the_table_is_mattermosts() -> None:
    forms = [one.form for one in KNOWN]
    assert len(forms) == len(set(forms))
    assert len([one for one in KNOWN if one.tier != "newer"]) == 425
    assert len([one for one in KNOWN if one.tier == "newer"]) >= 118
    assert {one.tier for one in KNOWN} == {"must", "later", "licensed", "newer"}
    assert all(one.path.startswith("/") and not one.path.startswith(V4) for one in KNOWN)


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/ldap/groups", 501, ""),
        ("DELETE", "/users/known", 405, "GET, OPTIONS"),
        ("GET", "/users/login", 405, "OPTIONS, POST"),
        ("DELETE", "/teams/{id}/image", 501, ""),
        ("PATCH", "/teams/{id}/image", 405, "GET, OPTIONS"),
        ("PATCH", "/teams/{id}", 405, "DELETE, GET, OPTIONS, PUT"),
        ("POST", "/users/me/image", 501, ""),
        ("GET", "/users/nobody/nothing", 404, ""),
        ("GET", "/users/{id}/{id}", 404, ""),
        ("GET", "/no_such", 404, ""),
        ("GET", "", 404, ""),
    ],
)
def test_where_a_request_leads(method: str, path: str, status: int, allowed: str) -> None:
    error, found = LEADS.refusal(method, V4 + path.replace("{id}", "n" * 26))
    assert (error.status, found) == (status, allowed)


def test_outside_of_the_api_nothing_is_known() -> None:
    for path in ("/", "/api", "/api/", "/login", "/users/known"):
        assert LEADS.refusal("GET", path)[0].status == 404


def test_every_operation_that_is_known_and_not_offered_is_501_and_no_other() -> None:
    offered = {form_of(one.method, one.path) for one in EVERY}
    for one in KNOWN:
        if one.form not in offered:
            path = "/".join("n" * 26 if part.startswith("{") else part for part in (V4 + one.path).split("/"))
            assert LEADS.refusal(one.method, path)[0].status == 501, one.form


def test_what_is_variable_knows_the_words_in_its_place() -> None:
    assert LEADS.words_of(f"{V4}/users/{{user_id}}")["user_id"] >= {"stats", "login", "known", "ids"}
    assert LEADS.words_of(f"{V4}/users/username/{{username}}") == {}
    found = LEADS.words_of(f"{V4}/users/{{user_id}}/teams/{{team_id}}/channels")
    assert found["team_id"] >= {"members", "unread"}
    assert found["user_id"] == LEADS.words_of(f"{V4}/users/{{user_id}}")["user_id"]


def test_no_word_is_an_id() -> None:
    """A word in the place of an id would take the id's requests."""
    words = {word for one in EVERY for found in LEADS.words_of(one.path).values() for word in found}
    assert len(words) > 25
    assert not any(is_id(word) or word == "me" for word in words)
