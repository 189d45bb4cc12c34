#!/bin/sh
# What is counted and not timed: peak memory of each process, and system calls for each small file.
# shellcheck disable=SC2034 # for lib.sh
in_memory=1
. "${0%/*}/lib.sh"
need python3 jq strace
need_applet unpack
case $("$OCIBOX" --version) in *asan* | *tsan*) skip_all "a sanitizer's memory is not ours" ;; esac
if ldd "$OCIBOX" 2>/dev/null | grep -q '=> /'; then skip_all "not the static binary"; fi
limit=16384
HOME=$T DOCKER_CONFIG=$T/none
export HOME DOCKER_CONFIG

# rss CMD...: runs it; $rss is the peak of its largest process in KiB
rss() {
	run python3 -c '
import os, resource, subprocess, sys
r = subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL)
print("rss", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(r if r >= 0 else 128 - r)' "$@"
	rss=$(sed -n 's/^rss //p' "$T/err")
}
within() { ok "$1: $rss KiB at most $limit" test "${rss:-999999}" -le $limit; }

cached manyfiles-6000 sh -c '"$0" manyfiles "$1" 6000' "$tools/mkimage" || skip_all "no image"
img=$cached
rss unpack -q "$img" "$T/r"
rc_is 0 "unpack of 6,000 files"
within "memory"
rm -rf "$T/r"

"$tools/mklayers" --million "$T/million"
rss timeout 1200 unpack -q "$T/million" "$T/r"
rc_is 0 "unpack of 10^6 entries"
within "T13 memory with 10^6 entries"
rm -rf "$T/r"
if [ -e "$T/bin/inspect" ]; then
	rss sh -c 'exec inspect --files --merged --digests "$1" >"$2"' - "$T/million" "$T/list"
	rc_is 0 "a merged listing of 10^6 entries"
	within "its memory"
	rss inspect --verify "$T/million"
	rc_is 0 "and all of it verified"
	within "memory"
fi
rm -rf "$T/million" "$T/list"

"$tools/mklayers" "$T/cases" --only 'T*' >/dev/null
for c in T80-manifest-values T80-config-size T74-nesting-million T12-sparse-million T13-huge-pax T81-zstd-window T81-gzip-bomb; do
	o=$("$tools/mklayers" --options "$T/cases" | sed -n "s/^$c //p")
	rss unpack -q $o "$T/cases/$c" "$T/r"
	rc_is 65 "$c is refused"
	within "$c: memory"
done

