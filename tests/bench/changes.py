"""The changes of a mesh by this program, one after another: what each is called, whom it is about, how it is made."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.wireguard.keys import generate_preshared_key
from tests.bench.configurations import INTERFACE, PORT
from tests.lab.lab import Lab
from tests.lab.stack import Outcome, Run, Stack, wait_until

__all__ = ["FILTERED", "ROAMING", "SUBJECT", "Change", "Scenario"]

# The host that most changes are about, the one behind NAT, and the one with a firewall.
SUBJECT, ROAMING, FILTERED = "carol", "edgeworth", "dora"
# A second public address of the subject.
_NEW_ADDRESS = "203.0.113.200"
_QUIET_SECONDS = 10.0


@dataclass(frozen=True)
class Change:
    """One change; `make` carries it out and returns the seconds that it took. No subject: it is about all hosts."""

    name: str
    subject: str | None
    make: Callable[[], float]


class Scenario:
    """The changes in their order; each goes on from the one before."""

    def __init__(self, lab: Lab, stack: Stack, newcomer: str) -> None:
        """Describe the mesh of all hosts of the lab but `newcomer`; nothing is made yet."""
        self.lab, self.stack, self.newcomer = lab, stack, newcomer
        self.stay = [name for name in lab.hosts if name != newcomer]
        self.mesh: dict[str, Any] = {"hosts": self.stay, "port": PORT, "deadline": 10}
        self.hosts = {name: stack.describe(host) for name, host in lab.hosts.items()}
        self._is_unconfirmed = False

    def _write(self, adopted: Mapping[str, str] | None = None, **changes: Any) -> None:
        self.mesh = {**self.mesh, **changes}
        self.stack.write({INTERFACE: self.mesh}, self.hosts, adopted)

    def up(self, *options: str, adopted: Mapping[str, str] | None = None, **changes: Any) -> float:
        """Change fields of the interface, and run `pulumi up`."""
        self._write(adopted, **changes)
        return self.stack.up(*options).seconds

    def _member(self, host: str, **changes: Any) -> float:
        members = self.mesh.get("members", {})
        return self.up(members={**members, host: {**members.get(host, {}), **changes}})

    def _move_endpoint(self) -> float:
        network = self.lab.network
        network.ip(SUBJECT, f"addr add {_NEW_ADDRESS}/32 dev eth0")
        network.ip("inet", f"route add {_NEW_ADDRESS}/32 dev p-{SUBJECT}")
        self.hosts[SUBJECT] = {**self.hosts[SUBJECT], "externalIps": [_NEW_ADDRESS]}
        self._write()
        run = self.stack.start("up")
        run.wait_for("verifying")
        # WireGuard in the kernel answers from the address that was asked, in userspace from the host's first one, and
        # a host behind NAT hears nothing from elsewhere. So the first one changes as soon as the peers know of it.
        network.ip(SUBJECT, f"route replace default via 169.254.0.1 dev eth0 src {_NEW_ADDRESS}")
        return self._ended(run, succeeds=True).seconds

    @staticmethod
    def _ended(run: Run, *, succeeds: bool) -> Outcome:
        outcome = run.end()
        if (outcome.code == 0) != succeeds:
            raise RuntimeError(f"bench: this should have {'succeeded' if succeeds else 'failed'}:\n{outcome.output}")
        return outcome

    def _reopen_firewall(self) -> float:
        # All rules are gone and come back with the firewall's own file, ours only with the next change.
        self.lab.hosts[FILTERED].run("nft -f /etc/nftables.conf")
        return self.up(mtu=1400)

    def _start_rotation(self) -> Run:
        """Start to rotate everything; the plan of the scenario stays, since this will not be confirmed."""
        before = self.mesh
        self._write(rotation=before.get("rotation", 1) + 1)
        self.mesh, self._is_unconfirmed = before, True
        return self.stack.start("up")

    def _fail_to_prove(self) -> float:
        """Refuse new SSH connections on one host, so that nothing is confirmed and the operator leads all back."""
        run = self._start_rotation()
        run.wait_for("switching key 1")
        self.lab.network.refuse_ssh(SUBJECT)
        try:
            return self._ended(run, succeeds=False).seconds
        finally:
            self.lab.network.accept_ssh(SUBJECT)

    def _die(self) -> float:
        """End the run between switch and proof, so that all hosts go back by themselves."""
        began = time.monotonic()
        run = self._start_rotation()
        with self.stack.held_at(run):
            run.kill_all()
        left = [self.lab.hosts[name].files / f"var/lib/mesh/{INTERFACE}/deadline" for name in self.mesh["hosts"]]
        wait_until(lambda: not any(file.exists() for file in left), 120, every=0.5)
        return time.monotonic() - began

    def mend(self) -> None:
        """Bring state and stack file together after a change that was never confirmed."""
        if self._is_unconfirmed:
            self._write()
            self.stack.cancel()
            self.stack.up("--refresh")
            self._is_unconfirmed = False

    def changes(self) -> Iterator[Change]:
        """Yield every change, first none at all."""
        everybody = [*self.stay, self.newcomer]
        key = generate_preshared_key()
        yield Change("nothing", None, self._rest)
        # What the engine alone costs the hosts that share its processors.
        yield Change("nothing, while pulumi preview runs", None, lambda: self.stack.run("preview").seconds)
        yield Change("add a host", self.newcomer, lambda: self.up(hosts=everybody))
        yield Change("keepalive of one host", SUBJECT, lambda: self._member(SUBJECT, persistentKeepalive=15))
        yield Change("MTU, and a rule that a firewall lost", FILTERED, self._reopen_firewall)
        yield Change("endpoint of one host", SUBJECT, self._move_endpoint)
        yield Change("key of one host", SUBJECT, lambda: self._member(SUBJECT, rotation=2))
        yield Change("key of a host behind NAT", ROAMING, lambda: self._member(ROAMING, rotation=2))
        yield Change("preshared key", None, lambda: self.up(adopted={INTERFACE: key}))
        yield Change("all keys and the preshared key", None, lambda: self.up(rotation=2))
        yield Change("the same, not proven: led back", None, self._fail_to_prove)
        yield Change("the same, cut off: back by themselves", None, self._die)
        yield Change("port", None, lambda: self.up(port=PORT + 1))
        yield Change("remove a host, new preshared key", self.newcomer, lambda: self.up(hosts=self.stay))

    def restore(self) -> None:
        """Take away what the changes have made of the lab itself."""
        network = self.lab.network
        network.ip(SUBJECT, "route replace default via 169.254.0.1 dev eth0")
        network.ip("inet", f"route del {_NEW_ADDRESS}/32 dev p-{SUBJECT}")
        network.ip(SUBJECT, f"addr del {_NEW_ADDRESS}/32 dev eth0")

    def _rest(self) -> float:
        time.sleep(_QUIET_SECONDS)
        return _QUIET_SECONDS
