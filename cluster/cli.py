"""The command line.

    mmnode [--workers N] [--ws-workers M] [--config FILE] [--data-dir DIR]    run a node
    mmnode config validate | db migrate                                       without a node
    mmnode demo [--port-base PORT]                    three nodes over PostgreSQL with two replicas, to play with
    mmnode status, config reload, db failover …       what a running node is asked: `cluster/commands/of_node.py`

Exit status: 0 done, 1 failed, 2 the command line or the configuration is wrong (nothing was started), 78 the node
stopped because another process runs under its node_id, or because what stands before its database cannot be used.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from inspect import getdoc
from pathlib import Path
from typing import Any

from app.config import file as configfile
from app.config.settings import ServiceSettings
from app.redaction import Redactor
from app.version import VERSION
from cluster.commands import of_node
from db.pool import dsn

log = logging.getLogger(__name__)

_GROUPS = {
    "cluster": "look after the nodes of the cluster",
    "config": "look after the configuration",
    "db": "look after the database",
    "user": "look after accounts",
}

_UMASK = 0o027
"""Of a node: the group may read its log file; what is to be secret has a mode of its own."""


def main(arguments: Sequence[str]) -> int:
    """Run a command; the exit status."""
    if arguments and arguments[0] == "forkserver":  # how the supervisor starts its workers
        from cluster.node import forkserver

        return forkserver.main(int(arguments[1]), arguments[2])
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # who read it has read enough: `mmnode status | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmnode", description="A high-availability team-messaging server node.", allow_abbrev=False
    )
    speaks = ServiceSettings().compatibility_version
    parser.add_argument("--version", action="version", version=f"mmnode {VERSION} (speaks Mattermost {speaks})")
    parser.add_argument(
        "--workers",
        type=_positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="api workers (default: cores)",
    )
    parser.add_argument(
        "--ws-workers", type=_positive, metavar="M", help="WebSocket workers (default: half of N, at least 1)"
    )
    _add_places(parser)
    parser.set_defaults(run=_serve)
    commands = parser.add_subparsers(metavar="COMMAND")
    groups: dict[str, Any] = {}

    def add(words: str, told: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        *group, word = words.split()
        within = commands
        if group:
            if group[0] not in groups:
                above = commands.add_parser(group[0], help=_GROUPS[group[0]], allow_abbrev=False)
                groups[group[0]] = above.add_subparsers(metavar="COMMAND", required=True)
            within = groups[group[0]]
        one: argparse.ArgumentParser = within.add_parser(word, help=told, description=told, allow_abbrev=False)
        one.set_defaults(run=run)
        return one

    for words, kind in of_node.offered():
        one = add(words, getdoc(kind) or "", partial(_tell, kind))
        _add_arguments(one, kind)
        _add_places(one, below=True)
    _add_places(
        add("config validate", "judge the configuration: every problem with what is allowed", _validate), below=True
    )
    _add_places(add("db migrate", "bring the schema up to date", _migrate), below=True)
    demo = add("demo", "three nodes over PostgreSQL with two replicas", _demo)
    demo.add_argument(
        "--port-base",
        type=_port_base,
        default=8065,
        metavar="PORT",
        help="HTTP of the first node (default: 8065); the others' is 100 and 200 higher, between nodes each 10 higher",
    )
    return parser


def _add_arguments(parser: argparse.ArgumentParser, kind: type[of_node.Command]) -> None:
    """What a command takes: what it may leave out is an option, what may hold a password is read from elsewhere."""
    for one in of_node.arguments_of(kind):
        if one.secret:
            parser.add_argument(f"--{one.name}", metavar="@FILE|-|DSN", required=True, help=one.told)
        elif one.words:
            parser.add_argument(one.name, choices=one.words, help=one.told)
        elif one.required:
            parser.add_argument(one.name, metavar=one.name.upper(), help=one.told)
        else:
            parser.add_argument(f"--{one.name}", action="store_true", help=one.told)
    if kind in _SHOWN:
        parser.add_argument("--json", action="store_true", help="as JSON")


def _add_places(parser: argparse.ArgumentParser, *, below: bool = False) -> None:
    """--config and --data-dir, before or after the command (`below`: then they do not reset what stood before)."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration file (default: config.json if it is there)",
        default=argparse.SUPPRESS if below else None,
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="the node's own directory (default: ./node-data)",
        default=argparse.SUPPRESS if below else Path("node-data"),
    )


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 256")
    return number