# manifests and configs as large, or of as many values, as may be, in shapes that make large trees: read or refused
PYTHONPATH=$tools python3 - "$T" <<'END'
import json, sys
from ocilib import *
N = 99000
shapes = {
    "strings": lambda n: {"k%06d" % i: "v" * (n // N - 14) for i in range(N)},
    "escapes": lambda n: {"k%06d" % i: "\n" * (n // N // 2 - 8) for i in range(N)},
    "list": lambda n: ["v" * (n // N - 4)] * N,
    "long": lambda n: "v" * n,
    "long-keys": lambda n: {"%06d" % i + "k" * (n // N - 10): 0 for i in range(N)},
    "lists": lambda n: [[]] * N,
    "objects": lambda n: [{}] * N,
    "members": lambda n: [{"a": 0}] * (N // 2),
    "nested": lambda n: [[[[[[[[]]]]]]]] * (N // 8),
}
for name, shape in shapes.items():
    for where, size in ("manifest", (4 << 20) - 2000), ("config", (8 << 20) - 2000):
        l = Layout("%s/json/%s-%s" % (sys.argv[1], where, name))
        text = lambda o: json.dumps(o, separators=(",", ":")).encode()
        layer = l.layer(ent("f", data=b"x") + END)
        odd = {"org.example.odd": shape(size)}
        l.tag(l.manifest([layer], extra=odd if where == "manifest" else None,
            config_bytes=text(dict({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer[1]]}},
                **(odd if where == "config" else {})))))
END
for c in "$T"/json/*; do
	rss unpack -q "$c" "$T/r"
	like "$rc" '^(0|65)$' "a ${c##*/} is read or refused ($rc)"
	within "${c##*/}: memory"
	rm -rf "$T/r"
done
# a config that is changed is there twice: as it was, and as it will be
limit=32768
for c in "$T"/json/config-*; do
	for cmd in 'mkmanifest --label a=b -q -b' 'inspect --config'; do
		[ -e "$T/bin/${cmd%% *}" ] || continue
		rss sh -c 'exec "$@" >/dev/null' - $cmd "$c"
		like "$rc" '^(0|65)$' "T80 ${cmd%% *}: a ${c##*/} is read or refused ($rc)"
		within "its memory"
	done
done
limit=16384
rm -rf "$T/json"

if [ -e "$T/bin/pull" ]; then
	start_faultd f "{\"servers\":{\"A\":{\"repos\":{\"app\":\"$img\",\"values\":\"$T/cases/T80-manifest-values\"}}}}"
	rss pull -q -o "$T/l:x" "$addr/app"
	rc_is 0 "pull -o"
	within "pull -o: memory"
	rss sh -c "pull -q $addr/app >'$T/s.tar'"
	rc_is 0 "pull"
	within "pull: memory"
	rss unpack -q "$T/s.tar" "$T/r"
	rc_is 0 "unpack of the stream"
	within "unpack of a stream file: memory"
	rm -rf "$T/r"
	rss sh -c "cat '$T/s.tar' | unpack -q '$T/r'"
	within "unpack of a stream: memory"
	rm -rf "$T/r"
	rss pull -q -o "$T/l:y" "$addr/values"
	like "$rc" '^(65|76)$' "pull of a manifest of 4 MiB of {}, is refused"
	within "pull: memory with it"
fi

# what grows with a tree: groups of hard links, names of one directory, and of large ones within each other
if [ -e "$T/bin/mklayer" ]; then
	limit=32768
	two=$(command -v taskset >/dev/null && echo 'taskset -c 0,1') # memory is that of two threads
	$two true 2>/dev/null || two=
	python3 - "$T/links" "$T/large" <<-'END'
		import os, sys
		links, large = sys.argv[1:]
		for d in "ab": os.makedirs("%s/%s" % (links, d))
		for i in range(200000):
		    os.mknod("%s/a/%06d" % (links, i), 0o100644)
		    os.link("%s/a/%06d" % (links, i), "%s/b/%06d" % (links, i))
		os.mkdir(large)
		os.chdir(large)
		for level in range(16):
		    for i in range(12000): os.mknod("%05d" % i + "n" * 200, 0o100644)
		    os.mkdir("06000")
		    os.chdir("06000")
	END
	rss $two sh -c 'exec mklayer --compression-format none "$1" >"$2"' - "$T/links" "$T/layer"
	rc_is 0 "mklayer of 200,000 groups of hard links"
	within "memory"
	is "$(tar -tvf "$T/layer" | grep -c ' b/\(......\) link to a/\1$')" 200000 "each in its group"
	rss $two mklayer --compression-format none --lower "$T/links" "$T/links"
	rc_is 0 "and compared"
	within "memory"
	is "$(wc -c <"$T/out")" 1024 "all as they were"
	rss $two sh -c 'exec mklayer --compression-format none "$1" >"$2"' - "$T/large" "$T/layer"
	rc_is 0 "mklayer of large directories within each other"
	within "memory"
	tar -tf "$T/layer" | sed 1d >"$T/names"
	ok "in order" env LC_ALL=C sort -c "$T/names"
	is "$(wc -l <"$T/names")" 192016 "each name once"
	rm -rf "$T/links" "$T/large" "$T/layer"
	limit=16384
fi

# system calls for each small file: open, write, times, close, and little else; how often threads wait depends on the machine
run strace -f -c -qq -e trace='!futex' -o "$T/calls" unpack -q "$img" "$T/r"
rc_is 0 "unpack under strace"
calls=$(awk '$NF == "total" { print $(NF - 1) == "total" ? 0 : ($4 ~ /^[0-9]+$/ ? $4 : $3) }' "$T/calls")
files=$(find "$T/r" | wc -l)
small=$((calls * 10 / files))
ok "$calls system calls for $files entries: $((small / 10)).$((small % 10)) each, at most 5" test $small -le 50
[ $small -le 50 ] || _show 15 <"$T/calls"
rm -rf "$T/r"
done_testing
