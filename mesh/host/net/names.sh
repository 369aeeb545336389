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

# names_split ours|others: prints the lines of the file that are ours, or the rest, byte for byte as it was before.
# Ours are the lines that begin and end a block, and in it each line of an address and one name that ends in the interface. A line
# that we would not write is somebody's, wherever it stands; and where no end follows, the block is what comes unbroken.
names_split() {
	[ -e "$hosts_file" ] || return 0
	names_unended=$(tail -c 1 "$hosts_file")
	awk -v what="$1" -v mark="# mesh $interface: " -v domain=".$interface" -v unended="${names_unended:+yes}" '
		function is_name(text,   word) {
			return split(text, word, " ") == 2 && text == word[1] " " word[2] && word[1] ~ /^[0-9a-f:.]+$/ &&
				length(word[2]) > length(domain) && substr(word[2], length(word[2]) - length(domain) + 1) == domain
		}
		{
			line[NR] = $0
			# Whatever an editor ends lines with.
			sub(/\r$/, "")
			text[NR] = $0
			if ($0 == mark "begin after a line without end") joined = 1
			if ($0 == mark "begin" || $0 == mark "begin after a line without end") kind[NR] = "begin"
			if ($0 == mark "end") kind[NR] = "end"
		}
		END {
			for (i = 1; i <= NR; i++) {
				if (!(i in kind)) continue
				ours[i] = 1
				if (kind[i] == "end") continue
				for (j = i + 1; j <= NR && !(j in kind); j++);
				ended = kind[j] == "end"
				for (j = i + 1; j <= NR && !(j in kind); j++) {
					if (is_name(text[j])) ours[j] = 1
					else if (!ended) break
				}
			}
			for (i = 1; i <= NR; i++) {
				if ((i in ours) != (what == "ours")) continue
				printf "%s%s", before, line[i]
				before = "\n"
				last = i
			}
			# As before us, the last line has no end.
			if (last && !(what == "others" && (joined || (last == NR && unended)))) printf "\n"
		}' "$hosts_file"
}

# names_apply DIRECTORY: the file holds the names in DIRECTORY, or none of ours where that has none.
names_apply() {
	if names_are_there "$1"; then return 0; fi
	names_split others >"$home/hosts.new" || fail "names: $hosts_file cannot be copied; see whether the disk is full"
	names_joined=
	if [ -s "$home/$1/names" ] && [ -n "$(tail -c 1 "$home/hosts.new")" ]; then
		names_joined=" after a line without end"
		echo >>"$home/hosts.new"
	fi
	names_block "$1" >>"$home/hosts.new" || fail "names: $hosts_file cannot be written; see whether the disk is full"
	names_target=$(readlink -f "$hosts_file")
	# Owner and mode stay; renamed, the file is never half written.
	{ [ ! -e "$names_target" ] || cp -p "$names_target" "$names_target.mesh"; } && cat "$home/hosts.new" >"$names_target.mesh" ||
		fail "names: $names_target.mesh cannot be written; see whether the disk is full"
	# It holds lines that nobody else has.
	persist "$names_target.mesh"
	# A container's file is mounted, and can only be written in place.
	mv "$names_target.mesh" "$names_target" 2>/dev/null || {
		cat "$home/hosts.new" >"$names_target"
		rm -f "$names_target.mesh"
	}
	if has_command restorecon; then restorecon "$names_target" || :; fi
	rm -f "$home/hosts.new"
}

# names_are_there DIRECTORY: 0 when our block is as it should be.
names_are_there() {
	names_joined=
	if [ ! -s "$home/$1/names" ] && ! grep -qF "# mesh $interface: " "$hosts_file" 2>/dev/null; then return 0; fi
	names_found=$(names_split ours)
	case "$names_found" in "# mesh $interface: begin after a line without end"*) names_joined=" after a line without end" ;; esac
	[ "$names_found" = "$(names_block "$1")" ]
}
