# ------------------------------------------------------------------------------------------------------------ retreat
# Going back in the order of the switch, one key after another: where all hosts went back at the same moment, handshakes
# would cross and packets be lost. It is done by the orders of the switch, with previous/ for a home: in there, what was
# confirmed is what is next.

# turn_back: from previous/, the switch leads to what was confirmed.
turn_back() {
	ln -s ../run "$home/previous/next"
	ln -s ../next "$home/previous/run"
	ln -s ../deadline "$home/previous/deadline"
}

# is_switched: 0 when there is a running interface to lead back.
is_switched() { is_armed && [ -d "$home/run" ] && [ -d "$home/previous" ] && [ ! -e "$home/previous/absent" ] && is_up; }

# back ORDER [NAME]: carries out one order of the switch in the other direction; the last step is `abort`.
order_back() {
	is_switched || return 0
	home=$home/previous
	"order_$@"
}

# retreat: the same without an operator. All hosts know the order and, by their deadlines, the moments of it.
retreat() (
	is_switched || exit 0
	moment=$until
	home=$home/previous
	order_preshared
	turns "$moment" | {
		while read -r when name; do
			if [ "$name" = "$(setting next host)" ]; then
				ready_own
				sleep_until "$when" || true
				take_own
			else
				order_ready "$name"
				sleep_until "$when" || true
				# What this host does at its own turn begins with the peers that it has then.
				take_peer "$name"
				greet "$name" &
			fi
		done
		wait
	}
)

# turns MOMENT: a line `WHEN NAME` for each host whose key changes: when this host has to do its part of that. The others
# take part a little later, since a host comes before its peers, and clocks and messages are not exact.
turns() {
	{
		echo "$(setting next host) $(setting next public-key) $(setting run public-key)"
		awk -v others="$home/run/peers" '
			BEGIN { while ((getline line < others) > 0) { split(line, field, " "); key[field[1]] = field[2] } }
			$1 in key { print $1, $2, key[$1] }' "$home/next/peers"
	} | awk '$2 != $3 { print $1 }' | sort | awk -v moment="$1" -v own="$(setting next host)" '
		{ name[NR] = $1 }
		END {
			# The lock that a next run waits for is held meanwhile.
			pause = NR > 25 ? 30 / NR : 1.2
			for (i = 1; i <= NR; i++) printf "%.2f %s\n", moment + i * pause + (name[i] == (own "") ? 0 : 0.06), name[i]
		}'
}

# sleep_until WHEN: waits for a moment, in seconds since boot; 1 when it has passed already.
sleep_until() {
	left=$(awk -v moment="$1" '{ if (moment - $1 > 0.005) printf "%.2f", moment - $1 }' /proc/uptime)
	[ -n "$left" ] && sleep "$left"
}
