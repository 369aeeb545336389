# ------------------------------------------------------------------------------------------------------------- checks
# What a rollout will need and write is tried before anything switches, so that what is missing is reported as what it is: after the
# switch the same would be a failure on its way, and every host would go back.

# check_writable PATH KILOBYTES [PATH KILOBYTES]...: each PATH can be written as we write files, with KILOBYTES in it, or it fails with
# the cause. What is laid for that is taken away by one process.
check_writable() {
	trials=
	while [ $# != 0 ]; do
		if ! try_writing "$1" "$2"; then
			# shellcheck disable=SC2086 # words
			rm -f $trials 2>/dev/null || :
			fail_writing "$1"
		fi
		shift 2
	done
	# shellcheck disable=SC2086 # words
	refusal=$(rm -f $trials 2>&1) && return 0
	for trial in $trials; do [ ! -e "$trial" ] || break; done
	refusal=${refusal##*: }
	fail_writing "${trial%/*}"
}

# try_writing PATH KILOBYTES: 0 when a file can be laid beside PATH and renamed to it; else $refusal says why not. Where its folder is
# not there yet, the one above counts.
try_writing() {
	refusal_folder=${1%/*}
	while [ ! -d "$refusal_folder/" ]; do
		# No folder can be made where a link leads nowhere.
		if [ -L "$refusal_folder" ]; then
			refusal="$refusal_folder is a link that leads nowhere"
			return 1
		fi
		refusal_folder=${refusal_folder%/*}
	done
	# Another interface may try the same at this moment; and no interface can have so long a name.
	trial=$refusal_folder/.mesh-tried-by-$$
	trials="$trials $trial"
	# Without a process, as a rule: only `dd` tells why there is no room.
	if lay_trial "$@" 2>/dev/null; then return 0; fi
	refusal=$({ dd if=/dev/zero of="$trial" bs=1024 count="$2" && lay_trial "$@"; } 2>&1) && return 0
	refusal=$(printf '%s\n' "$refusal" | grep -v -e ' records ' -e ' copied' | head -n 1)
	refusal=${refusal##*: }
	return 1
}

# lay_trial PATH KILOBYTES: the file that is tried lies there, and PATH could be replaced.
lay_trial() {
	# Only writing much tells whether there is room for it.
	printf "%$(($2 * 1024))s" '' >"$trial" &&
		# Nobody replaces a file that is immutable, and it cannot be opened for writing. What is opened so stays as it is.
		{ [ -L "$1" ] || [ ! -f "$1" ] || true <>"$1"; }
}

# fail_writing PATH: fails with $refusal, and with what helps.
fail_writing() {
	case $refusal in
	*"not permitted"*) writable_advice="see by lsattr whether it or its folder is immutable, and let it be written by chattr -i" ;;
	*"No space"* | *[Qq]uota*) writable_advice="make room on its disk" ;;
	*"leads nowhere") writable_advice="make the folder that it leads to" ;;
	*"Read-only"*) writable_advice="mount it so that it can be written" ;;
	*) writable_advice="let root write there" ;;
	esac
	fail "cannot write $1: $refusal; $writable_advice"
}

# check_own_files: what we keep of the interface can be written.
check_own_files() {
	[ -d "$home" ] || own_refusal=$(mkdir -p "$home" 2>&1) || fail "cannot write $home: ${own_refusal##*: }; let root write there"
	check_writable "$home/session" 1 "$base/lock" 0
}

# check_ipv6: addresses can be given to the tunnel, now and when it is created again.
check_ipv6() {
	[ -d /proc/sys/net/ipv6 ] ||
		fail "this kernel has no IPv6, and a mesh is IPv6 inside; start it without ipv6.disable=1"
	for ipv6_of in "$interface" default; do
		ipv6_is_off=0
		read -r ipv6_is_off 2>/dev/null <"/proc/sys/net/ipv6/conf/$ipv6_of/disable_ipv6" || :
		[ "$ipv6_is_off" != 1 ] ||
			fail "IPv6 is turned off on this host (net/ipv6/conf/$ipv6_of/disable_ipv6 is 1), and a mesh is IPv6 inside; set it to 0 by sysctl, also where that is done at boot (/etc/sysctl.d)"
	done
}

# check_tunnel: WireGuard can make an interface: the kernel's, or wireguard-go, which needs a device for it.
check_tunnel() {
	if has_kernel_wireguard; then return 0; fi
	[ -e /dev/net/tun ] || modprobe -q tun 2>/dev/null || :
	{ true </dev/net/tun; } 2>/dev/null || tunnel_refusal=$(dd if=/dev/net/tun count=0 2>&1) || {
		tunnel_refusal=$(printf '%s\n' "$tunnel_refusal" | head -n 1)
		fail "this kernel has no WireGuard, and wireguard-go cannot open /dev/net/tun (${tunnel_refusal##*: }); load the module tun, or give this container that device"
	}
}

# check_files KILOBYTES: everything that the switch, hold and confirm write can be written; what is staged has KILOBYTES.
check_files() {
	# The way back, and what is worked out beforehand, are as large as what is staged. In /run will lie the watchdog's unit, WireGuard's
	# socket and signs of life.
	set -- "$home/previous" $(($1 * 3)) "$configuration" "$1" /run/mesh 16
	case $init in
	systemd)
		tunnel_unit >/dev/null ||
			fail "service: wireguard-tools brought no wg-quick@.service; install the distribution's package for systemd"
		! is_mask "$systemd_units/wg-quick@.service" ||
			fail "service: wg-quick@.service is masked on this host, so no tunnel comes up at boot; run systemctl unmask wg-quick@.service"
		find_written "$systemd_units/mesh-boot@.service" "$(boot_unit)"
		set -- "$@" "$systemd_wants/mesh-boot@$interface.service" 0 "$timer_wants/mesh-keep@$interface.timer" 0 "$written" 0
		;;
	openrc)
		find_written /etc/init.d/mesh-boot "$(boot_script)"
		set -- "$@" "/etc/runlevels/default/mesh-boot.$interface" 0 "$written" 0
		;;
	esac
	if ! names_are_there incoming; then set -- "$@" "$(readlink -f "$hosts_file")" 0; fi
	check_writable "$@"
}

# find_written FILE TEXT: $written is the file; or, since one that holds its text already is not written and may be immutable, another
# in its folder.
find_written() { if holds "$1" "$2"; then written=${1%/*}/mesh; else written=$1; fi; }

# check_firewall PORT: what filters here can be told to let the port in.
check_firewall() {
	if ufw_is_active; then
		ufw_allows "$1" || check_writable /etc/ufw/user.rules 0
	fi
	if firewalld_is_active; then check_writable /etc/firewalld/zones/mesh 0; fi
	firewall_commands=$(nft_commands "$1")
	[ -z "$firewall_commands" ] || printf '%s\n' "$firewall_commands" | nft -c -f - ||
		fail "firewall: nft cannot open $1/udp; see 'nft list ruleset' on this host"
}

# check_forwarding: this host can be made to forward what is staged, and the kernel has what that takes.
check_forwarding() {
	forwarding_staged=$(passes incoming)
	[ -n "$forwarding_staged" ] || return 0
	has_command nft || fail "forwarding: this host has no nft, and needs it to forward for the mesh; install nftables"
	for forwarding_version in 4 6; do
		printf '%s\n' "$forwarding_staged" | grep -q "^[46]*$forwarding_version" || continue
		if [ "$(cat "$(forwarding_switch)")" = 0 ]; then
			switch_refusal=$(dd if=/dev/null of="$(forwarding_switch)" count=0 conv=notrunc 2>&1) || {
				switch_refusal=$(printf '%s\n' "$switch_refusal" | sed -n '1s/.*: //p')
				fail "forwarding: $(forwarding_switch) cannot be set ($switch_refusal); let this host, or container, set it, or let another one forward"
			}
		fi
		masquerade_chain=
		if masquerade_rules incoming | grep -q "^$(fence_family) "; then
			masquerade_chain="chain nat { type nat hook postrouting priority 100; masquerade; }"
		fi
		printf 'table %s mesh_try {\nchain forward {\ntype filter hook forward priority 0;\nct state established,related accept\n}\n%s\n}\n' \
			"$(fence_family)" "$masquerade_chain" | nft -c -f - ||
			fail "forwarding: the kernel of this host cannot filter or masquerade what it forwards by nft; let another host forward"
	done
}
