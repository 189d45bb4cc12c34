#!/bin/sh
# mklayer of random trees: --lower applied to the tree before gives the tree after, and --upper and --lower-image give the same bytes; as
# root and as a user (tests/tools/layerprop).
# shellcheck disable=SC2034 # for lib.sh
in_memory=1
. "${0%/*}/lib.sh"
need python3
need_applet mklayer unpack
# with a sanitizer a program's start costs twenty times as much
case $("$OCIBOX" --version) in *asan*) seeds=30 ;; *) seeds=1000 ;; esac
seeds=${MKLAYER_SEEDS:-$seeds}
first=${MKLAYER_FIRST_SEED:-0}

prop() { # WHAT CMD...
	_what=$1
	shift
	mkdir "$T/prop" && chmod 777 "$T/prop"
	run "$@" "$T/prop" "$first" "$seeds"
	is "$out$(grep -v '^$' "$T/err" | head -n 3)" "$seeds" "random trees, $_what: $seeds seeds"
	rm -rf "$T/prop"
}
cp -r "$tools" "$T/tools"
chmod -R a+rX "$T/tools"
if is_root; then
	prop "as root" unshare -m "$T/tools/layerprop"
else
	skip "needs root"
fi
if as_user unshare -Urm true 2>/dev/null; then
	prop "as a user" as_user unshare -Urm "$T/tools/layerprop" --userxattr
else
	skip "no user namespaces here"
fi

done_testing
