#!/bin/sh
# mkmanifest: images of bases, layers and configuration. skopeo, umoci, podman and the schemas judge.
. "${0%/*}/lib.sh"
need python3 jq skopeo umoci
need_applet mkmanifest
cached tiny "$tools/mkimage" tiny || skip_all "no image"
tiny=$cached
cached multi "$tools/mkimage" multi || skip_all "no image"
multi=$cached
HOME=$T/h
export HOME
mkdir "$HOME"
cd "$T" || exit 1

# ---- what the tests share ----
sk() { skopeo --insecure-policy "$@"; }
sha() { sha256sum | sed 's/ .*//; s/^/sha256:/'; }
# of an image stream: a document, and its parts
blob() { tar -xOf "$1" "blobs/sha256/${2#sha256:}"; }
top_of() { tar -xOf "$1" index.json | jq -r '.manifests[0].digest'; }
manifest() { blob "$1" "$(top_of "$1")"; }
config() { blob "$1" "$(manifest "$1" | jq -r .config.digest)"; }
# jqc FILE FILTER: of the config of a stream
jqc() { config "$1" | jq -c "$2"; }
jqm() { manifest "$1" | jq -c "$2"; }
# mk NAME OPTION...: the stream $T/NAME.tar
mk() {
	_out=$1
	shift
	run sh -c 'o=$1; shift; exec mkmanifest -q "$@" >"$o"' sh "$T/$_out.tar" "$@"
}
schema=$top/../shared/schema/validate.py
# no file of the tree says how: the schemas lie beside it, their modules in another folder there
validate() {
	if [ ! -f "$schema" ]; then
		skip "no schemas beside the source tree"
		return
	fi
	_n1=$1
	shift
	ok "$_n1" env PYTHONPATH="$top/../shared/dockerfiles/lib" /usr/bin/python3 "$schema" "$@"
}
# our own: digests, sizes, counts, what the specification says must be there
cat >"$T/check.py" <<'END'
import gzip, hashlib, json, re, subprocess, sys, tarfile
for name in sys.argv[1:]:
    t = tarfile.open(name)
    names = t.getnames()
    get = lambda n: t.extractfile(n).read()
    assert len(set(names)) == len(names), "a member twice"
    assert json.loads(get("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    seen = set()
    def blob(d):
        assert re.fullmatch("sha256:[0-9a-f]{64}", d["digest"]), d
        b = get("blobs/sha256/" + d["digest"][7:])
        assert len(b) == d["size"] and hashlib.sha256(b).hexdigest() == d["digest"][7:], d
        seen.add(d["digest"][7:])
        return b
    idx = json.loads(get("index.json"))
    m = json.loads(blob(idx["manifests"][0]))
    assert m["schemaVersion"] == 2 and m["mediaType"] == idx["manifests"][0]["mediaType"]
    c = json.loads(blob(m["config"]))
    for k in "architecture", "os", "rootfs":
        assert k in c, k
    ids = c["rootfs"]["diff_ids"]
    assert len(ids) == len(m["layers"]), "counts"
    for d, i in zip(m["layers"], ids):
        b = blob(d)
        if d["mediaType"].endswith("gzip"):
            b = gzip.decompress(b)
        elif d["mediaType"].endswith("zstd"):
            b = subprocess.run(["zstd", "-dc"], input=b, stdout=subprocess.PIPE, check=True).stdout
        assert hashlib.sha256(b).hexdigest() == i[7:], "diff_id"
    h = c.get("history")
    assert not h or sum(1 for e in h if not e.get("empty_layer")) == len(ids), "history"
    assert seen == {n.split("/")[2] for n in names if n.count("/") == 2}, "a blob that nobody names"
    canonical = lambda o: json.dumps(o, separators=(",", ":"), ensure_ascii=False).encode()
    for d in idx["manifests"][0], m["config"]:
        b = get("blobs/sha256/" + d["digest"][7:])
        assert canonical(json.loads(b)) == b, "white space"
END
check() {
	_n1=$1
	shift
	ok "$_n1" python3 "$T/check.py" "$@"
}

# ---- layers, by GNU tar and gzip ----
mkdir t1 t2
echo one >t1/one
echo two >t2/two
for i in 1 2; do
	tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -C t$i -cf l$i.tar .
	gzip -nk l$i.tar
	zstd -q l$i.tar
done
d1=$(sha <l1.tar) d2=$(sha <l2.tar) z1=$(sha <l1.tar.gz)

# ---- from nothing ----
mk one --layer l1.tar.gz --platform linux/amd64 --cmd '["/one"]'
rc_is 0 "a layer and a command"
check "digests, sizes and counts agree" one.tar
is "$(tar -tf one.tar | head -n 6 | tr '\n' ' ')" \
	"oci-layout index.json manifest.json blobs/ blobs/sha256/ blobs/sha256/$(top_of one.tar | cut -d: -f2) " "in streaming order"
is "$(jqc one.tar .rootfs.diff_ids)" "[\"$d1\"]" "diff_id is the digest of what was inflated"
is "$(jqm one.tar '.layers[0]|[.mediaType,.digest]')" "[\"application/vnd.oci.image.layer.v1.tar+gzip\",\"$z1\"]" "the layer goes as it is"
is "$(config one.tar)" "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"/one\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"$d1\"]},\"history\":[{\"created_by\":\"ocibox mkmanifest\"}]}" \
	"canonical JSON"
run mkmanifest --platform linux/amd64 --cmd '["/one"]' --layer l1.tar -o lay:plain
rc_is 0 "a plain tar, into a layout"
is "$(sha <"lay/blobs/sha256/$(jq -r '.manifests[0].digest' lay/index.json | cut -d: -f2)")" \
	"sha256:74945ded37c2c8c5c3a834f780a5790d5f1ce0bda96151fa56b387bede6523ae" "its digest is the golden one"
run sh -c 'mkmanifest --layer - --platform linux/arm64 -o lay:zst <l1.tar.zst'
rc_is 0 "zstd, redirected"
run sh -c 'cat l1.tar.gz | mkmanifest --layer - --layer l2.tar -o lay:two --created 5'
rc_is 0 "two layers, one from a pipe"
is "$(umoci ls --layout lay | sort | tr '\n' ' ')" "plain two zst " "umoci lists them"
is "$(sk inspect oci:lay:zst | jq -r '.Architecture, (.Layers|length)' | tr '\n' ' ')" "arm64 1 " "skopeo reads one"
ok "umoci reads one" umoci stat --image lay:two
is "$(find lay -name '.*')" "" "nothing else is left in the layout"
run umoci raw unpack --rootless --image lay:two u
is "$(cat u/one u/two)" "one
two" "umoci unpacks the two layers"
validate "the schemas are kept" lay one.tar
mk host --layer l1.tar
case $(uname -m) in x86_64) a='["amd64",null]' ;; aarch64) a='["arm64",null]' ;; *) a='' ;; esac
if [ "$a" ]; then is "$(jqc host.tar '[.architecture,.variant]')" "$a" "the platform of this machine, of no special processor"; else skip "unknown machine"; fi

