"""Deliberate breaks of the product: `python -m tests.mutations [NAME…]` proves that the tests see each of them.

Each is made alone, in a copy of the checkout's tracked files, and the tests named beside it are run there, on every
database that it concerns by itself. It is red when a test fails, or what a fixture looks at after it. A run that collects
nothing, or that cannot be collected, or whose servers do not start, shows nothing.

    --list     what there is                  --jobs N   so many copies side by side
    --control  the same tests without a break: all must pass
"""

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.plugins.drivers import Driver

ROOT = Path(__file__).parents[1]
RUN_S = 1200.0
_FAILED = re.compile(r"^(FAILED|ERROR) (tests/\S+?\.py::.+?)(?: - .*)?$", re.MULTILINE)
_BOTH: tuple[Driver, ...] = ("postgres", "mysql")
_ALL: tuple[Driver, ...] = ("postgres", "mysql", "replicas")
_NONE: tuple[Driver, ...] = ()


class Mistake(Exception):
    """An entry of the list is not true any more."""


@dataclass(frozen=True)
class Mutation:
    """`old`, which stands exactly once in the file `path`, becomes `new`.

    tests: arguments of pytest that must not pass then. databases: on each of which, alone; () for tests without one.
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    databases: tuple[Driver, ...] = _NONE

    def apply(self, root: Path) -> None:
        """Break the copy of the product in `root`. Raises Mistake."""
        file = root / self.path
        text = file.read_text()
        if text.count(self.old) != 1:
            raise Mistake(f"{self.name}: `old` stands {text.count(self.old)} times in {self.path}")
        text = text.replace(self.old, self.new)
        if file.suffix == ".py":
            compile(text, self.path, "exec")
        file.write_text(text)

    def undo(self, root: Path) -> None:
        """Mend it. With the former time of the file: what was compiled of the broken one is of another."""
        shutil.copy2(ROOT / self.path, root / self.path)


MUTATIONS = (
    # ports before they are needed ------------------------------------------------------------------------------------
    Mutation(
        "a file has its name before it is durable",
        "cluster/outside/blobs.py",
        "            os.fsync(self._descriptor)\n",
        "",
        (
            "tests/cluster/test_blobs.py::"
            "test_a_file_is_durable_before_it_has_its_name_and_the_name_before_it_is_acknowledged",
        ),
    ),
    Mutation(
        "an address that somebody else named is not judged",
        "cluster/outside/outbound.py",
        "[one for one in found if self._guard[1].allows(target.host, one)]",
        "list(found)",
        ("tests/cluster/test_outbound.py::test_each_redirect_is_judged_anew",),
    ),
    Mutation(
        "what a killed worker counted goes with it",
        "app/counting.py",
        'if metric is not None and metric.kind == "gauge":',
        "if metric is not None:",
        ("tests/app/test_counting.py::test_whoever_takes_the_place_of_a_dead_process_counts_on",),
    ),
    Mutation(
        "nodes of a rolling update tell the highest version",
        "app/config/client.py",
        "lowest = min(",
        "lowest = max(",
        ("tests/cluster/test_telling.py::test_nodes_of_a_rolling_update_tell_the_lowest_version_alike",),
    ),
    Mutation(
        "a hidden file of a web app is served",
        "api/http/webapp.py",
        'if not name.startswith(".") and not path.is_symlink()',
        "if not path.is_symlink()",
        ("tests/api/test_webapp.py::test_what_is_not_there_is_404_and_no_path_leads_out",),
    ),
    Mutation(
        "a masked secret is written as it was shown",
        "app/config/file.py",
        "if dotted in SECRET_KEYS and MASK in (value if isinstance(value, list) else [value]):",
        "if False:",
        ("tests/app/test_config_store.py",),
    ),
    # one source, no deadline -----------------------------------------------------------------------------------------
    Mutation(
        "a socket waits for its master alone, however long",
        "ws/patience.py",
        "return self._board.master_elsewhere()",
        "return False",
        ("tests/stories/test_database_links.py::test_whom_no_peer_tells_is_sent_to_one_and_goes_on_there",),
        ("postgres",),
    ),
    Mutation(
        "warnings of a commit are read by nobody",
        "db/drivers/postgres.py",
        "                raw.add_notice_handler(raw.note)\n",
        "",
        (
            "tests/stories/test_synchronous.py::"
            "test_a_commit_whose_wait_for_the_standby_is_cancelled_is_acknowledged_when_a_standby_has_it",
        ),
        ("postgres",),
    ),
    # app: who may do what, and what is told ------------------------------------------------------------------------
    Mutation(
        "private channels are read by the whole team",
        "app/permissions.py",
        'return public != "" and access.channel.type == "O" and can_in_team(',
        'return public != "" and can_in_team(',
        ("tests/api/test_post_lists.py::test_a_private_channel_is_read_by_its_members_only",),
        _ALL,
    ),
    Mutation(
        "every member of a team may remove others",
        "app/permissionlists.py",
        "create_private_channel invite_user add_user_to_team",
        "create_private_channel invite_user add_user_to_team remove_user_from_team",
        ("tests/api/test_administration.py::test_who_may",),
        ("postgres",),
    ),
    Mutation(
        "every user may act for others",
        "app/permissionlists.py",
        '" create_emojis delete_emojis",\n',
        '" create_emojis delete_emojis edit_other_users",\n',
        ("tests/api/test_authorisation.py::test_what_is_worked_out_is_what_is_meant",),
        ("postgres",),
    ),
    Mutation(
        "a role counts in every scope",
        "app/roles.py",
        "    roles = _OF_SCOPE[scope]\n",
        "    roles = ROLES\n",
        ("tests/app/test_roles.py",),
    ),
    Mutation(
        "preferences and sidebars of an account are changed without its lock",
        "db/order/locks.py",
        '    await tx.fetch(f"SELECT id FROM users WHERE id = %s {ALONE[tx.dialect]}", (user_id,))  # noqa: S608 (constants)\n',
        "",
        ("tests/api/test_categories.py::test_whoever_changes_it_at_once_nothing_is_lost_and_nothing_is_there_twice",),
        ("postgres",),
    ),
    Mutation(
        "a channel that is put into a category stays in the one it was in",
        "app/sidebar.py",
        "and goes.get(c, after.id) == after.id",
        "and goes is not None",
        ("tests/app/test_sidebar.py",),
    ),
    Mutation(
        "a retry gives a post of a channel that may not be read any more",
        "app/posts.py",
        "    if post.channel_id != access.channel.id:\n",
        "    if False:\n",
        ("tests/api/test_posts.py::test_a_retry_gives_no_post_of_a_channel_that_may_not_be_read_any_more",),
        _BOTH,
    ),
    Mutation(
        "an event shows an account as administrators see it",
        "app/events/messages.py",
        "    told = seen(others, Viewer(privacy))\n",
        "    told = seen(others, Viewer(privacy, administrator=True))\n",
        ("tests/app/test_wire.py",),
    ),
    Mutation(
        "who left a team keeps the rights of a member",
        "app/permissions.py",
        "if member is not None and member.delete_at == 0 and granted(",
        "if member is not None and granted(",
        ("tests/app/test_permissions.py",),
    ),
    Mutation(
        "an expired session goes on",
        "app/sessions.py",
        "if found is None or found[1].delete_at or found[0].expires_at <= now_ms:",
        "if found is None or found[1].delete_at:",
        ("tests/api/test_sessions.py::test_an_expired_session_is_refused",),
        _ALL,
    ),
    Mutation(
        "a socket learns of the end of its session from the outbox only",
        "app/sessions.py",
        "        tell_ended(ctx, [session_id])\n",
        "        pass\n",
        ("tests/app/test_session_ends.py",),
        ("postgres",),
    ),
    Mutation(
        "who sends a body slowly goes on to write after the session has ended",
        "api/auth.py",
        "            if time.monotonic() - began > _LONG_S:\n",
        "            if False:\n",
        ("tests/api/test_sessions.py::test_who_asks_is_asked_again_when_the_body_took_its_time",),
        ("postgres",),
    ),
    Mutation(
        "ending all sessions leaves them",
        "app/sessions.py",
        "await sessions.delete_everybodys(ctx.db)",
        "pass",
        ("tests/api/test_administration.py::test_revoking_everybodys_sessions_leaves_nobody",),
        ("postgres",),
    ),
    Mutation(
        "passwords are hashed with half of the memory",
        "app/passwords.py",
        "memory_kib: int = 19_456",
        "memory_kib: int = 9_728",
        ("tests/app/test_passwords.py",),
    ),
    Mutation(
        "names in code are mentions",
        "app/mentions.py",
        "text = markdown.prose(message)",
        "text = message",
        ("tests/app/test_mentions.py",),
    ),
    Mutation(
        "punctuation after a name is cut off before it is counted",
        "app/mentions.py",
        "whole[1][:MAX_NAME]",
        "whole[1]",
        ("tests/app/test_mentions.py",),
    ),
    Mutation(
        "lists of posts have no bound in bytes",
        "app/postlists.py",
        "if self._room < 0 and self.posts:",
        "if self._room < -(1 << 40):",
        ("tests/api/test_sizes.py::test_lists_of_fat_posts_are_cut_and_walked_on",),
        _BOTH,
    ),
    Mutation(
        "what a user is mentioned by is written down once and never again",
        "db/sql/mentionkeys.py",
        "    for kind, keyword in sorted(there - wanted):\n",
        "    for kind, keyword in list[tuple[str, str]]():\n",
        ("tests/app/test_mentioned.py::test_keys_follow_what_a_user_says",),
        _BOTH,
    ),
    Mutation(
        "what is unread again mentions nobody",
        "db/sql/unread.py",
        "seq >= %s AND delete_at = 0",
        "seq > %s AND delete_at = 0",
        ("tests/api/test_unread.py::test_from_a_post_on_all_is_unread",),
        _BOTH,
    ),
    Mutation(
        "a direct message mentions nobody",
        "app/mentioned.py",
        "if one != actor.user_id)",
        "if one == actor.user_id)",
        ("tests/api/test_posts.py::test_a_direct_message_mentions_the_other",),
        _ALL,
    ),
    Mutation(
        "reactions that were taken back are not told again",
        "app/events/kinds.py",
        "for one in _kinds(Kind)}",
        "for one in _kinds(Kind) if one.kind != Name.REACTION_REMOVED}",
        ("tests/app/test_kinds.py::test_every_recoverable_event_is_told_again_as_it_was_published",),
        _BOTH,
    ),
    Mutation(
        "a part of what is missing is taken for all of it",
        "app/replay.py",
        "upto = min(upto, found_events[-1][0])",
        "upto = end",
        ("tests/app/test_replay.py::test_a_part_of_what_is_missing_ends_where_posts_or_changes_end",),
        _BOTH,
    ),
    Mutation(
        "one request more than the burst is admitted",
        "app/ratelimit.py",
        "if retry_ns > 0:",
        "if retry_ns > self._interval:",
        ("tests/app/test_ratelimit.py",),
    ),
    Mutation(
        "who reconnects flickers",
        "app/presence.py",
        "        person.gone_at = None\n        self._leaving.pop(user_id, None)\n",
        "        person.gone_at = None\n",
        ("tests/app/test_presence.py",),
    ),
    # api: what comes in --------------------------------------------------------------------------------------------
    Mutation(
        "a cookie posts without its CSRF token",
        "api/auth.py",
        'frozenset({"GET", "HEAD", "OPTIONS"})',
        'frozenset({"GET", "HEAD", "OPTIONS", "POST"})',
        ("tests/api/test_sessions.py::test_a_cookie_does_not_write_without_it",),
        ("postgres",),
    ),
    Mutation(
        "rules that are declared are not asked",
        "api/responder.py",
        "        if rules:\n",
        "        if not rules:\n",
        ("tests/api/test_operation.py",),
    ),
    Mutation(
        "what reads like an operation that is not offered is an id",
        "api/responder.py",
        "            if texts[part] in others:\n",
        "            if texts[part] in ():\n",
        ("tests/api/test_operation.py", "tests/api/test_system.py"),
    ),
    Mutation(
        "bodies of unknown length have no limit",
        "api/bodies.py",
        "        if size > limit:\n",
        "        if length is not None and size > limit:\n",
        ("tests/api/test_refusals.py",),
        ("postgres",),
    ),
    Mutation(
        "guests are shown everybody in lists",
        "app/visible.py",
        '    return UserId("") if can(actor, "view_members") else actor.user_id\n',
        '    return UserId("")\n',
        ("tests/api/test_people.py",),
        ("postgres",),
    ),
    Mutation(
        "who ends by a clock is told of again and again",
        "db/sql/statuses.py",
        "prev_status = 'dnd', dnd_end_time = 0 WHERE",
        "prev_status = 'dnd' WHERE",
        ("tests/app/test_jobs.py",),
        ("postgres",),
    ),
    Mutation(
        "deep nesting is an error of ours",
        "api/bodies.py",
        "except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:",
        "except (msgspec.MsgspecError, UnicodeDecodeError) as error:",
        ("tests/api/test_refusals.py",),
        ("postgres",),
    ),
    Mutation(
        "a NUL within a text is let in",
        "api/bodies.py",
        'any("\\0" in text for text in _texts(body))',
        'any(text == "\\0" for text in _texts(body))',
        ("tests/api/test_refusals.py::test_a_nul_character_is_refused",),
        ("postgres",),
    ),
    Mutation(
        "a body that is refused leaves a row behind",
        "api/bodies.py",
        "        raise errors.invalid_body(name) from error\n",
        "        row = (__import__('uuid').uuid4().hex[:26],)\n"
        "        await ctx.db.execute(\"INSERT INTO preferences (user_id, category, name) VALUES (%s, 'c', 'n')\", row)\n"
        "        raise errors.invalid_body(name) from error\n",
        ("tests/api/test_refusals.py::test_what_is_not_json_is_refused",),
        ("postgres",),
    ),
    Mutation(
        "a pipeline is parsed before it is answered",
        "api/http/connection.py",
        "return not self.is_answering and not self.flow.write_paused",
        "return not self.flow.write_paused",
        ("tests/api/test_intake.py",),
    ),
    Mutation(
        "an early answer closes with the body unread",
        "api/http/connection.py",
        "elif self.in_body or self.intake.left:",
        "elif self.in_body and self.intake.left:",
        ("tests/api/test_linger.py", "tests/api/test_early_answers.py"),
    ),
    Mutation(
        "a second Host is taken",
        "api/http/connection.py",
        "            if self._has_host:\n",
        "            if self._has_host and not value:\n",
        ("tests/api/test_http_strictness.py",),
        ("postgres",),
    ),
    Mutation(
        "codings beside chunked are taken",
        "api/http/connection.py",
        'value.strip().lower() != b"chunked"',
        'not value.strip().lower().endswith(b"chunked")',
        ("tests/api/test_http_strictness.py",),
        ("postgres",),
    ),
    Mutation(
        "an upgrade overtakes a request",
        "api/http/connection.py",
        "if self._came_ahead or len(tail)",
        "if len(tail)",
        ("tests/api/test_http_strictness.py",),
        ("postgres",),
    ),
    Mutation(
        "an encoded slash parts a path",
        "api/http/paths.py",
        'if "%2f" in path.lower():',
        'if "%2f%2f" in path.lower():',
        ("tests/api/test_paths.py",),
    ),
    Mutation(
        "texts of the query are not judged",
        "api/params.py",
        'if "\\0" in found:',
        'if found == "\\0\\0":',
        ("tests/api/test_parameters.py",),
        ("postgres",),
    ),
    Mutation(
        "workers do not count what others admitted",
        "api/http/throttle.py",
        "for key, number in message.counts:",
        "for key, number in message.counts[1:]:",
        ("tests/api/test_throttle.py",),
        ("postgres",),
    ),
    Mutation(
        "what a client says of its address is believed",
        "api/proxies.py",
        'for hop in reversed(value.decode("latin-1").split(",")):',
        'for hop in value.decode("latin-1").split(","):',
        ("tests/api/test_proxies.py",),
    ),
    # db: posts and their numbers -------------------------------------------------------------------------------------
    Mutation(
        "postgres: a retry is not looked up by its pending id",
        "db/sql/posts.py",
        "ON p.user_id = i.user_id AND p.pending_post_id = i.pending_post_id",
        "ON p.id = i.id AND p.pending_post_id = i.pending_post_id",
        ("tests/db/test_posts.py::test_the_same_pending_id_is_the_same_post_and_takes_no_number",),
        ("postgres",),
    ),
    Mutation(
        "mysql: a retry is not looked up by its pending id",
        "db/writer/mysql.py",
        "row = by_key.get((post.user_id, post.pending_post_id)) or by_id.get(post.id)",
        "row = by_id.get(post.id)",
        ("tests/db/test_posts.py::test_the_same_pending_id_is_the_same_post_and_takes_no_number",),
        ("mysql",),
    ),
    Mutation(
        "postgres: posts have the time of the plain clock",
        "db/sql/posts.py",
        "greatest((extract(epoch FROM clock.now) * 1000)::bigint, h.last_update_at + 1)",
        "(extract(epoch FROM clock.now) * 1000)::bigint",
        ("tests/db/test_posts.py",),
        ("postgres",),
    ),
    Mutation(
        "mysql: posts have the time of the plain clock",
        "db/writer/mysql.py",
        "max(now_ms - 1, last_at)",
        "now_ms - 1",
        ("tests/db/test_posts.py",),
        ("mysql",),
    ),
    Mutation(
        "postgres: a batch does not lock the heads",
        "db/sql/posts.py",
        'ANY($1) ORDER BY channel_id FOR NO KEY UPDATE"',
        'ANY($1) ORDER BY channel_id"',
        ("tests/db/test_posts.py::test_a_post_waits_for_a_change_that_is_under_way_and_takes_the_number_after_it",),
        ("postgres",),
    ),
    Mutation(
        "mysql: a batch does not lock the heads",
        "db/writer/mysql.py",
        "ORDER BY channel_id FOR UPDATE",
        "ORDER BY channel_id",
        ("tests/db/test_posts.py::test_a_post_waits_for_a_change_that_is_under_way_and_takes_the_number_after_it",),
        ("mysql",),
    ),
    Mutation(
        "postgres: a new master goes on from the number of the old one",
        "db/model/numbers.py",
        '"postgres": f"coalesce((SELECT ({_POSTGRES}) << {TERM_BITS} {_MARK}), 0)"',
        '"postgres": "0"',
        ("tests/db/test_numbers.py",),
        ("postgres",),
    ),
    Mutation(
        "mysql: a master that was not met yet counts as the one before",
        "db/model/numbers.py",
        "\" - (CAST(substring_index(value, ' ', -1) AS BINARY) = CAST(concat(@mmnode_server, '/0') AS BINARY))\"",
        '" - 1"',
        ("tests/db/test_numbers.py",),
        ("mysql",),
    ),
    Mutation(
        "two changes of a channel may have one time",
        "db/order/changes.py",
        "greatest({NOW_MS[tx.dialect]}, last_update_at + 1)",
        "greatest({NOW_MS[tx.dialect]}, last_update_at)",
        ("tests/api/test_edits.py::test_times_of_changes_only_grow",),
        _ALL,
    ),
    Mutation(
        "a bad post takes its whole batch along",
        "db/writer/batch.py",
        "            if len(batch) == 1:\n                self._fail(batch[0], error)\n",
        "            if batch:\n                for item in batch:\n                    self._fail(item, error)\n",
        ("tests/db/test_batch.py::test_one_bad_row_fails_alone",),
    ),
    Mutation(
        "postgres: mentions in replies count as those in roots",
        "db/sql/channels.py",
        "count(*) FILTER (WHERE x.is_root)",
        "count(*)",
        ("tests/api/test_posts.py::test_a_mention_in_a_reply_is_none_of_a_root",),
        ("postgres", "replicas"),
    ),
    Mutation(
        "mysql: mentions in replies count as those in roots",
        "db/sql/channels.py",
        "(SELECT count(*) {_UNVIEWED} AND x.is_root)",
        "(SELECT count(*) {_UNVIEWED})",
        ("tests/api/test_posts.py::test_a_mention_in_a_reply_is_none_of_a_root",),
        ("mysql",),
    ),
    Mutation(
        "mysql: viewing a channel leaves it unread",
        "db/sql/mysql/channels.py",
        "AND m.viewed_seq <= h.seq",
        "AND m.viewed_seq > h.seq",
        ("tests/api/test_channels.py::test_viewing_reads_all_there_is",),
        ("mysql",),
    ),
    Mutation(
        "mysql: who left a team cannot come back",
        "db/sql/mysql/teams.py",
        "if row[0] == 0:",
        "if row[0] >= 0:",
        ("tests/api/test_teams.py::test_who_left_may_come_back_as_an_ordinary_member",),
        ("mysql",),
    ),
    Mutation(
        "mysql: texts that differ by a space at the end are one",
        "db/drivers/mysql_connection.py",
        '= "utf8mb4_nopad_bin", ',
        '= "utf8mb4_bin", ',
        ("tests/db/test_mysql.py",),
        ("mysql",),
    ),
    Mutation(
        "mysql: a backslash breaks out of a literal",
        "db/drivers/mysql_text.py",
        'value.replace("\\\\", "\\\\\\\\").replace("\'", "\'\'")',
        'value.replace("\'", "\'\'")',
        ("tests/db/test_posts.py::test_any_text_is_kept_as_it_is",),
        ("mysql",),
    ),
    Mutation(
        "who guesses somewhere keeps the owner out everywhere",
        "app/guard.py",
        "return self.known(states, now_ms) or list(states)",
        "return list(states)",
        ("tests/app/test_guard.py",),
    ),
    Mutation(
        "an audited change commits without its row",
        "app/audit.py",
        "            await self._journal.write(tx, self._entry)\n            return result\n",
        "            return result\n",
        ("tests/api/test_audits.py", "tests/app/test_audit.py"),
        _BOTH,
    ),
    Mutation(
        "wrong passwords are not counted",
        "app/logins.py",
        "        await _save(tx, after)\n",
        "        await _save(tx, states)\n",
        ("tests/api/test_sessions.py::test_after_ten_wrong_passwords_the_account_is_locked",),
        _ALL,
    ),
    Mutation(
        "guesses that wait for their turn do not count each other",
        "app/logins.py",
        "        _refuse_early(guard.delay_ms(states, now_ms))\n        after = ",
        "        after = ",
        ("tests/api/test_sessions.py::test_guesses_at_once_have_one_budget_over_all_workers",),
        _ALL,
    ),
    Mutation(
        "a change does not lock the head",
        "db/order/changes.py",
        "{locks.ALONE[tx.dialect]}",
        "",
        (
            "tests/api/test_reactions.py::test_reactions_of_many_at_once_are_all_there",
            "tests/db/test_posts.py::test_parallel_joins_leave_no_holes",
        ),
        _ALL,
    ),
    Mutation(
        "what a change of a post needs is asked before its transaction only",
        "app/postrules.py",
        "        self.ask(actor, current, access)\n",
        "",
        ("tests/app/test_races.py::test_a_rule_that_changes_at_the_last_moment_holds",),
        _BOTH,
    ),
    Mutation(
        "what a change of a team needs is asked before its transaction only",
        "app/teamchanges.py",
        "        before, after, member = await judge(tx)\n",
        "        before, after, member = await judge(ctx.db)\n",
        ("tests/app/test_races.py::test_a_rule_that_changes_at_the_last_moment_holds",),
        _BOTH,
    ),
    Mutation(
        "guests are shown all members of a team",
        "app/teamlists.py",
        "seer=shared_with(actor)",
        'seer=UserId("")',
        ("tests/api/test_team_members.py::test_guests_know_of_whom_they_share_a_channel_with",),
        _BOTH,
    ),
    Mutation(
        "who is added to a channel may leave its team meanwhile",
        "app/channels.py",
        "scope = await locks.share_team(tx, seen.team_id)",
        "scope = locks.TeamShared(seen.team_id)",
        ("tests/app/test_races.py::test_a_rule_that_changes_at_the_last_moment_holds",),
        _BOTH,
    ),
    Mutation(
        "of two who open a direct channel at once one fails",
        "app/channels.py",
        "    except Duplicate:  # the other one was faster\n",
        "    except ZeroDivisionError:  # the other one was faster\n",
        ("tests/api/test_channels.py::test_a_direct_channel_opened_by_both_at_once_is_one",),
        _ALL,
    ),
    Mutation(
        "who joins a channel twice fails",
        "db/sql/channels.py",
        " WHERE h.channel_id = %s AND m.user_id IS NULL",
        " WHERE h.channel_id = %s",
        ("tests/api/test_channels.py::test_joining_twice_changes_nothing",),
        _BOTH,
    ),
    Mutation(
        "postgres: a batch begins at the time of the change before it",
        "db/sql/posts.py",
        "greatest((extract(epoch FROM clock.now) * 1000)::bigint, h.last_update_at + 1)",
        "greatest((extract(epoch FROM clock.now) * 1000)::bigint, h.last_update_at)",
        ("tests/db/test_changes.py",),
        ("postgres",),
    ),
    # db: what others are told, copies, replicas ------------------------------------------------------------------------
    Mutation(
        "a column that counts is not in the triggers that there are",
        "db/model/tables.py",
        'counts=("token_hash", "user_id",',
        'counts=("token_hash",',
        ("tests/db/test_tables.py::test_a_database_has_the_triggers_that_the_description_demands",),
        _BOTH,
    ),
    Mutation(
        "postgres: nobody is told that a team was left",
        "db/schema/postgres/0002_outbox.sql",
        "log_change('team_members', 'team_id', 'user_teams', 'user_id')",
        "log_change('team_members', 'team_id')",
        ("tests/app/test_caches.py",),
        ("postgres",),
    ),
    Mutation(
        "mysql: nobody is told that a channel was left",
        "db/schema/mysql/0002_outbox.sql",
        "('channel_members', OLD.channel_id), ('user_channels', OLD.user_id);",
        "('channel_members', OLD.channel_id);",
        ("tests/app/test_caches.py",),
        ("mysql",),
    ),
    Mutation(
        "postgres: a change is told of once more",
        "db/sql/outbox.py",
        '" AND NOT pg_visible_in_snapshot(xid, %s::pg_snapshot)"',
        '" AND %s::pg_snapshot IS NOT NULL"',
        ("tests/db/test_outbox.py",),
        ("postgres",),
    ),
    Mutation(
        "mysql: a transaction that was open for long is never told of",
        "db/sql/mysql/outbox.py",
        "self._missing = kept | dict.fromkeys(new, now)",
        "self._missing = kept",
        ("tests/db/test_outbox.py",),
        ("mysql",),
    ),
    Mutation(
        "a copy counts whatever has changed",
        "db/pool/cache.py",
        "return self.stamps.hold(shards, tokens) and fence_open(polled_ns, self.now_ns())",
        "return fence_open(polled_ns, self.now_ns())",
        ("tests/app/test_caches.py",),
        _BOTH,
    ),
    Mutation(
        "a copy counts however long ago the last poll was",
        "db/pool/cache.py",
        "return self.stamps.hold(shards, tokens) and fence_open(polled_ns, self.now_ns())",
        "return self.stamps.hold(shards, tokens)",
        ("tests/db/test_cache.py",),
    ),
    Mutation(
        "what changed while it was read is kept",
        "db/pool/cache.py",
        "        if stamps.hold(shards, tokens):\n            self._keep(key, _Copy(shards, tokens, value, "
        "self._size(value) if self._size is not None else 0))",
        "        if shards:\n            self._keep(key, _Copy(shards, stamps.take(shards), value, "
        "self._size(value) if self._size is not None else 0))",
        ("tests/db/test_cache.py",),
    ),
    Mutation(
        "what ties a user to a channel does not depend on the team",
        "db/sql/channels.py",
        "return shards.channel(channel_id), shards.user_channels(user_id), shards.user_teams(user_id)",
        "return shards.channel(channel_id), shards.user_channels(user_id)",
        ("tests/app/test_caches.py",),
        _BOTH,
    ),
    Mutation(
        "a batch of reads mixes up its answers",
        "db/pool/loader.py",
        "found[lookup, keys[row[0] - 1]] = row[1:]",
        "found[lookup, keys[-row[0]]] = row[1:]",
        ("tests/db/test_loader.py",),
        ("postgres",),
    ),
    Mutation(
        "who asks no more is read for",
        "db/pool/loader.py",
        "                if all(waiter.done() for waiter in waiters):\n                    continue\n",
        "",
        ("tests/db/test_loader.py::test_who_stops_waiting_harms_nobody_and_is_not_asked_for",),
    ),
    Mutation(
        "replicas are read whatever they lack",
        "db/pool/routing.py",
        "if seen[index].replayed < floor or not self.fit(",
        "if not self.fit(",
        ("tests/api/test_channels.py", "tests/api/test_edits.py"),
        ("replicas",),
    ),
    Mutation(
        "a write raises no floors",
        "db/pool/pool.py",
        "            self.floors.raise_to(changed, position)\n        elif",
        "            pass\n        elif",
        ("tests/api/test_channels.py", "tests/api/test_edits.py"),
        ("replicas",),
    ),
    Mutation(
        "of a row only the key counts",
        "db/pool/pool.py",
        "if of is not None and any(self.floors.floor(of(row)) > replayed for row in rows):",
        "if of is not None and not rows:",
        ("tests/db/test_pool.py",),
    ),
    Mutation(
        "what a replica lacks is not there",
        "db/pool/pool.py",
        "            rows = await self._from_replica(sql, parameters, on, of)\n            if rows:\n                return rows[0]",
        "            rows = await self._from_replica(sql, parameters, on, of)\n            if rows is not None:\n"
        "                return rows[0] if rows else None",
        ("tests/db/test_pool.py",),
    ),
    Mutation(
        "a lease that another one has taken is no hindrance",
        "db/sql/leases.py",
        "if row is None or row[0] != fence.token:",
        "if row is None:",
        ("tests/db/test_leases.py",),
        _BOTH,
    ),
    Mutation(
        "two take a lease at once",
        "db/sql/leases.py",
        'FROM leases WHERE name = %s FOR UPDATE",  # noqa: S608',
        'FROM leases WHERE name = %s",  # noqa: S608',
        ("tests/db/test_leases.py::test_of_many_that_ask_at_once_one_gets_it",),
        _BOTH,
    ),
    Mutation(
        "a lease that has ended is renewed",
        "db/sql/leases.py",
        "WHERE name = %s AND token = %s AND expires_at > {now_ms}",
        "WHERE name = %s AND token = %s",
        ("tests/db/test_leases.py",),
        _BOTH,
    ),
    Mutation(
        "who is cut off in a transaction keeps its locks",
        "db/drivers/postgres_session.py",
        "IDLE_IN_TRANSACTION_S = 2.0",
        "IDLE_IN_TRANSACTION_S = 60.0",
        ("tests/db/test_held_locks.py::test_who_is_cut_off_in_a_transaction_holds_up_nobody_for_longer_than_3_s",),
        ("postgres",),
    ),
    Mutation(
        "changes that nobody told of leave all copies",
        "db/sql/outbox.py",
        "        if unseen:\n            return None\n",
        "",
        ("tests/db/test_outbox.py",),
        _BOTH,
    ),
    Mutation(
        "a session that the server ended is a fault of ours",
        "db/drivers/postgres.py",
        'sqlstate.startswith("08") or sqlstate in _LOST_SQLSTATES:',
        'sqlstate.startswith("08"):',
        ("tests/db/test_postgres_errors.py",),
    ),
    Mutation(
        "a pooler that shares sessions is taken",
        "db/drivers/postgres_session.py",
        "        await _refuse_shared(raw, row[0], arguments)\n",
        "        pass\n",
        ("tests/db/test_poolers.py",),
        ("postgres",),
    ),
    # ws --------------------------------------------------------------------------------------------------------------
    Mutation(
        "the limit of a message counts characters",
        "ws/protocol.py",
        "self._message_bytes += len(event.data.encode())",
        "self._message_bytes += len(event.data)",
        ("tests/ws/test_protocol.py",),
    ),
    Mutation(
        "only whole texts count against what a client may send",
        "ws/frames.py",
        "if not self.allowance.take(now):",
        "if data[at] == _FINAL_TEXT and not self.allowance.take(now):",
        ("tests/ws/test_protocol.py",),
    ),
    Mutation(
        "a socket of a worker that stops gets what its heir will send again",
        "ws/client.py",
        "        if kept:\n            self.stream.clear()",
        "        if kept and False:\n            self.stream.clear()",
        ("tests/ws/test_handover_sim.py::test_whatever_stops_a_client_gets_one_stream",),
    ),
    Mutation(
        "an heir gives a connection to whoever names it",
        "ws/keeper.py",
        "if kept is None or (kept.parcel.user_id, kept.parcel.session_id) != (claim.user_id, claim.session_id):",
        "if kept is None:",
        ("tests/ws/test_keeper.py",),
    ),
    Mutation(
        "who comes back gets what was kept, whatever became of their membership",
        "ws/stream.py",
        "self._queue[:0] = again\n        self.sift(view)",
        "self._queue[:0] = again",
        ("tests/ws/test_stream.py",),
    ),
    Mutation(
        "a gap is skipped",
        "ws/heads.py",
        "if event.seq == channel.head + 1 and not channel.waiting:",
        "if not channel.waiting:",
        ("tests/ws/test_heads.py",),
    ),
    Mutation(
        "events that come twice are sent twice",
        "ws/heads.py",
        "        if event.seq <= channel.head:\n            return ()\n",
        "        if event.seq <= channel.head:\n            return (event,)\n",
        ("tests/ws/test_events_sim.py",),
    ),
    Mutation(
        "who comes back gets no event again that was written",
        "ws/stream.py",
        "        self._queue[:0] = again\n",
        "",
        ("tests/ws/test_stream.py",),
    ),
    Mutation(
        "two events have one number",
        "ws/stream.py",
        "self.seq = seq + 1\n        dead",
        "self.seq = seq + (seq != 3)\n        dead",
        ("tests/ws/test_stream.py",),
    ),
    Mutation(
        "who was removed from a channel still hears of it",
        "ws/hub.py",
        "        self._channels.leave(listener, channel_id)\n        self._heard.pop(channel_id, None)\n",
        "        self._channels.leave(listener, channel_id)\n",
        ("tests/ws/test_hub.py",),
    ),
    Mutation(
        "everybody gets the copy of administrators",
        "ws/hub.py",
        "copy = sensitive if client.administrator else frame",
        "copy = sensitive",
        ("tests/api/test_edits.py::test_administrators_learn_who_deleted_a_post_and_nobody_else",),
        ("postgres",),
    ),
    Mutation(
        "an ended session keeps its sockets",
        "ws/hub.py",
        "for client in self.of_session(message.session_id):",
        "for client in self.of_session(message.session_id)[1:]:",
        ("tests/ws/test_hub.py",),
    ),
    Mutation(
        "frames of 126 bytes have a short header",
        "ws/fanout.py",
        "if length < 126:",
        "if length <= 126:",
        ("tests/ws/test_fanout.py",),
    ),
    Mutation(
        "where a connection went is forgotten",
        "ws/claims.py",
        "            self.moved(claim.connection_id, claim.reply_to)\n",
        "",
        ("tests/ws/test_claims.py",),
    ),
    # cluster ---------------------------------------------------------------------------------------------------------
    Mutation(
        "messages of a peer that come twice are delivered twice",
        "cluster/peers/intake.py",
        "if incarnation != self.incarnation or seq <= self.last or seq in self._waiting:",
        "if incarnation != self.incarnation or seq in self._waiting:",
        ("tests/cluster/test_mesh.py",),
    ),
    Mutation(
        "who was late itself blames the others",
        "cluster/peers/membership.py",
        "peer.heard_at = now if late_s >= SLEPT_S else min(now, peer.heard_at + late_s)",
        "peer.heard_at = peer.heard_at",
        ("tests/cluster/test_mesh.py",),
    ),
    Mutation(
        "a cut between two nodes makes them down",
        "cluster/peers/membership.py",
        "return now - max([peer.heard_at, *others])",
        "return now - max([peer.heard_at, *(at for at in others if at < 0)])",
        ("tests/cluster/test_mesh.py",),
    ),
    Mutation(
        "a write does not wait for the other nodes",
        "cluster/peers/barrier.py",
        "while self._waiting and (reached is None or self._waiting[0][0] <= reached):",
        "while self._waiting:",
        ("tests/cluster/test_coherence.py", "tests/cluster/test_mesh.py"),
    ),
    Mutation(
        "a registration needs no right MAC",
        "cluster/peers/roster.py",
        "if not self._keyring.is_good(said, row.mac):",
        "if not self._keyring.is_good(said, row.mac) and not row.mac:",
        ("tests/cluster/test_roster.py",),
    ),
    Mutation(
        "an old registration that is put back counts",
        "cluster/peers/roster.py",
        "if row.incarnation < self._highest.get(row.node_id, 0):",
        "if row.incarnation < 0:",
        ("tests/cluster/test_roster.py",),
    ),
    Mutation(
        "work goes on for longer than its lease",
        "cluster/relay/lease.py",
        "stop_s: float = 7.0",
        "stop_s: float = 11.0",
        ("tests/cluster/test_lease.py",),
    ),
    Mutation(
        "a child that crashes again and again comes back at once",
        "cluster/node/children.py",
        "self._backoff_s = min(2 * self._backoff_s, BACKOFF_MOST_S)",
        "self._backoff_s = min(self._backoff_s, BACKOFF_MOST_S)",
        ("tests/cluster/test_children.py",),
    ),
    Mutation(
        "nodes that hold the other secret are red",
        "cluster/peers/colours.py",
        "for node_id, differs in whole.items() if differs}",
        "for node_id, differs in whole.items()}",
        ("tests/cluster/test_digest.py",),
    ),
    Mutation(
        "a message of a later version takes along what it came with",
        "cluster/bus/bus.py",
        "messages, unread = events.read(body)",
        "messages, unread = events.unbundle(body), []",
        ("tests/cluster/test_versions.py",),
    ),
    Mutation(
        "other rate limits are no other configuration",
        "cluster/peers/digest.py",
        "if dotted in _OWN or (",
        'if dotted in _OWN or dotted.startswith("RateLimitSettings.") or (',
        ("tests/cluster/test_digest.py",),
    ),
    Mutation(
        "a member that is not heard is taken for quiet",
        "cluster/peers/quiet.py",
        "or now - peer.said_at > HEARD_S",
        "or now - peer.said_at > 10 * HEARD_S",
        ("tests/cluster/test_quiet.py",),
    ),
    Mutation(
        "who left cleanly can write nowhere",
        "cluster/peers/quiet.py",
        "_UNHEARD = (Liveness.DOWN, Liveness.LEFT)",
        "_UNHEARD = (Liveness.DOWN,)",
        ("tests/cluster/test_quiet.py",),
    ),
    Mutation(
        "lines that the log drops are not counted",
        "cluster/host/logwriter.py",
        'self._dropped += data.count(b"\\n")',
        "pass",
        ("tests/cluster/test_logwriter.py",),
    ),
    Mutation(
        "workers are the fork server's children, and nobody sees how they end",
        "cluster/node/forkserver.py",
        "        spawn.adopt_orphans()\n",
        "",
        ("tests/cluster/test_forkserver.py",),
    ),
    Mutation(
        "a process with threads forks",
        "cluster/node/forkserver.py",
        'assert len(os.listdir("/proc/self/task")) == 1,',
        "assert True,",
        ("tests/cluster/test_forkserver.py",),
    ),
    Mutation(
        "what a killed PostgreSQL leaves behind is not reaped",
        "cluster/node/supervisor.py",
        "            reap_orphans(self._pids())\n",
        "",
        ("tests/stories/test_kill.py",),
    ),
    Mutation(
        "a connection string that can be read in two ways is read in one",
        "db/drivers/postgres_dsn.py",
        'if "@" in rest:',
        "if False:",
        ("tests/db/test_dsn.py",),
    ),
    Mutation(
        "who waits for the lock of one channel waits in all",
        "db/writer/batch.py",
        "            except Locked:\n                raise\n",
        "",
        ("tests/db/test_batch.py::test_who_waits_for_one_channel_waits_in_no_other",),
    ),
    Mutation(
        "a relay that stops sends to its workers on what peers still say",
        "cluster/relay/relay.py",
        "        if self._socket.closed:  # the node stops, and its peers go on talking\n            return\n",
        "",
        ("tests/cluster/test_relay.py::test_what_peers_still_say_while_a_node_stops_harms_nobody",),
    ),
    # Nodes: what only whole processes show ------------------------------------------------------------------------------
    Mutation(
        "a worker that ended is not replaced",
        "cluster/node/supervisor.py",
        "if place.life.due(now):",
        "if place.life.due(now) and place.life.restarts < 0:",
        ("tests/stories/test_life.py::test_a_worker_that_is_told_to_stop_is_replaced",),
        ("postgres",),
    ),
    Mutation(
        "sockets are not told what the outbox tells",
        "cluster/relay/relay.py",
        "            self._publish(events.Changed(tuple(pairs[at : at + _PAIRS])))",
        "            pass",
        ("tests/ws/test_socket.py::test_what_is_changed_by_hand_reaches_sockets_within_2_s",),
        ("postgres",),
    ),
    Mutation(
        "what another node committed changes nothing here",
        "cluster/bus/changes.py",
        "        self._database.landed(shards, int(envelope.position) if known else None)\n",
        "",
        ("tests/stories/test_three_nodes.py::test_what_is_posted_on_one_node_is_read_on_every_other_at_once",),
        _BOTH,
    ),
    Mutation(
        "what a poll of the outbox finds changes nothing",
        "db/sql/outbox.py",
        "database.landed(changed, poll.position)",
        "database.landed([], poll.position)",
        ("tests/stories/test_replicas.py::test_an_update_by_hand_is_seen_by_every_worker_within_2_s",),
        _BOTH,
    ),
    Mutation(
        "nodes do not bring the schema up to date",
        "cluster/workers/relayworker.py",
        "        await migrate.run(self.settings)\n",
        "",
        ("tests/stories/test_three_nodes.py::test_of_three_that_start_at_once_on_an_empty_database_one_migrates",),
        _BOTH,
    ),
    Mutation(
        "a worker may ask of its node what only operators may",
        "cluster/node/supervisor.py",
        "        if by in command.by:\n",
        "        if command.by:\n",
        (
            "tests/cluster/test_commands.py"
            "::test_a_worker_passes_on_what_administrators_may_ask_and_the_relay_what_other_nodes_may",
        ),
    ),
    Mutation(
        "what a worker reads at its start stays so whatever is reloaded",
        "cluster/workers/roles.py",
        "        self.live.on_reload(self.ctx.reload)\n",
        "",
        (
            "tests/api/test_live_settings.py::test_a_reload_reaches_a_worker_that_is_being_built",
            "tests/api/test_live_settings.py::test_a_reload_applies_it",
        ),
    ),
    Mutation(
        "what other nodes acknowledged is not asked before the master is changed",
        "cluster/node/switch.py",
        "for answer in (own, *peers.values())])",
        "for answer in (own,)])",
        (
            "tests/stories/test_change_of_master.py"
            "::test_a_target_that_lacks_what_any_node_acknowledged_is_refused_with_the_list",
        ),
        ("postgres",),
    ),
    Mutation(
        "a former master is written to",
        "db/pool/masters.py",
        "        if facts.term < self.board.term():\n",
        "        if facts.term < self.board.term() and not facts.writable:\n",
        ("tests/stories/test_failover.py::test_an_old_master_that_returns_is_refused",),
        ("postgres",),
    ),
    Mutation(
        "a commit on a former master is acknowledged",
        "db/pool/terms.py",
        "        self.check(term)\n        if not self._agreed():\n",
        "        if not self._agreed():\n",
        (
            "tests/cluster/test_terms.py::test_no_master_acknowledges_after_a_later_one_did",
            "tests/db/test_terms.py",
        ),
    ),
    Mutation(
        "messages between nodes do not name the term",
        "cluster/peers/mesh.py",
        "db_gen=db_gen or str(self.terms.known),",
        "db_gen=db_gen,",
        ("tests/cluster/test_terms.py::test_no_master_acknowledges_after_a_later_one_did",),
    ),
    # Strangers and proxies: what bounds them -------------------------------------------------------------------------
    Mutation(
        "a connection that goes on is not counted against its user's most",
        "ws/entry.py",
        "        if not self._has_room(user_id, instead_of=old):\n            return True\n",
        "",
        ("tests/ws/test_resume.py::test_a_user_has_so_many_sockets_however_they_come",),
        ("postgres",),
    ),
    Mutation(
        "strangers keep their sockets however many they are",
        "ws/client.py",
        "            if oldest is not None:\n                oldest.abort()\n",
        "            del oldest\n",
        ("tests/ws/test_turns.py",),
    ),
    Mutation(
        "everybody hears each time that somebody says they type",
        "app/channels.py",
        "    if told and ctx.typing.may_tell(user_id, ctx.now_ms()):",
        "    if told:",
        ("tests/ws/test_socket.py::test_who_says_all_the_time_that_they_type_is_told_of_sometimes",),
        ("postgres",),
    ),
    Mutation(
        "a request that reads very much counts as any other",
        "ws/dialogue.py",
        "    if not client.charge(actions.DEAR.get(request.action, 0.0)):\n        return\n",
        "",
        ("tests/ws/test_socket.py::test_a_request_that_reads_very_much_counts_as_many",),
        ("postgres",),
    ),
    Mutation(
        "who was passed over is not told that somebody else has the socket",
        "cluster/sockets/handover.py",
        "        self._settle(Void(self._id))",
        "        return",
        ("tests/cluster/test_handover.py",),
    ),
    Mutation(
        "http pages use https connections",
        "api/http/upgrade.py",
        "config, secure=secure)",
        "config)",
        ("tests/ws/test_socket.py::test_headers_that_say_nothing_or_two_things_are_refused_in_words",),
        ("postgres",),
    ),
    Mutation(
        "a little that waits for each client is known to nobody",
        "api/http/connection.py",
        "transport.set_write_buffer_limits(high=0)",
        "transport.set_write_buffer_limits()",
        ("tests/api/test_readers.py",),
    ),
    Mutation(
        "strangers keep their connections for as long as proxies",
        "api/http/server.py",
        "idle_s = proxy_s if trust.trusts(connection.peer) else stranger_s",
        "idle_s = proxy_s",
        ("tests/api/test_packing.py",),
    ),
    Mutation(
        "mentions in deleted posts count on",
        "db/sql/edits.py",
        "    await tx.execute(_FORGET_MENTIONS[tx.dialect], (post.id, post.id))\n",
        "",
        ("tests/api/test_edits.py::test_a_deleted_post_mentions_nobody",),
        _BOTH,
    ),
    Mutation(
        "the last administrator may go",
        "app/users.py",
        "    if await users.lock_administrators(tx, ADMINISTRATOR, user_id) == {user_id}:\n",
        "    if not await users.lock_administrators(tx, ADMINISTRATOR, user_id):\n",
        ("tests/api/test_roles.py::test_the_last_administrator_stays",),
        _BOTH,
    ),
    Mutation(
        "a deactivated administrator counts",
        "db/sql/users.py",
        "if not row[2] and role in row[1].split()",
        "if role in row[1].split()",
        ("tests/db/test_administrators.py",),
        _BOTH,
    ),
    Mutation(
        "what may have been committed is done again",
        "db/model/retries.py",
        "        except Deadlock:\n",
        "        except Exception:\n",
        ("tests/db/test_retries.py",),
        _BOTH,
    ),
    Mutation(
        "haproxy passes an address on that its client invented",
        "etc/haproxy.cfg",
        "    http-request set-header X-Real-IP %[src]\n",
        "",
        ("tests/stories/test_samples.py::test_a_client_cannot_invent_its_address_nor_hide_that_it_is_encrypted",),
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What a run of pytest came to. first: the test that failed first; '' when none did."""

    status: int
    first: str
    seconds: float
    output: str

    @property
    def red(self) -> bool:
        """Whether a test has seen the break."""
        return self.status == 1 and bool(self.first)


