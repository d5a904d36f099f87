"""What operators ask of a node, or by it of all nodes: status, reload, recycle, failover, purge.

Whichever way a request comes (control socket, a worker's administrator, another node), it ends here, in the supervisor.
With `cluster: true` the other nodes do it, too, and the answer has a result for each by its id.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import msgspec

from app.config import file as configfile
from app.config.settings import RECYCLE_NEEDED, Config, apply_live, differences, needs_restart, to_json
from app.journal import details
from app.redaction import Redactor
from app.version import VERSION
from cluster.commands import ACTIONS, ALL, EVERYWHERE, OF_ADMINISTRATOR, OF_PEERS
from cluster.host import logs
from cluster.host.paths import Paths
from cluster.node.servers import DatabaseServers
from cluster.node.switch import MasterSwitch
from cluster.peers.colours import colour_of
from db.pool import dsn

log = logging.getLogger(__name__)

Answer = dict[str, Any]
AskWorkers = Callable[[Collection[str], str, dict[str, object]], Awaitable[dict[str, dict[str, object]]]]


class Operations:
    """config: in use now. children: what the supervisor knows of each child."""

    def __init__(
        self,
        config_path: Path | None,
        config: Config,
        servers: DatabaseServers,
        ask: AskWorkers,
        children: Callable[[], list[Answer]],
        paths: Paths,
        url: str,
        redactor: Redactor,
    ) -> None:
        self.config = config
        self._redactor = redactor
        self.servers = servers
        self._config_path = config_path
        self._ask = ask
        self._children = children
        self._paths = paths
        self._url = url
        self.announced = False
        """Whether all of the node has been up since its start."""
        self._pending_restart: list[str] = []
        redactor.learn_source(servers.active.driver_name, servers.active.data_source)
        self._switch = MasterSwitch(servers, self._ask_peers, redactor.learn_source)

    def _file(self) -> Path | None:
        """config.json: that of the start; where there was none, the one that has been written since."""
        self._config_path = self._config_path or configfile.find()
        return self._config_path

    async def run(self, command: str, arguments: Answer, by: str) -> Answer:
        """The answer to a command: `ok`, and `error` where that is False. by: who asks."""
        answer = await self._run(command, arguments)
        took_part = command in OF_PEERS
        if command in ACTIONS and by != OF_ADMINISTRATOR and (not took_part or answer.get("changed")):
            await self._audit(command, arguments, answer, by)
        return answer

    async def _run(self, command: str, arguments: Answer) -> Answer:
        if arguments.get("cluster") and command in EVERYWHERE and self.config.cluster_settings.enable:
            return await self._everywhere(command, {"force": arguments.get("force")})
        match command:
            case "status":
                return await self._status()
            case "reload":
                return await self.reload()
            case "database":
                return await self.servers.status()
            case "recycle":
                return await self._recycle(force=bool(arguments.get("force")))
            case "switch":
                return await self._take_part(arguments)
            case "failover":
                return await self._fail_over(str(arguments["to"]), force=bool(arguments.get("force")))
            case "diff":
                return self._diff()
            case "purge":
                return await self._purge()
            case "cluster":
                return await self._cluster()
            case "unlock":
                return await self._ask_relay(command, {"user": arguments["user"]})
            case "drain":
                return {"ok": True}
            case "remove" | "upgrade":
                return await self._ask_relay(command, {"node": arguments.get("node"), "begin": arguments.get("begin")})
        return {"ok": False, "error": f"unknown command {command!r}"}

    async def _ask_peers(self, arguments: dict[str, object], limit_s: float) -> dict[str, Answer]:
        """A step of a change of the master on every other node; a result of each."""
        if not self.config.cluster_settings.enable:
            return {}
        body = {"command": "switch", "arguments": arguments, "limit_s": limit_s}
        found: dict[str, Answer] = (await self._ask_relay("everywhere", body)).get("nodes", {})
        return found

    async def _recycle(self, *, force: bool) -> Answer:
        """New connections to what the configuration names. Another master is a change for all nodes: who is asked first
        leads it; who is asked later finds it done.
        """
        await self._switch.settled()
        servers = self.servers
        async with servers.one_at_a_time:
            wanted = self.config.sql_settings
            if bool(wanted.data_source) == servers.embedded:
                return {"ok": False, "error": "from or to the embedded database only by a restart"}
            later = not servers.embedded and await servers.is_later(self.config)
            if isinstance(later, str):
                return {"ok": False, "error": later}
            if not later:
                return await servers.go_over(self.config, wanted)
            return await self._switch.lead(self.config, wanted, force=force, promote=False, store=False)

    async def _take_part(self, arguments: Answer) -> Answer:
        """What the node that leads a change of the master asks."""
        step = str(arguments.get("step"))
        answer = await self._switch.take(step, arguments, self.config)
        if step == "follow" and answer["ok"] and arguments.get("store"):
            answer |= await self._store_sources()
        answer["stored"] = answer.get("config", "")
        return {key: answer[key] for key in ("ok", "error", "heads", "stored", "changed") if key in answer}

    async def _store_sources(self) -> Answer:
        """What is used is what the configuration says from now on."""
        self.config = msgspec.structs.replace(self.config, sql_settings=self.servers.active)
        await self._ask(ALL, "reload", {"config": to_json(self.config).decode()})
        stored = configfile.store_sources(self._file(), self.servers.active)
        with contextlib.suppress(configfile.ConfigError):  # what the environment says goes before the file
            self.servers.keep(configfile.load(self._file()).config.sql_settings)
        return {"config": stored}

    async def _audit(self, command: str, arguments: Answer, answer: Answer, by: str) -> None:
        """A line of the log at once; a row by the relay, which keeps it while there is no database."""
        if command == "unlock" and answer.get("ok"):
            return  # in the transaction of the change
        action = ACTIONS[command]
        result = "success" if answer.get("ok") else "fail"
        told = {name: arguments[name] for name in ("cluster", "node", "begin", "force", "user") if arguments.get(name)}
        text = details(by=by, **told)
        body: dict[str, object] = {"action": action, "result": result, "details": text}
        if not (await self._ask_relay("audit", body)).get("ok"):
            log.info("audit", extra=body)

    async def _everywhere(self, command: str, arguments: Answer) -> Answer:
        """All nodes at once; a result for each."""
        own = await self._run(command, arguments)
        others = await self._ask_relay("everywhere", {"command": command, "arguments": {}})
        nodes = {self._paths.node_id: own | {"result": "ok" if own.get("ok") else "error"}, **others.get("nodes", {})}
        failed = {node_id: str(one.get("error") or one["result"]) for node_id, one in nodes.items() if not one["ok"]}
        answer: Answer = {"ok": not failed, "nodes": nodes}
        if failed:
            answer["error"] = "; ".join(f"{node_id}: {error}" for node_id, error in sorted(failed.items()))
        return answer

    async def _ask_relay(self, kind: str, body: dict[str, object]) -> Answer:
        return (await self._ask(("relay",), kind, body)).get("relay", {"ok": False, "error": "no relay"})

    async def _cluster(self) -> Answer:
        """The members, as this node sees them; none without high availability."""
        if not self.config.cluster_settings.enable:
            return {"ok": True, "members": []}
        return await self._ask_relay("cluster", {})

    def _diff(self) -> Answer:
        """Which keys of the file differ from what this node uses, and what would apply them. Never a value."""
        try:
            loaded = configfile.load(self._file())
        except configfile.ConfigError as error:
            return {"ok": False, "error": str(error)}
        found = {}
        for dotted in differences(self.config, loaded.config):
            found[dotted] = "restart" if needs_restart(dotted) else "reload"
        for dotted in self.servers.pending(loaded.config.sql_settings):
            found[dotted] = "restart" if needs_restart(dotted) else "recycle"
        return {"ok": True, "differences": found}

    async def _purge(self) -> Answer:
        """Forget all copies that this node holds."""
        answers = await self._ask(ALL, "purge", {})
        return {"ok": all(answer.get("ok") for answer in answers.values()), "workers": answers}

    async def reload(self) -> Answer:
        """Load the file; what can be applied live goes to every worker, the rest is reported as pending."""
        try:
            loaded = configfile.load(self._file())
        except configfile.ConfigError as error:
            log.error("the configuration is not reloaded", extra={"problems": str(error)})
            return {"ok": False, "error": str(error)}
        for warning in loaded.warnings:
            log.warning("configuration", extra={"note": warning})
        new = apply_live(self.config, loaded.config)
        applied = [one for one in differences(self.config, new) if not one.startswith(RECYCLE_NEEDED)]
        self._pending_restart = [one for one in differences(new, loaded.config) if needs_restart(one)]
        self.config = new
        self._redactor.learn(loaded.config)
        logs.set_up(new.log_settings, "supervisor", self._redactor)
        answers = await self._ask(ALL, "reload", {"config": to_json(new).decode()})
        log.info("configuration reloaded", extra={"applied": applied, "restart_needed": self._pending_restart})
        good = all(answer.get("ok") for answer in answers.values())
        return {
            "ok": good,
            "applied": applied,
            "restart_needed": self._pending_restart,
            "recycle_needed": self.servers.pending(self.config.sql_settings),
            "workers": answers,
        }

    async def _fail_over(self, to: str, *, force: bool) -> Answer:
        """Another master for all nodes, now and in their configuration files."""
        driver = self.config.sql_settings.driver_name
        self._redactor.learn_source(driver, to)
        try:
            dsn.judge(driver, to)
        except ValueError as error:
            return {"ok": False, "error": f"the connection string of the new master cannot be used: {error}"}
        await self._switch.settled()
        async with self.servers.one_at_a_time:
            if self.servers.embedded:
                return {"ok": False, "error": "the embedded database has no other server to go to"}
            replicas = [one for one in self.servers.active.data_source_replicas if one != to]
            sql = msgspec.structs.replace(self.config.sql_settings, data_source=to, data_source_replicas=replicas)
            answer = await self._switch.lead(self.config, sql, force=force, promote=True, store=True)
            if answer["ok"]:
                answer |= await self._store_sources()
            return answer

    async def _status(self) -> Answer:
        answers = await self._ask(ALL, "status", {})
        relay: Answer = answers.get("relay", {})
        reasons: list[str] = relay.pop("reasons", ["relay_down"])
        children = self._children()
        for child in children:
            child.update({key: value for key, value in answers.get(child["name"], {}).items() if key != "ok"})
        up = all(child["state"] == "up" for child in children)
        return {
            "ok": True,
            "node_id": self._paths.node_id,
            "version": VERSION,
            "url": self._url,
            "state": "up" if up else "degraded" if self.announced else "starting",
            "colour": colour_of(reasons),
            "reasons": reasons,
            "database": self.servers.places(),
            "restart_needed": self._pending_restart,
            "recycle_needed": self.servers.pending(self.config.sql_settings),
            "children": children,
        }
