#!/bin/sh
# push to a server that does what a good one never does (tests/tools/faultd): whatever breaks is gone on with from where the
# server stands, nothing wrong becomes visible, and no secret goes where a Location leads.
in_memory=1
. "${0%/*}/lib.sh"
need python3 jq openssl
need_applet push
cached tiny "$tools/mkimage" tiny || skip_all "no image"
img=$cached
man=$(jq -r '.manifests[0].digest' "$img/index.json")
size=$(jq -r '[.layers[].size]|max' "$img/blobs/sha256/${man#sha256:}")
layer=$(jq -r ".layers[]|select(.size==$size).digest" "$img/blobs/sha256/${man#sha256:}")
HOME=$T DOCKER_CONFIG=$T/none
export HOME DOCKER_CONFIG

# Each fault has a repository of its own name:  r NAME METHOD PATH-REGEX RULE-MEMBERS DO-MEMBERS
rules=''
r() { rules="$rules${rules:+,}{\"method\":\"$2\",\"path\":\"^/v2/$1/$3\"${4:+,$4},\"do\":{$5}}"; }
up=blobs/uploads/
big='"header":{"content-length":"^[0-9]{6,}$"}'
r cut PUT $up "$big,\"times\":1" '"cut_body":300000'
r cuts PUT $up "$big,\"times\":1" '"cut_body":300000'
r cuts PATCH $up "$big,\"times\":2" '"cut_body":200000'
r keep PUT $up "$big,\"times\":1" '"cut_body":300000,"keep":100000'
r keep1 PUT $up "$big,\"times\":1" '"cut_body":300000,"keep":1'
r keep0 PUT $up "$big,\"times\":1" '"cut_body":300000,"keep":0'
r gone PUT $up "$big,\"times\":1" '"cut_body":300000'
r gone GET $up '"times":1' '"forget":true'
r nostatus PUT $up "$big,\"times\":1" '"cut_body":300000'
r nostatus GET $up '' '"status":405'
r beyond PUT $up "$big,\"times\":1" '"cut_body":300000'
r beyond GET $up '' '"headers":{"Range":"0-99999999"}'
r oddrange PUT $up "$big,\"times\":1" '"cut_body":300000'
r oddrange GET $up '' '"headers":{"Range":"bytes 1-2,4-9"}'
r norange PUT $up "$big,\"times\":1" '"cut_body":300000'
r norange GET $up '' '"headers":{"Range":null}'
r bytesrange PUT $up "$big,\"times\":1" '"cut_body":300000'
r bytesrange GET $up '' '"headers":{"Range":"bytes=0-299999"}'
r cutchunk PATCH $up "$big,\"skip\":1,\"times\":1" '"cut_body":150000'
r less PATCH $up "$big,\"times\":1" '"headers":{"Range":"0-99999"}'
r s416 PATCH $up '"skip":1,"times":1' '"status":416'
r s413 PUT $up "$big" '"status":413,"unread":true'
r s413all PUT $up "$big" '"status":413,"unread":true'
r s413all PATCH $up '"header":{"content-length":"^([3-9][0-9]{5}|[0-9]{7,})$"}' '"status":413,"unread":true'
r s413end PUT $up "$big" '"status":413,"unread":true'
r s413end PATCH $up '' '"status":413,"unread":true'
r s405 PUT $up "$big" '"status":405'
r least POST $up '' '"headers":{"OCI-Chunk-Min-Length":"400000"}'
r s503 PUT $up "$big,\"times\":2" '"status":503'
r s500post POST $up '"times":2' '"status":500'
r s429 POST $up '"times":1' '"status":429,"headers":{"Retry-After":"1"}'
r s503ever PUT $up '' '"status":503'
r lostput PUT $up '' '"cut_header":0'
r lostmf PUT manifests '"times":1' '"cut_header":0'
r lostpost POST $up '"times":1' '"cut_header":0'
r nohead HEAD '' '' '"status":405'
r s403head HEAD '' '' '"status":403'
r nomount POST "${up}[?]mount" '' '"status":404'
r denymount POST "${up}[?]mount" '' '"status":403'
r s403 POST $up '' '"status":403,"json":{"errors":[{"code":"DENIED","message":"no pushing here"}]}'
r s404 POST $up '' '"status":404,"json":{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}'
r s405post POST $up '' '"status":405'
r noloc POST $up '' '"headers":{"Location":null}'
r fileloc POST $up '' '"headers":{"Location":"file:///etc/passwd"}'
r metaloc POST $up '' '"headers":{"Location":"http://169.254.169.254/latest"}'
r mfdigest PUT manifests '' "\"headers\":{\"Docker-Content-Digest\":\"sha256:$(printf %064d 1)\"}"
r bdigest PUT $up '' "\"headers\":{\"Docker-Content-Digest\":\"sha256:$(printf %064d 1)\"}"
r mf403 PUT manifests '' '"status":403'
r stuck PATCH $up '' '"headers":{"Range":"0-0"}'
r blip PUT $up "$big,\"times\":1" '"cut_body":300000'
r blip GET $up '"times":2' '"status":503'
r blips PUT $up "$big,\"times\":1" '"cut_body":300000'
r blips GET $up '' '"status":503'
r early PUT $up '"header":{"content-length":"^[0-9]{8,}$"},"times":1' '"status":201,"unread":true'
r interim PUT $up '' '"interim":0.5'
r redir PUT $up "$big,\"times\":1" '"status":302,"headers":{"Location":"/elsewhere"}'
start_faultd f "{\"servers\":{\"A\":{\"uploads\":true,\"repos\":{\"base\":\"$img\"}}},\"rules\":[$rules]}"
A=$addr
log() { jq -s "[.[] | select(.path | startswith(\"/v2/$1/\"))${2:+ | select($2)}]${3:+ | $3}" "$T/f/log"; }

