# --------------------------------------------------------------------------------------------------------------- main

# prepare [COMMAND...]: WireGuard is installed, and each command. Replies what kind of system this is.
order_prepare() {
	lock_host 300
	install_wireguard 8>&-
	for command; do
		has_command "$command" || install_for "$command" 8>&-
	done
	check_ipv6
	check_tunnel
	describe_system
}

# serve: takes one order a line; replies its lines, then `.ok` or `.error MESSAGE`.
serve() {
	cause=$(check_own_files 2>&1) || {
		echo ".error $cause"
		exit 1
	}
	share
	exec 9>"$home/lock"
	if ! flock -n 9 && ! timeout 40 flock 9; then
		echo ".error another run holds interface $interface on this host (since $(date -r "$home/session" 2>/dev/null)); wait for it to end"
		exit 1
	fi
	echo $$ >"$home/session"
	settle serve
	echo .ok
	set +e
	while read -r order arguments; do
		case $order in
		stage | prepare | arm | clock | renew | preshared | ready | own | peer | back | again | finish | wake | prove | ping | facts | audit | hold | confirm | abort | wipe) ;;
		*)
			echo ".error this is not an order; run the same version of mesh everywhere"
			continue
			;;
		esac
		{ message=$(set -e; "order_$order" $arguments 2>&1 >&4); } 4>&1
		if [ $? = 0 ]; then
			echo .ok
		else
			# wg repeats what it cannot read, and that could be a key. The shell says where in this text it was.
			printf '.error %s\n' "$(printf '%s' "$message" | sed -e 's/[A-Za-z0-9+\/]\{42,43\}=*/[key]/g' -e "$no_place" | tail -n 3 | tr '\n' ' ' | cut -c1-500)"
		fi
	done
	rm -f "$home/session" 2>/dev/null
}

no_place='s/^[^ ]*program-[^ ]*: \(line \)\{0,1\}[0-9]*: //'
program=$0
# A version whose file was edited lies beside itself, until the next rollout puts it in its place.
version=${program%.new}
base=/var/lib/mesh
interface=$2
home=$base/$interface
ready=$home/previous/ready
configuration=/etc/wireguard/$interface.conf
case $1 in
serve) serve ;;
guard) guard "$3" ;;
resolve) resolve ;;
resolving) repeat resolve "$3" ;;
keep) keep ;;
keeping) repeat keep "$3" ;;
boot)
	settle boot
	firewall_apply
	forwarding_apply run
	# What a run that was cut off had begun.
	[ -n "$(exit_plan run)" ] || exit_apply run
	;;
exit) exit_start ;;
esac
