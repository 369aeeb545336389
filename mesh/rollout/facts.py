"""Ask all hosts of a mesh what their kernels run.

`verification` and `drift` say what the answers mean.
"""

import asyncio
import secrets

from mesh.errors import HostError
from mesh.plan.pair_keys import keys_of
from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster
from mesh.remote.concurrency import HOSTS_AT_ONCE, settle
from mesh.remote.replies import read_each
from mesh.remote.reports import Facts, read_facts
from mesh.remote.sessions import Fan
from mesh.rollout.verification import salted_digest

__all__ = ["collect_facts"]


async def collect_facts(
    fan: Fan, roster: Roster, preshared_key: str, order: str = "facts"
) -> tuple[dict[str, Facts], dict[str, str]]:
    """Return what the kernel of every host runs, its preshared keys compared, and why any host cannot be read.

    The order `audit` also asks for everything else that may have drifted.
    """
    salt = secrets.token_hex(16)
    orders = {host: session.order(order, salt) for host, session in fan.sessions.items()}
    replies, failures = await settle(orders, HOSTS_AT_ONCE)

    def read() -> tuple[dict[str, Facts], dict[str, HostError]]:
        pairs = Pairs(roster)

        def read_one(host: str, lines: list[str]) -> Facts:
            return read_facts(host, lines, salted_digest(salt, keys_of(roster, pairs, preshared_key, host)), order)

        return read_each(replies, read_one)

    facts, unreadable = await asyncio.to_thread(read)
    return facts, {host: error.message for host, error in {**failures, **unreadable}.items()}
