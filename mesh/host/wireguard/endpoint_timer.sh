# -------------------------------------------------------------------------------------------------------------- timer
# What resolves names regularly, on hosts that have a peer with one and on no others: a timer of systemd, or a service that
# OpenRC supervises. What it does is in endpoints.sh.

timer_wants=$systemd_units/timers.target.wants
timer_script=/etc/init.d/mesh-endpoints

# timer_text service|timer: prints the unit.
timer_text() {
	case $1 in
	service)
		cat <<'UNIT'
[Unit]
Description=Mesh: seek the peers of %i where their names lead now
After=wg-quick@%i.service nss-lookup.target

[Service]
Type=oneshot
ExecStart=/bin/sh /var/lib/mesh/program resolve %i
TimeoutStartSec=90
# The journal has a line when the endpoint of a peer changes, and none for each run.
LogLevelMax=notice
UNIT
		;;
	timer)
		cat <<'UNIT'
[Unit]
Description=Mesh: look where the names of the peers of %i lead

[Timer]
OnActiveSec=1
OnUnitInactiveSec=30
AccuracySec=1

[Install]
WantedBy=timers.target
UNIT
		;;
	openrc)
		cat <<'SCRIPT'
#!/sbin/openrc-run
description="Mesh: seek peers where their names lead now"
interface="${RC_SVCNAME#*.}"
supervisor=supervise-daemon
command=/bin/sh
command_args="/var/lib/mesh/program resolving $interface 30"

depend() {
    use net dns
    after "wg-quick.$interface"
}
SCRIPT
		;;
	esac
}

# timer_apply DIRECTORY: names are resolved regularly where DIRECTORY has a peer with one, and else nothing of ours does so.
timer_apply() {
	if seeks_names "$1"; then
		timer_start
	elif [ -L "$timer_wants/mesh-endpoints@$interface.timer" ] || [ -L "$timer_script.$interface" ]; then
		timer_stop
	fi
}

# timer_reload: systemd reads its units again.
timer_reload() {
	timeout 30 systemctl daemon-reload || fail "timer: systemctl daemon-reload failed; see 'systemctl status' on this host"
}

# timer_start: names are resolved from now on, and after each boot.
timer_start() {
	case "$(init_system)" in
	systemd)
		timer_changed=
		if [ ! -d "$timer_wants" ]; then
			mkdir -m 755 "$timer_wants"
			: >"$base/made-timer-wants"
		fi
		if [ -L "$systemd_units/mesh-endpoints@$interface.timer" ]; then
			rm "$systemd_units/mesh-endpoints@$interface.timer"
			timer_changed=yes
		fi
		for timer_kind in service timer; do
			timer_file=$systemd_units/mesh-endpoints@.$timer_kind
			if [ -e "$timer_file" ]; then timer_old=yes; else timer_old=; fi
			if write_when_changed "$timer_file" 644 "$(timer_text "$timer_kind")" && [ -n "$timer_old" ]; then timer_changed=yes; fi
		done
		ln -sfn "$systemd_units/mesh-endpoints@.timer" "$timer_wants/mesh-endpoints@$interface.timer"
		# systemd reads a new unit when it is first asked for it, as a rule; an old version only when it is told to.
		[ -z "$timer_changed" ] || timer_reload
		if ! run_service systemctl start "mesh-endpoints@$interface.timer"; then
			timer_reload
			run_service systemctl restart "mesh-endpoints@$interface.timer" ||
				fail "timer: mesh-endpoints@$interface.timer does not start; see 'systemctl status mesh-endpoints@$interface.timer'"
		fi
		record_files "$base/timer-units" "$systemd_units/mesh-endpoints@.service" "$systemd_units/mesh-endpoints@.timer"
		;;
	openrc)
		write_when_changed "$timer_script" 755 "$(timer_text openrc)" || :
		ln -sfn mesh-endpoints "$timer_script.$interface"
		[ -e "/etc/runlevels/default/mesh-endpoints.$interface" ] || rc-update -q add "mesh-endpoints.$interface" default >&2 9>&- ||
			fail "timer: rc-update cannot add mesh-endpoints.$interface; see 'rc-update show' on this host"
		timer_runs || run_service rc-service "mesh-endpoints.$interface" start ||
			fail "timer: mesh-endpoints.$interface does not start; see 'rc-service mesh-endpoints.$interface status'"
		record_files "$base/timer-units" "$timer_script"
		;;
	none) say "no init system runs here; names of peers are resolved by pulumi up only" ;;
	esac
	rm -f "$base/$interface-start.log"
}

# timer_runs: 0 while names are resolved regularly.
timer_runs() {
	case "$(init_system)" in
	systemd) systemctl -q is-active "mesh-endpoints@$interface.timer" ;;
	openrc) rc-service -q "mesh-endpoints.$interface" status >/dev/null 2>&1 9>&- ;;
	none) return 0 ;;
	esac
}

# timer_is_well DIRECTORY: 0 when names are resolved regularly, now and after the next boot, or DIRECTORY has none.
timer_is_well() {
	seeks_names "$1" || return 0
	case "$(init_system)" in
	systemd) [ -e "$timer_wants/mesh-endpoints@$interface.timer" ] && [ ! -L "$systemd_units/mesh-endpoints@$interface.timer" ] && timer_runs ;;
	openrc) [ -e "/etc/runlevels/default/mesh-endpoints.$interface" ] && timer_runs ;;
	none) return 0 ;;
	esac
}

# timer_stop: nothing resolves names for this interface, and nothing of ours is left after the last one that needed it.
timer_stop() {
	case "$(init_system)" in
	systemd)
		run_service systemctl stop "mesh-endpoints@$interface.timer" "mesh-endpoints@$interface.service" || :
		rm -f "$timer_wants/mesh-endpoints@$interface.timer"
		if ! ls "$timer_wants"/mesh-endpoints@*.timer >/dev/null 2>&1; then
			rm -f "$systemd_units/mesh-endpoints@.service" "$systemd_units/mesh-endpoints@.timer" "$base/timer-units"
			if [ -e "$base/made-timer-wants" ]; then
				rmdir "$timer_wants" 2>/dev/null || :
				rm -f "$base/made-timer-wants"
			fi
		fi
		timer_reload
		;;
	openrc)
		run_service rc-service "mesh-endpoints.$interface" stop || :
		[ ! -L "/etc/runlevels/default/mesh-endpoints.$interface" ] ||
			rc-update -q del "mesh-endpoints.$interface" default >&2 9>&- || :
		rm -f "$timer_script.$interface"
		if ! ls "$timer_script".* >/dev/null 2>&1; then rm -f "$timer_script" "$base/timer-units"; fi
		;;
	esac
	rm -f "$base/$interface-start.log"
}