def run(root: Path, tests: Sequence[str], database: Driver | None, options: Sequence[str] = ()) -> Outcome:
    """Run tests in a copy, on one database or on none."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(root)  # goes before an editable install, in all processes of a node
    chosen = [] if database is None else ["--drivers", database]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *chosen, *tests]
    began = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(-1, "", time.monotonic() - began, "it did not end")
    return Outcome(done.returncode, _first(done.stdout), time.monotonic() - began, done.stdout)


def _first(output: str) -> str:
    """The first test that failed; else the first that a fixture judged after it. A server may fail to start by itself."""
    found: dict[str, str] = dict(reversed(_FAILED.findall(output)))
    return found.get("FAILED") or ("" if "ERROR at setup of" in output else found.get("ERROR", ""))


def copy_to(target: Path) -> None:
    """Copy the tracked files of this checkout, as they lie there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def runs_of(mutation: Mutation) -> Iterator[Driver | None]:
    """The databases on which it must be red."""
    yield from mutation.databases or (None,)


def try_all(chosen: Sequence[Mutation], jobs: int) -> int:
    """Make each break and run its tests; how many runs were not red."""
    waiting: queue.SimpleQueue[Mutation] = queue.SimpleQueue()
    for mutation in chosen:
        waiting.put(mutation)
    red: list[str] = []  # what a thread of ours fails at is in here neither

    def work() -> None:
        with tempfile.TemporaryDirectory(prefix="mmnode-mutations-") as directory:
            root = Path(directory)
            root.chmod(0o755)  # PostgreSQL's own account reads nothing here, but looks up its working directory
            copy_to(root)
            while True:
                try:
                    mutation = waiting.get_nowait()
                except queue.Empty:
                    return
                mutation.apply(root)
                try:
                    for database in runs_of(mutation):
                        outcome = run(root, mutation.tests, database, ["-x"])
                        _say(mutation, database, outcome)
                        if outcome.red:
                            red.append(mutation.name)
                finally:
                    mutation.undo(root)

    threads = [threading.Thread(target=work) for _ in range(min(jobs, len(chosen)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(len(list(runs_of(mutation))) for mutation in chosen) - len(red)


def _say(mutation: Mutation, database: Driver | None, outcome: Outcome) -> None:
    where = f"{mutation.name} [{database or '-'}]"
    if outcome.red:
        print(f"red     {where}: {outcome.first} ({outcome.seconds:.0f} s)", flush=True)
    else:
        tail = outcome.output[-2000:] if outcome.status else "all tests passed"
        print(f"GREEN!  {where}: status {outcome.status} ({outcome.seconds:.0f} s)\n{tail}", flush=True)


def control(chosen: Sequence[Mutation]) -> int:
    """Run all their tests without a break, database by database; how many runs failed."""
    wanted: dict[Driver | None, dict[str, None]] = {}
    for mutation in chosen:
        for database in runs_of(mutation):
            wanted.setdefault(database, {}).update(dict.fromkeys(mutation.tests))
    failed = 0
    with tempfile.TemporaryDirectory(prefix="mmnode-mutations-") as directory:
        root = Path(directory)
        root.chmod(0o755)
        copy_to(root)
        for database, tests in wanted.items():
            outcome = run(root, list(tests), database)
            print(f"{'passed' if outcome.status == 0 else 'FAILED'}  [{database or '-'}] ({outcome.seconds:.0f} s)")
            if outcome.status:
                failed += 1
                print(outcome.output[-4000:], flush=True)
    return failed


def check() -> None:
    """Whether the list is true. Raises Mistake."""
    names = [mutation.name for mutation in MUTATIONS]
    for name in names:
        if names.count(name) > 1:
            raise Mistake(f"{name}: stands here twice")
    for mutation in MUTATIONS:
        number = (ROOT / mutation.path).read_text().count(mutation.old)
        if number != 1:
            raise Mistake(f"{mutation.name}: `old` stands {number} times in {mutation.path}")
        for test in mutation.tests:
            if not (ROOT / test.partition("::")[0]).exists():
                raise Mistake(f"{mutation.name}: there is no {test}")


def main() -> int:
    """Exit status 1 when a break is not seen, 2 when the list is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only those whose names hold one of these texts")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--control", action="store_true")
    options = parser.parse_args()
    chosen = [one for one in MUTATIONS if not options.names or any(name in one.name for name in options.names)]
    try:
        check()
    except Mistake as error:
        print(error, file=sys.stderr)
        return 2
    if not chosen:
        print("there is none of that name", file=sys.stderr)
        return 2
    if options.list:
        for one in chosen:
            print(f"{one.name}: {one.path} [{', '.join(one.databases) or '-'}]")
        return 0
    if options.control:
        return 1 if control(chosen) else 0
    number = try_all(chosen, options.jobs)
    print(f"{len(chosen)} breaks, {number} runs that were not red")
    return 1 if number else 0


if __name__ == "__main__":
    sys.exit(main())
