#!/bin/sh
# Random layers on a random base: the tree is the same whether they are squashed, all or the new ones, or not. We unpack
# them, and umoci.
. "${0%/*}/lib.sh"
need python3
need_applet mkmanifest unpack
seeds=${SQUASH_SEEDS:-40}
cat >"$T/gen.py" <<'END'
import os, random, sys
from ocilib import *
# Whiteouts stand first in their layers, as the specification wishes: behind entries below the same name they leave the
# directory of the layer below as it was, whose mode and time only that layer knows.
def layer(r, k, known, base):
    def dirs():
        return "".join(r.choice("aabbp") + "/" for _ in range(r.choice([0, 1, 1, 2, 3])))
    first, out = [], []
    for i in range(r.randint(2, 10)):
        d, t = dirs(), r.random()
        f = d + (r.choice("xyz") if r.random() < .9 else r.choice("ab"))
        mtime = T0 + k * 100 + i
        if t < .35:
            out.append(ent(f, data=b"%d.%d" % (k, i), mode=r.choice([0o644, 0o600]), mtime=mtime))
            known.append(f)
        elif t < .6:
            out.append(ent(d + r.choice("ab") + "/", b"5", mode=r.choice([0o755, 0o700]), mtime=mtime))
        elif t < .66:
            out.append(ent(d + "p", b"2", link=r.choice(["a", "b", "/a", "../a", "a/b", "."]), mtime=mtime))
        elif t < .74:
            out.append(ent(f, b"1", link=r.choice(known or ["x"])))
        elif k and t < .76 and r.ours_alone:
            first.append(ent(r.choice("xyzab"), b"3"))  # overlay's own whiteout, which umoci makes a device
        elif k and t < .90:
            first.append(ent(d + ".wh." + r.choice("xyzabp")))
        elif k:
            first.append(ent(d + ".wh..wh..opq"))
    return b"".join(first + out) + END
for seed in range(int(sys.argv[2])):
    r, known, d = random.Random(seed), [], "%s/%d" % (sys.argv[1], seed)
    r.ours_alone = seed >= 25
    os.makedirs(d)
    l, n = Layout(d + "/base"), r.randint(1, 2)
    l.tag(l.manifest([l.layer(layer(r, k, known, True)) for k in range(n)]))
    for k in range(n, n + r.randint(1, 3)):
        with open("%s/layer%d.tar" % (d, k), "wb") as f:
            f.write(layer(r, k, known, False))
END
PYTHONPATH=$tools python3 "$T/gen.py" "$T/img" "$seeds"
cat >"$T/one.sh" <<'END'
cd "$1" || exit 1
layers=
for f in layer*.tar; do layers="$layers --layer $f"; done
mkmanifest -q -b base $layers -o lay:plain 2>e && unpack -q lay:plain plain 2>e || exit 0
for how in all new; do
	if ! mkmanifest -q -b base $layers --squash=$how -o lay:$how 2>e; then
		grep -q 'hard link to .* lies in a layer below' e && [ $how = new ] || cat e
		continue
	fi
	# of a directory that no new layer has an entry for only the base knows the time
	time= && [ $how = all ] || time=--no-dir-mtime
	unpack -q lay:$how $how && "$2" --no-links --no-nlink $time plain $how && echo $how >>../good
done
[ "$3" ] || exit 0
umoci raw unpack --image lay:plain u-plain >/dev/null 2>&1 || exit 0
for how in all new; do
	[ -e $how ] || continue
	umoci raw unpack --image lay:$how u-$how >/dev/null 2>e || cat e
	"$2" --no-links --no-nlink --no-mtime --no-mode u-plain u-$how && echo umoci >>../good
done
END
: >"$T/img/good"
umoci=
command -v umoci >/dev/null && is_root && umoci=1
i=0
while [ $i -lt "$seeds" ]; do
	[ $i -lt 25 ] || umoci=
	sh "$T/one.sh" "$T/img/$i" "$tools/treecmp" $umoci >"$T/out" 2>&1
	[ ! -s "$T/out" ] || { echo "# seed $i:" && sed 's/^/# /;5q' "$T/out" && bad="$bad $i"; }
	i=$((i + 1))
done
is "$bad" "" "$seeds seeds: the same tree, squashed or not"
count() { grep -c "$1" "$T/img/good"; }
ok "$(count all) of them all squashed" test "$(count all)" -ge $((seeds / 3))
ok "$(count new) the new layers" test "$(count new)" -ge $((seeds / 6))
if [ "$(command -v umoci)" ] && is_root; then
	ok "$(count umoci) by umoci's eyes, too" test "$(count umoci)" -ge 10
