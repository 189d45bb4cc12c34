#!/bin/sh
# The merged listing of an image is the tree that unpack makes of it: of every image of tests/tools/mklayers and of random layers; where
# unpack refuses the image the listing does so, too. As root: only then a tree shows all.
in_memory=1
. "${0%/*}/lib.sh"
need_root
need python3 zstd setfattr
need_applet unpack inspect
seeds=${LISTING_SEEDS:-100}

cat >"$T/one.sh" <<'END'
# one.sh TOOLS NAME IMAGE [OPTION...]
tools=$1 name=$2 image=$3
shift 3
timeout 600 unpack -q "$@" "$image" "$name.tree" 2>"$name.e1" </dev/null
a=$?
timeout 600 inspect --files --merged --digests --json "$@" "$image" >"$name.list" 2>"$name.e2" </dev/null
b=$?
echo "$name $a $b" >>results
if [ $a != $b ]; then
	echo "$name: unpack ends with $a, the listing with $b: $(cat "$name.e1" "$name.e2")"
elif [ $a = 0 ]; then
	"$tools/listingcmp" "$name.list" "$name.tree" >"$name.diff" 2>&1 || { echo "$name:"; head -n 6 "$name.diff"; }
	"$tools/listingcmp" --order "$name.list"
fi
# one layer made of all of them is what mklayer makes of the tree
if [ $a$b = 00 ] && [ "${squash:-}" ]; then
	mkmanifest -q -b "$image" --squash=all -o "$name.one:x" </dev/null 2>"$name.e1"
	have=$(inspect --layers "$name.one:x" 2>&1 | jq -r '.[0].DiffID')
	want=sha256:$(mklayer -q --compression-format none "$name.tree" 2>"$name.e2" | sha256sum | cut -d' ' -f1)
	[ "$have" = "$want" ] || echo "$name: squashed it is $have, mklayer makes $want: $(cat "$name.e1" "$name.e2")"
	rm -rf "$name.one"
fi
rm -rf "$name.tree" "$name.list" "$name".e? "$name.diff"
END

victim=$T/victim
mkdir "$victim" "$T/w"
echo secret >"$victim/secret"
"$tools/mklayers" "$T/cases" --victim "$victim" || { fail "the generator"; done_testing; }
cd "$T/w" || exit 99
"$tools/mklayers" --options "$T/cases" | while read -r c o; do
	# the listing has no options to leave things out
	case $o in *--no-* | *--exclude* | *--ignore-*) continue ;; esac
	# these are refused by the file system, not by unpack
	case $c in xattr-on-symlink | xattr-unknown-space) continue ;; esac
	# shellcheck disable=SC2086
	sh "$T/one.sh" "$tools" "$c" "$T/cases/$c" $o
done >"$T/diff"
ok "most hostile images are tried" [ "$(wc -l <results)" -gt 250 ]
is "$(cat "$T/diff")" "" "hostile and odd images: the listing is the tree, or both refuse (T11 T12 T13 T14 T15 T16 T76 T81)"

"$tools/mkrandom" "$T/img" "$seeds"
: >results
if [ -e "$T/bin/mklayer" ] && [ -e "$T/bin/mkmanifest" ] && have jq; then
	export squash=1
fi
i=0
while [ $i -lt "$seeds" ]; do
	sh "$T/one.sh" "$tools" "seed-$i" "$T/img/$i"
	i=$((i + 1))
done >"$T/diff"
is "$(cat "$T/diff")" "" "$seeds random images: the listing is the tree, or both refuse (T15)${squash:+; squashed they are the layer of the tree}"
ok "enough of them are well formed" [ "$(grep -c ' 0 0$' results)" -ge $((seeds / 4)) ]
cd / || exit 99
done_testing