# ---- standard input ----
run sh -c 'cat l1.tar | TMPDIR=/nonexistent mkmanifest --layer - -o lay:nowhere; echo $? >rc; cat one.tar | TMPDIR=/nonexistent mkmanifest --layer l1.tar -b - --squash=new -o lay:nowhere'
is "$(cat rc) $rc $err" "73 73 mkmanifest: standard input: a temporary file in TMPDIR: there is no such directory
mkmanifest: standard input: a temporary file in TMPDIR for the image: there is no such directory" "a TMPDIR that is not there is 73"
for how in "- <one.tar" one.tar "- <one.tar.gz"; do
	gzip -c one.tar >one.tar.gz
	run sh -c "mkmanifest -o lay:notalayer --layer $how"
	rc_is 65 "an image for a layer: --layer $how"
	like "$err" 'it is an image, not a layer \(-b takes one\)' "which is told"
done
rm one.tar.gz
run sh -c 'mkmanifest --layer - -b - <one.tar'
rc_is 64 "standard input can be read once"
run sh -c 'mkmanifest --layer - --layer - <l1.tar'
rc_is 64 "also where two layers want it"
run sh -c 'mkmanifest --layer l1.tar --label a=b >x.tar <&-'
rc_is 0 "it is not read unasked: it may be closed"
run sh -c '(printf rest; cat one.tar) | (mkmanifest -q --layer l1.tar >/dev/null; head -c 4)'
is "$out" "rest" "nor is it looked into"
run sh -c 'mkmanifest --label a=b </dev/null'
rc_is 66 "empty input"
like "$err" 'standard input is empty \(did the command before the pipe fail\?\)' "is explained"
run sh -c 'mkmanifest --layer - </dev/null'
rc_is 66 "an empty layer, too"
run sh -c 'mkmanifest --layer l1.tar | cat >/dev/null; mkmanifest operand'
rc_is 64 "no operands"

# ---- on top of a base ----
run sh -c 'mkmanifest <one.tar >same.tar'
rc_is 0 "nothing changes"
ok "the same stream comes out" cmp one.tar same.tar
run sh -c 'mkmanifest -q --label a=b <one.tar >label.tar'
rc_is 0 "a label on what comes from a pipe"
check "which is whole" label.tar
is "$(jqc label.tar '[.config,.history]')" '[{"Cmd":["/one"],"Labels":{"a":"b"}},[{"created_by":"ocibox mkmanifest"},{"created_by":"ocibox mkmanifest","empty_layer":true}]]' \
	"and its history tells of a step without a layer"
mk lab2 -b label.tar --label a=b
ok "a change that says the same is none" cmp label.tar lab2.tar
mk ann -b one.tar --annotation x=y --annotation a=ü
is "$(jqm ann.tar '[.config.digest,.annotations]')" "[$(jqm one.tar .config.digest),{\"a\":\"ü\",\"x\":\"y\"}]" "annotations leave the config as it is"
mk ann2 -b ann.tar --unset-annotation x --unset-annotation nothing
is "$(jqm ann2.tar .annotations)" '{"a":"ü"}' "one is taken away"
mk up -b "$tiny:latest" --layer l1.tar.gz --layer l2.tar.zst --env TINY=2 --history "first" --history second
rc_is 0 "two layers on top of a base"
check "whole" up.tar
tm=$(jq -r '.manifests[0].digest' "$tiny/index.json" | cut -d: -f2)
is "$(jqm up.tar '.layers[:2]')" "$(jq -c .layers "$tiny/blobs/sha256/$tm")" "the base's descriptors are as they were"
is "$(jqm up.tar '[.layers[2:][].mediaType]')" '["application/vnd.oci.image.layer.v1.tar+gzip","application/vnd.oci.image.layer.v1.tar+zstd"]' \
	"media types by magic"
mk said -b "$tiny:latest" --history "what was done"
is "$(jqc said.tar '.history[-1]')" '{"created_by":"what was done","empty_layer":true}' "a text alone is a step, too"
is "$(jqc up.tar '[.history[].created_by]')" '["layer 0","layer 1","first","second"]' "texts for the history"
is "$(jqc up.tar '[.created,.config.Env[1]]')" '[null,"TINY=2"]' "no time but what is said; the variable is replaced in its place"
for l in $(jq -r '.layers[].digest' "$tiny/blobs/sha256/$tm"); do
	is "$(blob up.tar "$l" | sha)" "$l" "a base layer, byte for byte"
