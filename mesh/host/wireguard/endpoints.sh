# ---------------------------------------------------------------------------------------------------------- endpoints
# Peers whose endpoint is a DNS name. WireGuard itself knows addresses only; `wg` resolves a name once, and wg-quick brings
# nothing up where it does not resolve. So neither ever gets a name: the program resolves names itself, within a bound, when
# a plan is staged, and every 30 seconds from then on (timers.sh), and sets the addresses on the running interface.
# DIRECTORY/addresses has a line NAME:PORT ADDRESS:PORT for each: what it led to last, which serves while no answer comes.

# In awk: whether an endpoint is a name. IPv4 addresses have no letters, and IPv6 ones are in brackets.
by_name='function is_name(endpoint) { return endpoint ~ /[A-Za-z]/ && endpoint !~ /^\[/ }
	function load(file,   line, field) {
		while ((getline line < file) > 0) { split(line, field, " "); leads[field[1]] = field[2] }
		close(file)
	}
'

# seeks_names DIRECTORY: 0 when the endpoint of a peer in DIRECTORY is a name. Staging makes the file then, so that hosts without
# names pay nothing for asking.
seeks_names() { [ -e "$home/$1/addresses" ]; }

# names_wanted DIRECTORY: prints each NAME:PORT that is the endpoint of a peer in DIRECTORY.
names_wanted() { awk "$by_name"' is_name($4) { print $4 }' "$home/$1/peers" | sort -u; }

# answers NAME: prints the addresses of a name that could be a peer's, in the order of this host's resolver; nothing where
# it has no answer within five seconds.
answers() {
	{
		answer_status=0
		timeout 5 getent ahosts "$1" 2>/dev/null || answer_status=$?
		# The C library of Alpine may come without such a getent; ping asks the same resolver, for one address.
		case $answer_status in
		1 | 126 | 127) timeout 5 ping -q -c 1 -W 1 "$1" 2>/dev/null | sed -n 's/^PING .*(\([0-9a-f]*[.:][0-9a-f.:]*\)).*/\1/p' ;;
		esac
	} | awk '!($1 in seen) && $1 !~ /^(0|127|169\.254|22[4-9]|2[3-5][0-9])\./ && $1 !~ /^(::|::1|::ffff:.*|fe[89ab].*|ff.*)$/ {
		seen[$1] = 1
		print $1
	}'
}

# leads_outside ADDRESS: 0 when packets go there by another way than the tunnel, which cannot carry itself.
leads_outside() {
	# Where the tunnel is the default route, what WireGuard itself sends is told from the rest by its port.
	as_wireguard=
	[ ! -e "$home/exit" ] || as_wireguard="ipproto udp sport $(setting "$(planned)" port)"
	# shellcheck disable=SC2086 # words, or none
	ip -o route get "$1" $as_wireguard 2>/dev/null | awk -v own="$interface" '
		/^(local|unreachable|prohibit|blackhole|broadcast) / { wrong = 1 }
		{ for (i = 1; i < NF; i++) if ($i == "dev" && $(i + 1) == (own "")) wrong = 1 }
		END { exit wrong || !NR }'
}

# look_up DIRECTORY NAME:PORT: prints the endpoint that the name leads to. What it led to before comes first, since many
# resolvers change the order with each answer; then the IP version that this host prefers, then the order of the answer.
look_up() {
	answers "${2%:*}" | awk -v wanted="$2" -v port="${2##*:}" -v version="$(setting "$1" prefers)" \
		-v known="$home/$1/addresses" "$by_name"'
		BEGIN { load(known) }
		{
			endpoint = ($1 ~ /:/ ? "[" $1 "]" : $1) ":" port
			rank = endpoint == leads[wanted] ? 0 : version == "" || (version == 6) == ($1 ~ /:/) ? 1 : 2
			print rank, NR, $1, endpoint
		}' | sort -n -k 1,1 -k 2,2 | while read -r _ place address endpoint; do
		if leads_outside "$address"; then
			echo "$endpoint"
			break
		fi
	done
}

# look_up_all DIRECTORY: a line NAME:PORT ENDPOINT for each name in DIRECTORY that leads anywhere now.
look_up_all() {
	names_wanted "$1" | {
		# Each takes some ten processes.
		at_once_most=32
		at_once look_up_line "$1"
	}
}

look_up_line() {
	found=$(look_up "$1" "$2")
	# In one piece, since others are printed at the same time.
	[ -z "$found" ] || echo "$2 $found"
}

