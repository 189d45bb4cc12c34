#!/bin/sh
# unpack itself: where DIR may be, what is left behind, options and limits. What layers may do to a tree is in
# unpack-hostile.t, the comparison with other tools in unpack-peers.t.
. "${0%/*}/lib.sh"
need python3 jq
need_applet unpack
tc=$tools/treecmp

# img NAME PYTHON-EXPRESSION...: an image $T/NAME of these layers (bytes)
img() {
	_name=$1
	shift
	PYTHONPATH=$tools python3 -c '
import sys
from ocilib import *
D = lambda n, **k: ent(n, b"5", **dict({"mode": 0o755}, **k))
F = lambda n, data=b"", **k: ent(n, data=data, **k)
H = lambda n, to: ent(n, b"1", link=to)
L = lambda n, to: ent(n, b"2", link=to)
l = Layout(sys.argv[1])
l.tag(l.manifest([l.layer(eval("(" + s + ")") + END) for s in sys.argv[2:]],
	config={"Cmd": ["/bin/sh"], "Env": ["A=b"], "WorkingDir": "/work", "User": "me"}))' "$T/$_name" "$@" || fail "image $_name"
}
img small 'D("./", mode=0o751, mtime=1000000000) + D("etc/") + F("etc/passwd", b"me:x:7:8::/home/me:/bin/sh\n") +
	F("su", b"x", mode=0o6755, uid=3, gid=4) + F("etc/keep.txt", b"k") + pax([("SCHILY.xattr.user.x", "1")]) + F("xa")'
stream() { tar -C "$1" -cf - oci-layout index.json blobs; }

# ---- usage ----
run unpack
rc_is 64 "no operand"
run unpack a b c
rc_is 64 "too many operands"
run unpack -b -l "$T/small" "$T/x"
rc_is 64 "-b with -l"
run unpack --ignore-failed=xattr,nothing "$T/small" "$T/x"
rc_is 64 "--ignore-failed of something unknown"
like "$err" 'nothing' "which is named"
run unpack "$T/x"
rc_is 66 "empty standard input"
like "$err" '^unpack: standard input is empty' "which is said"
run sh -c 'echo garbage | unpack "$1"' sh "$T/x"
rc_is 65 "standard input that is no image"
run unpack "$T/nowhere" "$T/x"
rc_is 66 "no such image"
is "$(ls -A "$T" | grep -i ocibox)" "" "a failure leaves nothing"

# ---- DIR ----
run unpack "$T/small" "$T/d"
rc_is 0 "a new DIR"
is "$(stat -c '%a %Y' "$T/d")" "751 1000000000" "the root has its mode and time"
run unpack "$T/small" "$T/d"
rc_is 73 "a DIR that is not empty"
like "$err" "unpack: .*/d is not empty" "which is said"
run unpack "$T/small" "$T/d/su"
rc_is 73 "a DIR that is a file"
cp -a "$T/d" "$T/want"
rm -rf "$T/d"
mkdir -m 700 "$T/d"
run unpack "$T/small" "$T/d///"
rc_is 0 "an empty DIR, with slashes behind"
ok "the tree" "$tc" "$T/want" "$T/d"
rm -rf "$T/d"
mkdir "$T/elsewhere"
ln -s elsewhere/real "$T/link"
run unpack "$T/small" "$T/link"
rc_is 0 "a DIR that is a link to what does not exist yet"
ok "the tree is where it points" "$tc" "$T/want" "$T/elsewhere/real"
ok "the link is still one" test -h "$T/link"
rm -rf "$T/elsewhere/real"
mkdir "$T/elsewhere/real"
run unpack "$T/small" "$T/link"
ok "a link to an empty directory: the tree is there" "$tc" "$T/want" "$T/elsewhere/real"
rm -rf "$T/elsewhere" "$T/link"
for o in '' -l; do
	run unpack ${o:+"$o"} "$T/small" "$T/no/such/parent"
	rc_is 73 "a parent that is not there${o:+, $o}"
