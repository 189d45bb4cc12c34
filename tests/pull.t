#!/bin/sh
# pull against a real docker-registry: streams, layouts, platforms, pins, resuming, kills, progress.
. "${0%/*}/lib.sh"
need_applet pull
need docker-registry skopeo jq python3 strace

cached tiny "$tools/mkimage" tiny || skip_all "no image"
tiny=$cached
cached multi "$tools/mkimage" multi || skip_all "no image"
multi=$cached

reg=$T/reg
"$tools/registry" start "$reg" || skip_all "docker-registry does not start"
on_exit '"$tools/registry" stop "$reg"'
addr=$(cat "$reg/addr")
HOME=$T/home
export HOME
mkdir "$HOME"
push() { "$tools/putlayout" "$addr" "$@" >"$T/push.log" 2>&1 || diag "push failed: $(cat "$T/push.log")"; }
push "$tiny:latest" x/tiny:1
push "$multi:latest" x/multi:1
push "$multi:nested" x/multi:nested
push "$multi:docker" x/multi:docker

# a layer large enough to be cut, killed and resumed
mkdir "$T/tree"
head -c 24000000 /dev/urandom >"$T/tree/a"
"$tools/mkimage" tree "$T/tree" "$T/big" && push "$T/big:latest" x/big:1

# digest_of NAME:TAG: what the registry says
digest_of() {
	skopeo inspect --raw --tls-verify=false "docker://$addr/$1" >"$T/raw" && printf 'sha256:%s' "$(sha256sum <"$T/raw" | cut -d' ' -f1)"
}
# layout_good DIR: every blob is what its name says, and nothing else is there
layout_good() {
	(cd "$1/blobs/sha256" && for f in .[!.]* *; do
		[ -f "$f" ] || continue
		[ "$(sha256sum <"$f" | cut -d' ' -f1)" = "$f" ] || { echo "bad: $f"; exit 1; }
	done) && { jq -e '.manifests|length>0' "$1/index.json" >/dev/null || { echo "index.json: $(cat "$1/index.json")"; return 1; }; }
}
tiny_digest=$(digest_of x/tiny:1)

# ---- streams
run pull "$addr/x/tiny:1"
rc_is 0 "pull writes a stream"
like "$err" "^pull: $addr/x/tiny:1: $tiny_digest 2 layers, [0-9.]+ MB in [0-9.]+ s$" "and a summary"
cp "$T/out" "$T/tiny.tar"
names=$(tar tf "$T/tiny.tar" | grep -v '/$')
is "$(printf '%s\n' "$names" | head -n 2 | tr '\n' ' ')" "oci-layout index.json " "the stream begins with oci-layout and index.json"
is "$(printf '%s\n' "$names" | sort | uniq -d)" "" "every member once"
is "$(skopeo inspect --raw "oci-archive:$T/tiny.tar" | sha256sum | cut -d' ' -f1)" "${tiny_digest#sha256:}" \
	"skopeo reads the same manifest from it"
ok "and copies all of it" skopeo --insecure-policy copy -q "oci-archive:$T/tiny.tar" "oci:$T/copied:x"
run pull "$addr/x/tiny:1"
ok "the same stream twice" cmp "$T/out" "$T/tiny.tar"
run pull --jobs 1 "$addr/x/tiny:1"
ok "and by one job" cmp "$T/out" "$T/tiny.tar"
run pull --spool-max 0 "$addr/x/tiny:1"
ok "and without a spool" cmp "$T/out" "$T/tiny.tar"
run env TMPDIR=/nonexistent pull "$addr/x/tiny:1"
ok "and without TMPDIR" cmp "$T/out" "$T/tiny.tar"
run pull --spool-max 100k --jobs 8 "$addr/x/tiny:1"
ok "and through a spool that is too small" cmp "$T/out" "$T/tiny.tar"
run pull -q "$addr/x/tiny:1"
is "$rc:$err" "0:" "-q is silent"
run sh -c "pull -q $addr/x/big:1 | head -c 1000 | wc -c"
is "$rc:$out:$err" "0:1000:" "a reader that goes away ends it without a word"
run python3 -c '
import os, pty, sys
pid, fd = pty.fork()
if not pid: os.execvp("pull", ["pull", sys.argv[1]])
out = b""
try:
    while True:
        d = os.read(fd, 4096)
        if not d: break
        out += d
