# ----------------------------------------------------------------------------------------------------------- recovery
# The ways out: back to what was confirmed, by order, by the guard or after a reboot; and away, leaving nothing.

# is_process FILE WORD: 0 when the process named in FILE runs the program as WORD; a number alone may be somebody else's.
is_process() {
	[ -r "$home/$1" ] && read -r process <"$home/$1" || return 1
	tr '\0' ' ' 2>/dev/null <"/proc/$process/cmdline" | grep -qF " $2 $interface "
}

# is_guarded: 0 while a guard runs.
is_guarded() { is_process guard guard; }

# stop_guard: ends the guard and its sleep, if there is one.
stop_guard() {
	if is_guarded; then kill -- "-$process" 2>/dev/null || true; fi
	rm -f "$home/guard"
}

# guard TOKEN: waits until the deadline of TOKEN has passed, ends the session that missed it, and goes back.
guard() {
	echo $$ >"$home/guard"
	while read -r until token boot 2>/dev/null <"$home/deadline" && [ "$token" = "$1" ]; do
		if sleep_until "$until"; then continue; fi
		if is_process session serve; then kill "$process" 2>/dev/null || true; fi
		exec 9>"$home/lock"
		timeout 60 flock 9 || true
		read -r until token boot 2>/dev/null <"$home/deadline" || exit 0
		[ "$token" = "$1" ] && [ "${until%.*}" -le "$(clock)" ] || continue
		rm -f "$home/guard"
		(set +e && hurry && retreat)
		go_back
		say "not confirmed in time: went back to the last confirmed state"
		exit 0
	done
}

# hurry: this (sub)shell and what it starts go before others. Who comes late to its turn on a busy host leaves a pair silent for
# five seconds.
hurry() {
	# The number of a subshell is in no variable, and it is the shell itself that opens this.
	read -r own _ </proc/self/stat
	renice -n -15 -p "$own" >/dev/null 2>&1 || true
}

# go_back: this host runs and boots what it did before the rollout. Each step is tried, whatever became of the one before:
# a host that stopped halfway would stay there.
go_back() (
	set +e
	stop_guard
	lock_host 60
	restore_run
	if [ -e "$home/previous/absent" ]; then (service_stop); fi
	before=run
	if [ -d "$home/run" ]; then
		(write_configuration run)
	elif [ -d "$home/previous" ]; then
		before=previous
		(give_up)
		(give_back)
	fi
	if [ -d "$home/previous" ] && [ ! -e "$home/previous/absent" ]; then
		if is_up; then
			restore_wireguard
			ip link set dev "$interface" mtu "$(cat "$home/previous/mtu")"
			list_addresses >"$home/addresses"
			grep -vxFf "$home/addresses" "$home/previous/addresses" |
				while read -r address; do ip address add "$address" dev "$interface"; done
			grep -vxFf "$home/previous/addresses" "$home/addresses" |
				while read -r address; do ip address del "$address" dev "$interface"; done
			rm -f "$home/addresses"
			[ ! -d "$home/next" ] || (set_routes next $before)
		else
			(service_start 8>&- 4>&- 9>&-)
		fi
	fi
	close_staged_port
	(exit_apply run)
	(exit_ports)
	(forwarding_apply run)
	(names_apply run)
	(timer_apply run 4>&- 8>&- 9>&-)
	rm -rf "$home/deadline" "$home/previous" "$home/next" "$configuration.new"
	if [ -r "$home/run/peers" ] && is_up; then knock $(awk '$7 == "first" { print $3 }' "$home/run/peers"); fi
	return 0
)

# restore_wireguard: keys, port and peers are those of before. The steps of the switch lead there where they can, since
# `wg syncconf` sets the port too, also one that stays, and wireguard-go drops what waits at it.
restore_wireguard() {
	if is_switched; then (home=$home/previous && set_peers); fi
	if [ "$(running_settings)" != "$(cat "$home/previous/running")" ]; then
		wg syncconf "$interface" "$home/previous/wg.conf"
		bare=$(bare_peers)
		[ -z "$bare" ] || wg set "$interface" $bare
	fi
	elsewhere=$(moved_peers)
	[ -z "$elsewhere" ] || wg set "$interface" $elsewhere
}

