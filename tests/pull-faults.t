#!/bin/sh
# pull against a server that does what a good one never does (tests/tools/faultd).  Whatever happens: the right status, no
# credential where it does not belong, and nothing wrong ever becomes visible.
. "${0%/*}/lib.sh"
need python3 jq openssl
need_applet pull
cached tiny "$tools/mkimage" tiny || skip_all "no image"
img=$cached
man=$(jq -r '.manifests[0].digest' "$img/index.json")
layer=$(jq -r '.layers[0].digest' "$img/blobs/sha256/${man#sha256:}")
conf=$(jq -r '.config.digest' "$img/blobs/sha256/${man#sha256:}")
other=$(jq -r '.layers[1].digest' "$img/blobs/sha256/${man#sha256:}")
soon=$(date -u -d '+2 seconds' '+%a, %d %b %Y %H:%M:%S GMT')
HOME=$T DOCKER_CONFIG=$T/none
export HOME DOCKER_CONFIG

# One server plays all faults of plain HTTP: each has a repository of its own name.
#	r NAME PATH-REGEX RULE-MEMBERS DO-MEMBERS
rules=''
r() { rules="$rules${rules:+,}{\"path\":\"^/v2/$1/$2\"${3:+,$3},\"do\":{$4}}"; }
big="blobs/$layer"
r cut "$big" '"times":1' '"cut":500000'
r cuts "$big" '"times":3' '"cut":200000'
r reset "$big" '"times":1' '"cut":300000,"reset":true'
r cutmf manifests/latest '"times":1' '"cut":20'
r cuthead "$big" '"times":1' '"cut_header":20'
r s503 manifests/latest '"times":2' '"status":503'
r s500b "$big" '"times":2' '"status":500'
r s408 "$big" '"times":1' '"status":408'
r s429 manifests/latest '"times":1' '"status":429,"headers":{"Retry-After":"1"}'
r s429date "$big" '"times":1' "\"status\":429,\"headers\":{\"Retry-After\":\"$soon\"}"
r s429far manifests/latest '' '"status":429,"headers":{"Retry-After":"100000"}'
r s403 manifests/latest '' '"status":403'
r s404 manifests/latest '' '"status":404'
r b404 "$big" '' '"status":404'
r s401 '' '' '"status":401,"headers":{"WWW-Authenticate":"Basic realm=\"x\""}'
for k in ignore wrong shift 416 short total; do
	r "r$k" "$big" '"times":1' '"cut":400000'
	r "r$k" "$big" '"times":2' "\"range\":\"$k\""
done
r etag "$big" '' '"etag":"changing"'
r etagcut "$big" '"times":1' '"cut":400000,"etag":"\"one\""'
r etagcut "$big" '' '"etag":"\"two\""'
r longer "$big" '' '"length":"+10"'
r shorter "$big" '"times":1' '"length":"-10"'
r nolength "$big" '' '"length":"none"'
r http10 '' '' '"version":"HTTP/1.0"'
r chunked '' '' '"chunked":true'
r chunkbad "$big" '"times":1' '"chunk_bad":true'
r mfchunkbad manifests/latest '' '"chunk_bad":true'
r t72mf manifests/latest '' '"endless":true'
r t72blob "$big" '' '"endless":true'
r t72conf "blobs/$conf" '' '"endless":true'
r corrupt "$big" '' '"corrupt":600000'
r swapped "$big" '' "\"blob\":\"$other\""
r t69 "manifests/sha256" '' '"body":"{\"schemaVersion\":2}"'
r dcd manifests/latest '' '"headers":{"Docker-Content-Digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}'
r ctype manifests/latest '' '"headers":{"Content-Type":"application/vnd.oci.image.index.v1+json"}'
r garbage manifests/latest '' '"raw":"SSH-2.0-OpenSSH_9\r\n"'
r hugehead manifests/latest '' "\"headers\":{\"X-Long\":\"$(head -c 300000 /dev/zero | tr '\0' a)\"}"
r html manifests/latest '' '"body":"<html>captive portal</html>","headers":{"Content-Type":"text/html"}'
r loop "$big" '' "\"redirect\":\"@A@/v2/loop/$big\""
r redirect "$big" '' "\"redirect\":\"@B@/v2/x/$big\""
r relredir "$big" '' "\"redirect\":\"/v2/x/$big\""
r fileredir "$big" '' '"redirect":"file:///etc/passwd"'
r metaredir "$big" '' '"redirect":"http://169.254.169.254/latest"'
r userredir "$big" '' "\"redirect\":\"http://me:you@@B:addr@/v2/x/$big\""
r netredir "$big" '' "\"redirect\":\"//@B:addr@/v2/x/$big\""
r upperredir "$big" '' "\"redirect\":\"HTTP://LocalHost:@B:port@/v2/x/$big\""
r dotredir "$big" '' "\"redirect\":\"../../y/./blobs/$layer?a=/../b#c\""
r blankredir "$big" '' "\"redirect\":\"@B@/v2/x/ $big\""
r longredir "$big" '' "\"redirect\":\"@B@/$(head -c 20000 /dev/zero | tr '\0' a)\""
r postredir "$big" '' "\"status\":303,\"headers\":{\"Location\":\"@B@/v2/x/$big\"},\"body\":\"\""
r twolen "$big" '' '"headers":{"X-A":"b\r\nContent-Length: 5"}'
r noloc "$big" '' '"status":307,"headers":{"Location":null},"body":""'
servers="\"A\":{\"repos\":{\"*\":\"$img\"}},\"B\":{\"repos\":{\"*\":\"$img\"}}"
start_faultd f "{\"servers\":{$servers},\"rules\":[$rules]}"
A=$addr B=$(cat "$T/f/addr.B")