done
long=$(printf '%0250d' 0)
run unpack "$T/small" "$T/$long"
rc_is 0 "a DIR of 250 letters"
rm -rf "$T/$long"

# a stream that stops in the middle: what is there meanwhile
stream "$T/small" >"$T/s.tar"
mkfifo "$T/pipe"
# held DIR: it is there, and somebody has locked it
held() { [ -d "$1" ] && ! flock -n "$1" true; }
for mask in 000 077; do
	mkdir -m 755 "$T/w"
	(umask $mask; exec unpack -q "$T/w/d" <"$T/pipe" 2>"$T/first.err") &
	first=$!
	exec 7>"$T/pipe"
	head -c 1024 "$T/s.tar" >&7
	wait_for 60 held "$T/w/.d.ocibox"
	is "$(cd "$T/w" && ls -A)" ".d.ocibox" "umask $mask: only a hidden directory is there meanwhile"
	is "$(stat -c %a "$T/w/.d.ocibox")" 700 "umask $mask: which nobody else can enter (T18)"
	run unpack "$T/small" "$T/w/d"
	rc_is 73 "umask $mask: a second run into the same DIR"
	like "$err" 'another process' "umask $mask: which is said"
	tail -c +1025 "$T/s.tar" >&7
	exec 7>&-
	wait $first
	is "$? $(cat "$T/first.err")" "0 " "umask $mask: the first one succeeds"
	ok "umask $mask: with the whole tree (T18)" "$tc" "$T/want" "$T/w/d"
	rm -rf "$T/w"
done

# as under nohup: what is ignored ends nothing
(trap '' HUP; exec unpack -q "$T/d" <"$T/pipe" 2>"$T/first.err") &
first=$!
exec 7>"$T/pipe"
head -c 1024 "$T/s.tar" >&7
wait_for 60 held "$T/.d.ocibox"
kill -HUP $first
tail -c +1025 "$T/s.tar" >&7
exec 7>&-
wait $first
is $? 0 "a hangup that is ignored ends nothing: $(cat "$T/first.err")"
ok "the tree is there" "$tc" "$T/want" "$T/d"
rm -rf "$T/d"

# a run that was killed, and has not let go yet
mkdir -m 700 "$T/.d.ocibox"
(exec flock "$T/.d.ocibox" sleep 1) &
first=$!
wait_for 60 held "$T/.d.ocibox"
run unpack -q "$T/small" "$T/d"
rc_is 0 "one that still holds the hidden directory for a second is waited for"
wait $first
rm -rf "$T/d"

# ---- DIR that is filled ----
mkdir "$T/here"
run sh -c 'cd "$1" && unpack "$2" .' sh "$T/here" "$T/small"
rc_is 0 "the working directory is filled"
ok "with the tree" "$tc" "$T/want" "$T/here"
run sh -c 'cd "$1" && unpack "$2" .' sh "$T/here" "$T/small"
rc_is 73 "and not filled twice"
rm -rf "$T/here"
# another puts something into it meanwhile, of a name that the image has, too
mkdir "$T/here"
(cd "$T/here" && exec unpack -q . <"$T/pipe" 2>"$T/first.err") &
first=$!
exec 7>"$T/pipe"
head -c 1024 "$T/s.tar" >&7
wait_for 60 test -d "$T/here/.ocibox-staging/root"
mkdir "$T/here/etc"
echo precious >"$T/here/etc/mine"
tail -c +1025 "$T/s.tar" >&7
exec 7>&-
wait $first
is $? 73 "a working directory that another fills meanwhile: $(cat "$T/first.err")"
like "$(cat "$T/first.err")" 'by another meanwhile' "which is said"
is "$(cat "$T/here/etc/mine")" precious "his files stay"
is "$(ls -A "$T/here")" etc "and ours go"
rm -rf "$T/here"
# as a run leaves it that was killed while it moved the tree up
mkdir -p "$T/here/.ocibox-staging/root/usr" "$T/here/etc" "$T/here/mine"
printf 'etc\0usr\0' >"$T/here/.ocibox-staging/names"
chmod 700 "$T/here/.ocibox-staging"
run sh -c 'cd "$1" && unpack "$2" .' sh "$T/here" "$T/small"
rc_is 73 "after a kill: what was not moved up is not touched"
ok "it is still there" test -d "$T/here/mine"
nok "what was moved up is gone" test -e "$T/here/etc"
rmdir "$T/here/mine"
run sh -c 'cd "$1" && unpack "$2" .' sh "$T/here" "$T/small"
rc_is 0 "then it is filled"
ok "with the tree" "$tc" "$T/want" "$T/here"
rm -rf "$T/here"
if is_root; then
	cat >"$T/mounts" <<'END'
