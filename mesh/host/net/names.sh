# -------------------------------------------------------------------------------------------------------------- names
# A block of /etc/hosts, between two lines that name the interface: what it should hold lies in DIRECTORY/names, as
# "ADDRESS NAME" lines. Whatever resolves names on a host reads that file, so there is one mechanism for all of them.

hosts_file=/etc/hosts

# names_block DIRECTORY: prints the block; nothing where no names are wanted.
names_block() {
	[ -s "$home/$1/names" ] || return 0
	echo "# mesh $interface: begin${names_joined:-}"
	cat "$home/$1/names"
	echo "# mesh $interface: end"
}

# names_found: prints our block as it is there.
names_found() { sed -n "/^# mesh $interface: begin/,/^# mesh $interface: end\$/p" "$hosts_file" 2>/dev/null; }

# names_others: prints the file without our block, byte for byte as it was before.
names_others() {
	[ -e "$hosts_file" ] || return 0
	if names_found | grep -q ' after a line without end$'; then
		# The text of the shell ends where the last line did.
		printf '%s' "$(sed "/^# mesh $interface: begin/,/^# mesh $interface: end\$/d" "$hosts_file")"
	else
		sed "/^# mesh $interface: begin/,/^# mesh $interface: end\$/d" "$hosts_file"
	fi
}

# names_apply DIRECTORY: the file holds the names in DIRECTORY, or none of ours where that has none.
names_apply() {
	if [ ! -s "$home/$1/names" ] && ! grep -qs "^# mesh $interface: begin" "$hosts_file"; then return 0; fi
	names_joined=
	names_others >"$base/hosts.new" || fail "names: $hosts_file cannot be copied; is the disk full?"
	if [ -s "$home/$1/names" ] && [ -n "$(tail -c 1 "$base/hosts.new")" ]; then
		names_joined=" after a line without end"
		echo >>"$base/hosts.new"
	fi
	names_block "$1" >>"$base/hosts.new" || fail "names: $hosts_file cannot be written; is the disk full?"
	if [ "$(digest_of "$base/hosts.new")" = "$(digest_of "$hosts_file")" ]; then
		rm -f "$base/hosts.new"
		return 0
	fi
	names_target=$(readlink -f "$hosts_file")
	# Owner and mode stay; renamed, the file is never half written.
	{ [ ! -e "$names_target" ] || cp -p "$names_target" "$names_target.mesh"; } && cat "$base/hosts.new" >"$names_target.mesh" ||
		fail "names: $names_target.mesh cannot be written; is the disk full?"
	# A container's file is mounted, and can only be written in place.
	mv "$names_target.mesh" "$names_target" 2>/dev/null || {
		cat "$base/hosts.new" >"$names_target"
		rm -f "$names_target.mesh"
	}
	if has_command restorecon; then restorecon "$names_target" || :; fi
	rm -f "$base/hosts.new"
}

# names_are_there DIRECTORY: 0 when our block is as it should be.
names_are_there() {
	names_joined=
	if names_found | grep -q ' after a line without end$'; then names_joined=" after a line without end"; fi
	[ "$(names_found)" = "$(names_block "$1")" ]
}
