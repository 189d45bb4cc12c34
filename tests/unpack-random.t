#!/bin/sh
# Random layers: what the kernel shows of -l's directories is the tree that unpack makes of the same image. The two come
# about in different ways (deleting, and overlayfs' merging), so that each judges the other.
. "${0%/*}/lib.sh"
need_root
need python3 mount unshare
need_applet unpack
seeds=${UNPACK_SEEDS:-40}
cat >"$T/gen.py" <<'END'
import random, sys
from ocilib import *
def layer(r, k, known):
    def dirs():
        return "".join(r.choice("aabbp") + "/" for _ in range(r.choice([0, 1, 1, 2, 3])))
    out = []
    for i in range(r.randint(2, 10)):
        d, t = dirs(), r.random()
        f = d + (r.choice("xyz") if r.random() < .9 else r.choice("ab"))
        if t < .35:
            out.append(ent(f, data=b"%d.%d" % (k, i), mode=r.choice([0o644, 0o600]), mtime=T0 + k * 100 + i))
            known.append(f)
        elif t < .6:
            out.append(ent(d + r.choice("ab") + "/", b"5", mode=r.choice([0o755, 0o700]), mtime=T0 + k * 100 + i))
        elif t < .66:
            out.append(ent(d + "p", b"2", link=r.choice(["a", "b", "/a", "../a", "a/b", "."]), mtime=T0 + i))
        elif t < .76:
            out.append(ent(f, b"1", link=r.choice(known or ["x"])))
        elif k and t < .92:
            out.append(ent(d + ".wh." + r.choice("xyzabp")))
        elif k:
            out.append(ent(d + ".wh..wh..opq"))
    return b"".join(out) + END
for seed in range(int(sys.argv[2])):
    r, known = random.Random(seed), []
    l = Layout("%s/%d" % (sys.argv[1], seed))
    l.tag(l.manifest([l.layer(layer(r, k, known)) for k in range(r.randint(2, 4))]))
END
PYTHONPATH=$tools python3 "$T/gen.py" "$T/img" "$seeds"
cat >"$T/one.sh" <<'END'
unpack -q "$1" m 2>e1
a=$?
lower=$(unpack -q -l "$1" l 2>e2)
b=$?
if [ $a != $b ]; then
	echo "unpack ends with $a, -l with $b: $(cat e1 e2)"
elif [ $a = 0 ]; then
	mkdir mnt below
	mount -t overlay -o "lowerdir=$lower:$PWD/below" none mnt && "$2" --no-root --no-nlink --no-links m mnt 2>&1
	umount mnt
	echo good >>count
fi
rm -rf m l mnt below
END
cat >"$T/all.sh" <<'END'
mount -t tmpfs none "$1/w" && cd "$1/w" || exit 99
i=0
while [ $i -lt "$2" ]; do
	sh "$1/one.sh" "$1/img/$i" "$3" >out || true
	[ ! -s out ] || { echo "seed $i:"; head -n 5 out; }
	i=$((i + 1))
done
[ "$(wc -l <count)" -ge $(($2 / 4)) ] || echo "too few of them are well formed: $(wc -l <count)"
END
mkdir "$T/w"
run unshare -m sh "$T/all.sh" "$T" "$seeds" "$tools/treecmp"
if [ "$rc" = 99 ]; then skip_all "no tmpfs can be mounted"; fi
is "$out" "" "$seeds random images: mounted layers and unpacked trees are the same (T15 T16)"
done_testing