mount -t tmpfs none "$1" || exit 99
mkdir -m 700 "$1/lost+found"
unpack "$2" "$1" || exit
rmdir "$1/lost+found"
"$3" --no-root "$4" "$1"
END
	mkdir "$T/m"
	run unshare -m sh "$T/mounts" "$T/m" "$T/small" "$tc" "$T/want"
	rc_is 0 "a mount point is filled, on another file system (T08)"
	rmdir "$T/m"
	mkdir -p "$T/ro/d"
	chown "$(user_name nosub)" "$T/ro/d"
	run as_user_nosub unpack "$T/small" "$T/ro/d"
	rc_is 0 "a DIR in a parent that cannot be written is filled"
	is "$(ls -A "$T/ro")" d "nothing is beside it"
	ok "with the tree" "$tc" --no-owner --no-setid "$T/want" "$T/ro/d"
	run as_user_nosub unpack --remove "$T/ro/d"
	rm -rf "$T/ro"
	# somebody else's directory of the hidden name
	mkdir -m 1777 "$T/sticky"
	mkdir "$T/sticky/.d.ocibox"
	run as_user_nosub unpack "$T/small" "$T/sticky/d"
	rc_is 73 "another user's directory of the hidden name is not used (T18)"
	chown "$(user_name nosub)" "$T/sticky/.d.ocibox"
	run unpack "$T/small" "$T/sticky/d"
	rc_is 0 "root makes it anew"
	is "$(stat -c %u "$T/sticky/d")" 0 "as his own"
	rm -rf "$T/sticky"
fi

# ---- T05: directories are exchanged for links all the time ----
mkdir -p "$T/victim/in" "$T/race"
img racy 'b"".join(D("a/") + F("a/f%d" % i, b"x" * 100) + D("b/") + F("b/f%d" % i, mode=0o600) +
	H("b/h%d" % i, "b/f%d" % i) + F("a/in/g%d" % i) for i in range(500))' 'D("a/") + b"".join(F("a/in/.wh.g%d" % i) + F("a/.wh.f%d" % i) for i in range(500))'
echo secret >"$T/victim/f1"
echo secret >"$T/victim/in/g1"
before=$("$tc" --hash "$T/victim")
cat >"$T/racer.py" <<'END'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
stage, victim = sys.argv[1:]
n, enough = 0, False
open(sys.argv[1] + ".racing", "w").close()
while os.path.exists(sys.argv[1] + ".go"):
    for d in (b"a", b"b"):
        s = os.fsencode(stage)
        try:
            os.symlink(victim, s + b"/evil")
        except OSError:
            pass
        # RENAME_EXCHANGE, there and back
        for _ in range(2):
            n += libc.renameat2(-100, s + b"/evil", -100, s + b"/" + d, 2) == 0
    if n > 100 and not enough:
        enough = True
        open(sys.argv[1] + ".enough", "w").close()
print(n)
END
go=$T/race/.d.ocibox
touch "$go.go"
python3 "$T/racer.py" "$go" "$T/victim" >"$T/swaps" &
racer=$!
wait_for 60 test -e "$go.racing"
k=0
# thousands of exchanges while eight runs create and remove; more runs where the racer had no turn
while [ $k -lt 8 ] || { [ ! -e "$go.enough" ] && [ $k -lt 500 ]; }; do
	unpack -q "$T/racy" "$T/race/d" 2>/dev/null
	rm -rf "$T/race/d"
	k=$((k + 1))
