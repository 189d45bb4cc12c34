#!/bin/sh
# kill -9 at many moments of pull -o and unpack: what is visible afterwards is whole, and a second run succeeds and
# leaves nothing of the first.
# shellcheck disable=SC2034 # for lib.sh
in_memory=1
. "${0%/*}/lib.sh"
need python3 jq
need_applet pull unpack
cached manyfiles-2000 sh -c '"$0" manyfiles "$1" 2000' "$tools/mkimage" || skip_all "no image"
img=$cached
man=$(jq -r '.manifests[0].digest' "$img/index.json")
tc=$tools/treecmp
HOME=$T DOCKER_CONFIG=$T/none
export HOME DOCKER_CONFIG

# measured CMD...: runs CMD; $T/took is how long that takes, in seconds
measured() {
	_t0=$(date +%s%N)
	"$@" >/dev/null 2>&1 </dev/null
	_t1=$(date +%s%N)
	_ms=$(((_t1 - _t0) / 1000000))
	[ $_ms -gt 10 ] || _ms=10
	echo "$_ms" | awk '{ print $1 / 1000 }' >"$T/took"
}

# killed K CMD...: runs CMD in a process group of its own, and kills it after K eighths of the time that it takes; waits until
# all of the group is gone. Where it has ended before it fails, and from then on what CMD takes is what it took now.
killed() {
	python3 - "$T/took" "$@" <<'END'
import ctypes, os, select, signal, subprocess, sys, time
file, k, cmd = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
took = float(open(file).read())
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: children of the killed are waited for, too
t = time.time()
p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
if select.select([os.pidfd_open(p.pid)], [], [], 0.001 + took * k / 8)[0]:
    open(file, "w").write("%.4f" % min(took, time.time() - t))
try:
    os.killpg(p.pid, signal.SIGKILL)
except ProcessLookupError:
    pass
status = p.wait()
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
sys.exit(0 if status < 0 else 1)
END
}
# often CMD...: CMD K for moments all over a run; and again, early in it, while it has not been killed at work three times
often() {
	for k in 0 1 2 3 4 5 6 7 8; do "$@" $k; done
	for k in 1 2 1 0 1 2 1 0 1 0 1 0 1 0 1 0; do [ $hit -ge 3 ] || "$@" $k; done
}

# ---- unpack: DIR is there whole, or not at all ----
unpack -q "$img" "$T/want"
hit=0 partial='' residue='' second=''
mkdir "$T/u"
measured unpack -q "$img" "$T/u/dir"
rm -rf "$T/u/dir"
kill_unpack() {
	killed $1 unpack -q "$img" "$T/u/dir" && hit=$((hit + 1))
	if [ -e "$T/u/dir" ]; then
		"$tc" "$T/want" "$T/u/dir" >"$T/diff" 2>&1 || partial="$partial $1: $(head -n 3 "$T/diff")"
		rm -rf "$T/u/dir"
	fi
	unpack -q "$img" "$T/u/dir" 2>"$T/err" || second="$second $1: $(cat "$T/err")"
	left=$(ls -A "$T/u")
	[ "$left" = dir ] || residue="$residue $1: $left"
	"$tc" "$T/want" "$T/u/dir" >"$T/diff" 2>&1 || second="$second $1: another tree: $(head -n 3 "$T/diff")"
	rm -rf "$T/u/dir"
}
often kill_unpack
took=$(cat "$T/took")
ok "unpack: killed at work ($hit times)" test $hit -ge 3
is "$partial" "" "unpack: DIR is never there in part"
is "$second" "" "unpack: the second run succeeds"
is "$residue" "" "unpack: and removes what the first left"
rm -rf "$T/u"

# a signal that can be caught leaves nothing at all
mkdir "$T/u"
for s in TERM INT HUP; do
	for k in 2 5; do
		python3 -c '
import os, signal, subprocess, sys, time
p = subprocess.Popen(sys.argv[4:], stderr=subprocess.DEVNULL, preexec_fn=lambda: [signal.signal(s, signal.SIG_DFL) for s in (1, 2, 15)])
time.sleep(float(sys.argv[3]) * int(sys.argv[2]) / 8)
p.send_signal(getattr(signal, "SIG" + sys.argv[1]))
t = time.time()
r = p.wait()
if r < 0 and time.time() - t < 60 and -r == getattr(signal, "SIG" + sys.argv[1]): print("signal")
elif r == 0: print("done")
else: print("status", r, time.time() - t)' $s $k "$took" unpack -q "$img" "$T/u/dir" >"$T/how"
		[ "$(cat "$T/how")" != done ] || rm -rf "$T/u/dir"
		is "$(sed 's/^done$/signal/' "$T/how") $(ls -A "$T/u")" "signal " "unpack: SIG$s after $k/8 of its time ends it by that signal, without residue"
		rm -rf "$T/u/dir"
	done
