# -------------------------------------------------------------------------------------------------------- transaction
# Stage, arm, switch, verify, hold, confirm; or roll back. Each order can be given again without harm.

# is_armed: 0 while a deadline of this boot runs, or has passed, and what is staged is not confirmed.
is_armed() {
	[ -r "$home/deadline" ] && [ -d "$home/next" ] || return 1
	read -r until token boot <"$home/deadline" || true
	# One that is not a moment as `arm` writes it has passed.
	case $until in *[!0-9.]* | *.*.*) until=0.00 ;; [1-9]*.[0-9][0-9]) ;; *) until=0.00 ;; esac
	[ "$boot" = "$this_boot" ]
}

# stage LINES [ABSENT...]: takes the roster from standard input, checks it against this host, and lays it down in next/.
# Replies `running KEY PORT`, or `running absent` (also where no packet could pass), and `confirmed DIGEST|none`.
order_stage() {
	lines=$1
	shift
	[ ! -e "$home/incoming" ] || rm -rf "$home/incoming"
	mkdir -p "$home/incoming/pair-keys"
	: >"$home/incoming/peers"
	# Each begins with a sign, so that none is ever taken for an order. What a directory is empty of is asked for often.
	incoming_size=$(cd "$home/incoming" && head -n "$lines" | awk -v lines="$lines" "$by_name"'
		{ sub(/^= /, ""); bytes += length($0) + 1 }
		$1 == "preshared-key" { print $2 > "preshared-key"; next }
		$1 == "pair-key" { file = "pair-keys/" $2; print $3 > file; close(file); files++; next }
		$1 == "peer" && NF != 8 { incomplete = 1 }
		$1 == "peer" && is_name($5) { printf "" > "addresses" }
		$1 == "peer" && $7 ~ /\/0(,|$)/ { leaves = 1 }
		$1 == "peer" { sub(/^peer /, ""); print > "peers"; next }
		$1 ~ /^(forward|behind|exit)$/ { forwards = 1 }
		$1 == "relayed" { sub(/^relayed /, ""); print > "relayed"; next }
		$1 == "name" { print $2, $3 > "names"; next }
		{ print > "settings" }
		END {
			if (!leaves) printf "" > "uses-no-exit"
			if (!forwards) printf "" > "forwards-nothing"
			# Each file takes four kilobytes of a disk, or more.
			print int(bytes / 1024) + 4 * (files + 12)
			if (NR != lines) exit 1
			if (incomplete) exit 3
		}') || case $? in
	3) fail "the roster has an incomplete peer; run the same version of mesh again" ;;
	*) fail "the roster did not arrive whole; see whether the disk is full" ;;
	esac
	# What an earlier version staged has no such file, and no timer that keeps what it needs.
	: >"$home/incoming/kept"
	check_incoming
	check_owner
	# A run before this one was cut off after its switch. The same plan goes on from there; another one begins from the old, also
	# where it is refused here: others begin from the old too.
	if is_armed && [ "$(setting next digest)" != "$(setting incoming digest)" ]; then go_back; fi
	# Asked once, for the checks and for the reply.
	running=$(wg show "$interface" dump 2>/dev/null | { read -r _ running_key running_port _ && echo "$running_key $running_port"; }) ||
		running=absent
	check_foreign
	check_files "$incoming_size"
	find_setting incoming port
	check_firewall "$value"
	check_forwarding
	resolve_incoming "$@"
	if ! is_armed; then
		[ ! -e "$home/next" ] || rm -rf "$home/next"
		mv "$home/incoming" "$home/next"
	else
		rm -rf "$home/incoming"
	fi
	is_link_up || running=absent
	echo "running $running"
	find_setting run digest
	echo "confirmed ${value:-none}"
}

