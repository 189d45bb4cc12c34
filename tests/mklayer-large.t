#!/bin/sh
# mklayer of large things: files with holes, many files, deep directories; its memory, and what --upper looks at.
# shellcheck disable=SC2034 # for lib.sh
in_memory=1
. "${0%/*}/lib.sh"
need python3 strace
need_applet mklayer unpack
case $("$OCIBOX" --version) in *asan* | *tsan*) skip_all "a sanitizer's memory is not ours" ;; esac

# rss CMD...: runs it; $rss is the peak of its largest process in KiB
rss() {
	run python3 -c '
import os, resource, subprocess, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
r = subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL)
print("rss", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(r if r >= 0 else 128 - r)' "$@"
	rss=$(sed -n 's/^rss //p' "$T/err")
	[ "$rc" = 0 ] || diag "$err"
}
within() { ok "$1: $rss KiB at most $2" test "${rss:-999999}" -le "$2"; }

# ---- holes ----
mkdir "$T/sparse"
: >"$T/sparse/zero"
truncate -s 8G "$T/sparse/big"
printf x | dd of="$T/sparse/big" bs=1 seek=5000000000 conv=notrunc 2>/dev/null
rss sh -c 'mklayer --digestfile "$2.json" "$1" >"$2"' sh "$T/sparse" "$T/sparse.tgz"
rc_is 0 "a file of 8 GiB of holes"
within "memory" 32768
rm "$T/sparse/big"
"$tools/layerimage" "$T/l" "$T/sparse.tgz"
ok "unpack takes it, the diff_id is right" unpack -q --max-ratio 10000 "$T/l" "$T/u"
is "$(stat -c %s "$T/u/big") $(stat -c %s "$T/u/zero")" "8589934592 0" "sizes"
ok "at most 1 MiB of it is allocated: $(du -k "$T/u/big" | cut -f1) KiB" test "$(du -k "$T/u/big" | cut -f1)" -le 1024
is "$(dd if="$T/u/big" bs=1 skip=5000000000 count=1 2>/dev/null)" x "the byte between the holes"
rm -r "$T/l" "$T/u" "$T/sparse.tgz"

# ---- many, in one directory, and deep ----
python3 -c '
import os, sys
os.mkdir(sys.argv[1])
for i in range(100000):
    os.close(os.open("%s/%s-%d" % (sys.argv[1], "a-name-of-some-length", i * 7919 % 100000), os.O_CREAT | os.O_WRONLY))' "$T/many"
rss sh -c 'mklayer --digestfile "$2.json" "$1" >"$2"' sh "$T/many" "$T/many.tgz"
rc_is 0 "100,000 files in a directory"
within "memory" 32768
gzip -dc "$T/many.tgz" | tar -tf - >"$T/list"
is "$(wc -l <"$T/list") $(LC_ALL=C sort -c "$T/list" 2>&1)" "100001 " "all are there, in order"
rss sh -c 'mklayer --compression-format zstd "$1" >/dev/null' sh "$T/many"
[ "$rc" = 64 ] && skip "no zstd in this build" || within "memory with zstd" 32768
cp -a "$T/many" "$T/fewer"
rm "$T/fewer"/*9999
run sh -c 'mklayer --lower "$1" "$2" | gzip -dc | tar -tf - | tr "\n" " "' sh "$T/many" "$T/fewer"
is "$out" "./ .wh.a-name-of-some-length-19999 .wh.a-name-of-some-length-29999 .wh.a-name-of-some-length-39999 .wh.a-name-of-some-length-49999 .wh.a-name-of-some-length-59999 .wh.a-name-of-some-length-69999 .wh.a-name-of-some-length-79999 .wh.a-name-of-some-length-89999 .wh.a-name-of-some-length-9999 .wh.a-name-of-some-length-99999 " "and what is gone from it"
rm -r "$T/fewer" "$T/many.tgz"
python3 -c '
import os, sys
os.chdir(sys.argv[1])
for i in range(1500):
    os.mkdir("d"); os.chdir("d")
    open("f", "w").close()' "$(mkdir "$T/deep" && echo "$T/deep")"
run sh -c 'ulimit -n 300; mklayer "$1" | gzip -dc | tar -tf - | wc -l' sh "$T/deep"
is "$out" 3001 "T81 1,500 directories deep, with 300 descriptors"

# ---- an upper directory: what it does not hold is not looked at ----
mkdir "$T/upper"
for i in 1 2 3 4 5 6 7 8 9 10; do echo "$i" >"$T/upper/a-name-of-some-length-$i"; done
run sh -c 'strace -f -c -o "$3" mklayer --upper --lower "$1" "$2" | gzip -dc | tar -tf - | wc -l' sh "$T/many" "$T/upper" "$T/calls"
is "$out" 11 "--upper over 100,000 files: what changed"
calls=$(awk '$NF == "total" { print $4 }' "$T/calls")
ok "few system calls: $calls" test "$calls" -le 600

done_testing
