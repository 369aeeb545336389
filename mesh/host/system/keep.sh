# --------------------------------------------------------------------------------------------------------------- keep
# What others take away of what was set here: a firewall that starts after us, or restarts, flushes rules, Docker lets nothing be
# forwarded, cloud-init writes /etc/hosts, systemd-networkd drops routing rules, `sysctl --system` turns
# forwarding off, or IPv6, and with that the addresses. So the program looks again when the boot is over, and
# every 30 seconds (timers.sh), sets again what is missing of what was confirmed here, and says so in the log. A rule of somebody else
# that denies is theirs to have; what is not ours is not touched.
# A look is a few short processes where nothing has changed: all that others could change is compared, by its digest, with what it
# was when all was well. That lies in /run, so that it is empty after each boot.

keep_folder=/run/mesh

# surroundings: prints digests of all that others could have changed, and of what we want there.
surroundings() {
	{
		for look_tool in $(listing_tools); do "$look_tool" -w 10 -S; done
		! has_command nft || nft -s -t list ruleset
		if [ -e "$home/exit" ]; then
			ip -4 rule show
			ip -6 rule show
		fi
		if is_running; then
			list_addresses
			list_routes
		fi
	} 2>/dev/null | sha256sum - "$hosts_file" "/sys/class/net/$interface/mtu" /proc/sys/net/ipv4/ip_forward \
		/proc/sys/net/ipv6/conf/all/forwarding "$home/firewall" "$home/passes" "$home/exit" "$home/run/names" 2>/dev/null || :
}

# listing_tools: prints the iptables commands that show what nft does not.
listing_tools() {
	for look_family in iptables ip6tables; do
		if has_command "$look_family-nft" || has_command "$look_family-legacy"; then
			has_command nft || ! has_command "$look_family-nft" || echo "$look_family-nft"
			if has_command "$look_family-legacy" && legacy_is_used "${look_family%tables}"; then echo "$look_family-legacy"; fi
		elif has_command "$look_family"; then
			echo "$look_family"
		fi
	done
}

# keep: what is missing of what was confirmed is set again, unless a rollout is at work, which does so itself.
keep() {
	[ -d "$home/run" ] || return 0
	# Where nothing is known yet, as after a boot or a change, there is nothing to compare with.
	if is_armed || { [ -e "$keep_folder/$interface/well" ] && is_well; }; then return 0; fi
	# Of several meshes, which all look when a boot is over or a firewall has restarted, one waits for the other here. It has
	# not taken the lock of its own interface yet, so that nobody who wants that has to wait too.
	shared 60 keep_alone 2>/dev/null || :
}

# is_well: 0 when nothing has changed since the last look that found all well.
is_well() {
	keep_seen=$(surroundings)
	holds "$keep_folder/$interface/well" "$keep_seen"
}

# keep_alone: the same, while no other interface does anything here.
keep_alone() {
	open_lock
	flock -n 9 || return 0
	# Others may have been at work while this one waited.
	if is_armed || is_well; then return 0; fi
	mkdir -p "$keep_folder/$interface"
	rm -f "$keep_folder/$interface/well"
	# What changed meanwhile, also by us, is looked at another time.
	if keep_all && [ "$(surroundings)" = "$keep_seen" ]; then printf '%s\n' "$keep_seen" >"$keep_folder/$interface/well"; fi
}

# keep_all: 0 when all is well, or is again.
keep_all() (
	kept=0
	mend keeps_open firewall_apply "the firewall no longer let in UDP port $(setting run port) or pings from the mesh" || kept=1
	mend keeps_forwarding "forwarding_apply run" "what this host forwards for the mesh was turned off or denied" || kept=1
	mend keeps_link link_repair "$interface lacked its MTU, an address or a route" || kept=1
	mend keeps_leaving "exit_apply run" "the routing rules of the exit node were gone" || kept=1
	mend "names_are_there run" "names_apply run" "$hosts_file lacked the names of $interface, or had others" || kept=1
	exit "$kept"
)

# mend CHECK REPAIR WORDS: where CHECK finds something wrong, REPAIR sets it again and the log says so; 1 where it cannot. That is
# tried again with the next look, and logged once.
mend() {
	if $1; then return 0; fi
	mend_told=$keep_folder/$interface/told
	if mend_said=$( ($2) 2>&1 8>&- 9>&-) && $1; then
		rm -f "$mend_told"
		say "$3: set again"
		return 0
	fi
	mend_said="$3, and that cannot be set again: ${mend_said:-see pulumi preview --refresh}"
	[ "$mend_said" = "$(cat "$mend_told" 2>/dev/null)" ] || say "$mend_said"
	printf '%s\n' "$mend_said" >"$mend_told"
	return 1
}

keeps_open() {
	for open_port in $(firewall_ports); do
		firewall_is_open "$open_port" || return 1
	done
}

keeps_forwarding() { [ -z "$(forwarding_differs run)" ]; }

# keeps_link: 0 when the tunnel has all that is its own, as after `sysctl --system` turned IPv6 off, or a network manager took away
# what it does not know. One that is down, or gone, was taken down by somebody.
keeps_link() {
	is_running || return 0
	[ "$(cat "/sys/class/net/$interface/mtu")" = "$(setting run mtu)" ] || return 1
	link_has=$(list_addresses)
	for link_address in $(wanted_addresses run); do
		has_line "$link_has" "$link_address" || return 1
	done
	[ -z "$(audit_routes)" ]
}

# link_repair: sets what `keeps_link` misses, and takes nothing away.
link_repair() {
	check_ipv6
	add_to_link run
	set_routes none run
}

# Without the tunnel there is nothing to lead into it.
keeps_leaving() { ! is_running || exit_is_on run; }

# keep_forget: nothing of this is left of the interface.
keep_forget() {
	rm -rf "${keep_folder:?}/$interface"
	rmdir "$keep_folder" 2>/dev/null || :
}
