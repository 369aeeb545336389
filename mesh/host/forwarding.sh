# --------------------------------------------------------------------------------------------------------- forwarding
# A relay: IPv6 packets that come out of the tunnel may go back into it, to another peer. A host that forwarded nothing
# before forwards nothing else now. Rules of ours carry the mark "mesh INTERFACE relay".
# $base/forwarding remembers the host's own setting from before the first relay; $home/relay says that this is one.

forwarding_all=/proc/sys/net/ipv6/conf/all/forwarding
relay_fence=mesh_relay

# forwarding_apply DIRECTORY: this host is a relay where the settings in DIRECTORY say so, and else is none of ours.
forwarding_apply() {
	if [ "$(setting "$1" forward)" = yes ]; then
		forwarding_start
	elif [ -e "$home/relay" ]; then
		forwarding_stop
	fi
}

# forwarding_start: packets pass from the tunnel into the tunnel, now; at boot this is done again.
forwarding_start() {
	# Not by the shell's read, which asks for one byte after another, and gets none after the first here.
	forwarding_now=$(cat "$forwarding_all")
	[ -e "$base/forwarding" ] || echo "$forwarding_now" >"$base/forwarding"
	: >"$home/relay"
	if [ "$forwarding_now" = 0 ] || fence_is_there; then
		fence_write
	fi
	if [ "$forwarding_now" = 0 ]; then
		# A router takes no default route from router advertisements, and forgets the one that it has, unless told so.
		for forwarding_file in /proc/sys/net/ipv6/conf/*/accept_ra; do
			[ "$(cat "$forwarding_file")" != 1 ] || echo 2 >"$forwarding_file"
		done
		echo 1 >"$forwarding_all"
	fi
	relay_open
}

# forwarding_stop: this interface relays no more; after the last one, the host forwards as it did before the first.
forwarding_stop() {
	relay_close
	rm -f "$home/relay"
	if ls "$base"/*/relay >/dev/null 2>&1; then
		if fence_is_there; then fence_write; fi
		return 0
	fi
	if [ "$(cat "$base/forwarding" 2>/dev/null)" = 0 ]; then
		echo 0 >"$forwarding_all"
		for forwarding_file in /proc/sys/net/ipv6/conf/*/accept_ra; do
			[ "$(cat "$forwarding_file")" != 2 ] || echo 1 >"$forwarding_file"
		done
	fi
	if fence_is_there; then nft delete table ip6 "$relay_fence"; fi
	rm -f "$base/forwarding"
}

# forwarding_is_on: 0 when packets pass as forwarding_start leaves it.
forwarding_is_on() {
	[ "$(cat "$forwarding_all")" != 0 ] && [ -z "$(relay_lacks)" ] &&
		{ [ "$(cat "$base/forwarding" 2>/dev/null)" != 0 ] || fence_is_there; }
}

# fence_is_there: 0 when our table keeps this host from forwarding anything else.
fence_is_there() { has_command nft && nft list table ip6 "$relay_fence" >/dev/null 2>&1; }

# fence_write: only the tunnels that relay may forward.
fence_write() {
	has_command nft ||
		fail "forwarding: this host has been no router, and needs nftables to relay for the mesh and nothing else; install nftables, or choose another relay"
	{
		echo "table ip6 $relay_fence"
		echo "delete table ip6 $relay_fence"
		echo "table ip6 $relay_fence { chain forward { type filter hook forward priority 0;"
		for fence_relay in "$base"/*/relay; do
			fence_interface=${fence_relay%/relay}
			fence_interface=${fence_interface##*/}
			echo "iifname \"$fence_interface\" oifname \"$fence_interface\" accept;"
		done
		printf 'drop\n}\n}\n'
	} | nft -f - >&2 || fail "forwarding: nft cannot write table ip6 $relay_fence; see 'nft list ruleset' on this host"
}

# relay_lacks: prints, one per line, each firewall that drops what is forwarded and has no rule of ours.
relay_lacks() {
	if ufw_is_active; then
		ufw_rules | grep -Fq "comment 'mesh $interface relay'" || echo ufw
	fi
	for relay_tool in $(netfilter_tools); do
		case "$relay_tool" in ip6*) ;; *) continue ;; esac
		"$relay_tool" -w 10 -S FORWARD | grep -Eq '^-P FORWARD DROP|^-A ' || continue
		relay_rule "$relay_tool" -C 2>/dev/null || echo "$relay_tool"
	done
	nft_scan "$(nft_others | sed 's/INPUT/FORWARD/g')" forward | while read -r relay_kind relay_family relay_table relay_chain _; do
		[ "$relay_kind" = chain ] && [ "$relay_family" != ip ] && [ "$relay_table" != "$relay_fence" ] || continue
		nft list chain "$relay_family" "$relay_table" "$relay_chain" | grep -Fq "comment \"mesh $interface relay\"" ||
			echo "nft $relay_family $relay_table $relay_chain"
	done
}

# relay_rule TOOL ACTION: does the action (-I, -D, -C) to our rule of ip6tables.
relay_rule() {
	"$1" -w 10 "$2" FORWARD -i "$interface" -o "$interface" -m comment --comment "mesh $interface relay" -j ACCEPT
}

# relay_open: no firewall here drops what goes from the tunnel into the tunnel.
relay_open() {
	relay_lacks | while read -r relay_firewall relay_where; do
		case "$relay_firewall" in
		ufw) ufw route allow in on "$interface" out on "$interface" comment "mesh $interface relay" </dev/null >&2 9>&- ;;
		nft) nft insert rule $relay_where iifname "$interface" oifname "$interface" accept comment "\"mesh $interface relay\"" >&2 ;;
		*) relay_rule "$relay_firewall" -I >&2 ;;
		esac || fail "forwarding: $relay_firewall cannot let packets pass from $interface to $interface; see its rules on this host"
	done
}

# relay_close: no rule of ours is left.
relay_close() {
	if has_command ufw && ufw_rules | grep -Fq "comment 'mesh $interface relay'"; then
		ufw route delete allow in on "$interface" out on "$interface" </dev/null >&2 9>&- || :
	fi
	for relay_tool in $(iptables_tools); do
		case "$relay_tool" in ip6*) ;; *) continue ;; esac
		if relay_rule "$relay_tool" -C 2>/dev/null; then relay_rule "$relay_tool" -D >&2; fi
	done
	has_command nft || return 0
	nft -a -t list ruleset 2>/dev/null | awk -v mark="comment \"mesh $interface relay\"" '
		$1 == "table" { table = $2 " " $3 }
		$1 == "chain" { chain = table " " $2 }
		index($0, mark) { print "delete rule " chain " handle " $NF }' | nft -f - >&2 || :
}
