#!/bin/sh
# inspect, option by option; skopeo, jq and umoci judge.
. "${0%/*}/lib.sh"
need python3 jq
need_applet inspect pull
cached tiny "$tools/mkimage" tiny || skip_all "the image tiny could not be made"
tiny=$cached
cached multi "$tools/mkimage" multi || skip_all "the image multi could not be made"
multi=$cached
look() { run inspect "$@"; }

# ---- summary
if have skopeo; then
	for i in "$tiny" "$multi:platforms"; do
		skopeo --override-arch arm64 inspect "oci:$i" >"$T/want" 2>/dev/null
		[ "$i" != "$tiny" ] || skopeo inspect "oci:$i" >"$T/want" 2>/dev/null
		set -- --platform linux/arm64 "$i"
		[ "$i" != "$tiny" ] || set -- "$i"
		look "$@"
		rc_is 0 "the summary of ${i##*/}"
		is "$(jq -cS --slurpfile w "$T/want" '. as $h | $w[0] | with_entries(.value = $h[.key])' "$T/out")" \
			"$(jq -cS . "$T/want")" "${i##*/}: all that skopeo inspect says"
		skopeo inspect --raw "oci:$i" >"$T/want" 2>/dev/null
		run sh -c 'inspect --raw "$1" | cmp - "$2"' - "$i" "$T/want"
		rc_is 0 "${i##*/}: --raw is what skopeo inspect --raw writes"
		skopeo --override-arch arm64 inspect --raw --config "oci:$i" >"$T/want" 2>/dev/null
		[ "$i" != "$tiny" ] || skopeo inspect --raw --config "oci:$i" >"$T/want" 2>/dev/null
		run sh -c 'w=$1; shift; inspect --raw --config "$@" | cmp - "$w"' - "$T/want" "$@"
		rc_is 0 "${i##*/}: --raw --config is what skopeo writes"
	done
else
	skip "skopeo is not here" 8
fi
look --manifest "$tiny"
is "$(jq -r '.layers | length' "$T/out")" 2 "--manifest"
is "$(wc -l <"$T/out")" 1 "JSON is one line"
look --config "$tiny"
is "$(jq -r .rootfs.type "$T/out")" layers "--config"
look --layers "$tiny"
is "$(jq -c '[length, (map(.CreatedBy) | length), .[0].DiffID == .[0].ChainID, .[1].DiffID == .[1].ChainID]' "$T/out")" \
	'[2,2,true,false]' "--layers: digests and steps"
if have umoci; then
	is "$(jq -r '.[].Digest' "$T/out")" "$(umoci stat --image "$tiny:latest" --json 2>/dev/null |
		jq -r '.history[] | select(.empty_layer | not) | .layer.digest // .layer' 2>/dev/null)" "--layers: the digests of umoci stat"
else
	skip "umoci is not here"
fi

# ---- indexes
look --index "$multi:platforms"
rc_is 0 "--index"
platforms=$(jq -r '.manifests[] | .platform | select(.os == "linux") | "\(.os)/\(.architecture)"' "$T/out")
like "$platforms" 'linux/arm64' "the index lists its platforms"
look --platform linux/arm64 "$multi:platforms"
is "$(jq -r .Architecture "$T/out")" arm64 "--platform chooses"
look --raw --platform linux/arm64 "$multi:platforms"
is "sha256:$(sha256sum <"$T/out" | cut -d' ' -f1)" "$(inspect --platform linux/arm64 "$multi:platforms" | jq -r .ManifestDigest)" \
	"--raw --platform is the manifest"
look --platform plan9/amd64 "$multi:platforms"
rc_is 66 "a platform that the index lacks"
look --index "$tiny"
rc_is 66 "--index of a single image"

# ---- carriers
tar -C "$tiny" -cf "$T/tiny.tar" oci-layout index.json blobs
want=$(inspect "$tiny")
is "$(inspect "$T/tiny.tar")" "$want" "a stream file"
is "$(dd if="$T/tiny.tar" bs=64k 2>/dev/null | inspect)" "$want" "a stream"
is "$(inspect - <"$T/tiny.tar")" "$want" "standard input that is a file"
run sh -c '{ cat "$1"; echo $? >"$2"; } | inspect >/dev/null' - "$T/tiny.tar" "$T/status"
is "$(cat "$T/status")" 0 "the command before the pipe is not killed"
run sh -c ': | inspect'
rc_is 66 "empty standard input"
head -c 100000 "$T/tiny.tar" >"$T/cut.tar"
run sh -c 'cat "$1" | inspect' - "$T/cut.tar"
isnt "$rc" 0 "a stream that is cut"

