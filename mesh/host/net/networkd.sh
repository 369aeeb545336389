# ----------------------------------------------------------------------------------------------------------- networkd
# Where systemd-networkd runs a host's network, it drops foreign routing rules whenever it restarts, as with each of its upgrades,
# and the addresses of every link that one of its files matches, such as one with `Name=*`. Two files of its own kind tell it
# not to. It reads them at that very restart, so nothing is asked of it now. They lie in /run, and come with the interface
# again after a boot.

networkd_folder=/run/systemd
networkd_rules=$networkd_folder/networkd.conf.d/mesh.conf

# networkd_link: prints the path of the interface's file, before all others.
networkd_link() { echo "$networkd_folder/network/05-mesh-$interface.network"; }

# networkd_write FILE: it has what is on standard input, where there is a networkd to read it.
networkd_write() {
	has_command networkctl || return 0
	mkdir -p "${1%/*}"
	cat >"$1"
	# networkd is no root, and our own files are for nobody else.
	chmod 755 "${1%/*}"
	chmod 644 "$1"
}

networkd_spare_link() { printf '[Match]\nName=%s\n\n[Link]\nUnmanaged=yes\n' "$interface" | networkd_write "$(networkd_link)"; }

networkd_spare_rules() { printf '[Network]\nManageForeignRoutingPolicyRules=no\n' | networkd_write "$networkd_rules"; }
