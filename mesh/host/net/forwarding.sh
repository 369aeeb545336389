# --------------------------------------------------------------------------------------------------------- forwarding
# What this host forwards: between peers (a relay), to the networks behind it and back, and anywhere (an exit node).
# A host that forwarded nothing before forwards nothing else now: a fence drops the rest. The kernel forwards for a whole
# host, and each IP version by itself.
# $home/passes has what may pass now, as `passes` prints it; forwarding-4 and -6 of what interfaces share remember the host's own setting
# from before the first such interface, and the boot in which that was.

forwarding_fence=mesh_forward

# passes DIRECTORY: prints what may pass through this host by the settings in DIRECTORY, a line each:
# VERSIONS IN OUT FROM TO STATE MARK, where - is any, ! any interface but the tunnel, and answers is no first packet.
passes() {
	[ -r "$home/$1/settings" ] && [ ! -e "$home/$1/forwards-nothing" ] || return 0
	awk -v tunnel="$interface" '
		function version(prefix) { return prefix ~ /:/ ? 6 : 4 }
		$1 == "forward" { relays = 1 }
		$1 == "forward-ipv4" { ipv4 = 4 }
		$1 == "behind" {
			print version($2), tunnel, "-", "-", $2, "new", "to " $2
			# Behind a masquerade nobody knows where the mesh is.
			if ($3 == "masquerade") print version($2), "-", tunnel, $2, "-", "answers", "answers of " $2
			else print version($2), "-", tunnel, $2, "-", "new", "from " $2
		}
		$1 == "exit" {
			print "46", tunnel, "!", "-", "-", "new", "exit"
			print "46", "!", tunnel, "-", "-", "answers", "answers"
		}
		END { if (relays) print ipv4 "6", tunnel, tunnel, "-", "-", "new", "relay" }' "$home/$1/settings"
}

# forwarding_apply DIRECTORY: this host forwards what the settings in DIRECTORY say, and nothing else of ours.
forwarding_apply() {
	passes_new=$(passes "$1")
	[ -n "$passes_new" ] || [ -e "$home/passes" ] || return 0
	{ [ -z "$passes_new" ] || printf '%s\n' "$passes_new"; } >"$home/passes.new"
	if [ -e "$home/passes" ]; then
		awk -v wanted="$home/passes.new" 'BEGIN { while ((getline line < wanted) > 0) stays[line] = 1 } !($0 in stays)' \
			"$home/passes" | passes_close
	fi
	# First the record, so that whatever comes between, closing finds what to close.
	if [ -s "$home/passes.new" ]; then mv "$home/passes.new" "$home/passes"; else rm -f "$home/passes" "$home/passes.new"; fi
	for forwarding_version in 4 6; do
		if forwarding_needs "$home/passes"; then forwarding_start; else forwarding_stop; fi
	done
	masquerade_apply "$1"
	passes_open
}

# forwarding_needs PASSES...: 0 when any of these has to do with $forwarding_version.
forwarding_needs() { grep -qs "^[46]*$forwarding_version" "$@" </dev/null; }

# forwarding_switch: prints the kernel's file that turns forwarding on.
forwarding_switch() {
	case "$forwarding_version" in
	4) echo /proc/sys/net/ipv4/ip_forward ;;
	6) echo /proc/sys/net/ipv6/conf/all/forwarding ;;
	esac
}

forwarding_redirects=/proc/sys/net/ipv4/conf/all/accept_redirects
# Whether routers are believed, on each interface.
forwarding_routers='/proc/sys/net/ipv6/conf/*/accept_ra'

# forwarding_was: prints whether the host forwarded before the first interface of ours did, and its accept_redirects.
forwarding_was() { cut -d ' ' -f 2- "$(common)/forwarding-$forwarding_version" 2>/dev/null || :; }

