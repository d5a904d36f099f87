"""Requests: CPU of the node and of PostgreSQL for each, at 32 concurrent connections on 2 api workers."""

import asyncio
import itertools
import json
import statistics
from collections.abc import Callable

from bench.cpu import Meter
from bench.load import run
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user, sign_up

CONNECTIONS = 32
MEMBERS = 100
ROUNDS = 3


def request(method: str, path: str, token: str, body: object = None, *, tag: str = "") -> bytes:
    """The bytes of a request. tag: the ETag that the client has."""
    data = json.dumps(body).encode() if body is not None else b""
    head = f"{method} /api/v4{path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
    head += f"If-None-Match: {tag}\r\n" if tag else ""
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(data) + data


def _measure(node: Node, make: Callable[[], bytes], seconds: float) -> tuple[float, float, float]:
    """(server ms, postgres ms, requests a second) of one round."""
    meter = Meter(node)
    good, bad = asyncio.run(run(node.url, make, connections=CONNECTIONS, seconds=seconds))
    used = meter.used_s()
    assert not bad, f"{bad} requests failed"
    server = used["api"] + used["ws"] + used["relay"]
    return server / good * 1000, used["postgres"] / good * 1000, good / seconds


def main(seconds: float = 4.0) -> None:
    """Print a table."""
    environment = {"MM_TEAMSETTINGS_MAXUSERSPERTEAM": "1000"}
    with Node(database="embedded", workers=2, ws_workers=1, environment=environment) as node:
        people = [new_user(node.url) for _ in range(8)]
        owner = people[0]
        team = new_team(owner, *people[1:])
        channel = new_channel(owner, team, *people[1:])
        for _ in range(MEMBERS - len(people)):
            member = sign_up(node.url)
            owner.post(f"/teams/{team['id']}/members", {"team_id": team["id"], "user_id": member["id"]})
            owner.post(f"/channels/{channel['id']}/members", {"user_id": member["id"]})
        for number in range(100):
            owner.write(channel["id"], f"message {number} " + "x" * 200)
        tokens = itertools.cycle([person.token for person in people])
        numbers = itertools.count()

        def post() -> bytes:
            body = {"channel_id": channel["id"], "message": "hello " * 20, "pending_post_id": f"p{next(numbers)}"}
            return request("POST", "/posts", next(tokens), body)

        picture = f"/users/{people[1].id}/image"
        tag = owner.call("GET", picture).headers["ETag"]
        typed = f"/users/autocomplete?in_team={team['id']}&in_channel={channel['id']}&name=us&limit=25"
        members = [one["user_id"] for one in owner.get(f"/channels/{channel['id']}/members?per_page=60")]
        operations: list[tuple[str, Callable[[], bytes]]] = [
            ("ping", lambda: request("GET", "/system/ping", "")),
            ("users/me", lambda: request("GET", "/users/me", owner.token)),
            ("picture, 304", lambda: request("GET", picture, owner.token, tag=tag)),
            ("status/ids, 60 users", lambda: request("POST", "/users/status/ids", owner.token, members)),
            (f"autocomplete, {MEMBERS} members", lambda: request("GET", typed, owner.token)),
            ("page of 60 posts", lambda: request("GET", f"/channels/{channel['id']}/posts", owner.token)),
            (f"create post, {MEMBERS} members", post),
        ]
        print("| operation | server ms CPU | PostgreSQL ms CPU | requests/s |\n|---|---|---|---|")
        for name, make in operations:
            _measure(node, make, 1.0)
            rounds = [_measure(node, make, seconds) for _ in range(ROUNDS)]
            server, postgres, rate = (statistics.median(column) for column in zip(*rounds, strict=True))
            print(f"| {name} | {server:.3f} | {postgres:.3f} | {rate:.0f} |", flush=True)