# arrived NAME: the blobs and the manifest are there, byte for byte
arrived() {
	for d in $(jq -r '.layers[].digest,.config.digest' "$img/blobs/sha256/${man#sha256:}"); do
		python3 -c 'import sys,urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[1]).read())' "http://$A/v2/$1/blobs/$d" |
			cmp - "$img/blobs/sha256/${d#sha256:}" || return
	done
	python3 -c 'import sys,urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[1]).read())' "http://$A/v2/$1/manifests/1" |
		cmp - "$img/blobs/sha256/${man#sha256:}"
}
# good NAME WHY [OPTION...]
good() {
	_nm=$1 _why=$2
	shift 2
	run timeout 60 push "$@" "$img:latest" "$A/$_nm:1"
	rc_is 0 "$_nm: $_why"
	[ "$rc" != 0 ] || ok "$_nm: and all is there" arrived "$_nm"
}
# bad NAME STATUS-ERE WHY [OPTION...]
bad() {
	_nm=$1 _want=$2 _why=$3
	shift 3
	run timeout 120 push "$@" "$img:latest" "$A/$_nm:1"
	like "$rc" "^($_want)\$" "$_nm: $_why"
	like "$err" "^push: $A/$_nm:1: ." "$_nm: and says so"
	nok "$_nm: nothing is tagged" arrived "$_nm"
}
ranges() { log "$1" '.method=="PATCH" and (.headers["content-length"]|length)>5' '[.[].headers["content-range"]]|join(" ")' | tr -d '"'; }
last=$((size - 1))

