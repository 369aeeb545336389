# ---------------------------------------------------------------------------------------------------------- diagnosis
# What `python -m mesh doctor` and `ping` ask: facts that may explain a silent pair, and pings. They change nothing.

# examine SALT: replies what nothing else tells: the clock, addresses and routes of other interfaces, a salted digest of the preshared
# key of each peer, where IPv6 is off, who has our port, and where names lead.
order_examine() {
	probe_clear
	echo "clock $(date +%s)"
	ip -o address show scope global | awk -v own="$interface" '$2 != (own "") && $4 ~ /\// { print "own", $2, $4 }' | head -n 200
	{
		ip -6 -o route show
		ip -4 -o route show
	} | awk -v own="$interface" '
		$1 !~ /^[0-9a-f.:\/]+$/ || $1 ~ /^(fe[89ab]|ff)/ { next }
		{ for (i = 2; i < NF; i++) if ($i == "dev" && $(i + 1) != (own "")) print "other", $(i + 1), $1 }' | head -n 500
	if is_up; then
		wg show "$interface" preshared-keys | while read -r key preshared; do
			if [ "$preshared" = "(none)" ]; then echo "preshared $key none"; else
				echo "preshared $key $(printf '%s%s\n' "$1" "$preshared" | sha256sum | cut -c 1-64)"
			fi
		done
	fi
	[ -d /proc/sys/net/ipv6 ] || echo "ipv6-off kernel"
	for of in all default "$interface"; do
		[ "$(first_word "/proc/sys/net/ipv6/conf/$of/disable_ipv6" 0)" != 1 ] || echo "ipv6-off $of"
	done
	port=$(setting "$(planned)" port)
	if [ -n "$port" ] && has_command ss && [ "$(wg show "$interface" listen-port 2>/dev/null)" != "$port" ]; then
		listeners "$port"
	fi
	if seeks_names "$(planned)"; then look_up_all "$(planned)" | sed 's/^/name /'; fi
}

# listeners PORT: prints `listens NAME NUMBER` for each process that is at the port; the kernel has the number 0.
listeners() {
	ss -Hulnp "sport = :$1" | awk '
		{ name = "kernel"; number = 0 }
		match($0, /users:\(\("[^"]*"/) { name = substr($0, RSTART + 9, RLENGTH - 10); gsub(/[^A-Za-z0-9_.+-]/, "_", name) }
		match($0, /pid=[0-9]+/) { number = substr($0, RSTART + 4, RLENGTH - 4) }
		!seen[name, number]++ { print "listens", substr(name, 1, 40), number }' | head -n 10
}

# passing ADDRESS BYTES: prints of how many bytes packets to and fro may be, where BYTES are too many; 0 where the least are.
passing() {
	narrow=0 wide=$2 between=1280
	while [ $((wide - narrow)) -gt 4 ]; do
		if answers_ping "$between" "$1" 1 >/dev/null 2>&1; then narrow=$between; else wide=$between; fi
		between=$(((narrow + wide) / 2))
		# Less than that is no ping of IPv6.
		[ "$between" -gt 60 ] || break
	done
	echo "$narrow"
}

# pinged COUNT ADDRESS: pings COUNT times; prints how many were sent and answered, and the least, mean and largest time in milliseconds.
pinged() {
	ping -6 -q -c "$1" -i 0.2 -W 2 "$2" 2>/dev/null | awk '
		/packets transmitted/ { sent = $1; came = $4 }
		/min\/avg\/max/ { sub(/.*= */, ""); split($0, time, "/"); times = time[1] " " time[2] " " time[3] + 0 }
		END { print sent + 0, came + 0, came && times != "" ? times : "- - -" }'
}

# measure_peer NAME ADDRESS MTU COUNT TURN: replies `measured NAME SENT CAME LEAST MEAN MOST BYTES`.
measure_peer() {
	# So that the two ends do not begin at once.
	[ "$5" = first ] || sleep 1
	# A session that sleeps has to begin again first, and a handshake that crosses another is tried again after five seconds.
	answers_ping 104 "$2" 6 >/dev/null 2>&1 || :
	measured=$(pinged "$4" "$2")
	bytes=0
	case $measured in
	*" 0 - - -") ;;
	*) if { answers_ping "$3" "$2" 2 || answers_ping "$3" "$2" 3; } >/dev/null 2>&1; then bytes=$3; else bytes=$(passing "$2" "$3"); fi ;;
	esac
	echo "measured $1 $measured $bytes"
}

# measure COUNT [PEER...]: pings each confirmed peer that this host can meet, or those that are named, and finds the largest packet
# that passes.
order_measure() {
	has_command ping || fail "ping is missing, and verification needs it; install it (iputils)"
	mtu=$(setting "$(planned)" mtu)
	cat "$home/$(planned)/peers" $(relayed "$(planned)") 2>/dev/null | awk -v words="$*" -v mtu="$mtu" '
		BEGIN { count = split(words, word, " "); for (i = 2; i <= count; i++) wanted[word[i]] = 1 }
		count < 2 ? $7 != "never" : $1 in wanted { print $1, $3, mtu, word[1], $7 }' | at_once measure_peer
}
