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

cat >"$T/gen.py" <<'END'
import random, sys
from ocilib import *
def layer(r, k, known):
    def dirs():
        return "".join(r.choice(["a", "a", "b", "b", "p", "..", "."] if r.random() < .15 else "aabbp") + "/"
                       for _ in range(r.choice([0, 1, 1, 2, 3])))
    out = []
    for i in range(r.randint(2, 14)):
        d, t = dirs(), r.random()
        f = d + (r.choice("xyz") if r.random() < .85 else r.choice("abp"))
        m = T0 + k * 100 + i
        if t < .3:
            x = pax([("SCHILY.xattr.user.%d" % r.randint(0, 2), "v%d" % i)]) if r.random() < .2 else b""
            out.append(x + ent(f, data=b"%d.%d" % (k, i) * r.choice([1, 300]), mode=r.choice([0o644, 0o600, 0o4755]),
                               uid=r.randint(0, 2), mtime=m))
            known.append(f)
        elif t < .55:
            out.append(ent(d + r.choice("abxy") + "/", b"5", mode=r.choice([0o755, 0o700, 0o2755]), gid=r.randint(0, 3), mtime=m))
        elif t < .64:
            out.append(ent(d + r.choice("ppx"), b"2", link=r.choice(["a", "b", "/a", "../a", "a/b", ".", "..", "p", "b/../a"]), mtime=m))
        elif t < .74:
            out.append(ent(f, b"1", link=r.choice(known or ["x"])))
        elif t < .78:
            out.append(ent(f, b"6", mtime=m))
        elif t < .8:
            out.append(ent(f, b"3", dev=(1, r.randint(1, 5)), mtime=m))
        elif t < .92:
            out.append(ent(d + ".wh." + r.choice("xyzabp")))
        elif t < .97:
            out.append(ent(d + ".wh..wh..opq"))
        else:
            out.append(ent("./", b"5", mode=0o711, mtime=m))
    return b"".join(out) + END
for seed in range(int(sys.argv[2])):
    r, known = random.Random(seed), []
    l = Layout("%s/%d" % (sys.argv[1], seed))
    l.tag(l.manifest([l.layer(layer(r, k, known)) for k in range(r.randint(1, 5))]))
END
PYTHONPATH=$tools python3 "$T/gen.py" "$T/img" "$seeds"
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