done
sk copy -q "oci:$tiny:latest" oci-archive:tiny.tar
run sh -c 'cat tiny.tar | mkmanifest -q --layer l1.tar.gz --layer l2.tar.zst --env TINY=2 --history first --history second -b - >up2.tar'
ok "the same from a pipe" cmp up.tar up2.tar
run mkmanifest -b "$tiny:latest" --layer l1.tar.gz --stats -o lay:stats
like "$err" 'stats: \{"read":[0-9]+,"hashed":[0-9]+,"inflated":10240,"compressed":0,"spooled":0,"sent":[0-9]+\}' "only the new layer is inflated"
mk dup -b one.tar --layer l1.tar.gz --layer l1.tar.gz
rc_is 0 "the same layer three times"
check "is in the stream once" dup.tar
run sh -c 'cat dup.tar | mkmanifest -q --label x=y >dup2.tar'
rc_is 0 "and passes through a pipe"
check "as it should" dup2.tar

# ---- names, and where the base came from (T73) ----
mk named -b one.tar -t example.org/a/b:3 --label n=1
is "$(tar -xOf named.tar index.json | jq -c '.manifests[0].annotations')" \
	'{"io.containerd.image.name":"example.org/a/b:3","org.opencontainers.image.ref.name":"example.org/a/b:3"}' "the name of -t"
mk from -b named.tar --label n=2
is "$(tar -xOf from.tar index.json | jq -c '.manifests[0].annotations')" null "T73 the base's name stays its own"
is "$(jqm from.tar .annotations)" "{\"org.opencontainers.image.base.digest\":\"$(top_of named.tar)\",\"org.opencontainers.image.base.name\":\"example.org/a/b:3\"}" \
	"where it came from is told"
mk from2 -b named.tar --label n=2 --no-base-annotations
is "$(jqm from2.tar .annotations)" null "unless that is not wanted"
mk from3 -b named.tar --annotation org.opencontainers.image.base.name=mine
is "$(jqm from3.tar .annotations)" '{"org.opencontainers.image.base.name":"mine"}' "or said otherwise"
run mkmanifest -b one.tar -t example.org/x:tagged -o named
is "$(umoci ls --layout named)" tagged "a layout takes the tag of -t"
for n in 'UPPER' 'a@sha256:24a51b8e8a1b1e3f0e5f0f5e1d9f3a2b24a51b8e8a1b1e3f0e5f0f5e1d9f3a2b' ''; do
	run mkmanifest --layer l1.tar -t "$n"
	rc_is 64 "no name: '$n'"
done

# ---- platforms (T75) ----
mk arm -b "$multi:latest" --platform linux/arm/v6 --label a=b
is "$(jqc arm.tar '[.architecture,.variant]')" '["arm","v6"]' "T75 one platform of an index"
run mkmanifest -b "$multi:latest" --platform linux/loong64 -o lay:none
rc_is 66 "T75 a platform that is not there"
mk nested -b "$multi:nested" --platform linux/mips64le --label a=b
rc_is 0 "in a nested index"

# ---- wrong layers ----
bad() {
	_rc=$1 _like=$2 _name=$3
	shift 3
	rm -rf bad
	run sh -c 'exec mkmanifest "$@" >bad.tar' sh "$@"
	rc_is "$_rc" "$_name"
	like "$err" "$_like" "and why"
	nok "no whole archive is left" tar -tf bad.tar
	run mkmanifest "$@" -o bad:x
	rc_is "$_rc" "into a layout, too"
	is "$(jq -c .manifests bad/index.json 2>/dev/null || echo '[]')" "[]" "and no tag is left"
}
head -c 1100 l1.tar >cut.tar
gzip -nc cut.tar >cut.tar.gz
head -c 100 l1.tar.gz >short.gz
(cat l1.tar.gz && echo garbage) >behind.gz
bad 65 'cut off|no end' "a tar that was cut off" --layer cut.tar
# a writer of independent members that was killed leaves a whole gzip file
bad 65 'cut off|no end' "in a whole gzip" --layer cut.tar.gz
head -c 1536 l1.tar >entries.tar
bad 65 'no end' "cut between two entries" --layer entries.tar
bad 65 '' "a gzip that was cut off" --layer short.gz
bad 65 '' "T76 with garbage behind it" --layer behind.gz
echo 'no tar at all, but a text' >text
bad 65 'tar' "no tar" --layer text
printf 'BZh91AY' >l.bz2
bad 65 'bzip2' "bzip2" --layer l.bz2
bad 66 'nosuch' "no such file" --layer nosuch
bad 64 'directory' "a directory" --layer t1
bad 65 'decompressed .--max-size' "T81 more than --max-size" --layer l1.tar.gz --max-size 4k
run sh -c 'cat l1.tar | mkmanifest --layer - --spool-max 4k >bad.tar'
rc_is 65 "more than --spool-max through a pipe"
like "$err" 'spool-max' "and what to do"

# ---- what mklayer says of a layer ----
said() {
	jq -nc --arg d "$1" --arg i "$2" --argjson s "$3" --arg m "$4" '{mediaType: $m, digest: $d, size: $s, diffID: $i}' >said
}
gz=application/vnd.oci.image.layer.v1.tar+gzip
n1=$(wc -c <l1.tar.gz)
said "$z1" "$d1" "$n1" $gz
mk said --platform linux/amd64 --cmd '["/one"]' --layer l1.tar.gz --layer-digestfile said
rc_is 0 "a layer that was measured when it was made"
ok "the same image" cmp one.tar said.tar
run sh -c 'cat l1.tar.gz | mkmanifest -q --platform linux/amd64 --cmd "[\"/one\"]" --layer - --layer-digestfile said >said2.tar'
ok "from a pipe, too" cmp one.tar said2.tar
said "$z1" "$d2" "$n1" $gz
bad 65 'diff_id' "T76 a wrong diff_id" --layer l1.tar.gz --layer-digestfile said
run sh -c 'cat l1.tar.gz | mkmanifest --layer - --layer-digestfile said >bad.tar'
rc_is 65 "T76 from a pipe"
# of whole blocks: if its last bytes came out, tar would take the archive for whole
said "$d1" "$d2" 10240 application/vnd.oci.image.layer.v1.tar
bad 65 'diff_id' "T76 a wrong diff_id of whole blocks" --layer l1.tar --layer-digestfile said
said "$d1" "$d1" "$n1" $gz
bad 65 'digest' "T76 a wrong digest" --layer l1.tar.gz --layer-digestfile said
said "$z1" "$d1" 7 $gz
bad 65 'bytes' "T72 a wrong size" --layer l1.tar.gz --layer-digestfile said
said "$z1" "$d1" "$n1" application/vnd.oci.image.layer.v1.tar
bad 65 'compressed' "T76 a wrong media type" --layer l1.tar.gz --layer-digestfile said
echo '{"digest":"sha256:../../x","diffID":"","size":1,"mediaType":"x"}' >said
bad 65 'digest' "T68 no digest at all" --layer l1.tar.gz --layer-digestfile said
run mkmanifest --layer-digestfile said --layer l1.tar
rc_is 64 "it follows its layer"

