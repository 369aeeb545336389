# ----------------------------------------------------------------------------------------------------------- watchdog
# What takes this host back when its deadline passes, whatever became of the run, its session and the operator's machine. It
# ends by itself when nothing is armed, and nobody stops it before.
# Under systemd it is a transient unit: PID 1 starts it again when it is killed, and when it has not been heard of in time
# (WatchdogSec= of systemd.service(5)), as when it is stopped. Elsewhere a second process does that, and each watches the other.

# It is heard of more often than it has to be, but not at every turn of a key, since a message takes a process.
heard_every=3
heard_within=10

# is_passed MOMENT [SECONDS]: 0 when a moment, in seconds since boot to the hundredth, is SECONDS ago, or more.
is_passed() {
	tell_time
	[ $((${1%.*}${1#*.} + ${2:-0} * 100)) -le "${uptime%.*}${uptime#*.}" ]
}

# is_due [SECONDS]: 0 when the deadline of a change that is not confirmed is SECONDS ago, or more.
is_due() { is_armed && is_passed "$until" "$@"; }

# is_watched: 0 while there is a watchdog.
is_watched() { is_process watchdog watchdog; }

# watch: there is a watchdog from now on.
watch() {
	waits=0
	until is_watched; do
		# The unit of an earlier one may have been about to end.
		case $waits in
		0 | 10 | 20 | 30) [ -d /run/systemd/system ] && start_unit || start_supervisor ;;
		100) fail "the watchdog, which rolls back at the deadline, does not start; see the log of this host" ;;
		esac
		is_watched || sleep 0.05
		waits=$((waits + 1))
	done
}

# start_unit: begins one under systemd; returns with its first sign of life. It outlives the session of whoever logged in.
start_unit() {
	timeout 20 systemd-run --quiet --collect --unit="mesh-watchdog-$interface" --property=Type=notify --property=NotifyAccess=all \
		--property=Restart=on-failure --property=StartLimitIntervalSec=0 --property=WatchdogSec="$heard_within" \
		--property=WatchdogSignal=SIGKILL --property=TimeoutStartSec="$heard_within" --property=LogLevelMax=notice \
		sh "$program" watchdog "$interface" </dev/null >/dev/null 2>&1 4>&- 9>&-
}

# start_supervisor: begins one with a process that watches it; they inherit neither the connection nor a lock.
start_supervisor() { setsid sh "$program" supervise "$interface" </dev/null >/dev/null 2>&1 4>&- 9>&- & }

# sign_of_life [SECONDS]: the watchdog lives, and will be heard of again within SECONDS. Nobody else says so.
sign_of_life() {
	[ -n "${is_watchdog:-}" ] || return 0
	tell_time
	[ -n "${1:-}" ] || [ "${uptime%.*}" -ge "${heard_next:-0}" ] || return 0
	heard_next=$((${uptime%.*} + heard_every))
	if [ -n "${NOTIFY_SOCKET:-}" ]; then
		systemd-notify READY=1 WATCHDOG=1 "WATCHDOG_USEC=$((${1:-$heard_within} * 1000000))" || true
	else
		echo $((${uptime%.*} + ${1:-$heard_within})) >"$alive"
		# In the middle of a rollback, `home` is another.
		(home=$base/$interface && is_process supervisor supervise) || start_supervisor
	fi
}

# watchdog: waits for the deadline, and rolls back; again, until that is done.
watchdog() {
	# A unit that ends well is not started again.
	trap 'is_armed && exit 1; exit 0' HUP INT PIPE TERM
	is_watchdog=yes pause=2
	# Before the sign of life, at which whoever starts it looks here.
	{ echo $$ >"$home/watchdog"; } 2>/dev/null || true
	sign_of_life
	while
		while is_armed; do
			if ! is_passed "$until"; then
				sign_of_life
				sleep_until "$until" 4 || true
			elif ! message=$(take_back 2>&1); then
				say "not confirmed in time, and could not roll back yet: $(printf '%s' "$message" | in_a_line)"
				sign_of_life $((pause + heard_within))
				sleep "$pause"
				[ "$pause" -ge 60 ] || pause=$((pause * 2))
			fi
		done
		rm -f "$home/watchdog" "$alive" 2>/dev/null
		# Whoever armed just now saw this one and started no other.
		is_armed
	do
		{ echo $$ >"$home/watchdog"; } 2>/dev/null || true
	done
}

# take_back: ends the session that missed its deadline, and rolls back in turns with the other hosts; nothing where that session
# was quicker. It fails, saying why, where this host could not roll back.
take_back() (
	set +e
	sign_of_life 15
	later_session=
	end_session
	open_lock
	# What is left of a session that missed it may still hold the lock, and no longer changes anything. A later one takes this host
	# back itself.
	timeout 5 flock 9 || [ -z "$later_session" ] || fail "a session is taking it back"
	is_due || exit 0
	is_led_back || (hurry && retreat)
	go_back || exit 1
	say "not confirmed in time: rolled back to the last confirmed state"
)

# end_session: ends the session that missed the deadline, with all that it began, also where it is stopped. One that began later has
# missed nothing, and is named in $later_session.
end_session() {
	is_process session serve || return 0
	session_began=$(sed -n 2p "$home/session")
	# Of a deadline that cannot be read, nobody knows who has missed it; nor does an earlier version say when a session began.
	case $until/$session_began in
	0.00/* | *[!0-9./]* | */*.*.*) ;;
	*/[0-9]*.[0-9][0-9])
		if [ "${session_began%.*}${session_began#*.}" -gt "${until%.*}${until#*.}" ]; then
			later_session=$process
			return 0
		fi
		;;
	esac
	read -r line <"/proc/$process/stat" || return 0
	# State, parent and group come after the name, which may hold anything.
	# shellcheck disable=SC2086 # words
	set -- ${line##*) }
	if [ "$3" = "$process" ] || [ "$3" = "$2" ]; then kill -s KILL -- "-$3"; else kill -s KILL "$process"; fi 2>/dev/null || true
}

# hurry: this (sub)shell and what it starts go before others. A host that is late for its turn leaves a pair silent for
# five seconds.
hurry() {
	# The number of a subshell is in no variable, and it is the shell itself that opens this.
	read -r own _ </proc/self/stat
	renice -n -15 -p "$own" >/dev/null 2>&1 || true
}

# end_watchdog: with nothing to watch, the watchdog ends at once instead of in some seconds, and so does who watches it.
end_watchdog() {
	dismiss_watchdog
	rm -f "$home/watchdog" "$home/supervisor"
}

# dismiss_watchdog: the same, and what names the two stays.
dismiss_watchdog() {
	if is_watched; then kill -s TERM -- "-$process" 2>/dev/null || true; fi
	if is_process supervisor supervise; then kill -s TERM -- "-$process" 2>/dev/null || true; fi
}

# supervise: does for the watchdog what systemd would.
supervise() {
	# On a busy machine another may have been begun before the first was heard of.
	if is_process supervisor supervise; then return 0; fi
	{ echo $$ >"$home/supervisor"; } 2>/dev/null || true
	while is_armed; do
		tell_time
		if ! is_watched || ! [ "$(first_word "$alive" 0)" -ge "${uptime%.*}" ]; then
			if is_watched; then kill -s KILL -- "-$process" "$process" 2>/dev/null || true; fi
			echo $((${uptime%.*} + heard_within)) >"$alive"
			setsid sh "$program" watchdog "$interface" </dev/null >/dev/null 2>&1 &
			# It does so too, but may be stopped before, and of two watchdogs both would roll this host back.
			{ echo $! >"$home/watchdog"; } 2>/dev/null || true
		fi
		sleep 1
	done
	rm -f "$home/supervisor" 2>/dev/null
}
