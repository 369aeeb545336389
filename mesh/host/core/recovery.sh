# ----------------------------------------------------------------------------------------------------------- recovery
# The ways out: back to what was confirmed, by order, by the watchdog or after a reboot; and away, leaving nothing.

# is_process FILE WORD: 0 when the process named in FILE runs the program as WORD; a number alone may be somebody else's.
is_process() {
	[ -r "$home/$1" ] && read -r process <"$home/$1" || return 1
	# The shell reads no zeros, so what they part comes as one word.
	{ read -r process_words || [ -n "$process_words" ]; } 2>/dev/null <"/proc/$process/cmdline" || return 1
	process_runs=${process_words%"$2$interface"}
	[ "$process_runs" != "$process_words" ] || return 1
	case $process_runs in */program | */program-???????????????? | */program-????????????????.new) ;; *) return 1 ;; esac
}

# go_back: this host runs and boots what it did before the rollout. What is the interface's own comes first and waits for nobody,
# then what interfaces share. Each step is tried, whatever became of the one before. Where any of the first kind fails, or others
# hold what is shared, it fails, saying why, and whoever is next tries again: the watchdog, a session, the next boot.
go_back() (
	set +e
	sign_of_life 60
	restore_run
	status=0
	if [ -d "$home/run" ] || [ -e "$home/previous/absent" ] || is_up; then (restore_interface) || status=1; fi
	if [ -d "$home/run" ]; then (restore_configuration) || status=1; fi
	shared 10 restore_shared || exit 1
	# What was taken over, and is down now, needs its own file first.
	if [ -d "$home/previous/theirs" ] && ! is_up; then (restore_interface) || status=1; fi
	[ "$status" = 0 ] || exit 1
	forget_way_back || exit 1
	sign_of_life 60
	if [ -r "$home/run/peers" ] && is_up; then meet_again; fi
	return 0
)

# forget_way_back: what rolling back would need goes, once what was restored is on the disk.
forget_way_back() {
	sign_of_life 60
	restored_files=
	for restored_file in "$configuration" "${configuration%/*}" $(kept_files); do
		[ ! -e "$restored_file" ] || restored_files="$restored_files $restored_file"
	done
	# Nothing but these: a file system of somebody else may hang.
	# shellcheck disable=SC2086 # words
	sync $restored_files 2>/dev/null || :
	rm -rf "$home/deadline" "$home/previous" "$home/next" "$configuration.new"
}

# meet_again: sends something to each peer that this host opens the pair with, also to where the plan has it, if there is no answer: a
# packet from where the peer was until now may have been late.
meet_again() {
	awk '$7 == "first" { print $1, $3 }' "$home/run/peers" | at_once meet_peer >/dev/null 2>&1
}

meet_peer() { answers_ping 1280 "$2" 1 || { aim "$1" && answers_ping 1280 "$2" 1; }; }

# restore_interface: the interface is up as it was before, or down.
restore_interface() {
	if [ ! -d "$home/previous" ]; then
		return 0
	elif [ -e "$home/previous/absent" ]; then
		sign_of_life 60
		service_stop
	elif ! is_up; then
		sign_of_life 90
		service_start 4>&- 9>&-
	else
		restore_wireguard && restore_link
	fi
}

# restore_link: MTU, addresses and routes are those of before. Nothing is written, since the disk may be what failed.
restore_link() {
	ip link set dev "$interface" mtu "$(cat "$home/previous/mtu")"
	wanted=$(cat "$home/previous/addresses")
	# shellcheck disable=SC2086 # words
	add_addresses $wanted || return 1
	for address in $link_has; do
		has_line "$wanted" "$address" || ip address del "$address" dev "$interface" || return 1
	done
	before=run
	[ -d "$home/run" ] || before=previous
	[ ! -d "$home/next" ] || set_routes next $before
}

# restore_configuration: the file that boots is the confirmed one; written only where it is not, since the disk may be full.
restore_configuration() {
	[ "$(digest_of "$configuration")" = "$(first_word "$home/run/configuration" none)" ] || write_configuration run
}

# restore_shared: the same for what interfaces of this host share. What cannot be restored is reported, and is drift from then on; only
# without what was here before mesh, it fails.
restore_shared() {
	restored=0
	if [ ! -d "$home/run" ] && [ -d "$home/previous" ]; then
		sign_of_life 300
		(give_up) || say "rolling back: something of this interface could not be taken away"
		# Nothing else has it, so there is a way back until it is in its place.
		(give_back) || restored=1
	fi
	for step in close_other_ports "exit_apply run" exit_ports "forwarding_apply run" "names_apply run" "timer_apply run"; do
		# A firewall may take seconds for each rule.
		sign_of_life 120
		($step 4>&- 9>&-) || say "rolling back: $step failed"
	done
	[ "$restored" = 0 ] || fail "what was here before mesh cannot be put back; make room on the disk"
}

