# ----------------------------------------------------------------------------------------------------------- takeover
# An interface that another stack made, or somebody by hand, becomes ours where two things hold: the stack file adopts this
# host's key, and the host runs or boots that key. What mesh would drop stops the run, and what was there comes back,
# byte for byte, if the rollout is rolled back. Nothing here breaks a session: the key, the peers and the address are the same.

# is_adopted: 0 when the stack file brings this host's key, instead of having it made.
is_adopted() { [ "$(setting incoming adopted)" = yes ]; }

# configured_key: the private key in the wg-quick file, on standard output only.
configured_key() {
	awk 'tolower($0) ~ /^[ \t]*privatekey[ \t]*=/ { sub(/^[^=]*=[ \t]*/, ""); sub(/[ \t\r#].*$/, ""); print; exit }' "$configuration"
}

# dropped_setting: the first setting of the wg-quick file that mesh has no place for; nothing where it has one for all.
dropped_setting() {
	awk '{
		sub(/#.*/, "")
		gsub(/[ \t\r]/, "")
		name = $0
		sub(/=.*/, "", name)
		known = tolower(name)
	}
	known == "" || known ~ /^\[(interface|peer)\]$/ { next }
	known ~ /^(privatekey|address|listenport|mtu|publickey|presharedkey|allowedips|endpoint|persistentkeepalive)$/ { next }
	tolower($0) ~ /^(table=auto|saveconfig=false|fwmark=(off|0|0x0))$/ { next }
	# What is no setting at all could be a key.
	{ print (name ~ /^[A-Za-z0-9]+$/ && length(name) < 30 ? name : "a line that is no setting"); exit }' "$configuration"
}

# check_their_interface: the running interface is the one whose key was adopted, and has nothing that mesh would drop.
check_their_interface() {
	is_adopted ||
		fail "an interface $interface exists that mesh did not make; remove it, or take it over: python -m mesh adopt"
	[ "$(wg show "$interface" public-key 2>/dev/null)" = "$(setting incoming public-key)" ] ||
		fail "interface $interface runs another key than the adopted one; run python -m mesh adopt again"
	mark=$(wg show "$interface" fwmark)
	[ "$mark" = off ] || fail "interface $interface has the firewall mark $mark, which mesh would not keep; take it away first"
	wanted=$(wanted_addresses incoming)
	given=$(printf '%s' "$wanted" | tr '\n' ' ')
	for other in $(list_addresses); do
		field=address kept=$other
		# Of an IPv4 address the length was for the route only, and each peer gets its own.
		case $other in *.*) field=ipv4 kept=${other%/*}/32 ;; esac
		echo "$wanted" | grep -qxF "$kept" ||
			fail "interface $interface has the address $other, and mesh would give it $given only; give that as members.$(setting incoming host).$field, or remove it"
	done
	dropped=$(wg show "$interface" allowed-ips | awk -v staged="$home/incoming/peers" '
		BEGIN {
			while ((getline line < staged) > 0) {
				split(line, field, " ")
				host[field[2]] = field[1]
				known[field[2]] = field[6]
				count = split(field[6], prefix, ",")
				for (i = 1; i <= count; i++) sent[field[2], prefix[i]] = 1
			}
		}
		!($1 in known) { print "has the peer " $1 ", which no host of the mesh is; describe that host, or remove the peer"; exit }
		{
			for (i = 2; i <= NF; i++) if (!(($1, $i) in sent) && $i != "(none)") {
				print "sends " $i " to " host[$1] ", and mesh would send it " known[$1] " only; change the allowed IPs first"
				exit
			}
		}')
	[ -z "$dropped" ] || fail "interface $interface $dropped"
}

# check_their_configuration: the wg-quick file holds the adopted key, and nothing that mesh would drop.
check_their_configuration() {
	is_adopted && [ "$(configured_key | wg pubkey 2>/dev/null)" = "$(setting incoming public-key)" ] ||
		fail "$configuration exists and mesh did not write it; move it away, choose another name, or take it over: python -m mesh adopt"
	dropped=$(dropped_setting)
	[ -z "$dropped" ] || fail "$configuration has $dropped, which mesh would drop; do without it, then take it out of the file"
}

# other_maker: prints the file by which something other than wg-quick makes an interface of this name at each boot, if there is one.
other_maker() {
	{
		# What other files only mention is none of this: each has to make a device, and to be read at boot.
		# First that which writes files for others.
		! has_command netplan || made_by_netplan
		[ ! -e "$systemd_wants/systemd-networkd.service" ] || made_by_networkd
		! has_command ifup || made_by_ifupdown
		[ ! -e "$systemd_wants/NetworkManager.service" ] || made_by_networkmanager
	} 2>/dev/null | head -n 1
}

made_by_networkd() {
	maker_seen=
	for maker_folder in /etc /run /usr/local/lib /usr/lib; do
		for maker_file in $(matching "$maker_folder/systemd/network/*.netdev"); do
			# One of the same name in an earlier folder stands for it.
			if has_line "$maker_seen" "${maker_file##*/}"; then continue; fi
			maker_seen="$maker_seen
