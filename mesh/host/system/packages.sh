# Packages and what the system is: installs what a tunnel needs, and tells init system, firewalls and WireGuard's kind.
# Not here: opening firewalls (netfilter.sh, firewall.sh, firewalld.sh), units and services (service.sh).

# has_command NAME: 0 when NAME can be run.
has_command() {
	command -v "$1" >/dev/null 2>&1
}

# has_kernel_wireguard: 0 when the kernel can make WireGuard interfaces, loading its module when there is one.
has_kernel_wireguard() {
	case ${kernel_wireguard:-} in yes) return 0 ;; no) return 1 ;; esac
	[ -e /sys/module/wireguard ] && return 0
	# Only making a link tells the truth: a module file may be for another kernel, unsigned, or out of a container's reach.
	if has_command ip; then
		ip link add "mesh-$$" type wireguard >/dev/null 2>&1 || return 1
		ip link delete "mesh-$$" >/dev/null 2>&1 || :
		return 0
	fi
	modprobe -n -q wireguard >/dev/null 2>&1
}

# package_manager: prints the package manager of this system; 1 when it is none that we know.
package_manager() {
	for manager in apt-get dnf apk pacman zypper; do
		if has_command "$manager"; then
			printf '%s\n' "$manager"
			return 0
		fi
	done
	return 1
}

# package_of MANAGER COMMAND: prints the package that brings the command.
package_of() {
	case "$2" in
	wg | wg-quick) echo wireguard-tools ;;
	nft) echo nftables ;;
	ip) if [ "$1" = dnf ]; then echo iproute; else echo iproute2; fi ;;
	ping) if [ "$1" = apt-get ]; then echo iputils-ping; else echo iputils; fi ;;
	flock | timeout) if [ "$2" = timeout ]; then echo coreutils; else echo util-linux; fi ;;
	*) echo "$2" ;;
	esac
}

# run_package_manager COMMAND...: its exit status; what it prints goes to packages.log, and nothing it starts holds our lock.
run_package_manager() {
	timeout 300 "$@" </dev/null >>"$home/packages.log" 2>&1 9>&-
}

# refresh_packages MANAGER: fetches the lists of packages again, where the manager does not do so itself.
refresh_packages() {
	case "$1" in
	apt-get) run_package_manager apt-get -q -o DPkg::Lock::Timeout=60 update ;;
	dnf) run_package_manager dnf -q -y --refresh makecache ;;
	apk) run_package_manager apk --wait 60 update ;;
	# Fresh lists beside packages that are not upgraded would make the next install a partial upgrade, which Arch does not
	# support; so they are fetched only where there are none.
	pacman) [ -n "$(ls /var/lib/pacman/sync 2>/dev/null)" ] || run_package_manager pacman -Sy --noconfirm ;;
	zypper) run_package_manager env ZYPP_LOCK_TIMEOUT=60 zypper --non-interactive --quiet refresh ;;
	esac
}

# wait_for_pacman: returns when no other pacman is at work, which it does not wait for itself; after a minute in any case.
wait_for_pacman() {
	pacman_waits=60
	while [ -e /var/lib/pacman/db.lck ] && [ "$pacman_waits" -gt 0 ]; do
		sleep 1
		pacman_waits=$((pacman_waits - 1))
	done
}

# add_package MANAGER PACKAGE: 0 when the manager has installed it from the lists at hand.
add_package() {
	case "$1" in
	# NEEDRESTART_SUSPEND: a hook on Ubuntu would restart services, sshd among them, under our feet.
	apt-get) run_package_manager env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
		apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=60 -o Dpkg::Options::=--force-confold install "$2" ;;
	dnf) run_package_manager dnf -q -y --setopt=install_weak_deps=False install "$2" ;;
	apk) run_package_manager apk --wait 60 add "$2" ;;
	pacman)
		wait_for_pacman
		run_package_manager pacman -S --noconfirm --needed "$2"
		;;
	zypper) run_package_manager env ZYPP_LOCK_TIMEOUT=60 \
		zypper --non-interactive --quiet install --no-recommends "$2" ;;
	esac
}

# install_for COMMAND: the package of the command is installed and the command is there, or it fails naming both.
install_for() {
	manager=$(package_manager) ||
		fail "packages: $1 is missing and no package manager is known (apt-get, dnf, apk, pacman, zypper); install wg, wg-quick, ip, ping, flock and bash by hand"
	package=$(package_of "$manager" "$1")
	say "installing $package by $manager"
	package_log=$home/packages.log
	: >"$package_log"
	# The lists are fetched only when they do not serve: it is the slow part, and often needless.
	if ! add_package "$manager" "$package"; then
		refresh_packages "$manager" || :
		if ! add_package "$manager" "$package"; then
			grep -v '^[[:space:]]*$' "$package_log" | tail -n 3 >&2 || :
			rm -f "$package_log"
			fail "packages: $manager cannot install $package; install it by hand on this host, or give the host a source that has it"
		fi
	fi
	rm -f "$package_log"
	has_command "$1" ||
		fail "packages: $package is installed, but there is no command $1, which it brings; reinstall $package by $manager on this host"
}

# install_wireguard: wg, wg-quick, bash, ip, ping, flock, timeout and a kernel or userspace WireGuard are there, or it fails saying
# which package of which manager is not to be had. Quick when nothing is missing.
install_wireguard() {
	for command in timeout ip ping flock bash wg wg-quick; do
		has_command "$command" || install_for "$command"
	done
	has_command wireguard-go || has_kernel_wireguard || install_for wireguard-go
}

# The init system, systemd, openrc or none: what runs here, not what is installed.
if [ -d /run/systemd/system ]; then
	init=systemd
elif [ -e /run/openrc/softlevel ]; then
	init=openrc
else
	init=none
fi

# describe_system: prints the lines system, init, firewall and wireguard, each with its value.
describe_system() {
	printf 'system %s-linux\n' "$(uname -m)"
	printf 'init %s\n' "$init"
	printf 'firewall %s\n' "$(active_firewalls)"
	if has_kernel_wireguard; then
		echo 'wireguard kernel'
	else
		echo 'wireguard userspace'
	fi
}