else
	skip "no umoci, or not root"
fi
# ---- a link of the base, as /bin is one today: a new layer's names through it are those that it leads to ----
cat >"$T/usr.py" <<'END'
import sys
from ocilib import *
L = Layout(sys.argv[1] + "/base")
L.tag(L.manifest([L.layer(ent("usr/bin/", b"5", mode=0o755) + ent("usr/bin/old", data=b"o") + ent("bin", b"2", link="usr/bin") +
                          ent("d/e/", b"5", mode=0o755) + ent("abs", b"2", link="/d/e") + END)]))
for i, l in enumerate([
    ent("usr/bin/x", data=b"first") + ent("bin/y", data=b"first") + ent("bin/z", data=b"first") + ent("abs/../up", data=b"1"),
    ent("bin/x", data=b"second") + ent("usr/bin/y", data=b"second") + ent("bin/.wh.z") + ent("bin/.wh.old") + ent("new/f", data=b"1"),
    ent("usr/bin/l", b"1", link="bin/x") + ent("abs/sub/f", data=b"1") + ent("new/.wh.f") + ent("bin/", b"5", mode=0o755) + ent("bin/own", data=b"1")]):
    with open("%s/%d.tar" % (sys.argv[1], i), "wb") as f:
        f.write(l + END)
END
mkdir "$T/usr"
PYTHONPATH=$tools python3 "$T/usr.py" "$T/usr"
cd "$T/usr" || exit 1
tar -C base -cf base.tar oci-layout index.json blobs
set -- --layer 0.tar --layer 1.tar --layer 2.tar
run mkmanifest -q -b base "$@" -o lay:plain
for how in base base.tar "- <base.tar" "- <pipe"; do
	rm -f pipe
	mkfifo pipe
	cat base.tar >pipe &
	run sh -c "mkmanifest -q -b $how --layer 0.tar --layer 1.tar --layer 2.tar --squash=new -o lay:new"
	[ "$how" = "- <pipe" ] || cat pipe >/dev/null
	wait
	rc_is 0 "--squash=new upon -b $how"
done
for t in plain new; do
	unpack -q lay:$t $t
	umoci raw unpack --rootless --image lay:$t u-$t >/dev/null 2>&1
done
is "$(cat new/usr/bin/x new/usr/bin/y; find new -mindepth 1 | sort | tr '\n' ' ')" \
	"secondsecondnew/abs new/bin new/bin/own new/d new/d/e new/d/e/sub new/d/e/sub/f new/d/up new/new new/usr new/usr/bin new/usr/bin/l new/usr/bin/x new/usr/bin/y " \
	"what links of the base lead to"
ok "as without squashing" "$tools/treecmp" --no-dir-mtime plain new
if have umoci; then
	# which takes .. away before it looks where links lead
	rm -f u-plain/up u-new/d/up
	ok "by umoci's eyes, too" "$tools/treecmp" --no-links --no-nlink --no-mtime --no-mode u-plain u-new
else
	skip "no umoci"
fi
# ---- a base that cannot be read to its end ----
cat >"$T/reset.py" <<'END'
import socket, struct, subprocess, sys
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
peer, _ = listener.accept()
peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
peer.send(b"x" * 600)
peer.close()
sys.exit(subprocess.run(sys.argv[1:], stdin=client).returncode)
END
run python3 "$T/reset.py" mkmanifest -q -b - --layer 0.tar --squash=new -o lay:reset
rc_is 69 "a stream that is reset"
is "$err" "mkmanifest: standard input: Connection reset by peer" "is told as that"
cp -R base bad
for f in bad/blobs/sha256/*; do
	gzip -t "$f" 2>/dev/null && printf '\377' | dd of="$f" bs=1 seek=9 conv=notrunc 2>/dev/null
done
for name in new/f bin/../f; do
	PYTHONPATH=$tools python3 -c 'import sys
from ocilib import *
sys.stdout.buffer.write(ent(sys.argv[1], data=b"1") + END)' $name >one.tar
	run mkmanifest -q -b bad --layer one.tar --squash=new -o lay:bad
	rc_is 65 "a layer of the base that is another one, below $name"
	is "$err" "mkmanifest: layer 1 of 2: digest mismatch" "is told as that, and as its own fault"
done
cd / || exit 1
done_testing
