#!/bin/sh
# pull from a real docker-registry: plain, with TLS and a password, with tokens.  The judge is skopeo: the same blobs.
. "${0%/*}/lib.sh"
need python3 jq openssl htpasswd skopeo docker-registry
need_applet pull
cached tiny "$tools/mkimage" tiny || skip_all "no image"
tiny=$cached
cached multi "$tools/mkimage" multi || skip_all "no image"
multi=$cached
HOME=$T DOCKER_CONFIG=$T/none
export HOME DOCKER_CONFIG
secret=u:S3cret

digest() { jq -r --arg t "$2" '.manifests[] | select(.annotations."org.opencontainers.image.ref.name" == $t) | .digest' "$1/index.json"; }
# same_blobs A B: every blob of A is in B, byte for byte
same_blobs() {
	for _b in "$1"/blobs/sha256/*; do cmp "$_b" "$2/blobs/sha256/${_b##*/}" || return; done
}
fill() {
	"$tools/registry" push "$T/$1" "$tiny:latest" x/tiny:1 &&
		"$tools/registry" push "$T/$1" "$multi:latest" x/multi:1 --all &&
		"$tools/registry" push "$T/$1" "$multi:platforms" x/docker:1 --all --format v2s2
}
gets() { grep -c '"GET /v2/.*/blobs/' "$1/log"; }
# the registry may log a request after its answer has arrived
got() { [ "$(gets "$1")" -ge "$2" ]; }