if [ -e "$T/bin/mklayer" ]; then
	run sh -c 'mklayer --digestfile made --mtime 0 t1 | mkmanifest -q --layer - --layer-digestfile made >made.tar'
	rc_is 0 "mklayer into a pipe, whose digests come after it"
	run sh -c 'mklayer --mtime 0 t1 >made.gz; mkmanifest -q --layer made.gz --layer-digestfile made >made2.tar'
	ok "the same from a file" cmp made.tar made2.tar
	run mkmanifest --layer made.gz --layer-digestfile made -o lay:made --stats
	like "$err" "\"hashed\":$(($(wc -c <made.gz) + $(gzip -dc made.gz | wc -c)))," "hashed once as it is and once inflated"
else
	skip "no mklayer in this binary" 3
fi

# ---- wrong bases ----
cp -r "$tiny" wrong
chmod -R u+w wrong
l=$(jq -r '.layers[1].digest' "wrong/blobs/sha256/$tm" | cut -d: -f2)
printf X | dd of="wrong/blobs/sha256/$l" bs=1 seek=40 conv=notrunc 2>/dev/null
bad 65 'digest' "a base layer that is not what its digest says" -b wrong:latest --label a=b
dd if=one.tar of=half.tar bs=512 count=12 2>/dev/null
bad 66 'has no blob' "a stream that ends early" -b half.tar --label a=b
cat >mkwrong.py <<'END'
import sys
sys.path.insert(0, sys.argv[1])
from ocilib import *
l = Layout("odd")
a = l.layer(Tar().file("x").done())
h = [{"created_by": "x"}, {"created_by": "e", "empty_layer": True}]
def image(tag, history, n=1, config=None):
    c = {"architecture": "amd64", "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": [a[1]] * n}, "zzz": {"kept": [1, 2.5, None]}, "history": history}
    l.tag(l.manifest([a] * n, config_bytes=dumps(c), extra={"annotations": {"k": "v"}, "other": [1]}), tag)
image("more", h + h)
image("none", [])
image("null", None, config={"Env": None, "Labels": None, "Volumes": None, "Cmd": None})
image("good", h)
image("many", [], 126)
image("wrongtype", h, config={"Env": "A=b"})
image("wrongconfig", h, config="x")
image("wronghistory", "x")
image("wrongentry", [1])
l.tag(l.manifest([a], config_bytes=b"{}", extra={"config": dict({"mediaType": "application/vnd.example+json"}, **l.put(b"{}"))}), "artifact")
END
cat >>mkwrong.py <<'END'
l = Layout("t76")
l.tag(l.manifest([l.layer(Tar().file("x").done(), diff_id="sha256:" + "0" * 64)]))
END
python3 mkwrong.py "$tools"
bad 65 'artifact' "T71 an artifact" -b odd:artifact --label a=b
bad 65 'history of the base tells of 2 layers, but it has 1' "a history that disagrees" -b odd:more --label a=b
mk nohist -b odd:more --label a=b --unset-history
is "$(jqc nohist.tar .history)" null "which can be dropped"
mk none -b odd:none --layer l1.tar
is "$(jqc none.tar '.history')" null "no history below, none above"
run sh -c 'mkmanifest -b odd:none --layer l1.tar --history x >none.tar'
like "$err" 'warning: --history' "which is told where one was wanted"
mk null -b odd:null --env A=b --label a=b --volume /v
is "$(jqc null.tar .config)" '{"Env":["A=b"],"Cmd":null,"Volumes":{"/v":{}},"Labels":{"a":"b"}}' "null is as good as nothing"
mk keep -b odd:good --label a=b
is "$(jqc keep.tar .zzz)$(jqm keep.tar '[.annotations,.other]')" '{"kept":[1,2.5,null]}[{"k":"v"},[1]]' "members that we do not know are kept"
bad 65 'Env of the image config is no array' "an Env that is none" -b odd:wrongtype --env a=b
bad 65 'config' "a config that is none" -b odd:wrongconfig --env a=b
bad 65 'history' "a history that is none" -b odd:wronghistory --label a=b
bad 65 'history' "an entry that is none" -b odd:wrongentry --label a=b
bad 65 '128 layers.*127' "T80 too many layers" -b odd:many --layer l1.tar --layer l2.tar
mk most -b odd:many --layer l1.tar
rc_is 0 "as many as can be mounted"

# ---- the options, as a Dockerfile has them (every value: tests/unit/config_edit.c) ----
all() {
	mk "$@" --env A=1 --env 'B=two words' --label l=1 --label 'm=a=b' --expose 80 --expose 53/udp --volume /v --volume '["/w","/x y"]' \
		--workdir /a --workdir b --user 7:8 --stop-signal SIGQUIT --shell '["/bin/bash","-c"]' --entrypoint '["/e"]' --cmd 'run it' \
		--healthcheck '--interval=5m --timeout=3s --retries=2 CMD curl -f http://localhost/ || exit 1' --onbuild 'RUN x'
}
run sh -c 'for t in 1715000000 @1715000000 "2024-05-06 12:53:20" 2024-05-06T14:53:20+02:00; do
	mkmanifest -q --layer l1.tar --created "$t" | inspect --config | jq -r .created
