"""The life of a child process, sans-I/O: when to start it again, when it hangs, when it is hopeless.

DOWN ──spawned──> STARTING ──ready──> UP ──stopping──> STOPPING
  ^                   │               │                    │
  └───────────────────┴────exited─────┴────────────────────┘
"""

from dataclasses import dataclass
from enum import Enum

BACKOFF_FIRST_S = 0.1
BACKOFF_MOST_S = 5.0
EARLY_S = 2.0
EARLY_CRASHES_TO_RED = 5
STEADY_S = 3.0


class State(Enum):
    """Where a child is in its life."""

    DOWN = "no process; one is due at `restart_at`"
    STARTING = "a process that has not said it is ready"
    UP = "a process that serves"
    STOPPING = "told to stop"


@dataclass
class Child:
    """One child, whatever process fills its place. Times are seconds of any monotonic clock.

    watchdog_s: a process whose loop has not turned for so long is to be killed (None: it has no loop of ours).
    start_s: the same before its first beat.
    """

    name: str
    watchdog_s: float | None
    start_s: float = 30.0
    state: State = State.DOWN
    restart_at: float = 0.0
    spawned_at: float = 0.0
    beat_at: float = 0.0
    restarts: int = -1
    _backoff_s: float = BACKOFF_FIRST_S
    _early_crashes: int = 0
    _has_beaten: bool = False

    @property
    def red(self) -> bool:
        """Whether it crashed 5 times in a row, each time within 2 s of its start, and has not run for longer since."""
        return self._early_crashes >= EARLY_CRASHES_TO_RED

    def due(self, now: float) -> bool:
        """Whether a process is to be started now."""
        return self.state is State.DOWN and now >= self.restart_at

    def spawned(self, now: float) -> None:
        """A process was started."""
        self.state = State.STARTING
        self.spawned_at = self.beat_at = now
        self._has_beaten = False
        self.restarts += 1

    def ready(self) -> None:
        """It says that it serves."""
        if self.state is State.STARTING:
            self.state = State.UP

    def beat(self, now: float) -> None:
        """Its loop has turned."""
        self.beat_at = now
        self._has_beaten = True
        if now - self.spawned_at >= EARLY_S:
            self._early_crashes = 0

    def stopping(self) -> None:
        """It was told to stop."""
        if self.state is not State.DOWN:
            self.state = State.STOPPING

    def exited(self, now: float) -> None:
        """Its process has ended. The longer it keeps crashing, the longer the pause before the next one."""
        lived_s = now - self.spawned_at
        if lived_s >= STEADY_S:
            self._backoff_s = BACKOFF_FIRST_S
        self._early_crashes = self._early_crashes + 1 if lived_s < EARLY_S else 0
        self.restart_at = now + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, BACKOFF_MOST_S)
        self.state = State.DOWN

    def hangs(self, now: float) -> bool:
        """Whether the watchdog is to kill it."""
        if self.state is State.DOWN or self.watchdog_s is None:
            return False
        patience = self.watchdog_s if self._has_beaten else self.start_s
        return now - self.beat_at > patience

    def excuse(self, late_s: float) -> None:
        """The observer itself was late by so much: nobody else is to blame for that time."""
        self.beat_at += late_s