done
rm "$go.go"
wait $racer
diag "T05: $(cat "$T/swaps") exchanges, $k runs"
ok "T05: there was a race" test "$(cat "$T/swaps")" -gt 100
is "$("$tc" --hash "$T/victim")" "$before" "T05: the victim is as it was"
rm -rf "$T/race" "$T/victim" "$T/racy"

# ---- options ----
run unpack --exclude 'etc/*' --exclude su "$T/small" "$T/x"
rc_is 0 "--exclude"
is "$(cd "$T/x" && find . | LC_ALL=C sort | tr '\n' ' ')" ". ./etc ./xa " "leaves out what matches"
rm -rf "$T/x"
run unpack --exclude etc "$T/small" "$T/x"
nok "an excluded directory goes with all that is in it" test -e "$T/x/etc"
rm -rf "$T/x"
run unpack --no-xattrs "$T/small" "$T/x"
rc_is 0 "--no-xattrs"
if have getfattr; then is "$(getfattr -R --absolute-names "$T/x" 2>/dev/null)" "" "leaves out xattrs"; fi
rm -rf "$T/x"
run unpack --no-same-owner "$T/small" "$T/x"
rc_is 0 "--no-same-owner"
is "$(stat -c %u:%g:%a "$T/x/su")" "$(id -u):$(id -g):755" "leaves out owner, setuid and setgid"
like "$err" '1 files? without .*setuid' "which is said"
rm -rf "$T/x"
run unpack --sync "$T/small" "$T/x"
rc_is 0 "--sync"
ok "the tree" "$tc" "$T/want" "$T/x"
rm -rf "$T/x"
img dev 'ent("null", b"3", dev=(1, 3), mode=0o666) + ent("b", b"4", dev=(7, 0)) + F("f")'
run unpack --no-devices "$T/dev" "$T/x"
rc_is 0 "--no-devices"
is "$(ls "$T/x")" f "leaves them out"
like "$err" '2 device nodes left out' "which is said"
rm -rf "$T/x"
img badx 'pax([("SCHILY.xattr.nowhere.x", "1")]) + F("f") + F("g")'
run unpack "$T/badx" "$T/x"
like "$err" 'f: cannot set nowhere.x: ' "an xattr that cannot be kept is an error that names the file"
run unpack --ignore-failed=xattr "$T/badx" "$T/x"
rc_is 0 "--ignore-failed=xattr"
like "$err" '1 extended attributes left out' "counts it"
rm -rf "$T/x"

# ---- limits: each message names the option ----
img limits 'D("d/") + F("d/f", b"x" * 5000) + D("a/b/c/d/e/f/") + F("n" * 90) + F("zeros", b"\0" * 3000000)'
limit() {
	run unpack "$1" "$T/limits" "$T/x"
	rc_is 65 "$1 (T81)"
	like "$err" "--${2:-$(expr "$1" : '--\([a-z-]*\)')}" "$1: the message names the option"
	nok "$1: nothing is left" test -e "$T/x"
}
limit --max-entries=4
limit --max-size=4k
limit --max-file-size=4k
limit --max-depth=5
limit --max-name=80
limit --max-ratio=20
run unpack --max-entries=5 --max-size=3005000 --max-file-size=3000000 --max-depth=6 --max-name=90 --max-ratio=2000 "$T/limits" "$T/x"
rc_is 0 "limits that are just enough"
rm -rf "$T/x" "$T/limits"

# ---- --remove ----
mkdir -p "$T/gone/a/b" "$T/gone/host" "$T/host"
echo precious >"$T/host/mine"
if is_root; then
	run unshare -m sh -c 'mount --bind "$1/host" "$1/gone/host" && unpack --remove "$1/gone"' sh "$T"
	rc_is 71 "--remove of a tree into which something is mounted"
	is "$(cat "$T/host/mine")" precious "which is not touched"
else
	skip "mounts need root" 2
