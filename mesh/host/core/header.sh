# The host's side of mesh. It runs as root, speaks with `pulumi up` over SSH, and needs sh, awk, sed, grep and
# coreutils, or busybox. What else it needs, it installs (packages.sh).
#
#   program serve IF        take orders for interface IF on standard input until it closes
#   program boot IF         settle what a reboot interrupted, open the firewall; called before wg-quick@IF
#   program exit IF         set up the default route over an exit node; called by wg-quick@IF
#   program watchdog IF     roll back by itself when the deadline passes; started by `serve`
#   program supervise IF    start the watchdog, and start it again when it is gone; where there is no systemd
#   program resolve IF      resolve the names of peers again; called every 30 seconds where there are names
#   program wipe IF         leave nothing of the interface, as when its stack is destroyed; for whoever is logged in here
#   program keep IF         set again what others took away; called when the boot is over, and every 30 seconds
#   program resolving IF N  `resolve` every N seconds, and `keeping IF N` the same for `keep`; where there is no systemd
#
# Everything of one interface lies in /var/lib/mesh/IF:
#   enrolled/  the private key that enrolment has laid down for the next rollout
#   next/      what is staged and, after the switch, running but not yet confirmed
#   run/       what was confirmed last: this is what boots
#   previous/  how to roll back, while a deadline is running
# A key is only ever in files of mode 0600 and on pipes: never in an argument, an environment or a message.
set -euf
umask 077
export LC_ALL=C WG_ENDPOINT_RESOLUTION_RETRIES=1 PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# fail MESSAGE: ends the order with "what is wrong; what to do".
fail() {
	printf '%s\n' "$*" >&2
	exit 1
}

# say TEXT: a line for the system's log.
say() { logger -t "mesh-$interface" -- "$*" 2>/dev/null || true; }

# Differs after every boot.
{ read -r this_boot </proc/sys/kernel/random/boot_id; } 2>/dev/null || this_boot=unknown

# first_word FILE [OTHERWISE]: what a file of one line says, without a process.
first_word() {
	word=${2:-}
	[ ! -r "$1" ] || read -r word <"$1" || true
	printf '%s\n' "$word"
}

# at_once COMMAND...: carries out COMMAND with the words of each line of standard input, each in a process of its own, 128 at a time
# ($at_once_most), since one for each peer of a large mesh would be hundreds. $at_once_failed is how many have failed so far, also within COMMAND.
at_once() {
	at_once_failed=0
	while
		at_once_numbers=''
		at_once_count=0
		while [ "$at_once_count" -lt "${at_once_most:-128}" ] && read -r at_once_line; do
			# shellcheck disable=SC2086 # words
			"$@" $at_once_line &
			at_once_numbers="$at_once_numbers $!" at_once_count=$((at_once_count + 1))
		done
		for at_once_number in $at_once_numbers; do wait "$at_once_number" || at_once_failed=$((at_once_failed + 1)); done
		[ "$at_once_count" = "${at_once_most:-128}" ]
	do :; done
}

# tell_time: $uptime is the seconds since boot to the hundredth, which no change of the date can move; without a process.
tell_time() { read -r uptime _ </proc/uptime; }

# print_lines: prints standard input, a short text, without a process.
print_lines() { while IFS= read -r one_line || [ -n "$one_line" ]; do printf '%s\n' "$one_line"; done; }

# lines_of FILE: the same for a file; nothing where there is none.
lines_of() { [ ! -r "$1" ] || print_lines <"$1"; }

# holds FILE TEXT: 0 when the file holds the text and an end of line, or is not there where there is no text; without a process.
holds() {
	held=
	[ ! -r "$1" ] || while IFS= read -r one_line || [ -n "$one_line" ]; do
		held="$held$one_line
"
	done <"$1"
	[ "${held%?}" = "$2" ]
}

# shared SECONDS COMMAND...: carries out what concerns things that all interfaces of this host share (firewall, services, names,
# what is forwarded, the program), one run at a time; fails where others take longer. It is held for moments, so nothing that
# may wait for anything else belongs in it.
shared() (
	[ -e "$base/lock" ] || : >"$base/lock"
	# For reading, since a file system that has become read-only must not keep a host from rolling back.
	exec 8<"$base/lock"
	# What waits may outlive a session that is ended, and must not keep anything of it.
	flock -n 8 || timeout "$1" flock 8 >/dev/null 2>&1 4>&- 9<&- || fail "another run is changing this host; wait for it and run it again"
	shift
	"$@" 8<&-
)

# open_lock: descriptor 9 is the file of this interface's lock, which is still to be taken. A session holds it until it ends.
open_lock() {
	[ -e "$home/lock" ] || : >"$home/lock"
	exec 9<"$home/lock"
}

# take_lock: takes it; who holds it may be a look of a moment.
take_lock() {
	if timeout 40 flock 9; then return 0; fi
	held_since=$(date -r "$home/session" 2>/dev/null) || :
	fail "another run holds interface $interface on this host (since $held_since); wait for it to end"
}

# persist PATH...: what these files and folders hold is on the disk, whatever becomes of the power. Of a folder: which names it has.
persist() {
	# Of busybox and of old coreutils, `sync` knows no files and writes everything.
	sync "$@" 2>/dev/null || sync
}