# remember DIRECTORY LINES: DIRECTORY/addresses has these lines, and what it had before for the names that are not among them.
remember() {
	remembered=$({
		printf '%s\n' "$2"
		cat "$home/$1/addresses" 2>/dev/null || :
	} | awk -v peers="$home/$1/peers" '
		BEGIN { while ((getline line < peers) > 0) { split(line, field, " "); wanted[field[4]] = 1 } }
		NF == 2 && $1 in wanted && !($1 in told) { told[$1] = 1; print }' | sort)
	[ "$remembered" != "$(cat "$home/$1/addresses" 2>/dev/null)" ] || return 0
	printf '%s\n' "$remembered" >"$home/$1/addresses.new"
	mv "$home/$1/addresses.new" "$home/$1/addresses"
}

# resolve_incoming [ABSENT...]: what is being staged knows where its names lead; a name that this host could never resolve
# stops the run, except those of hosts that are absent.
resolve_incoming() {
	seeks_names incoming || return 0
	cat "$home/next/addresses" "$home/run/addresses" >"$home/incoming/addresses" 2>/dev/null || :
	remember incoming "$(look_up_all incoming)"
	unknown=$(awk -v known="$home/incoming/addresses" -v words="$*" "$by_name"'
		BEGIN {
			load(known)
			count = split(words, word, " ")
			for (i = 1; i <= count; i++) absent[word[i]] = 1
		}
		is_name($4) && !($4 in leads) && !($1 in absent) {
			name = $4
			sub(/:[0-9]*$/, "", name)
			printf "%s%s for %s", (told++ ? ", " : ""), name, $1
		}' "$home/incoming/peers")
	[ -z "$unknown" ] || fail "does not resolve here: $unknown; correct the name in the stack file, or what this host asks for names"
}

# elsewhere: a line KEY ADDRESS NOW WANTED PEER for each peer whose endpoint NOW is not the one that its name leads to.
elsewhere() {
	wg show "$interface" endpoints | awk -v peers="$home/$(planned)/peers" -v known="$home/$(planned)/addresses" "$by_name"'
		BEGIN {
			load(known)
			while ((getline line < peers) > 0) {
				split(line, field, " ")
				if (is_name(field[4]) && field[4] in leads) rest[field[2]] = leads[field[4]] " " field[1]
				address[field[2]] = field[3]
			}
		}
		$1 in rest { split(rest[$1], field, " "); if ($2 != field[1]) print $1, address[$1], $2, rest[$1] }'
}

# received: prints a line KEY BYTES for each peer: how much has come from it that it has signed.
received() { wg show "$interface" transfer | awk '{ print $1, $2 }'; }

# mute: of the lines of `elsewhere` on standard input, those of peers from whom nothing comes, though they are asked: where
# their packets come from is a better answer than any resolver's. A peer that drops pings still says something within ten
# seconds of hearing from us, since WireGuard does.
mute() {
	lines=$(cat)
	before=$(received)
	asked=$(printf '%s\n' "$lines" | awk '$3 != "(none)" { print $2 }')
	for address in $asked; do ping -6 -q -c 3 -W 4 "$address" >/dev/null 2>&1 & done
	rounds=0
	while
		silent=$({
			printf '%s\n' "$before" | awk '{ print "before", $1, $2 }'
			received | awk '{ print "now", $1, $2 }'
			printf '%s\n' "$lines"
		} | awk '
			$1 == "before" { before[$2] = $3; next }
			$1 == "now" { now[$2] = $3; next }
			NF && now[$1] == before[$1] { print }')
		[ -n "$asked" ] && [ -n "$silent" ] && [ "$rounds" -lt 12 ]
	do
		sleep 1
		rounds=$((rounds + 1))
	done
	wait
	printf '%s\n' "$silent"
}

# move: each peer in lines of `elsewhere` on standard input gets the endpoint that its name resolves to, if nothing has moved it meanwhile.
move() {
	while read -r key address now wanted name; do
		wg show "$interface" endpoints | grep -qxF "$key	$now" || continue
		wg set "$interface" peer "$key" endpoint "$wanted"
		say "the endpoint of $name is $wanted now; it was $now"
		echo "$address"
	done | { knock $(cat); }
}

# seek DIRECTORY: each peer in it whose name resolves to another endpoint, and that does not answer at the present one, gets that.
seek() {
	seeks_names "$1" || return 0
	remember "$1" "$(look_up_all "$1")"
	lost=$(elsewhere)
	[ -z "$lost" ] || printf '%s\n' "$lost" | mute | move
}

# resolve: the same for the timer. The lock is taken only to change something, and left to a rollout, which does this itself.
resolve() {
	# Whoever comes by takes back what nobody has.
	if is_due 5; then (open_lock && flock -n 9 && settle serve) || true; fi
	seeks_names "$(planned)" && is_up || return 0
	found=$(look_up_all "$(planned)")
	open_lock
	flock -n 9 || return 0
	remember "$(planned)" "$found"
	lost=$(elsewhere)
	flock -u 9
	[ -n "$lost" ] || return 0
	lost=$(printf '%s\n' "$lost" | mute 9>&-)
	flock -n 9 || return 0
	printf '%s\n' "$lost" | move
}
