# The service: what brings the tunnel up at boot and now, under systemd, OpenRC or neither.
# At boot our own step comes first (the program's `boot`: it settles an open change, then opens the firewall), then wg-quick's own unit.
# Not here: what the program does at boot (main.sh), the configuration (interface.sh).

systemd_units=/etc/systemd/system
systemd_wants=$systemd_units/multi-user.target.wants

# boot_unit: prints the unit that runs the program at boot.
boot_unit() {
	print_lines <<'UNIT'
[Unit]
Description=Mesh: settle and open %i before its tunnel starts
After=nftables.service ufw.service firewalld.service iptables.service ip6tables.service netfilter-persistent.service
Before=wg-quick@%i.service
ConditionPathExists=/var/lib/mesh/program

[Service]
Type=oneshot
ExecStart=/bin/sh /var/lib/mesh/program boot %i
TimeoutStartSec=90

[Install]
WantedBy=multi-user.target
UNIT
}

# boot_script: prints OpenRC's script that runs the program at boot; its links mesh-boot.INTERFACE name the interface.
boot_script() {
	print_lines <<'SCRIPT'
#!/sbin/openrc-run
description="Mesh: settle and open an interface before its tunnel starts"
interface="${RC_SVCNAME#*.}"

depend() {
    after nftables ufw firewalld iptables ip6tables netfilter-persistent
    before "wg-quick.$interface"
}

start() {
    [ -e /var/lib/mesh/program ] || return 0
    ebegin "Settling $interface"
    /bin/sh /var/lib/mesh/program boot "$interface"
    eend $?
}
SCRIPT
}

# tunnel_script: prints OpenRC's script that brings the tunnel up, for distributions whose wg-quick has none.
tunnel_script() {
	print_lines <<'SCRIPT'
#!/sbin/openrc-run
description="WireGuard by wg-quick"
interface="${RC_SVCNAME#*.}"

depend() {
    use net dns
    after firewall nftables ufw
}

start() {
    ebegin "Starting $interface"
    wg-quick up "$interface"
    eend $?
}

stop() {
    ebegin "Stopping $interface"
    wg-quick down "$interface"
    eend $?
}
SCRIPT
}

