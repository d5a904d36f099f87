"""What the witnesses of a round saw, against what is promised. Each function gives violations, as texts.

Bounds are in seconds of an idle machine (tests/rig/lateness.py).
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tests.faults.table import Touched
from tests.faults.witnesses import Editor, Page, Post, Revoker
from tests.rig.follower import Follower
from tests.rig.lateness import within

LATE_S = 2.5
"""A post reaches every open socket of its channel by then after it was acknowledged."""
STALE_S = 2.0
"""Nothing is served that was changed so long before the request."""
BLOCKED_S = 3.0
"""So long a fault of one node holds up the writers of others, and of other channels."""
GREEN_S = 20.0
"""The cluster is green so soon after all has healed; the start of a node is within it."""
_FEW = 5
_EXPECTED = (
    "a child of this node has ended and is started again",
    "a worker hangs and is killed",
    "the fork server has ended and is started again",
    "no worker was forked",
    "a child does not stop and is ended",
    "database connections are not recycled",
    "a node is in another state",
)
"""Lines of level ERROR that tell of the faults themselves."""
_ERROR = re.compile(r"^\S+ (?:ERROR|CRITICAL) .*", re.MULTILINE)


class Forgiven:
    """Of whom the bounds are not asked: whom a fault itself keeps waiting, and whom two faults meet.

    waiting, silent: nodes. channels: places in the scene's.
    """

    def __init__(self, touched: Sequence[Touched]) -> None:
        met = [place for one in touched for place in one.nodes]
        twice = {place for place in met if met.count(place) > 1}
        self.waiting = twice.union(*(one.waits for one in touched))
        self.silent = twice.union(*(one.deaf for one in touched))
        self.channels = {one.channel for one in touched}


Rows = Sequence[tuple[Any, ...]]
"""id, channel id, pending id, create_at, message; by channel and number."""


def exactly_once(posts: Sequence[Post], rows: Rows) -> list[str]:
    """No acknowledged post is lost or doubled, no key is stored twice, the order is that of time."""
    stored = {pending: (post_id, channel_id) for post_id, channel_id, pending, *_ in rows if pending}
    keys = [pending for _, _, pending, *_ in rows if pending]
    found = (
        [f"stored twice: {key}" for key in sorted({key for key in keys if keys.count(key) > 1})[:_FEW]]
        if len(keys) > len(stored)
        else []
    )
    lost = [one for one in posts if one.acked and stored.get(one.key) != (one.post_id, one.channel_id)]
    found += _some("an acknowledged post is lost", (f"{one.key} by node {one.place}" for one in lost))
    times = [(channel_id, create_at) for _, channel_id, _, create_at, _ in rows]
    backwards = [pair for pair in itertools.pairwise(times) if pair[0][0] == pair[1][0] and pair[0] >= pair[1]]
    return found + _some("the order is not that of time", map(str, backwards))


def in_order(followers: Sequence[Follower], posts: Sequence[Post], orders: dict[str, list[str]]) -> list[str]:
    """Every client has every acknowledged post once, in the order of the database, and nothing is missing between."""
    found = []
    for number, one in enumerate(followers):
        found += _some(f"client {number}", one.faults)
        for channel_id, known in one.posts.items():
            wanted = {post.post_id for post in posts if post.acked and post.channel_id == channel_id}
            found += _some(f"client {number} never heard of", sorted(wanted - set(known)))
            places = {post_id: place for place, post_id in enumerate(orders[channel_id])}
            heard = [places.get(post_id, -1) for post_id in known]
            if heard != list(range(heard[0], heard[0] + len(heard)) if heard else []):
                found.append(f"client {number} heard {channel_id} out of order or with holes: {_breaks(heard)}")
    return found


def _breaks(places: list[int]) -> list[tuple[int, int]]:
    return [pair for pair in itertools.pairwise(places) if pair[1] != pair[0] + 1][:_FEW]


def late(followers: Sequence[Follower], posts: Sequence[Post], forgiven: Forgiven) -> tuple[list[str], float]:
    """No socket that is open is silent about what was acknowledged; and the greatest delay in s."""
    found, most = [], 0.0
    for number, one in enumerate(followers):
        for post in posts:
            if not post.acked or post.channel_id not in one.posts:
                continue
            heard = one.heard.get(post.post_id, float("inf"))
            for place, opened, closed in one.stays:
                since = max(opened, post.acked)
                until = min(heard, closed)
                if place in forgiven.silent or until <= since:
                    continue
                most = max(most, until - since)
                if until - since > LATE_S and not within(LATE_S, since=since, until=until):
                    found.append(f"client {number} on node {place}, {until - since:.1f} s: {post.key} by {post.place}")
    return _some("late on an open socket", found), most


def pages(read: Iterable[Page], posts: Sequence[Post], orders: dict[str, list[str]]) -> tuple[list[str], float]:
    """Every page is a piece of the channel without holes, and shows what was acknowledged 2 s before; the oldest state."""
    found, oldest = [], 0.0
    places = {post_id: place for order in orders.values() for place, post_id in enumerate(order)}
    acked = sorted((one.acked, one.channel_id, places.get(one.post_id, -1)) for one in posts if one.acked)
    for page in read:
        heard = [places.get(post_id, -1) for post_id in reversed(page.order)]
        if heard and heard != list(range(heard[0], heard[0] + len(heard))):
            found.append(f"node {page.place} answered a page with holes: {_breaks(heard)}")
        newest = heard[-1] if heard else -1
        for at, channel_id, place in acked:
            if at >= page.began:
                break
            if channel_id == page.channel_id and place > newest:
                oldest = max(oldest, page.began - at)
                if not within(STALE_S, since=at, until=page.began):
                    found.append(f"node {page.place} answered a page {page.began - at:.1f} s old")
                break
    return _some("pages", found), oldest


def edits(editor: Editor, rows: Rows) -> tuple[list[str], float]:
    """No acknowledged edit is lost, nor hidden for longer than 2 s; the oldest text that was shown, in s."""
    texts = {post_id: message for post_id, _, _, _, message in rows}
    lost = [
        f"{post_id} is {texts.get(post_id)!r}, not one of {allowed}"
        for post_id, allowed in editor.edited.items()
        if texts.get(post_id) not in allowed
    ]
    stale = [
        f"{began - acked:.1f} s: {what}"
        for acked, began, what in editor.stale
        if not within(STALE_S, since=acked, until=began)
    ]
    oldest = max((began - acked for acked, began, _ in editor.stale), default=0.0)
    return _some("an edit is lost", lost) + _some("an edit is hidden", stale), oldest


def sessions(revoker: Revoker) -> tuple[list[str], float]:
    """A session that was ended is refused everywhere after 2 s; how long one was served, in s."""
    found = [
        f"by node {place} after {began - acked:.1f} s"
        for acked, began, place in revoker.served
        if not within(STALE_S, since=acked, until=began)
    ]
    oldest = max((began - acked for acked, began, _ in revoker.served), default=0.0)
    return _some("an ended session is served", found), oldest


def blocked(
    posts: Sequence[Post], stopped: float, channels: Sequence[str], forgiven: Forgiven
) -> tuple[list[str], float]:
    """Who has nothing to do with the faults is answered soon; the longest wait of these in s. stopped: the writers."""
    found, most = [], 0.0
    for one in posts:
        if one.place in forgiven.waiting or one.place < 0 or channels.index(one.channel_id) in forgiven.channels:
            continue
        ended = one.acked or stopped
        most = max(most, ended - one.began)
        if not within(BLOCKED_S, since=one.began, until=ended):
            found.append(f"a writer on node {one.place} for {ended - one.began:.1f} s")
    return _some("blocked", found), most


def logs(texts: Sequence[str]) -> list[str]:
    """No traceback, and no error of another kind than the faults themselves are. texts: the log of each node."""
    found = []
    for place, text in enumerate(texts):
        if "Traceback" in text:
            at = text.index("Traceback")
            found.append(f"a traceback in the log of node {place}: {text[at - 300 : at + 2000]}")
        lines = [one for one in _ERROR.findall(text) if not any(known in one for known in _EXPECTED)]
        found += _some(f"the log of node {place}", lines)
    return found


def _some(what: str, found: Iterable[str]) -> list[str]:
    """The first of them, and how many there are."""
    known = list(found)
    more = [f"{what}: … {len(known)} in all"] if len(known) > _FEW else []
    return [f"{what}: {one}" for one in known[:_FEW]] + more
