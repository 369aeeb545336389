# --------------------------------------------------------------------------------------------------------------- main

# prepare [COMMAND...]: WireGuard is installed, and each command. Replies what kind of system this is.
order_prepare() {
	# Installing may take minutes, so only who installs waits for others who do.
	if [ -n "$(name_missing "$@")" ]; then
		# The folder itself is locked, since a file in it could be called as an interface where an earlier version set the host up.
		exec 8<"$(common)"
		flock -n 8 || timeout 300 flock 8 || fail "another run is installing packages on this host; wait for it and run pulumi up again"
		install_missing "$@" 8>&-
	fi
	# Asked once, since a kernel without it looks for a module each time.
	if has_kernel_wireguard; then kernel_wireguard=yes; else kernel_wireguard=no; fi
	check_ipv6
	check_tunnel
	describe_system
}

# install_missing [COMMAND...]: WireGuard is there, and each command.
install_missing() {
	install_wireguard
	for command; do
		has_command "$command" || install_for "$command"
	done
}

# name_missing [COMMAND...]: names what `install_missing` would install.
name_missing() (
	install_for() { echo "$1"; }
	install_missing "$@"
)

# boot_shared: before the tunnel comes up, the host is what it has to be for it, of what interfaces share.
boot_shared() {
	firewall_apply
	forwarding_apply run
	# What a run that was cut off had begun.
	[ -n "$(exit_plan run)" ] || exit_apply run
	networkd_spare_link
}

# serve: takes one order a line; replies its lines, then `.ok` or `.error MESSAGE`.
serve() {
	cause=$(check_own_files 2>&1) || {
		echo ".error $cause"
		exit 1
	}
	share
	open_lock
	if ! flock -n 9 && ! cause=$(take_lock 2>&1); then
		echo ".error $cause"
		exit 1
	fi
	# A full disk must not keep anybody from looking; `arm` needs it.
	tell_time
	{ printf '%s\n' $$ "$uptime" >"$home/session"; } 2>/dev/null || true
	late=
	if is_due 5; then late=yes; fi
	set +e
	obey settle serve
	[ $? = 0 ] || exit 1
	while read -r order arguments; do
		# Known to all orders of a change then, each of which is a process of its own.
		if [ "$order" = prepare ]; then firewalld_is_active || :; fi
		# shellcheck disable=SC2086 # words
		case $order in
		# A line of what is staged: the disk was full before all were read.
		=) ;;
		stage | prepare | arm | clock | renew | preshared | ready | own | peer | back | again | finish | wake | prove | source | ping | facts | status | audit | examine | measure | probe | store | confirm | abort | wipe) obey "order_$order" $arguments ;;
		*) echo ".error this is not an order; run the same version of mesh everywhere" ;;
		esac
	done
	rm -f "$home/session" 2>/dev/null
}

# obey COMMAND...: carries it out; replies its lines, then `.ok` or `.error MESSAGE`.
obey() {
	{ message=$(
		set -e
		"$@" 2>&1 >&4
	); } 4>&1
	if [ $? = 0 ]; then
		echo .ok
	else
		printf '.error %s\n' "$(printf '%s' "$message" | in_a_line)"
		return 1
	fi
}

# in_a_line: the last words of standard input, without keys: wg repeats what it cannot read, and that could be one. The shell says
# where in this text it was.
in_a_line() { sed -e 's/[A-Za-z0-9+\/]\{42,43\}=*/[key]/g' -e "$no_place" | tail -n 3 | tr '\n' ' ' | cut -c1-500; }

no_place='s/^[^ ]*program-[^ ]*: \(line \)\{0,1\}[0-9]*: //'
program=$0
# A version whose file was edited lies beside itself, until the next rollout puts it in its place.
version=${program%.new}
base=/var/lib/mesh
interface=$2
home=$base/$interface
ready=$home/previous/ready
# Until when the watchdog should be heard of, where systemd does not keep that.
alive=/run/mesh-watchdog-$interface
configuration=/etc/wireguard/$interface.conf
case $1 in
serve) serve ;;
watchdog) watchdog ;;
supervise) supervise ;;
resolve) resolve ;;
resolving) repeat resolve "$3" ;;
keep) keep ;;
keeping) repeat keep "$3" ;;
boot)
	settle boot
	clear_place
	# All interfaces boot at the same moment. One that has waited in vain must come up all the same.
	shared 40 boot_shared || boot_shared
	;;
exit) exit_start ;;
wipe) wipe_by_hand ;;
*) fail "$1 is no command of this program; who is logged in here has one: wipe INTERFACE" ;;
esac