done | sort -u'
is "$out" 2024-05-06T12:53:20Z "--created, as mklayer --mtime has it"
all opts --layer l1.tar --author me --created 2024-05-06T07:08:09Z --platform linux/amd64
rc_is 0 "all options at once"
is "$(config opts.tar)" "{\"created\":\"2024-05-06T07:08:09Z\",\"author\":\"me\",\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"User\":\"7:8\",\"ExposedPorts\":{\"53/udp\":{},\"80/tcp\":{}},\"Env\":[\"A=1\",\"B=two words\"],\"Entrypoint\":[\"/e\"],\"Cmd\":[\"/bin/bash\",\"-c\",\"run it\"],\"Volumes\":{\"/v\":{},\"/w\":{},\"/x y\":{}},\"WorkingDir\":\"/a/b\",\"Labels\":{\"l\":\"1\",\"m\":\"a=b\"},\"StopSignal\":\"SIGQUIT\",\"Healthcheck\":{\"Interval\":300000000000,\"Timeout\":3000000000,\"Retries\":2,\"Test\":[\"CMD-SHELL\",\"curl -f http://localhost/ || exit 1\"]},\"OnBuild\":[\"RUN x\"],\"Shell\":[\"/bin/bash\",\"-c\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"$d1\"]},\"history\":[{\"created\":\"2024-05-06T07:08:09Z\",\"created_by\":\"ocibox mkmanifest\"}]}" \
	"each is where the specification has it"
check "whole" opts.tar
mk unset -b opts.tar --unset-env A --unset-label m --unset-expose 53/udp --unset-volume /v --unset-cmd --unset-entrypoint --unset-shell --unset-workdir \
	--unset-user --unset-stop-signal --unset-healthcheck --unset-onbuild --unset-author
is "$(jqc unset.tar '[.config,.author]')" '[{"ExposedPorts":{"80/tcp":{}},"Env":["B=two words"],"Volumes":{"/w":{},"/x y":{}},"Labels":{"l":"1"}},null]' \
	"all of them taken away"
if have podman && is_root; then
	mkdir pod
	printf '[containers]\ndefault_ulimits=["nofile=1024:1024"]\n[engine]\ncgroup_manager="cgroupfs"\nevents_logger="none"\nlock_type="file"\n' >pod/conf
	# its mounts stay in a namespace of their own
	pod() { CONTAINERS_CONF=$T/pod/conf unshare -m podman --root "$T/pod/root" --runroot "$T/pod/run" --tmpdir "$T/pod/tmp" --storage-driver=vfs "$@"; }
	mkdir ctx
	cp l1.tar ctx
	cat >ctx/Dockerfile <<'END'
FROM scratch
ADD l1.tar /
ENV A=1
ENV B="two words"
LABEL l=1 m="a=b"
EXPOSE 80
EXPOSE 53/udp
VOLUME /v
VOLUME ["/w","/x y"]
WORKDIR /a
WORKDIR b
USER 7:8
STOPSIGNAL SIGQUIT
SHELL ["/bin/bash","-c"]
ENTRYPOINT ["/e"]
CMD ["/bin/bash","-c","run it"]
HEALTHCHECK --interval=5m --timeout=3s --retries=2 CMD curl -f http://localhost/ || exit 1
ONBUILD RUN x
END
	run pod build -q --format docker --isolation chroot -t localhost/peer:1 ctx
	if [ "$rc" = 0 ]; then
		pod save -q --format docker-dir -o peer localhost/peer:1 >/dev/null 2>&1
		# what only one of the two writes. (This podman gives a CMD that is a text to /bin/sh whatever SHELL says.)
		norm() {
			jq -S '.config | with_entries(select(.value != null and .value != "" and .value != {} and .value != [])) |
				{User, ExposedPorts, Env: (.Env - ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]), Entrypoint, Cmd, Volumes, WorkingDir,
				Labels: (.Labels | with_entries(select(.key | startswith("io.buildah") | not))), StopSignal, Healthcheck, OnBuild, Shell}'
		}
		is "$(config opts.tar | norm)" "$(norm <"peer/$(jq -r .config.digest peer/manifest.json | cut -d: -f2)")" "podman build makes the same of a Dockerfile"
	else
		_show 5 <"$T/err"
		skip "podman build does not work here"
	fi
	run sh -c "mkmanifest -q -b '$tiny:latest' --layer l1.tar.gz --cmd '[\"cat\",\"/one\"]' -t example.org/app:1 >app.tar"
	run pod load -i app.tar
	rc_is 0 "podman loads an image"
	run pod image inspect --format '{{.Digest}} {{.Config.Cmd}}' example.org/app:1
	is "$out" "$(top_of app.tar) [cat /one]" "under its name, the same manifest and command"
	mk appd -b app.tar --format docker -t example.org/app:2
	run pod load -i appd.tar
	rc_is 0 "and one in docker's format"
	run pod image inspect --format '{{.ManifestType}} {{.HealthCheck}}' example.org/app:2
	like "$out" 'docker.distribution.manifest.v2' "which it takes for one"
else
	skip "podman is not here, or not for an ordinary user" 5
fi
for o in --env=A --label=x --expose=0 --expose=80/x --volume=rel --stop-signal=NONE '--healthcheck=x' --shell=sh '--onbuild=FROM x' '--cmd=' '--cmd=[1]' \
	--user=4294967295 --workdir= --created=yesterday --annotation=x --unset-annotation=a=b --format=x --platform=linux -oa:/ '--env=A=a\0377' --rebase=x \
	--author= --layer-digestfile=x; do
	run mkmanifest "$(printf '%b' "$o")" --layer l1.tar
	rc_is 64 "refused: $o"
