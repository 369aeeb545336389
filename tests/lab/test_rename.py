"""A host gets another name."""

from typing import Any

from tests.lab.lab import Lab
from tests.lab.loss import Loss, pinging
from tests.lab.stack import Stack


def test_a_renamed_host_keeps_its_keys_and_no_other_tunnel_notices(stack: Stack, lab: Lab) -> None:
    """Its address follows its name; the address of its former name is gone, and it is not wiped."""
    mesh: dict[str, Any] = {"port": 51825, "deadline": 10}
    stack.write({"testwg": {**mesh, "hosts": list(lab.hosts)}})
    stack.up()
    keys = stack.running_public_keys("testwg")
    stay = [name for name in lab.hosts if name != "dora"]
    each: dict[tuple[str, str], Loss] = {}
    try:
        with pinging(stack, "testwg", stay, each):
            lab.hosts["storage"] = lab.hosts.pop("dora")
            hosts = {name: stack.describe(host) for name, host in lab.hosts.items()}
            hosts["storage"]["formerly"] = "dora"
            stack.write({"testwg": {**mesh, "hosts": list(hosts)}}, hosts)
            outcome = stack.up()
        assert "~ storage was dora, and keeps its key" in outcome.output
        assert sum(loss.lost for loss in each.values()) == 0
        keys["storage"] = keys.pop("dora")
        assert stack.running_public_keys("testwg") == keys
        assert stack.silent("testwg") == []
        del hosts["storage"]["formerly"]
        stack.write({"testwg": {**mesh, "hosts": list(hosts)}}, hosts)
        stack.up("--expect-no-changes", "--refresh")
    finally:
        lab.hosts["dora"] = lab.hosts.pop("storage")
