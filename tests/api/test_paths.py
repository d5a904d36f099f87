"""Where a request leads: no server needed."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.http.paths import NOWHERE, base_of, normalise
from api.table import EVERY
from tests.rig.scale import PROVING, scale

property_test = settings(max_examples=scale(300, 20_000), deadline=None, derandomize=not PROVING, database=None)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/api/v4/users", "/api/v4/users"),
        ("/api/v4/users/", "/api/v4/users"),
        ("/api/v4/users//", "/api/v4/users"),
        ("//api/v4/users", "/api/v4/users"),
        ("///api//v4///users", "/api/v4/users"),
        ("/api/v4//users", "/api/v4/users"),
        ("/api/v4/websocket/", "/api/v4/websocket"),
        ("//api/v4/websocket", "/api/v4/websocket"),
        ("/%61pi/v4/users", "/api/v4/users"),
        ("/api/v4/users/username/a%20b", "/api/v4/users/username/a b"),
        ("/api/v4/users/username/%C3%A4", "/api/v4/users/username/ä"),
        ("/api/v4/users/username/%FF", "/api/v4/users/username/\ufffd"),
        ("/api/v4/users/username/%ED%A0%80", "/api/v4/users/username/\ufffd\ufffd\ufffd"),
        ("/api/v4/users/username/%", "/api/v4/users/username/%"),
        ("/api/v4/users/username/...", "/api/v4/users/username/..."),
        ("/api/v4/users/username/.a", "/api/v4/users/username/.a"),
        ("/api/v4/users/username/%252e%252e", "/api/v4/users/username/%2e%2e"),
        ("/a;b=c", "/a;b=c"),
        ("", None),
        ("*", None),
        ("api/v4/users", None),
        ("/api/v4/users/.", None),
        ("/api/v4/users/..", None),
        ("/api/v4/../v4/users", None),
        ("/../api/v4/users", None),
        ("/..", None),
        ("/.", None),
        ("/api/v4/%2e%2e/v4/users", None),
        ("/api/v4/.%2E/users", None),
        ("/api%2fv4/users", None),
        ("/api/v4%2Fusers", None),
        ("%2Fapi/v4/users", None),
        ("/%2f/api/v4/users", None),
    ],
)
def test_a_path_has_one_form(path: str, found: str | None) -> None:
    assert normalise(path, "") == found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/mattermost", "/"),
        ("/mattermost/", "/"),
        ("//mattermost//", "/"),
        ("/mattermost/api/v4/users/", "/api/v4/users"),
        ("//mattermost//api/v4/users", "/api/v4/users"),
        ("/%6dattermost/api/v4/users", "/api/v4/users"),
        ("/mattermost/mattermost/api/v4/users", "/mattermost/api/v4/users"),
        ("/", None),
        ("/api/v4/users", None),
        ("/mattermostapi/v4/users", None),
        ("/mattermos", None),
        ("/Mattermost/api/v4/users", None),
        ("/mattermost/../api/v4/users", None),
        ("/mattermost%2fapi/v4/users", None),
        ("/x/mattermost/api/v4/users", None),
    ],
)
def test_below_a_site_url_with_a_path_nothing_else_is_served(path: str, found: str | None) -> None:
    assert normalise(path, "/mattermost") == found


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("", ""),
        ("http://chat.example.com", ""),
        ("http://chat.example.com/", ""),
        ("https://chat.example.com:8443/mattermost", "/mattermost"),
        ("https://chat.example.com/mattermost/", "/mattermost"),
        ("https://chat.example.com//a//b/", "/a/b"),
        ("https://chat.example.com/a%20b", "/a b"),
    ],
)
def test_the_base_is_the_path_of_the_site_url(url: str, base: str) -> None:
    assert base_of(url) == base


_parts = st.sampled_from(
    ["", ".", "..", "%2e", "%2E%2e", "%2f", "api", "v4", "users", "%61pi", "m", "a%00", "%25", "ä"]
)
_paths = st.lists(_parts | st.text(max_size=5).map(lambda part: quote(part, safe="")), max_size=8).map("/".join) | (
    st.text("/.%2eEfFam\\;", max_size=20)
)


@property_test
@given(path=_paths)
def test_nothing_opens_what_it_does_not_name(path: str) -> None:
    found = normalise(path, "")
    if found is None:
        return
    parts = found.split("/")[1:]
    assert found == "/" or all(part not in ("", ".", "..") for part in parts)
    sent = [unquote(part) for part in path.split("/") if part]
    assert parts == (sent or [""])  # no part is more than one, none is left out, they are in their order
    assert normalise(quote(found), "") == found
    assert found != NOWHERE


@property_test
@given(path=_paths, base=st.sampled_from(["/m", "/m/x", "/api"]))
def test_below_a_base_all_is_as_without_one(path: str, base: str) -> None:
    found = normalise(f"{base}/{path}", base)
    assert found == normalise(f"/{path}", "")
    other = normalise(path, base)
    whole = normalise(path, "")
    assert other is None or (whole is not None and f"{whole}/".startswith(f"{base}/"))


def test_nowhere_is_no_route_and_counts_as_one_of_the_api() -> None:
    assert NOWHERE not in {operation.path for operation in EVERY}
    assert NOWHERE.startswith("/api/")
