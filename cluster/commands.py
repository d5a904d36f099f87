"""What the processes of a node, its operators and other nodes ask of each other, by name."""

ALL = ("relay", "ws", "api")
OF_WORKERS = frozenset({"reload", "recycle", "purge", "cluster"})
"""What administrators may ask by any worker, and other nodes by the relay."""
OF_PEERS = frozenset({"switch"})
"""What the relay alone may ask: for another node, or because it follows one."""
EVERYWHERE = frozenset({"reload", "recycle", "purge"})
READS = frozenset({"status", "database", "diff", "cluster"})
OF_ADMINISTRATOR = "administrator"
"""Who asks: an administrator's own row of the audit log is written by the worker that knows who it is."""
ACTIONS = {
    "reload": "configReload",
    "recycle": "databaseRecycle",
    "failover": "databaseFailover",
    "purge": "invalidateCaches",
    "remove": "clusterRemove",
    "upgrade": "clusterUpgrade",
    "unlock": "resetPasswordFailedAttempts",
    "drain": "drain",
    "switch": "databaseFollow",
}
"""By command, of those that change something: what the audit log calls it."""
OF_DATABASE = frozenset({"verify", "recycle", "hold", "release", "failover", "close"})
"""What the supervisor asks of every worker that has a database."""
OF_RELAY = frozenset({"survey", "cluster", "everywhere", "remove", "upgrade", "audit", "unlock"})
"""What it asks of the relay."""
