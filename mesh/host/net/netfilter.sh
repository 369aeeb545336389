# ---------------------------------------------------------------------------------------------------------- netfilter
# Rules in nftables and iptables themselves, for hosts that neither ufw nor firewalld manages. Ours carry a comment.

# iptables_tools: prints the iptables commands whose tables are in use here, one per line.
iptables_tools() {
	for iptables_family in iptables ip6tables; do
		if has_command "$iptables_family-nft" || has_command "$iptables_family-legacy"; then
			set -- "$iptables_family-nft" "$iptables_family-legacy"
		else
			set -- "$iptables_family"
		fi
		for iptables_tool in "$@"; do
			has_command "$iptables_tool" || continue
			case "$iptables_tool" in
			*-legacy) legacy_is_used "${iptables_family%tables}" || continue ;;
			esac
			# A table that nft made may be unreadable to iptables; then it is nft's.
			if "$iptables_tool" -w 10 -S INPUT >/dev/null 2>&1; then
				printf '%s\n' "$iptables_tool"
			fi
		done
	done
}

# legacy_is_used ip|ip6: 0 when the tables of the legacy iptables are in use. Merely asking it would load them.
legacy_is_used() {
	[ -r "/proc/net/$1_tables_names" ] || return 1
	while read -r legacy_table; do
		[ "$legacy_table" != filter ] || return 0
	done <"/proc/net/$1_tables_names"
	return 1
}

# iptables_scan TOOL: prints `drops` when the chain INPUT ends in a drop or reject, and `udp PORT` or `echo` for each rule of ours.
iptables_scan() {
	"$1" -w 10 -S | awk -v mark="--comment \"mesh $interface\"" '
        $1 == "-P" { if ($2 == "INPUT" && $3 == "DROP") policy = 1; next }
        $1 != "-A" { next }
        $2 == "INPUT" && index($0, mark) {
            if (match($0, /--dport [0-9]+ /)) print "udp " substr($0, RSTART + 8, RLENGTH - 9); else print "echo"
        }
        {
            sub(/ -m comment --comment ("[^"]*"|[^ ]+)/, "")
            last[$2] = ($3 == "-j" || $3 == "-g") ? $4 : ""
        }
        END {
            chain = "INPUT"
            for (depth = 0; depth < 9 && (chain in last) && last[chain] != ""; depth++) chain = last[chain]
            if (policy || chain == "DROP" || chain == "REJECT") print "drops"
        }'
}

# iptables_rule TOOL ACTION PORT|echo: does the action (-I, -D) to our rule for the port or for echo requests.
iptables_rule() {
	if [ "$3" = echo ]; then
		"$1" -w 10 "$2" INPUT -i "$interface" -p ipv6-icmp --icmpv6-type echo-request -m comment --comment "mesh $interface" -j ACCEPT
	else
		"$1" -w 10 "$2" INPUT -p udp --dport "$3" -m comment --comment "mesh $interface" -j ACCEPT
	fi >&2 || fail "firewall: $1 cannot change the rule for $3; see '$1 -S INPUT' on this host"
}

# iptables_wants TOOL PORT: prints what the tool lacks: the port, echo, both or nothing.
iptables_wants() {
	iptables_found=$(iptables_scan "$1")
	has_line "$iptables_found" drops || return 0
	has_line "$iptables_found" "udp $2" || printf '%s\n' "$2"
	case "$1" in ip6*) has_line "$iptables_found" echo || echo echo ;; esac
}

# nft_scan input|forward: prints `chain FAMILY TABLE CHAIN` for each chain of the hook that ends in a drop or reject and is no concern
# of others, and `udp FAMILY TABLE CHAIN HANDLE PORT` or `echo FAMILY TABLE CHAIN HANDLE` for each rule of ours.
nft_scan() {
	has_command nft || return 0
	nft_rules=$(nft -a -t list ruleset 2>/dev/null) || :
	[ -n "$nft_rules" ] || return 0
	case $1 in input) nft_chain=INPUT ;; forward) nft_chain=FORWARD ;; esac
	printf '%s\n' "$nft_rules" | awk -v mark="comment \"mesh $interface\"" -v others=" $(nft_others "$nft_chain") " -v hook="$1" '
        $1 == "table" { table = $2 " " $3; chain = ""; next }
        $1 == "}" { chain = ""; next }
        $1 == "chain" && $NF ~ /^[0-9]+$/ { chain = table " " $2; next }
        $1 == "type" && $3 == "hook" {
            if ($2 == "filter" && $4 == hook) { base[chain] = 1; if (/policy drop;/) drops[chain] = 1 }
            next
        }
        !/ # handle [0-9]+$/ || chain == "" { next }
        {
            handle = $NF
            sub(/ # handle [0-9]+$/, "")
            if (index($0, mark)) {
                if (match($0, /udp dport [0-9]+ /)) print "udp " chain " " handle " " substr($0, RSTART + 10, RLENGTH - 11)
                else print "echo " chain " " handle
            }
            # What is left of a rule without its remarks, counters and logging: an unconditional last word, or something else.
            gsub(/"[^"]*"/, "")
            gsub(/(^|[ \t])(comment|log|prefix|counter|(packets|bytes|level|group|snaplen|queue-threshold) [a-z0-9]+|flags [a-z, ]+)/, "")
            last[chain] = ($1 == "drop" || $1 == "reject") ? "drop" : ($1 == "jump" || $1 == "goto") ? $2 : ""
        }
        END {
            for (chain in base) {
                split(chain, part, " ")
                if (part[2] == "firewalld" || index(others, " " part[1] "/" part[2] "/" part[3] " ")) continue
                word = chain
                for (depth = 0; depth < 9 && (word in last) && last[word] != "" && last[word] != "drop"; depth++)
                    word = part[1] " " part[2] " " last[word]
                if ((chain in drops) || ((word in last) && last[word] == "drop")) print "chain " chain
            }
        }'
}

