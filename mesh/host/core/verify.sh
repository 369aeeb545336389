# ------------------------------------------------------------------------------------------------------- verification
# What shows that the mesh runs: pings of the tunnel's full size, and what the kernel says of it.

# answers_ping BYTES ADDRESS SECONDS: 0 when a ping of BYTES inside the tunnel is answered within SECONDS.
answers_ping() { ping -6 -q -c 1 -W "$3" -s $(($1 - 48)) "$2"; }

# aim PEER: gives the peer the endpoint of the plan. A packet that came late from the old one has set that again, and where a
# NAT does not know the new one, neither end would hear of the other again.
aim() {
	where=$(awk -v peer="$1" "$by_name"'$1 == (peer "") && $4 != "-" && !is_name($4) { print "peer", $2, "endpoint", $4 }' "$home/$(planned)/peers")
	wg_set "$where"
}

# aim_again: the same for every peer whose endpoint is the one that was planned before, though another one is planned now: all hosts
# are there by now, and nothing comes from the old places.
aim_again() {
	if ! is_armed || [ ! -r "$home/run/peers" ]; then return 0; fi
	left=$(wg show "$interface" endpoints | awk -v confirmed="$home/run/peers" -v staged="$home/next/peers" "$by_name"'
		BEGIN {
			while ((getline line < confirmed) > 0) { split(line, field, " "); was[field[1]] = field[4] }
			while ((getline line < staged) > 0) {
				split(line, field, " ")
				if (field[4] != "-" && !is_name(field[4]) && field[4] != was[field[1]]) { old[field[2]] = was[field[1]]; planned[field[2]] = field[4] }
			}
		}
		$1 in planned && $2 == old[$1] { print "peer", $1, "endpoint", planned[$1] }')
	wg_set "$left"
}

# widest ADDRESS BYTES: prints of how many bytes packets to and fro may be, where BYTES are too many and 1280 are not.
widest() {
	narrow=1280 wide=$2
	while [ $((wide - narrow)) -gt 4 ]; do
		between=$(((narrow + wide) / 2))
		if ping -6 -q -c 1 -W 1 -s $((between - 48)) "$1" >/dev/null 2>&1; then narrow=$between; else wide=$between; fi
	done
	echo "$narrow"
}

# relayed DIRECTORY: prints the path of the hosts that are reached over another, if there are any.
relayed() { [ ! -s "$home/$1/relayed" ] || echo "$home/$1/relayed"; }

# unresolved PEER: prints ` unresolved` where the endpoint of the peer is a name that does not resolve now.
unresolved() {
	named=$(awk -v peer="$1" "$by_name"'$1 == (peer "") && is_name($4) { print $4 }' "$home/$(planned)/peers")
	[ -z "$named" ] || [ -n "$(answers "${named%:*}")" ] || echo " unresolved"
}

# carried PEER: prints how many bytes have come from the peer and have gone there, and how many packets for the tunnel the system has
# discarded instead of sending them. Nothing for a host that is reached over another, or that there was never a session with.
carried() {
	carried_key=$(awk -v peer="$1" '$1 == (peer "") { print $2 }' "$home/$(planned)/peers")
	{
		wg show "$interface" latest-handshakes
		wg show "$interface" transfer
	} | awk -v key="$carried_key" -v discarded="$(discarded)" '$1 != (key "") { next } NF == 2 { met = $2 } NF == 3 && met { print $2, $3, discarded + 0 }'
}

# discarded: prints how many packets the system would not send through the tunnel, as a firewall has it.
discarded() { awk '$1 == "Ip6OutDiscards" { print $2 }' "/proc/net/dev_snmp6/$interface" 2>/dev/null || :; }

# last_try NAME ADDRESS: 0 when one of two pings of 1280 bytes is answered. Else it prints what of this host is in the way, where
# that is known, a ping being a message of 1312 bytes to WireGuard, and its answer another: ` unsent`, the system discarded both, and
# nothing of the kind has gone; ` unheard`, two answers have come in through the tunnel, and no further; ` unclear`, so much else
# has come that one cannot tell.
last_try() {
	carried_before=$(carried "$1")
	# A handshake that crossed another one is tried again after five seconds.
	if { answers_ping 1280 "$2" 6 || answers_ping 1280 "$2" 4; } >/dev/null 2>&1; then return 0; fi
	echo "$carried_before $(carried "$1")" | awk '
		NF < 6 { exit }
		{ came = int(($4 - $1) / 1312); went = int(($5 - $2) / 1312); refused = $6 - $3 }
		went == 0 && refused > 1 { print " unsent"; exit }
		came == 2 { print " unheard" }
		came > 2 { print " unclear" }'
	return 1
}

# prove_peer NAME ADDRESS MTU: replies `well NAME` where a ping of the tunnel's full size is answered, `silent NAME [WHY]` where none
# is at all, WHY being unsent, unresolved, unheard or unclear, and `narrow NAME BYTES` where smaller ones are. It fails where the peer
# is silent; where several have been, it takes a peer for silent after eight seconds and not after 24.
prove_peer() {
	if answers_ping "$3" "$2" 2; then
		echo "well $1" >&3
		return 0
	fi
	if ! answers_ping 1280 "$2" 2; then
		aim "$1"
		if [ "${at_once_failed:-0}" -ge 8 ] && ! answers_ping 1280 "$2" 4; then
			echo "silent $1" >&3
			return 1
		fi
	fi
	# A handshake that crossed another one is tried again after five seconds. 1280 bytes is what every IPv6 path takes.
	if answers_ping "$3" "$2" 6 || answers_ping "$3" "$2" 4; then
		echo "well $1" >&3
		return 0
	fi
	why=$(last_try "$1" "$2") || {
		[ "$why" = " unsent" ] || why=$(unresolved "$1")${why}
		# The first word counts.
		echo "silent $1$why" >&3
		return 1
	}
	fits=$(widest "$2" "$3")
	# What came to itself meanwhile was not narrow.
	if ping -6 -q -c 2 -W 2 -s $(($3 - 48)) "$2"; then echo "well $1" >&3; else echo "narrow $1 $fits" >&3; fi
}

# prove first|second [ABSENT...]: a ping to each peer whose pair this host opens first, or second, except hosts that are
# absent. Replies a line for each: a peer without one is not verified. One whose tunnel is dead gets the endpoint that its name resolves to.
order_prove() {
	has_command ping || fail "ping is missing, and verification needs it; install it (iputils)"
	place=$(planned)
	if [ "$1" = first ]; then
		aim_again
		seek "$place"
	fi
	find_setting "$place" mtu
	awk -v words="$*" -v mtu="$value" 'BEGIN { count = split(words, word, " "); for (i = 2; i <= count; i++) absent[word[i]] = 1 }
		$7 == word[1] && !($1 in absent) { print $1, $3, mtu }' "$home/$place/peers" $(relayed "$place") |
		at_once prove_peer 3>&1 >/dev/null 2>&1
}

# source NAME: replies `source ADDRESS`, from which this host sends to a peer, where WireGuard runs in userspace: some versions of it
# answer from there, wherever they were asked, as the kernel never does.
order_source() {
	is_userspace || return 0
	key=$(awk -v name="$1" '$1 == (name "") { print $2 }' "$home/$(planned)/peers")
	where=$(wg show "$interface" endpoints | awk -v key="$key" '$1 == key && $2 ~ /:/ { sub(/:[0-9]*$/, "", $2); gsub(/[][]/, "", $2); print $2 }')
	[ -z "$where" ] || ip -o route get "$where" 2>/dev/null | sed -n 's/.* src \([^ ]*\).*/source \1/p'
}

# ping: replies `ping NAME MILLISECONDS|none` for each confirmed peer that this host can meet.
order_ping() {
	{
		awk '$7 != "never" { print $1, $3 }' "$home/run/peers" 2>/dev/null
		awk '{ print $1, $3 }' $(relayed run) </dev/null
	} | at_once ping_peer
}

# ping_peer NAME ADDRESS: replies as `ping` does for one peer; it fails where there is no answer, and waits less where several failed.
ping_peer() {
	# A second time, since the first may have had to wait for a handshake that crossed another.
	patiences="3 6"
	[ "${at_once_failed:-0}" -lt 8 ] || patiences=6
	for patience in $patiences; do
		answer=$(ping -6 -c 1 -W "$patience" "$2" 2>/dev/null | sed -n 's/.*time[=<]\([0-9.]*\).*/\1/p')
		[ -z "$answer" ] || break
	done
	echo "ping $1 ${answer:-none}"
	[ -n "$answer" ]
}

# facts SALT: what the kernel runs: keys, port, MTU, addresses, a salted digest of the preshared keys, and a line for each peer;
# `stale KEY` for one without a handshake since this host was armed; `differs KIND` where forwarding, or the default route, is not as planned.
order_facts() {
	running=$(wg show "$interface" dump 2>/dev/null) || fail "interface $interface was taken down meanwhile; run pulumi up again"
	place=$(planned)
	find_setting run digest
	echo "confirmed $value"
	echo "mtu $(first_word "/sys/class/net/$interface/mtu")"
	for address in $(list_addresses); do echo "address $address"; done
	preshared=$(printf '%s\n' "$running" | awk -v salt="$1" 'NR > 1 && !seen[$2]++ { print salt $2 }' | sort | sha256sum)
	echo "preshared ${preshared%% *}"
	printf '%s\n' "$running" | awk -v handshakes="$home/next/handshakes" '
		BEGIN { while ((getline line < handshakes) > 0) { split(line, field, " "); armed[field[1]] = field[2] } }
		NR == 1 { print "interface", $2, $3; next }
		{ print "peer", $1, $3, $4, $5, $6, $7, $8 }
		# By its time being another, not a later one: a clock may be set back meanwhile.
		$5 == armed[$1] + 0 { print "stale", $1 }'
	forwarding_differs "$place"
	exit_is_on "$place" || echo "differs exit"
}