# ---- files
look --files "$tiny"
rc_is 0 "--files"
is "$(grep -c '^sha256:.*:$' "$T/out")" 2 "each layer has a head"
first=$(inspect --raw --manifest "$tiny" | jq -r '.layers[0].digest')
tar -tvf "$tiny/blobs/sha256/${first#sha256:}" --numeric-owner --full-time -z | sed 's/ \.\// /' |
	awk '{ print $1, $2, $3, $4, $5, $6, $7, $8 }' >"$T/want"
inspect --files "$tiny" | sed '1d;/^$/,$d' | awk '{ print $1, $2, $3, $4, $5, $6, $7, $8 }' >"$T/have"
ok "--files lists what tar tvf lists" diff "$T/want" "$T/have"
look --files --json --digests "$tiny"
is "$(jq -s 'map(select(.type == "file") | .digest | startswith("sha256:")) | all' "$T/out")" true "--digests --json"
look --files --merged --json "$tiny"
is "$(jq -rs '.[0].name' "$T/out")" . "--merged begins with the root"
look --merged "$tiny"
rc_is 64 "--merged without --files"
look --files --layers "$tiny"
rc_is 64 "two questions at once"
look --raw --files "$tiny"
rc_is 64 "--raw --files"
for how in --files '--files --digests' '--files --merged' --verify; do
	# shellcheck disable=SC2086
	look $how --max-entries 3 "$tiny"
	is "$rc $(printf '%s\n' "$err" | grep -c 'more than 3 entries (--max-entries)')" "65 1" "T81 $how: more than --max-entries"
	# shellcheck disable=SC2086
	look $how --max-size 4k "$tiny"
	is "$rc $(printf '%s\n' "$err" | grep -c 'more than 4096 bytes (--max-size)')" "65 1" "T81 $how: more than --max-size"
done
run sh -c 'inspect --files "$1" | grep -c ^[^s]' - "$tiny"
n=$out
look --files --max-entries $n "$tiny"
rc_is 0 "as many entries as may be"
look --files --max-entries $((n - 1)) "$tiny"
rc_is 65 "T81 the entries of all layers count"

cat >"$T/gen.py" <<'END'
import sys
from ocilib import *
T = sys.argv[1]
def image(name, *layers, **k):
    l = Layout(T + "/" + name)
    l.tag(l.manifest(list(layers), **k) if layers else k["desc"])
    return l
l = Layout(T + "/odd")
raw = (ent(b"bell\x07\x1b[31m\n", data=b"1") + ent(b"raw\xff", data=b"2") + ent(b"s", b"2", link=b"to\x1b[0m")
       + ent(b"suid", mode=0o6755) + ent(b"t/", b"5", mode=0o1755) + ent(b"old", mtime=0)
       + ent(b"dev", b"3", dev=(1, 3)) + pax([("SCHILY.xattr.user.a", "b")]) + ent(b"x") + END)
l.tag(l.manifest([l.layer(raw)]))
good = Tar().dir("d").file("d/f", b"x").done()
# a diff_id that is another layer's, layers in the wrong order
l = Layout(T + "/swapped")
a, b = l.layer(good), l.layer(Tar().file("g", b"y").done())
l.tag(l.manifest([a, b], diff_ids=[b[1], a[1]]))
for comp in "zstd", "tar":
    l = Layout(T + "/swapped-" + comp)
    a, b = l.layer(good, comp), l.layer(Tar().file("g", b"y").done(), comp)
    l.tag(l.manifest([a, b]), "good")
    l.tag(l.manifest([a, b], diff_ids=[a[1], a[1]]), "bad")
l = Layout(T + "/behind")
l.tag(l.manifest([l.layer(good, blob=gz(good) + gz(b"more"))]), "gzip")
l.tag(l.manifest([l.layer(good, "zstd", blob=zstd(good) + b"more")]), "zstd")
l = Layout(T + "/nested")
inner = l.index([l.manifest([l.layer(good)], arch="arm64"), l.manifest([l.layer(good)], arch="arm", variant="v6")])
l.tag(l.index([l.manifest([l.layer(good)], arch="amd64"), inner]))
l = Layout(T + "/count")
l.tag(l.manifest([l.layer(good)], diff_ids=[sha(good), sha(good)]))
l = Layout(T + "/size")
d, i = l.layer(good)
l.tag(l.manifest([(dict(d, size=d["size"] + 1), i)]))
l = Layout(T + "/missing")
d, i = l.layer(good)
l.tag(l.manifest([(d, i), (dict(d, digest=sha(b"nowhere")), i)]))
l = Layout(T + "/digest")
d, i = l.layer(good)
l.tag(l.manifest([(d, i)]))
p = T + "/digest/blobs/sha256/" + d["digest"][7:]
c = bytearray(open(p, "rb").read())
c[-20] ^= 1
open(p, "wb").write(c)
l = Layout(T + "/platform")
m = l.manifest([l.layer(good)], arch="amd64")
m["platform"]["architecture"] = "arm64"
l.tag(l.index([m]))
l = Layout(T + "/notar")
l.tag(l.manifest([l.layer(b"no archive" * 100)]))
l = Layout(T + "/second")
m = l.manifest([l.layer(good)])
bad = l.manifest([l.layer(good), l.layer(b"no archive" * 100)], arch="arm64")
l.tag(l.index([m, bad]))
l = Layout(T + "/artifact")
blob = l.put(b"a file")
e = l.put(b"{}")
m = {"schemaVersion": 2, "mediaType": MT["oci"]["manifest"], "artifactType": "application/x-thing",
     "config": dict(e, mediaType="application/vnd.oci.empty.v1+json"), "layers": [dict(blob, mediaType="text/plain")]}
