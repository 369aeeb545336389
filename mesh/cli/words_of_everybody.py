"""Words that tell nobody whose a mesh is, though a user, a tag or a host may be called so.

They are the names of fields and states in our own documents, of distributions and of the users that these come with,
of units, programs and folders. To replace them would take away what a bundle is for.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from mesh.cli.doctor_json import DoctorDocument
from mesh.cli.status_json import StatusDocument
from mesh.config.connection import Connection
from mesh.config.models import AUTO, Configuration
from mesh.config.route_fields import OFF
from mesh.plan.roster import Member, Roster
from mesh.stored.forms import RecordedRollout

__all__ = ["words_of_everybody"]

_SYSTEMS = """
    almalinux alpine amazon amzn arch archlinux centos debian devuan fedora gentoo kali linux manjaro mint nixos
    opensuse oracle raspbian raspberrypi redhat rhel rocky slackware sles suse ubuntu void gnu bookworm trixie jammy
    noble systemd init openrc procd busybox localhost
"""
# Of every system, and of the images that distributions and clouds hand out.
_USERS = "root admin administrator user guest nobody ansible cloud-user core ec2-user opc pi vagrant"
_OURS = """
    mesh wg quick wireguard wg-quick wg-crypt mesh-boot mesh-keep mesh-endpoints mesh-watchdog boot keep watchdog
    program lock shared-by-interfaces enrolled incoming next previous deadline former run units kept firewall passes
    exit session supervisor var lib etc usr bin sbin dev proc sys tmp log service timer target all auto off
    ssh sshd sudo pulumi python wg-meshconf nft iptables journal kernel generic cloud server
"""


@cache
def words_of_everybody() -> frozenset[str]:
    """Return them all, in small letters."""
    schemas = (
        StatusDocument.model_json_schema(mode="serialization"),
        DoctorDocument.model_json_schema(mode="serialization"),
        Configuration.model_json_schema(),
    )
    forms = (RecordedRollout, Roster, Member, Connection)
    words = {*_SYSTEMS.split(), *_USERS.split(), *_OURS.split(), AUTO, OFF}
    words.update(word for schema in schemas for word in _words_of_schema(schema))
    words.update(word for form in forms for word in form.__annotations__)
    # As `plan.json` of a bundle adds.
    words.add("changedAt")
    return frozenset(word.casefold() for word in words)


def _words_of_schema(schema: Any) -> Iterator[str]:
    """Yield the names of fields, and the texts of which a field has one."""
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
        yield from (word for word in [*schema.get("enum", ()), schema.get("const")] if isinstance(word, str))
    if isinstance(schema, dict | list):
        for value in schema.values() if isinstance(schema, dict) else schema:
            yield from _words_of_schema(value)
