# ------------------------------------------------------------------------------------------------------------- places
# What lies in /var/lib/mesh: a folder for each interface, and one for what they share. Its name is longer than that of an interface
# can be (15 characters), so that nothing of ours is ever in an interface's way; beside it lie `lock` and `program`, where earlier
# versions know them, and no interface is called so. Patterns of file names are off in this program, since an address
# such as [2001:db8::1]:51825 would be one; `matching` is the only place where one is meant.

# matching PATTERN: prints each path that the pattern matches; it is a text of ours and holds no name of a user.
matching() {
	set +f
	for path in $1; do
		if [ -e "$path" ] || [ -L "$path" ]; then printf '%s\n' "$path"; fi
	done
	set -f
}

# leads_to LINK FILE: 0 when the link leads to the file, without a process.
leads_to() { [ -L "$1" ] && [ "$1" -ef "$2" ]; }

# has_line TEXT LINE: 0 when this is a whole line of the text, without a process.
has_line() {
	case "
$1
" in *"
$2
"*) return 0 ;; esac
	return 1
}

# entries: prints the path of everything that lies there; the name of an interface may begin with dots.
entries() { matching "$base/..?* $base/.[!.]* $base/*"; }

# interfaces: prints the name of each interface that this host has anything of. A longer name is never that of an interface.
interfaces() {
	for path in $(of_interfaces .); do
		path=${path%/.}
		printf '%s\n' "${path##*/}"
	done
}

# of_interfaces FILE: prints the path of this file of each interface that has it.
of_interfaces() {
	for path in $(entries); do
		name=${path##*/}
		if [ "${#name}" -lt 16 ] && [ -e "$path/$1" ]; then printf '%s\n' "$path/$1"; fi
	done
}

# running_programs: prints the path of each version of the program that a process here runs.
running_programs() {
	# A process may end meanwhile.
	cat $(matching '/proc/[0-9]*/cmdline') 2>/dev/null | tr '\0' '\n' |
		awk -v folder="$base/" 'index($0, folder "program-") == 1' | sort -u
}

# common: prints the folder of what interfaces share. On a host that an earlier version set up, that is beside them, until `gather`.
common() { if [ -d "$base/shared-by-interfaces" ]; then echo "$base/shared-by-interfaces"; else echo "$base"; fi; }

# scattered: prints the name of each file that an earlier version has beside the interfaces.
scattered() {
	for path in $(entries); do
		name=${path##*/}
		# The last is what another interface tries to write at this moment (checks.sh).
		case $name in lock | program | program-* | .mesh-*) continue ;; esac
		if [ -f "$path" ] && [ ! -L "$path" ]; then printf '%s\n' "$name"; fi
	done
}

# share: a host that has nothing of an earlier version has the folder.
share() { [ -d "$base/shared-by-interfaces" ] || [ -n "$(scattered)" ] || mkdir -p "$base/shared-by-interfaces"; }

# gather: what interfaces share lies in the folder, wherever an earlier version had it. Whenever this is cut off, the version that
# boots finds all of it in one place. A process of an earlier version would not; then a later run gathers.
gather() {
	gathered=$(scattered)
	[ -n "$gathered" ] || return 0
	gather_runs=$(running_programs)
	if [ -n "$gather_runs" ] && printf '%s\n' "$gather_runs" | grep -qvxF -e "$version" -e "$version.new"; then return 0; fi
	gather_into=$base/shared-by-interfaces
	if [ ! -d "$gather_into" ]; then
		rm -rf "$gather_into.new"
		mkdir "$gather_into.new"
		for name in $gathered; do cp -p "$base/$name" "$gather_into.new/$name"; done
		link_program
		mv "$gather_into.new" "$gather_into"
	fi
	for name in $gathered; do
		# What an earlier version wrote after a later one knows less.
		[ -e "$gather_into/$name" ] || mv "$base/$name" "$gather_into/$name"
		rm -f "$base/$name"
	done
	# What was begun there and never finished.
	rm -f $(matching "$gather_into/*.new") $(matching "$gather_into/*.log")
}
