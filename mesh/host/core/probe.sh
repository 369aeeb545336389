# -------------------------------------------------------------------------------------------------------------- probe
# How far the packets of a silent pair come on this host, and what drops them. To see that, a table of counters is added to nftables,
# which drops nothing. It is gone when the order ends, also when that is cut off.

# probe_table: prints the name of that table. Names in nft have no dots and dashes, and no two interfaces have the same table.
probe_table() { printf '%s\n' "$interface" | sed 's/_/&u/g; s/[.]/_d/g; s/-/_m/g; s/+/_p/g; s/=/_e/g; s/^/mesh_doctor_/'; }

# probe_clear: the table is gone, also that of a run that was cut off.
probe_clear() {
	has_command nft || return 0
	nft delete table inet "$(probe_table)" 2>/dev/null || :
}

# probe_rules PEER...: prints the table. What is counted, of each peer: `out` and `sent`, messages of WireGuard before and after this
# host's own firewall; `in` and `got`, the same of those that come, `moved` from another port than is known. `ask`, `ask-sent`,
# `ask-in`, `ask-got`, `reply`, `reply-sent`, `reply-in` and `reply-got` are pings in the tunnel. The peer `-` is nobody that is known.
probe_rules() {
	wg show "$interface" endpoints | awk -v wanted=" $* " -v device="$interface" -v table="$(probe_table)" \
		-v port="$(wg show "$interface" listen-port)" '
		function add(chain, match_of, word, name, traced) {
			if (traced) rules[chain] = rules[chain] match_of " limit rate 5/second meta nftrace set 1\n"
			rules[chain] = rules[chain] match_of " counter comment \"" word " " name "\"\n"
		}
		function echoes(chain, match_of, ask, reply, name, traced) {
			add(chain, match_of " icmpv6 type echo-request", ask, name, traced)
			add(chain, match_of " icmpv6 type echo-reply", reply, name, traced)
		}
		FILENAME == "-" { endpoint[$1] = $2; next }
		{
			is_wanted = index(wanted, " " $1 " ")
			where = endpoint[$2]
			known = where ~ /^(\[[0-9a-f:.]+\]|[0-9.]+):[0-9]+$/
			if (known) {
				far = where
				sub(/.*:/, "", far)
				address = substr(where, 1, length(where) - length(far) - 1)
				gsub(/[][]/, "", address)
				family = address ~ /:/ ? "ip6" : "ip"
				from = family " saddr " address " udp dport " port
				to = family " daddr " address " udp dport " far
			}
			if (is_wanted && known) {
				add("before_out", to, "out", $1, 1)
				add("after_out", to, "sent", $1)
				add("before_in", from, "in", $1, 1)
				add("before_in", from " udp sport != " far, "moved", $1)
				add("after_in", from, "got", $1)
			}
			if (known) others = others from (is_wanted ? "" : " udp sport " far) " accept\n"
			if (is_wanted) {
				echoes("before_out", "oifname \"" device "\" ip6 daddr " $3, "ask", "reply", $1, 1)
				echoes("after_out", "oifname \"" device "\" ip6 daddr " $3, "ask-sent", "reply-sent", $1)
				echoes("before_in", "iifname \"" device "\" ip6 saddr " $3, "ask-in", "reply-in", $1, 1)
				echoes("after_in", "iifname \"" device "\" ip6 saddr " $3, "ask-got", "reply-got", $1)
			}
		}
		END {
			rules["before_in"] = rules["before_in"] others
			add("before_in", "udp dport " port, "in", "-", 1)
			rules["after_in"] = rules["after_in"] others
			add("after_in", "udp dport " port, "got", "-")
			print "table inet " table " {"
			# Before all that filters, but behind what joins fragments, and behind all that filters.
			hook["before_out"] = "output priority -350"; hook["after_out"] = "postrouting priority 400"
			hook["before_in"] = "prerouting priority -350"; hook["after_in"] = "input priority 400"
			for (chain in hook) print "chain " chain " {\ntype filter hook " hook[chain] ";\n" rules[chain] "}"
			print "}"
		}' - "$home/$(planned)/peers" $(relayed "$(planned)")
}

# probe_drops: reads what `nft monitor trace` prints; replies `drops KIND FROM TO FAMILY TABLE CHAIN RULE` once for each rule that drops.
probe_drops() {
	awk '
		function after(word,   i) { for (i = 7; i < NF; i++) if ($i == word && $(i - 1) ~ /^ip6?$/) return $(i + 1); return "-" }
		$1 != "trace" || NF < 7 { next }
		$7 == "packet:" && !($3 in from) {
			from[$3] = after("saddr"); to[$3] = after("daddr")
			kind[$3] = / echo-request / ? "echo-request" : / echo-reply / ? "echo-reply" : / udp / ? "udp" : "other"
		}
		{
			text = ""
			if ($7 == "policy" && $8 == "drop") text = "policy drop"
			if ($7 == "rule" && /\(verdict drop\) *$/) { text = $0; sub(/^.* rule /, "", text); sub(/ *\(verdict drop\) *$/, "", text) }
			if (text == "" || seen[from[$3], to[$3], kind[$3], $4, $5, $6, text]++ || count++ > 50) next
			gsub(/[^ -~]/, "_", text)
			print "drops", kind[$3], from[$3], to[$3], $4, $5, $6, substr(text, 1, 200)
			fflush()
		}'
}