fi
run unpack --remove "$T/gone"
rc_is 0 "--remove"
nok "it is gone" test -e "$T/gone"
rm -r "$T/host"

# ---- groups ----
if is_root; then
	img groups 'D("d/", mode=0o2775, gid=50) + F("d/f") + D("d/s/", gid=50) + F("d/s/g") + D("e/", mode=0o2775, gid=50) + L("e/l", "f") + ent("e/p", b"6")'
	run unpack "$T/groups" "$T/x"
	rc_is 0 "directories that hand on their group"
	is "$(cd "$T/x" && stat -c '%n:%g:%a' d/f d/s d/s/g e/l e/p | tr '\n' ' ')" "d/f:0:644 d/s:50:755 d/s/g:0:644 e/l:0:777 e/p:0:644 " \
		"what is in them has the group that its entry says"
	rm -rf "$T/x" "$T/groups"
else
	skip "groups need root" 2
fi

# ---- whiteouts whose directory is reached through a link (T15) ----
img through 'D("usr/bin/") + F("usr/bin/old") + F("usr/bin/b") + L("bin", "usr/bin")' 'F("bin/.wh.old")'
run unpack "$T/through" "$T/x"
is "$rc $(ls "$T/x/usr/bin")" "0 b" "T15 a whiteout through a link takes away what it leads to"
rm -rf "$T/x"
run unpack -l "$T/through" "$T/x"
is "$rc $(find "$T/x"/*/* -name old | wc -l)" "0 2" "T15 as a layer for overlayfs, too"
rm -rf "$T/x" "$T/through"

# ---- the lowest layer hides nothing, whatever the order of its entries ----
img lowest 'D("d/") + F(".wh.d") + D("o/") + F("o/f") + F("o/.wh..wh..opq") + F("x") + F(".wh.x")'
run unpack "$T/lowest" "$T/x"
is "$rc $(cd "$T/x" && echo *)" "0 d o x" "whiteouts of the lowest layer hide nothing that it made"
rm -rf "$T/x"
run unpack -l "$T/lowest" "$T/x"
is "$rc $(cd "$T/x"/*/* && echo * o/*)" "0 d o x o/f" "nor do they as a layer for overlayfs"
rm -rf "$T/x" "$T/lowest"

# ---- directories deeper than the stack of a recursion (T13) ----
deep='b"".join(pax([("path", "d/" * i)]) + D("d/") for i in range(1, 1500))'
img deep "F('a') + $deep" "$deep + F('d/.wh..wh..opq')" "$deep + F('d/.wh..wh..opq') + F('b')" 'F(".wh.d")'
run sh -c 'ulimit -s 512 && unpack "$1" "$2"' sh "$T/deep" "$T/x"
rc_is 0 "T13 whiteouts of directories 1500 deep"
is "$(ls "$T/x" | tr '\n' ' ')" "a b " "T13 they are gone"
rm -rf "$T/x"
run sh -c 'ulimit -s 512 && unpack -l "$1" "$2"' sh "$T/deep" "$T/x"
rc_is 0 "T13 the same, a directory for each layer"
rm -rf "$T/x" "$T/deep"

# ---- holes ----
img holes 'F("z", b"\0" * (1 << 20)) + F("m", b"a" * 70000 + b"\0" * 400000 + b"b") + F("e", b"a" + b"\0" * 65535) + F("t", b"x" * 65536 + b"\0" * 200000)'
run unpack "$T/holes" "$T/x"
rc_is 0 "runs of zeros"
is "$(stat -c %s:%b "$T/x/z")" 1048576:0 "nothing but zeros takes no room"
ok "zeros inside take little" test "$(stat -c %b "$T/x/m")" -le 400
PYTHONPATH=$tools python3 - "$T/x" >"$T/out" <<'END'
import sys
w = {"z": b"\0" * (1 << 20), "m": b"a" * 70000 + b"\0" * 400000 + b"b", "e": b"a" + b"\0" * 65535, "t": b"x" * 65536 + b"\0" * 200000}
print([n for n in w if open(sys.argv[1] + "/" + n, "rb").read() != w[n]])
END
is "$(cat "$T/out")" "[]" "and the contents are right"
rm -rf "$T/x" "$T/holes"

