#!/bin/sh
# How push reaches a registry: proxies, a blob of more than 4 GiB, very many blobs.
in_memory=1
. "${0%/*}/lib.sh"
need python3 jq openssl
need_applet push
cached tiny "$tools/mkimage" tiny || skip_all "no image"
img=$cached
man=$(jq -r '.manifests[0].digest' "$img/index.json")
HOME=$T DOCKER_CONFIG=$T/none
export HOME DOCKER_CONFIG
basic=$(printf %s 'u:S3cret' | base64)

# ---- proxies ----
start_faultd f '{"servers":{
	"A":{"uploads":true,"auth":{"basic":"u:S3cret"}},
	"S":{"uploads":true,"tls":"good","auth":{"basic":"u:S3cret"}}},
	"rules":[{"server":"S","method":"POST","path":"/far/","header":{"authorization":"Basic"},"do":{"headers":{"Location":"https://registry.test:1/up"}}}]}'
A=$addr S=$(cat "$T/f/addr.S")
aport=${A##*:} sport=${S##*:}
printf '{"auths":{"reg.test:%s":{"auth":"%s"},"registry.test:%s":{"auth":"%s"}}}' "$aport" "$basic" "$sport" "$basic" >"$T/auth.json"
mkdir "$T/one"
bg "$tools/proxyd" "$T/one" --auth 'me:P4ss word' --map reg.test=127.0.0.1 --map registry.test=127.0.0.1
wait_for 60 test -f "$T/one/addr"
proxy=$(cat "$T/one/addr") creds='me:P4ss%20word@'
p() { run timeout 60 push -q --cacert "$T/certs/ca.crt" --authfile "$T/auth.json" "$@"; }
for how in '' '--chunk-size 200k'; do
	# shellcheck disable=SC2086
	HTTP_PROXY=http://$creds$proxy p --plain-http $how "$img:latest" "reg.test:$aport/x${how:+c}:1"
	is "$rc $out" "0 $man" "plain HTTP through a proxy${how:+ in chunks}"
	# shellcheck disable=SC2086
	HTTPS_PROXY=http://$creds$proxy p $how "$img:latest" "registry.test:$sport/x${how:+c}:1"
	is "$rc $out" "0 $man" "HTTPS through a proxy${how:+ in chunks}"
done
is "$(jq -rs '[.[]|select(.line|test("^[A-Z]+ http://reg.test:[0-9]+/v2/|^CONNECT registry.test:[0-9]+ ")|not)]|length' "$T/one/log")" 0 \
	"the proxy gets the absolute form, or opens a tunnel"
is "$(jq -s '[.[]|select(.headers["proxy-authorization"])]|length' "$T/f/log")" 0 "the registry does not see the proxy's password"
is "$(jq -s '[.[]|select(.line|startswith("CONNECT"))|select(.headers.authorization)]|length' "$T/one/log")" 0 "nor the proxy of a tunnel the registry's"
is "$(jq -s '[.[]|select(.method=="PUT" and .status==201 and (.path|test("manifests")))]|length' "$T/f/log")" 4 "four images arrived"
HTTPS_PROXY=http://$proxy p "$img:latest" "registry.test:$sport/no:1"
rc_is 77 "a proxy that wants a password"
HTTPS_PROXY=http://$creds$proxy p --retries 0 "$img:latest" "registry.test:$sport/far:1"
rc_is 69 "T62 a Location at another port of the same host goes through the proxy, too"
is "$(jq -rs '[.[]|select(.line|startswith("CONNECT registry.test:1 "))|select(.headers.authorization)]|length' "$T/one/log")" 0 "T62 without credentials"
HTTP_PROXY=http://127.0.0.1:1 HTTPS_PROXY=http://127.0.0.1:1 p "$img:latest" "$A/direct:1"
rc_is 77 "no proxy to this host, and no password of another"
bg_end "$faultd"

# ---- lengths and offsets beyond 32 bits ----
sink() {
	mkdir "$T/$1"
	_sn=$1
	shift
	bg "$tools/sinkd" "$T/$_sn" "$@"
	sinkd=$bg_pid
	wait_for 60 test -f "$T/$_sn/addr"
	addr=$(cat "$T/$_sn/addr")
}
size=$((4097 << 20)) zeros=829816e339ff597ec3ada4c30fc840d3f2298444169d242952a54bcf3fcd7747
python3 - "$T/zeros" $zeros $size <<'PY'
import hashlib, json, os, sys
t, zeros, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.makedirs(t + "/blobs/sha256")
with open(t + "/blobs/sha256/" + zeros, "wb") as f:
    f.truncate(size)
def put(o, kind):
    b = json.dumps(o).encode()
    h = hashlib.sha256(b).hexdigest()
    open(t + "/blobs/sha256/" + h, "wb").write(b)
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + h, "size": len(b)}
cfg = put({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:" + zeros]}}, "config.v1+json")
man = put({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": cfg,
           "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "sha256:" + zeros, "size": size}]}, "manifest.v1+json")
open(t + "/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
json.dump({"schemaVersion": 2, "manifests": [man]}, open(t + "/index.json", "w"))
PY
sink big
run timeout 600 push --stats --chunk-size $((4096 << 20)) "$T/zeros" "$addr/x:1"
rc_is 0 "a blob of 4 GiB and 1 MiB"
like "$err" "\"sent\":4296[0-9]{6}[,}]" "is sent whole"
is "$(awk '$1 == "PATCH" && $3 > 1000 { print $3, $4, $5 }' "$T/big/log" | tr '\n' ' ')" \
	"4294967296 0-4294967295 4294967296 1048576 4294967296-4296015871 1048576 " "in two pieces, the second from byte 2^32 on"
bg_end "$sinkd"

# ---- 12,000 blobs ----
python3 - "$T/many" <<'PY'
import hashlib, json, os, sys
t = sys.argv[1]
os.makedirs(t + "/blobs/sha256")
def put(o, kind):
    b = json.dumps(o).encode()
    h = hashlib.sha256(b).hexdigest()
    open(t + "/blobs/sha256/" + h, "wb").write(b)
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + h, "size": len(b)}
list = []
for k in range(3):
    layers = [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:%064x" % i, "size": i} for i in range(k * 4000 + 1, k * 4000 + 4001)]
    cfg = put({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [d["digest"] for d in layers]}}, "config.v1+json")
    list.append(put({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": cfg, "layers": layers}, "manifest.v1+json"))
man = put({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": list}, "index.v1+json")
open(t + "/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
json.dump({"schemaVersion": 2, "manifests": [man]}, open(t + "/index.json", "w"))
PY
sink asked --has
cat >"$T/measure" <<'PY'
import resource, subprocess, sys
r = subprocess.call(sys.argv[1:])
u = resource.getrusage(resource.RUSAGE_CHILDREN)
print(r, u.ru_maxrss // 1024, int(u.ru_utime * 1000))
PY
run timeout 600 python3 "$T/measure" push "$T/many" "$addr/x:1"
diag "status, MiB of memory, ms of user time: $(tail -n 1 "$T/out")"
like "$err" '12003 already there' "T80 an index of manifests with 12,000 layers"
# shellcheck disable=SC2046
set -- $(tail -n 1 "$T/out")
case $("$OCIBOX" --version) in
*asan* | *tsan*) skip "a sanitizer's memory is not ours" ;;
*) ok "T80 takes no more than 32 MiB" test "$2" -le 32 ;;
esac
ok "and little time beside the requests" test "$3" -le 10000
is "$(grep -c '^HEAD' "$T/asked/log")" 12003 "each is asked for once"
bg_end "$sinkd"
sink together --has --together 2
run push "$img:latest" "$addr/x:1"
is "$(awk '$6 > m { m = $6 } END { print m }' "$T/together/log")" 2 "several at a time"
bg_end "$sinkd"
done_testing