l.tag(dict(l.put(dumps(m)), mediaType=MT["oci"]["manifest"]))
END
PYTHONPATH=$tools python3 "$T/gen.py" "$T" || fail "the generator"
look --files "$T/odd"
rc_is 0 "odd names"
unlike "$out" "$(printf '[\033\007]')" "no control byte reaches the terminal (T73)"
like "$out" 'bell\\x07\\x1b\[31m\\x0a$' "they are escaped"
like "$out" '^-rwsr-sr-x' "setuid and setgid"
like "$out" '^drwxr-xr-t' "sticky"
like "$out" '^crw-r--r-- 0/0 +1,3 ' "a device"
look --files --json "$T/odd"
is "$(jq -r 'select(.name_base64) | .name_base64' "$T/out" | base64 -d | od -An -c | tr -d ' ')" 'raw377' "a name that is no text"
is "$(jq -r 'select(.name == "x") | .xattrs["user.a"]' "$T/out" | base64 -d)" b "extended attributes"

# ---- verified
look --verify "$tiny"
rc_is 0 "--verify of a good image"
is "$(jq -c '[.Manifests, .Layers, .Blobs]' "$T/out")" '[1,2,3]' "what it has read"
run sh -c 'cat "$1" | inspect --verify' - "$T/tiny.tar"
rc_is 0 "--verify of a stream"
# bytes of the manifest and of all blobs; uncompressed layers are hashed again
n=$(($(jq .Bytes "$T/out") + $(inspect --raw --manifest "$tiny" | wc -c)))\ $(jq .Unpacked "$T/out")
look --verify --stats "$tiny"
is "$err" "inspect: stats: $(set -- $n; echo "{\"read\":$1,\"hashed\":$(($1 + $2)),\"inflated\":$2,\"compressed\":0,\"spooled\":0,\"sent\":0}")" \
	"--stats of --verify"
look --stats --layers "$tiny"
like "$err" '"inflated":0,' "--stats: no layer is inflated to be told of"
look --verify "$multi:platforms"
rc_is 0 "--verify of an index reads all of its images"
is "$(jq -r '.Manifests > 1' "$T/out")" true "of each platform"
bad() {
	look --verify "$T/$1"
	rc_is 65 "--verify: $2"
	like "$err" "$3" "$1: it says what is wrong"
}
bad swapped "diff_ids of each other's layers (T76)" 'layer 1 of 2.*diff_id'
for c in zstd tar; do
	look --verify "$T/swapped-$c:good"
	rc_is 0 "--verify of layers of $c"
	bad "swapped-$c:bad" "a wrong diff_id of one of $c (T76)" 'layer 2 of 2.*diff_id'
done
bad behind:gzip "a further gzip member (T76)" 'layer 1 of 1.*diff_id'
bad behind:zstd "bytes behind a zstd frame (T76)" 'layer 1 of 1'
bad count "more diff_ids than layers (T76)" '2 diff_ids.*1 layers'
bad size "a size that is wrong (T72)" 'size|bytes'
bad missing "a blob that is missing" 'layer 2 of 2'
bad digest "a blob that is another (T76)" 'layer 1 of 1'
bad platform "a platform that the config does not say (T75)" 'arm64.*amd64'
bad notar "a layer that is no archive" 'layer 1 of 1'
bad second "an image of the index" 'layer 2 of 2'
look --verify --platform linux/amd64 "$T/second"
rc_is 0 "--verify --platform reads that one only"
look --verify "$T/nested"
rc_is 0 "--verify of nested indexes"
is "$(jq -c .Manifests "$T/out")" 3 "all their images"
for p in linux/arm64 linux/arm/v6 linux/amd64; do
	look --platform $p "$T/nested"
	is "$rc $(jq -r '[.Os, .Architecture] | join("/")' "$T/out")" "0 ${p%/v6}" "$p is found in nested indexes"
done
look --platform linux/s390x "$T/nested"
rc_is 66 "what is in none is not"
look --verify "$T/artifact"
rc_is 0 "--verify of an artifact"
look "$T/artifact"
is "$(jq -r .ArtifactType "$T/out")" application/x-thing "the summary of an artifact"
look --config "$T/artifact"
rc_is 65 "an artifact has no image config"
look a b
rc_is 64 "too many operands"
done_testing
