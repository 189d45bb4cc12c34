#!/bin/sh
# mkindex: images of several platforms joined into one index; skopeo, podman and the schemas of the image-spec judge.
. "${0%/*}/lib.sh"
need python3 jq
need_applet mkindex inspect
cat >"$T/gen.py" <<'END'
import sys
from ocilib import *
T = sys.argv[1]
def one(name, arch, *layers, **k):
    l = Layout(T + "/" + name)
    l.tag(l.manifest([l.layer(x, kind=k.get("kind", "oci")) for x in layers], arch=arch, **k))
shared = Tar().dir("etc").file("etc/shared", b"s" * 70000).done()
one("amd64", "amd64", shared, Tar().file("a", b"amd64").done())
one("arm64", "arm64", shared, Tar().file("a", b"arm64").done())
one("arm7", "arm", shared, variant="v7")
one("arm6", "arm", shared, variant="v6")
one("other", "amd64", Tar().file("b", b"another").done())
one("docker", "s390x", shared, kind="docker")
one("noplatform", "", shared)
# an index with an attestation, annotations and a member that nobody knows
l = Layout(T + "/index")
m = l.manifest([l.layer(shared), l.layer(Tar().file("a", b"riscv").done())], arch="riscv64")
m["annotations"] = {"org.example.z": "1", "org.example.a": "2"}
m["org.example.unknown"] = [1, 2]
st = l.put(b'{"_type":"https://in-toto.io/Statement/v0.1"}')
c = l.put(dumps({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {"type": "layers", "diff_ids": [st["digest"]]}}))
a = l.put(dumps({"schemaVersion": 2, "mediaType": MT["oci"]["manifest"], "config": dict(c, mediaType=MT["oci"]["config"]),
                 "layers": [dict(st, mediaType="application/vnd.in-toto+json")]}))
att = dict(a, mediaType=MT["oci"]["manifest"], platform={"architecture": "unknown", "os": "unknown"},
           annotations={"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": m["digest"]})
l.tag(l.index([m, att], extra={"annotations": {"org.example.index": "kept", "org.example.both": "first"}}))
# an index in an index, whose image says its platform only in its config
l = Layout(T + "/nested")
m = l.manifest([l.layer(shared)], arch="ppc64le")
m.pop("platform")
inner = l.index([m])
l.tag(l.index([inner], extra={"annotations": {"org.example.both": "second"}}))
l = Layout(T + "/artifact")
e = l.put(b"{}")
l.tag(dict(l.put(dumps({"schemaVersion": 2, "mediaType": MT["oci"]["manifest"], "artifactType": "application/x-thing",
     "config": dict(e, mediaType="application/vnd.oci.empty.v1+json"), "layers": []})), mediaType=MT["oci"]["manifest"]))
l = Layout(T + "/broken")
d = l.layer(Tar().file("b", b"broken").done())
l.tag(l.manifest([d], arch="mips64le"))
p = T + "/broken/blobs/sha256/" + d[0]["digest"][7:]
b = bytearray(open(p, "rb").read())
b[20] ^= 1
open(p, "wb").write(b)
END
mkdir "$T/w"
PYTHONPATH=$tools python3 "$T/gen.py" "$T/w" || fail "the generator"
cd "$T/w" || exit 99
for i in amd64 arm64 index; do tar -C "$i" -cf "$i.tar" oci-layout index.json blobs; done

# ---- layouts
run mkindex -o out:app --digestfile digest amd64 arm64
rc_is 0 "two layouts into one"
run inspect --index out:app
is "$(jq -c '[.manifests[].platform.architecture]' "$T/out")" '["amd64","arm64"]' "an index of both, in their order"
is "$(jq -r .mediaType "$T/out")" application/vnd.oci.image.index.v1+json "of OCI's type"
is "$(inspect --raw out:app | sha256sum | cut -d' ' -f1)" "$(sed 's/sha256://' digest)" "--digestfile"
is "$(jq -r '.manifests[0].digest' "$T/out")" "$(inspect amd64 | jq -r .Digest)" "manifests are byte for byte"
ok "all of it is good" inspect --verify out:app

# ---- streams
mkindex amd64.tar arm64.tar -t example.org/app:1 >s.tar 2>err || cat err
is "$(tar -tf s.tar | grep -c '^blobs/sha256/.')" 8 "a shared layer stands once: 3 documents, 2 configs, 3 layers"
is "$(tar -tf s.tar | sort | uniq -d | grep -c blobs)" 0 "nothing stands twice"
ok "a stream is good" inspect --verify s.tar
is "$(inspect --raw s.tar)" "$(inspect --raw out:app)" "the same index"
is "$(dd if=arm64.tar bs=64k 2>/dev/null | mkindex -q amd64 - -t example.org/app:1 | sha256sum)" "$(sha256sum <s.tar)" "the same from a layout and from a pipe"
is "$(dd if=amd64.tar bs=64k 2>/dev/null | mkindex -q - arm64 -t example.org/app:1 | sha256sum)" "$(sha256sum <s.tar)" "the other way round"
is "$(inspect --raw s.tar | sha256sum)" "$(mkindex -q amd64 arm64 amd64 | inspect --raw | sha256sum)" "the same image again is no other"
is "$(tar -xOf s.tar index.json | jq -r '.manifests[0].annotations["io.containerd.image.name"]')" example.org/app:1 "--tag"
run sh -c 'cat arm64.tar | mkindex - - >/dev/null'
rc_is 64 "standard input twice"