# write_when_changed FILE MODE TEXT: the file holds the text; 0 when it had to be written, 1 when it held it before.
write_when_changed() {
	if [ -f "$1" ] && [ ! -L "$1" ] && holds "$1" "$3"; then return 1; fi
	# Not beside it by its name: /etc/init.d/mesh-boot.new is that of the interface `new`. And not by one name for all, since other
	# interfaces may write at this moment.
	write_to=${1%/*}/.mesh-$interface.new
	printf '%s\n' "$3" 2>/dev/null >"$write_to" && chmod "$2" "$write_to" && mv "$write_to" "$1" || {
		rm -f "$write_to"
		fail "cannot write $1; make room on the disk, and let root write there"
	}
}

# link_to FILE LINK: the link leads to the file.
link_to() { leads_to "$2" "$1" || ln -sfn "$1" "$2"; }

# tunnel_unit: prints the path of the unit wg-quick@.service that systemd would take.
tunnel_unit() {
	for unit_folder in "$systemd_units" /usr/lib/systemd/system /lib/systemd/system; do
		if [ -f "$unit_folder/wg-quick@.service" ]; then
			printf '%s\n' "$unit_folder/wg-quick@.service"
			return 0
		fi
	done
	return 1
}

# openrc_scripts: OpenRC knows the services of this interface; no runlevel has them yet.
openrc_scripts() {
	write_when_changed /etc/init.d/mesh-boot 755 "$(boot_script)" || :
	ln -sfn mesh-boot "/etc/init.d/mesh-boot.$interface"
	# Alpine's own script is made to be linked to.
	if [ -f /etc/init.d/wg-quick ]; then
		ln -sfn wg-quick "/etc/init.d/wg-quick.$interface"
	else
		write_when_changed "/etc/init.d/wg-quick.$interface" 755 "$(tunnel_script)" || :
	fi
}

# service_install: from the next boot on the tunnel comes up by itself, and the program's boot step before it.
service_install() {
	case $init in
	systemd)
		install_unit=$(tunnel_unit) ||
			fail "service: wireguard-tools brought no wg-quick@.service; install the distribution's package for systemd"
		# The links are what `systemctl enable` would make, without its 160 ms.
		if [ ! -d "$systemd_wants" ]; then
			mkdir -m 755 "$systemd_wants"
			: >"$(common)/made-wants"
		fi
		if [ ! -e "$systemd_units/mesh-boot@.service" ]; then
			# systemd reads a new unit when it is first asked for it, at the next boot; a reload here would take 150 ms.
			write_when_changed "$systemd_units/mesh-boot@.service" 644 "$(boot_unit)"
		elif write_when_changed "$systemd_units/mesh-boot@.service" 644 "$(boot_unit)"; then
			timeout 30 systemctl daemon-reload || fail "service: systemctl daemon-reload failed; see 'systemctl status' on this host"
		fi
		link_to "$systemd_units/mesh-boot@.service" "$systemd_wants/mesh-boot@$interface.service"
		link_to "$install_unit" "$systemd_wants/wg-quick@$interface.service"
		install_masks=$(masks)
		if [ -n "$install_masks" ]; then
			# shellcheck disable=SC2086 # words
			rm -f $install_masks
			timeout 30 systemctl daemon-reload || fail "service: systemctl daemon-reload failed; see 'systemctl status' on this host"
		fi
		record_files "$(common)/units" "$systemd_units/mesh-boot@.service"
		;;
	openrc)
		openrc_scripts
		for install_service in "mesh-boot.$interface" "wg-quick.$interface"; do
			[ -e "/etc/runlevels/default/$install_service" ] || rc-update -q add "$install_service" default >&2 9>&- ||
				fail "service: rc-update cannot add $install_service; see 'rc-update show' on this host"
		done
		record_files "$(common)/units" /etc/init.d/mesh-boot
		# A link leads to the distribution's own script.
		[ -L "/etc/init.d/wg-quick.$interface" ] || record_files "$home/units" "/etc/init.d/wg-quick.$interface"
		;;
	none) say "no init system runs here; $interface will not come up after a reboot by itself" ;;
	esac
}

# is_mask PATH: 0 when systemd never starts the unit that this is the file of (systemctl mask).
is_mask() { if [ -L "$1" ]; then [ "$(readlink "$1")" = /dev/null ]; else [ -f "$1" ] && [ ! -s "$1" ]; fi; }

# masks: prints the masks of units of this interface. The one of wg-quick@.service is for all interfaces, and not ours to take away.
masks() {
	for mask_unit in wg-quick@$interface.service mesh-boot@$interface.service \
		mesh-keep@$interface.service mesh-keep@$interface.timer mesh-endpoints@$interface.service mesh-endpoints@$interface.timer; do
		for mask_folder in "$systemd_units" /run/systemd/system; do
			if is_mask "$mask_folder/$mask_unit"; then printf '%s\n' "$mask_folder/$mask_unit"; fi
		done
	done
}

# service_is_enabled: 0 when the tunnel comes up at boot as service_install leaves it, or nothing here could do so.
service_is_enabled() {
	case $init in
	systemd)
		[ -e "$systemd_wants/wg-quick@$interface.service" ] && [ -e "$systemd_wants/mesh-boot@$interface.service" ] &&
			[ -z "$(masks)" ] && ! is_mask "$systemd_units/wg-quick@.service"
		;;
	openrc) [ -e "/etc/runlevels/default/wg-quick.$interface" ] && [ -e "/etc/runlevels/default/mesh-boot.$interface" ] ;;
	none) return 0 ;;
	esac
}

# service_is_ours: 0 when the init system has something of this interface that only we put there.
service_is_ours() {
	[ -L "$systemd_wants/mesh-boot@$interface.service" ] || [ -L "/etc/init.d/mesh-boot.$interface" ]
}

# tunnel_is_up: 0 when the interface is there.
tunnel_is_up() {
	ip link show dev "$interface" >/dev/null 2>&1
}

# service_say_why: prints the last words of the failed start, without what wg quotes, since that may be a key.
service_say_why() {
	if [ "$init" = systemd ]; then
		journalctl -q -o cat -n 3 -t wg-quick -u "wg-quick@$interface" 2>/dev/null || :
	else
		tail -n 5 "$service_log"
	fi | sed "s/[\`'].*/(not shown)/" >&2
}

# run_service COMMAND...: its exit status, within 30 s; what it starts keeps neither our output nor our lock.
run_service() {
	timeout 30 "$@" </dev/null >"$service_log" 2>&1 9>&-
}

# Where that says something; only of a start somebody reads it.
service_log=/dev/null

# is_refused_for_failing: 0 when systemd only refuses the unit for having failed often; it forgets that then.
is_refused_for_failing() {
	[ "$init" = systemd ] && [ "$(systemctl show -P Result "wg-quick@$interface")" = start-limit-hit ] &&
		systemctl reset-failed "wg-quick@$interface"
}

# service_start: the tunnel is up from /etc/wireguard/INTERFACE.conf, or it fails and the tunnel is down.
service_start() {
	if tunnel_is_up; then return 0; fi
	service_log=$home/start.log
	case $init in
	systemd)
		# Not `start`: a unit that is active without its interface would stay as it is.
		set -- systemctl restart "wg-quick@$interface"
		;;
	openrc)
		openrc_scripts
		run_service rc-service -q "wg-quick.$interface" zap || :
		set -- rc-service "wg-quick.$interface" start
		;;
	none) set -- wg-quick up "$interface" ;;
	esac
	if ! run_service "$@" && ! { is_refused_for_failing && run_service "$@"; } || ! tunnel_is_up; then
		service_say_why
		service_stop
		rm -f "$service_log"
		fail "service: $interface does not come up by '$*'; see /etc/wireguard/$interface.conf and the log of that service"
	fi
	rm -f "$service_log"
	service_log=/dev/null
}

