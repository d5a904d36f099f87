"""Where connections are, by what their ids begin with."""

from cluster.bus.addresses import LENGTH, address_of, node_at, node_part, worker_at
from db.model.ids import is_id, new_id
from ws.claims import ADDRESS_LENGTH


def test_an_address_names_one_worker_of_one_node() -> None:
    node_ids = [new_id() for _ in range(200)]
    for node_id in node_ids:
        for number in (0, 1, 15, 255):
            address = address_of(node_id, f"ws{number}")
            assert len(address) == LENGTH == ADDRESS_LENGTH
            assert is_id(address + new_id()[LENGTH:])
            assert worker_at(address, node_id) == f"ws{number}"
            assert node_at(address, node_ids) == node_id
    assert worker_at(address_of("a", "ws0"), "b") is None
    assert node_at(address_of("a", "ws0"), ["b", "c"]) is None


def test_what_is_no_address_is_nobodys() -> None:
    for address in ("", "x", "x" * LENGTH, node_part("a"), node_part("a") + "zz", node_part("a") + "000"):
        assert worker_at(address, "a") is None
        assert node_at(address, ["a"]) is None