done
run env SOURCE_DATE_EPOCH=x mkmanifest --layer l1.tar
rc_is 64 "a SOURCE_DATE_EPOCH that is none"

# ---- time, and the same bytes again ----
run sh -c 'SOURCE_DATE_EPOCH=1700000000 mkmanifest -q --layer l1.tar --platform linux/amd64 >epoch.tar'
is "$(jqc epoch.tar '[.created,.history[0].created]')" '["2023-11-14T22:13:20Z","2023-11-14T22:13:20Z"]' "SOURCE_DATE_EPOCH"
run sh -c 'SOURCE_DATE_EPOCH=1 mkmanifest -q <epoch.tar | cmp - epoch.tar'
rc_is 0 "is no change by itself"
run sh -c 'SOURCE_DATE_EPOCH=1 mkmanifest -q --created 2024-01-01T02:00:00+01:00 -b epoch.tar >created.tar'
is "$(jqc created.tar .created)" '"2024-01-01T01:00:00Z"' "--created wins, and is one"
run sh -c 'umask 077; cd /; TZ=Asia/Tokyo LC_ALL=tr_TR.UTF-8 SOURCE_DATE_EPOCH=1700000000 taskset -c 0 mkmanifest -q --layer - --platform linux/amd64 <"$T/l1.tar" >"$T/epoch2.tar"'
ok "the same bytes by another umask, time zone, locale, on one processor, through a pipe" cmp epoch.tar epoch2.tar
is "$(sha <epoch.tar)" sha256:240324229df6dabbcf711559ba92f00dce53d98b8f26882feeaa96b8c5908017 "the golden digest of a stream"

# ---- formats ----
mk dock -b up.tar --format docker
rc_is 65 "docker's format has no zstd"
like "$err" 'zstd.*--format oci' "which is said"
mk gz -b "$tiny:latest" --layer l1.tar.gz --layer l2.tar --annotation a=b
run sh -c 'mkmanifest -b gz.tar --format docker >dock.tar'
rc_is 0 "docker's format"
like "$err" "$(top_of gz.tar) is now $(top_of dock.tar)" "the digest changes, which is told"
like "$err" 'warning: 1 annotation left out' "and what it has no room for"
is "$(jqm dock.tar '[.mediaType,.config.mediaType,.layers[].mediaType,.annotations]')" \
	'["application/vnd.docker.distribution.manifest.v2+json","application/vnd.docker.container.image.v1+json","application/vnd.docker.image.rootfs.diff.tar.gzip","application/vnd.docker.image.rootfs.diff.tar.gzip","application/vnd.docker.image.rootfs.diff.tar.gzip","application/vnd.docker.image.rootfs.diff.tar",null]' \
	"its media types"
is "$(config dock.tar | sha)" "$(config gz.tar | sha)" "the config is the same"
check "whole" dock.tar
run sk copy -q oci-archive:dock.tar dir:skdock
is "$(sha <skdock/manifest.json)" "$(top_of dock.tar)" "skopeo reads it"
mk back -b dock.tar --format oci
mk gz2 -b gz.tar --unset-annotation a
ok "and back again: the same image" cmp back.tar gz2.tar
mk dock2 -b dock.tar --label a=b
is "$(jqm dock2.tar .mediaType)" '"application/vnd.docker.distribution.manifest.v2+json"' "what is docker's stays so"
run sh -c 'mkmanifest -b dock.tar --layer l1.tar.zst >x.tar'
rc_is 65 "no zstd on top of it"
run sh -c 'mkmanifest -b dock.tar --annotation a=b >x.tar'
rc_is 64 "and no annotations"
mk dock3 -b dock.tar --layer l1.tar.zst --annotation a=b --format oci
rc_is 0 "but as OCI"
mk multid -b "$multi:docker" --platform linux/arm64 --label a=b
is "$(jqm multid.tar .config.mediaType)" '"application/vnd.docker.container.image.v1+json"' "out of a docker manifest list"

# ---- rebase ----
mk oldbase --layer l1.tar.gz --history base --env BASE=1 -t example.org/base:1
mk app -b oldbase.tar --layer l2.tar.gz --history app --cmd '["/two"]'
mk app2 -b app.tar --label config=only
mkdir t3 && echo three >t3/one && tar --sort=name --mtime=@0 --owner=0 --group=0 -C t3 -cf l3.tar .
mk newbase --layer l3.tar --layer l1.tar.gz --history new1 --history new2 --env BASE=2 -t example.org/base:2
mk re -b app2.tar --rebase oldbase.tar newbase.tar
rc_is 0 "an image on another base"
check "whole" re.tar
is "$(jqm re.tar '[.layers[].digest]')" "[\"$(sha <l3.tar)\",\"$z1\",\"$(sha <l2.tar.gz)\"]" "the layers of the new base, then its own"
is "$(jqc re.tar '[.history[].created_by]')" '["new1","new2","app","ocibox mkmanifest"]' "history follows"
is "$(jqc re.tar .config)" '{"Env":["BASE=1"],"Cmd":["/two"],"Labels":{"config":"only"}}' "the config is its own"
is "$(jqm re.tar '.annotations["org.opencontainers.image.base.name"]')" '"example.org/base:2"' "the new base is told"
for w in -b --old --new; do
	case $w in
	-b) run sh -c 'cat app2.tar | mkmanifest -q -b - --rebase oldbase.tar newbase.tar >re2.tar' ;;
	--old) run sh -c 'cat oldbase.tar | mkmanifest -q -b app2.tar --rebase - newbase.tar >re2.tar' ;;
	--new) run sh -c 'cat newbase.tar | mkmanifest -q -b app2.tar --rebase oldbase.tar - >re2.tar' ;;
	esac
	ok "the same with one of them from a pipe ($w)" cmp re.tar re2.tar