# reqs NAME [JQ-CONDITION]: how many requests for that repository
reqs() { jq -s "[.[] | select(.path | startswith(\"/v2/$1/\")) | select(${2:-true})] | length" "$T/f/log"; }

# whole LAYOUT: what is visible in it has the bytes that its name says, and the image is there
blobs_good() {
	[ ! -d "$1/blobs/sha256" ] || (cd "$1/blobs/sha256" && for b in [0-9a-f]*; do
		[ -e "$b" ] || continue
		echo "$b  $b" | sha256sum -c --quiet - >&2 || exit 1
	done)
}
whole() {
	blobs_good "$1" && jq -e --arg d "$man" '.manifests[] | select(.digest == $d)' "$1/index.json" >/dev/null &&
		for d in "$man" "$layer" "$conf" "$other"; do
			cmp "$1/blobs/sha256/${d#sha256:}" "$img/blobs/sha256/${d#sha256:}" || return
		done
}
# no_image LAYOUT: nothing in it is named, and nothing is wrong
no_image() {
	blobs_good "$1" && { [ ! -f "$1/index.json" ] || [ "$(jq '.manifests | length' "$1/index.json")" = 0 ]; }
}

# good NAME WHY [OPTION...]
good() {
	_nm=$1 _why=$2
	shift 2
	run timeout 60 pull -q "$@" -o "$T/l-$_nm:latest" "$A/$_nm:latest"
	rc_is 0 "$_nm: $_why"
	[ "$rc" != 0 ] || ok "$_nm: and the layout is whole" whole "$T/l-$_nm"
	rm -rf "$T/l-$_nm"
}
# bad NAME STATUS-ERE WHY [OPTION...]
bad() {
	_nm=$1 _want=$2 _why=$3
	shift 3
	run timeout 120 pull -q "$@" -o "$T/l-$_nm:latest" "$A/$_nm:latest"
	like "$rc" "^($_want)\$" "$_nm: $_why"
	like "$err" '^pull: .' "$_nm: and says so"
	ok "$_nm: nothing is named, nothing is wrong" no_image "$T/l-$_nm"
	rm -rf "$T/l-$_nm"
}
# either NAME STATUS-ERE WHY: success with the right bytes or that status
either() {
	run timeout 120 pull -q -o "$T/l-$1:latest" "$A/$1:latest"
	if [ "$rc" = 0 ]; then
		ok "$1: $3 (whole)" whole "$T/l-$1"
	else
		like "$rc" "^($2)\$" "$1: $3"
		ok "$1: nothing is named, nothing is wrong" no_image "$T/l-$1"
	fi
	rm -rf "$T/l-$1"
}

good plain "no fault"
good cut "a blob cut in the middle"
is "$(jq -r 'select(.path|test("^/v2/cut/.*'"$layer"'"))|.headers.range' "$T/f/log" | tail -n 1)" "bytes=500000-" "cut: goes on where it ended"
good cuts "cut three times"
good reset "a reset in the middle"
good cutmf "a manifest cut"
good cuthead "a header cut"
good s503 "503 twice"
good s500b "500 twice on a blob"
good s408 "408"
t0=$(date +%s%N)
good s429 "429 with Retry-After in seconds"
t1=$(date +%s%N)
ok "s429: waited" test $(((t1 - t0) / 1000000)) -ge 1000
good s429date "429 with Retry-After as a date"
bad s429far 75 "429 with a Retry-After that nobody waits for"
is "$(reqs s429far '.path|test("manifests")')" 1 "s429far: was not asked again"
bad s403 77 "403"
bad s404 66 "404"
bad b404 66 "404 of a blob"
bad s401 77 "401 for ever"
ok "s401: gives up soon" test "$(reqs s401)" -le 6
good rignore "Range ignored: the whole blob again"
for k in wrong shift total; do either "r$k" '65|69|76' "a resumed part that is not what was asked for ($k)"; done
either r416 '65|69|76' "416 to a Range"
good rshort "less than the Range asked for"
good etag "an ETag that changes at every request"
good etagcut "cut, and another ETag afterwards"
either longer '65|69|76' "a Content-Length that promises more"
either shorter '65|69|76' "a Content-Length that says less"
good nolength "no Content-Length"
good http10 "HTTP/1.0"
good chunked "chunked"
either chunkbad 65 "wrong bytes, then garbage where a chunk's size is due, once"
bad mfchunkbad '69|76' "garbage where a chunk's size is due"
bad t72mf '65|76' "T72 a manifest without end"
bad t72blob '65|76' "T72 a blob without end"
bad t72conf '65|76' "T72 a config without end"
bad corrupt 65 "a damaged byte"
bad swapped 65 "another blob's bytes"
bad dcd '65|76' "Docker-Content-Digest of other bytes"
bad ctype 65 "T71 a manifest that is called an index"
bad garbage '69|76' "no HTTP at all"
bad hugehead '65|69|76' "a header of 300 KB"
bad html '65|76' "a captive portal"
bad loop '69|76' "redirected in a circle"
ok "loop: bounded" test "$(reqs loop)" -le 100
good redirect "redirected to another host"
good relredir "a relative redirect"
bad fileredir '69|76' "a redirect to a file"
bad metaredir '69|76|77' "a redirect to the metadata address (T60)"
bad userredir '69|76|77' "a redirect with a password in it"
good netredir "a redirect without a scheme"
good upperredir "a redirect in capitals"
good dotredir "a redirect with dots, a query and a fragment"
like "$(jq -r 'select(.path|startswith("/v2/y/"))|.path' "$T/f/log")" "^/v2/y/blobs/$layer\?a=/../b\$" "dotredir: of which the path's are resolved"
bad blankredir '69|76' "a redirect with a blank"
bad longredir '69|76' "a redirect of 20 KB"
good postredir "303"
bad twolen '65|69|76' "two lengths"
bad noloc '69|76' "a redirect to nowhere"