# ---- bundle ----
run unpack -b "$T/small" "$T/b"
rc_is 0 "-b"
is "$(ls -A "$T/b" | tr '\n' ' ')" "config.json rootfs " "a bundle"
ok "its rootfs is the tree" "$tc" "$T/want" "$T/b/rootfs"
is "$(jq -r '[.process.args[0], .process.cwd, .root.path, .process.user.uid, .process.user.gid] | map(tostring) | join(" ")' "$T/b/config.json")" \
	"/bin/sh /work rootfs 7 8" "its config.json, the user looked up in the tree"
is "$(stat -c %a "$T/b")" 700 "others cannot enter it (T18)"
rm -rf "$T/b"

# ---- layers ----
img three 'D("d/", mode=0o750, uid=5, mtime=1000000001) + F("d/a", b"1") + L("l", "d")' 'F("d/b", b"2") + H("c", "d/a") + F("l/x", b"x")' \
	'F("d/.wh.a") + D("new/")'
mkdir "$T/o:dd\\"
run unpack -l "$T/three" "$T/o:dd\\/ly"
rc_is 0 "-l"
like "$out" '/o\\:dd\\\\/ly/(trusted|user)/sha256-[0-9a-f]{64}:' "prints the list, with : and \\ escaped"
is "$(printf '%s' "$out" | sed 's/\\://g' | tr ':' '\n' | wc -l)" 2 "of three directories"
is "$(cd "$T/o:dd\\" && find ly -maxdepth 1 ! -perm 700)" "" "the store is closed to others (T18)"
form=$(ls "$T/o:dd\\/ly")
top_=$(printf '%s' "$out" | sed 's/\\\([:\\]\)/\1/g; s/.*\/ly\///; s/:.*//')
mid=$(for d in "$T/o:dd\\/ly/$form"/sha256-*; do [ -e "$d/c" ] && echo "$d"; done)
is "$(stat -c '%a %u %Y' "$mid/d")" "750 $(is_root && echo 5 || id -u) 1000000001" "an implied parent is as below"
ok "what goes through a link of a layer below lands where it leads" test -f "$mid/d/x"
is "$(stat -c %h "$mid/c")" 2 "a link into the layer below is copied up with its name"
rm -rf "$T/o:dd\\"
# two at once
unpack -q -l "$T/three" "$T/ly" >"$T/one" &
first=$!
unpack -q -l "$T/three" "$T/ly" >"$T/two"
second=$?
wait $first
is "$? $second" "0 0" "two at once succeed"
ok "and print the same" cmp "$T/one" "$T/two"
is "$(ls -A "$T/ly/$form" | grep -c '^sha256-') $(ls -A "$T/ly/$form" | grep -c partial)" "3 0" "each layer once"
mkdir -m 700 "$T/ly/$form/.sha256-$(printf '%064d' 0).partial"
unpack -q -l "$T/three" "$T/ly" >/dev/null
nok "a partial of a killed run goes" test -e "$T/ly/$form/.sha256-$(printf '%064d' 0).partial"
rm -rf "$T/ly"

# an ordinary user's layers, mounted in his namespace
if is_root && have mount unshare && as_user unshare -Urm --map-auto mount -t tmpfs none /mnt 2>/dev/null; then
	mkdir -m 777 "$T/w"
	run as_user unpack -q "$T/three" "$T/w/merged"
	run as_user unpack -q -l "$T/three" "$T/w/ly"
	rc_is 0 "-l of an ordinary user"
	like "$out" '/user/sha256' "makes the layers in user/"
	cat >"$T/mounts" <<'END'
