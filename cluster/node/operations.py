"""What operators ask of a node, or by it of all nodes: status, reload, recycle, failover, purge.

Whichever way a request comes (control socket, a worker's administrator, another node), it ends here, in the supervisor.
With `cluster: true` the other nodes do it, too, and the answer has a result for each by its id.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any, assert_never

import msgspec

from app.config import file as configfile
from app.config.marks import Applies
from app.config.settings import KEYS, Config, apply_live, differences, masked, needs_restart
from app.journal import details
from app.redaction import Redactor
from app.version import VERSION
from cluster.commands import of_node, of_worker
from cluster.commands.of_node import AnyCommand, ForEveryNode
from cluster.commands.of_worker import ALL, RELAY
from cluster.host import logs
from cluster.host.paths import Paths
from cluster.node.servers import DatabaseServers
from cluster.node.switch import MasterSwitch
from cluster.peers.colours import colour_of
from db.pool import dsn

log = logging.getLogger(__name__)

Answer = dict[str, Any]
AskWorkers = Callable[[Collection[str], of_worker.AnyCommand], Awaitable[dict[str, dict[str, object]]]]
ADMINISTRATOR = "administrator"
"""Who asks: an administrator's own row of the audit log is written by the worker that knows who it is."""


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
        self.metrics_url = ""
        """Where metrics are read; '': nowhere."""
        self._pending_restart: list[str] = []
        redactor.learn_source(servers.active.driver_name, servers.active.data_source)
        self._switch = MasterSwitch(servers, self._ask_peers, redactor.learn_source)

    def pending(self) -> dict[str, int]:
        """How many changed keys of the configuration wait, by what they wait for."""
        recycle = self.servers.pending(self.config.sql_settings)
        return {"restart": len(self._pending_restart), "recycle": len(recycle)}

    def _file(self) -> Path | None:
        """config.json: that of the start; where there was none, the one that has been written since."""
        self._config_path = self._config_path or configfile.find()
        return self._config_path

    async def run(self, command: AnyCommand, by: str) -> Answer:
        """The answer to a command: `ok`, and `error` where that is False. by: who asks, for the audit log."""
        try:
            answer = await self._run(command)
        except Exception as error:
            log.exception("a command failed", extra={"command": command.name()})
            answer = {"ok": False, "error": f"it failed: {type(error).__name__}"}
        took_part = isinstance(command, of_node.Switch)
        if command.audit is not None and by != ADMINISTRATOR and (not took_part or answer.get("changed")):
            await self._audit(command, command.audit, answer, by)
        return answer

    async def _run(self, command: AnyCommand) -> Answer:
        if isinstance(command, ForEveryNode) and command.cluster and self.config.cluster_settings.enable:
            return await self._everywhere(command)
        match command:
            case of_node.Status():
                return await self._status()
            case of_node.Reload():
                return await self.reload()
            case of_node.Environment():
                return {"ok": True, "environment": configfile.overridden()}
            case of_node.Save():
                return await self._save(command)
            case of_node.Database():
                return await self.servers.status()
            case of_node.Recycle():
                return await self._recycle(force=command.force)
            case of_node.Switch():
                return await self._take_part(command)
            case of_node.Failover():
                return await self._fail_over(command.to, force=command.force)
            case of_node.Diff():
                return self._diff()
            case of_node.Purge():
                return await self._purge()
            case of_node.Cluster():
                return await self._cluster()
            case of_node.Unlock():
                return await self._ask_relay(of_worker.Unlock(command.user))
            case of_node.Drain():
                return {"ok": True}
            case of_node.Remove():
                return await self._ask_relay(of_worker.Remove(command.node))
            case of_node.Upgrade():
                return await self._ask_relay(of_worker.Upgrade(command.begin))
            case _:
                assert_never(command)

    async def _ask_peers(self, step: of_node.Switch, limit_s: float) -> dict[str, Answer]:
        """A step of a change of the master on every other node; a result of each."""
        if not self.config.cluster_settings.enable:
            return {}
        found: dict[str, Answer] = (await self._ask_relay(of_worker.Everywhere(step, limit_s))).get("nodes", {})
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

    async def _take_part(self, asked: of_node.Switch) -> Answer:
        """What the node that leads a change of the master asks."""
        answer = await self._switch.take(asked, self.config)
        if asked.step == "follow" and answer["ok"] and asked.store:
            answer |= await self._store_sources()
        answer["stored"] = answer.get("config", "")
        return {key: answer[key] for key in ("ok", "error", "heads", "stored", "changed") if key in answer}

    async def _store_sources(self) -> Answer:
        """What is used is what the configuration says from now on."""
        self.config = msgspec.structs.replace(self.config, sql_settings=self.servers.active)
        await self._ask(ALL, of_worker.Reload(self.config))
        stored = configfile.store_sources(self._file(), self.servers.active)
        with contextlib.suppress(configfile.ConfigError):  # what the environment says goes before the file
            self.servers.keep(configfile.load(self._file()).config.sql_settings)
        return {"config": stored}

    async def _audit(self, command: AnyCommand, action: str, answer: Answer, by: str) -> None:
        """A line of the log at once; a row by the relay, which keeps it while there is no database."""
        if isinstance(command, of_node.Unlock) and answer.get("ok"):
            return  # in the transaction of the change
        told = {name: getattr(command, name) for name in command.told if getattr(command, name)}
        row = of_worker.Audit(action, "success" if answer.get("ok") else "fail", details(by=by, **told))
        if not (await self._ask_relay(row)).get("ok"):
            log.info("audit", extra={"action": row.action, "result": row.result, "details": row.details})

    async def _everywhere(self, command: of_node.Reload | of_node.Recycle | of_node.Purge) -> Answer:
        """All nodes at once; a result for each."""
        own = await self._run(msgspec.structs.replace(command, cluster=False))
        others = await self._ask_relay(of_worker.Everywhere(type(command)()))
        nodes = {self._paths.node_id: own | {"result": "ok" if own.get("ok") else "error"}, **others.get("nodes", {})}
        failed = {node_id: str(one.get("error") or one["result"]) for node_id, one in nodes.items() if not one["ok"]}
        answer: Answer = {"ok": not failed, "nodes": nodes}
        if failed:
            answer["error"] = "; ".join(f"{node_id}: {error}" for node_id, error in sorted(failed.items()))
        return answer

    async def _ask_relay(self, command: of_worker.AnyCommand) -> Answer:
        return (await self._ask(RELAY, command)).get("relay", {"ok": False, "error": "no relay"})

    async def _cluster(self) -> Answer:
        """The members, as this node sees them; none without high availability."""
        if not self.config.cluster_settings.enable:
            return {"ok": True, "members": []}
        return await self._ask_relay(of_worker.Cluster())

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
        answers = await self._ask(ALL, of_worker.Purge())
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
        applied = [one for one in differences(self.config, new) if KEYS[one].applies is Applies.LIVE]
        self._pending_restart = [one for one in differences(new, loaded.config) if needs_restart(one)]
        self.config = new
        self._redactor.learn(loaded.config)
        logs.set_up(new.log_settings, "supervisor", self._redactor)
        answers = await self._ask(ALL, of_worker.Reload(new))
        log.info("configuration reloaded", extra={"applied": applied, "restart_needed": self._pending_restart})
        good = all(answer.get("ok") for answer in answers.values())
        return {
            "ok": good,
            "applied": applied,
            "restart_needed": self._pending_restart,
            "recycle_needed": self.servers.pending(self.config.sql_settings),
            "workers": answers,
        }

    async def _save(self, command: of_node.Save) -> Answer:
        """`config` of the answer: as it is kept now. refused: the values are why not."""
        try:
            keys = configfile.store(self._file(), command.sections, self.config)
        except configfile.ConfigError as error:
            return {"ok": False, "refused": True, "error": str(error)}
        except OSError as error:
            return {"ok": False, "error": f"the file cannot be written: {error.strerror}"}
        answer: Answer = {"ok": True}
        if keys:
            log.info("values of the configuration are kept", extra={"keys": " ".join(keys)})
            answer = await self.reload()
        return answer | {"config": masked(configfile.load(self._file()).config)} if answer["ok"] else answer

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
        answers = await self._ask(ALL, of_worker.Status())
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
            **({"metrics_url": self.metrics_url} if self.metrics_url else {}),
            "state": "up" if up else "degraded" if self.announced else "starting",
            "colour": colour_of(reasons),
            "reasons": reasons,
            "database": self.servers.places(),
            "restart_needed": self._pending_restart,
            "recycle_needed": self.servers.pending(self.config.sql_settings),
            "children": children,
        }