for kind in plain tls-basic tls-token token; do
	case $kind in
	plain) start_registry $kind ;;
	tls-basic) start_registry $kind --tls --basic "$secret" ;;
	tls-token) start_registry $kind --tls --token "$secret" ;;
	token) start_registry $kind --token "$secret" ;;
	esac
	d=$T/$kind
	ok "$kind: filled by skopeo" fill $kind
	echo "{\"auths\":{\"$addr\":{\"auth\":\"$(printf %s "$secret" | base64)\"}}}" >"$T/auth.json"
	set -- --authfile "$T/auth.json"
	[ ! -f "$d/ca.crt" ] || set -- "$@" --cacert "$d/ca.crt"
	[ $kind != plain ] || set --

	n=$(($(gets "$d") + $(find "$tiny/blobs/sha256" -type f | wc -l) - 1))
	run pull -q "$@" -o "$d/l:one" "$addr/x/tiny:1"
	rc_is 0 "$kind: pull -o"
	ok "$kind: the blobs are those that were pushed" same_blobs "$tiny" "$d/l"
	is "$(digest "$d/l" one)" "$(digest "$tiny" latest)" "$kind: the manifest byte for byte, under its tag"
	run skopeo --insecure-policy copy -q "oci:$d/l:one" "dir:$d/dir"
	rc_is 0 "$kind: skopeo reads the layout"

	wait_for 60 got "$d" "$n"
	run pull -q "$@" -o "$d/l:two" "$addr/x/tiny:1"
	rc_is 0 "$kind: once more under another tag"
	is "$(gets "$d")" "$n" "$kind: downloads nothing that is there"
	is "$(digest "$d/l" one)$(digest "$d/l" two)" "$(digest "$tiny" latest)$(digest "$tiny" latest)" "$kind: both tags stand"

	run sh -c 'pull -q "$@" >"$T/s.tar"' sh "$@" "$addr/x/tiny:1"
	rc_is 0 "$kind: as a stream"
	run tar -xf "$T/s.tar" -C "$(mkdir "$d/s" && echo "$d/s")"
	ok "$kind: the stream holds the same" same_blobs "$tiny" "$d/s"
	is "$(jq -r '.manifests[0].digest' "$d/s/index.json")" "$(digest "$tiny" latest)" "$kind: the index names it"
	is "$(tar -tf "$T/s.tar" | head -n 3 | tr '\n' ' ')" "oci-layout index.json manifest.json " "$kind: in streaming order"

	want=$(digest "$multi" latest)
	run pull -q "$@" --all-platforms -o "$d/all:m" "$addr/x/multi:1"
	rc_is 0 "$kind: --all-platforms"
	is "$(digest "$d/all" m)" "$want" "$kind: the index byte for byte"
	_i=$multi/blobs/sha256/${want#sha256:}
	for _m in $(jq -r '.manifests[].digest' "$_i"); do [ -f "$d/all/blobs/sha256/${_m#sha256:}" ] || echo "$_m"; done >"$T/lacks"
	is "$(cat "$T/lacks")" "" "$kind: and all that it names"

	for p in linux/amd64 linux/arm/v7 linux/arm64 linux/s390x; do
		run pull -q "$@" --platform $p --digestfile "$T/digest" -o "$d/p:x" "$addr/x/multi:1"
		rc_is 0 "$kind: --platform $p"
		arch=${p#linux/}
		md=$(digest "$d/p" x)
		c=$(jq -r .config.digest "$d/p/blobs/sha256/${md#sha256:}" 2>/dev/null)
		is "$(jq -r '.architecture + (if .variant and .architecture == "arm" then "/" + .variant else "" end)' "$d/p/blobs/sha256/${c#sha256:}" 2>/dev/null)" "$arch" "$kind: T75 gives $arch"
		rm -rf "$d/p"
	done
	run pull -q "$@" --platform linux/mips -o "$d/p:x" "$addr/x/multi:1"
	rc_is 66 "$kind: T75 a platform that is not there"
	run pull -q "$@" --platform linux/arm/v6 -o "$d/dk:x" "$addr/x/docker:1"
	rc_is 0 "$kind: docker's media types"
	rm -rf "$d/dk"

	run pull -q "$@" -o "$d/pin:x" "$addr/x/multi:1@$want"
	rc_is 0 "$kind: T69 a pin on the index"
	run pull -q "$@" -o "$d/pin:x" "$addr/x/multi@$(digest "$tiny" latest)"
	rc_is 66 "$kind: T69 a pin of what the repository lacks"
	run pull -q "$@" -o "$d/no:x" "$addr/x/none:1"
	like "$rc" '^(66|77)$' "$kind: an unknown repository"
	run pull -q "$@" -o "$d/no:x" "$addr/x/tiny:none"
	rc_is 66 "$kind: an unknown tag"
	like "$err" "^pull: .*$addr/x/tiny:none: .*manifest unknown" "$kind: in the registry's own words"
	nok "$kind: an unknown tag leaves no image" sh -c "jq -e '.manifests[0]' '$d/no/index.json'"

	if [ $kind != plain ]; then
		ca=''
		[ ! -f "$d/ca.crt" ] || ca="--cacert $d/ca.crt"
		run pull -q $ca -o "$d/no:x" "$addr/x/tiny:1"
		rc_is 77 "$kind: without a password"
		echo "{\"auths\":{\"$addr\":{\"auth\":\"$(printf 'u:Mistaken' | base64)\"}}}" >"$T/wrong.json"
		run pull -q $ca --authfile "$T/wrong.json" -o "$d/no:x" "$addr/x/tiny:1"
		rc_is 77 "$kind: with a wrong one"
		unlike "$out$err" "Mistaken|$(printf u:Mistaken | base64)" "$kind: which is not printed"
		run sh -c "pull -q $ca --creds-fd 3 -o '$d/fd:x' $addr/x/tiny:1 3<<-END
			$secret
		END"
		rc_is 0 "$kind: --creds-fd"
		DOCKER_AUTH_CONFIG=$(cat "$T/auth.json")
		export DOCKER_AUTH_CONFIG
		run pull -q $ca -o "$d/env:x" "$addr/x/tiny:1"
		rc_is 0 "$kind: DOCKER_AUTH_CONFIG"
		unset DOCKER_AUTH_CONFIG
		run sh -c "pull --debug --auth-trace $ca --authfile '$T/auth.json' $addr/x/tiny:1 2>&1 >/dev/null"
		unlike "$out" "S3cret|$(printf %s "$secret" | base64)" "$kind: --debug and --auth-trace keep the secret"
		like "$out" 'auth.json' "$kind: and name its source"
	fi

	# ten at once into one layout
	i=0
	pids=''
	while [ $i -lt 10 ]; do
		pull -q "$@" -o "$d/many:t$i" "$addr/x/tiny:1" </dev/null 2>"$T/many.$i" &
		pids="$pids $!"
		i=$((i + 1))
	done
	bad='' i=0
	for p in $pids; do
		wait "$p" || bad="$bad t$i ($?): $(cat "$T/many.$i");"
		i=$((i + 1))
	done
	is "$bad" "" "$kind: ten pulls at once into one layout"
	is "$(jq '[.manifests[].annotations."org.opencontainers.image.ref.name"] | unique | length' "$d/many/index.json")" 10 "$kind: leave ten tags"
	is "$(ls -A "$d/many/blobs/sha256" | grep -v '^[0-9a-f]\{64\}$')" "" "$kind: and no partial"
	"$tools/registry" stop "$d"
	rm -rf "$d/l" "$d/s" "$d/all" "$d/many" "$d/pin" "$d/storage"
done
done_testing