${maker_file##*/}"
			awk -F= -v own="$interface" '
				{ gsub(/[ \t]/, "") }
				$1 == "Name" && $2 == (own "") { found = FILENAME }
				END { if (found != "") print found }' "$maker_file" || :
		done
	done
}

# What ifupdown does by itself: a stanza of a method, or with a command, that makes the interface.
made_by_ifupdown() {
	for maker_file in /etc/network/interfaces $(matching '/etc/network/interfaces.d/*'); do
		case ${maker_file##*/} in *[!A-Za-z0-9_-]*) continue ;; esac
		awk -v own="$interface" '
			$1 == "auto" || $1 == "allow-hotplug" || $1 == "allow-auto" { for (i = 2; i <= NF; i++) if ($i == (own "")) begins = 1 }
			$1 == "iface" { here = $2 == (own ""); if (here && $4 ~ /^(wireguard|tunnel)$/) makes = 1 }
			here && $1 ~ /^(pre-up|up)$/ && /ip .*link add|wg-quick .*up|wireguard-go/ { makes = 1 }
			END { if (begins && makes) print FILENAME }' "$maker_file" || :
	done
}

made_by_networkmanager() {
	# Their names may have spaces.
	find /etc/NetworkManager/system-connections -name '*.nmconnection' -exec awk -v own="$interface" '
		$0 == "interface-name=" own { named = 1 }
		/^type=(wireguard|dummy|bridge|bond|vlan|veth|tun|ip-tunnel)$/ { makes = 1 }
		/^autoconnect=(false|0|no)$/ { waits = 1 }
		END { if (named && makes && !waits) print FILENAME }' {} \; || :
}

made_by_netplan() {
	for maker_file in $(matching '/etc/netplan/*.yaml'); do
		awk -v own="$interface" '
			{ match($0, /^ */); depth = RLENGTH; word = $1; gsub(/["\047:]/, "", word) }
			/^[ ]*(#|$)/ { next }
			depth <= kind_at { kind_at = -1 }
			/^ +(tunnels|bridges|bonds|vlans|vrfs|dummy-devices|virtual-ethernets):/ { kind_at = depth; id_at = -1; next }
			kind_at >= 0 && id_at < 0 { id_at = depth }
			kind_at >= 0 && depth == id_at && $1 ~ /:$/ && word == (own "") { found = 1 }
			BEGIN { kind_at = -1 }
			END { if (found) print FILENAME }' "$maker_file" || :
	done
}

# their_files: what there may be of the interface before it is ours: its file, and what starts it at boot.
their_files() {
	echo "$configuration" "$systemd_wants/wg-quick@$interface.service" \
		"/etc/init.d/wg-quick.$interface" "/etc/runlevels/default/wg-quick.$interface"
}

# remember_theirs: keeps in previous/theirs/ what is restored with the interface, if it was not ours.
remember_theirs() {
	[ ! -d "$home/run" ] || return 0
	is_up || [ -e "$configuration" ] || return 0
	mkdir "$home/previous/theirs"
	for file in $(their_files); do
		[ -e "$file" ] || [ -L "$file" ] || continue
		mkdir -p "$home/previous/theirs${file%/*}"
		cp -a "$file" "$home/previous/theirs$file"
		[ -L "$file" ] || persist "$home/previous/theirs$file"
	done
	# As lines of peers, so that `set_routes` takes away what only the rollout added.
	list_routes 2>/dev/null | awk '{ print "- - - - -", $1 }' >"$home/previous/peers"
}

# is_untouched FILE: 0 when the file is the one that was kept of theirs, in its place all the time.
is_untouched() {
	untouched_kept=$home/previous/theirs$1
	[ -f "$untouched_kept" ] && [ ! -L "$untouched_kept" ] && [ -f "$1" ] && [ ! -L "$1" ] || return 1
	untouched_digest=$(digest_of "$1")
	[ -n "$untouched_digest" ] && [ "$untouched_digest" = "$(digest_of "$untouched_kept")" ]
}

# give_back: what was kept of theirs is in its place again, as it was, and on the disk; it fails where anything of it is not. What
# is untouched needs no room for another copy.
give_back() {
	[ -d "$home/previous/theirs" ] || return 0
	for file in $(their_files); do
		kept=$home/previous/theirs$file
		[ -e "$kept" ] || [ -L "$kept" ] || continue
		! is_untouched "$file" || continue
		given=${file%/*}/.mesh.new
		mkdir -p "${file%/*}" && rm -rf "$given" && cp -a "$kept" "$given" || return 1
		[ -L "$given" ] || persist "$given"
		mv -f "$given" "$file" && persist "${file%/*}" || return 1
	done
}
