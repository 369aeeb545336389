# ----------------------------------------------------------------------------------------------------------- networkd
# Where systemd-networkd runs a host's network, it drops foreign routing rules whenever it restarts, as with each of its upgrades,
# and the addresses of every link that one of its files matches, such as one with `Name=*`. Two files of its own kind tell it
# not to. It reads them at that restart, so nothing is asked of it now. They lie in /run, and come with the interface
# again after a boot.

networkd_folder=/run/systemd
networkd_rules=$networkd_folder/networkd.conf.d/mesh.conf

# networkd_link: prints the path of the interface's file, before all others.
networkd_link() { echo "$networkd_folder/network/05-mesh-$interface.network"; }

# networkd_write FILE TEXT: the file holds the text, where there is a networkd to read it, which is no root.
networkd_write() {
	has_command networkctl || return 0
	# Another interface may make it at this moment; where systemd does not run, it cannot be made.
	[ -d "${1%/*}" ] || mkdir -m 755 "${1%/*}" 2>/dev/null || [ -d "${1%/*}" ] || return 0
	(write_when_changed "$1" 644 "$2") 2>/dev/null || :
}

networkd_spare_link() { networkd_write "$(networkd_link)" "$(printf '[Match]\nName=%s\n\n[Link]\nUnmanaged=yes' "$interface")"; }

networkd_spare_rules() { networkd_write "$networkd_rules" "$(printf '[Network]\nManageForeignRoutingPolicyRules=no')"; }
