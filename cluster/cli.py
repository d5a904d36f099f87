"""The command line.

    mmnode [--workers N] [--ws-workers M] [--config FILE] [--data-dir DIR]    run a node
    mmnode config validate | reload | diff        mmnode status        mmnode drain
    mmnode cluster status | drain | remove NODE | upgrade begin|end
    mmnode demo [--port-base PORT]                    three nodes over PostgreSQL with two replicas, to play with
    mmnode db status | recycle | migrate | failover --to @FILE|- [--force]
    mmnode user unlock NAME

Exit status: 0 done, 1 failed, 2 the command line or the configuration is wrong (nothing was started), 78 the node
stopped because another process runs under its node_id, or because what stands before its database cannot be used.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.config import file as configfile
from app.redaction import Redactor
from app.version import MATTERMOST_VERSION, VERSION
from db.pool import dsn

log = logging.getLogger(__name__)

_UMASK = 0o027
"""Of a node: the group may read its log file; what is to be secret has a mode of its own."""


def main(arguments: Sequence[str]) -> int:
    """Run a command; the exit status."""
    if arguments and arguments[0] == "forkserver":  # how the supervisor starts its workers
        from cluster.node import forkserver

        return forkserver.main(int(arguments[1]), arguments[2])
    options = _parser().parse_args(arguments)
    if options.command is None:
        return _serve(options)
    handler = {
        "config": _config,
        "status": _status,
        "drain": _drain,
        "db": _database,
        "demo": _demo,
        "cluster": _cluster,
        "user": _user,
    }[options.command]
    try:
        status = handler(options)
        sys.stdout.flush()
    except BrokenPipeError:  # who read it has read enough: `mmnode status | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmnode", description="A high-availability team-messaging server node.", allow_abbrev=False
    )
    parser.add_argument(
        "--version", action="version", version=f"mmnode {VERSION} (speaks Mattermost {MATTERMOST_VERSION})"
    )
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
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    config = commands.add_parser("config", help="judge or reload the configuration file", allow_abbrev=False)
    config.add_argument(
        "action", choices=["validate", "reload", "diff"], help="diff: the file against the running node"
    )
    status = commands.add_parser("status", help="what the running node does", allow_abbrev=False)
    status.add_argument("--json", action="store_true", help="as JSON")
    drain = commands.add_parser("drain", help="stop the running node in good order", allow_abbrev=False)
    database = commands.add_parser("db", help="look after the database", allow_abbrev=False)
    database.add_argument(
        "action",
        choices=["status", "recycle", "migrate", "failover"],
        help="what its servers are; new connections for the running node; bring the schema up to date; another master",
    )
    database.add_argument(
        "--to",
        metavar="@FILE|-|DSN",
        help="failover: connection string of the new master, in a file or on standard input if it has a password",
    )
    database.add_argument(
        "--force",
        action="store_true",
        help="failover, recycle: although the old master does not answer, or acknowledged posts are lost",
    )
    demo = commands.add_parser("demo", help="three nodes over PostgreSQL with two replicas", allow_abbrev=False)
    demo.add_argument(
        "--port-base",
        type=_port_base,
        default=8065,
        metavar="PORT",
        help="HTTP of the first node (default: 8065); the others' is 100 and 200 higher, between nodes each 10 higher",
    )
    cluster = commands.add_parser("cluster", help="look after the nodes of the cluster", allow_abbrev=False)
    cluster.add_argument(
        "action",
        choices=["status", "drain", "remove", "upgrade"],
        help="what its nodes are; stop this one in good order; take one out; declare that versions are being changed",
    )
    cluster.add_argument(
        "what", nargs="?", metavar="NODE|begin|end", help="remove: id of the node; upgrade: begin or end"
    )
    cluster.add_argument("--json", action="store_true", help="as JSON")
    user = commands.add_parser("user", help="look after accounts", allow_abbrev=False)
    user.add_argument("action", choices=["unlock"], help="no delay any more after wrong passwords")
    user.add_argument("name", metavar="NAME", help="user name or email address")
    for command in (config, database):
        command.add_argument("--cluster", action="store_true", help="reload, recycle: all nodes, with a result of each")
    for command in (config, status, drain, database, cluster, user):
        _add_places(command, below=True)
    return parser


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


def _config(options: argparse.Namespace) -> int:
    if options.action == "reload":
        return _print_answer(_ask(options, "reload", cluster=options.cluster))
    if options.action == "diff":
        return _print_answer(_ask(options, "diff"))
    loaded = _load(options)
    if loaded is None:
        return 2
    for warning in loaded.warnings:
        print(warning, file=sys.stderr)
    print(f"{_config_path(options) or 'defaults'}: valid")
    return 0


def _drain(options: argparse.Namespace) -> int:
    return _print_answer(_ask(options, "drain"))


def _status(options: argparse.Namespace) -> int:
    answer = _ask(options, "status")
    if answer is None or options.json or not answer.get("ok"):
        return _print_answer(answer)
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
    return 0


def _database(options: argparse.Namespace) -> int:
    if options.action == "recycle":
        return _print_answer(_ask(options, "recycle", cluster=options.cluster, force=options.force))
    if options.action == "status":
        return _print_answer(_ask(options, "database"))
    if options.action == "failover":
        try:
            to = _connection_string(options.to or "")
        except ValueError as error:
            print(f"mmnode: {error}", file=sys.stderr)
            return 2
        return _print_answer(_ask(options, "failover", to=to, force=options.force))
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


def _connection_string(said: str) -> str:
    """What `--to` names. Raises ValueError. All users of a machine can read arguments (ps): no password there."""
    if said == "-":
        found = sys.stdin.readline()
    elif said.startswith("@"):
        try:
            found = Path(said[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise ValueError(f"--to {said}: {error.strerror}") from error
    elif dsn.may_hold_password(said):
        raise ValueError(
            "--to: everybody on this machine can see the arguments of a command, so a connection string with a password"
            " must come from a file (--to @FILE) or from standard input (--to -); think of changing this one"
        )
    else:
        found = said
    if not found.strip():
        raise ValueError("db failover needs --to @FILE, - (standard input) or a connection string without a password")
    return found.strip()


def _cluster(options: argparse.Namespace) -> int:
    if options.action == "drain":
        return _drain(options)
    if options.action == "remove":
        if not options.what:
            print("mmnode: cluster remove needs the id of a node", file=sys.stderr)
            return 2
        return _print_answer(_ask(options, "remove", node=options.what))
    if options.action == "upgrade":
        if options.what not in ("begin", "end"):
            print("mmnode: cluster upgrade needs begin or end", file=sys.stderr)
            return 2
        return _print_answer(_ask(options, "upgrade", begin=options.what == "begin"))
    answer = _ask(options, "cluster")
    if answer is None or options.json or not answer.get("ok"):
        return _print_answer(answer)
    for one in answer["members"]:
        why = ", ".join([*one["reasons"], *one["config_mismatch"]])
        print(
            f"{one['state']:<7} {one['id']}  {one['hostname']:<20} {one['internode_url']:<28} {one['version']:<8}"
            f" {one['liveness']:<9} seen {one['last_seen_ms']} ms ago  {why}".rstrip()
        )
    if not answer["members"]:
        print("high availability is off (ClusterSettings.Enable)")
    return 0


def _user(options: argparse.Namespace) -> int:
    return _print_answer(_ask(options, "unlock", user=options.name))


def _demo(options: argparse.Namespace) -> int:
    from cluster.demo.nodes import Demo

    return Demo(options.port_base).run()


def _ask(options: argparse.Namespace, command: str, **arguments: Any) -> dict[str, Any] | None:
    from cluster.host import paths
    from cluster.node import control

    try:
        return control.ask(paths.control_socket(options.data_dir), command, **arguments)
    except PermissionError as error:
        print(f"mmnode: {error}: say this as root, or as the user of the node", file=sys.stderr)
        return None
    except (OSError, ValueError) as error:
        print(f"mmnode: no node runs on {options.data_dir}: {error}", file=sys.stderr)
        return None


def _print_answer(answer: dict[str, Any] | None) -> int:
    if answer is None:
        return 1
    print(json.dumps(answer, indent=2))
    return 0 if answer.get("ok") else 1
