# ---------------------------------------------------------------------------------------------------------- interface
# The running WireGuard interface: read it, render its configuration, bring it to what is staged by small steps.
#
# next/settings has lines "word value": mesh, roster, digest, host, address, port, mtu, public-key; of some hosts also
# adopted, prefers, forward, forward-ipv4, behind, exit.
# next/peers has a line for each peer: name public-key address endpoint|name:port|- keepalive|off allowed-ips first|second|never
# where the last word says who of the pair speaks first, or that nobody does: the two can never meet, or the peer is not
# managed here. The allowed IPs are joined by commas.
# Preshared keys: next/preshared-key for all peers, or next/pair-keys/NAME for each.
# next/relayed has the same words for each host that is reached over another: name - address relay - - second|never.

# find_setting DIRECTORY WORD: $value is that of one setting, empty when there is none; without a process.
find_setting() {
	[ ! -r "$home/$1/settings" ] || while read -r word value; do
		[ "$word" != "$2" ] || return 0
	done <"$home/$1/settings"
	value=
}

# setting DIRECTORY WORD: prints it.
setting() {
	find_setting "$1" "$2"
	[ -z "$value" ] || printf '%s\n' "$value"
}

# wanted_addresses DIRECTORY: prints each address that the interface is to have, one per line.
wanted_addresses() {
	while read -r word value; do
		[ "$word" != address ] || printf '%s\n' "$value"
	done <"$home/$1/settings"
}

# planned: the directory of what this host is to run: next while a change is armed, else run, also where a change was staged
# and never begun.
planned() { if is_armed; then echo next; else echo run; fi; }

# is_up: 0 when the interface runs as WireGuard. (`ip link show type wireguard` would miss wireguard-go.)
is_up() { wg show "$interface" public-key >/dev/null 2>&1; }

# is_userspace: 0 when WireGuard runs in userspace, as `wg` tells it too.
is_userspace() { [ -S "/var/run/wireguard/$interface.sock" ]; }

# is_running: 0 when it can carry packets too. A link that is down has no addresses, no routes, and has lost its sessions.
is_running() { is_up && is_link_up; }

is_link_up() { { read -r flags <"/sys/class/net/$interface/flags"; } 2>/dev/null && [ $((flags & 1)) = 1 ]; }

# running_settings: what WireGuard runs except where its peers are, keys included, in an order of its own.
running_settings() { wg show "$interface" dump | awk "$without_places" | sort; }

# In awk: of such a dump, what stays when a peer moves.
# shellcheck disable=SC2016 # awk's variables
without_places='{ if (NR == 1) print; else print $1, $2, $4, $8 }'

# In awk: the file with the preshared key of a peer, in a folder such as next/.
secrets='
	function secret(name,   shared, line) {
		shared = folder "/preshared-key"
		if (!(shared in readable)) {
			readable[shared] = (getline line < shared) > 0
			close(shared)
		}
		return readable[shared] ? shared : folder "/pair-keys/" name
	}
'

# render_interface DIRECTORY: the part of `render` that is about this host alone.
render_interface() {
	printf '# Managed by mesh %s; changes made here are overwritten.\n' "$(setting "$1" mesh)"
	# printf is part of the shell, so the key is in no argument of a process.
	printf '[Interface]\nPrivateKey = %s\n' "$(first_word "$home/$1/private-key")"
	while read -r word value; do
		case $word in port) echo "ListenPort = $value" ;; address) echo "Address = $value" ;; mtu) echo "MTU = $value" ;; esac
	done <"$home/$1/settings"
}

# render DIRECTORY: the wg-quick file of what lies in DIRECTORY, on standard output.
render() {
	render_interface "$1"
	[ -z "$(exit_plan "$1")" ] || echo "PostUp = sh $base/program exit %i || true"
	# What a name leads to is set once the interface is up, since wg-quick would bring nothing up where it does not resolve.
	awk -v folder="$home/$1" "$secrets$by_name"'
		{
			getline preshared < secret($1)
			close(secret($1))
			# The default route is set up by PostUp.
			gsub(/,(0\.0\.0\.0|::)\/0/, "", $6)
			print "\n[Peer]\n# " $1 "\nPublicKey = " $2 "\nPresharedKey = " preshared "\nAllowedIPs = " $6
			if ($4 != "-" && !is_name($4)) print "Endpoint = " $4
			print "PersistentKeepalive = " $5
		}' "$home/$1/peers"
}