mkdir "$3/m" "$3/below"
mount -t overlay -o "userxattr,lowerdir=$2:$3/below" none "$3/m" || exit 99
"$1" --no-root --no-nlink "$3/merged" "$3/m"
END
	run as_user unshare -Urm --map-auto sh "$T/mounts" "$tc" "$out" "$T/w"
	if [ "$rc" = 99 ]; then skip "no overlay for users here"; else rc_is 0 "mounted they are the tree (T16)"; fi
	as_user unpack --remove "$T/w/merged"
	as_user unpack --remove "$T/w/ly"
	rm -rf "$T/w"
fi

# ---- small files of which there are many are written by a second thread: nothing else may come of it ----
# writers NAME STATUS MESSAGE LAYER...: with one writer and with two, the same
writers() {
	_what=$1 _rc=$2 _like=$3
	shift 3
	img writers "$@"
	rm -rf "$T/one" "$T/two"
	run taskset -c "$cpu" unpack -q "$T/writers" "$T/one"
	rc_is "$_rc" "$_what, with one writer"
	like "$err" "$_like" "and says why"
	run unpack -q "$T/writers" "$T/two"
	rc_is "$_rc" "$_what, with two"
	like "$err" "$_like" "and says why"
	[ "$_rc" != 0 ] || ok "$_what: the same tree" "$tc" "$T/one" "$T/two"
	rm -rf "$T/one" "$T/two" "$T/writers"
}
if have taskset; then
	cpu=$(taskset -cp $$ | sed 's/.*: *//; s/[-,].*//')
	many='b"".join(F("s/f%d" % i, b"x") for i in range(300)) + '
	not_dir='^unpack: .*x/(z/)?y: its parent is not a directory'
	writers "a file in place of a directory below, and a name below it" 65 "$not_dir" \
		'D("x/") + F("x/old")' "$many"'F("x", b"1") + F("x/y", b"2")'
	writers "and one that asks for directories" 65 "$not_dir" 'D("x/")' "$many"'F("x", b"1") + F("x/z/y", b"2")'
	writers "a file in place of a link to a directory" 65 "$not_dir" \
		'D("d/") + L("x", "d")' "$many"'F("x", b"1") + F("x/y", b"2")'
	writers "a file, and a name below it" 65 "$not_dir" "$many"'F("x", b"1") + F("x/y", b"2")'
	writers "a file, and a name below it by a link" 65 'l/y: its parent is not a directory' \
		'D("x/") + L("l", "x")' "$many"'F("x", b"1") + F("l/y", b"2")'
	writers "a file, and a name below it by dots" 65 'its parent is not a directory' \
		'D("x/") + D("d/")' "$many"'F("x", b"1") + F("d/../x/y", b"2")'
	writers "a file in place of a directory, which comes again" 0 '' \
		'D("x/") + F("x/old")' "$many"'F("x", b"1") + D("x/") + F("x/y", b"2")'
	if have setfacl && setfacl -m u:77:r "$T/bin" 2>/dev/null; then
		setfacl -b "$T/bin"
		writers "an ACL that names a user of the same layer" 0 '' "$many"'F("etc/passwd", b"lisa:x:7:7::/:/bin/sh\n") +
			pax([("SCHILY.acl.access", "user::rw-,user:lisa:r--,group::r--,mask::r--,other::---")]) + F("f", mode=0o640)'
	fi
fi

# ---- without a user namespace: in a chroot there is none to be had ----
if is_root && have setpriv chroot; then
	mkdir -m 777 "$T/w"
	mkdir "$T/rootfs"
	img plain 'D("r/", mode=0o555) + F("r/f", b"1", mode=0o400, uid=7) + D("r/n/", mode=0) + F("r/n/x", mode=0) + D("d/", mode=0o4700, uid=9) +
		pax([("SCHILY.xattr.user.x", "1")]) + F("ro", b"2", mode=0o444) + ent("null", b"3", dev=(1, 3))' 'F("r/.wh.f") + F("r/n/y", b"3")'
	cat >"$T/mounts" <<'END'
