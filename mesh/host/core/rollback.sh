# ------------------------------------------------------------------------------------------------------------ retreat
# Rolling back in the order of the switch, one key after another: if all hosts rolled back at the same moment, handshakes
# would cross and packets be lost. It is done by the orders of the switch, with previous/ for a home: in there, what was
# confirmed is what is next.

# turn_back: from previous/, the switch leads to what was confirmed.
turn_back() {
	ln -s ../run "$home/previous/next"
	ln -s ../next "$home/previous/run"
	ln -s ../deadline "$home/previous/deadline"
}

# is_switched: 0 when there is a running interface to roll back.
is_switched() { is_armed && [ -d "$home/run" ] && [ -d "$home/previous" ] && [ ! -e "$home/previous/absent" ] && is_up; }

# back ORDER [NAME]: carries out one order of the switch in the other direction; the last step is `abort`.
order_back() {
	is_switched || return 0
	home=$home/previous
	order=$1
	shift
	"order_$order" "$@"
}

# is_led_back: 0 when what WireGuard runs is what it ran before.
is_led_back() { [ -r "$home/previous/running" ] && [ "$(running_settings)" = "$(cat "$home/previous/running")" ]; }

# retreat: the same without an operator. All hosts know the order and, by their deadlines, the moments of it.
retreat() (
	is_switched || exit 0
	moment=$until
	home=$home/previous
	order_preshared
	turns "$moment" | {
		while read -r when name; do
			sign_of_life
			if [ "$name" = - ]; then
				sleep_until "$when" || true
			elif [ "$name" = "$(setting next host)" ]; then
				ready_own
				sleep_until "$when" || true
				take_own
			else
				order_ready "$name"
				sleep_until "$when" || true
				# What this host does at its own turn begins with the peers that it has then.
				take_peer "$name"
				greet &
			fi
		done
		wait
	}
)

# turns MOMENT: a line `WHEN NAME` for each host whose key changes: when this host has to do its part of that; and `WHEN -` for
# all the rest, such as a port: who moved before the last peer has taken part in the last turn would not be found by it. The
# others take part a little later, since a host comes before its peers, and clocks and messages are not exact.
turns() {
	sort -u "$home/turns" 2>/dev/null | awk -v moment="$1" -v own="$(setting next host)" '
		{ name[NR] = $1 }
		END {
			# The lock that a next run waits for is held meanwhile.
			pause = NR > 25 ? 30 / NR : 1.2
			for (i = 1; i <= NR; i++) printf "%.2f %s\n", moment + i * pause + (name[i] == (own "") ? 0 : 0.06), name[i]
			if (NR) printf "%.2f -\n", moment + (NR + 1) * pause
		}'
}

# sleep_until WHEN [MOST]: waits for a moment, in seconds since boot, but no longer than MOST seconds; 1 when it has passed already.
sleep_until() {
	tell_time
	left=$((${1%.*}${1#*.} - ${uptime%.*}${uptime#*.}))
	[ "$left" -gt 0 ] || return 1
	[ -z "${2:-}" ] || [ "$left" -le $(($2 * 100)) ] || left=$(($2 * 100))
	case $((left % 100)) in ?) sleep "$((left / 100)).0$((left % 100))" ;; *) sleep "$((left / 100)).$((left % 100))" ;; esac
}
