"""The shape of `mesh:hosts` in the stack file: a machine, and how SSH reaches it.

Names are snake_case here and camelCase in the file. A field's `description` says what the field means; it is in the
reference and the JSON schema. What a type takes is said by its `Accepts`.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from pydantic.alias_generators import to_camel

from mesh.config.connection import Connection
from mesh.config.external_fields import ExternalAddress, ExternalName
from mesh.config.fields import FormerName, HostKey, Port, Site, SshAddress, SshUser, Tag
from mesh.config.patterns import Accepts, matching

__all__ = ["Bastion", "Connection", "Flag", "Host", "Settings", "SshSettings", "Tags"]

Flag = Annotated[bool, Field(strict=True), Accepts("true or false")]
Tags = Annotated[tuple[Tag, ...], Accepts("a list of texts")]
System = Annotated[
    str,
    Field(strict=True, pattern=r"^[a-z0-9_]+-linux\z"),
    matching("[a-z0-9_]+-linux"),
    Accepts("a processor and linux, such as x86_64-linux or aarch64-linux"),
]
# 80 bytes more than the least that IPv6 inside the tunnel allows.
LinkMtu = Annotated[int, Field(strict=True, ge=1360, le=65535), Accepts("bytes from 1360 to 65535")]


class Settings(BaseModel):
    """What all parts of the stack file have in common: unknown fields are faults, and no fault repeats a value."""

    # Pydantic repeats a rejected value in its message unless told otherwise, and the value may be a secret.
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, alias_generator=to_camel, populate_by_name=False
    )
    # The paths inside an entry of what was faulty there, and so is left out; none in a file that is used.
    _left_out: frozenset[tuple[str, ...]] = PrivateAttr(default=frozenset())

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_empty(cls, value: object) -> object:
        # A name with nothing behind it, as YAML lets one write an entry that differs in nothing.
        return {} if value is None else value

    def leave_out(self, *paths: tuple[str, ...]) -> None:
        """Note that what stood at these paths is left out, so that no rule takes it for absent."""
        self._left_out |= frozenset(paths)

    def is_unsure(self, *path: str) -> bool:
        """Tell whether what the file says at `path` is not known, since that or what is around it was faulty."""
        return bool(self._left_out) and any(path[:length] in self._left_out for length in range(len(path) + 1))


class Bastion(Settings):
    """How SSH reaches one machine, directly."""

    address: SshAddress = Field(description="Where SSH connects to.")
    port: Port = Field(default=22, description="The TCP port of the SSH server.")
    user: SshUser = Field(default="root", description="The account that SSH logs in to.")
    sudo: Flag | None = Field(
        default=None,
        description="Whether commands run by `sudo -n`. Without it: for every user but root. No effect on a bastion.",
    )
    host_key: HostKey = Field(
        description="The public key by which the SSH server is known. `python -m mesh scan` fills it in."
    )

    @property
    def uses_sudo(self) -> bool:
        """Whether commands run by sudo: as the file says, else for every user but root."""
        return self.user != "root" if self.sudo is None else self.sudo

    def connection(self) -> Connection:
        """Return what the state and the way to the hosts know of this machine."""
        return {
            "address": self.address,
            "port": self.port,
            "user": self.user,
            "sudo": self.uses_sudo,
            "hostKey": self.host_key,
        }


class SshSettings(Bastion):
    """How SSH reaches a host, directly or through one bastion."""

    bastion: Annotated[Bastion | None, Accepts("a mapping with at least address and hostKey")] = Field(
        default=None, description="The SSH server through which this host is reached. It has no bastion of its own."
    )

    def connection(self) -> Connection:
        """Return the same of a host, with its bastion, on which nothing is run."""
        own = super().connection()
        return {**own, "bastion": {**self.bastion.connection(), "sudo": False}} if self.bastion else own


class Host(Settings):
    """A Linux machine; without external addresses or an external name it is roaming, that is, behind NAT."""

    system: System | None = Field(
        default=None,
        description="What the host has to be; the run stops if it is another. Without it: whatever is found there.",
    )
    external_ips: Annotated[tuple[ExternalAddress, ...], Accepts("a list of IP addresses, endpoint first")] = Field(
        default=(),
        description="Addresses at which peers find this host. The first is the endpoint; peers that only have the "
        "other IP version use the first address of that version. If empty, the host is roaming.",
    )
    external_name: ExternalName | None = Field(
        default=None,
        description="Instead of externalIps, a DNS name for a host whose address changes. Hosts look it up again every "
        "30 seconds.",
    )
    site: Site | None = Field(
        default=None, description="Hosts of one site find each other at the first of their localIps."
    )
    local_ips: Annotated[tuple[ExternalAddress, ...], Accepts("a list of IP addresses, for hosts of the same site")] = (
        Field(default=(), description="Addresses within the site. They need a site.")
    )
    link_mtu: LinkMtu | None = Field(
        default=None,
        description="How large packets may be on the path to the other hosts. Without it: 1500. `python -m mesh scan` "
        "fills it in where a link carries less.",
    )
    tags: Tags = Field(default=(), description="For peering rules, and for you.")
    formerly: FormerName | None = Field(
        default=None, description="The name of this host before it was renamed. With it the host keeps its key."
    )
    ssh: Annotated[SshSettings, Accepts("a mapping with at least address and hostKey")] = Field(
        description="How SSH reaches the host."
    )

    @property
    def is_roaming(self) -> bool:
        """Whether peers elsewhere have no endpoint for it; not where one is given and is faulty."""
        is_given = bool(self.external_ips) or self.external_name is not None
        return not is_given and not self.is_unsure("externalIps") and not self.is_unsure("externalName")