# clear_place: at boot, before wg-quick starts the tunnel, an interface of its name is somebody else's, and wg-quick would stop at it.
# A host that has been looked at since its boot (keep.sh) is past that.
clear_place() {
	if [ ! -d "$home/run" ] || [ -d "$keep_folder/$interface" ] || ! tunnel_is_up || is_the_mesh; then return 0; fi
	if ip link delete dev "$interface"; then
		say "removed an interface $interface that something else had brought up; see what does so at boot"
	else
		say "something else has brought up an interface $interface, which cannot be removed; see what does so at boot"
	fi
}

# is_the_mesh: 0 when the interface has our key, and a peer that was confirmed.
is_the_mesh() {
	[ "$(wg show "$interface" public-key 2>/dev/null)" = "$(setting run public-key)" ] || return 1
	wg show "$interface" peers | awk -v confirmed="$home/run/peers" '
		BEGIN { while ((getline line < confirmed) > 0) { split(line, field, " "); known[field[2]] = 1 } }
		$1 in known { found = 1 }
		END { exit !found }'
}

# service_stop: the tunnel is down, whoever had brought it up, and its service knows.
service_stop() {
	case $init in
	systemd) run_service systemctl stop "wg-quick@$interface" || : ;;
	openrc) [ ! -e "/etc/init.d/wg-quick.$interface" ] || run_service rc-service "wg-quick.$interface" stop || : ;;
	esac
	if tunnel_is_up; then run_service wg-quick down "$interface" || :; fi
	if tunnel_is_up; then ip link delete dev "$interface" 2>/dev/null || :; fi
	if [ "$init" = systemd ]; then systemctl reset-failed "wg-quick@$interface" 2>/dev/null || :; fi
	if tunnel_is_up; then fail "service: $interface cannot be taken down; see 'ip link show $interface' on this host"; fi
}

# service_remove last|not-last: nothing of this interface is left in the init system, and nothing of ours after the last one.
service_remove() {
	rm -f "$home/units"
	if [ "$1" = last ]; then rm -f "$(common)/units"; fi
	case $init in
	systemd)
		rm -f "$systemd_wants/wg-quick@$interface.service" "$systemd_wants/mesh-boot@$interface.service"
		[ "$1" = last ] || return 0
		if [ -e "$systemd_units/mesh-boot@.service" ]; then
			rm -f "$systemd_units/mesh-boot@.service"
			timeout 30 systemctl daemon-reload || fail "service: systemctl daemon-reload failed; see 'systemctl status' on this host"
		fi
		if [ -e "$(common)/made-wants" ]; then
			rmdir "$systemd_wants" 2>/dev/null || :
			rm -f "$(common)/made-wants"
		fi
		;;
	openrc)
		for remove_service in "wg-quick.$interface" "mesh-boot.$interface"; do
			[ ! -L "/etc/runlevels/default/$remove_service" ] || rc-update -q del "$remove_service" default >&2 9>&- || :
			rm -f "/etc/init.d/$remove_service"
		done
		if [ "$1" = last ]; then rm -f /etc/init.d/mesh-boot; fi
		;;
	esac
}
