#!/bin/sh
# Artifacts: push --artifact-type --subject, pull --referrers; by the referrers API (faultd) and by the fall-back tag (docker-registry).
in_memory=1
. "${0%/*}/lib.sh"
need_applet push pull
need docker-registry skopeo jq python3
cached tiny "$tools/mkimage" tiny || skip_all "no image"
tiny=$cached
cached multi "$tools/mkimage" multi || skip_all "no image"
multi=$cached
man=$(jq -r '.manifests[0].digest' "$tiny/index.json")
HOME=$T/home
export HOME
mkdir "$HOME" "$T/l"
echo '{"spdxVersion":"SPDX-2.3"}' >"$T/sbom.json"
printf 'signed\n' >"$T/l/a:b.sig"

index_of() { tar xOf "$1" "blobs/sha256/$(tar xOf "$1" index.json | jq -r '.manifests[0].digest[7:]')"; }
get() { python3 -c 'import sys,urllib.request as u; sys.stdout.buffer.write(u.urlopen(u.Request(sys.argv[1],headers={"Accept":"application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"})).read())' "http://$addr/v2/$1"; }

if mkfifo "$T/fifo"; then
	run timeout 60 push --artifact-type a/b 127.0.0.1:1/x "$T/fifo"
	like "$err" "not a regular file|refused" "a fifo is not waited for"
fi
start_registry reg
rules="{\"servers\":{\"A\":{\"uploads\":true,\"referrers\":true,\"page\":1}}}"
for kind in tag api; do
	[ $kind = tag ] || { real=$addr && start_faultd f "$rules"; }
	run push -q "$tiny:latest" "$addr/x/app:1"
	rc_is 0 "$kind: an image"
	run pull -q --referrers "$addr/x/app:1"
	rc_is 66 "$kind: nothing refers to it yet"
	like "$err" "nothing refers to $man" "$kind: and that is said"

	run push --artifact-type application/spdx+json --subject "$man" --annotation who=me --annotation 'b=c=d' \
		--digestfile "$T/sbom.digest" "$addr/x/app" "$T/sbom.json:application/spdx+json"
	rc_is 0 "$kind: an artifact about it"
	sbom=$out
	is "$(cat "$T/sbom.digest")" "$sbom" "$kind: its digest"
	get "x/app/manifests/$sbom" >"$T/m"
	is "$(jq -c '[.mediaType,.artifactType,.config.mediaType,.config.data,.layers[0].mediaType,.layers[0].annotations["org.opencontainers.image.title"],.subject.digest,.annotations.who,.annotations.b]' "$T/m")" \
		"[\"application/vnd.oci.image.manifest.v1+json\",\"application/spdx+json\",\"application/vnd.oci.empty.v1+json\",\"e30=\",\"application/spdx+json\",\"sbom.json\",\"$man\",\"me\",\"c=d\"]" \
		"$kind: is a manifest by the book"
	nok "$kind: no tag was made" get x/app/manifests/latest
	run push -q --artifact-type application/spdx+json --subject "$man" --annotation who=me --annotation 'b=c=d' \
		"$addr/x/app" "$T/sbom.json:application/spdx+json"
	is "$out" "$sbom" "$kind: again: the same digest"
	run push -q --artifact-type application/vnd.example.sig --subject "$man" "$addr/x/app:sig" "$T/l/a:b.sig"
	rc_is 0 "$kind: another, with a tag"
	sig=$out
	is "$(get x/app/manifests/sig | jq -c '[.layers[0].annotations["org.opencontainers.image.title"],.layers[0].mediaType]')" \
		'["a:b.sig","application/octet-stream"]' "$kind: a colon in a file's name is no type"
	run push -q --artifact-type application/vnd.example.note --subject "$man" --annotation 'note=only words' "$addr/x/app"
	rc_is 0 "$kind: one without files"
	note=$out

	run pull -q --referrers "$addr/x/app:1"
	rc_is 0 "$kind: pull --referrers"
	cp "$T/out" "$T/all.tar"
	is "$(index_of "$T/all.tar" | jq -r '.manifests[].digest' | sort | tr '\n' ' ')" \
		"$(printf '%s\n' "$sbom" "$sig" "$note" | sort | tr '\n' ' ')" "$kind: an index of all three"
	is "$(tar xOf "$T/all.tar" "blobs/sha256/$(sha256sum <"$T/sbom.json" | cut -d' ' -f1)")" "$(cat "$T/sbom.json")" "$kind: with their files"
	run pull -q --referrers=application/spdx+json -o "$T/lay-$kind" "$addr/x/app@$man"
	rc_is 0 "$kind: of one type, into a layout, by digest"
	is "$(jq -r '.manifests[0].digest[7:]' "$T/lay-$kind/index.json" | sed "s#^#$T/lay-$kind/blobs/sha256/#" | xargs jq -r '.manifests[].digest')" "$sbom" \
		"$kind: only that"
	run pull -q --referrers=no/such "$addr/x/app:1"
	rc_is 66 "$kind: of a type that nobody has"
	run pull -q --referrers --max-referrers 2 "$addr/x/app:1"
	rc_is 65 "$kind: T82 more referrers than may be"
	like "$err" "max-referrers" "$kind: T82 names the limit"
	run pull -q --referrers --max-referrers-size 20 "$addr/x/app:1"
	rc_is 65 "$kind: T82 larger than may be"
	like "$err" "max-referrers-size" "$kind: T82 names that limit"
	# a stream of referrers can be pushed like any index, and lists them there, too
	run push -q "$tiny:latest" "$addr/x/copy:1"
	run push -q "$T/all.tar" "$addr/x/copy:referrers"
	rc_is 0 "$kind: they can be copied"
	run pull -q --referrers=application/vnd.example.sig "$addr/x/copy:1"
	rc_is 0 "$kind: and are found beside the copy"