# check_incoming: the roster is whole, and this host has the private key for it.
check_incoming() {
	given=
	while read -r word value; do [ -z "$value" ] || given="$given $word "; done <"$home/incoming/settings"
	for wanted in mesh roster digest host address port mtu public-key; do
		case $given in *" $wanted "*) ;; *) fail "the roster has no $wanted; run the same version of mesh again" ;; esac
	done
	[ -s "$home/incoming/preshared-key" ] || [ "$(ls "$home/incoming/pair-keys" | wc -l)" = "$(awk 'END { print NR }' "$home/incoming/peers")" ] ||
		fail "the roster has no preshared key for some peer; run the same version of mesh again"
	find_setting incoming public-key
	wanted=$value
	for place in enrolled run next; do
		[ -s "$home/$place/private-key" ] || continue
		[ "$(wg pubkey <"$home/$place/private-key" 2>/dev/null)" = "$wanted" ] || continue
		first_word "$home/$place/private-key" >"$home/incoming/private-key"
		return 0
	done
	fail "this host has no private key for its public key in the roster; run pulumi up --replace '**::$interface/$(setting incoming host)/enrol'"
}

# is_our_configuration [MESH]: 0 when the wg-quick file is there and mesh wrote it (for the stack MESH).
is_our_configuration() {
	case $(head -n 1 "$configuration" 2>/dev/null) in "# Managed by mesh ${1:-}"*) ;; *) return 1 ;; esac
}

# is_listened_at PORT: 0 when a program is at this UDP port.
is_listened_at() {
	! ss -Hlun 2>/dev/null |
		awk -v port=":$1" 'substr($4, length($4) - length(port) + 1) == port { taken = 1 } END { exit taken }'
}

# listens_at PORT: 0 when it is this interface that does.
listens_at() { [ "$(wg show "$interface" listen-port 2>/dev/null)" = "$1" ]; }

# check_port PORT: no other interface and no program is at this UDP port; $running is what this interface runs.
check_port() {
	case ${running:-} in *" $1") return 0 ;; esac
	for other in $(wg show interfaces); do
		[ "$other" != "$interface" ] && [ "$(wg show "$other" listen-port)" = "$1" ] || continue
		[ -z "$(home=$base/$other && setting run mesh)" ] ||
			fail "UDP port $1 is taken by interface $other, another mesh; choose another port. To rename $other, bring up the new interface on another port first, then remove $other. If this change moves $other, run pulumi up again; of two that swap ports, give one a third port first"
		fail "UDP port $1 is taken by interface $other; choose another port"
	done
	# Looked at again, since a host that has just booted may have brought its own interface up meanwhile.
	if is_listened_at "$1" && ! listens_at "$1"; then fail "UDP port $1 is taken by another program; choose another port"; fi
}

