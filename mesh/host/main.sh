# --------------------------------------------------------------------------------------------------------------- main

# prepare [COMMAND...]: WireGuard is installed, and each command. Replies what kind of system this is.
order_prepare() {
	lock_host 300
	install_wireguard 8>&-
	for command; do
		has_command "$command" || install_for "$command" 8>&-
	done
	describe_system
}

# preshared: every running peer that stays has the staged preshared key; running sessions do not notice.
order_preshared() {
	is_up || return 0
	arguments=$(wg show "$interface" peers | awk -v folder="$home/next" -v confirmed="$home/run/peers" "$secrets"'
		BEGIN {
			# By its key before the switch, or after: a run that was cut off may have done a part of it.
			while ((getline line < confirmed) > 0) { split(line, field, " "); name[field[2]] = field[1] }
			while ((getline line < (folder "/peers")) > 0) { split(line, field, " "); name[field[2]] = field[1]; stays[field[1]] = 1 }
		}
		$1 in name && name[$1] in stays { print "peer " $1 " preshared-key " secret(name[$1]) }')
	[ -z "$arguments" ] || wg set "$interface" $arguments
}

# own: this host takes its staged private key; peers still reach it, and what it sends waits until they have the new key.
# It must not start a handshake at the moment a peer does: the two would cross, and the pair would be cut for 5 seconds.
# Turning the keepalive on makes it start one with every peer at once, and then be silent for those 5 seconds, in which the
# peers take the new key and start theirs. Its own leads nowhere: a busy peer would read it after it has taken the key.
order_own() {
	ready_own
	take_own
}

# ready_own: works out what `take_own` sets, and lets this host start no handshake until then.
ready_own() {
	endpoints=$(wg show "$interface" endpoints)
	quiet=$(echo "$endpoints" | awk 'NF { print "peer", $1, "persistent-keepalive off" }')
	loud=$(echo "$endpoints" | awk 'NF { print "peer", $1, ($2 ~ /:/ ? "endpoint 127.0.0.1:9" : ""), "persistent-keepalive 25" }')
	# In the same go, since what peers still send is answered by where they are.
	back=$(echo "$endpoints" | awk '$2 ~ /:/ { print "peer", $1, "endpoint", $2 }')
	[ -z "$quiet" ] || wg set "$interface" $quiet
}

take_own() { wg set "$interface" private-key "$home/next/private-key" $loud $back; }

# open_port: what is staged can be reached, whatever filters here and wherever everything else goes.
open_port() {
	lock_host 60
	firewall_open "$(setting next port)" 8>&-
	exit_ports
}

# ready [NAME]: works out beforehand what `peer NAME`, or `finish`, will set, so that these take one process each. While a
# key or a port changes, packets wait; what they wait for is that.
order_ready() {
	[ -d "$ready" ] || mkdir -p "$ready"
	[ -n "${1:-}" ] || open_port
	delta "$@" >"$ready/${1:-.all}"
}

# peer NAME: takes over what is staged for one peer and waits for its first answer, since a round ends with its handshakes.
order_peer() {
	if [ -e "$ready/$1" ]; then set_worked_out "$1"; else set_peers "$1"; fi
	address=$(awk -v name="$1" '$1 == name && $7 != "never" { print $3 }' "$home/next/peers")
	[ -z "$address" ] || ping -6 -q -c 1 -W 2 "$address" >/dev/null 2>&1 || true
}

# again SECONDS NAME...: begins a new session with peers whose interface was made anew within so many seconds; the old one
# would be used in vain for up to 20 seconds. Peers that never had a session, or have begun one since, are left alone.
order_again() {
	made=$(($(date +%s) - $1))
	shift
	stale=$(wg show "$interface" latest-handshakes | awk -v names="$*" -v made="$made" -v staged="$home/$(planned)/peers" '
		BEGIN {
			count = split(names, name, " ")
			for (i = 1; i <= count; i++) wanted[name[i]] = 1
			while ((getline line < staged) > 0) { split(line, field, " "); if (field[1] in wanted) keys[field[2]] = 1 }
		}
		$2 > 0 && $2 < made && $1 in keys { print "peer " $1 " remove" }')
	[ -n "$stale" ] || return 0
	wg set "$interface" $stale
	set_peers
}

# finish: the interface runs what is staged, whatever it ran before. Replies `moved` when it listens on another port, since
# peers hold on to the one that they last heard from.
order_finish() {
	if is_up; then
		[ -s "$ready/.all" ] || order_ready
		port=$(setting next port)
		if [ "$(wg show "$interface" listen-port)" = "$port" ]; then
			set_worked_out .all
		else
			# A port that stays is not set again: wireguard-go would open its sockets anew.
			set_worked_out .all listen-port "$port"
			echo moved
		fi
		: >"$ready/.all"
		lock_host 60
		set_link next
		set_routes run next
	else
		open_port
		write_configuration next
		service_start 4>&- 8>&- 9>&-
		# What the configuration leaves out: where a name leads, and what PostUp does, if this program is not the one that boots.
		if seeks_names next || [ -n "$(exit_plan next)" ]; then set_peers; fi
	fi
	exit_apply next
	forwarding_apply next
	names_apply next
}

# wake: sends something to every peer, so that those who hold a session that this host has lost hear of a new one at once.
order_wake() { knock $(awk '$7 != "never" { print $3 }' "$home/next/peers"); }

# ping_twice BYTES ADDRESS: 0 as soon as one of two pings, each of so many bytes inside the tunnel, is answered.
ping_twice() { ping -6 -q -c 1 -W 6 -s $(($1 - 48)) "$2" || ping -6 -q -c 1 -W 6 -s $(($1 - 48)) "$2"; }

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

# unanswered PEER: prints ` unresolved` where the peer is sought at a name that does not resolve now.
unanswered() {
	sought=$(awk -v peer="$1" "$by_name"'$1 == peer && is_name($4) { print $4 }' "$home/$(planned)/peers")
	[ -z "$sought" ] || [ -n "$(answers "${sought%:*}")" ] || echo " unresolved"
}

# prove_peer NAME ADDRESS MTU: a ping of the tunnel's full size is answered. Replies `silent NAME [unresolved]` where none is at
# all, and `narrow NAME BYTES` where smaller ones are.
prove_peer() {
	if ping_twice "$3" "$2"; then return 0; fi
	# A handshake that crossed another one is tried again after five seconds. 1280 bytes is what every IPv6 path takes.
	if ! ping_twice 1280 "$2"; then
		echo "silent $1$(unanswered "$1")" >&3
		return 0
	fi
	fits=$(widest "$2" "$3")
	# What came to itself meanwhile was not narrow.
	ping -6 -q -c 2 -W 2 -s $(($3 - 48)) "$2" || echo "narrow $1 $fits" >&3
}

# prove first|second [ABSENT...]: a ping to each peer whose pair this host opens first, or second, but for hosts that are
# absent. Replies a line for each that is not well. A peer whose tunnel is dead is sought where its name leads before.
order_prove() {
	[ "$1" != first ] || seek
	mtu=$(setting "$(planned)" mtu)
	awk -v words="$*" 'BEGIN { count = split(words, word, " "); for (i = 2; i <= count; i++) absent[word[i]] = 1 }
		$7 == word[1] && !($1 in absent) { print $1, $3 }' "$home/$(planned)/peers" $(relayed "$(planned)") | {
		asked=0
		while read -r name address; do
			# A process for each peer at once would be hundreds in a large mesh.
			asked=$((asked + 1))
			[ $((asked % 64)) -ne 0 ] || wait
			prove_peer "$name" "$address" "$mtu" >/dev/null 2>&1 &
		done
		wait
	} 3>&1
}

# ping: replies `ping NAME MILLISECONDS|none` for each confirmed peer that this host can meet.
order_ping() {
	{
		awk '$7 != "never" { print $1, $3 }' "$home/run/peers" 2>/dev/null
		awk '{ print $1, $3 }' $(relayed run) </dev/null
	} | {
		asked=0
		while read -r name address; do
			asked=$((asked + 1))
			[ $((asked % 64)) -ne 0 ] || wait
			{
				# Twice, since the first may have to wait for a handshake that crossed another.
				answer=$({ ping -6 -c 1 -W 3 "$address" || ping -6 -c 1 -W 6 "$address"; } 2>/dev/null | sed -n 's/.*time[=<]\([0-9.]*\).*/\1/p')
				echo "ping $name ${answer:-none}"
			} &
		done
		wait
	}
}

# facts SALT: what the kernel runs: keys, port, MTU, addresses, a salted digest of the preshared keys, and a line for each peer;
# `differs KIND` where what is handed on, or the way to everywhere, is not as planned.
order_facts() {
	is_up || fail "interface $interface is not up; look at 'journalctl -u wg-quick@$interface'"
	echo "confirmed $(setting run digest)"
	echo "since $(first_word "$home/next/since" 0)"
	echo "mtu $(first_word "/sys/class/net/$interface/mtu")"
	ip -o address show dev "$interface" scope global | awk '{ print "address " $4 }'
	wg show "$interface" preshared-keys | awk '{ print $2 }' | sort -u | awk -v salt="$1" '{ print salt $0 }' | sha256sum |
		awk '{ print "preshared " $1 }'
	wg show "$interface" dump | awk '
		NR == 1 { print "interface", $2, $3; next }
		{ print "peer", $1, $3, $4, $5, $6, $7, $8 }'
	forwarding_differs "$(planned)"
	exit_is_on "$(planned)" || echo "differs exit"
}

# serve: takes one order a line; replies its lines, then `.ok` or `.error MESSAGE`.
serve() {
	mkdir -p "$home"
	exec 9>"$home/lock"
	if ! flock -n 9 && ! timeout 40 flock 9; then
		echo ".error another run holds interface $interface on this host (since $(date -r "$home/session" 2>/dev/null)); wait for it to end"
		exit 1
	fi
	echo $$ >"$home/session"
	settle serve
	echo .ok
	set +e
	while read -r order arguments; do
		case $order in
		stage | prepare | arm | clock | renew | preshared | ready | own | peer | back | again | finish | wake | prove | ping | facts | audit | hold | confirm | abort | wipe) ;;
		*)
			echo ".error this is not an order; run the same version of mesh everywhere"
			continue
			;;
		esac
		{ message=$(set -e; "order_$order" $arguments 2>&1 >&4); } 4>&1
		if [ $? = 0 ]; then
			echo .ok
		else
			# wg repeats what it cannot read, and that could be a key.
			printf '.error %s\n' "$(printf '%s' "$message" | sed 's/[A-Za-z0-9+\/]\{42,43\}=*/[key]/g' | tail -n 3 | tr '\n' ' ' | cut -c1-500)"
		fi
	done
	rm -f "$home/session" 2>/dev/null
}

program=$0
# A version whose file was edited lies beside itself, until the next rollout puts it in its place.
version=${program%.new}
base=/var/lib/mesh
interface=$2
home=$base/$interface
ready=$home/previous/ready
configuration=/etc/wireguard/$interface.conf
case $1 in
serve) serve ;;
guard) guard "$3" ;;
resolve) resolve ;;
resolving) resolving "$3" ;;
boot)
	settle boot
	firewall_apply
	forwarding_apply run
	# What a run that was cut off had begun.
	[ -n "$(exit_plan run)" ] || exit_apply run
	;;
exit) exit_start ;;
esac
