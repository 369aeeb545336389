# -------------------------------------------------------------------------------------------------------------- audit
# What lies and runs here against what was confirmed here: files, service, firewall, link, routes. It changes nothing.
# What the kernel's peers should be is not judged here: `facts` tells what they are, and what is forwarded otherwise.

# digest_of FILE: prints its sha256; nothing for a file that is not there.
digest_of() {
	digest_line=$(sha256sum 2>/dev/null <"$1") || return 0
	printf '%s\n' "${digest_line%% *}"
}

# record_files RECORD PATH...: RECORD remembers the digest of each file.
record_files() {
	record=$1
	shift
	record_wanted=$(sha256sum "$@" | while read -r recorded_digest recorded; do printf '%s %s\n' "$recorded_digest" "$recorded"; done)
	! holds "$record" "$record_wanted" || return 0
	printf '%s\n' "$record_wanted" >"$record.new"
	mv "$record.new" "$record"
}

# recorded_files RECORD...: prints the path of each file whose digest these remember.
recorded_files() {
	for record; do
		[ ! -r "$record" ] || while read -r _ recorded; do printf '%s\n' "$recorded"; done <"$record"
	done
}

# audit_file PATH DIGEST: replies when the file is not the one with the digest. Without a digest nothing is known of it: an
# earlier version of mesh confirmed it.
audit_file() {
	if [ -z "$2" ]; then
		return 0
	elif [ ! -e "$1" ]; then
		echo "differs missing $1"
	elif [ "$(digest_of "$1")" != "$2" ]; then
		echo "differs edited $1"
	fi
}

# audit_files: replies for each file of ours that is not as we left it.
audit_files() {
	audit_file "$configuration" "$(cat "$home/run/configuration" 2>/dev/null)"
	case "$(ls -ld "$configuration" 2>/dev/null)" in
	"" | -???------*) ;;
	*) echo "differs readable $configuration" ;;
	esac
	{
		cat "$(common)/units" "$home/units"
		for timer_kind in $timer_kinds; do
			! timer_wanted "$timer_kind" run || cat "$(timer_record "$timer_kind")"
		done
	} 2>/dev/null | while read -r digest path; do audit_file "$path" "$digest"; done
	# The program is named by the first digits of its digest.
	boots=$(readlink "$base/program" 2>/dev/null || :)
	found=$(digest_of "$base/program")
	if [ -z "$found" ]; then
		echo "differs missing $base/program"
	elif [ "program-$(printf '%.16s' "$found")" != "$boots" ]; then
		echo "differs edited $base/program"
	fi
}

# audit_routes: replies for each confirmed prefix that does not go through the interface.
audit_routes() {
	{
		list_routes | awk '{ print "has", $1 }'
		awk '{ gsub(",", "\nwants ", $6); print "wants", $6 }' "$home/run/peers"
	} | awk '$1 == "has" { has[$2] = 1 } $1 == "wants" && $2 !~ /\/0$/ && !($2 in has) { print "differs route " $2 }'
}

# unsettled: replies when a change is not confirmed here, and when this host rolled back only because it was asked now.
unsettled() {
	if is_armed; then echo "differs unsettled"; fi
	if [ -n "$late" ]; then echo "differs late"; fi
}

# interface_age: prints for how many seconds the interface has been there; nothing where neither the socket of a userspace WireGuard
# nor the service that brought it up tells.
interface_age() {
	if is_userspace; then
		age_since=$(date -r "/var/run/wireguard/$interface.sock" +%s) && echo $(($(date +%s) - age_since))
		return
	fi
	case $init in
	systemd)
		tell_time
		# In microseconds since boot, and of a service that has ended too.
		timeout 5 systemctl show -p ActiveState -p ActiveEnterTimestampMonotonic "wg-quick@$interface" | awk -F= -v now="$uptime" '
			{ said[$1] = $2 }
			END { if (said["ActiveState"] == "active") printf "%d\n", now - said["ActiveEnterTimestampMonotonic"] / 1000000 }'
		;;
	openrc)
		# A link, whose own time is that of the start.
		age_since=$(stat -c %Y "/run/openrc/started/wg-quick.$interface") && echo $(($(date +%s) - age_since))
		;;
	esac
}

# describe_interface: what nobody judges, as far as it is known: which program boots here, the kind of WireGuard, packets in and out,
# and since how many seconds the interface is there.
describe_interface() {
	readlink "$base/program" | sed -n 's/^program-\([0-9a-f]\{16\}\)$/program \1/p'
	if is_userspace; then echo "wireguard userspace"; else echo "wireguard kernel"; fi
	counted="/sys/class/net/$interface/statistics"
	echo "packets $(first_word "$counted/rx_packets" 0) $(first_word "$counted/tx_packets" 0)"
	age=$(interface_age 2>/dev/null) || :
	# A date that was set back says nothing.
	[ "${age:--1}" -lt 0 ] || echo "age $age"
}

# is_gone: 0 when the interface carries nothing, and then it replies `differs KIND`; what it would run is not asked.
is_gone() {
	! is_running || return 1
	if is_up; then echo "differs down"; else echo "differs absent"; fi
}

# status SALT: what `facts SALT` replies, `differs KIND` where a change was left unfinished or the interface carries nothing, and what
# the interface is.
order_status() {
	unsettled
	if ! is_gone; then
		order_facts "$1"
		describe_interface
	fi
}

# audit SALT: `differs KIND [VALUE]` for each thing that is not as it was confirmed, then what `facts SALT` replies.
order_audit() {
	unsettled
	if [ ! -s "$home/run/private-key" ]; then echo "differs forgotten"; fi
	if [ -d "$home/run" ]; then
		audit_files
		service_is_enabled || echo "differs disabled"
		firewall_is_open "$(setting run port)" || echo "differs firewall $(setting run port)"
		names_are_there run || echo "differs names"
		timer_is_well endpoints run || echo "differs timer"
		timer_is_well keep run || echo "differs keep"
	fi
	if ! is_gone; then
		[ ! -d "$home/run" ] || audit_routes
		order_facts "$1"
	fi
}