good plain "no fault"
good cut "an upload that is cut"
is "$(ranges cut)" "300000-$last" "cut: goes on where it was"
is "$(log cut '.method=="POST"' length)" 3 "cut: in the same upload"
good cuts "three cuts"
is "$(ranges cuts | cut -d' ' -f3)" "700000-$last" "cuts: each goes on where the last ended"
good keep "an upload that is cut, and the server has less of it than was sent"
is "$(ranges keep)" "100000-$last" "keep: goes on from there"
good keep1 "the server says 0-0 and has one byte"
good keep0 "the server says 0-0 and has none"
good gone "the server has forgotten the upload"
good nostatus "the server does not tell how far it is"
good beyond "the server says that it has more than was sent"
good oddrange "the server says what no Range is"
good norange "the server says no Range at all"
good bytesrange "the server says bytes=0-N"
is "$(ranges bytesrange)" "300000-$last" "bytesrange: which is understood"
good blip "the server cannot be asked at first how far it is"
is "$(ranges blip)" "300000-$last" "blip: and is asked again"
good blips "the server can never be asked how far it is" --retries 3
good cutchunk "a cut in the second chunk" --chunk-size 200k
is "$(ranges cutchunk | cut -d' ' -f1-3)" "0-204799 204800-409599 354800-559599" "cutchunk: goes on inside it"
good less "the server says that it took less of a chunk" --chunk-size 200k
good s416 "416 for a chunk" --chunk-size 200k
good s413 "413 for the whole: in chunks"
is "$(ranges s413)" "0-524287 524288-$last" "s413: two of them"
good s413all "413 for chunks that are too large, too"
is "$(ranges s413all | cut -d' ' -f3)" "262144-524287" "s413all: ever smaller ones"
bad s413end '65|69|76' "413 for all"
good s405 "a server that takes no whole blobs"
good least "OCI-Chunk-Min-Length" --chunk-size 100k
is "$(ranges least | tr ' ' '\n' | grep '^0-3' | head -n 1)" "0-399999" "least: is heeded"
good s503 "503 twice"
good s500post "500 twice when the upload is opened"
t0=$(date +%s%N)
good s429 "429 with Retry-After"
ok "s429: waited" test $((($(date +%s%N) - t0) / 1000000)) -ge 1000
bad s503ever 69 "503 for ever" --retries 1
good lostput "the answers to all closing requests are lost"
good lostmf "the answer to the manifest is lost"
good lostpost "the answer to an upload's opening is lost"
good nohead "no HEAD"
good s403head "HEAD is denied"
good nomount "no mounts" --mount-from base
good denymount "mounts are denied" --mount-from base
good mount "mounts" --mount-from base
like "$err" "0 B sent .* 3 mounted" "mount: nothing was sent"
bad s403 77 "403"
like "$err" "no pushing here \(HTTP 403\)" "s403: in the registry's words"
bad s404 66 "404" --retries 1
bad s405post 76 "405"
bad noloc 76 "an upload without a Location"
bad fileloc 76 "a Location that is a file"
bad metaloc '76|77' "T62 a Location at a metadata address"
bad bdigest 76 "a blob is kept under another digest"
bad redir '69|76' "a redirect that would lose the body" --retries 0
bad stuck '69|76' "the server takes nothing of any chunk" --chunk-size 200k --retries 1
truncate -s 48M "$T/zeros"
run push --artifact-type a/b "$A/early:1" "$T/zeros"
rc_is 0 "early: 201 before the blob was sent is not believed"
is "$(log early '.method=="PUT" and (.path|test("uploads"))' length)" 3 "early: it is sent again"
run push --artifact-type a/b "$A/interim:1" "$T/zeros"
rc_is 0 "interim: 100 Continue while the blob is sent, unasked"
is "$(log interim '.method=="PUT" and (.path|test("uploads"))' length)" 2 "interim: it is sent once"
bad mf403 77 "the manifest is denied"
run push -q "$img:latest" "$A/mfdigest:1"
rc_is 76 "mfdigest: the manifest is kept under another digest"
bg_end "$faultd"

# ---- the whole order of things: blobs, manifests, the index, the tag
cached multi "$tools/mkimage" multi && {
	start_faultd o '{"servers":{"A":{"uploads":true}}}'
	run push -q "$cached:nested" "$addr/order:1"
	rc_is 0 "an index of indexes"
	is "$(jq -rs 'map(select(.method=="PUT")) | [(map(.path|test("/blobs/"))|rindex(true)) < (map(.path|test("/manifests/"))|index(true)),
		(.[-1].path|endswith("/manifests/1"))] | join(" ")' "$T/o/log")" "true true" "blobs first, the tag last"
	bg_end "$faultd"
}

# ---- an index named by two others, and many small blobs through a pipe
python3 - "$T/shared" <<'PY'
import hashlib, json, os, sys
t = sys.argv[1]
os.makedirs(t + "/blobs/sha256")
def put(b, kind, **more):
    b = b if isinstance(b, bytes) else json.dumps(b).encode()
    h = hashlib.sha256(b).hexdigest()
    open(t + "/blobs/sha256/" + h, "wb").write(b)
    return dict(mediaType="application/vnd.oci." + kind, digest="sha256:" + h, size=len(b), **more)
M, I = "image.manifest.v1+json", "image.index.v1+json"
def index(*m):
    return put({"schemaVersion": 2, "mediaType": "application/vnd.oci." + I, "manifests": list(m)}, I)
