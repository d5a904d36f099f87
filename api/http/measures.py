"""What is counted of HTTP: answers by method and status, and how long operations take."""

from http import HTTPMethod

from app.counting import Counter, Histogram, Metrics
from app.metrics import API_TIME, ERRORS, REQUESTS, RESPONSES

_OTHER = "other"
_METHODS = frozenset(HTTPMethod)


class Measures:
    """One for a worker."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._requests = metrics.counter(REQUESTS)
        self._errors = metrics.counter(ERRORS)
        self._responses: dict[tuple[str, int], Counter] = {}
        self._times: dict[tuple[str, str, int], Histogram] = {}

    def answered(self, method: str, path: str, status: int) -> None:
        """A request has its answer. method: as the client wrote it; path: in its one form."""
        if path.startswith("/api/"):
            self._requests.inc()
            if status >= 400:
                self._errors.inc()
        counter = self._responses.get((method, status // 100))
        if counter is None:
            known = method if method in _METHODS else _OTHER
            counter = self._metrics.counter(RESPONSES, known, f"{status // 100}xx")
            if known is method:
                self._responses[method, status // 100] = counter
        counter.inc()

    def observe(self, operation: str, method: str, status: int, seconds: float) -> None:
        """An operation of the API took so long. operation: its name in the table, never the client's path."""
        histogram = self._times.get((operation, method, status))
        if histogram is None:
            histogram = self._metrics.histogram(API_TIME, operation, method, str(status))
            self._times[operation, method, status] = histogram
        histogram.observe(seconds)
