# ------------------------------------------------------------------------------------------------------------- places
# What lies in /var/lib/mesh: a folder for each interface, and what they share. Patterns of file names are off in this program,
# since an address such as [2001:db8::1]:51825 would be one; `matching` is the only place where one is meant.

# matching PATTERN: prints each path that the pattern matches; it is a text of ours and holds no name of a user.
matching() (
	set +f
	for path in $1; do
		if [ -e "$path" ] || [ -L "$path" ]; then printf '%s\n' "$path"; fi
	done
)

# interfaces: prints the name of each interface that this host has anything of. A longer name is never that of an interface.
interfaces() {
	ls -A "$base" | while read -r name; do
		if [ "${#name}" -lt 16 ] && [ -d "$base/$name" ]; then printf '%s\n' "$name"; fi
	done
}

# of_interfaces FILE: prints the path of this file of each interface that has it.
of_interfaces() {
	for owner in $(interfaces); do
		if [ -e "$base/$owner/$1" ]; then printf '%s\n' "$base/$owner/$1"; fi
	done
}

# running_programs: prints the path of each version of the program that a process here runs.
running_programs() {
	# A process may end meanwhile.
	cat $(matching '/proc/[0-9]*/cmdline') 2>/dev/null | tr '\0' '\n' |
		awk -v folder="$base/" 'index($0, folder "program-") == 1' | sort -u
}