# taken_route: prints a prefix of the roster that goes elsewhere, of whom it is and through what; nothing where none does.
taken_route() {
	{
		ip -6 -o route show
		ip -4 -o route show
	} | awk -v own="$interface" -v peers="$home/incoming/peers" '
		BEGIN { while ((getline line < peers) > 0) { split(line, field, " "); count = split(field[6], prefix, ","); for (i = 1; i <= count; i++) wants[prefix[i]] = field[1] } }
		{ if ($1 !~ /\//) $1 = $1 ($1 ~ /:/ ? "/128" : "/32") }
		{ for (i = 2; i < NF; i++) if ($i == "dev" && $(i + 1) != (own "") && $1 in wants) { print $1 ", of " wants[$1] ", goes through " $(i + 1); exit } }'
}

# check_owner: the interface is not that of another stack.
check_owner() {
	find_setting run mesh
	ours=$value
	find_setting incoming mesh
	if [ -n "$ours" ] && [ "$ours" != "$value" ]; then
		# The same key alone is not enough: of two stacks that hold it, the one that adopted last has the interface.
		if ! is_adopted || [ "$(setting run public-key)" != "$(setting incoming public-key)" ]; then
			# The one that boots may be of a version that cannot do it.
			wiper=$base/program
			[ "$(readlink -f "$wiper")" = "$version" ] || wiper=$program
			fail "interface $interface belongs to another stack (mesh $ours); let that stack take it out, choose another name, or take it over: python -m mesh adopt. If that stack is gone, run on this host, as root: sh $wiper wipe $interface; then pulumi up --refresh"
		fi
	fi
}

# check_foreign: nobody else's interface, file, port or route is in the way.
check_foreign() {
	find_setting run mesh
	ours=$value
	if [ -e "/sys/class/net/$interface" ] && [ -z "$ours" ] && ! is_armed; then check_their_interface; fi
	# Where we have confirmed a configuration, the file is ours, whoever has saved it without our first line.
	if [ -e "$configuration" ] && [ -z "$ours" ] && ! is_our_configuration; then check_their_configuration; fi
	find_setting incoming port
	check_port "$value"
	# Where a tunnel of ours has run, it makes room at boot (service.sh).
	maker=
	[ -n "$ours" ] || maker=$(other_maker)
	[ -z "$maker" ] || fail "$maker brings up an interface $interface at boot too, and wg-quick would stop at that; take it out there, or choose another name"
	clash=$(taken_route)
	[ -z "$clash" ] ||
		fail "a route of the mesh is taken: $clash; remove that route, or, if this host is in that network, give both hosts one site"
	check_exit
	check_passes incoming
}

# arm SECONDS TOKEN SINCE: remembers the way back and sees to a watchdog that takes it unless the rollout is confirmed in time.
order_arm() {
	# By this the watchdog finds whom it has to end.
	[ "$(first_word "$home/session")" = $$ ] || fail "$home/session could not be written; see whether the disk is full"
	if ! is_armed; then
		[ ! -e "$home/previous" ] || rm -rf "$home/previous"
		mkdir -p "$home/previous/ready"
		if running_dump=$(wg show "$interface" dump 2>/dev/null); then
			wg showconf "$interface" >"$home/previous/wg.conf"
			first_word "/sys/class/net/$interface/mtu" >"$home/previous/mtu"
			list_addresses >"$home/previous/addresses"
			# Handshakes of this moment could not be told from later ones, since they count whole seconds.
			printf '%s\n' "$running_dump" | awk -v now="$(date +%s)" -v handshakes="$home/next/handshakes" "$without_places"'
				NR > 1 && $5 < now - 1 { print $1, $5 >handshakes }' | sort >"$home/previous/running"
		else
			: >"$home/previous/absent"
		fi
		# From here on there may be something to remove, also for whoever is logged in.
		[ -e "$base/program" ] || ln -s "${program##*/}" "$base/program" 2>/dev/null || :
		remember_theirs
		turn_back
	fi
	write_deadline "$1" "$2" "$3"
	watch
}

# write_deadline SECONDS TOKEN SINCE: to the hundredth, since hosts that roll back by themselves take turns by it.
write_deadline() { set_deadline "$((${3%.*} + $1)).${3#*.}" "$2"; }

set_deadline() {
	echo "$1 $2 $this_boot" 2>/dev/null >"$home/deadline.new" && mv "$home/deadline.new" "$home/deadline" ||
		fail "cannot write $home/deadline; make room on the disk, and let root write there"
}

# outlast COMMAND...: carries it out. Nobody can move the deadline meanwhile, so its time, up to 90 seconds, does not count.
outlast() {
	# On the way back, the deadline is only looked at.
	if [ -L "$home/deadline" ] || ! is_armed || is_passed "$until"; then
		"$@"
		return
	fi
	tell_time
	deadline_was=$until deadline_token=$token deadline_begun=${uptime%.*}
	deadline_left=$((${until%.*} - deadline_begun))
	[ "$deadline_left" -ge 90 ] || write_deadline 90 "$deadline_token" "$uptime"
	# Also where it fails, which ends the order.
	trap 'go_on_counting' EXIT
	"$@"
	trap - EXIT
	go_on_counting
}

# go_on_counting: the deadline is what it was, the same moment as on other hosts; or, where a good part of its time is gone, as long
# from now as it was before.
go_on_counting() {
	tell_time
	if ! is_armed; then
		return 0
	elif [ $((${uptime%.*} - deadline_begun)) -le $((deadline_left / 4)) ]; then
		set_deadline "$deadline_was" "$deadline_token"
	else
		write_deadline "$deadline_left" "$deadline_token" "$uptime"
	fi
}

# renew SECONDS SINCE: the work goes on, so the deadline moves with it. A host that stood still, and hears this when all others have
# gone back, does not stay behind with what they no longer run: its watchdog may be a moment later.
order_renew() {
	{ is_armed && ! is_passed "$until"; } || fail "the deadline has passed and this host rolled back; run pulumi up again"
	write_deadline "$1" "$token" "$2"
}

# clock: the seconds since boot, for an operator who names a moment.
order_clock() {
	tell_time
	echo "$uptime"
}

# store: proven here. All that could still fail is done now, and is on the disk, so that confirming is a few renames.
order_store() {
	is_armed || fail "the deadline has passed and this host rolled back; run pulumi up again"
	shared 20 store_shared
	# A host that came up just now has it in its place already.
	[ -e "$home/next/configuration" ] && [ "$(digest_of "$configuration")" = "$(first_word "$home/next/configuration")" ] ||
		lay_configuration next
	set -- $(kept_files "$home/next/*" "$home/next/pair-keys/*") $(shared_files)
	for file in "$configuration" "$configuration.new"; do [ ! -e "$file" ] || set -- "$@" "$file"; done
	persist "$@" "$home" "${configuration%/*}"
}

# kept_files [PATTERN...]: prints the paths of what this host has noted of the interface, beside its plans, and what the patterns match.
kept_files() { matching "$home/* $*"; }

# store_shared: the same for what interfaces of this host share.
store_shared() {
	link_program
	gather
	service_install
	# One that is no longer needed stays until the end, since a rollback would still need it.
	timers_start next 4>&- 9>&-
}

# shared_files: prints the paths of what interfaces of this host share, and of the folders that name it.
shared_files() {
	printf '%s\n' "$version" "$base"
	shared_folder=$(common)
	matching "$shared_folder $shared_folder/* $systemd_units $systemd_wants $timer_wants /etc/init.d /etc/runlevels/default"
	recorded_files "$home/units" $(matching "$shared_folder/*units")
}

# link_program: the next boot settles with this version of the program.
link_program() {
	if [ "$program" != "$version" ] && [ -e "$program" ]; then mv "$program" "$version"; fi
	if leads_to "$base/program" "$version"; then return 0; fi
	ln -sfn "${version##*/}" "$(common)/program.new"
	mv "$(common)/program.new" "$base/program"
}

# confirm DIGEST: what runs is from now on what boots. With the second rename of the two this host has the new configuration for
# good; a host that is cut off before it rolls back, and one that is cut off after it goes on.
order_confirm() {
	find_setting next digest
	if [ "$value" = "$1" ]; then
		[ ! -e "$configuration.new" ] || mv "$configuration.new" "$configuration"
		persist "${configuration%/*}"
		[ ! -e "$home/former" ] || rm -rf "$home/former"
		[ ! -d "$home/run" ] || mv "$home/run" "$home/former"
		mv "$home/next" "$home/run"
		persist "$home"
	else
		[ "$(setting run digest)" = "$1" ] || fail "nothing is staged here to be confirmed; run pulumi up again"
	fi
	# Since `next` is gone it has nothing to watch, and does not come back. What is left where this is cut off is taken away by `settle`
	# while the deadline is there, and by the next rollout when it is gone; so nothing of it needs a step of its own.
	dismiss_watchdog
	rm -rf "$home/deadline" "$home/previous" "$home/former" "$home/enrolled" "$home/run/handshakes" "$home/watchdog" "$home/supervisor" \
		"$keep_folder/$interface/well"
	# Another interface may still be served, or watched, by another version.
	still_running=
	for old in $(matching "$base/program-???????????????? $base/program-????????????????.new"); do
		[ "$old" != "$version" ] || continue
		[ -n "$still_running" ] || still_running=$(running_programs)
		has_line "$still_running" "$old" || rm -f "$old"
	done
	find_timers_left run
	if [ -n "$timers_left" ] || has_other_ports; then
		shared 20 confirm_shared || say "a port that is no longer needed is still open, or names are still looked up"
	fi
}

# has_other_ports: 0 when other ports are open for this interface than the confirmed one.
has_other_ports() {
	find_setting run port
	! holds "$home/firewall" "$value"
}

# confirm_shared: of what interfaces of this host share, nothing is left that only the former configuration needed.
confirm_shared() {
	if has_other_ports; then
		close_other_ports
		exit_ports
	fi
	timers_stop run 4>&- 9>&-
}