# moved_peers: the arguments that let each peer be sought where it was before: a roaming one that had been removed is at no place
# now, and has no reason to speak.
moved_peers() {
	wg show "$interface" endpoints | awk -v before="$home/previous/wg.conf" '
		BEGIN {
			while ((getline line < before) > 0) {
				split(line, field, " ")
				if (field[1] == "PublicKey") key = field[3]
				if (field[1] == "Endpoint") where[key] = field[3]
			}
		}
		$1 in where && $2 != where[$1] { print "peer", $1, "endpoint", where[$1] }'
}

# bare_peers: the arguments that take from each peer the preshared key and the keepalive that it did not have before, since
# `wg syncconf` leaves what its file does not name.
bare_peers() {
	awk '
		$1 == "PublicKey" { key = $3; peers[key] = 1 }
		$1 == "PresharedKey" { preshared[key] = 1 }
		$1 == "PersistentKeepalive" { alive[key] = 1 }
		END {
			for (key in peers) {
				out = (key in preshared ? "" : " preshared-key /dev/null") (key in alive ? "" : " persistent-keepalive off")
				if (out != "") print "peer " key out
			}
		}' "$home/previous/wg.conf"
}

# restore_run: brings back what was confirmed, if confirming something else was cut off in the middle.
restore_run() { if [ -d "$home/former" ] && [ ! -d "$home/run" ]; then mv "$home/former" "$home/run"; fi; }

# close_staged_port: closes the port that only what is staged would need.
close_staged_port() {
	staged=$(setting next port)
	[ -z "$staged" ] || [ "$staged" = "$(setting run port)" ] || firewall_close "$staged"
}

# give_up: the interface is no longer ours; nothing of it boots, is open or lies in /etc.
give_up() {
	rm -f "$configuration" "$configuration.new"
	timer_apply none 4>&- 8>&- 9>&-
	service_remove "$(others_left)"
	firewall_close_all
	exit_apply none
	exit_ports
	forwarding_apply none
	names_apply none
	forget_made
}

# abort: goes back at once instead of at the deadline.
order_abort() { if is_armed; then go_back; fi; }

# settle boot|serve: after a reboot in the middle of a rollout the old state runs; the rest of it is cleared away.
# At boot the init system has yet to start the interface, and waits for us, so it must not be asked for anything.
settle() {
	restore_run
	[ -e "$home/deadline" ] || return 0
	if is_armed; then return 0; fi
	if [ -d "$home/run" ]; then
		write_configuration run
	elif [ -d "$home/previous/theirs" ]; then
		# What was taken over runs again as it did before, by its own file.
		if [ "$1" = boot ]; then
			give_back
			return 0
		fi
		(give_up)
		give_back
	else
		[ "$1" = boot ] || service_stop
		rm -f "$configuration"
	fi
	close_staged_port
	# What forwards is set anew at boot.
	(names_apply run)
	[ "$1" = boot ] || (timer_apply run 4>&- 8>&- 9>&-)
	rm -rf "$home/deadline" "$home/previous" "$home/next" "$home/guard" "$configuration.new"
}

# others_left: `last` when no other interface of ours is on this host, else `not-last`.
others_left() {
	if interfaces | grep -qvxF "$interface"; then echo not-last; else echo last; fi
}

# forget_made: removes the directory that was made for our first file, if nothing else is in it.
forget_made() {
	if [ -e "$(shared)/made-etc-wireguard" ] && rmdir /etc/wireguard 2>/dev/null; then rm -f "$(shared)/made-etc-wireguard"; fi
}

# wipe MESH ROSTER|any HOST: leaves nothing of this interface, if it (still) belongs to that roster, and to the host of that
# name: a machine that was renamed is a member under its new one. Replies `wiped` or `kept`.
order_wipe() {
	for place in run next; do
		[ -d "$home/$place" ] || continue
		if [ "$(setting $place mesh)" != "$1" ] || [ "$(setting $place host)" != "$3" ] ||
			{ [ $place = run ] && [ "$2" != any ] && [ "$(setting run roster)" != "$2" ]; }; then
			echo kept
			return 0
		fi
	done
	if is_armed; then go_back; fi
	stop_guard
	lock_host 60
	gather
	# A run that was refused here may have found somebody else's interface and file, and those stay.
	if [ -d "$home/run" ] || is_our_configuration "$1" || service_is_ours; then
		service_stop
		give_up
	else
		firewall_close_all
		forget_made
	fi
	if [ "$(others_left)" = last ]; then rm -rf "$base"; else rm -rf "$home"; fi
	echo wiped
}