# forwarding_start: packets of $forwarding_version that may pass do so, now; at boot this is done again.
forwarding_start() {
	# Not by the shell's read, which asks for one byte after another, and gets none after the first here.
	forwarding_now=$(cat "$(forwarding_switch)")
	forwarding_boot=$(cut -d ' ' -f 1 "$(common)/forwarding-$forwarding_version" 2>/dev/null || :)
	# In another boot it is not we who turned it on: the host has become a router, or was one all the time.
	if [ -z "$forwarding_boot" ] || { [ "$forwarding_now" != 0 ] && [ "$forwarding_boot" != "$this_boot" ]; }; then
		echo "$this_boot $forwarding_now $(cat "$forwarding_redirects")" >"$(common)/forwarding-$forwarding_version"
	fi
	case "$(forwarding_was)" in 0*) fence_write ;; esac
	[ "$forwarding_now" = 0 ] || return 0
	if [ "$forwarding_version" = 6 ]; then
		# A router takes no default route from router advertisements, and forgets the one that it has, unless told so.
		for forwarding_file in $(matching "$forwarding_routers"); do
			[ "$(cat "$forwarding_file")" != 1 ] || echo 2 >"$forwarding_file"
		done
	fi
	echo "$this_boot $(forwarding_was)" >"$(common)/forwarding-$forwarding_version.new"
	mv "$(common)/forwarding-$forwarding_version.new" "$(common)/forwarding-$forwarding_version"
	echo 1 >"$(forwarding_switch)"
}

# forwarding_stop: this interface forwards nothing of $forwarding_version; after the last one, the host forwards as it did
# before the first.
forwarding_stop() {
	[ -e "$(common)/forwarding-$forwarding_version" ] || return 0
	if forwarding_needs $(of_interfaces passes); then
		if fence_is_there; then fence_write; fi
		return 0
	fi
	case "$(forwarding_was)" in
	0*)
		echo 0 >"$(forwarding_switch)"
		if [ "$forwarding_version" = 6 ]; then
			for forwarding_file in $(matching "$forwarding_routers"); do
				[ "$(cat "$forwarding_file")" != 2 ] || echo 1 >"$forwarding_file"
			done
		else
			# The kernel sets this with the switch, whatever it was.
			forwarding_was | cut -d ' ' -f 2 >"$forwarding_redirects"
		fi
		;;
	esac
	if fence_is_there; then nft delete table "$(fence_family)" "$forwarding_fence"; fi
	rm -f "$(common)/forwarding-$forwarding_version"
}

# forwarding_differs DIRECTORY: replies what of forwarding_apply is not so; nothing where this host forwards nothing.
forwarding_differs() {
	passes_wanted=$(passes "$1")
	[ -n "$passes_wanted" ] || return 0
	forwarding_is_on || echo "differs forwarding"
	masquerade_is_there "$1" || echo "differs masquerade"
}

# forwarding_is_on: 0 when what is wanted may pass, and no more.
forwarding_is_on() {
	holds "$home/passes" "$passes_wanted" || return 1
	for forwarding_version in 4 6; do
		forwarding_needs "$home/passes" || continue
		[ "$(cat "$(forwarding_switch)")" != 0 ] || return 1
		case "$(forwarding_was)" in 0*) fence_is_there || return 1 ;; esac
	done
	[ -z "$(passes_lack)" ] && [ -z "$(firewalld_stops <"$home/passes")" ]
}

# fence_family: prints nft's name of $forwarding_version.
fence_family() { case "$forwarding_version" in 4) echo ip ;; 6) echo ip6 ;; esac }

# fence_is_there: 0 when our table keeps this host from forwarding anything else.
fence_is_there() { has_command nft && nft list table "$(fence_family)" "$forwarding_fence" >/dev/null 2>&1; }

# fence_write: only what may pass through the interfaces of ours is forwarded, and nothing from one mesh into another.
fence_write() {
	has_command nft ||
		fail "forwarding: nft is missing, and it must keep this host from forwarding other traffic; install nftables"
	{
		fence_table="$(fence_family) $forwarding_fence"
		printf 'table %s\ndelete table %s\ntable %s {\nchain forward {\ntype filter hook forward priority 0;\n' \
			"$fence_table" "$fence_table" "$fence_table"
		interfaces | awk '
			{ name[NR] = $0 }
			END {
				for (i = 1; i <= NR; i++) for (j = 1; j <= NR; j++)
					if (i != j) print "iifname \"" name[i] "\" oifname \"" name[j] "\" drop"
			}'
		# Also the word of a router on the way that a packet is too large; a relay alone needs no connection tracking.
		if grep -qv ' relay$' $(of_interfaces passes) </dev/null; then echo "ct state established,related accept"; fi
		cat $(of_interfaces passes) </dev/null | while read -r versions in out from to state mark; do
			case "$versions" in *"$forwarding_version"*) echo "$(pass_match "$(fence_family)") accept" ;; esac
		done
		printf 'drop\n}\n}\n'
	} | nft -f - >&2 || fail "forwarding: nft cannot write table $(fence_family) $forwarding_fence; see 'nft list ruleset' on this host"
}