run timeout 60 pull -q -o "$T/l-T69:x" "$A/t69@$man"
rc_is 65 "T69 a digest in the reference binds the bytes"
run timeout 60 pull -q -o "$T/l-T69:x" "$A/plain@sha256:$(printf %064d 1)"
like "$rc" '^(65|66)$' "T69 a digest that is not there"

run sh -c "timeout 60 pull -q $A/corrupt:latest >'$T/s.tar'"
rc_is 65 "corrupt: as a stream too"
nok "corrupt: the stream is no whole archive" tar -tf "$T/s.tar"
run sh -c "timeout 60 pull -q $A/cut:latest | tar -tf -"
rc_is 0 "cut: the stream is whole"

# ---- documents that lie (T68 T71 T72 T74 T80), by tag and through an index ----
"$tools/mklayers" "$T/docs" --victim "$T/docs/victim" --only 'T[678][0-9]*' >/dev/null
repos=$(jq -r 'keys[]' "$T/docs/cases.json" | while read -r c; do printf ',"d/%s":"%s"' "$(echo "$c" | tr '[:upper:]' '[:lower:]')" "$T/docs/$c"; done)
bg_end "$faultd"
start_faultd g "{\"servers\":{\"A\":{\"repos\":{${repos#,}}}}}"
for c in $(jq -r 'to_entries[] | select(.value.outcome == "refuse") | .key' "$T/docs/cases.json" |
	grep -E '^T(68|71|72|74|80)-' | grep -Ev 'T74-duplicate-config|T80-config-size|T80-index-nested|T71-(schema|type-disagrees)'); do
	run timeout 30 pull -q -o "$T/l-doc:x" "$addr/d/$(echo "$c" | tr '[:upper:]' '[:lower:]'):latest"
	like "$rc" '^(65|66|76)$' "$c: refused"
	ok "$c: nothing is named" no_image "$T/l-doc"
	rm -rf "$T/l-doc"
done
run timeout 30 pull -q "$addr/d/t74-duplicate-key:latest"
like "$err" ': manifest: JSON' "it is told which document"
for c in $(jq -r 'to_entries[] | select(.value.outcome == "accept") | .key' "$T/docs/cases.json" | grep -E '^T(71|74)-'); do
	run timeout 30 pull -q -o "$T/l-doc:x" "$addr/d/$(echo "$c" | tr '[:upper:]' '[:lower:]'):latest"
	rc_is 0 "$c: accepted"
	rm -rf "$T/l-doc"
done
bg_end "$faultd"
# ---- a fault of our own ends at once, also while the server is silent
mkdir "$T/src"
head -c 9000000 /dev/urandom >"$T/src/a"
"$tools/mkimage" tree "$T/src" "$T/big"
start_faultd q "{\"servers\":{\"A\":{\"repos\":{\"*\":\"$T/big\"}}},\"rules\":[
	{\"path\":\"/blobs/\",\"do\":{\"stall\":[2400000,600]}}]}"
run sh -c 'trap "" XFSZ; ulimit -f 4096; exec timeout 60 pull -q -o "$1" "$2"' - "$T/full:x" "$addr/x"
rc_is 74 "-o: a file that cannot grow; the server is not waited for"
run sh -c 'timeout 60 pull -q "$1" >/dev/full' - "$addr/x"
rc_is 73 "nor with a stream into a full device"
bg_end "$faultd"

done_testing