# make_configuration_folder: the folder of wg-quick files is there, and we know whether we made it.
make_configuration_folder() {
	[ -d /etc/wireguard ] || {
		mkdir -m 700 /etc/wireguard
		: >"$(common)/made-etc-wireguard"
	}
}

# lay_configuration DIRECTORY: the wg-quick file lies beside its place, and DIRECTORY remembers its digest.
lay_configuration() {
	make_configuration_folder
	# An empty or cut file would take the whole mesh down at the next boot, with exit status 0.
	render "$1" >"$configuration.new" && [ -z "$(tail -c 1 "$configuration.new")" ] &&
		awk -v staged="$home/$1/peers" '
			BEGIN { while ((getline line < staged) > 0) peers++ }
			NR == 1 { head += /^# Managed by mesh / }
			/^(PrivateKey|ListenPort|MTU) = ./ { head++ }
			# Every peer ends with this.
			/^PersistentKeepalive = ./ { ends++ }
			END { exit !(head == 4 && ends + 0 == peers + 0) }' "$configuration.new" ||
		fail "the configuration came out incomplete; see whether the disk is full"
	# What was confirmed has its digest already.
	digest_of "$configuration.new" >"$home/$1/digest.new" && mv "$home/$1/digest.new" "$home/$1/configuration" || [ "$1" = run ] ||
		fail "cannot write $home/$1/configuration; make room on the disk, and let root write there"
}

# write_configuration DIRECTORY: puts the wg-quick file in its place, beside and renamed.
write_configuration() {
	lay_configuration "$1"
	persist "$configuration.new"
	mv "$configuration.new" "$configuration"
}

# start_with_peers DIRECTORY: the interface comes up as in DIRECTORY. wg-quick starts it without peers and PostUp, and they and
# their routes are set in one go each: wg-quick starts two processes for every peer. What PostUp does is left to `finish_shared`.
start_with_peers() {
	make_configuration_folder
	render_interface "$1" >"$configuration.new"
	mv "$configuration.new" "$configuration"
	service_start 4>&- 9>&-
	write_configuration "$1"
	set_peers
	set_routes run "$1"
}

# In awk: staged peers and confirmed ones, and what the interface runs, by key. `former(name)` is the key by which a peer of that
# name runs now, if it is not the staged one; `address[name]` is where a peer that this host can meet is inside the mesh now.
# shellcheck disable=SC2016 # awk's variables
running='
	function meet(field) { if (field[7] != "never" && !((field[1] "") in address)) address[field[1] ""] = field[3] }
	function load_peers(   line, field) {
		while ((getline line < confirmed) > 0) {
			split(line, field, " "); split(field[6], prefixes, ",")
			meet(field); was[field[1]] = field[4]; key_of[field[1]] = field[2]; name_of[field[2]] = field[1]; own[field[2]] = prefixes[1]
		}
		# It may be the same file, which would be read on from its end.
		close(confirmed)
		while ((getline line < staged) > 0) { lines[++count] = line; split(line, field, " "); meet(field); keep[field[2]] = 1; stays[field[1]] = 1 }
	}
	NR > 1 {
		known[$1] = 1; preshared[$1] = $2; endpoint[$1] = $3; allowed[$1] = $4; keepalive[$1] = $8
		split($4, prefixes, ",")
		for (i in prefixes) owner[prefixes[i]] = $1
	}
	function former(name, prefix,   old) {
		old = key_of[name] in known ? key_of[name] : owner[prefix]
		# A host that relays has the addresses of others too, and a host that stays may have given its own to another.
		if (old in name_of && (name_of[old] "") != name && (name_of[old] in stays || own[old] != prefix)) return ""
		return old in keep ? "" : old
	}
'

# exchange NAME: a line of arguments for `wg set` that put the planned key of one peer in the place of the key by which it runs, empty
# where there is none; and a line with its address inside the mesh as long as only keys have changed, - if this host cannot meet it.
# All else that is known of it goes over as it is, also what is newly planned: the port at which it will listen, or the address that
# it will have, is nobody's before it has moved there.
exchange() {
	place=$(planned)
	wg show "$interface" dump | awk -v name="$1" -v folder="$home/$place" -v staged="$home/$place/peers" \
		-v confirmed="$home/run/peers" "$secrets$running"'
		BEGIN { load_peers() }
		END {
			for (number = 1; number <= count; number++) {
				split(lines[number], field, " ")
				if (field[1] != (name "") || field[2] in known) continue
				split(field[6], prefixes, ",")
				old = former(name, prefixes[1])
				if (old == "") continue
				printf "peer %s preshared-key %s persistent-keepalive %s", field[2], secret(name), keepalive[old]
				if (endpoint[old] != "(none)") printf " endpoint %s", endpoint[old]
				if (allowed[old] != "(none)") printf " allowed-ips %s", allowed[old]
				printf " peer %s remove", old
			}
			print "\n" ((name "") in address ? address[name ""] : "-")
		}'
}

# delta: the arguments for `wg set` that bring the peers to what is planned; nothing where they agree. A peer that runs by an earlier
# key keeps the endpoint that was learned for that one, so that a host behind NAT stays reachable.
delta() {
	place=$(planned)
	wg show "$interface" dump | awk -v folder="$home/$place" -v staged="$home/$place/peers" \
		-v confirmed="$home/run/peers" "$secrets$by_name$running"'
		BEGIN { load(folder "/addresses"); load_peers() }
		# agree ONE OTHER: the same prefixes, which the kernel lists as they came and wireguard-go by their bits.
		function agree(one, other,   size, parts, i, seen) {
			size = split(one, parts, ",")
			for (i = 1; i <= size; i++) seen[parts[i]] = 1
			if (split(other, parts, ",") != size) return 0
			for (i = 1; i <= size; i++) if (!(parts[i] in seen)) return 0
			return 1
		}
		END {
			for (number = 1; number <= count; number++) {
				split(lines[number], field, " ")
				name = field[1]; key = field[2]
				out = ""
				target = field[4]
				# A name is resolved when the host comes up; it is a change only if it is another name.
				if (is_name(target)) target = target in leads ? leads[target] : "-"
				if (key in known) {
					if (target != "-" && target != endpoint[key] && (field[4] != was[name] || endpoint[key] == "(none)"))
						out = out " endpoint " target
					getline wanted < secret(name)
					close(secret(name))
					if (preshared[key] != wanted) out = out " preshared-key " secret(name)
					if (keepalive[key] != field[5]) out = out " persistent-keepalive " field[5]
					if (!agree(allowed[key], field[6])) out = out " allowed-ips " field[6]
				} else {
					split(field[6], prefixes, ",")
					old = former(name, prefixes[1])
					# What took the address without ever being a peer of ours tells nothing about where the peer is.
					if ((target == "-" || field[4] == was[name]) && old in name_of && endpoint[old] != "(none)") target = endpoint[old]
					if (target != "-") out = out " endpoint " target
					out = out " preshared-key " secret(name) " persistent-keepalive " field[5] " allowed-ips " field[6]
					if (old != "") out = out " peer " old " remove"
					gone[old] = 1
				}
				if (out != "") print "peer " key out
			}
			for (key in known) if (!(key in keep) && !(key in gone)) print "peer " key " remove"
		}'
}

# wg_set WORDS...: sets what the words say, in one go; nothing where there are none. An argument may hold many words.
wg_set() {
	# shellcheck disable=SC2048,SC2086 # words
	set -- $*
	[ $# = 0 ] || wg set "$interface" "$@"
}

# set_peers: applies the delta; unchanged peers are not touched at all.
set_peers() {
	# A failure ends the order here, and would be lost as an argument.
	arguments=$(delta)
	wg_set "$arguments"
}

# set_worked_out [ARGUMENT...]: sets what `ready` worked out for all peers, and the arguments, in one go.
set_worked_out() {
	worked_out=$(cat "$ready/.all")
	wg_set "$@" "$worked_out"
}

# list_addresses: every address of the interface, with its prefix length.
list_addresses() { ip -o address show dev "$interface" scope global | while read -r _ _ _ address _; do printf '%s\n' "$address"; done; }

# show_routes: every route through the interface, as `ip` prints it.
show_routes() {
	ip -6 -o route show dev "$interface"
	ip -4 -o route show dev "$interface"
}

# In awk: where such a route leads, with a length also where that is one address.
prefix_of='function prefix_of(target) { return target !~ /[.:]/ || target ~ /\// ? target : target (target ~ /:/ ? "/128" : "/32") }'

# list_routes: every prefix that goes through the interface.
list_routes() { show_routes | awk "$prefix_of"'{ print prefix_of($1) }'; }

# set_routes FROM TO: a route for every allowed prefix in TO, and none that only FROM had. The default route is none of these.
set_routes() {
	routes=$(show_routes | awk -v device="$interface" -v from="$home/$1/peers" -v to="$home/$2/peers" "$prefix_of"'
		function note(kind, file,   line, field, count, prefixes, i) {
			while ((getline line < file) > 0) {
				split(line, field, " ")
				count = split(field[6], prefixes, ",")
				for (i = 1; i <= count; i++) { seen[kind, prefixes[i]] = 1; all[prefixes[i]] = 1 }
			}
			# It may be the same file, which would be read on from its end.
			close(file)
		}
		{ seen["has", prefix_of($1)] = 1 }
		END {
			note("was", from)
			note("wants", to)
			for (prefix in all) {
				if (prefix ~ /\/0$/) continue
				if ((("wants", prefix) in seen) && !(("has", prefix) in seen)) print "route add " prefix " dev " device
				if ((("was", prefix) in seen) && (("has", prefix) in seen) && !(("wants", prefix) in seen))
					print "route del " prefix " dev " device
			}
		}')
	[ -z "$routes" ] || printf '%s\n' "$routes" | ip -batch - || fail "a route could not be set; look at 'ip -6 route' for who has it"
}

# add_addresses ADDRESS...: the interface has each of these; $link_has is what it had before.
add_addresses() {
	link_has=$(list_addresses)
	for address; do
		has_line "$link_has" "$address" || ip address add "$address" dev "$interface" || return 1
	done
}

# add_to_link DIRECTORY: MTU and addresses as in DIRECTORY, and nothing is taken away; $link_wants is what it has of addresses.
add_to_link() {
	find_setting "$1" mtu
	holds "/sys/class/net/$interface/mtu" "$value" || ip link set dev "$interface" mtu "$value"
	link_wants=$(wanted_addresses "$1")
	# shellcheck disable=SC2086 # words
	add_addresses $link_wants
}

# set_link DIRECTORY: addresses, routes and MTU as in DIRECTORY; `wg` knows none of them. What goes, goes last: with an address
# that somebody gave a whole network's prefix length, the route to that network goes too.
set_link() {
	if ! is_link_up; then
		# In userspace the sessions outlast a link that is down, and the other end may have begun new ones. Without a key there are none.
		wg set "$interface" private-key /dev/null
		wg set "$interface" private-key "$home/$1/private-key"
		ip link set dev "$interface" up
	fi
	add_to_link "$1"
	set_routes run "$1"
	gone=
	for other in $link_has; do
		has_line "$link_wants" "$other" || {
			ip address del "$other" dev "$interface"
			gone=yes
		}
	done
	# The kernel's own route of an address that went may have been one that a peer needs now.
	[ -z "$gone" ] || set_routes run "$1"
}

# knock ADDRESS...: one ping to each, not waited for longer than a second; wakes sessions up.
knock() {
	[ $# = 0 ] || printf '%s\n' "$@" | {
		at_once_most=512
		at_once ping -6 -q -c 1 -W 1
	} >/dev/null 2>&1
}