def _port_base(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65000")
    return int(text)


def _config_path(options: argparse.Namespace) -> Path | None:
    if options.config is not None:
        return Path(options.config).absolute()
    return configfile.find()


def _load(options: argparse.Namespace) -> configfile.Loaded | None:
    try:
        return configfile.load(_config_path(options))
    except configfile.ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return None


def _serve(options: argparse.Namespace) -> int:
    loaded = _load(options)
    if loaded is None:
        return 2
    from cluster.host import logs
    from cluster.host.paths import DataDirInUse
    from cluster.node.embedded import NotAvailable
    from cluster.node.supervisor import Options, Supervisor
    from cluster.sockets.listen import AddressInUse

    os.umask(_UMASK)
    redactor = Redactor()
    redactor.learn(loaded.config)
    logs.set_up(loaded.config.log_settings, "supervisor", redactor)
    for warning in loaded.warnings:
        log.warning("configuration", extra={"note": warning})
    supervisor = Supervisor(
        Options(
            config_path=_config_path(options),
            data_dir=options.data_dir.absolute(),
            workers=options.workers,
            ws_workers=options.ws_workers or max(1, options.workers // 2),
        ),
        loaded.config,
        redactor,
    )
    try:
        return asyncio.run(supervisor.run())
    except (AddressInUse, DataDirInUse, NotAvailable) as error:
        print(f"mmnode: {error}", file=sys.stderr)
        return 1


def _validate(options: argparse.Namespace) -> int:
    loaded = _load(options)
    if loaded is None:
        return 2
    for warning in loaded.warnings:
        print(warning, file=sys.stderr)
    print(f"{_config_path(options) or 'defaults'}: valid")
    return 0


def _tell(kind: type[of_node.Command], options: argparse.Namespace) -> int:
    """Let the running node do it, and show what came of it."""
    said: dict[str, object] = {}
    try:
        for one in of_node.arguments_of(kind):
            value = getattr(options, one.name)
            said[one.name] = (
                _read_secret(one.name, value) if one.secret else value == one.words[0] if one.words else value
            )
        command = of_node.read(kind.name(), said, "operator")
    except (ValueError, of_node.BadCommand) as error:
        print(f"mmnode: {error}", file=sys.stderr)
        return 2
    answer = _ask(options, command)
    if answer is None:
        return 1
    if kind in _SHOWN and not options.json and answer.get("ok"):
        _SHOWN[kind](answer)
    else:
        print(json.dumps(answer, indent=2))
    return 0 if answer.get("ok") else 1


def _show_status(answer: dict[str, Any]) -> None:
    print(f"{answer['state']}  {answer['url']}  node {answer['node_id']}  version {answer['version']}")
    database = answer["database"]
    print(f"database: {database['driver']} {database['master']}{' (embedded)' if database['embedded'] else ''}")
    for place in database["replicas"]:
        print(f"replica:  {place}")
    if answer["reasons"]:
        print(f"{answer['colour']}: {', '.join(answer['reasons'])}")
    if answer["recycle_needed"]:
        print(f"waiting for a recycle: {', '.join(answer['recycle_needed'])}")
    if answer["restart_needed"]:
        print(f"waiting for a restart: {', '.join(answer['restart_needed'])}")
    for child in answer["children"]:
        known = ("name", "state", "pid", "restarts", "uptime_s", "red")
        more = "  ".join(f"{key} {value}" for key, value in child.items() if key not in known)
        print(
            f"  {child['name']:<9} {child['state']:<9} pid {child['pid'] or '-':<8} up {child['uptime_s']} s"
            f"  restarts {child['restarts']}{'  RED' if child['red'] else ''}  {more}".rstrip()
        )


def _migrate(options: argparse.Namespace) -> int:
    loaded = _load(options)
    if loaded is None:
        return 2
    if not loaded.config.sql_settings.data_source:
        print("mmnode: the embedded database is brought up to date by the node itself", file=sys.stderr)
        return 1
    from cluster.workers.start import settings_of
    from db.model.errors import Refused
    from db.pool import migrate

    try:
        applied = asyncio.run(migrate.run(settings_of(loaded.config)))
    except Refused as error:
        print(f"mmnode: the database cannot be used: {error}", file=sys.stderr)
        return 1
    print("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
    return 0


def _read_secret(name: str, said: str) -> str:
    """A connection string. Raises ValueError. All users of a machine can read arguments (ps): no password there."""
    if said == "-":
        found = sys.stdin.readline()
    elif said.startswith("@"):
        try:
            found = Path(said[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise ValueError(f"--{name} {said}: {error.strerror}") from error
    elif dsn.may_hold_password(said):
        raise ValueError(
            f"--{name}: everybody on this machine can see the arguments of a command, so a connection string with a"
            f" password must come from a file (--{name} @FILE) or from standard input (--{name} -); think of changing"
            " this one"
        )
    else:
        found = said
    if not found.strip():
        raise ValueError(f"--{name} needs @FILE, - (standard input) or a connection string without a password")
    return found.strip()


def _show_members(answer: dict[str, Any]) -> None:
    for one in answer["members"]:
        why = ", ".join([*one["reasons"], *one["config_mismatch"]])
        print(
            f"{one['state']:<7} {one['id']}  {one['hostname']:<20} {one['internode_url']:<28} {one['version']:<8}"
            f" {one['liveness']:<9} seen {one['last_seen_ms']} ms ago  {why}".rstrip()
        )
    if not answer["members"]:
        print("high availability is off (ClusterSettings.Enable)")


def _demo(options: argparse.Namespace) -> int:
    from cluster.demo.nodes import Demo

    return Demo(options.port_base).run()


def _ask(options: argparse.Namespace, command: of_node.Command) -> dict[str, Any] | None:
    from cluster.host import paths
    from cluster.node import control

    try:
        return control.ask(paths.control_socket(options.data_dir), command.name(), **command.arguments())
    except PermissionError as error:
        print(f"mmnode: {error}: say this as root, or as the user of the node", file=sys.stderr)
        return None
    except (OSError, ValueError) as error:
        print(f"mmnode: no node runs on {options.data_dir}: {error}", file=sys.stderr)
        return None


_SHOWN = {of_node.Status: _show_status, of_node.Cluster: _show_members}
"""What has a form for people; the others' answers are JSON."""
