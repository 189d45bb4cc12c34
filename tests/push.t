#!/bin/sh
# push to a real docker-registry: plain, over TLS with a password, with tokens. skopeo and pull judge what arrives.
in_memory=1
. "${0%/*}/lib.sh"
need_applet push pull
need docker-registry skopeo jq python3 openssl htpasswd

cached tiny "$tools/mkimage" tiny || skip_all "no image"
tiny=$cached
cached multi "$tools/mkimage" multi || skip_all "no image"
multi=$cached
HOME=$T/home
export HOME
mkdir "$HOME"

mkdir "$T/tree"
head -c 9000000 /dev/urandom >"$T/tree/a"
"$tools/mkimage" tree "$T/tree" "$T/big" || skip_all "no image"
man=$(jq -r '.manifests[0].digest' "$tiny/index.json")
blobs=$(jq -r '.layers[].digest,.config.digest' "$tiny/blobs/sha256/${man#sha256:}")

# raw NAME:TAG: the digest of what the registry gives
raw() {
	# shellcheck disable=SC2086
	skopeo inspect --raw $sk "docker://$addr/$1" 2>"$T/skopeo.err" | sha256sum | cut -d' ' -f1
}
hits() { grep -cE "\"$1 [^\"]*\" $2 " "$_rd/log"; }
# back NAME:TAG LAYOUT DIGEST: pulled back, every blob is that of LAYOUT
back() {
	rm -rf "$T/back"
	pull -q --all-platforms "$@" -o "$T/back:x" "$ref" || return
	for f in "$T/back/blobs/sha256"/*; do cmp "$f" "$src/blobs/sha256/${f##*/}" || return; done
}

secret=tester:S3cret.word
run sh -c 'echo "$1" | push --creds-fd 0 127.0.0.1:1/x' - "$secret"
is "$rc $err" "64 push: standard input can be read only once: for --creds-fd or for the image" "one standard input, two readers"
for kind in plain tls token; do
	case $kind in
	plain) start_registry plain && set -- && sk=--tls-verify=false ;;
	tls) start_registry tls --tls --basic "$secret" ;;
	token) start_registry token --tls --token "$secret" ;;
	esac
	if [ $kind != plain ]; then
		printf '{"auths":{"%s":{"auth":"%s"}}}' "$addr" "$(printf %s "$secret" | base64)" >"$T/auth.json"
		set -- --cacert "$_rd/ca.crt" --authfile "$T/auth.json"
		sk="--cert-dir $_rd --authfile $T/auth.json"
	fi

	run push "$@" --digestfile "$T/digest" --stats "$tiny:latest" "$addr/x/tiny:1"
	rc_is 0 "$kind: a layout"
	is "$out" "$man" "$kind: the digest on standard output"
	is "$(cat "$T/digest")" "$man" "$kind: and in --digestfile"
	is "sha256:$(raw x/tiny:1)" "$man" "$kind: the manifest byte for byte"
	ref=$addr/x/tiny:1 src=$tiny
	ok "$kind: the blobs, too" back "$@"
	like "$err" "push: $addr/x/tiny:1: 2 layers, [0-9.]+ MB sent in [0-9.]+ s$" "$kind: a summary"
	sum=0
	for d in $blobs; do sum=$((sum + $(wc -c <"$tiny/blobs/sha256/${d#sha256:}"))); done
	is "$(sed -n 's/^push: stats: //p' "$T/err" | jq -c '[.read,.hashed,.spooled,.sent]')" "[$sum,$sum,0,$sum]" \
		"$kind: every byte read, hashed and sent once"
	is "$(hits PATCH 202)" 0 "$kind: in one request each"

	run push "$@" "$tiny:latest" "$addr/x/tiny:again"
	like "$err" "0 B sent .*, 3 already there" "$kind: what is there is not sent"
	is "sha256:$(raw x/tiny:again)" "$man" "$kind: but tagged"

	# from a file that holds a stream, from a pipe, from the pipe's usual source
	pull -q "$@" "$addr/x/tiny:1" >"$T/tiny.tar"
	run push "$@" "$T/tiny.tar" "$addr/x/file:1"
	is "$rc sha256:$(raw x/file:1)" "0 $man" "$kind: a file that holds a stream"
	run sh -c 'src=$1; shift; cat "$src" | push --stats "$@"' - "$T/tiny.tar" "$@" "$addr/x/pipe:1"
	is "$rc sha256:$(raw x/pipe:1)" "0 $man" "$kind: a pipe"
	is "$(sed -n 's/^push: stats: //p' "$T/err" | jq -c '[.hashed,.spooled,.sent]')" "[$sum,$sum,$sum]" "$kind: spooled and hashed once"
	run sh -c 'ref=$1 to=$2; shift 2; pull -q "$@" "$ref" | push "$@" - "$to"' - "$addr/x/tiny:1" "$addr/x/pulled:1" "$@"
	is "$rc sha256:$(raw x/pulled:1)" "0 $man" "$kind: pull | push"
	ref=$addr/x/pulled:1
	ok "$kind: blobs and all" back "$@"

	# nested indexes
	want=$(jq -r '.manifests[]|select(.annotations["org.opencontainers.image.ref.name"]=="nested").digest' "$multi/index.json")
	run push "$@" --additional-tag also "$multi:nested" "$addr/x/multi:1"
	is "$out" "$want" "$kind: an index with indexes in it"
	is "sha256:$(raw x/multi:also)" "$want" "$kind: --additional-tag"
	ref=$addr/x/multi:1 src=$multi
	ok "$kind: with all that it names" back "$@"
	pull -q --all-platforms "$@" "$addr/x/multi:1" >"$T/multi.tar"
	run sh -c 'cat "$0" | push "$@"' "$T/multi.tar" "$@" "$addr/x/multipipe:1"
	is "$rc $out" "0 $want" "$kind: through a pipe"
	run push "$@" "$multi:docker" "$addr/x/docker:1"
	is "sha256:$(raw x/docker:1)" "$out" "$kind: docker's media types as they are"
	run push "$@" --platform linux/arm64 "$multi:latest" "$addr/x/arm:1"
	rc_is 0 "$kind: --platform"
	like "$(skopeo inspect $sk "docker://$addr/x/arm:1" --format '{{.Architecture}}')" '^arm64$' "$kind: sends that one alone"

	# large, in chunks
	run push "$@" --chunk-size 2M "$T/big:latest" "$addr/x/chunks:1"
	rc_is 0 "$kind: in chunks"
	is "$(hits PATCH 202)" 6 "$kind: of that size"
	ref=$addr/x/chunks:1 src=$T/big
	ok "$kind: arrive whole" back "$@"

	# from other repositories
	run push "$@" --mount-from x/chunks --stats "$T/big:latest" "$addr/x/mounted:1"
	like "$err" "0 B sent .*, 2 mounted" "$kind: --mount-from"
	ref=$addr/x/mounted:1
	ok "$kind: mounted blobs are whole" back "$@"
	run push "$@" --mount-from x/nowhere --mount-from "$addr/x/tiny" "$tiny:latest" "$addr/x/mounted:2"
	like "$err" "0 B sent .*, 3 mounted" "$kind: the second of two"
	run push "$@" --mount-from x/nowhere "$tiny:latest" "$addr/x/unmounted:1"
	is "$rc sha256:$(raw x/unmounted:1)" "0 $man" "$kind: of none it is sent"

	# where a base is from is written in the image: its own words, or containerd's
	for how in base source; do
		rm -rf "$T/based"
		python3 - "$tiny" "$T/based" "$addr" $how <<'PY'