done

# also at the moments between the making of the hidden directory and the beginning of the work
if have strace && strace -qq -o "$T/calls" -e inject=mkdirat:signal=CONT:when=1 true 2>/dev/null; then
	mkdir "$T/fill"
	for c in mkdirat flock fchmod clone,fork; do
		strace -qq -o "$T/calls" -e trace=$c -e inject=$c:signal=TERM:when=1 unpack -q "$img" "$T/u/dir" 2>/dev/null
		like "$? $(ls -A "$T/u")" '^(143|0) $' "unpack: SIGTERM in $c ends it without residue"
		grep -q SIGTERM "$T/calls" || fail "there was a SIGTERM in $c"
		(cd "$T/fill" && strace -qq -o "$T/calls" -e trace=$c -e inject=$c:signal=TERM:when=1 unpack -q "$img" . 2>/dev/null)
		is "$(ls -A "$T/fill")" "" "unpack into .: SIGTERM in $c ends it without residue"
	done
	rmdir "$T/fill"
else
	skip "strace cannot send signals here"
fi

# a directory that is filled: what a kill leaves, the next run finishes or empties
bad=''
for k in 0 1 2 3 4 5 6 7 8; do
	mkdir "$T/fill"
	(cd "$T/fill" && killed $k unpack -q "$img" .)
	# one that was killed when all was there has nothing left to do
	(cd "$T/fill" && unpack -q "$img" . 2>"$T/err") || grep -q 'not empty' "$T/err" || bad="$bad $k: $(cat "$T/err")"
	"$tc" --no-root "$T/want" "$T/fill" >"$T/diff" 2>&1 || bad="$bad $k: $(head -n 1 "$T/diff")"
	rm -rf "$T/fill"
done
is "$bad" "" "unpack into .: the run after a kill ends with the whole tree"

