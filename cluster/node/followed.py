"""Where a node has the master while its configuration still names another one: kept for its next start.

`<data-dir>/master.json` holds both places, without credentials: {"named": {...}, "used": {...}}. It counts as long as
the configuration names what it named then; whoever edits it is obeyed.
"""

import json
import logging
from pathlib import Path

import msgspec

from app.config.settings import SqlSettings
from db.pool.place import Where, moved, where

log = logging.getLogger(__name__)

NAME = "master.json"


def keep(path: Path, named: SqlSettings, used: SqlSettings) -> None:
    """Remember where the master is, or forget it when the configuration says so itself."""
    here, there = (where(one.driver_name, one.data_source) for one in (named, used))
    try:
        if here is None or there is None or here == there:
            path.unlink(missing_ok=True)
        else:
            path.write_text(json.dumps({"named": here.told(), "used": there.told()}))
    except OSError as error:
        log.warning("where the master is cannot be kept for the next start", extra={"reason": str(error)})


def recall(path: Path, named: SqlSettings) -> SqlSettings:
    """The settings to begin with: those of the configuration, or where this node last followed the others to."""
    driver = named.driver_name
    try:
        said = json.loads(path.read_text())
        here, there = Where.of(said["named"]), Where.of(said["used"])
        if there is None or not named.data_source or here != where(driver, named.data_source):
            return named
        source = moved(driver, named.data_source, there)
    except FileNotFoundError:
        return named
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("where the master was is not understood", extra={"file": str(path), "reason": type(error).__name__})
        return named
    return using(named, source, there)


def using(named: SqlSettings, source: str, there: Where) -> SqlSettings:
    """The settings with this master; it is no replica any more."""
    replicas = [one for one in named.data_source_replicas if where(named.driver_name, one) != there]
    return msgspec.structs.replace(named, data_source=source, data_source_replicas=replicas)