except OSError: pass
print(out.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))' "$addr/x/tiny:1"
like "$out" "refusing to write an archive to a terminal" "a terminal is refused"
like "$out" "64$" "with 64"

# ---- references, options
run pull "$addr/x/tiny:nope"
rc_is 66 "an unknown tag is 66"
like "$err" "^pull: $addr/x/tiny:nope: .*(404|unknown)" "and is named"
run pull "$addr/x/absent"
rc_is 66 "so is an unknown repository"
run pull "$addr/x/TINY"
rc_is 64 "a malformed reference is 64"
run pull
rc_is 64 "no reference is 64"
run pull --jobs 0 "$addr/x/tiny:1"
rc_is 64 "no job is 64"
run pull --no-such "$addr/x/tiny:1"
rc_is 64 "an unknown option is 64"
run pull --retries 0 127.0.0.1:1/x/tiny:1
rc_is 69 "no registry there is 69"
run pull "docker://$addr/x/tiny:1"
ok "docker:// is accepted" cmp "$T/out" "$T/tiny.tar"
run pull --digestfile "$T/digest" "$addr/x/tiny:1"
is "$(cat "$T/digest")" "$tiny_digest" "--digestfile"

# ---- pins (T69)
run pull "$addr/x/tiny@$tiny_digest"
rc_is 0 "T69 a pinned digest"
run pull "$addr/x/tiny:nope@$tiny_digest"
rc_is 0 "T69 the pin holds whatever the tag"
run pull "$addr/x/tiny@sha256:$(printf '%064d' 0)"
rc_is 66 "T69 a digest that is not there"
run pull "$addr/x/tiny@sha256:../../x"
rc_is 64 "T68 a digest that is none"
multi_digest=$(digest_of x/multi:1)
run pull --platform linux/arm64 --digestfile "$T/digest" "$addr/x/multi@$multi_digest"
rc_is 0 "T69 a pinned index, a platform of it"
isnt "$(cat "$T/digest")" "$multi_digest" "the digest is that of the manifest"
run pull --all-platforms -q --digestfile "$T/digest" "$addr/x/multi@$multi_digest"
rc_is 0 "T69 a pinned index passed through"
is "$(cat "$T/digest")" "$multi_digest" "whole"
is "$(tar xOf "$T/out" index.json | jq -r '.manifests[0].digest')" "$multi_digest" "and named in index.json"
is "$(tar xOf "$T/out" "blobs/sha256/${multi_digest#sha256:}" | sha256sum | cut -d' ' -f1)" "${multi_digest#sha256:}" \
	"byte for byte"
ok "skopeo takes all of it" sh -c 'skopeo --insecure-policy copy -q --all "oci-archive:$1" "oci:$2:x"' - "$T/out" "$T/copied-all"

# ---- platforms (T75)
arch_of() { tar xOf "$1" "$(tar xOf "$1" manifest.json | jq -r '.[0].Config')" | jq -r '.architecture+(.variant//"")'; }
for p in linux/amd64:amd64 linux/arm/v6:armv6 linux/arm/v7:armv7 linux/arm:armv7 linux/arm64:arm64v8 linux/arm64/v8:arm64v8 \
	linux/386:386 linux/riscv64:riscv64 linux/s390x:s390x linux/x86_64:amd64; do
	run pull -q --platform "${p%:*}" "$addr/x/multi:1"
	is "$rc $(arch_of "$T/out")" "0 ${p#*:}" "T75 --platform ${p%:*}"
done
run pull --platform linux/ppc64le "$addr/x/multi:1"
rc_is 66 "T75 a platform that is not there"
like "$err" "linux/s390x" "and what there is"
run pull -q --platform linux/arm/v7 "$addr/x/multi:nested"
is "$rc $(arch_of "$T/out")" "0 armv7" "T75 a nested index"
run pull -q --all-platforms "$addr/x/multi:nested"
rc_is 0 "a nested index whole"
run pull -q --platform linux/arm64 "$addr/x/multi:docker"
is "$rc $(arch_of "$T/out")" "0 arm64v8" "T75 a docker manifest list"
run pull --platform linux/arm64 "$addr/x/tiny:1"
rc_is 66 "T75 one manifest of another platform than was asked for"
like "$err" "is for linux/amd64, not linux/arm64" "says so"

python3 - "$multi" "$T/liar" <<'PY'
import hashlib, json, shutil, sys
shutil.copytree(sys.argv[1], sys.argv[2])
def load(d): return json.load(open(sys.argv[2] + "/blobs/sha256/" + d["digest"][7:]))
top = json.load(open(sys.argv[2] + "/index.json"))
d = [d for d in top["manifests"] if d.get("annotations", {}).get("org.opencontainers.image.ref.name") == "latest"][0]
idx = load(d)
for m in idx["manifests"]:
    if m["platform"]["architecture"] == "arm64":
        m["platform"] = {"os": "linux", "architecture": "ppc64le"}
b = json.dumps(idx).encode()
h = hashlib.sha256(b).hexdigest()
open(sys.argv[2] + "/blobs/sha256/" + h, "wb").write(b)
json.dump({"schemaVersion": 2, "manifests": [dict(d, digest="sha256:" + h, size=len(b))]}, open(sys.argv[2] + "/index.json", "w"))
PY
push "$T/liar:latest" x/liar:1
run pull -q --platform linux/ppc64le -o "$T/liar.out" "$addr/x/liar:1"
is "$rc" 0 "T75 an image that says another platform than its index"
like "$err" "warning: .*config says that it is for linux/arm64.*not linux/ppc64le" "T75 is told of"

# ---- layouts
l=$T/layout
run pull -o "$l" "$addr/x/tiny:1"
rc_is 0 "pull -o writes a layout"
ok "that is good" layout_good "$l"
is "$(jq -r '.manifests[0].annotations["org.opencontainers.image.ref.name"]' "$l/index.json")" 1 "under the reference's tag"
is "$(jq -r '.manifests[0].digest' "$l/index.json")" "$tiny_digest" "and digest"
ok "skopeo reads it" skopeo inspect "oci:$l:1"
run pull -o "$l:mine" "$addr/x/tiny:1"
like "$err" "3 already there" "a second time nothing is fetched"
is "$(jq -r '[.manifests[].annotations["org.opencontainers.image.ref.name"]]|sort|join(" ")' "$l/index.json")" "1 mine" \
	"another tag is added"
layer=$(jq -r '.layers[0].digest' "$l/blobs/sha256/${tiny_digest#sha256:}")
layer=$l/blobs/sha256/${layer#sha256:}
printf X | dd of="$layer" bs=1 seek=500 conv=notrunc 2>/dev/null
run pull -q -o "$l" "$addr/x/tiny:1"
nok "a blob that rotted is trusted by its size" layout_good "$l"
run pull -o "$l" --verify --sync "$addr/x/tiny:1"
is "$rc" 0 "with --verify"
like "$err" "2 already there" "it is fetched again"
ok "and good" layout_good "$l"
run pull -q --all-platforms -o "$T/all" "$addr/x/multi:1"
ok "an index whole into a layout" layout_good "$T/all"
is "$(jq -r '.manifests[0].digest' "$T/all/index.json")" "$multi_digest" "with its digest"
ok "skopeo finds all in it" skopeo --insecure-policy copy -q --all "oci:$T/all:1" "dir:$T/all.dir"
mkdir "$T/full" && touch "$T/full/file"
run pull -o "$T/full" "$addr/x/tiny:1"
rc_is 73 "a directory that is no layout is 73"
is "$(ls -A "$T/full")" file "and left alone"
run pull -o "$T/none/layout" "$addr/x/tiny:1"
rc_is 73 "a layout in no directory is 73"
run pull -q -o "$T/slash//:x" "$addr/x/tiny:1"
rc_is 0 "a layout with slashes at its end"
ok "is good, too" layout_good "$T/slash"
cp "$T/digest" "$T/target" && ln -s target "$T/link"
run pull -q --digestfile "$T/link" -o "$T/slash" "$addr/x/tiny:1"
is "$rc $(cat "$T/target") $(readlink "$T/link")" "0 $tiny_digest target" "--digestfile that is a link"
run pull -o "$T/badtag:a b" "$addr/x/tiny:1"
rc_is 64 "a malformed tag is 64"
nok "and nothing is made" test -e "$T/badtag"
run sh -c "pull $addr/x/tiny:1 >/dev/full"
like "$rc $err" "^7[34] .*No space left" "a full disk"
run pull --platform linux/arm64 -o "$T/wrong" "$addr/x/tiny:1"
rc_is 66 "T75 another platform is refused before its layers are fetched"
is "$(find "$T/wrong/blobs/sha256" -type f | wc -l)" 1 "only the config was"

user_name sub >/dev/null
run as_user pull -q -o "$T/home-sub/l" "$addr/x/tiny:1"
rc_is 0 "an ordinary user"
run as_user pull -q -o "$l" "$addr/x/tiny:1"
rc_is 77 "in whose way is another's layout"
run as_user sh -c "pull -q $addr/x/tiny:1 | wc -c"
is "$out" "$(wc -c <"$T/tiny.tar")" "or as a stream"

# ---- resuming
big=$(digest_of x/big:1)
skopeo inspect --raw --tls-verify=false "docker://$addr/x/big:1" >"$T/big.json"
blob=$(jq -r '.layers[0].digest' "$T/big.json")
size=$(jq -r '.layers[0].size' "$T/big.json")
requests() { grep -c "GET /v2/x/big/blobs/$blob.*[^0-9]$1 " "$reg/log"; }
# the registry may log a request after its answer has arrived
more_requests() { [ "$(requests "$1")" -gt "$2" ]; }
new_layout() { rm -rf "$1"; mkdir -p "$1/blobs/sha256"; }
part=.partial-${blob#sha256:}
run pull -q -o "$T/whole" "$addr/x/big:1"
half() { new_layout "$1"; head -c "${2:-$((size / 2))}" "$T/whole/blobs/sha256/${blob#sha256:}" >"$1/blobs/sha256/$part"; }
half "$T/res"
before=$(requests 206)
run pull -o "$T/res" "$addr/x/big:1"
rc_is 0 "a partial is gone on with"
ok "to a good layout" layout_good "$T/res"
wait_for 60 more_requests 206 "$before"
is "$(($(requests 206) - before))" 1 "by one request for a part"
half "$T/res"
printf 'wrong' | dd of="$T/res/blobs/sha256/$part" bs=1 seek=1000 conv=notrunc 2>/dev/null
run pull -q -o "$T/res" "$addr/x/big:1"
rc_is 0 "a partial that rotted"
ok "is fetched once more from the start" layout_good "$T/res"
half "$T/res" "$size"
run pull -q -o "$T/res" "$addr/x/big:1"
rc_is 0 "a partial that is whole"
half "$T/res" "$size"
printf 'more' >>"$T/res/blobs/sha256/$part"
run pull -q -o "$T/res" "$addr/x/big:1"
rc_is 0 "and one that is too long"
ok "leave good layouts" layout_good "$T/res"

# ---- kills
# again: what is wrong with the run after a kill
again() {
	pull -q -o "$T/kill:k" "$1" 2>"$T/err" || { echo " (status $?) $(cat "$T/err");"; return; }
	layout_good "$T/kill" 2>&1 && [ "$(ls -A "$T/kill" | tr '\n' ' ')" = "blobs index.json oci-layout " ] ||
		echo " $(ls -A "$T/kill" "$T/kill/blobs/sha256" | tr '\n' ' ');"
}
bad='' killed=0 resumed=0
for ms in 5 15 25 35 45 55 70 85 100 120; do
	rm -rf "$T/kill"
	pull -q -o "$T/kill:k" "$addr/x/big:1" 2>/dev/null &
	p=$!
	sleep "0.$(printf %03d "$ms")"
	kill -9 $p 2>/dev/null && killed=$((killed + 1))
	wait $p 2>/dev/null
	for f in "$T"/kill/blobs/sha256/[0-9a-f]*; do
		[ ! -f "$f" ] || [ "$(sha256sum <"$f" | cut -d' ' -f1)" = "${f##*/}" ] || bad="$bad $ms ms: wrong ${f##*/};"
	done
	[ ! -f "$T/kill/index.json" ] || jq -e '.manifests|type=="array"' "$T/kill/index.json" >/dev/null ||
		bad="$bad $ms ms: index.json is $(cat "$T/kill/index.json");"
	ls -A "$T/kill/blobs/sha256" 2>/dev/null | grep -q '^.partial' && resumed=$((resumed + 1))
	said=$(again "$addr/x/big:1")
	[ ! "$said" ] || bad="$bad $ms ms:$said"
done
is "$bad" "" "kill -9 at ten moments leaves nothing wrong, and the next run succeeds"
if strace -qq -o "$T/calls" -e inject=mkdirat:signal=CONT:when=1 true 2>/dev/null; then
	bad='' cut=0
	for n in 1 2 3 4 5 6 7; do
		rm -rf "$T/kill"
		strace -f -qq -o "$T/calls" -e trace=rename,renameat,renameat2 -e inject=rename,renameat,renameat2:signal=KILL:when="$n" \
			pull -q --jobs 1 -o "$T/kill:k" "$addr/x/tiny:1" 2>/dev/null || cut=$((cut + 1))
		said=$(again "$addr/x/tiny:1")
		[ ! "$said" ] || bad="$bad before $n:$said"
	done
	is "$((cut > 2))$bad" "1" "nor does one before a file has its name"
else
	skip "strace cannot send signals here"
fi
diag "$killed were killed, $resumed left a partial"
rm -rf "$T/kill"
python3 - "$addr" "$T/kill" <<'PY' >"$T/sig"
import os, signal, subprocess, sys, time
for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    r, w = os.pipe()
    p = subprocess.Popen(["pull", "-q", sys.argv[1] + "/x/big:1"], stdout=w, preexec_fn=lambda: [signal.signal(s, signal.SIG_DFL) for s in (1, 2, 15)])
    os.close(w)
    os.read(r, 1)
    jailed = "NoNewPrivs:\t1" in open("/proc/%d/status" % p.pid).read()
    t = time.time()
    p.send_signal(sig)
    r = p.wait()
    print(-r == sig, time.time() - t < 60, jailed, "status %d after %.1f s" % (r, time.time() - t))
PY
is "$(cut -d' ' -f1,2 "$T/sig" | sort -u)" "True True" "signals end it by that signal, at once"
diag "$(tr '\n' ' ' <"$T/sig")"
is "$(cut -d' ' -f3 "$T/sig" | sort -u)" "True" "it gave up privileges"

# ---- several at once into one layout
for i in 1 2 3 4; do
	pull -q -o "$T/many:t$i" "$addr/x/big:1" 2>"$T/many.$i" &
	eval "p$i=\$!"
done
st=''
for i in 1 2 3 4; do
	eval "wait \$p$i"
	r=$?
	st="$st $r"
	[ $r = 0 ] || diag "$i: $(cat "$T/many.$i")"
done
is "$st" " 0 0 0 0" "four pulls into one layout at once"
ok "which is good" layout_good "$T/many"
is "$(jq -r '[.manifests[].annotations["org.opencontainers.image.ref.name"]]|sort|join(" ")' "$T/many/index.json")" \
	"t1 t2 t3 t4" "with all their tags"

# ---- duplicates, foreign layers (T61)
python3 - "$tools" "$tiny" "$T/dup" "$T/foreign" <<'PY'
import json, shutil, sys, hashlib, os
sys.path.insert(0, sys.argv[1])
def edit(out, change):
    shutil.copytree(sys.argv[2], out)
    idx = json.load(open(out + "/index.json"))
    d = idx["manifests"][0]
    m = json.load(open(out + "/blobs/sha256/" + d["digest"][7:]))
    change(m)
    b = json.dumps(m).encode()
    h = hashlib.sha256(b).hexdigest()
    open(out + "/blobs/sha256/" + h, "wb").write(b)
    d["digest"], d["size"] = "sha256:" + h, len(b)
    json.dump(idx, open(out + "/index.json", "w"))
def dup(m): m["layers"] = [m["layers"][0], m["layers"][1], m["layers"][0], m["layers"][1]]
def foreign(m):
    b = b"not to be had"
    h = hashlib.sha256(b).hexdigest()
    open(sys.argv[4] + "/blobs/sha256/" + h, "wb").write(b)
    open(sys.argv[4] + ".hex", "w").write(h)
    m["layers"].append({"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "size": len(b),
                        "digest": "sha256:" + h, "urls": ["http://169.254.169.254/x", "http://127.0.0.1:9/x"]})
def titled(m):
    for i, l in enumerate(m["layers"]):
        l["annotations"] = {"org.opencontainers.image.title": ["../../evil-title", "/evil-title"][i % 2]}
edit(sys.argv[3], dup)
edit(sys.argv[3] + ".titled", titled)
edit(sys.argv[4], foreign)
PY
push "$T/dup" x/tiny:dup
run pull "$addr/x/tiny:dup"
rc_is 0 "layers that are there twice"
like "$err" " 2 layers" "are fetched once"
is "$(tar tf "$T/out" | sort | uniq -d)" "" "and written once"
push "$T/dup.titled" x/tiny:titled
mkdir -p "$T/deep" && run pull -q -o "$T/deep/er" "$addr/x/tiny:titled"
rc_is 0 "T70 titles that are paths"
is "$(find "$T" -name evil-title; ls -d /evil-title 2>/dev/null)" "" "T70 name no file"
real=$addr
start_faultd foreign.a "{\"servers\": {\"A\": {\"repos\": {\"x/foreign\": \"$T/foreign\"}}}}"
faddr=$addr
run pull -q -o "$T/foreign.1" "$faddr/x/foreign:latest"
rc_is 0 "T61 a foreign layer that the registry holds"
bg_end
rm "$T/foreign/blobs/sha256/$(cat "$T/foreign.hex")"
start_faultd foreign.b "{\"servers\": {\"A\": {\"repos\": {\"x/foreign\": \"$T/foreign\"}}}}"
faddr=$addr addr=$real
run pull -o "$T/foreign.2" "$faddr/x/foreign:latest"
rc_is 66 "T61 one that it lacks"
like "$err" "foreign layer.*urls are not followed" "T61 is not looked for at its urls"
run pull "$faddr/x/foreign:latest"
rc_is 66 "T61 nor for a stream"
like "$err" "foreign layer.*urls are not followed" "T61 either"

# ---- progress
run pull --progress plain -o "$T/p1" "$addr/x/tiny:1"
is "$(grep -c '^pull: sha256:[0-9a-f]*  *[0-9.]* [kM]*B  fetched$' "$T/err")" 3 "--progress=plain tells of each blob"
run sh -c "pull -q --progress-fd 3 -o $T/p2 $addr/x/tiny:1 3>$T/json"
is "$(jq -r 'select(.state=="done")|.done==.total' "$T/json" | sort | uniq -c | tr -s ' ')" " 3 true" "--progress-fd writes JSON Lines"
run pull -q --progress json -o "$T/p2" "$addr/x/tiny:1"
is "$(jq -r .state "$T/err" | sort | uniq -c | tr -s ' ')" " 3 exists" "--progress=json writes them to standard error"
run pull --progress-fd 33 "$addr/x/tiny:1"
rc_is 64 "--progress-fd of a closed descriptor is 64"
run pull --progress nonsense "$addr/x/tiny:1"
rc_is 64 "an unknown mode is 64"
cat >"$T/term.py" <<'PY'
# runs pull with standard error on a terminal of COLUMNS x ROWS and draws what it says
import fcntl, os, pty, re, struct, subprocess, sys, termios
cols, rows = int(sys.argv[1]), int(sys.argv[2])
m, s = pty.openpty()
fcntl.ioctl(s, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
p = subprocess.Popen(sys.argv[3:], stderr=s, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
os.close(s)
out = b""
while True:
    try:
        d = os.read(m, 65536)
    except OSError:
        break
    if not d:
        break
    out += d
text = out.decode()
# every redraw: no line wider than the terminal, no more lines moved up than there are rows
lines = re.sub(r"\x1b\[[0-9]*[A-Za-z]", "", text).replace("\r", "").split("\n")
ups = [int(n) for n in re.findall(r"\x1b\[([0-9]+)A", text)]
print("rc", p.wait())
drawn = [l for l in lines if not l.startswith("pull:")]
print("fits", max(map(len, drawn)) < cols and max(ups + [0]) < rows)
print("redrawn", len(ups) > 0)
# the screen that remains
screen, row, fresh = [""], 0, True
for tok in re.findall(r"\x1b\[[0-9]*[A-Za-z]|[^\x1b]", text):
    if tok.startswith("\x1b["):
        if tok.endswith("A"):
            row -= int(tok[2:-1])
        elif tok.endswith("J"):
            screen[row + 1:] = []
            screen[row] = ""
        continue
    if tok == "\n":
        row += 1
        if row == len(screen):
            screen.append("")
    elif tok == "\r":
        fresh = True
    else:
        if fresh:
            screen[row] = ""
            fresh = False
        screen[row] += tok
    if tok == "\n":
        fresh = True
print("\n".join(screen))
PY
run python3 "$T/term.py" 80 24 pull -o "$T/p3" "$addr/x/multi:1" --all-platforms
like "$out" "rc 0" "on a terminal"
like "$out" "fits True" "lines fit"
like "$out" "^sha256:[0-9a-f]{12} +[0-9.]+ [kM]?B  fetched$" "each blob leaves a line"
unlike "$out" "=>" "and no bar stays"
run python3 "$T/term.py" 30 5 pull -o "$T/p4" "$addr/x/multi:1" --all-platforms
like "$out" "fits True" "on a small terminal, too"
run python3 "$T/term.py" 80 24 sh -c "pull -q --progress none $addr/x/tiny:1"
unlike "$out" "sha256" "--progress=none draws nothing"

run pull -o "$T/no/where:x" "$addr/x/tiny:1"
is "$rc $err" "73 pull: $T/no/where: No such file or directory" "a layout that cannot be created is told by its name"
run pull "$addr/X:1"
is "$rc $err" "64 pull: $addr/X:1: the repository's name must be lower-case" "a wrong reference is told once"

is "$(find "$T/tmp" -mindepth 1)" "" "no file is left in TMPDIR"
done_testing