done
addr=$real

# the fall-back tag: members that are there stay, entries are not doubled
tag=sha256-${man#sha256:}
is "$(get "x/app/manifests/$tag" | jq -c '[.mediaType,(.manifests|length),.manifests[0].artifactType,.manifests[0].annotations.who]')" \
	'["application/vnd.oci.image.index.v1+json",3,"application/spdx+json","me"]' "the fall-back index"
i=0
for n in 1 2 3 4; do
	push -q --artifact-type application/vnd.example.n --subject "$man" --annotation "n=$n" "$addr/x/app" >"$T/n.$n" 2>"$T/n.err.$n" &
	eval "p$n=\$!"
done
for n in 1 2 3 4; do eval "wait \$p$n" || i=$((i + 1)); done
run pull -q --referrers=application/vnd.example.n "$addr/x/app:1"
diag "$(cat "$T"/n.err.*)"
diag "$i of four at once gave up; $(index_of "$T/out" | jq '.manifests|length') are listed"
ok "who writes at the same time is listed, or told that he is not" test "$(index_of "$T/out" | jq '.manifests|length')" -ge $((4 - i))

# one writes what it read before another was done, where the registry takes its time
real=$addr
start_faultd d '{"servers":{"A":{"uploads":true}},"rules":[{"method":"PUT","path":"manifests/sha256-","do":{"delay":0.4}}]}'
push -q "$tiny:latest" "$addr/late:1" >/dev/null
push -q --artifact-type a/b --subject "$man" --annotation n=1 "$addr/late" >"$T/n.1" 2>"$T/n.err.1" &
sleep 0.35
run push -q --artifact-type a/b --subject "$man" --annotation n=2 "$addr/late"
wait $! && [ "$rc" = 0 ] || diag "$err $(cat "$T/n.err.1")"
run pull -q --referrers "$addr/late:1"
is "$(index_of "$T/out" | jq '.manifests|length')" 2 "a registry that is slow: both are listed"
addr=$real

# where the registry heeds conditions, the index is written only over what was read
real=$addr
start_faultd c '{"servers":{"A":{"uploads":true,"conditional":true}},"rules":[
	{"method":"PUT","path":"^/v2/never/manifests/sha256-","header":{"if-none-match":"."},"do":{"status":412}},
	{"method":"PUT","path":"^/v2/never/manifests/sha256-","header":{"if-match":"."},"do":{"status":412}},
	{"method":"PUT","path":"manifests/sha256-","do":{"delay":0.2}}]}'
for repo in x/cond never; do
	push -q "$tiny:latest" "$addr/$repo:1" >/dev/null 2>&1
	i=0 ps=''
	for n in 1 2 3 4; do
		push -q --artifact-type application/vnd.example.n --subject "$man" --annotation "n=$n" "$addr/$repo" >"$T/n.$n" 2>"$T/n.err.$n" &
		[ $repo = x/cond ] && ps="$ps $!" || wait $! || i=$((i + 1))
	done
	for p in $ps; do wait "$p" || i=$((i + 1)); done
	run pull -q --referrers=application/vnd.example.n "$addr/$repo:1"
	is "$i $(index_of "$T/out" | jq '.manifests|length')" "0 4" "$repo: all four are listed"
	[ $i = 0 ] || diag "$(cat "$T"/n.err.*)"
done
ok "x/cond: nothing there yet is a condition" grep -q '"if-none-match": "\*"' "$T/c/log"
ok "x/cond: so is what was read" grep -q '"if-match": "\\"' "$T/c/log"
addr=$real