done
mk re3 -b app2.tar --rebase oldbase.tar oldbase.tar --no-base-annotations
is "$(jqm re3.tar '[.config,.layers]')" "$(jqm app2.tar '[.config,.layers]')" "on its old base it is what it was"
mk re4 -b app2.tar --rebase oldbase.tar newbase.tar --layer l1.tar --label more=1
is "$(jqc re4.tar '[.history[].created_by]')" '["new1","new2","app","ocibox mkmanifest","ocibox mkmanifest"]' "with a layer on top"
bad 65 'lowest layers differ' "not made on that base" -b app2.tar --rebase newbase.tar oldbase.tar
run mkmanifest --layer l1.tar --rebase oldbase.tar newbase.tar
rc_is 64 "nothing to rebase"
run sh -c 'mkmanifest -b - --rebase - newbase.tar <app.tar'
rc_is 64 "standard input twice"

# ---- squash ----
mkdir w1 w2
mkdir w1/etc w1/dir w2/dir w2/etc
touch w1/etc/.wh.passwd && echo new >w1/etc/second && echo a >w1/dir/a && ln w1/dir/a w1/dir/b && ln -s a w1/dir/link
touch w2/dir/.wh.a w2/etc/.wh.nothing && echo c >w2/dir/c && chmod 4755 w2/dir/c
for i in 1 2; do tar --sort=name --mtime=@1600000000 --owner=0 --group=0 -C w$i -cf w$i.tar .; done
mk plain -b "$tiny:latest" --layer w1.tar --layer w2.tar --cmd '["x"]' -t example.org/s:1
mk all -b "$tiny:latest" --layer w1.tar --layer w2.tar --cmd '["x"]' --squash
rc_is 0 "all layers made one"
check "whole" all.tar
is "$(jqm all.tar '.layers|length')$(jqc all.tar '[.history[].created_by]')" '1["ocibox mkmanifest"]' "one layer, one step of history"
is "$(jqc all.tar .config)" "$(jqc plain.tar .config)" "the config is as it was"
mk new -b "$tiny:latest" --layer w1.tar --layer w2.tar --cmd '["x"]' --squash=new --history both
rc_is 0 "only the new ones"
check "whole" new.tar
is "$(jqm new.tar '.layers[:2]')" "$(jqm plain.tar '.layers[:2]')" "the base's are untouched"
is "$(jqc new.tar '[.history[].created_by]')" '["layer 0","layer 1","both"]' "one step more"
for s in plain all new; do
	run unpack -q $s.tar un-$s
	rc_is 0 "unpack: $s"
done
ok "all: the same tree" "$tools/treecmp" un-plain un-all
ok "new: the same tree" "$tools/treecmp" un-plain un-new
is "$(blob all.tar "$(jqm all.tar .layers[0].digest | tr -d \")" | gzip -dc | tar -t | grep -c '\.wh\.')" 0 "no whiteout is left where nothing lies below"
run sh -c "cat plain.tar | mkmanifest -q --squash --stats >all2.tar"
is "$(jqm all2.tar .layers)" "$(jqm all.tar .layers)" "the same layer from a pipe"
is "$(jqm all2.tar .annotations)" null "which has nothing of its base any more"
run sh -c "cat plain.tar | taskset -c 0 mkmanifest -q --squash >all3.tar"
ok "and by one processor" cmp all2.tar all3.tar
run sh -c "cat w1.tar | SOURCE_DATE_EPOCH=1500000000 mkmanifest -q --layer - --layer w2.tar --squash=new >epoch.tar"
is "$(blob epoch.tar "$(jqm epoch.tar .layers[0].digest | tr -d \")" | gzip -dc | tar -tv --full-time | awk '{ print $4 }' | sort -u)" 2017-07-14 \
	"no time later than SOURCE_DATE_EPOCH"
mk sqre -b app2.tar --rebase oldbase.tar newbase.tar --layer w1.tar --squash=new
is "$(jqm sqre.tar '.layers|length')$(jqc sqre.tar '[.history[].created_by]')" '3["new1","new2","ocibox mkmanifest"]' "what is on top of a new base, squashed"
check "whole" sqre.tar
mk sqz --layer l1.tar.zst --layer l2.tar.gz --squash --format docker
rc_is 0 "zstd, squashed, for docker"
mk over -b odd:many --layer l1.tar --layer l2.tar --squash=new
rc_is 0 "T80 squashed, what would be too many layers"
mk disagree -b odd:more --squash
is "$(jqc disagree.tar '[.history[].created_by]')" '["ocibox mkmanifest"]' "a history that disagreed is gone"
validate "the schemas are kept" all.tar new.tar sqre.tar
bad 65 'diff_id' "T76 a base layer that does not match its diff_id" -b t76:latest --squash
bad 65 'cut off|end' "a layer that was cut off" -b one.tar --layer cut.tar --squash
mkdir wl && echo a >wl/a && ln wl/a wl/b && tar -C wl -cf wl1.tar a b
python3 - "$tools" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
from ocilib import *
open("wl2.tar", "wb").write(ent("c", b"1", link="a") + END)
END
mk wl -b one.tar --layer wl1.tar
bad 65 'c: hard link to a: that lies in a layer below, which is not read; to squash all layers reads it' "a hard link into the base" -b wl.tar --layer wl2.tar --squash=new
mk wlall -b wl.tar --layer wl2.tar --squash
rc_is 0 "which is there with all of them"
run mkmanifest -b one.tar --squash=new
rc_is 64 "no new layer"
run mkmanifest -b one.tar --squash=some
rc_is 64 "neither all nor new"