# -l: each layer directory whole or absent
bad=''
unpack -q -l "$img" "$T/lwant" >"$T/list"
for k in 1 3 5 7; do
	killed $k unpack -q -l "$img" "$T/ly"
	for d in "$T/ly"/trusted/sha256-* "$T/ly"/user/sha256-*; do
		[ -e "$d" ] || continue
		"$tc" "$T/lwant/${d#"$T/ly/"}" "$d" >"$T/diff" 2>&1 || bad="$bad $k: ${d##*/} in part: $(head -n 1 "$T/diff")"
	done
	unpack -q -l "$img" "$T/ly" >/dev/null 2>"$T/err" || bad="$bad $k: second run: $(cat "$T/err")"
	[ "$(ls -A "$T/ly"/*/ | sed "s#^$T/ly/##")" = "$(ls -A "$T/lwant"/*/ | sed "s#^$T/lwant/##")" ] || bad="$bad $k: $(ls -A "$T/ly"/*)"
	rm -rf "$T/ly"
done
is "$bad" "" "unpack -l: every layer directory is whole or absent"
rm -rf "$T/lwant"

# ---- pull -o: the layout is valid at every moment, and a partial is resumed ----
layer=$(jq -r '.layers[1].digest' "$img/blobs/sha256/${man#sha256:}")
size=$(jq -r '.layers[1].size' "$img/blobs/sha256/${man#sha256:}")
start_faultd f "{\"servers\":{\"A\":{\"repos\":{\"*\":\"$img\"}}},
	\"rules\":[{\"path\":\"^/v2/slow/.*/blobs/\",\"do\":{\"drip\":$((size * 3))}},
		{\"path\":\"^/v2/slower/.*/blobs/\",\"do\":{\"drip\":$((size / 10))}}]}"
check() { # LAYOUT: all visible blobs are whole; index.json names only what is there
	(cd "$1/blobs/sha256" 2>/dev/null || exit 0
	for b in [0-9a-f]*; do
		[ ! -e "$b" ] || [ "$(sha256sum <"$b" | cut -d' ' -f1)" = "$b" ] || { echo "wrong blob $b"; exit 1; }
	done) || return
	[ ! -e "$1/index.json" ] || jq -r '.manifests[].digest' "$1/index.json" >"$T/named" || { echo "index.json"; return 1; }
	[ ! -e "$1/index.json" ] || for d in $(cat "$T/named"); do
		for x in "$d" $(jq -r '.config.digest, .layers[].digest' "$1/blobs/sha256/${d#sha256:}"); do
			[ -f "$1/blobs/sha256/${x#sha256:}" ] || { echo "no $x"; return 1; }
		done
	done
}
hit=0 bad='' second='' i=0
measured pull -q -o "$T/l:x" "$addr/slow/app"
rm -rf "$T/l"
kill_pull() {
	killed $1 pull -q -o "$T/l:x" "$addr/slow/app" && hit=$((hit + 1)) was=killed || was=whole
	out=$(check "$T/l" 2>&1) || bad="$bad $1: $out"
	# every second layout that is not whole stays, so that partials are met by the next kill
	i=$((i + 1))
	if [ $((i % 2)) = 0 ] || [ $was = whole ]; then
		pull -q -o "$T/l:x" "$addr/fast/app" 2>"$T/err" || second="$second $1: $(cat "$T/err")"
		out=$(check "$T/l" 2>&1) || second="$second $1: $out"
		[ "$(ls -A "$T/l/blobs/sha256" | grep -vc '^[0-9a-f]\{64\}$')" = 0 ] || second="$second $1: $(ls -A "$T/l/blobs/sha256")"
		rm -rf "$T/l"
	fi
}
often kill_pull
ok "pull -o: killed at work ($hit times)" test $hit -ge 3
is "$bad" "" "pull -o: the layout is valid at every moment"
is "$second" "" "pull -o: the second run succeeds and leaves no partial"
rm -rf "$T/l"

# ---- mkmanifest -o: the layout is valid whenever ----
if [ -e "$T/bin/mkmanifest" ]; then
	mkdir "$T/more"
	head -c 30000000 /dev/urandom >"$T/more/file"
	tar -C "$T/more" -cf "$T/more.tar" .
	add() { mkmanifest -q -b "$img" --layer - -o "$T/l:x" <"$T/more.tar"; }
	hit=0 bad='' second='' i=0
	measured add
	rm -rf "$T/l"
	kill_mkmanifest() {
		killed $1 sh -c 'exec mkmanifest -q -b "$1" --layer - -o "$2:x" <"$3"' sh "$img" "$T/l" "$T/more.tar" && hit=$((hit + 1)) was=killed || was=whole
		out=$(check "$T/l" 2>&1) || bad="$bad $1: $out"
		i=$((i + 1))
		if [ $((i % 2)) = 0 ] || [ $was = whole ]; then
			add 2>"$T/err" || second="$second $1: $(cat "$T/err")"
			out=$(check "$T/l" 2>&1) || second="$second $1: $out"
			[ "$(ls -A "$T/l/blobs/sha256" | grep -vc '^[0-9a-f]\{64\}$')" = 0 ] || second="$second $1: $(ls -A "$T/l/blobs/sha256")"
			rm -rf "$T/l"
		fi
	}
	often kill_mkmanifest
	ok "mkmanifest -o: killed at work ($hit times)" test $hit -ge 3
	is "$bad" "" "mkmanifest -o: the layout is valid at every moment"
	is "$second" "" "mkmanifest -o: the second run succeeds and leaves no partial"
	rm -rf "$T/l" "$T/more" "$T/more.tar"
else
	skip "no mkmanifest in this binary" 3
fi

# interrupted: kills a pull in the middle of a blob
interrupted() {
	pull -q -o "$T/l:x" "$addr/slower/app" </dev/null 2>/dev/null &
	p=$!
	wait_for 120 sh -c 'find "$1" -name ".partial-*" -size +20k | grep -q .' sh "$T/l"
	kill -9 $p
	wait $p 2>/dev/null
}
interrupted
: >"$T/f/log"
run pull -q -o "$T/l:x" "$addr/again/app"
rc_is 0 "pull -o: after a kill in the middle of a blob"
ok "goes on with Range" jq -se 'any(.[]; .headers.range | tostring | test("bytes=[1-9]"))' "$T/f/log"
ok "and is whole" check "$T/l"
rm -rf "$T/l"

# a partial whose bytes are wrong is found out and fetched from zero
interrupted
hurt=0
for p in "$T"/l/blobs/sha256/.partial-*; do
	[ -s "$p" ] && printf X | dd of="$p" bs=1 seek=10 conv=notrunc 2>/dev/null && hurt=$((hurt + 1))
done
ok "a partial is damaged" test $hurt -ge 1
run pull -q -o "$T/l:x" "$addr/again/app"
rc_is 0 "pull -o: a damaged partial"
ok "is fetched anew" check "$T/l"
rm -rf "$T/l"

# the pipe: a kill of the source leaves no tree
mkdir "$T/p"
for ms in 50 150; do
	sh -c 'timeout -s KILL 0.$1 pull -q "$2" | unpack -q "$3" 2>"$4"; echo $? >"$5"' sh "$(printf %03d $ms)" "$addr/slower/app" "$T/p/dir" "$T/err" "$T/st" 2>/dev/null
	like "$(cat "$T/st")" '^(65|66)$' "pull | unpack: the source is killed after $ms ms"
	is "$(ls -A "$T/p")" "" "and no tree is left"
done
done_testing