import hashlib, json, shutil, sys
src, dst, addr, how = sys.argv[1:]
shutil.copytree(src, dst)
idx = json.load(open(dst + "/index.json"))
d = idx["manifests"][0]
m = json.load(open(dst + "/blobs/sha256/" + d["digest"][7:]))
if how == "base":
    m["annotations"] = {"org.opencontainers.image.base.name": addr + "/x/tiny:1"}
else:
    for l in m["layers"]:
        l["annotations"] = {"containerd.io/distribution.source." + addr: "x/nowhere,x/tiny"}
b = json.dumps(m).encode()
d["digest"], d["size"] = "sha256:" + hashlib.sha256(b).hexdigest(), len(b)
open(dst + "/blobs/sha256/" + d["digest"][7:], "wb").write(b)
json.dump(idx, open(dst + "/index.json", "w"))
PY
		run push "$@" "$T/based:latest" "$addr/x/$how:1"
		like "$rc $err" "^0 .*, 2 mounted" "$kind: layers are mounted from where the image says that they are ($how)"
	done

	# refusals
	run push "$@" "$tiny:nope" "$addr/x/no:1"
	rc_is 66 "$kind: no such image"
	run push "$@" "$tiny:latest" "$addr/x/tiny@sha256:$(printf %064d 1)"
	rc_is 65 "$kind: T69 a digest that is another"
	run push "$@" "$tiny:latest" "$addr/x/bydigest@$man"
	is "$rc $out" "0 $man" "$kind: T69 by digest alone"
	is "sha256:$(raw "x/bydigest@$man")" "$man" "$kind: it is there"
	rm -rf "$T/bad"
	cp -r "$T/big" "$T/bad"
	bad=$(jq -r '.manifests[0].digest' "$T/bad/index.json")
	bad=$(jq -r '.layers[0].digest' "$T/bad/blobs/sha256/${bad#sha256:}")
	printf X | dd of="$T/bad/blobs/sha256/${bad#sha256:}" bs=1 seek=8000000 conv=notrunc 2>/dev/null
	for how in '' '--chunk-size 1M'; do
		# shellcheck disable=SC2086
		run push "$@" $how "$T/bad:latest" "$addr/x/bad:1"
		rc_is 65 "$kind: a layout with a wrong byte${how:+ in chunks}"
		like "$err" "^push: $addr/x/bad:1: blob $bad: its bytes do not hash to it" "$kind: which is named"
		run pull -q "$@" -o "$T/bad.out" "$addr/x/bad:1"
		rc_is 66 "$kind: nothing is visible"
		is "$(hits "HEAD /v2/x/bad/blobs/$bad" 200)" 0 "$kind: not even the blob"
	done
	run sh -c 'head -c 600000 "$0" | push "$@"' "$T/tiny.tar" "$@" "$addr/x/cut:1"
	rc_is 65 "$kind: a pipe that is cut"
	run pull -q "$@" -o "$T/cut.out" "$addr/x/cut:1"
	rc_is 66 "$kind: leaves nothing visible"
	run sh -c ': | push "$@"' - "$@" "$addr/x/empty:1"
	rc_is 66 "$kind: an empty pipe"
	like "$err" "standard input is empty" "$kind: says so"

	if [ $kind = plain ]; then
		# killed at any moment: nothing, or all of it
		wrong=''
		for ms in 3 8 15 25 40 60 90 130; do
			push -q "$T/big:latest" "$addr/x/kill$ms:1" >/dev/null 2>&1 &
			p=$!
			sleep "0.$(printf %03d "$ms")"
			kill -9 $p 2>/dev/null
			wait $p 2>/dev/null
			if pull -q -o "$T/kill$ms:x" "$addr/x/kill$ms:1" 2>/dev/null; then continue; fi
			[ "$(jq '.manifests|length' "$T/kill$ms/index.json" 2>/dev/null || echo 0)" = 0 ] ||
				wrong="$wrong $ms ms: $(cat "$T/kill$ms/index.json");"
			push -q "$T/big:latest" "$addr/x/kill$ms:1" >/dev/null 2>"$T/err" || wrong="$wrong $ms ms (status $?): $(cat "$T/err");"
		done
		is "$wrong" "" "kill -9 at eight moments leaves nothing half visible, and the next push succeeds"
		run push --progress json "$tiny:latest" "$addr/x/progress:1"
		is "$(grep '^{' "$T/err" | jq -c . | tail -n 1 | jq -r 'type')" object "--progress json"
		user_name sub >/dev/null 2>&1
		run as_user sh -c 'cat "$1" | push -q - "$2"' - "$T/tiny.tar" "$addr/x/user:1"
		is "$rc $out" "0 $man" "an ordinary user, from a pipe"
	else
		run push --cacert "$_rd/ca.crt" "$tiny:latest" "$addr/x/anon:1"
		rc_is 77 "$kind: without a password"
		printf '{"auths":{"%s":{"auth":"%s"}}}' "$addr" "$(printf u:Mistaken | base64)" >"$T/wrong.json"
		run push --cacert "$_rd/ca.crt" --authfile "$T/wrong.json" "$tiny:latest" "$addr/x/anon:1"
		rc_is 77 "$kind: with a wrong one"
		unlike "$out$err" "Mistaken|$(printf u:Mistaken | base64)" "$kind: which is not printed"
	fi
	"$tools/registry" stop "$_rd"
	rm -rf "$T/back" "${_rd:?}/storage"
