# The firewall: the UDP port that a tunnel listens on, and echo requests that arrive through it, in whatever filters here.
# Every rule of ours carries the mark "mesh INTERFACE" (in firewalld: our priority), and no other rule is touched.
# Not here: what else may pass through the tunnel; that is the user's.

# firewall_ports: prints the recorded ports of this interface, one per line.
firewall_ports() {
	lines_of "$home/firewall"
}

# firewall_note PORT: it is among the recorded ports of this interface.
firewall_note() {
	noted_ports=$(firewall_ports)
	has_line "$noted_ports" "$1" || firewall_record "${noted_ports:+$noted_ports
}$1"
}

# firewall_record PORTS: these, one per line, are from now on the ports of this interface; none removes the record.
firewall_record() {
	if [ -n "$1" ]; then
		printf '%s\n' "$1" | sort -nu >"$home/firewall.new"
		# What boots opens no other port.
		persist "$home/firewall.new"
		mv "$home/firewall.new" "$home/firewall"
	else
		rm -f "$home/firewall"
	fi
}

# ufw_is_active: 0 when ufw filters, now or from the next boot.
ufw_is_active() {
	has_command ufw && grep -q '^ENABLED=yes' /etc/ufw/ufw.conf 2>/dev/null
}

# ufw_rules: prints ufw's rules as the commands that would make them.
ufw_rules() {
	ufw show added </dev/null 2>/dev/null | grep '^ufw ' || :
}

# ufw_word PORT: prints what a rule of ufw does with the port: allow, deny, reject or limit; nothing where it has none.
ufw_word() {
	ufw_rules | awk -v target="$1/udp" '$3 == target && $2 ~ /^(allow|deny|reject|limit)$/ { print ($2 == "allow" ? 1 : 2), $2 }' |
		sort | sed -n '1s/..//p'
}

# ufw_allows PORT: 0 when ufw lets it in; it fails where a rule of the user denies it.
ufw_allows() {
	ufw_found=$(ufw_word "$1")
	# ufw would turn the user's rule into ours, and closing could not bring it back.
	case $ufw_found in
	allow) return 0 ;;
	?*) fail "firewall: ufw has a rule of its own against $1/udp; delete that rule or choose another port for $interface" ;;
	esac
	return 1
}

# ufw_open PORT: ufw lets it in; a rule of the user that does so already is left alone. Echo requests pass ufw's own before6.rules.
ufw_open() {
	if ufw_allows "$1"; then return 0; fi
	ufw allow "$1/udp" comment "mesh $interface" </dev/null >&2 9>&- ||
		fail "firewall: ufw cannot allow $1/udp; see 'ufw status' on this host"
}

# ufw_close PORT: our rule for the port is gone, also when ufw is switched off now.
ufw_close() {
	has_command ufw || return 0
	if ufw_rules | grep -Fxq "ufw allow $1/udp comment 'mesh $interface'"; then
		ufw delete allow "$1/udp" </dev/null >&2 9>&- ||
			fail "firewall: ufw cannot delete its rule for $1/udp; delete the rule marked 'mesh $interface' by hand"
	fi
}
