"""A node whose link to the database dies without a word, in the middle of an edit: others go on in its channel."""

import threading
import time

import pytest

from tests.plugins.drivers import Driver, drivers
from tests.rig import backends
from tests.rig.faultproxy import FaultProxy
from tests.rig.lateness import within
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest
from tests.rig.wait import until

pytestmark = drivers("postgres", "mysql")


def _node(driver: Driver, dsn: str) -> Node:
    environment = {"MM_SQLSETTINGS_DATASOURCE": dsn, "MM_SQLSETTINGS_DRIVERNAME": driver}
    return Node(database="configured", workers=1, environment=environment)


class Editing:
    """Somebody who edits one post without pause."""

    def __init__(self, who: Rest, post_id: str) -> None:
        self.done = 0
        self.statuses: set[int] = set()
        self._who, self._post_id = who, post_id
        self._stopped = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Editing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stopped:
            body = {"message": f"edited {self.done}"}
            self.statuses.add(self._who.call("PUT", f"/posts/{self._post_id}/patch", body, timeout=60).status_code)
            self.done += 1


@pytest.mark.node
def test_a_node_that_loses_its_database_in_an_edit_holds_up_no_other(driver: Driver) -> None:
    with backends.servers(driver, 0) as servers, FaultProxy("127.0.0.1", servers.master.port) as proxy:
        dsn = servers.master.dsn(servers.new_database())
        to = dsn.replace(f"port={servers.master.port}", f"port={proxy.port}").replace(
            f":{servers.master.port})", f":{proxy.port})"
        )
        with _node(driver, dsn) as healthy, _node(driver, to) as cut:
            ann = new_user(healthy.url)
            channel = new_channel(ann, new_team(ann))
            post = ann.write(channel["id"], "first")
            at_the_other = ann.at(cut.url)
            proxy.set(latency_s=0.1)  # so that it is nearly always in a transaction
            with Editing(at_the_other, post["id"]) as editing:
                until(lambda: editing.done >= 2, 20, "edits")
                proxy.cut()
                written = []
                for number in range(4):
                    began = time.monotonic()
                    written.append(ann.write(channel["id"], f"meanwhile {number}")["id"])
                    assert within(3, since=began)
                    time.sleep(0.3)
                assert healthy.ping() == 200
                proxy.heal()
                so_far = editing.done
                until(lambda: editing.done >= so_far + 1, 60, "edits after the heal")
            assert editing.statuses <= {200, 503}
            listed = ann.get(f"/channels/{channel['id']}/posts?per_page=200")["order"]
            assert [one for one in reversed(listed) if one in written] == written
            at_the_other.close()
            ann.close()