# nft_commands PORT: prints the nft commands that open the port where it is not open.
nft_commands() {
	nft_found=$(nft_scan input)
	[ -n "$nft_found" ] || return 0
	printf '%s\n' "$nft_found" | awk -v port="$1" -v interface="$interface" '
        $1 == "chain" { chains[$2 " " $3 " " $4] = $2 }
        $1 == "udp" && $6 == port { udp[$2 " " $3 " " $4] = 1 }
        $1 == "echo" { echo[$2 " " $3 " " $4] = 1 }
        END {
            for (chain in chains) {
                mark = " accept comment \"mesh " interface "\""
                if (!(chain in udp)) print "insert rule " chain " udp dport " port mark
                if (!(chain in echo) && chains[chain] != "ip")
                    print "insert rule " chain " iifname \"" interface "\" icmpv6 type echo-request" mark
            }
        }'
}

# nft_others CHAIN: prints, on one line, as which FAMILY/TABLE/CHAIN nft has to leave it to ufw, firewalld and iptables.
nft_others() {
	if ufw_is_active || firewalld_is_active; then
		printf '%s ' "ip/filter/$1" "ip6/filter/$1"
		return 0
	fi
	for nft_other in $(iptables_tools); do
		case "$nft_other" in
		iptables*) printf '%s ' "ip/filter/$1" ;;
		*) printf '%s ' "ip6/filter/$1" ;;
		esac
	done
}

# nft_close PORT|echo: our rules for the port, or for echo requests, are gone.
nft_close() {
	nft_gone=$(nft_scan input | awk -v what="$1" '
        ($1 == "udp" && $6 == what) || ($1 == "echo" && what == "echo") { print "delete rule " $2 " " $3 " " $4 " handle " $5 }')
	[ -n "$nft_gone" ] || return 0
	printf '%s\n' "$nft_gone" | nft -f - >&2 ||
		fail "firewall: nft cannot delete the rule of mesh for $1; delete the rules marked 'mesh $interface' by hand"
}

# netfilter_tools: prints the iptables commands that we handle ourselves, one per line: none where ufw or firewalld does.
netfilter_tools() {
	ufw_is_active || firewalld_is_active || iptables_tools
}

# active_firewalls: prints what filters input here, space separated: nftables, ufw, firewalld, iptables; or none.
active_firewalls() {
	set --
	case "
$(nft_scan input)" in *"
chain "*) set -- "$@" nftables ;; esac
	if ufw_is_active; then set -- "$@" ufw; fi
	if firewalld_is_active; then set -- "$@" firewalld; fi
	for active_tool in $(netfilter_tools); do
		if has_line "$(iptables_scan "$active_tool")" drops; then
			set -- "$@" iptables
			break
		fi
	done
	echo "${*:-none}"
}

# firewall_open PORT: the UDP port and echo requests through the tunnel are let in by all that filters here, now and from every boot on.
firewall_open() {
	# First the record, so that whatever comes between, closing finds what to close.
	firewall_note "$1"
	if ufw_is_active; then ufw_open "$1"; fi
	if firewalld_is_active; then firewalld_open "$1"; fi
	for open_tool in $(netfilter_tools); do
		for open_what in $(iptables_wants "$open_tool" "$1"); do
			iptables_rule "$open_tool" -I "$open_what"
		done
	done
	open_commands=$(nft_commands "$1")
	[ -n "$open_commands" ] || return 0
	printf '%s\n' "$open_commands" | nft -f - >&2 ||
		fail "firewall: nft cannot open $1/udp; see 'nft list ruleset' on this host"
}

# firewall_close PORT: what firewall_open added for the port is gone; echo requests go with the interface's last port.
firewall_close() {
	close_rest=$(firewall_ports | grep -vxF "$1" || :)
	close_what=$1
	if [ -z "$close_rest" ]; then close_what="$1 echo"; fi
	ufw_close "$1"
	firewalld_close "$1"
	for close_tool in $(iptables_tools); do
		close_found=$(iptables_scan "$close_tool")
		for close_one in $close_what; do
			printf '%s\n' "$close_found" | grep -qxF -e "$close_one" -e "udp $close_one" || continue
			iptables_rule "$close_tool" -D "$close_one"
		done
	done
	for close_one in $close_what; do
		nft_close "$close_one"
	done
	firewall_record "$close_rest"
}

# firewall_close_all: nothing of this interface is left in any firewall.
firewall_close_all() {
	for all_port in $(firewall_ports); do
		firewall_close "$all_port"
	done
}

# firewall_apply: every recorded port is open; quick and without a trace where it is so already.
firewall_apply() {
	for apply_port in $(firewall_ports); do
		firewall_open "$apply_port"
	done
}

# firewall_is_open PORT: 0 when nothing that filters here lacks a rule for the port or for echo requests.
firewall_is_open() {
	if ufw_is_active; then [ "$(ufw_word "$1")" = allow ] || return 1; fi
	if firewalld_is_active; then firewalld_is_open "$1" || return 1; fi
	for is_open_tool in $(netfilter_tools); do
		[ -z "$(iptables_wants "$is_open_tool" "$1")" ] || return 1
	done
	[ -z "$(nft_commands "$1")" ]
}
