# -------------------------------------------------------------------------------------------------------------- timer
# What the program does regularly, by a timer of systemd or a service that OpenRC supervises: `keep`, on every host, repairs
# what others took away (keep.sh), and `endpoints`, where a peer has a name as its endpoint, resolves names again (endpoints.sh).

timer_kinds="endpoints keep"
timer_wants=$systemd_units/timers.target.wants

# timer_text KIND service|timer|openrc: prints the unit.
timer_text() {
	case $1 in
	endpoints)
		timer_does="resolve the names of peers of %i again"
		timer_looks="resolve the names of the peers of %i regularly"
		timer_after="nss-lookup.target"
		timer_order=resolve timer_repeats=resolving timer_depends="use net dns"
		;;
	keep)
		timer_does="repair what others took away of what %i needs on this host"
		timer_looks="check whether others took anything away of what %i needs on this host"
		# What starts last at boot would win otherwise.
		timer_after="multi-user.target"
		timer_order=keep timer_repeats=keeping timer_depends="after *"
		;;
	esac
	case $2 in
	service)
		print_lines <<UNIT
[Unit]
Description=Mesh: $timer_does
After=wg-quick@%i.service $timer_after

[Service]
Type=oneshot
ExecStart=/bin/sh /var/lib/mesh/program $timer_order %i
TimeoutStartSec=90
# The journal has a line when something is changed, and none for each run.
LogLevelMax=notice
UNIT
		;;
	timer)
		print_lines <<UNIT
[Unit]
Description=Mesh: $timer_looks

[Timer]
OnActiveSec=1
OnUnitInactiveSec=30
AccuracySec=1

[Install]
WantedBy=timers.target
UNIT
		;;
	openrc)
		print_lines <<SCRIPT
#!/sbin/openrc-run
description="Mesh: $1, every 30 seconds"
interface="\${RC_SVCNAME#*.}"
supervisor=supervise-daemon
command=/bin/sh
command_args="/var/lib/mesh/program $timer_repeats \$interface 30"

depend() {
    $timer_depends
    after "wg-quick.\$interface"
}
SCRIPT
		;;
	esac
}

# timer_wanted KIND DIRECTORY: 0 when what lies in DIRECTORY wants it. An earlier version of mesh wanted no `keep`.
timer_wanted() { case $1 in endpoints) seeks_names "$2" ;; keep) [ -e "$home/$2/kept" ] ;; esac }

# timer_record KIND: prints the path of the digests of its units.
timer_record() { case $1 in endpoints) echo "$(common)/timer-units" ;; keep) echo "$(common)/keep-units" ;; esac }

# timer_apply DIRECTORY: what DIRECTORY wants is done regularly, and nothing else of ours.
timer_apply() {
	timers_start "$1"
	timers_stop "$1"
}

# timers_start DIRECTORY: what DIRECTORY wants is done regularly from now on, and after each boot.
timers_start() {
	for timer_kind in $timer_kinds; do
		if timer_wanted "$timer_kind" "$1"; then timer_start "$timer_kind"; fi
	done
}

# timers_stop DIRECTORY: nothing of ours does regularly what DIRECTORY does not want.
timers_stop() {
	find_timers_left "$1"
	for timer_kind in $timers_left; do timer_stop "$timer_kind"; done
	[ -z "$timers_left" ] || [ "$init" != systemd ] || timer_reload
}

# find_timers_left DIRECTORY: $timers_left is each kind that is done regularly though DIRECTORY does not want it.
find_timers_left() {
	timers_left=
	for timer_kind in $timer_kinds; do
		if timer_wanted "$timer_kind" "$1"; then continue; fi
		[ -L "$timer_wants/mesh-$timer_kind@$interface.timer" ] || [ -L "/etc/init.d/mesh-$timer_kind.$interface" ] || continue
		timers_left="$timers_left $timer_kind"
	done
}

# timer_reload: systemd reads its units again.
timer_reload() {
	timeout 30 systemctl daemon-reload || fail "timer: systemctl daemon-reload failed; see 'systemctl status' on this host"
}

