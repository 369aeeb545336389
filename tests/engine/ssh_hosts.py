"""SSH servers on loopback that stand for hosts: they take enrolments and speak the host program's session protocol.

Each keeps in memory what a host would run, can be told to fail, hang, stay silent or be dead, and remembers every
secret it was sent. What a real kernel does belongs in the lab.
"""

import asyncio
import contextlib
import hashlib
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncssh

from mesh.wireguard.keys import public_key_of
from tests.login_shell import Asked, hear

__all__ = ["FakeHost", "Hosts", "Interface"]

T = TypeVar("T")


class _Lines:
    """The lines that a session is sent, each with the moment at which it came; an empty one is the end.

    A plan has a line for each peer of each host, so they are taken by what arrives together.
    """

    def __init__(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self._pieces: asyncio.Queue[tuple[float, list[str]]] = asyncio.Queue()
        self._came, self._lines = 0.0, deque[str]()
        self.listening = asyncio.ensure_future(self._listen(process))

    async def _listen(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        rest = b""
        # One that is cut off has ended too.
        with contextlib.suppress(asyncssh.Error):
            while piece := await process.stdin.read(1 << 20):
                *lines, rest = (rest + piece).split(b"\n")
                await self._pieces.put((time.monotonic(), [line.decode() for line in lines]))
        await self._pieces.put((time.monotonic(), [""]))

    async def next(self) -> tuple[float, str]:
        """Return the next line and its moment."""
        while not self._lines:
            self._came, lines = await self._pieces.get()
            self._lines.extend(lines)
        return self._came, self._lines.popleft()


class OrderError(Exception):
    """What the host replies as `.error`."""


@dataclass
class Interface:
    """What one host has of one interface; `kernel` is what runs, None for nothing."""

    enrolled: str = ""
    staged: dict[str, Any] | None = None
    confirmed: dict[str, Any] | None = None
    kernel: dict[str, Any] | None = None
    previous: dict[str, Any] | None = None
    watchdog: asyncio.TimerHandle | None = None
    differs: list[str] = field(default_factory=list)


@dataclass
class FakeHost:
    """One host: its SSH port, how it behaves, and what it was told."""

    name: str
    port: int = 0
    mode: str = "well"  # or: silent (accepts TCP and never speaks), dead
    fail_at: str = ""
    hang_at: str = ""
    # An order, or how it begins, that it carries out, and hangs up instead of an answer; once.
    hang_up_at: str = ""
    interfaces: dict[str, Interface] = field(default_factory=dict)
    orders: list[str] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    program: bool = False
    # The key exchanges that its SSH server offers from when it listens the next time; empty for the usual ones.
    exchanges: list[str] = field(default_factory=list)
    # What its login shell prints first, and what it says to an order instead of what it would, in pieces without end.
    noise: bytes = b""
    says: dict[str, Callable[[bytes], Iterable[bytes]]] = field(default_factory=dict)
    # What a silent one says instead, before it hangs up; and the banner and the reason with which one that is well
    # hangs up on whoever logs in.
    last_words: bytes | None = None
    refusal: tuple[str, str] | None = None
    # How often somebody has connected, and has come to a login, after a key exchange.
    connections: int = 0
    logins: int = 0
    # How many seconds each answer takes, and from when to when each order was carried out.
    slowness: float = 0.0
    busy: list[tuple[float, float]] = field(default_factory=list)
    server: Any = None
    open: list[Any] = field(default_factory=list)

    def public_key(self, interface: str) -> str | None:
        """Return the public key that runs on `interface`, None if it is down."""
        known = self.interfaces.get(interface)
        return known.kernel["public-key"] if known and known.kernel else None

    def confirmed(self, interface: str) -> str | None:
        """Return the digest of the plan that is confirmed on `interface`, None for none."""
        known = self.interfaces.get(interface)
        return known.confirmed["digest"] if known and known.confirmed else None


class _Server(asyncssh.SSHServer):
    """Lets in whoever has the key of the test."""

    def __init__(self, authorized: str, host: FakeHost) -> None:
        self._authorized, self._host = authorized, host
        host.connections += 1

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        self._host.logins += 1
        if self._host.refusal:
            banner, reason = self._host.refusal
            self._connection.send_auth_banner(banner)
            self._connection.disconnect(asyncssh.DISC_PROTOCOL_ERROR, reason)
        return bool(username)

    def public_key_auth_supported(self) -> bool:
        return True

    def connection_requested(self, *_: object) -> bool:
        # As a bastion.
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return bool(username) and key.get_fingerprint() == self._authorized


def _as_wg_shows(endpoint: str) -> str:
    """Return an endpoint as a kernel has it: none for a peer that is not connected to, the address of a name."""
    if endpoint == "-":
        return "(none)"
    address, port = endpoint.rsplit(":", 1)
    return endpoint if re.fullmatch(r"[0-9.]+|\[.*\]", address) else f"198.51.100.1:{port}"


class Hosts:
    """Many hosts in one thread, to be used as a context; `by_name` holds them."""

    def __init__(self, names: list[str], client_key: Path) -> None:
        """Make the operator's key at `client_key`; listening begins on entry."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(client_key))
        client_key.chmod(0o600)
        self._authorized = key.get_fingerprint()
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.by_name: dict[str, FakeHost] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._names = names
        self._fields: dict[str, tuple[str, ...]] = {}

    def __enter__(self) -> "Hosts":
        """Listen."""
        self._thread.start()
        for name in self._names:
            self.add(name)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening and end the thread."""

        async def stop() -> None:
            for host in self.by_name.values():
                await self._close(host)
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.call(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __getitem__(self, name: str) -> FakeHost:
        """Return the host of that name."""
        return self.by_name[name]

    @property
    def host_key(self) -> str:
        """Return the public key that all hosts show."""
        return " ".join(self._host_key.export_public_key().decode().split()[:2])

    @property
    def secrets(self) -> set[str]:
        """Return every private and preshared key that any host was ever sent."""
        return set().union(*(host.secrets for host in self.by_name.values()))

    @property
    def orders(self) -> list[str]:
        """Return every order that any host was ever given."""
        return [order for host in self.by_name.values() for order in host.orders]

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the hosts' thread and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def add(self, name: str) -> FakeHost:
        """Start one more host."""
        host = self.by_name[name] = FakeHost(name)
        self.call(self._listen(host))
        return host

    def become(self, name: str, mode: str) -> None:
        """Make a host `well`, `silent` or `dead` from now on; the open connections of one that is not well break."""
        host = self.by_name[name]

        async def turn() -> None:
            await self._close(host)
            host.mode = mode
            if mode != "dead":
                await self._listen(host)

        self.call(turn())

    async def _close(self, host: FakeHost) -> None:
        for connection in host.open:
            with contextlib.suppress(Exception):
                connection.abort()
        host.open.clear()
        if host.server:
            host.server.close()
            host.server = None

    async def _listen(self, host: FakeHost) -> None:
        if host.mode == "silent":

            async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                host.open.append(writer.transport)
                if host.last_words is None:
                    await asyncio.Event().wait()
                writer.write(host.last_words or b"")
                writer.write_eof()
                # With something unread, the system would say reset instead, now and then.
                await reader.read()
                writer.close()

            host.server = await asyncio.start_server(be_silent, "127.0.0.1", host.port)
            host.port = host.server.sockets[0].getsockname()[1]
            return

        async def serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
            try:
                await self._handle(host, process)
            except (asyncssh.Error, OSError, asyncio.IncompleteReadError):
                process.close()

        host.server = await asyncssh.listen(
            "127.0.0.1",
            host.port,
            server_factory=lambda: _Server(self._authorized, host),
            server_host_keys=[self._host_key],
            process_factory=serve,
            encoding=None,
            kex_algs=tuple(host.exchanges),
            backlog=20,
            acceptor=host.open.append,
        )
        host.port = host.server.get_port()

    async def _handle(self, host: FakeHost, process: asyncssh.SSHServerProcess[bytes]) -> None:
        # The command plugin enrols by a plain command of the login shell, a rehearsal as all else is asked.
        asked = await hear(process, host.noise)
        if enrol := re.search(r"/mesh/([^/ ]+)/enrolled", asked.script):
            await self._enrol(host, enrol[1], asked)
        elif asked.script == "true":
            asked.end()
        elif survey := re.search(r"/mesh/([^/ ]+)/\*/private-key", asked.script):
            known = host.interfaces.get(survey[1], Interface())
            keys = ["key"] if known.enrolled or known.confirmed or known.staged else []
            await self._say(host, process, "survey", [*keys, "seen"])
            asked.end()
        elif "_bytes" in asked.script:
            await self._say(host, process, "stream", [])
            asked.end()
        elif "journalctl" in asked.script:
            await self._say(host, process, "log", [f"{host.name}.example.org", "Linux 6.12.0", "-- log --"])
            asked.end()
        elif asked.script == "uname -n":
            asked.end(host.name.encode())
        elif asked.script.startswith("uname -m; "):
            # An address that is routed, by which the others seek it.
            number = 11 + list(self.by_name).index(host.name)
            asked.end(f"x86_64\n2: eth0 inet 78.11.11.{number}/32 scope global\n".encode())
        else:
            # An earlier version of the program sends its own as it is.
            packed = re.search(r"head -c (\d+) \| gzip", asked.script)
            size, interface = re.search(r"head -c (\d+).* serve ([^ ']+)", asked.script).groups()  # type: ignore[union-attr]
            if not host.program:
                process.stdout.write(b".packed\n" if packed else b".program\n")
                size = packed[1] if packed else size
                await process.stdin.readexactly(int(size))
                host.program = True
            await self._serve(host, interface, process)

    async def _say(
        self, host: FakeHost, process: asyncssh.SSHServerProcess[bytes], order: str, lines: list[str]
    ) -> None:
        """Say the lines, or whatever the host says instead, for as long as it does."""
        said = "".join(f"{line}\n" for line in lines).encode()
        for piece in host.says[order](said) if order in host.says else [said]:
            process.stdout.write(piece)
            await process.stdout.drain()

    async def _enrol(self, host: FakeHost, interface: str, asked: Asked) -> None:
        key = (await asked.process.stdin.read()).decode().strip()
        host.orders.append("enrol")
        host.secrets.add(key)
        if host.fail_at == "enrol":
            asked.process.stderr.write(b"the private key did not arrive whole; is the disk full?\n")
            asked.end(status=1)
            return
        host.interfaces.setdefault(interface, Interface()).enrolled = key
        asked.end(b"" if asked.marker else host.noise)

    async def _serve(self, host: FakeHost, interface: str, process: asyncssh.SSHServerProcess[bytes]) -> None:
        state = host.interfaces.setdefault(interface, Interface())
        await self._say(host, process, "start", [".ok"])
        lines = _Lines(process)
        while (first := await lines.next())[1]:
            came, said = first
            order, *words = said.split()
            # Each line begins with a sign, but for an earlier version.
            count = int(words[0]) if order == "stage" else 0
            payload = [(await lines.next())[1].removeprefix("= ") for _ in range(count)]
            host.secrets.update(line.split()[1] for line in payload if line.startswith("preshared-key "))
            host.secrets.update(line.split()[2] for line in payload if line.startswith("pair-key "))
            host.orders.append(order)
            if host.hang_at == order:
                await asyncio.Event().wait()
            # The way there takes as long for orders that come together as for one of them.
            await asyncio.sleep(came + host.slowness - time.monotonic())
            try:
                if host.fail_at == order:
                    raise OrderError(f"told to fail at {order}; tell it otherwise")
                lines_said = self._obey(host, interface, state, order, words, payload)
                if host.hang_up_at and said.startswith(host.hang_up_at):
                    host.hang_up_at = ""
                    process.channel.get_connection().abort()
                    return
                await self._say(host, process, order, [*lines_said, ".ok"])
            except OrderError as error:
                process.stdout.write(f".error {error}\n".encode())
            host.busy.append((came, time.monotonic()))
        await lines.listening
        process.exit(0)

    def _obey(
        self, host: FakeHost, name: str, state: Interface, order: str, words: list[str], payload: list[str]
    ) -> list[str]:
        match order:
            case "prepare":
                return ["system x86_64-linux"]
            case "stage":
                return self._stage(state, payload)
            case "clock":
                return [f"{time.monotonic():.2f}"]
            case "back":
                if state.watchdog and state.kernel and state.previous and words[0] == "own":
                    state.kernel = {**state.kernel, "public-key": state.previous["public-key"]}
            case "arm" | "renew":
                self._arm(state, float(words[0]), fresh=order == "arm")
            case "preshared" | "ready" | "own" | "peer" | "again" | "finish" | "wake" | "store" | "hold":
                self._switch(state, order)
            case "prove":
                return self._prove(name, state, *words)
            case "ping":
                return [f"ping {peer} 1.0" for peer in self._peers(name, state)]
            case "facts":
                return self._facts(state, words[0])
            case "status":
                device = ["program 0123456789abcdef", "wireguard kernel", f"packets {int(time.time())} 7", "age 90061"]
                return [*self._facts(state, words[0]), *device]
            case "audit":
                return self._audit(state, words[0])
            case "examine":
                return self._examine(state, words[0])
            case "measure":
                peers = words[1:] or self._peers(name, state)
                return [f"measured {peer} {words[0]} {words[0]} 1.0 1.5 2.0 1420" for peer in peers]
            case "confirm":
                self._confirm(state, words[0])
            case "source":
                return []
            case "abort":
                if state.watchdog:
                    self._go_back(state)
            case "wipe":
                return self._wipe(host, name, state, words)
            case _:
                raise OrderError("this is not an order; run the same version of mesh everywhere")
        return []

    def _stage(self, state: Interface, payload: list[str]) -> list[str]:
        entries = [line.split() for line in payload if not line.startswith("peer ")]
        plan: dict[str, Any] = {entry[0]: entry[1] for entry in entries}
        plan["addresses"] = [entry[1] for entry in entries if entry[0] == "address"]
        pair_keys = {entry[2] for entry in entries if entry[0] == "pair-key"}
        plan["preshared-keys"] = sorted(pair_keys or {plan["preshared-key"]})
        peers = [line.split(" ", 2)[1:] for line in payload if line.startswith("peer ")]
        plan["peers"] = {name: self._fields_of(line) for name, line in peers}
        held = [state.enrolled, *(place["private-key"] for place in (state.confirmed, state.staged) if place)]
        keys = [key for key in held if key and public_key_of(key) == plan["public-key"]]
        if not keys:
            raise OrderError("this host has no private key for its public key in the roster")
        if state.watchdog and state.staged and state.staged["digest"] != plan["digest"]:
            self._go_back(state)
        if not state.watchdog:
            state.staged = {**plan, "private-key": keys[0]}
        running = f"{state.kernel['public-key']} {state.kernel['port']}" if state.kernel else "absent"
        return [f"running {running}", f"confirmed {state.confirmed['digest'] if state.confirmed else 'none'}"]

    def _fields_of(self, line: str) -> tuple[str, ...]:
        # Of a thousand hosts there are a million lines, and nearly all hosts are told the same of a peer.
        if line not in self._fields:
            self._fields[line] = tuple(line.split())
        return self._fields[line]

    def _arm(self, state: Interface, seconds: float, *, fresh: bool) -> None:
        if not fresh and not state.watchdog:
            raise OrderError("the deadline has passed and this host rolled back; run pulumi up again")
        if state.watchdog:
            state.watchdog.cancel()
        elif fresh:
            state.previous = state.kernel
        state.watchdog = self._loop.call_later(seconds, self._go_back, state)

    def _switch(self, state: Interface, order: str) -> None:
        # `hold` is what an earlier version says instead of `store`.
        if order in {"again", "wake", "store", "hold"}:
            return
        if state.staged is None:
            raise OrderError("nothing is staged")
        if order == "preshared" and state.kernel:
            state.kernel = {**state.kernel, "preshared-keys": state.staged["preshared-keys"]}
        elif order == "own" and state.kernel:
            state.kernel = {**state.kernel, "public-key": state.staged["public-key"]}
        elif order == "finish":
            state.kernel = dict(state.staged)
            state.differs.clear()

    def _prove(self, name: str, state: Interface, turn: str, *absent: str) -> list[str]:
        plan = state.staged or state.confirmed or {"peers": {}}
        lines = []
        for peer, fields in plan["peers"].items():
            if fields[-1] != turn or peer in absent:
                continue
            other = self.by_name[peer].interfaces.get(name)
            answers = other and other.kernel and other.kernel["public-key"] == fields[0]
            lines.append(f"{'well' if answers else 'silent'} {peer}")
        return lines

    def _peers(self, name: str, state: Interface) -> list[str]:
        return [line.split()[1] for turn in ("first", "second") for line in self._prove(name, state, turn)]

    def _examine(self, state: Interface, salt: str) -> list[str]:
        keys = [peer[0] for peer in state.kernel["peers"].values()] if state.kernel else []
        digest = hashlib.sha256(salt.encode()).hexdigest()
        return [f"clock {int(time.time())}", *(f"preshared {key} {digest}" for key in keys)]

    def _facts(self, state: Interface, salt: str) -> list[str]:
        kernel = state.kernel
        if kernel is None:
            raise OrderError("the interface is not up")
        keys = "".join(f"{salt}{key}\n" for key in kernel["preshared-keys"])
        digest = hashlib.sha256(keys.encode()).hexdigest()
        return [
            f"confirmed {state.confirmed['digest'] if state.confirmed else ''}",
            f"mtu {kernel['mtu']}",
            *(f"address {address}" for address in kernel["addresses"]),
            *([f"preshared {digest}"] if kernel["peers"] else []),
            f"interface {kernel['public-key']} {kernel['port']}",
            *(
                f"peer {peer[0]} {_as_wg_shows(peer[2])} {peer[4]} {int(time.time())} 100 100 {peer[3]}"
                for peer in kernel["peers"].values()
            ),
        ]

    def _audit(self, state: Interface, salt: str) -> list[str]:
        differs = ["differs forgotten"] if state.confirmed is None else []
        if state.kernel is None:
            return [*differs, "differs absent"]
        return [*differs, *(f"differs {what}" for what in state.differs), *self._facts(state, salt)]

    def _confirm(self, state: Interface, digest: str) -> None:
        if state.staged is None or state.staged["digest"] != digest:
            if state.confirmed is None or state.confirmed["digest"] != digest:
                raise OrderError("nothing is staged here to be confirmed; run pulumi up again")
            return
        if state.watchdog:
            state.watchdog.cancel()
        state.confirmed, state.staged, state.previous, state.watchdog = state.staged, None, None, None
        state.enrolled = ""

    def _go_back(self, state: Interface) -> None:
        if state.watchdog:
            state.watchdog.cancel()
        state.kernel, state.staged, state.previous, state.watchdog = state.previous, None, None, None

    def _wipe(self, host: FakeHost, name: str, state: Interface, words: list[str]) -> list[str]:
        run = state.confirmed
        if run and (run["mesh"] != words[0] or words[1] not in ("any", run["roster"]) or words[2] != run["host"]):
            return ["kept"]
        if state.watchdog:
            state.watchdog.cancel()
        host.interfaces.pop(name, None)
        return ["wiped"]
