# --------------------------------------------------------------------------------------------------------- masquerade
# What comes out of the tunnel and leaves for a network that knows no way back has this host's own address as source.
# All of it is in tables of our own, ip and ip6 mesh_nat; rules carry the mark "mesh INTERFACE".
# $home/masquerade has this interface's rules.

masquerade_table=mesh_nat

# masquerade_rules DIRECTORY: prints a line "ip RULE" or "ip6 RULE" for each network that needs one.
# By source and not by where packets came in, since a rule that comes after the routing cannot ask for that everywhere.
masquerade_rules() {
	[ -r "$home/$1/settings" ] || return 0
	awk -v tunnel="$interface" -v peers="$home/$1/peers" '
		function family(prefix) { return prefix ~ /:/ ? "ip6" : "ip" }
		function join(list, word) { return list == "" ? word : list ", " word }
		function rule(kind, what) {
			if (sources[kind] != "")
				print kind " oifname != \"" tunnel "\" " kind " saddr { " sources[kind] " } " what "masquerade comment \"mesh " tunnel "\""
		}
		BEGIN {
			while ((getline line < peers) > 0) {
				split(line, field, " ")
				count = split(field[6], prefix, ",")
				for (i = 1; i <= count; i++)
					if (prefix[i] !~ /\/0$/) sources[family(prefix[i])] = join(sources[family(prefix[i])], prefix[i])
			}
		}
		$1 == "behind" {
			behind[family($2)] = join(behind[family($2)], $2)
			if ($3 == "masquerade") rule(family($2), family($2) " daddr " $2 " ")
		}
		$1 == "exit" { everywhere = ($2 == "masquerade") }
		END {
			if (!everywhere) exit
			for (kind in sources) rule(kind, behind[kind] == "" ? "" : kind " daddr != { " behind[kind] " } ")
		}' "$home/$1/settings" | sort
}

# masquerade_apply DIRECTORY: the tables hold the rules of DIRECTORY beside those of other interfaces of ours.
masquerade_apply() {
	masquerade_rules "$1" >"$home/masquerade.new"
	if [ ! -s "$home/masquerade.new" ] && [ ! -e "$home/masquerade" ]; then
		rm -f "$home/masquerade.new"
		return 0
	fi
	has_command nft ||
		fail "masquerade: nft is missing; install nftables"
	mv "$home/masquerade.new" "$home/masquerade"
	[ -s "$home/masquerade" ] || rm -f "$home/masquerade"
	for masquerade_family in ip ip6; do
		masquerade_name="$masquerade_family $masquerade_table"
		# Made first, so that deleting it never fails.
		printf 'table %s\ndelete table %s\n' "$masquerade_name" "$masquerade_name"
		grep -qs "^$masquerade_family " $(of_interfaces masquerade) </dev/null || continue
		printf 'table %s {\nchain postrouting {\ntype nat hook postrouting priority 100;\n' "$masquerade_name"
		cat $(of_interfaces masquerade) </dev/null | sed -n "s/^$masquerade_family //p"
		printf '}\n}\n'
	done | nft -f - >&2 || fail "masquerade: nft cannot write table $masquerade_table; see 'nft list ruleset' on this host"
}

# masquerade_is_there DIRECTORY: 0 when the tables have as many rules of this interface as they should.
masquerade_is_there() {
	masquerade_count=$(masquerade_rules "$1" | awk 'END { print NR }')
	[ "$masquerade_count" != 0 ] || return 0
	has_command nft || return 1
	[ "$(for masquerade_family in ip ip6; do nft list table "$masquerade_family" "$masquerade_table" 2>/dev/null || :; done |
		grep -Fc "masquerade comment \"mesh $interface\"")" = "$masquerade_count" ]
}