# timer_start KIND: it is done from now on, and after each boot.
timer_start() {
	timer_name=mesh-$1
	case $init in
	systemd)
		timer_changed=
		if [ ! -d "$timer_wants" ]; then
			mkdir -m 755 "$timer_wants"
			: >"$(common)/made-timer-wants"
		fi
		if [ -L "$systemd_units/$timer_name@$interface.timer" ]; then
			rm "$systemd_units/$timer_name@$interface.timer"
			timer_changed=yes
		fi
		for timer_part in service timer; do
			timer_file=$systemd_units/$timer_name@.$timer_part
			if [ -e "$timer_file" ]; then timer_old=yes; else timer_old=; fi
			if write_when_changed "$timer_file" 644 "$(timer_text "$1" "$timer_part")" && [ -n "$timer_old" ]; then timer_changed=yes; fi
		done
		link_to "$systemd_units/$timer_name@.timer" "$timer_wants/$timer_name@$interface.timer"
		# systemd reads a new unit when it is first asked for it, as a rule; an old version only when it is told to.
		[ -z "$timer_changed" ] || timer_reload
		if ! run_service systemctl start "$timer_name@$interface.timer"; then
			timer_reload
			run_service systemctl restart "$timer_name@$interface.timer" ||
				fail "timer: $timer_name@$interface.timer does not start; see 'systemctl status $timer_name@$interface.timer'"
		fi
		record_files "$(timer_record "$1")" "$systemd_units/$timer_name@.service" "$systemd_units/$timer_name@.timer"
		;;
	openrc)
		write_when_changed "/etc/init.d/$timer_name" 755 "$(timer_text "$1" openrc)" || :
		ln -sfn "$timer_name" "/etc/init.d/$timer_name.$interface"
		[ -e "/etc/runlevels/default/$timer_name.$interface" ] || rc-update -q add "$timer_name.$interface" default >&2 9>&- ||
			fail "timer: rc-update cannot add $timer_name.$interface; see 'rc-update show' on this host"
		timer_runs "$1" || run_service rc-service "$timer_name.$interface" start ||
			fail "timer: $timer_name.$interface does not start; see 'rc-service $timer_name.$interface status'"
		record_files "$(timer_record "$1")" "/etc/init.d/$timer_name"
		;;
	none) say "no init system runs here; what $timer_name would do every 30 seconds is done by pulumi up only" ;;
	esac
}

# timer_runs KIND: 0 while it is done regularly.
timer_runs() {
	case $init in
	systemd) systemctl -q is-active "mesh-$1@$interface.timer" ;;
	openrc) rc-service -q "mesh-$1.$interface" status >/dev/null 2>&1 9>&- ;;
	none) return 0 ;;
	esac
}

# timer_is_well KIND DIRECTORY: 0 when it is done regularly, now and after the next boot, or DIRECTORY does not want it.
timer_is_well() {
	timer_wanted "$1" "$2" || return 0
	case $init in
	systemd)
		[ -e "$timer_wants/mesh-$1@$interface.timer" ] && [ ! -L "$systemd_units/mesh-$1@$interface.timer" ] && timer_runs "$1"
		;;
	openrc) [ -e "/etc/runlevels/default/mesh-$1.$interface" ] && timer_runs "$1" ;;
	none) return 0 ;;
	esac
}

# timer_stop KIND: it is not done for this interface, and nothing of ours is left after the last one that needed it. systemd has to
# read its units again then.
timer_stop() {
	timer_name=mesh-$1
	case $init in
	systemd)
		run_service systemctl stop "$timer_name@$interface.timer" "$timer_name@$interface.service" || :
		run_service systemctl reset-failed "$timer_name@$interface.service" || :
		rm -f "$timer_wants/$timer_name@$interface.timer"
		if [ -z "$(matching "$timer_wants/$timer_name@*.timer")" ]; then
			rm -f "$systemd_units/$timer_name@.service" "$systemd_units/$timer_name@.timer" "$(timer_record "$1")"
		fi
		if [ -e "$(common)/made-timer-wants" ] && rmdir "$timer_wants" 2>/dev/null; then rm -f "$(common)/made-timer-wants"; fi
		;;
	openrc)
		run_service rc-service "$timer_name.$interface" stop || :
		[ ! -L "/etc/runlevels/default/$timer_name.$interface" ] ||
			rc-update -q del "$timer_name.$interface" default >&2 9>&- || :
		rm -f "/etc/init.d/$timer_name.$interface"
		if [ -z "$(matching "/etc/init.d/$timer_name.*")" ]; then rm -f "/etc/init.d/$timer_name" "$(timer_record "$1")"; fi
		;;
	esac
	[ "$1" != keep ] || keep_forget
}

# repeat ORDER SECONDS: the order again and again, by the version of the program that boots; for init systems without timers.
repeat() {
	while :; do
		sh "$base/program" "$1" "$interface" || :
		sleep "$2"
	done
}
