# ------------------------------------------------------------------------------------------------------------- checks
# What a rollout will need and write is tried before anything switches, so that what is missing is reported as what it is: after the
# switch the same would be a failure on its way, and every host would go back.

# try_writing PATH [KILOBYTES]: 0 when a file can be laid beside PATH, with KILOBYTES in it, and renamed to it; else $refusal says why
# not. Where its folder is not there yet, the one above counts.
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
	refusal_file=$refusal_folder/.mesh-tried-by-$$
	refusal=$({
		# Only writing much tells whether there is room for it, and `dd` why there is none.
		{ printf "%$((${2:-0} * 1024))s" '' 2>/dev/null >"$refusal_file" || dd if=/dev/zero of="$refusal_file" bs=1024 count="${2:-0}"; } && rm "$refusal_file" &&
			# Nobody replaces a file that is immutable. Its times become what they are.
			{ [ -L "$1" ] || [ ! -f "$1" ] || touch -c -r "$1" "$1"; }
	} 2>&1) || {
		rm -f "$refusal_file" 2>/dev/null || :
		refusal=$(printf '%s\n' "$refusal" | grep -v -e ' records ' -e ' copied' | head -n 1)
		refusal=${refusal##*: }
		return 1
	}
}

# check_writable PATH [KILOBYTES]: PATH can be written as we write files, or it fails with the cause.
check_writable() {
	if try_writing "$@"; then return 0; fi
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
	check_writable "$home/session" 1
	check_writable "$base/lock"
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
	(: </dev/net/tun) 2>/dev/null || tunnel_refusal=$(dd if=/dev/net/tun count=0 2>&1) || {
		tunnel_refusal=$(printf '%s\n' "$tunnel_refusal" | head -n 1)
		fail "this kernel has no WireGuard, and wireguard-go cannot open /dev/net/tun (${tunnel_refusal##*: }); load the module tun, or give this container that device"
	}
}

# check_files KILOBYTES: everything that the switch, hold and confirm write can be written; what is staged has KILOBYTES.
check_files() {
	# The way back, and what is worked out beforehand, are as large as what is staged.
	check_writable "$home/previous" $(($1 * 3))
	check_writable "$configuration" "$1"
	# Where the watchdog's unit, WireGuard's socket and signs of life will lie.
	check_writable /run/mesh 16
	case "$(init_system)" in
	systemd)
		tunnel_unit >/dev/null ||
			fail "service: wireguard-tools brought no wg-quick@.service; install the distribution's package for systemd"
		! is_mask "$systemd_units/wg-quick@.service" ||
			fail "service: wg-quick@.service is masked on this host, so no tunnel comes up at boot; run systemctl unmask wg-quick@.service"
		check_writable "$systemd_wants/mesh-boot@$interface.service"
		check_writable "$timer_wants/mesh-keep@$interface.timer"
		check_unless_same "$systemd_units/mesh-boot@.service" "$(boot_unit)"
		;;
	openrc)
		check_writable "/etc/runlevels/default/mesh-boot.$interface"
		check_unless_same /etc/init.d/mesh-boot "$(boot_script)"
		;;
	esac
	if ! names_are_there incoming; then check_writable "$(readlink -f "$hosts_file")"; fi
}

# check_unless_same FILE TEXT: the file can be written, or it holds the text already.
check_unless_same() { if [ "$(lines_of "$1")" = "$2" ]; then check_writable "${1%/*}/mesh"; else check_writable "$1"; fi; }

# check_firewall PORT: what filters here can be told to let the port in.
check_firewall() {
	if ufw_is_active; then
		ufw_allows "$1" || check_writable /etc/ufw/user.rules
	fi
	if firewalld_is_active; then check_writable "/etc/firewalld/zones/mesh"; fi
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