# restore_wireguard: keys, port and peers are those of before. The steps of the switch lead there where they can, since
# `wg syncconf` sets the port too, also one that stays, and wireguard-go drops what waits at it.
restore_wireguard() {
	if is_switched; then (home=$home/previous && set_peers); fi
	if [ "$(running_settings)" != "$(cat "$home/previous/running")" ]; then
		wg syncconf "$interface" "$home/previous/wg.conf" || return 1
		bare=$(bare_peers)
		wg_set "$bare" || return 1
	fi
	elsewhere=$(moved_peers)
	wg_set "$elsewhere"
}

# moved_peers: the arguments that give each peer the endpoint that it had before: a roaming one that had been removed has none
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

# close_other_ports: of the ports that were opened for this interface, only the confirmed one stays open.
close_other_ports() {
	confirmed=$(setting run port)
	for opened in $(firewall_ports); do
		[ "$opened" = "$confirmed" ] || firewall_close "$opened"
	done
}

# give_up: the interface is no longer ours; nothing of it boots, is open or lies in /etc. A file that is still somebody else's stays:
# where the disk is full, no copy could take its place.
give_up() {
	is_untouched "$configuration" || rm -f "$configuration"
	rm -f "$configuration.new"
	timer_apply none 4>&- 9>&-
	service_remove "$(others_left)"
	firewall_close_all
	exit_apply none
	exit_ports
	rm -f "$(networkd_link)"
	forwarding_apply none
	names_apply none
	forget_made
}

# give_up_nothing: the same where the interface never became ours.
give_up_nothing() {
	firewall_close_all
	forget_made
}

# abort: rolls back at once instead of at the deadline.
order_abort() {
	is_armed || return 0
	if go_back; then
		end_watchdog
	else
		# What cannot be done now is the watchdog's from now on.
		tell_time
		write_deadline 0 "$token" "$uptime"
		exit 1
	fi
}

# settle boot|serve: a change whose deadline has passed, or that a reboot interrupted, is taken back; one that was confirmed and
# not cleared away is.
# At boot the init system has yet to start the interface, and waits for us, so it must not be asked for anything. Each step says
# itself that it failed: where the whole is a condition, `set -e` means nothing, and in bash nothing can bring it back.
settle() {
	restore_run || return 1
	[ -e "$home/deadline" ] || return 0
	if is_armed; then
		if [ "$1" = boot ]; then
			return 0
		elif is_due 5; then
			go_back || return 1
			say "rolled back to the last confirmed state, later than it should have"
		else
			watch
		fi
		return 0
	fi
	if [ -d "$home/run" ]; then
		restore_configuration || return 1
	elif [ -d "$home/previous/theirs" ]; then
		# What was taken over runs again as it did before, by its own file.
		if [ "$1" = boot ]; then
			give_back
			return
		fi
		shared 20 give_up || return 1
		give_back || return 1
	else
		[ "$1" = boot ] || service_stop
		rm -f "$configuration" || return 1
	fi
	shared 20 settle_shared "$1" || return 1
	forget_way_back
	rm -rf "$home/former" "$home/watchdog"
}

# settle_shared boot|serve: the same for what interfaces of this host share. Forwarding is set up again at boot.
settle_shared() {
	close_other_ports
	(names_apply run)
	[ "$1" = boot ] || (timer_apply run 4>&- 9>&-)
}

# others_left: `last` when no other interface of ours is on this host, else `not-last`.
others_left() {
	if interfaces | grep -qvxF "$interface"; then echo not-last; else echo last; fi
}

# forget_made: removes the directory that was made for our first file, if nothing else is in it.
forget_made() {
	if [ -e "$(common)/made-etc-wireguard" ] && rmdir /etc/wireguard 2>/dev/null; then rm -f "$(common)/made-etc-wireguard"; fi
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
	leave_nothing "$1"
	echo wiped
}

# leave_nothing [MESH]: of this interface, which is ours (of the stack MESH).
leave_nothing() {
	if is_armed; then go_back; fi
	end_watchdog
	shared 40 gather
	# A run that was refused here may have found somebody else's interface and file, and those stay.
	if [ -d "$home/run" ] || is_our_configuration "${1:-}" || service_is_ours; then
		service_stop
		shared 40 give_up
	else
		shared 40 give_up_nothing
	fi
	if [ "$(others_left)" = last ]; then rm -rf "$base"; else rm -rf "$home"; fi
}

# wipe_by_hand: the same where no stack knows of the interface; for whoever is logged in here.
wipe_by_hand() {
	[ -d "$home" ] || fail "this host has nothing of interface $interface; it has: $(interfaces | tr '\n' ' ')"
	# Which may be by way of this tunnel.
	trap '' HUP
	# A link is no version, and another interface goes on with the one that it leads to.
	program=$(readlink -f "$program")
	version=${program%.new}
	open_lock
	take_lock
	settle serve
	leave_nothing
	echo "nothing of interface $interface is left on this host"
}
