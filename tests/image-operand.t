#!/bin/sh
# What IMAGE may be, tried on unpack: a stream on the standard input, a file, a layout, and their names.
. "${0%/*}/lib.sh"
need python3 jq skopeo
need_applet unpack
cached tiny "$tools/mkimage" tiny || skip_all "no image"
tiny=$cached
HOME=$T/h
export HOME
mkdir "$HOME"
skopeo --insecure-policy copy -q "oci:$tiny:latest" "oci:$T/lay:a"
# two images in one layout: the second without its last layer
python3 - "$T/lay" <<'END'
import hashlib, json, os, sys
d = sys.argv[1]
idx = json.load(open(d + "/index.json"))
def blob(x): return d + "/blobs/sha256/" + x["digest"][7:]
def put(x, t):
    b = json.dumps(x).encode()
    h = hashlib.sha256(b).hexdigest()
    open(d + "/blobs/sha256/" + h, "wb").write(b)
    return {"mediaType": t, "digest": "sha256:" + h, "size": len(b)}
top = idx["manifests"][0]
m = json.load(open(blob(top)))
c = json.load(open(blob(m["config"])))
c["rootfs"]["diff_ids"].pop()
c.pop("history", None)
m["layers"].pop()
m["config"] = put(c, m["config"]["mediaType"])
second = put(m, top["mediaType"])
second["annotations"] = {"org.opencontainers.image.ref.name": "b:1"}
idx["manifests"].append(second)
json.dump(idx, open(d + "/index.json", "w"))
END
da=$(jq -r '.manifests[0].digest' "$T/lay/index.json")
db=$(jq -r '.manifests[1].digest' "$T/lay/index.json")
tar -C "$T/lay" -cf "$T/lay.tar" index.json blobs oci-layout
n=0
# opens NAME OPERAND a|b [REDIRECTION]: it is image a (two layers) or b (one)
opens() {
	n=$((n + 1))
	if [ "$2" = '<' ]; then
		run_in unpack -q "$T/u$n" <"$4"
	else
		run unpack -q "$2" "$T/u$n"
	fi
	got=none
	[ -f "$T/u$n/bin/busybox" ] && got=b
	[ -f "$T/u$n/etc/second" ] && got=a
	is "$got" "$3" "$1"
	[ $got = "$3" ] || diag "$err"
}
opens "a layout with a tag" "$T/lay:a" a
opens "of which the first colon parts the tag" "$T/lay:b:1" b
opens "a layout with a digest" "$T/lay@$da" a
opens "of another image" "$T/lay@$db" b
opens "a file with a tag" "$T/lay.tar:b:1" b
opens "a file with a digest" "$T/lay.tar@$da" a
cp "$T/lay.tar" "$T/odd:name.tar"
run unpack -q "$T/odd:name.tar" "$T/x1"
rc_is 66 "a file whose name has a colon"
like "$err" 'odd:name\.tar: there are several images, name one: a, b:1$' "is found, and its images are told"
run unpack -q "$T/lay" "$T/x2"
rc_is 66 "a layout of two images"
like "$err" 'lay: there are several images, name one: a, b:1$' "lists their names"
run unpack -q "$T/lay:c" "$T/x2"
rc_is 66 "a tag that is not there"
like "$err" 'lay:c: no image is named c; there are: a, b:1$' "lists those that are"
run unpack -q "$T/lay@sha256:$(printf '%064d' 0)" "$T/x2"
rc_is 66 "a digest that is not there"
run unpack -q "$T/nothing:x" "$T/x2"
rc_is 66 "no such file"
like "$err" 'nothing:x: no such image file or layout$' "is said"
run inspect "oci:$T/lay:x"
like "$err" 'no such image file or layout \(write its name without what stands before the first colon\)$' "a transport of skopeo's is told of"
run inspect docker://reg.example/app:1
like "$err" 'no such image file or layout \(pull fetches one from a registry\)$' "so is a registry's"
run unpack -q "$T/h" "$T/x2"
rc_is 66 "a directory that is no layout"
like "$err" 'not an image layout' "is said"
is "$(ls -d "$T"/x* 2>/dev/null)" "" "and none of them leaves anything"

# ---- the standard input ----
skopeo --insecure-policy copy -q "oci:$T/lay:a" "oci-archive:$T/a.tar:r.io/a:1"
opens "a file on the standard input" '<' a "$T/a.tar"
# a place to spool is not needed there
run sh -c "TMPDIR=$T/none unpack -q '$T/u-nospool' <'$T/a.tar'"
rc_is 0 "which is read in place: nothing is spooled"
run sh -c "cat '$T/a.tar' | TMPDIR=$T/none unpack -q - '$T/x3'"
isnt "$rc" 0 "blobs before their manifest in a pipe need a place"
like "$err" 'temporary file' "as it says"
run sh -c "cat '$T/a.tar' | unpack -q - '$T/u-pipe'"
rc_is 0 "which TMPDIR is"
run sh -c "cat '$T/a.tar' | unpack -q --spool-max 100k - '$T/x3'"
rc_is 65 "T80 of a bounded size"
like "$err" 'more than 102400 bytes \(--spool-max\)' "which the error names"
mkfifo "$T/fifo"
cat "$T/a.tar" >"$T/fifo" &
opens "a named pipe" "$T/fifo" a
wait
run_in unpack "$T/x4" </dev/null
rc_is 66 "nothing on the standard input"
like "$err" 'standard input is empty \(did the command before the pipe fail\?\)' "is asked about"
printf '' >"$T/empty"
run unpack "$T/empty" "$T/x4"
rc_is 66 "an empty file"
gzip -c "$T/a.tar" >"$T/a.tar.gz"
run unpack "$T/a.tar.gz" "$T/x4"
rc_is 65 "a compressed file"
like "$err" 'gzip -dc' "is told how to be read"
printf '\3757zXZ\000\000\004' >"$T/stream.xz"
run unpack "$T/stream.xz" "$T/x4"
like "$rc $err" '^65 .*xz -dc' "so is one by xz"
head -c 100000 "$T/a.tar" >"$T/cut.tar"
run sh -c "cat '$T/cut.tar' | unpack '$T/x4'"
rc_is 65 "a truncated stream"
is "$(ls -d "$T"/x* 2>/dev/null)" "" "and none of them leaves anything"
done_testing