layers = [put(b"%d" % i, "image.layer.v1.tar") for i in range(200)]
cfg = put({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [d["digest"] for d in layers]}}, "image.config.v1+json")
man = put({"schemaVersion": 2, "mediaType": "application/vnd.oci." + M, "config": cfg, "layers": layers}, M)
d = index(man)
top = dict(index(d, index(d, man)), annotations={"org.opencontainers.image.ref.name": "shared"})
one = dict(man, annotations={"org.opencontainers.image.ref.name": "many"})
open(t + "/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
json.dump({"schemaVersion": 2, "manifests": [one]}, open(t + "/index.json", "w"))
order = [man, cfg] + layers
open(t + ".list", "w").write("\n".join(["oci-layout", "index.json"] + ["blobs/sha256/" + x["digest"][7:] for x in order]))
os.system("tar -C %s -cf %s.tar -T %s.list" % (t, t, t))
json.dump({"schemaVersion": 2, "manifests": [top]}, open(t + "/index.json", "w"))
PY
start_faultd m '{"servers":{"A":{"uploads":true}}}'
run sh -c 'ulimit -n 120; cat "$1" | push - "$2"' - "$T/shared.tar" "$addr/many:1"
rc_is 0 "T80 more blobs through a pipe than descriptors"
run push "$T/shared:shared" "$addr/shared:1"
rc_is 0 "an index that two others name comes before both"
bg_end "$faultd"

# ---- T62, T63: secrets stay at home
secret=tester:S3cret.word
echo "$secret" >"$T/creds"
b64=$(printf %s "$secret" | base64)
start_faultd t "{\"servers\":{\"A\":{\"uploads\":true,\"auth\":{\"basic\":\"$secret\"}},\"B\":{\"listen\":\"127.0.0.2\"}},\"rules\":[
	{\"server\":\"A\",\"method\":\"POST\",\"path\":\"^/v2/(away|deny)/\",\"header\":{\"authorization\":\"Basic\"},\"do\":{\"headers\":{\"Location\":\"@B@/store/1?sig=a%2Fb\"}}},
	{\"server\":\"A\",\"method\":\"PUT\",\"path\":\"^/v2/away/manifests\",\"do\":{\"status\":201}},
	{\"server\":\"B\",\"method\":\"PUT\",\"path\":\"^/store/1[?]sig=a%2Fb&digest=sha256%3A\",\"times\":3,\"do\":{\"status\":201}},
	{\"server\":\"B\",\"do\":{\"status\":401,\"headers\":{\"WWW-Authenticate\":\"Basic realm=\\\"x\\\"\"}}}]}"
run sh -c 'push --creds-fd 3 "$1" "$2" 3<"$3"' - "$img:latest" "$addr/away:1" "$T/creds"
rc_is 0 "T62 a Location on another origin is gone to"
is "$(jq -s '[.[]|select(.server=="B")]|length' "$T/t/log")" 3 "T62 with its query to the letter"
is "$(jq -s '[.[]|select(.server=="B" and .headers.authorization)]|length' "$T/t/log")" 0 "T62 without credentials"
printf '{"auths":{"%s":{"auth":"%s"},"%s":{"auth":"%s"}}}' "$addr" "$b64" "$(cat "$T/t/addr.B")" "$b64" >"$T/both.json"
run push --authfile "$T/both.json" "$img:latest" "$addr/deny:1"
rc_is 77 "T62 where it asks for some, none are given"
is "$(jq -s '[.[]|select(.server=="B" and .headers.authorization)]|length' "$T/t/log")" 0 "T62 not even its own"
unlike "$(jq -s '.[]|select(.server=="B")' "$T/t/log")" "S3cret|$b64" "T62 the secret is not in its log"
bg_end "$faultd"

# https does not become http
start_faultd s "{\"servers\":{\"A\":{\"uploads\":true,\"tls\":\"good\"},\"B\":{}},\"rules\":[
	{\"server\":\"A\",\"method\":\"POST\",\"path\":\"^/v2/down/\",\"do\":{\"headers\":{\"Location\":\"@B@/store/1\"}}}]}"
run push --cacert "$T/certs/ca.crt" "$img:latest" "$addr/down:1"
rc_is 76 "T62 a Location from https to http is refused"
like "$err" "from https to http" "T62 and named"
nok "T62 nothing went there" grep -q '"server": "B"' "$T/s/log"
run push --cacert "$T/certs/ca.crt" "$img:latest" "$addr/tls:1"
rc_is 0 "over TLS to the same server"
bg_end "$faultd"

# ---- tokens that die
start_faultd k "{\"servers\":{\"A\":{\"uploads\":true,\"auth\":{\"bearer\":\"tok\",\"realm\":\"@A@/token\",\"uses\":2},
	\"token\":{\"creds\":\"$secret\",\"reply\":{\"token\":\"tok\",\"expires_in\":300}}},
	\"B\":{\"uploads\":true,\"auth\":{\"bearer\":\"tok\",\"realm\":\"@B@/token\"},
	\"token\":{\"creds\":\"$secret\",\"reply\":{\"token\":\"tok\",\"expires_in\":300}}}}}"
run sh -c 'push --jobs 1 --chunk-size 200k --creds-fd 3 "$1" "$2" 3<"$3"' - "$img:latest" "$addr/dies:1" "$T/creds"
rc_is 0 "a token that dies every two requests"
ok "is fetched anew" test "$(jq -s '[.[]|select(.path|startswith("/token"))]|length' "$T/k/log")" -gt 3
like "$(jq -rs '[.[]|select(.path|startswith("/token"))][0].path' "$T/k/log")" 'scope=repository%3Adies%3Apull%2Cpush' "for pulling and pushing"
run sh -c 'push --mount-from one --mount-from two --creds-fd 3 "$1" "$2" 3<"$3"' - "$img:latest" "$(cat "$T/k/addr.B")/mounts:1" "$T/creds"
rc_is 0 "one token for all"
like "$(jq -rs '[.[]|select(.path|test("mounts"))|select(.path|startswith("/token"))][0].path' "$T/k/log")" \
	'scope=repository%3Amounts%3Apull%2Cpush&scope=repository%3Aone%3Apull&scope=repository%3Atwo%3Apull' "that may pull from where it is mounted from"
bg_end "$faultd"

# ---- a realm that gives no token for what could be mounted from means no mount, whatever it says and whenever it is asked
bearer='"auth":{"bearer":"tok","realm":"@A@/token","service":"s"},"token":{"creds":"'$secret'","reply":{"token":"tok","expires_in":300}}'
for how in 401 403 400 404; do
	start_faultd "scope$how" "{\"servers\":{\"A\":{\"uploads\":true,\"repos\":{\"base\":\"$img\"},$bearer}},\"rules\":[
		{\"path\":\"^/token.*base\",\"do\":{\"status\":$how,\"json\":{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no such scope\"}]}}},
		{\"method\":\"POST\",\"path\":\"[?]mount=\",\"do\":{\"status\":401,\"headers\":{\"WWW-Authenticate\":
			\"Bearer realm=\\\"@A@/token\\\",service=\\\"s\\\",scope=\\\"repository:scope:pull,push repository:base:pull\\\"\"}}}]}"
	for more in '' '--mount-from base'; do
		run sh -c 'img=$1 to=$2 creds=$3; shift 3; timeout 60 push "$@" --creds-fd 3 "$img" "$to" 3<"$creds"' - \
			"$img:latest" "$addr/scope${more:+2}:1" "$T/creds" $more
		rc_is 0 "a realm that says $how to a mount's scope${more:+ ($more)}"
		like "$err" '[0-9.]+ MB sent in [0-9.]+ s$' "the blobs are sent then"
	done
	ok "and it is not asked again for each blob" test "$(jq -s '[.[]|select(.path|test("^/token.*base"))]|length' "$T/scope$how/log")" -le 2
	ok "nor is the mount" test "$(jq -s '[.[]|select(.path|test("[?]mount="))]|length' "$T/scope$how/log")" -le 2
	bg_end "$faultd"
done

# ---- what comes to no end is taken back, and that takes no long time
start_faultd e "{\"servers\":{\"A\":{\"uploads\":true}},\"rules\":[
	{\"method\":\"PUT\",\"path\":\"^/v2/deny/$up\",$big,\"do\":{\"await\":[3,\"^PUT /v2/deny/\"],\"status\":403}},
	{\"method\":\"PUT\",\"path\":\"^/v2/silent/$up\",$big,\"do\":{\"await\":[3,\"^PUT /v2/silent/\"],\"status\":403}},
	{\"method\":\"PUT\",\"path\":\"^/v2/ignored/$up\",\"do\":{\"delay\":2}},
	{\"method\":\"PUT\",\"path\":\"$up\",\"do\":{\"delay\":600}},
	{\"method\":\"DELETE\",\"path\":\"^/v2/(silent|mute)\",\"do\":{\"delay\":600}}]}"
A=$addr
taken_back() { jq -s "[.[] | select(.method == \"DELETE\" and .status == 204 and (.path | startswith(\"/v2/$1/\"))) | .path] | unique | length" "$T/e/log"; }
# closing NAME N: N uploads are under way, as far as the request that closes each
closing() { [ "$(grep -c "^PUT /v2/$1/$up" "$T/e/heads")" -ge "$2" ]; }
run push --retries 0 "$img:latest" "$A/deny:1"
rc_is 77 "one blob is refused while others are under way"
is "$(taken_back deny)" 3 "the uploads of all are taken back"
run timeout 60 push --retries 0 "$img:latest" "$A/silent:1"
rc_is 77 "a refusal by a server that falls silent then, which is not waited for long"
for sig in term.15 int.2 hup.1; do
	no=${sig#*.} sig=${sig%.*}
	# a shell's background jobs ignore SIGINT, and what runs below nohup SIGHUP
	python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])' \
		push --chunk-size 100k "$img:latest" "$A/sig$sig:1" 2>"$T/sig.err" &
	p=$!
	wait_for 60 closing "sig$sig" 3
	kill "-$no" $p
	wait $p
	is "$? $(cat "$T/sig.err")" "$((128 + no)) " "sig$sig ends push by that signal"
	is "$(taken_back sig$sig)" "$(jq -s "[.[] | select(.method == \"POST\" and (.path | startswith(\"/v2/sig$sig/\")))] | length" "$T/e/log")" \
		"and its uploads are taken back"
done
push "$img:latest" "$A/mute:1" 2>/dev/null &
p=$!
wait_for 60 closing mute 3
t0=$(date +%s)
kill -TERM $p
wait $p
is $? 143 "SIGTERM while the server is silent"
t0=$(($(date +%s) - t0))
ok "is not held up for long ($t0 s)" test $t0 -le 60
(trap '' TERM; exec push "$img:latest" "$A/ignored:1") >"$T/out" 2>&1 &
p=$!
wait_for 60 closing ignored 1
kill -TERM $p
wait $p
is "$?" 0 "a signal that is ignored stays so"
bg_end "$faultd"

# ---- a size that is refused is remembered for the other blobs
start_faultd l "{\"servers\":{\"A\":{\"uploads\":true}},\"rules\":[
	{\"method\":\"PUT\",\"path\":\"^/v2/size/$up\",$big,\"do\":{\"status\":413,\"unread\":true}},
	{\"method\":\"PUT\",\"path\":\"^/v2/chunks/$up\",\"header\":{\"content-length\":\"[1-9]\"},\"do\":{\"status\":405}}]}"
for n in 4 3 2 1; do head -c "$((n * 50000 + 200000))" /dev/urandom >"$T/f$n"; done
head -c 90000 /dev/urandom >"$T/f1"
for how in size chunks; do
	run push --jobs 1 --artifact-type a/b "$addr/$how:1" "$T/f4" "$T/f1" "$T/f2" "$T/f3"
	rc_is 0 "$how: several blobs"
	is "$(jq -s "[.[] | select((.path | startswith(\"/v2/$how/\")) and .status >= 405)] | length" "$T/l/log")" 1 "$how: the registry refuses once"
done
ok "an upload that was left for chunks is taken back" grep -q '"method": "DELETE"' "$T/l/log"
bg_end "$faultd"

# ---- layers that are not for distribution stay here
python3 - "$img" "$T/foreign" <<'PY'
import hashlib, json, shutil, sys
shutil.copytree(sys.argv[1], sys.argv[2])
idx = json.load(open(sys.argv[2] + "/index.json"))
d = idx["manifests"][0]
m = json.load(open(sys.argv[2] + "/blobs/sha256/" + d["digest"][7:]))
m["layers"].append({"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "size": 3,
                    "digest": "sha256:" + "1" * 64, "urls": ["http://169.254.169.254/x"]})
b = json.dumps(m).encode()
d["digest"], d["size"] = "sha256:" + hashlib.sha256(b).hexdigest(), len(b)
open(sys.argv[2] + "/blobs/sha256/" + d["digest"][7:], "wb").write(b)
json.dump(idx, open(sys.argv[2] + "/index.json", "w"))
PY
start_faultd n '{"servers":{"A":{"uploads":true}}}'
run push "$T/foreign:latest" "$addr/foreign:1"
rc_is 0 "T61 a layer that is not for distribution"
like "$err" "1 not for distribution left out" "T61 is left out, and told of"
is "$(jq -s '[.[]|select(.path|test("11111111"))]|length' "$T/n/log")" 0 "T61 not even asked for"
run sh -c 'kill -STOP '"$faultd"'; push --deadline 1 "$1" "$2"; r=$?; kill -CONT '"$faultd"'; exit $r' - "$img:latest" "$addr/slow:1"
rc_is 75 "a deadline holds"
bg_end "$faultd"
done_testing
