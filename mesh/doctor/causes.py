"""What a diagnosis can find: every cause with its code, which stays what it means, and the page of the reference."""

from dataclasses import dataclass

__all__ = ["CAUSES", "UP", "Cause", "Finding"]

UP = "`pulumi up --refresh`"
_OPEN = "the command of the finding, which lets it pass: `nft insert rule …` or `iptables -I …` on that host"


@dataclass(frozen=True, slots=True)
class Cause:
    """One kind of finding, in Markdown for the reference; `advice` is for where nothing better is known."""

    title: str
    meaning: str
    advice: str = UP

    @property
    def repair(self) -> str:
        """The advice for a terminal."""
        return self.advice.replace("`", "")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong on `host`, or between it and a `peer`, in words without their names in front.

    `evidence` are the facts that it rests on, and `repair` is the command, or what to do.
    """

    code: str
    host: str
    peer: str
    words: str
    evidence: tuple[str, ...]
    repair: str

    @property
    def place(self) -> str:
        """Where it is, as people write it."""
        return f"{self.host} → {self.peer}" if self.peer else self.host


CAUSES: dict[str, Cause] = {
    "W01": Cause(
        "The host cannot be asked",
        "SSH does not answer there or lets nobody in, or what the host says cannot be read. What its peers see of it "
        "is evidence: if tunnels to it answer, the host lives.",
        "`ssh -v` to that host, from this machine, with the user and key of the stack file",
    ),
    "W02": Cause(
        "The host lost what it had of the mesh",
        "It was reinstalled, or its folder in /var/lib/mesh was deleted.",
        f"{UP}, and in a program of your own with `--replace '**::IF/HOST/enrol'`",
    ),
    "W03": Cause("The interface is missing", "Somebody stopped the tunnel or deleted it, or it failed to start."),
    "W04": Cause("The interface is down", "It is there, and `ip link set … down` was given. It has no routes then."),
    "W05": Cause(
        "The key is not the planned one",
        "The host runs another private key than the one whose public key is in the state, so no peer accepts it.",
    ),
    "W06": Cause(
        "A key was changed on one side only",
        "The host knows the peer by another public key than the one that is planned, so they start no session.",
    ),
    "W07": Cause(
        "The preshared keys differ",
        "The two ends have different preshared keys for each other. Sessions that run go on for minutes and then "
        "end. The keys are compared by salted digests.",
    ),
    "W08": Cause("The allowed IPs differ", "The host sends the peer other addresses than planned, or takes others."),
    "W09": Cause("An address is missing or foreign", "The interface lacks its own, or has another."),
    "W10": Cause("The peers are not those of the plan", "The host lacks a peer, or has one that is not planned."),
    "W11": Cause("The port is not the planned one", "WireGuard listens on another UDP port than peers send to."),
    "W12": Cause(
        "Another program has the port",
        "WireGuard cannot listen on the mesh's port, since another program does.",
        "stop that program, then `pulumi up --refresh`",
    ),
    "W13": Cause(
        "There is no route to the endpoint",
        "The host has no way to the peer's external address.",
        "`ip route get ADDRESS` on that host, then `ip route add`",
    ),
    "W14": Cause(
        "Packets for the peer take another way",
        "What is meant for the address of a peer inside the mesh leaves by another interface: the mesh's route is "
        "missing, or another network has an overlapping prefix.",
    ),
    "W15": Cause(
        "The host's own firewall drops what it sends",
        "Packets are made on the host and do not leave it. The evidence names table, chain and rule where netfilter "
        "tells them.",
        _OPEN,
    ),
    "W16": Cause(
        "Packets are lost between the hosts",
        "They leave one host, and nothing of them arrives at the other: a firewall, a security group of a provider, "
        "or a router between the two.",
        "let the UDP port of the mesh pass between the two hosts, in whatever filters between them",
    ),
    "W17": Cause(
        "The host's own firewall drops WireGuard's messages",
        "They arrive at the host, and do not reach WireGuard. The evidence names table, chain and rule where "
        "netfilter tells them.",
        f"{_OPEN}, or {UP} where it is the rule of mesh that is missing",
    ),
    "W18": Cause(
        "The host's own firewall drops what comes out of the tunnel",
        "Pings arrive through the tunnel and are dropped there. The evidence names table, chain and rule where "
        "netfilter tells them.",
        _OPEN,
    ),
    "W19": Cause(
        "A NAT has moved the peer",
        "The peer's messages come from another address or port than the one that the host sends to.",
        "`python -m mesh ping HOST PEER`, with the one behind the NAT first, starts a session",
    ),
    "W20": Cause(
        "Persistent keepalive is not as planned",
        "Without it, the NAT in front of a host forgets it, and nobody can reach it until it speaks again.",
    ),
    "W21": Cause(
        "Large packets are lost",
        "Small packets pass and large ones do not, also without an error to who sends them: the path carries less "
        "than the MTU of the tunnel needs. The evidence has the size that passes.",
        "set `mtu` to that size or less in the stack file, then `pulumi up`, or let the path carry more",
    ),
    "W22": Cause("The MTU is not the planned one", "Somebody has set another MTU."),
    "W23": Cause(
        "The clock is far off",
        "WireGuard's handshakes carry the time, and a peer refuses one that is older than the last: a clock that went "
        "back keeps a host out until it has caught up.",
        "`timedatectl set-ntp true` on that host, or its clock set by hand",
    ),
    "W24": Cause(
        "The name of the endpoint leads elsewhere",
        "The DNS name in externalName does not resolve on the host, or to an address that is not the peer's.",
        "correct the DNS record, or externalName in the stack file",
    ),
    "W25": Cause(
        "IPv6 is disabled",
        "A mesh is IPv6 inside, and an interface without it gets no address.",
        "`sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0` on that host, then "
        "`pulumi up --refresh`",
    ),
    "W26": Cause(
        "The host does not forward",
        "A relay, a router or an exit node has forwarding off, or its firewall denies it.",
    ),
    "W27": Cause(
        "The reverse path filter drops messages",
        "rp_filter is strict, and messages arrive by another interface than the one by which their answers would go.",
        "`sysctl -w net.ipv4.conf.all.rp_filter=2` on that host",
    ),
    "W28": Cause(
        "Two hosts have one key",
        "One is likely a copy of the other, as from a disk image. Peers send to whichever spoke last.",
        "`pulumi up --refresh`, then rotate the keys of both",
    ),
    "W29": Cause(
        "A change is unfinished",
        "A rollout was cut off here: the host runs what is not confirmed, or rolled back late.",
    ),
    "W30": Cause(
        "The hosts run different plans",
        "The last rollout was not confirmed on this host, so that it runs another plan than the state holds.",
    ),
    "W31": Cause("Something else has drifted", "A file, a service or a timer is not as it was confirmed."),
    "W32": Cause(
        "WireGuard refuses the messages",
        "They arrive at WireGuard in both directions, and no session comes of them: a clock went back, and the peer "
        "keeps the time of before, or a key differs where it could not be compared, or something alters packets on "
        "the way.",
        "`wg set IF peer KEY remove` on the peer, as the finding has it, then `pulumi up --refresh`, to add it again",
    ),
    "W33": Cause(
        "WireGuard sends nothing",
        "The host has packets for the peer, and WireGuard makes no message of them: it knows no endpoint, or cannot "
        "reach it.",
    ),
    "W34": Cause(
        "The endpoint is not the planned one",
        "WireGuard on the host sends to another endpoint than planned, and nothing arrives: it learned that one, or "
        "somebody set it.",
        "`wg set IF peer KEY endpoint ENDPOINT` on that host, as the finding has it",
    ),
    "W35": Cause(
        "The peer gives no answer to pings",
        "The ping reaches the peer through the tunnel, and passes its firewall, and it makes no answer.",
        "`sysctl -w net.ipv6.icmp.echo_ignore_all=0` on that host",
    ),
    "W36": Cause(
        "No answer, of unknown cause",
        "Everything that was tested is as it should be. The evidence has how far packets came.",
        "`python -m mesh doctor` again, then `wg show` and `tcpdump` on both hosts",
    ),
    "W37": Cause(
        "It answered after a while only",
        "The first pings had no answer, and later ones had. Sessions begin again after a reboot of a host, and a path "
        "may lose packets for some time.",
        "`python -m mesh ping HOST PEER --count 100` tells whether it goes on",
    ),
    "W38": Cause(
        "Another network overlaps with the mesh",
        "Another interface of the host has a prefix of the mesh, or a part of one: an address or a route. What is "
        "meant for the mesh goes there, or will when routes are set again.",
        "`ip -6 route show` on that host, then another prefix for that network, or for the mesh (`prefix`, `address`)",
    ),
}  # fmt: skip
