# ---------------------------------------------------------------------------------------------------------- firewalld
# What firewalld lets in: the port and echo requests. What it lets pass through this host is said by policies, which are
# the user's: it learns of a new one only by a reload, and that loses whatever others have told it for the moment.

# firewalld's rules have no comments: this priority marks ours. Above 0 they come after the zone's own, so a denial of the user stays.
firewalld_priority=5182

# firewalld_is_active: 0 when firewalld runs.
firewalld_is_active() {
	# Asked once in a session, before its first change (main.sh), or in an order: each question takes it a quarter of a second.
	if [ -z "${firewalld_state:-}" ]; then
		firewalld_state=inactive
		if has_command firewall-cmd && firewall-cmd --state </dev/null >/dev/null 2>&1; then firewalld_state=active; fi
	fi
	[ "$firewalld_state" = active ]
}

# firewalld_rule PORT: prints our rule for the port.
firewalld_rule() {
	printf 'rule priority="%s" port port="%s" protocol="udp" accept\n' "$firewalld_priority" "$1"
}

# firewalld_echo PREFIX: prints our rule for echo requests from inside a mesh, whose addresses lie in the prefix.
firewalld_echo() {
	printf 'rule priority="%s" family="ipv6" source address="%s" icmp-type name="echo-request" accept\n' "$firewalld_priority" "$1"
}

# firewalld_prefixes FOLDER...: prints where the addresses of the peers lie: fd00::/16, and of others their /32, or /16 where
# those are many. One that nobody is known of has the addresses that follow from names.
firewalld_prefixes() {
	for firewalld_folder; do
		[ ! -r "$firewalld_folder/peers" ] || cat "$firewalld_folder/peers"
	done | awk '
		{
			split($3, group, ":")
			if (group[1] == "fd00") { usual = 1; next }
			wide[group[1] "::/16"] = 1
			narrow[group[1] ":" (group[2] == "" ? "0" : group[2]) "::/32"] = 1
		}
		END {
			for (prefix in narrow) count++
			if (usual || !count) print "fd00::/16"
			if (count > 8) { for (prefix in wide) print prefix } else for (prefix in narrow) { sub(/:0::/, "::", prefix); print prefix }
		}'
}

# firewalld_default_zone: prints it; whoever sets it writes it into its file too.
firewalld_default_zone() {
	sed -n 's/^DefaultZone=\([^ \t]*\)[ \t]*$/\1/p' /etc/firewalld/firewalld.conf 2>/dev/null | grep . ||
		firewall-cmd --get-default-zone </dev/null
}

# firewalld_zones: prints the zones where packets of the tunnel and from inside it come in, one per line.
firewalld_zones() {
	firewalld_devices=$({
		ip route show default
		ip -6 route show default
	} | awk '{ for (i = 1; i < NF; i++) if ($i == "dev") printf "%s ", $(i + 1) }')
	{
		firewalld_default_zone
		firewall-cmd --get-active-zones </dev/null | awk -v devices=" $firewalld_devices $interface " '
			/^[^ \t]/ { zone = $1 }
			$1 == "interfaces:" { for (i = 2; i <= NF; i++) if (index(devices, " " $i " ")) print zone }'
	} | sort -u
}

# firewalld_open PORT: firewalld lets it in, now and after a reload or reboot.
firewalld_open() {
	for firewalld_zone in $(firewalld_zones); do
		set -- "$1" --zone="$firewalld_zone" --add-rich-rule="$(firewalld_rule "$1")"
		for firewalld_prefix in $(firewalld_prefixes "$home/$(planned)"); do
			set -- "$@" --add-rich-rule="$(firewalld_echo "$firewalld_prefix")"
		done
		firewalld_port=$1
		shift
		# --quiet stands for "now", which needs no option.
		for firewalld_when in --quiet --permanent; do
			firewall-cmd "$firewalld_when" "$@" </dev/null >/dev/null 2>&1 ||
				fail "firewall: firewalld cannot open $firewalld_port/udp in zone $firewalld_zone; see 'firewall-cmd --zone=$firewalld_zone --list-all' on this host"
		done
		set -- "$firewalld_port"
	done
}

# firewalld_is_open PORT: 0 when no zone that matters lacks our rules.
firewalld_is_open() {
	for firewalld_zone in $(firewalld_zones); do
		firewalld_found=$(firewall-cmd --zone="$firewalld_zone" --list-rich-rules </dev/null)
		printf '%s\n' "$firewalld_found" | grep -Fxq "$(firewalld_rule "$1")" || return 1
		for firewalld_prefix in $(firewalld_prefixes "$home/$(planned)"); do
			printf '%s\n' "$firewalld_found" | grep -Fxq "$(firewalld_echo "$firewalld_prefix")" || return 1
		done
	done
}

# firewalld_remove RULE...: the rules are in no zone, neither now nor after a reload or reboot.
firewalld_remove() {
	if firewalld_is_active; then
		firewalld_remove_by "firewall-cmd" "$@" && firewalld_remove_by "firewall-cmd --permanent" "$@"
	else
		firewalld_remove_by "firewall-offline-cmd" "$@"
	fi || fail "firewall: firewalld cannot remove a rule of mesh; remove the rich rules of priority $firewalld_priority by hand"
}

