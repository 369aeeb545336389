# ------------------------------------------------------------------------------------------------------------- switch
# From what runs to what is staged, in an order in which no running tunnel breaks: preshared, then for each new key own and peer,
# then finish, wake and again. `ready` works out beforehand what has to be quick.

# preshared [NAME...]: every running peer that stays has the staged preshared key; running sessions do not notice. Next, the keys
# of these hosts change, in this order: a host that rolls back by itself, and knows only some of them, has the same turns as all others.
order_preshared() {
	[ $# = 0 ] || printf '%s\n' "$@" >>"$home/previous/turns"
	# Where the interface is not up, there are none.
	arguments=$(wg show "$interface" peers 2>/dev/null | awk -v folder="$home/next" -v confirmed="$home/run/peers" "$secrets"'
		BEGIN {
			# By its key before the switch, or after: a run that was cut off may have done a part of it.
			while ((getline line < confirmed) > 0) { split(line, field, " "); name[field[2]] = field[1] }
			while ((getline line < (folder "/peers")) > 0) { split(line, field, " "); name[field[2]] = field[1]; stays[field[1]] = 1 }
		}
		$1 in name && name[$1] in stays { print "peer " $1 " preshared-key " secret(name[$1]) }')
	wg_set "$arguments"
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
	wg_set "$quiet"
}

take_own() {
	if is_userspace; then
		wg_set private-key "$home/next/private-key" "$loud" "$back"
	else
		# The kernel sends a little later than it is told, to where the peer is by then.
		wg_set private-key "$home/next/private-key" "$loud"
		wg_set "$back"
	fi
}

# open_port: what is staged can be reached, whatever filters here and wherever everything else goes.
open_port() {
	firewall_open "$(setting next port)"
	exit_ports
}

# is_port_open: 0 when `open_port` would change nothing. firewalld is told each time, since what it has for its next start is not read.
is_port_open() {
	find_setting next port
	has_line "$(firewall_ports)" "$value" && ! firewalld_is_active && firewall_is_open "$value" && [ -z "$(of_interfaces exit)" ]
}

# ready [NAME]: works out beforehand what `peer NAME`, or `finish`, will set, so that these take one process each. While a
# key or a port changes, packets wait; what they wait for is that.
order_ready() {
	[ -d "$ready" ] || mkdir -p "$ready"
	if [ -n "${1:-}" ]; then
		exchange "$1" >"$ready/$1"
	else
		# Where nothing has to be changed, nothing has to be waited for.
		is_port_open || outlast shared 20 open_port
		# Never empty, so that `finish` knows that it is there.
		{
			echo
			delta
		} >"$ready/.all"
	fi
}

# peer NAME: takes over the staged key of one peer and waits for its first answer, since a round ends with its handshakes.
order_peer() {
	take_peer "$1"
	greet
}

take_peer() {
	recall_peer "$1" || {
		order_ready "$1"
		recall_peer "$1"
	}
	wg_set "$arguments"
}

# recall_peer NAME: $arguments and $address are what `ready NAME` has worked out; 1 where it has not, or was cut off. What is read in the
# shell takes no process, and all peers of a host do this at the same moment.
recall_peer() { [ -e "$ready/$1" ] && { read -r arguments && read -r address; } <"$ready/$1"; }

# greet: one ping to the peer that was taken.
greet() { [ "$address" = - ] || ping -6 -q -c 1 -W 2 "$address" >/dev/null 2>&1 || true; }

# again SECONDS NAME...: begins a new session with peers whose interface was created within the last SECONDS; the old one
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
	wg_set "$stale"
	set_peers
}

# finish: the interface runs what is staged, whatever it ran before.
order_finish() {
	if port_was=$(wg show "$interface" listen-port 2>/dev/null); then
		[ -s "$ready/.all" ] || order_ready
		find_setting next port
		if [ "$port_was" = "$value" ]; then
			set_worked_out
		else
			# A port that stays is not set again: wireguard-go would open its sockets again.
			set_worked_out listen-port "$value"
		fi
		: >"$ready/.all"
		set_link next
	else
		outlast shared 20 open_port
		# From here on it would boot, and only the deadline tells that it is not confirmed.
		persist "$home/deadline" "$home"
		outlast start_with_peers next
	fi
	networkd_spare_link
	is_finished || outlast shared 20 finish_shared
}

# is_finished: 0 when `finish_shared` would change nothing.
is_finished() {
	[ ! -e "$home/exit" ] && [ ! -e "$home/passes" ] && [ -z "$(exit_plan next)" ] && [ -z "$(passes next)" ] && names_are_there next
}

# finish_shared: the same for what interfaces of this host share.
finish_shared() {
	exit_apply next
	forwarding_apply next
	names_apply next
}

# wake: sends something to every peer, so that those who hold a session that this host has lost hear of a new one at once.
order_wake() {
	aim_again
	knock $(awk '$7 != "never" { print $3 }' "$home/next/peers")
}
