"""Ask all hosts of a mesh what their kernels run.

`verification` and `drift` say what the answers mean.
"""

import asyncio
import secrets
from collections.abc import Collection

from mesh.errors import HostError
from mesh.plan.pair_keys import keys_of
from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster
from mesh.remote.concurrency import HOSTS_AT_ONCE, settle
from mesh.remote.orders import Order
from mesh.remote.replies import read_each
from mesh.remote.reports import Facts, read_facts
from mesh.remote.sessions import Fan
from mesh.rollout.verification import salted_digest

__all__ = ["collect_facts"]


async def collect_facts(
    fan: Fan, roster: Roster, preshared_key: str, order: str = "facts", stores: Collection[str] = ()
) -> tuple[dict[str, Facts], dict[str, str]]:
    """Return what the kernel of every host runs, its preshared keys compared, and why any host cannot be read.

    The order `audit` also asks for everything else that may have drifted. The hosts in `stores` then do all of a
    confirmation that may wait or fail.
    """
    salt = secrets.token_hex(16)
    said = {host: [Order((order, salt)), *([Order(("store",))] if host in stores else ())] for host in fan.sessions}
    work = {host: session.orders(said[host]) for host, session in fan.sessions.items()}
    answers, failures = await settle(work, HOSTS_AT_ONCE)
    replies = {host: answer[0].lines for host, answer in answers.items()}

    def read() -> tuple[dict[str, Facts], dict[str, HostError]]:
        pairs = Pairs(roster)

        def read_one(host: str, lines: list[str]) -> Facts:
            return read_facts(host, lines, salted_digest(salt, keys_of(roster, pairs, preshared_key, host)), order)

        return read_each(replies, read_one)

    facts, unreadable = await asyncio.to_thread(read)
    return facts, {host: error.message for host, error in {**failures, **unreadable}.items()}
