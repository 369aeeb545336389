# --------------------------------------------------------------------------------------------------------------- exit
# This host reaches everything else over an exit node: a peer whose allowed IPs are 0.0.0.0/0 and ::/0.
# By routing rules, and not by a default route that takes all: only what a program sends without having chosen an address,
# and what has the tunnel's, goes that way. What comes in at an address of the host outside the mesh, such as SSH, is
# answered from there by the host's own routes, and connections that were open stay open. It needs no list of the host's
# addresses, no mark and no connection tracking. What WireGuard itself sends is known by its port.
# $home/exit has the tunnel's addresses, as "VERSION ADDRESS" lines, while this interface is the one that does so.

# The number of our table, and of the first of our rules.
exit_table=5182

# exit_plan DIRECTORY: prints the tunnel's addresses where DIRECTORY has an exit node, as "VERSION ADDRESS" lines.
exit_plan() {
	[ -r "$home/$1/peers" ] && [ ! -e "$home/$1/uses-no-exit" ] || return 0
	awk -v settings="$home/$1/settings" '
		$6 ~ /(^|,)::\/0(,|$)/ { wanted[6] = 1 }
		$6 ~ /(^|,)0\.0\.0\.0\/0(,|$)/ { wanted[4] = 1 }
		END {
			while ((getline line < settings) > 0) {
				split(line, word, /[ \/]/)
				version = word[2] ~ /:/ ? 6 : 4
				if (word[1] == "address" && version in wanted) print version, word[2]
			}
		}' "$home/$1/peers"
}

# exit_rules VERSION: prints the wanted rules as `ip rule` does. The first match counts: what any tunnel of ours sends, what has
# a route of its own, what has the tunnel's address, and then what has no address yet.
exit_rules() {
	cat $(of_interfaces exit) </dev/null | awk -v version="$1" -v table="$exit_table" \
		-v ports="$(cat $(of_interfaces firewall) </dev/null | sort -nu | tr '\n' ' ')" '
		$1 != version { next }
		{
			count = split(ports, port, " ")
			for (i = 1; i <= count; i++) print table ": from all ipproto udp sport " port[i] " lookup main"
			print table + 1 ": from all lookup main suppress_prefixlength 0"
			print table + 2 ": from " $2 " lookup " table
			if (version == 4) {
				print table + 3 ": from 0.0.0.0 lookup " table
			} else {
				# Here no rule matches the absence of an address, but these two match every address.
				print table + 3 ": from ::/1 lookup main"
				print table + 3 ": from 8000::/1 lookup main"
				print table + 4 ": from all lookup " table
			}
		}'
}

# exit_found VERSION: prints the rules with our numbers that there are.
exit_found() {
	ip "-$1" rule show | awk -v table="$exit_table" '$1 ~ /^[0-9]+:$/ { number = $1 + 0; if (number >= table && number <= table + 4) print }' |
		tr '\t' ' ' | sed 's/ *$//'
}

# exit_refresh: the rules are as they should be, with the ports that the tunnels of ours have now.
exit_refresh() {
	for exit_version in 4 6; do
		# The last of the rules turn it on, so they come last and go first.
		{
			exit_found "$exit_version" | sed 's/^/has /'
			exit_rules "$exit_version" | sed 's/^/wants /'
		} | awk '
			{ kind = $1; sub(/^[a-z]* /, ""); seen[kind, $0] = 1; line[NR] = $0; of[NR] = kind }
			function order(verb, text) { sub(/:/, "", text); print "rule " verb " pref " text }
			END {
				for (i = NR; i > 0; i--) if (of[i] == "has" && !(("wants", line[i]) in seen)) order("del", line[i])
				for (i = 1; i <= NR; i++) if (of[i] == "wants" && !(("has", line[i]) in seen)) order("add", line[i])
			}' | ip "-$exit_version" -batch - ||
			fail "exit node: the routing rules $exit_table to $((exit_table + 4)) cannot be set; look at 'ip -$exit_version rule' on this host"
	done
}

# exit_ports: where a tunnel of ours is the default route, another tunnel that comes or goes does not go through it.
exit_ports() { [ -z "$(of_interfaces exit)" ] || exit_refresh; }

# exit_apply DIRECTORY: this host reaches everything else over the exit node in DIRECTORY, or by its own routes again.
exit_apply() {
	exit_new=$(exit_plan "$1")
	if [ -z "$exit_new" ]; then
		[ -e "$home/exit" ] || return 0
		rm -f "$home/exit" "$networkd_rules"
		exit_refresh
		for exit_version in 4 6; do ip "-$exit_version" route flush table "$exit_table" 2>/dev/null || :; done
		return 0
	fi
	printf '%s\n' "$exit_new" >"$home/exit.new"
	mv "$home/exit.new" "$home/exit"
	while read -r exit_version _; do
		ip "-$exit_version" route replace default dev "$interface" table "$exit_table"
	done <"$home/exit"
	exit_refresh
	networkd_spare_rules
}

# exit_start: the tunnel has just come up from its configuration, which wg-quick would read otherwise than we do, and so has
# no prefix of everything: it would make rules by which even SSH is answered through the tunnel.
exit_start() {
	exit_directory=run
	# In the middle of a rollout, or of a rollback, the configuration tells which.
	if [ -e "$home/next/configuration" ] && [ "$(digest_of "$configuration")" = "$(cat "$home/next/configuration")" ]; then
		exit_directory=next
	fi
	wg_set "$(awk '$6 ~ /\/0(,|$)/ { print "peer " $2 " allowed-ips " $6 }' "$home/$exit_directory/peers")"
	exit_apply "$exit_directory"
}

# exit_is_on DIRECTORY: 0 when all is as exit_apply leaves it.
exit_is_on() {
	holds "$home/exit" "$(exit_plan "$1")" || return 1
	[ -e "$home/exit" ] || return 0
	while read -r exit_version _; do
		[ -n "$(ip "-$exit_version" route show default table "$exit_table" dev "$interface" 2>/dev/null)" ] || return 1
		[ "$(exit_found "$exit_version")" = "$(exit_rules "$exit_version")" ] || return 1
	done <"$home/exit"
}

# check_exit: nobody else has our rules, and no other interface of ours is the default route.
check_exit() {
	[ -n "$(exit_plan incoming)" ] || return 0
	for exit_other in $(of_interfaces exit); do
		[ "$exit_other" != "$home/exit" ] || return 0
		exit_other=${exit_other%/exit}
		fail "exit node: this host uses one on interface ${exit_other##*/} already; turn it off there first, by an up of its own"
	done
	for exit_version in 4 6; do
		exit_clash=$(exit_found "$exit_version" | head -n 1)
		[ -z "$exit_clash" ] || fail "exit node: a routing rule has a number that mesh uses: '$exit_clash'; give it another priority"
	done
}
