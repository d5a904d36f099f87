"""What a service manager wants to hear (sd_notify(3))."""

import logging
import os
import socket

log = logging.getLogger(__name__)


def notify(state: str) -> None:
    """Tell a service manager of Type=notify; nothing when there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notify:
        try:
            notify.sendto(state.encode(), address)
        except OSError as error:
            log.warning("the service manager cannot be told", extra={"reason": str(error)})