mount --rbind / "$1" || exit 99
exec chroot "$1" setpriv --reuid "$2" --regid "$2" --clear-groups env PATH="$5" unpack "$3" "$4"
END
	run unshare -m --propagation private sh "$T/mounts" "$T/rootfs" 54321 "$T/plain" "$T/w/d" "$PATH"
	rc_is 0 "a plain caller, without a namespace"
	is "$(cd "$T/w/d" && find . ! -type l -printf '%p %m %U\n' | LC_ALL=C sort | tr '\n' ';')" \
		". 755 54321;./d 700 54321;./r 555 54321;./r/n 0 54321;./r/n/x 0 54321;./r/n/y 644 54321;./ro 444 54321;" "all modes come right in the end"
	like "$err" 'device nodes left out' "devices are told"
	# nested, and the outer one named after the inner one, in the same layer and in a later one
	img shut 'D("a/b/c/d/", mode=0) + F("a/b/c/d/f", mode=0) + D("a/b/c/", mode=0o200) + D("a/b/", mode=0o500) + D("a/", mode=0) +
		D("o/", mode=0o500) + D("o/o/", mode=0o500) + D("o/o/o/", mode=0o100) + D("o/o/o/e/", mode=0o400)' \
		'D("o/o/", mode=0) + D("o/", mode=0o400) + F("o/o/o/e/f", mode=0o400)'
	run unshare -m --propagation private sh "$T/mounts" "$T/rootfs" 54321 "$T/shut" "$T/w/s" "$PATH"
	rc_is 0 "directories that shut out their owner, in any order"
	is "$(cd "$T/w/s" && find . -mindepth 1 -printf '%p %m\n' | LC_ALL=C sort | tr '\n' ';')" \
		"./a 0;./a/b 500;./a/b/c 200;./a/b/c/d 0;./a/b/c/d/f 0;./o 400;./o/o 0;./o/o/o 100;./o/o/o/e 400;./o/o/o/e/f 400;" \
		"all modes come right in the end"
	rm -rf "$T/w" "$T/rootfs"
fi
if have setfacl getfacl && setfacl -d -m u:77:rwx "$T" 2>/dev/null; then
	run unpack "$T/small" "$T/x"
	is "$(getfacl -Rs --absolute-names "$T/x")" "" "a default ACL of the parent is handed to nothing"
	setfacl -b "$T"
	rm -rf "$T/x"
fi

# ---- a stream in a pipe, a stream file, a layout: the same tree ----
for how in pipe file redirected; do
	case $how in
	pipe) run sh -c 'cat "$1" | unpack "$2"' sh "$T/s.tar" "$T/x" ;;
	file) run unpack "$T/s.tar" "$T/x" ;;
	redirected) run_in unpack - "$T/x" <"$T/s.tar" ;;
	esac
	rc_is 0 "a stream: $how"
	ok "a stream, $how: the tree" "$tc" "$T/want" "$T/x"
	rm -rf "$T/x"
done
run sh -c 'head -c 3000 "$1" | unpack "$2"' sh "$T/s.tar" "$T/x"
rc_is 65 "a stream cut off (T14)"
# an error does not wait for a writer that neither goes on nor ends
img silent 'D("a/") + F("a", b"") + F("a/b") + F("noise", os.urandom(1 << 20))'
# shellcheck disable=SC2046 # names of digests
(cd "$T/silent" && tar -cf - oci-layout index.json $(ls -Sr blobs/sha256/*)) | head -c 60000 >"$T/s.tar"
for why in 'its parent is not a directory' 'more than 1 entries'; do
	limit=
	case $why in *entries) limit='--max-entries 1' ;; esac
	rm "$T/pipe"
	mkfifo "$T/pipe"
	exec 7<>"$T/pipe"
	(exec timeout 100 unpack -q $limit "$T/x" <"$T/pipe" 2>"$T/first.err" 7<&-) &
	first=$!
	cat "$T/s.tar" >&7
	wait $first
	is $? 65 "an error ends it while the writer is silent: $(cat "$T/first.err")"
	like "$(cat "$T/first.err")" "$why" "which is said"
	is "$(find "$T" -maxdepth 1 -name '.*ocibox')" "" "and nothing stays"
	exec 7<&-
done
rm -rf "$T/want"
done_testing
