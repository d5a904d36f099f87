"""Where a request comes from, as far as verbs care."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """address: of the client, as trusted proxies say. source: its network, which counts as one. '': not known."""

    address: str = ""
    source: str = ""
    request_id: str = ""


NOWHERE = Origin()