# ---- platforms
run mkindex --stats -o st:app amd64 arm64
like "$err" "stats: {\"read\":([0-9]+),\"hashed\":\\1,\"inflated\":0,\"compressed\":0,\"spooled\":0,\"sent\":\\1}" "--stats: what is sent was read and hashed, once"
unlike "$err" '"sent":0' "which is something"
run mkindex -o no amd64 other
rc_is 73 "two images for one platform"
like "$err" 'linux/amd64 already, in amd64' "it says which"
ok "nothing is written" test ! -e no
run mkindex -o v:x arm7 arm6
rc_is 0 "two variants are two platforms"
run mkindex -o no noplatform
rc_is 65 "an image without a platform (T75)"
run mkindex -o no artifact
rc_is 65 "an artifact"
run mkindex -o v:x amd64 docker
rc_is 0 "an image of docker's format"
is "$(inspect --index v:x | jq -r '.manifests[1].mediaType')" application/vnd.docker.distribution.manifest.v2+json "stays in it"
PYTHONPATH=$tools python3 - "$T/w" <<'END'
import sys
from ocilib import *
l = Layout(sys.argv[1] + "/win")
a = l.layer(Tar().file("x", b"x").done())
for name, more in ("1", {"os.version": "10.0.1"}), ("2", {"os.version": "10.0.2"}), ("again", {"os.version": "10.0.2", "author": "x"}), ("f", {"os.version": "10.0.2", "os.features": ["win32k"]}):
    l.tag(l.manifest([a], config_bytes=dumps(dict({"architecture": "amd64", "os": "windows", "rootfs": {"type": "layers", "diff_ids": [a[1]]}}, **more))), name)
END
run mkindex -o v:win win:1 win:2 win:f
rc_is 0 "two versions, or features, of a system are two platforms"
is "$(inspect --index v:win | jq -c '[.manifests[].platform | [."os.version", ."os.features"]]')" '[["10.0.1",null],["10.0.2",null],["10.0.2",["win32k"]]]' "which the index says"
run mkindex -o no win:2 win:again
rc_is 73 "two images for one version of it"

# ---- indexes
run mkindex -o i:x --annotation org.example.own=3 --annotation org.example.index=changed index amd64 nested
rc_is 0 "an index gives its manifests"
run inspect --index i:x
is "$(jq -c '[.manifests[].platform.architecture]' "$T/out")" '["riscv64","unknown","amd64","ppc64le"]' "its attestation, and what is nested"
is "$(jq -c '.manifests[0] | [.annotations, ."org.example.unknown"]' "$T/out")" \
	'[{"org.example.a":"2","org.example.z":"1"},[1,2]]' "annotations and unknown members of a descriptor are kept"
is "$(jq -r '.manifests[1].annotations["vnd.docker.reference.digest"]' "$T/out")" "$(jq -r '.manifests[0].digest' "$T/out")" \
	"the attestation is still that of its image"
is "$(jq -cS .annotations "$T/out")" '{"org.example.both":"first","org.example.index":"changed","org.example.own":"3"}' \
	"annotations of indexes, and one's own over them"
ok "all of it is good, attestations too" inspect --verify i:x
dd if=index.tar bs=64k 2>/dev/null | mkindex -q - amd64 >i.tar
ok "an index from a pipe" inspect --verify i.tar
is "$(mkindex -q i.tar | inspect --raw)" "$(inspect --raw i.tar)" "an index alone is what it was"

# ---- what is wrong
run mkindex -o w:x amd64 broken
rc_is 65 "a blob that is another (T76)"
nok "no name stands for it" inspect w:x
run sh -c 'mkindex amd64 broken >w.tar'
rc_is 65 "in a stream, too"
nok "the stream has no end" inspect --verify w.tar
run sh -c 'head -c "$(($(wc -c <arm64.tar) / 2))" arm64.tar | mkindex amd64 - >w.tar'
rc_is 65 "a stream that is cut"
run mkindex
rc_is 64 "no image"
run mkindex --annotation x amd64
rc_is 64 "an annotation without a value"
run mkindex nothing
rc_is 66 "an image that is not there"

# ---- judges
schema=$top/../shared/schema/validate.py
if [ -f "$schema" ]; then
	ok "the image-spec's schemas" env PYTHONPATH="$top/../shared/dockerfiles/lib" /usr/bin/python3 "$schema" s.tar out i.tar
else
	skip "no schemas beside the source tree"
fi
if have skopeo; then
	ok "skopeo copy --all takes the stream" skopeo copy -q --all oci-archive:s.tar oci:sk:app
	is "$(skopeo inspect --raw oci:sk:app)" "$(inspect --raw s.tar)" "unchanged"
	ok "and the layout with docker's image" skopeo copy -q --all oci:v:x oci:sk:docker
	ok "and attestations" skopeo copy -q --all oci:i:x oci:sk:att
else
	skip "skopeo is not here" 4
fi
# podman refuses a run directory with a name of more than 50 letters
if is_root && have podman && [ ${#T} -le 40 ]; then
	# nothing of it is shared with the podman of another test
	printf '[engine]\nevents_logger="none"\nlock_type="file"\n' >"$T/podconf"
	pod() { CONTAINERS_CONF=$T/podconf podman --root "$T/pod" --runroot "$T/podrun" --tmpdir "$T/podtmp" --storage-driver vfs "$@"; }
	ok "podman load takes its platform" pod load -q -i s.tar
	pod rmi -fa >/dev/null 2>&1
else
	skip "podman is not here, or TMPDIR is too long for it"
fi
cd / || exit 99
done_testing