# ---- what we do not know of a config passes ----
cat >mkodd.py <<'END'
import sys
sys.path.insert(0, sys.argv[1])
from ocilib import *
l = Layout("unknown")
a = l.layer(Tar().file("x").done())
l.tag(l.manifest([a], config_bytes=b"""{"x.big": 9223372036854775807, "os": "linux", "x.float": [1.5, -0.25, 1E+40],
 "config": {"x.in": {"z": 1, "a": [null, true, {}]}, "Env": ["A=1"]}, "x.text": "\\u0026\\n\\u00e9", "x.empty": {},
 "architecture": "amd64", "rootfs": {"x.r": -9223372036854775808, "type": "layers", "diff_ids": ["%s"]}}""" % a[1].encode()), "odd")
END
python3 mkodd.py "$tools"
mk unknown -b unknown:odd --env B=2 --unset-history
blob unknown.tar "$(jqm unknown.tar .config.digest | tr -d '"')" >unknown.json
like "$(cat unknown.json)" '^\{"architecture":"amd64","os":"linux","config":\{"Env":\["A=1","B=2"\],"x.in":\{"z":1,"a":\[null,true,\{\}\]\}\},"rootfs":' "T74 unknown members are kept, in their order"
like "$(cat unknown.json)" '"x.r":-9223372036854775808\},"x.big":9223372036854775807,"x.float":\[1.5,-0.25,1(\.0)?e\+?40\],"x.text":"&\\né","x.empty":\{\}\}$' \
	"T74 numbers, too"

# ---- limits ----
# (a config of more than 8 MiB: tests/unit/config_edit.c)
cat >mkbig.py <<'END'
import sys
sys.path.insert(0, sys.argv[1])
from ocilib import *
l = Layout("big-layout")
a = l.layer(Tar().file("x").done())
l.tag(l.manifest([a], extra={"annotations": {"k": "x" * 2000000, "l": "y" * 2000000}}), "big")
END
python3 mkbig.py "$tools"
big=$(head -c 120000 /dev/zero | tr '\0' x)
bad 65 'manifest would have' "T80 a manifest of more than 4 MiB" -b big-layout:big --annotation "a=$big" --annotation "b=$big"

# ---- where it writes ----
run sh -c 'mkmanifest -q -b one.tar --digestfile df -o lay:df'
is "$(cat df)" "$(top_of one.tar)" "--digestfile"
before=$(find lay -type f -printf '%p %i\n' | grep -v index.json | sort)
run mkmanifest -b lay:df -o lay:df2 --sync
is "$(find lay -type f -printf '%p %i\n' | grep -v index.json | sort)" "$before" "what a layout holds is not written again"
is "$(umoci ls --layout lay | grep df | tr '\n' ' ')" "df df2 " "it has two names"
for i in 1 2 3 4; do
	mkmanifest -q -b "$tiny:latest" --layer l2.tar.gz -o "par:n$i" 2>"par-$i" &
	pids="$pids $!"
done
for p in $pids; do wait "$p" || fail "one of four at once"; done
is "$(umoci ls --layout par | sort | tr '\n' ' ')" "n1 n2 n3 n4 " "four at once into a new layout"
is "$(find par -name '.*')" "" "no partial is left"
mkdir full
run mkmanifest --layer l1.tar -o t1:x
rc_is 73 "a directory that is no layout"
run mkmanifest --layer l1.tar -o nosuch/lay:x
rc_is 73 "where there is no directory"
if is_root && mkdir small && mount -t tmpfs -o size=64k small "$PWD/small" 2>/dev/null; then
	head -c 200000 /dev/urandom >noise
	tar -cf noise.tar noise
	run mkmanifest --layer noise.tar -o big:x
	for how in "--layer noise.tar" "-b big:x --label a=b"; do
		run mkmanifest $how -o small/lay:x
		rc_is 73 "$how into a layout without room"
		like "$err" 'No space left on device \(free some room\)' "$how: is said so"
		unlike "$err" 'descriptor says|cut off' "$how: not as bad data"
		rm -rf small/lay
	done
	run sh -c 'cat noise.tar | TMPDIR=$PWD/small mkmanifest --layer - -o big:y'
	rc_is 73 "a pipe and a TMPDIR without room"
	like "$err" 'standard input: writing a temporary file in TMPDIR: No space left' "names what has none"
	umount small
else
	skip "no small file system" 8
fi
run sh -c 'cat l1.tar | TMPDIR=$PWD/nosuch mkmanifest --layer - -o lay:q'
like "$err" 'a temporary file in TMPDIR: there is no such directory' "a TMPDIR that is not there is named"
if [ -e /dev/full ]; then
	run sh -c 'mkmanifest --layer l1.tar >/dev/full'
	rc_is 73 "no room for the stream"
else
	skip "no /dev/full"
fi
if is_root && as_user true; then
	chmod 755 "$T"
	mkdir -m 777 pub
	run as_user sh -c 'cat "$T/l1.tar.gz" | mkmanifest -q -b "$T/one.tar" --layer - -o "$T/pub/lay:x"'
	rc_is 0 "as an ordinary user"
	mkmanifest -q --layer l1.tar -o rootlay:x
	run as_user sh -c 'mkmanifest -b "$T/one.tar" --label a=b -o "$T/rootlay:y"'
	is "$rc $(printf '%s\n' "$err" | grep -c 'into the layout: Permission denied')" "77 1" "a layout of somebody else's"
	chmod 777 rootlay/blobs/sha256
	run as_user sh -c 'mkmanifest -b "$T/one.tar" --label a=b -o "$T/rootlay:y"'
	is "$rc $(printf '%s\n' "$err" | grep -c 'writing index.json of the layout: Permission denied')" "77 1" "of which the index is"
	chmod 600 rootlay/index.json
	run as_user sh -c 'mkmanifest -b "$T/rootlay:x" --label a=b'
	is "$rc $(printf '%s\n' "$err" | grep -c ': index.json: Permission denied')" "77 1" "or that cannot be read"
else
	skip "needs root" 4
fi

cd / || exit 1
done_testing
