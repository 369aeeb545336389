# -------------------------------------------------------------------------------------------------------- transaction
# Stage, arm, switch, prove, hold, confirm; or go back. Each order can be given again without harm.

# is_armed: 0 while a deadline of this boot is running.
is_armed() {
	[ -r "$home/deadline" ] || return 1
	read -r until token boot <"$home/deadline"
	[ "$boot" = "$(boot_id)" ]
}

# stage LINES: takes the roster from standard input, checks it against this host, and lays it down in next/.
# Replies `running KEY|absent` and `confirmed DIGEST|none`.
order_stage() {
	rm -rf "$home/incoming"
	mkdir -p "$home/incoming"
	head -n "$1" >"$home/incoming/payload"
	[ "$(awk 'END { print NR }' "$home/incoming/payload")" = "$1" ] || fail "the roster arrived incomplete; is the disk full?"
	: >"$home/incoming/peers"
	(cd "$home/incoming" && awk '
		$1 == "preshared-key" { print $2 > "preshared-key"; next }
		$1 == "peer" { sub(/^peer /, ""); print > "peers"; next }
		{ print > "settings" }' payload && rm payload) || fail "the roster could not be written; is the disk full?"
	check_incoming
	check_foreign
	if is_armed; then
		# A run before this one was cut off after its switch. The same plan goes on from there; another one begins from the old.
		if [ "$(setting next digest)" != "$(setting incoming digest)" ]; then go_back; fi
	fi
	if ! is_armed; then
		rm -rf "$home/next"
		mv "$home/incoming" "$home/next"
	fi
	rm -rf "$home/incoming"
	if is_up; then echo "running $(wg show "$interface" public-key)"; else echo "running absent"; fi
	digest=$(setting run digest)
	echo "confirmed ${digest:-none}"
}

# check_incoming: the roster is whole, and this host has the private key for it.
check_incoming() {
	for wanted in mesh roster digest host address port mtu public-key; do
		[ -n "$(setting incoming "$wanted")" ] || fail "the roster has no $wanted; run the same version of mesh again"
	done
	[ -s "$home/incoming/preshared-key" ] || fail "the roster has no preshared key; run the same version of mesh again"
	awk 'NF != 7 { exit 1 }' "$home/incoming/peers" || fail "the roster has an incomplete peer; run the same version of mesh again"
	wanted=$(setting incoming public-key)
	for place in enrolled run next; do
		[ -s "$home/$place/private-key" ] || continue
		[ "$(wg pubkey <"$home/$place/private-key" 2>/dev/null)" = "$wanted" ] || continue
		cat "$home/$place/private-key" >"$home/incoming/private-key"
		return 0
	done
	fail "this host has no private key for its public key in the roster; run pulumi up --replace '**::$interface/$(setting incoming host)/enrol'"
}

# is_our_configuration: 0 when the wg-quick file is there and mesh wrote it.
is_our_configuration() { head -n 1 "$configuration" 2>/dev/null | grep -q '^# Managed by mesh'; }

# check_foreign: nobody else's interface, file, port or route is in the way.
check_foreign() {
	ours=$(setting run mesh)
	if [ -n "$ours" ] && [ "$ours" != "$(setting incoming mesh)" ] && [ "$(setting run public-key)" != "$(setting incoming public-key)" ]; then
		fail "interface $interface belongs to another stack (mesh $ours); remove it there, or choose another name"
	fi
	if [ -e "/sys/class/net/$interface" ] && [ -z "$ours" ] && ! is_armed; then
		fail "an interface $interface exists that mesh did not make; remove it, or adopt its key and take it down"
	fi
	if [ -e "$configuration" ] && ! is_our_configuration; then
		fail "$configuration exists and mesh did not write it; move it away, or choose another name"
	fi
	port=$(setting incoming port)
	if ! { is_up && [ "$(wg show "$interface" listen-port)" = "$port" ]; }; then
		for other in $(wg show interfaces); do
			[ "$other" = "$interface" ] || [ "$(wg show "$other" listen-port)" != "$port" ] ||
				fail "UDP port $port is taken by interface $other; choose another port"
		done
		ss -Hlun 2>/dev/null | awk -v port=":$port" 'substr($4, length($4) - length(port) + 1) == port { taken = 1 } END { exit taken }' ||
			fail "UDP port $port is taken by another program; choose another port"
	fi
	clash=$(ip -6 -o route show | awk -v own="$interface" -v peers="$home/incoming/peers" '
		BEGIN { while ((getline line < peers) > 0) { split(line, field, " "); wants[field[6]] = 1 } }
		{ for (i = 2; i < NF; i++) if ($i == "dev" && $(i + 1) != own && $1 in wants) { print $1 " goes through " $(i + 1); exit } }')
	[ -z "$clash" ] || fail "a route of the mesh is taken: $clash; remove that route"
}

# arm SECONDS TOKEN: remembers the way back and starts the guard that takes it unless the rollout is confirmed in time.
order_arm() {
	if ! is_armed; then
		rm -rf "$home/previous"
		mkdir "$home/previous"
		if is_up; then
			wg showconf "$interface" >"$home/previous/wg.conf"
			cat "/sys/class/net/$interface/mtu" >"$home/previous/mtu"
			ip -o address show dev "$interface" scope global | awk '{ print $4 }' >"$home/previous/addresses"
		else
			: >"$home/previous/absent"
		fi
		date +%s >"$home/next/since"
	fi
	stop_guard
	write_deadline "$1" "$2"
	guarding=
	if [ -d /run/systemd/system ] && [ -n "${SUDO_USER:-}" ]; then
		# The session of a user who is not root may be killed with everything in it when the connection goes.
		guarding="systemd-run --quiet --collect --no-block"
	fi
	$guarding setsid sh "$program" guard "$interface" "$2" </dev/null >/dev/null 2>&1 9>&- &
}

# write_deadline SECONDS TOKEN
write_deadline() {
	echo "$(($(clock) + $1)) $2 $(boot_id)" >"$home/deadline.new"
	mv "$home/deadline.new" "$home/deadline"
}

# renew SECONDS: the work goes on, so the deadline moves with it.
order_renew() {
	is_armed || fail "the deadline has passed and this host went back; run pulumi up again"
	write_deadline "$1" "$token"
}

# stop_guard: ends the guard and its sleep, if there is one.
stop_guard() {
	if [ -r "$home/guard" ]; then
		guard=$(cat "$home/guard")
		# A process id alone may be somebody else's by now.
		if tr '\0' ' ' <"/proc/$guard/cmdline" 2>/dev/null | grep -q " guard $interface "; then kill -- "-$guard" 2>/dev/null || true; fi
		rm -f "$home/guard"
	fi
}

# guard TOKEN: waits until the deadline of TOKEN has passed, ends the session that missed it, and goes back.
guard() {
	echo $$ >"$home/guard"
	while read -r until token boot 2>/dev/null <"$home/deadline" && [ "$token" = "$1" ]; do
		left=$((until - $(clock)))
		if [ "$left" -gt 0 ]; then
			sleep "$left"
			continue
		fi
		if [ -r "$home/session" ]; then kill "$(cat "$home/session")" 2>/dev/null || true; fi
		exec 9>"$home/lock"
		timeout 60 flock 9 || true
		read -r until token boot 2>/dev/null <"$home/deadline" || exit 0
		[ "$token" = "$1" ] && [ "$until" -le "$(clock)" ] || continue
		rm -f "$home/guard"
		go_back
		say "not confirmed in time: went back to the last confirmed state"
		exit 0
	done
}

# go_back: this host runs and boots what it did before the rollout.
go_back() {
	stop_guard
	if [ -e "$home/previous/absent" ]; then
		service_stop
		if [ ! -d "$home/run" ]; then
			rm -f "$configuration" "$configuration.new"
			service_remove "$(others_left)"
			firewall_close_all
			forget_made
		fi
	elif [ -d "$home/previous" ]; then
		wg syncconf "$interface" "$home/previous/wg.conf"
		ip link set "$interface" mtu "$(cat "$home/previous/mtu")"
		while read -r address; do ip address replace "$address" dev "$interface"; done <"$home/previous/addresses"
		[ ! -d "$home/next" ] || set_routes next run
		[ "$(setting next port)" = "$(setting run port)" ] || firewall_close "$(setting next port)"
	fi
	rm -rf "$home/deadline" "$home/previous" "$home/next" "$configuration.new"
	if [ -r "$home/run/peers" ] && is_up; then knock $(awk '$7 == "first" { print $3 }' "$home/run/peers"); fi
}

# hold SECONDS: proven here. All that could still fail is done now, so that confirming is a few renames.
order_hold() {
	order_renew "$1"
	service_install
	render next >"$configuration.new"
	[ "$(grep -c '^PublicKey' "$configuration.new")" = "$(awk 'END { print NR }' "$home/next/peers")" ] ||
		fail "the configuration came out incomplete; is the disk full?"
}

# confirm DIGEST: what runs is from now on what boots.
order_confirm() {
	if [ "$(setting next digest)" != "$1" ]; then
		[ "$(setting run digest)" = "$1" ] || fail "nothing is staged here to be confirmed; run pulumi up again"
		return 0
	fi
	mv "$configuration.new" "$configuration"
	former=$(setting run port)
	rm -rf "$home/former"
	[ ! -d "$home/run" ] || mv "$home/run" "$home/former"
	mv "$home/next" "$home/run"
	rm -rf "$home/deadline" "$home/previous" "$home/former" "$home/enrolled" "$home/run/since"
	stop_guard
	ln -sfn "${program##*/}" "$base/program.new"
	mv "$base/program.new" "$base/program"
	for old in "$base"/program-*; do [ "$old" = "$program" ] || rm -f "$old"; done
	[ -z "$former" ] || [ "$former" = "$(setting run port)" ] || firewall_close "$former"
}

# abort: goes back at once instead of at the deadline.
order_abort() { if is_armed; then go_back; fi; }

# settle: after a reboot in the middle of a rollout the old state runs; the rest of the rollout is cleared away.
settle() {
	if [ -d "$home/former" ] && [ ! -d "$home/run" ]; then mv "$home/former" "$home/run"; fi
	if [ -e "$home/deadline" ] && ! is_armed; then
		[ -d "$home/run" ] || rm -f "$configuration"
		staged=$(setting next port)
		[ -z "$staged" ] || [ "$staged" = "$(setting run port)" ] || firewall_close "$staged"
		rm -rf "$home/deadline" "$home/previous" "$home/next" "$home/guard" "$configuration.new"
	fi
}

# others_left: `last` when no other interface of ours is on this host, else `not-last`.
others_left() {
	for other in "$base"/*/; do
		[ "$other" = "$home/" ] || [ ! -d "$other" ] || { echo not-last && return 0; }
	done
	echo last
}

# forget_made: removes the directory that was made for our first file, if nothing else is in it.
forget_made() {
	if [ -e "$base/made-etc-wireguard" ] && rmdir /etc/wireguard 2>/dev/null; then rm -f "$base/made-etc-wireguard"; fi
}

# wipe MESH ROSTER: leaves nothing of this interface, if it (still) belongs to that roster. Replies `wiped` or `kept`.
order_wipe() {
	if [ -d "$home/run" ]; then
		if [ "$(setting run mesh)" != "$1" ] || { [ "$2" != any ] && [ "$(setting run roster)" != "$2" ]; }; then
			echo kept
			return 0
		fi
	fi
	if is_armed; then go_back; fi
	stop_guard
	firewall_close_all
	# A run that was refused here may have found somebody else's interface and file, and those stay.
	if [ -d "$home/run" ] || is_our_configuration || service_is_ours; then
		service_stop
		service_remove "$(others_left)"
		rm -f "$configuration"
	fi
	rm -f "$configuration.new"
	forget_made
	if [ "$(others_left)" = last ]; then rm -rf "$base"; else rm -rf "$home"; fi
	echo wiped
}