done

run push
rc_is 64 "no reference is 64"
for i in "$tiny" "$tiny:latest"; do
	run push "$i"
	is "$rc $err" "64 push: $i is here: to which REFERENCE shall it go? (push IMAGE REFERENCE)" "an image without a reference"
done
run sh -c 'cd "${1%/*}" && echo x | push "${1##*/}"' sh "$tiny"
unlike "$err" 'is here' "but a name may be both, where something comes through a pipe"
run push a b c
rc_is 64 "three operands are 64"
run push --jobs 0 "$tiny:latest" x:1
rc_is 64 "no job is 64"
run push --additional-tag 'a b' "$tiny:latest" x:1
rc_is 64 "a malformed tag is 64"
run push --retries 0 "$tiny:latest" 127.0.0.1:1/x:1
rc_is 69 "no registry there is 69"
like "$err" '^push: 127\.0\.0\.1:1/x:1: [^b]' "which is not told of a blob"
run push --chunk-size 1 "$tiny:latest" x:1
is "$rc $err" "64 push: --chunk-size: 1: at least 64k" "a request for each byte is 64"
run push "$tiny:latest" "reg.example/X:1"
is "$rc $err" "64 push: reg.example/X:1: the repository's name must be lower-case" "a wrong reference is told once"
run push --creds u:S3cret "$tiny:latest" x:1
rc_is 64 "--creds of others is not --creds-fd"
unlike "$out$err" "S3cret" "and its secret is not printed"
for option in cacert cert-dir; do
	run push --$option "$T/none" "$tiny:latest" 127.0.0.1:1/x:1
	is "$rc $err" "66 push: --$option $T/none: No such file or directory" "--$option that is not there is told at once"
done
done_testing