# an index and its images have referrers of their own
run push -q "$multi:latest" "$addr/x/multi:1"
top=$out
arm=$(jq -r '.manifests[]|select(.platform.architecture=="arm64").digest' "$multi/blobs/sha256/${top#sha256:}")
run push -q --artifact-type a/index --subject "$top" "$addr/x/multi"
run push -q --artifact-type a/arm --subject "$arm" "$addr/x/multi"
run pull -q --referrers "$addr/x/multi:1"
is "$(index_of "$T/out" | jq -r '.manifests[].artifactType')" a/index "those of an index"
run pull -q --referrers --platform linux/arm64 "$addr/x/multi:1"
is "$(index_of "$T/out" | jq -r '.manifests[].artifactType')" a/arm "those of an image in it"

# what is listed but refers to something else is none
run push -q --artifact-type a/liar --subject "$arm" "$addr/x/app" 2>/dev/null
rc_is 66 "a subject that is not in the repository"
python3 - "$T" "$man" "$T/liar" <<'PY'
import json, sys, hashlib, os
man = sys.argv[2]
d = sys.argv[3]
os.makedirs(d + "/blobs/sha256")
def blob(b):
    h = hashlib.sha256(b).hexdigest()
    open(d + "/blobs/sha256/" + h, "wb").write(b)
    return {"digest": "sha256:" + h, "size": len(b)}
e = dict(blob(b"{}"), mediaType="application/vnd.oci.empty.v1+json")
m = dict(blob(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "a/liar",
     "config": e, "layers": [e]}).encode()), mediaType="application/vnd.oci.image.manifest.v1+json", artifactType="a/liar")
i = dict(blob(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [m]}).encode()),
     mediaType="application/vnd.oci.image.index.v1+json")
open(d + "/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
json.dump({"schemaVersion": 2, "manifests": [i]}, open(d + "/index.json", "w"))
PY
run push -q "$tiny:latest" "$addr/x/lied:1"
run push -q "$T/liar" "$addr/x/lied:$tag"
run pull -q --referrers "$addr/x/lied:1"
rc_is 66 "T82 one that is listed and refers to nothing is none"

# T70: titles are data
mkdir "$T/deep"
printf 'x' >"$T/deep/f"
run push -q --artifact-type a/b --subject "$man" "$addr/x/app" "$T/deep/../deep/f"
is "$(get "x/app/manifests/$out" | jq -r '.layers[0].annotations["org.opencontainers.image.title"]')" f "T70 a title is a name without a path"

# FILE:TYPE, where a file may have a colon in its name
mkdir -p "$T/deep/c:application"
printf 'named' >"$T/deep/c:application/json"
printf 'typed' >"$T/deep/c"
colon() { run sh -c 'cd "$1" && shift && exec push -q --artifact-type a/b "$@"' - "$T" "$addr/x/app" "$1"; }
title() { get "x/app/manifests/$out" | jq -r '.layers[0]|.annotations["org.opencontainers.image.title"] + " " + .mediaType'; }
colon deep/c:application/json
is "$(title)" "json application/octet-stream" "a file of that very name wins"
colon deep/c:application/xml
is "$(title)" "c application/xml" "else what follows the colon is the type"
colon "deep/f:not a/type"
rc_is 66 "what is no media type is the file's name"

# what JSON cannot hold is refused, not mangled
bad=$(printf 'a\377b')
printf x >"$T/$bad"
run push -q --artifact-type a/b "$addr/x/app" "$T/$bad"
rc_is 64 "a title that is not UTF-8"
like "$err" 'UTF-8' "is refused by name"
run push -q --artifact-type a/b --annotation "k=$bad" "$addr/x/app"
rc_is 64 "so is such an annotation"
run push -q --artifact-type a/b --annotation k=1 --annotation kk=2 --annotation k=3 "$addr/x/app"
is "$(get "x/app/manifests/$out" | jq -c .annotations)" '{"kk":"2","k":"3"}' "of two annotations of one key the last counts"

run push --artifact-type none "$addr/x/app" "$T/sbom.json"
rc_is 64 "what is no media type is 64"
run push --artifact-type a/b --annotation =x "$addr/x/app"
rc_is 64 "an annotation without a key is 64"
run push --artifact-type a/b "$addr/x/app" "$T/none"
rc_is 66 "a file that is not there is 66"
run push --subject "$man" "$tiny:latest" "$addr/x/app:1"
rc_is 64 "--subject of an image is 64"
run push --artifact-type a/b --subject "${man%?}" "$addr/x/app"
is "$rc $err" "64 push: --subject: ${man%?} is no digest" "a --subject that is no digest is 64"
run push --artifact-type a/b --platform linux/amd64 "$addr/x/app"
rc_is 64 "so is an artifact for a platform"
run push -q "$tiny:latest" "$addr/x/kept:1"
run push --artifact-type a/b --subject "$man" "$addr/x/kept:1@$man" "$T/deep/f"
rc_is 65 "an artifact under the digest of something else is refused"
like "$err" "the artifact is sha256:" "which is told"
is "$(pull -q -o "$T/kept:1" "$addr/x/kept:1" && jq -r '.manifests[0].digest' "$T/kept/index.json")" "$man" "and the tag stays where it was"
done_testing
