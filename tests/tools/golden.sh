#!/bin/sh
# Format 1: a tree, and what mklayer makes of it everywhere. Sourced by tests.
# shellcheck disable=SC2034 # used there

# golden DIR: one of everything that an ordinary user can make, always the same
golden() {
	mkdir -p "$1/dir/sub" "$1/empty" || return
	long=$(printf 'long-%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24)
	(
		cd "$1" || exit
		seq 1 400000 >large
		: >zero
		echo hello >dir/file
		ln dir/file dir/link
		ln -s file dir/symlink
		ln -s "$long/$long" longlink
		mkfifo dir/fifo
		echo x >"$long"
		mkdir -p "$long-d/$long/$long"
		echo y >"$long-d/$long/$long/f"
		printf z >"$(printf 'dir/\303\274ber')"
		printf z >"$(printf 'dir/\377raw')"
		truncate -s 3000000 holes
		printf end >>holes
		setfattr -n user.one -v 1 dir/file && setfattr -n user.alpha -v 0x000a0d dir/file || exit
		chmod 4755 dir/file
		chmod 1777 empty
		chmod 640 large
		chmod 700 dir/sub
		find . -depth -exec touch -h -d @1700000000.5 {} +
		touch -d @-5 zero
	)
}

# These change only with the number of the format.
want_gzip=cfea6b0a26257de3240e81ace6cb25288931a4833150adc2b264e117daf31d91
want_tar=c550dcfa646a24efdc176c399823817782c53c8cdecad4145fd87de3392905ee