# iptables_counts: prints how often each rule of iptables has dropped, in whichever tables are in use: FAMILY TABLE CHAIN COUNT RULE.
# Tables of iptables-legacy are apart from those of nftables, so that their family is `ip-legacy` or `ip6-legacy`.
iptables_counts() {
	for counts_tool in $(iptables_tools); do
		has_command "$counts_tool-save" || continue
		case $counts_tool in *-legacy) counts_apart=-legacy ;; *) counts_apart= ;; esac
		"$counts_tool-save" -c 2>/dev/null | awk -v family="${counts_tool%%tables*}$counts_apart" '
			/^\*/ { table = substr($1, 2) }
			/^:/ && $2 == "DROP" { split(substr($3, 2), number, ":"); print family, table, substr($1, 2), number[1], "policy drop" }
			/^\[.* -j (DROP|REJECT)/ { split(substr($1, 2), number, ":"); sub(/^[^ ]* /, ""); print family, table, $2, number[1], substr($0, 1, 200) }'
	done
}

# reverse_path: prints how many packets were dropped since their answer would take another way.
reverse_path() {
	awk '$1 != "TcpExt:" { next }
		!width { width = split($0, name, " "); next }
		{ for (i = 2; i <= NF; i++) if (name[i] == "IPReversePathFilter") print $i }' /proc/net/netstat 2>/dev/null || :
}

# probe_ways PEER...: replies `route NAME DEVICE SOURCE`, how messages of WireGuard get to a peer, and `inner NAME DEVICE`, how packets
# for its address do.
probe_ways() {
	as_wireguard=
	[ ! -e "$home/exit" ] || as_wireguard="ipproto udp sport $(setting "$(planned)" port)"
	# shellcheck disable=SC2016 # awk's variables
	way='/^(unreachable|prohibit|blackhole) / { next }
		{ for (i = 1; i < NF; i++) { if ($i == "dev") device = $(i + 1); if ($i == "src") source = $(i + 1) } }
		END { print device == "" ? "none" : device, source == "" ? "-" : source }'
	wg show "$interface" endpoints | awk -v wanted=" $* " '
		FILENAME == "-" { endpoint[$1] = $2; next }
		index(wanted, " " $1 " ") { where = endpoint[$2]; sub(/:[0-9]+$/, "", where); gsub(/[][]/, "", where); print $1, $3, where ~ /^[0-9a-f.:]+$/ ? where : "-" }
		' - "$home/$(planned)/peers" $(relayed "$(planned)") | while read -r name address where; do
		# shellcheck disable=SC2086 # words, or none
		[ "$where" = - ] || echo "route $name $(ip -o route get "$where" $as_wireguard 2>/dev/null | awk "$way")"
		echo "inner $name $(ip -6 -o route get "$address" 2>/dev/null | awk "$way" | cut -d ' ' -f 1)"
	done
}

# probe PEER...: pings these peers for some seconds, and replies how far messages and pings come here, in both directions, and what
# drops them.
order_probe() {
	probe_ways "$@"
	is_up || return 0
	trap probe_clear EXIT
	trap 'exit 1' HUP INT PIPE TERM
	probe_clear
	iptables_before=$(iptables_counts)
	path_before=$(reverse_path)
	before=$(wg show "$interface" transfer)
	backstop=
	if has_command nft && probe_rules "$@" | nft -f - 2>/dev/null; then
		# Whatever becomes of this process.
		setsid sh -c "sleep 30; nft delete table inet $(probe_table)" >/dev/null 2>&1 </dev/null 3>&- 4>&- 9>&- &
		backstop=$!
		timeout 13 nft monitor trace 2>/dev/null | probe_drops &
	else
		echo "uncounted"
	fi
	# So that the other ends are there too.
	sleep 2
	for address in $(awk -v wanted=" $* " 'index(wanted, " " $1 " ") { print $3 }' "$home/$(planned)/peers" $(relayed "$(planned)")); do
		ping -6 -q -c 8 -i 1 -W 1 "$address" >/dev/null 2>&1 &
	done
	sleep 10
	[ -z "$backstop" ] || nft list table inet "$(probe_table)" 2>/dev/null | awk '
		match($0, /packets [0-9]+/) { number = substr($0, RSTART + 8, RLENGTH - 8) }
		match($0, /comment "[^"]*"/) { print "count", substr($0, RSTART + 9, RLENGTH - 10), number }'
	{
		printf '%s\n' "$before" | sed 's/^/before /'
		wg show "$interface" transfer | sed 's/^/now /'
		wg show "$interface" latest-handshakes | sed 's/^/met /'
	} | awk -v peers="$home/$(planned)/peers" -v wanted=" $* " -v now="$(date +%s)" '
		$1 == "before" { came[$2] = $3; went[$2] = $4 }
		$1 == "now" { came[$2] = $3 - came[$2]; went[$2] = $4 - went[$2] }
		$1 == "met" { met[$2] = $3 }
		END { while ((getline line < peers) > 0) { split(line, f, " "); if (index(wanted, " " f[1] " ") && f[2] in met) print "session", f[1], met[f[2]] ? now - met[f[2]] : "never", came[f[2]], went[f[2]] } }'
	{
		printf '%s\n' "$iptables_before" | sed 's/^/before /'
		iptables_counts | sed 's/^/now /'
	} | awk '{ when = $1; number = $5; rule = $0; sub(/^[^ ]+ [^ ]+ [^ ]+ [^ ]+ [^ ]+ /, "", rule); place = $2 " " $3 " " $4 }
		when == "before" { had[place, rule] = number; next }
		number > had[place, rule] { print "drops other - -", place, rule }' | head -n 20
	echo "reverse-path $(($(reverse_path) + 0 - ${path_before:-0}))"
	# Whoever cut it off would have had the same from `backstop`.
	[ -z "$backstop" ] || kill -- "-$backstop" 2>/dev/null || :
	wait
}