# firewalld_remove_by COMMAND RULE...: the same by one command, which may hold an option. Where a zone has one of the rules, that it
# lacks another is no failure.
firewalld_remove_by() {
	firewalld_command=$1
	shift
	firewalld_gone=$(printf '%s\n' "$@")
	for firewalld_one; do
		shift
		set -- "$@" --remove-rich-rule="$firewalld_one"
	done
	# shellcheck disable=SC2086 # words
	{
		printf '%s\n\n' "$firewalld_gone"
		$firewalld_command --list-all-zones </dev/null 2>/dev/null
	} | awk '
		!listed { if ($0 == "") listed = 1; else gone[$0] = 1; next }
		/^[^ \t]/ { zone = $1 }
		{ sub(/^[ \t]+/, "") }
		$0 in gone && !(zone in told) { told[zone] = 1; print zone }' |
		while read -r firewalld_zone; do
			$firewalld_command --zone="$firewalld_zone" "$@" </dev/null >/dev/null 2>&1 || exit 1
		done
}

# firewalld_close PORT: our rule for the port is gone, and each echo rule that no mesh of this host still needs.
firewalld_close() {
	has_command firewall-cmd || return 0
	firewalld_needed=$(for firewalld_record in $(of_interfaces firewall); do
		grep -qsvxF "$1" "$firewalld_record" || continue
		firewalld_prefixes "${firewalld_record%/firewall}/run" "${firewalld_record%/firewall}/next"
	done)
	set -- "$(firewalld_rule "$1")"
	for firewalld_prefix in $(firewalld_prefixes "$home/run" "$home/next"); do
		has_line "$firewalld_needed" "$firewalld_prefix" || set -- "$@" "$(firewalld_echo "$firewalld_prefix")"
	done
	firewalld_remove "$@"
}

# route_device VERSION PREFIX: prints the device of this host's route there, by the IP version; for - that to everywhere.
route_device() {
	if [ "$2" = - ]; then ip "-$1" route show default; else ip "-$1" route show to match "$2"; fi | awk '
		$1 ~ /^(unreachable|blackhole|prohibit|throw)$/ { next }
		# The ways of a route that has several follow it.
		$1 != "nexthop" { size = 0; if ($1 != "default") size = split($1, part, "/") == 2 ? part[2] : 128 }
		device == "" || size > longest { for (i = 2; i < NF; i++) if ($i == "dev") { device = $(i + 1); longest = size } }
		END { print device }'
}

# firewalld_stops: prints the marks of the lines of `passes` on standard input that firewalld lets not pass, as far as its
# zones and policies tell: a policy that accepts at least something between the two zones is taken to be made for it.
firewalld_stops() {
	firewalld_is_active || return 0
	{
		echo "usual $(firewalld_default_zone)"
		firewall-cmd --list-all-zones </dev/null | sed 's/^/zone /'
		# A firewalld before 0.9 has no policies.
		firewall-cmd --list-all-policies </dev/null 2>/dev/null | sed 's/^/policy /' || :
		while read -r versions in out from to state mark; do
			# What is an answer passes by firewalld's own rules.
			[ "$state" = new ] || continue
			for version in 4 6; do
				case "$versions" in *"$version"*) ;; *) continue ;; esac
				comes=$in goes=$out
				case "$in" in - | !) comes=$(route_device "$version" "$from") ;; esac
				case "$out" in - | !) goes=$(route_device "$version" "$to") ;; esac
				# Where an IP version has no default route, nothing has to pass.
				if [ -n "$comes" ] && [ -n "$goes" ]; then echo "pass $comes $goes $from $to $mark"; fi
			done
		done
	} | awk '
		function has(list, name) { return index(list, " " name " ") || index(list, " ANY ") }
		function zone_of(device, prefix) { return prefix in zone ? zone[prefix] : device in zone ? zone[device] : usual }
		$1 == "usual" { usual = $2 }
		/^(zone|policy) [^ \t]/ { name = $2; active = /\(active\)/ }
		$1 == "zone" && $2 == "target:" { target[name] = $3 }
		$1 == "zone" && $2 == "forward:" { forward[name] = $3 }
		# Where an address belongs goes before where it comes in.
		$1 == "zone" && $2 ~ /^(interfaces|sources):$/ { for (i = 3; i <= NF; i++) zone[$i] = name }
		$1 == "policy" && $2 ~ /gress-zones:$/ { way = $2; $1 = $2 = ""; zones[way, name] = $0 " " }
		$1 == "policy" && active && ($2 == "target:" && $3 == "ACCEPT" || $2 ~ /^(services|ports|protocols):$/ && NF > 2 || $2 == "rule" && / accept/) {
			accepts[name] = 1
		}
		$1 == "pass" {
			from = zone_of($2, $4)
			to = zone_of($3, $5)
			passes = target[from] == "ACCEPT" || (from == to && $3 in zone && forward[from] == "yes")
			for (name in accepts)
				if (has(zones["ingress-zones:", name], from) && has(zones["egress-zones:", name], to)) passes = 1
			$1 = $2 = $3 = $4 = $5 = ""
			sub(/^ +/, "")
			if (!passes) print
		}'
}
