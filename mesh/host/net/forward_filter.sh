# ------------------------------------------------------------------------------------------------------------- passes
# What may pass through this host, in whatever firewall drops what is forwarded. Each rule of ours carries the mark
# "mesh INTERFACE MARK"; the lines are those of forwarding.sh. firewalld is asked, and not told anything.

# pass_interface: prints the tunnel of the line that was read: what is neither any nor all but it.
pass_interface() { case "$in" in - | !) echo "$out" ;; *) echo "$in" ;; esac }

# pass_match FAMILY: prints how nft says what of that family passes by the line that was read.
pass_match() {
	pass_words=
	if [ "$1" = inet ] && [ "$from$to" = -- ]; then
		case "$versions" in 4 | 6) pass_words="meta nfproto ipv$versions" ;; esac
	fi
	pass_tunnel=$(pass_interface)
	case "$in" in -) ;; !) pass_words="$pass_words iifname != \"$pass_tunnel\"" ;; *) pass_words="$pass_words iifname \"$in\"" ;; esac
	case "$out" in -) ;; !) pass_words="$pass_words oifname != \"$pass_tunnel\"" ;; *) pass_words="$pass_words oifname \"$out\"" ;; esac
	case "$from$to" in *:*) pass_protocol=ip6 ;; *) pass_protocol=ip ;; esac
	[ "$from" = - ] || pass_words="$pass_words $pass_protocol saddr $from"
	[ "$to" = - ] || pass_words="$pass_words $pass_protocol daddr $to"
	[ "$state" = new ] || pass_words="$pass_words ct state established,related"
	echo "${pass_words# }"
}

# pass_rule TOOL ACTION: does the action (-I, -D, -C) to the rule of iptables for the line that was read.
pass_rule() {
	pass_tool=$1
	pass_tunnel=$(pass_interface)
	set -- -w 10 "$2" FORWARD
	case "$in" in -) ;; !) set -- "$@" ! -i "$pass_tunnel" ;; *) set -- "$@" -i "$in" ;; esac
	case "$out" in -) ;; !) set -- "$@" ! -o "$pass_tunnel" ;; *) set -- "$@" -o "$out" ;; esac
	[ "$from" = - ] || set -- "$@" -s "$from"
	[ "$to" = - ] || set -- "$@" -d "$to"
	[ "$state" = new ] || set -- "$@" -m conntrack --ctstate RELATED,ESTABLISHED
	"$pass_tool" "$@" -m comment --comment "mesh $interface $mark" -j ACCEPT
}

# pass_ufw [delete]: makes the rule of ufw for the line that was read, or deletes it.
pass_ufw() {
	set -- ufw route "$@" allow
	case "$in" in - | !) ;; *) set -- "$@" in on "$in" ;; esac
	case "$out" in - | !) ;; *) set -- "$@" out on "$out" ;; esac
	[ "$from" = - ] || set -- "$@" from "$from"
	[ "$to" = - ] || set -- "$@" to "$to"
	[ "$3" = delete ] || set -- "$@" comment "mesh $interface $mark"
	"$@" </dev/null >&2 9>&-
}

# passes_lack: prints, one per line, each firewall that drops what is forwarded, and a line that it has no rule of ours for.
passes_lack() {
	[ -e "$home/passes" ] || return 0
	if ufw_is_active; then
		lack_found=$(ufw_rules)
		while read -r versions in out from to state mark; do
			# What is an answer passes by ufw's own rules.
			[ "$state" = new ] || continue
			printf '%s\n' "$lack_found" | grep -Fq "comment 'mesh $interface $mark'" ||
				echo "ufw - - - $versions $in $out $from $to $state $mark"
		done <"$home/passes"
	fi
	for lack_tool in $(netfilter_tools); do
		"$lack_tool" -w 10 -S FORWARD | grep -Eq '^-P FORWARD DROP|^-A ' || continue
		case "$lack_tool" in ip6*) lack_version=6 ;; *) lack_version=4 ;; esac
		while read -r versions in out from to state mark; do
			case "$versions" in *"$lack_version"*) ;; *) continue ;; esac
			pass_rule "$lack_tool" -C 2>/dev/null || echo "$lack_tool - - - $versions $in $out $from $to $state $mark"
		done <"$home/passes"
	done
	nft_scan forward | while read -r lack_kind lack_family lack_table lack_chain _; do
		[ "$lack_kind" = chain ] && [ "$lack_table" != "$forwarding_fence" ] || continue
		lack_found=$(nft list chain "$lack_family" "$lack_table" "$lack_chain")
		while read -r versions in out from to state mark; do
			case "$lack_family $versions" in "ip 6" | "ip6 4") continue ;; esac
			printf '%s\n' "$lack_found" | grep -Fq "comment \"mesh $interface $mark\"" ||
				echo "nft $lack_family $lack_table $lack_chain $versions $in $out $from $to $state $mark"
		done <"$home/passes"
	done
}

# check_passes DIRECTORY: where firewalld filters, it lets pass what the settings in DIRECTORY say.
check_passes() {
	check_wanted=$(passes "$1")
	[ -n "$check_wanted" ] || return 0
	check_stopped=$(printf '%s\n' "$check_wanted" | firewalld_stops | sort -u | tr '\n' ',' | sed 's/,$//; s/,/, /g')
	[ -z "$check_stopped" ] ||
		fail "forwarding: firewalld on this host lets nothing of $interface pass ($check_stopped); make a policy for it, as docs/tasks/routes.md shows"
}

# passes_open: no firewall here drops what may pass.
passes_open() {
	passes_lack | while read -r open_firewall open_family open_table open_chain versions in out from to state mark; do
		case "$open_firewall" in
		ufw) pass_ufw ;;
		nft)
			echo "insert rule $open_family $open_table $open_chain $(pass_match "$open_family") accept comment \"mesh $interface $mark\"" |
				nft -f - >&2
			;;
		*) pass_rule "$open_firewall" -I >&2 ;;
		esac || fail "forwarding: $open_firewall cannot let pass what goes $mark; see its rules on this host"
	done
}

# passes_close: no firewall has a rule of ours for the lines on standard input.
passes_close() {
	while read -r versions in out from to state mark; do
		if has_command ufw && ufw_rules | grep -Fq "comment 'mesh $interface $mark'"; then pass_ufw delete || :; fi
		for close_tool in $(iptables_tools); do
			case "$close_tool $versions" in "ip6"*" 4" | "iptables"*" 6") continue ;; esac
			if pass_rule "$close_tool" -C 2>/dev/null; then pass_rule "$close_tool" -D >&2; fi
		done
		has_command nft || continue
		nft -a -t list ruleset 2>/dev/null | awk -v mark="comment \"mesh $interface $mark\"" '
			$1 == "table" { table = $2 " " $3 }
			$1 == "chain" { chain = table " " $2 }
			index($0, mark) { print "delete rule " chain " handle " $NF }' | nft -f - >&2 || :
	done
}
