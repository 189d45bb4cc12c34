#!/bin/sh
# Every image of tests/tools/mklayers, unpacked as root, as a user with subordinate ids and as one without: what must be
# accepted gives exactly the tree that the case states, what must be refused leaves nothing, and a directory
# outside (the victim) that links, names and hardlinks aim at stays as it is.  Test names carry the T numbers.
in_memory=1
. "${0%/*}/lib.sh"
need python3 zstd setfattr
need_applet unpack

v=$T/victim
mkdir -m 755 "$v" "$v/d"
echo secret >"$v/secret"
echo keep >"$v/d/keep"
setfattr -n user.v -v 1 "$v/secret" 2>/dev/null
touch -d @1000000000 "$v/secret" "$v/d/keep" "$v/d" "$v"
"$tools/mklayers" "$T/cases" --victim "$v" || { fail "the generator"; done_testing; }
cases=$(cd "$T/cases" && ls -d -- */ | tr -d /)
before=$("$tools/treecmp" --hash "$v")

# options CASE: its options, one a line
"$tools/mklayers" --options "$T/cases" >"$T/options"

# all AS DIR [OPTION...]: every case into DIR/CASE with the victim as the working directory; DIR/results
all() {
	as=$1 dir=$2 who=sub
	[ "$as" != as_user_nosub ] || who=nosub
	shift 2
	mkdir "$T/$dir" "$T/$dir.err"
	if [ "$as" ]; then chown "$(user_name "$who")" "$T/$dir" "$T/$dir.err"; fi
	cat >"$T/all.sh" <<'END'
set -f
cd "$1" || exit 1
dir=$2 cases=$3 options=$4
shift 4
while read -r c o; do
	to=$dir/$c
	[ ! "$fill" ] || { mkdir "$to" && cd "$to" && to=.; }
	timeout 300 unpack -q "$@" $o "$cases/$c" "$to" </dev/null 2>"$dir.err/$c"
	echo "$c $?"
done <"$options"
END
	$as sh "$T/all.sh" "$v" "$T/$dir" "$T/cases" "$T/options" "$@" >"$T/$dir.results"
}

# verdict DIR WHO MODE
verdict() {
	"$tools/mklayers" --judge "$T/cases" "$T/$1.results" "$T/$1" ${3:+"$3"} >"$T/verdict" 2>&1 || diag "the judge failed"
	[ "$(grep -c '^pass\|^fail' "$T/verdict")" = "$(wc -l <"$T/options")" ] || {
		fail "$2: every case is judged"
		tail -n 20 "$T/verdict" | _show
	}
	while read -r what text; do
		case $what in
		pass) pass "$2: $text" ;;
		fail)
			fail "$2: $text"
			c=${text%%:*}
			_show 5 <"$T/$1.err/$c" 2>/dev/null
			;;
		*) diag "$text" ;;
		esac
	done <"$T/verdict"
	left=$(cd "$T/$1" && ls -A | grep -vxF "$(echo "$cases")")
	is "$left" "" "$2: no staging directory is left (T09)"
	# a refusal says why, in one line or a few, and names the applet
	bad=$(while read -r c st; do
		[ "$st" = 0 ] || head -n 1 "$T/$1.err/$c" | grep -q '^unpack: .' || echo "$c"
	done <"$T/$1.results")
	is "$bad" "" "$2: every refusal says why"
}

if is_root; then
	chmod 755 "$T/cases"
	all '' root
	verdict root root ''
	is "$("$tools/treecmp" --hash "$v")" "$before" "root: the victim is as it was (T01 T02 T04 T06 T07)"
	rm -rf "$T/root"

	fill=1
	export fill
	all '' fill
	unset fill
	verdict fill "root, into a directory that is there" --fill
	is "$("$tools/treecmp" --hash "$v")" "$before" "root, into a directory that is there: the victim is as it was"
	rm -rf "$T/fill"

	chown -R "$(user_name sub)" "$v"
	before=$("$tools/treecmp" --hash "$v")
	all as_user usr
	# the tree belongs to mapped ids: root looks at it from outside
	verdict usr user --user
	is "$("$tools/treecmp" --hash "$v")" "$before" "user: the victim is as it was"

	chown -R "$(user_name nosub)" "$v"
	before=$("$tools/treecmp" --hash "$v")
	all as_user_nosub nosub
	verdict nosub "user without ids" --nosub
	is "$("$tools/treecmp" --hash "$v")" "$before" "user without ids: the victim is as it was"
else
	all '' nosub
	verdict nosub "user" --nosub
	is "$("$tools/treecmp" --hash "$v")" "$before" "user: the victim is as it was"
fi
done_testing
