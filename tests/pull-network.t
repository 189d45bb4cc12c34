#!/bin/sh
# How pull reaches a registry: proxies, several addresses, names that lie (T60), client certificates, slow servers.
. "${0%/*}/lib.sh"
need python3 jq openssl
need_applet pull
cached tiny "$tools/mkimage" tiny || skip_all "no image"
img=$cached
man=$(jq -r '.manifests[0].digest' "$img/index.json")
layer=$(jq -r '.layers[0].digest' "$img/blobs/sha256/${man#sha256:}")
HOME=$T DOCKER_CONFIG=$T/none
export HOME DOCKER_CONFIG
basic=$(printf %s 'u:S3cret' | base64)
p() { run timeout 60 pull -q --cacert "$T/certs/ca.crt" "$@"; }

start_faultd f "{\"servers\":{
	\"A\":{\"repos\":{\"*\":\"$img\"},\"auth\":{\"basic\":\"u:S3cret\"}},
	\"S\":{\"tls\":\"good\",\"repos\":{\"*\":\"$img\"}},
	\"D\":{\"repos\":{\"*\":\"$img\"}},
	\"M\":{\"repos\":{\"*\":\"$img\"}},
	\"V\":{\"repos\":{\"*\":\"$img\"},\"listen\":\"::1\"}},
	\"rules\":[
	{\"server\":\"M\",\"path\":\"^/v2/x/blobs/$layer\",\"do\":{\"cut\":70000}},
	{\"server\":\"D\",\"path\":\"^/v2/drip/blobs/$layer\",\"do\":{\"drip\":200}},
	{\"server\":\"S\",\"path\":\"^/v2/meta/blobs/$layer\",\"do\":{\"redirect\":\"https://meta.test:1/x\"}},
	{\"server\":\"S\",\"path\":\"^/v2/local/blobs/$layer\",\"do\":{\"redirect\":\"https://local.test:1/x\"}},
	{\"server\":\"S\",\"path\":\"^/v2/loopback/blobs/$layer\",\"do\":{\"redirect\":\"https://127.0.0.1:1/x\"}},
	{\"server\":\"S\",\"path\":\"^/v2/http/blobs/$layer\",\"do\":{\"redirect\":\"@D@/v2/x/blobs/$layer\"}},
	{\"server\":\"S\",\"path\":\"^/v2/realm/\",\"do\":{\"status\":401,\"headers\":{\"WWW-Authenticate\":\"Bearer realm=\\\"https://meta.test:1/token\\\"\"}}},
	{\"server\":\"S\",\"path\":\"^/v2/lookup/\",\"do\":{\"status\":401,\"headers\":{\"WWW-Authenticate\":\"Bearer realm=\\\"https://other.example:1/token\\\"\"}}}
	]}"
A=$addr S=$(cat "$T/f/addr.S") D=$(cat "$T/f/addr.D") V=$(cat "$T/f/addr.V")
aport=${A##*:} sport=${S##*:}
cat >"$T/auth.json" <<EOF
{"auths":{"reg.test:$aport":{"auth":"$basic"},"$A":{"auth":"$basic"},"registry.test:$sport":{"auth":"$basic"}}}
EOF

# the rate is measured over 30 s of waiting: begun now, looked at in the end
(timeout 100 pull -q --min-rate 10k -o "$T/l-drip:x" "$D/drip" 2>"$T/drip.err"; echo $? >"$T/drip.rc") &
drip=$!

# ---- servers of DNS that are silent: in a network of this test's own, begun now, looked at in the end ----
# silent NAME OPTION...
silent() {
	_sn=$1
	shift
	(
		unshare -mn --propagation private sh -c 'mount --bind "$0" /etc/resolv.conf && ip link set lo up && exec "$@"' "$T/resolv.conf" \
			python3 "$T/silent" timeout 100 pull -q "$@" "reg.nowhere.test/x" >"$T/$_sn.out" 2>"$T/$_sn.err"
		echo "$? $(($(date +%s) - t0))" >"$T/$_sn.rc"
	) &
}
dns=''
if is_root && have ip && unshare -mn true 2>/dev/null; then
	printf '%s\n' 'nameserver 127.0.0.1' 'options timeout:60 attempts:10' >"$T/resolv.conf"
	cat >"$T/silent" <<-'EOF'
		import socket, subprocess, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.bind(("127.0.0.1", 53))
		r = subprocess.call(sys.argv[1:])
		s.settimeout(1)
		sys.exit(r if b"nowhere" in s.recv(512) else 99)
	EOF
	t0=$(date +%s)
	silent dns-once --retries 0
	dns=$!
	silent dns-deadline --deadline 2s
	dns="$dns $!"
fi

# ---- proxies ----
# proxy NAME OPTION...
proxy() {
	_px=$T/$1
	mkdir "$_px"
	shift
	bg "$tools/proxyd" "$_px" "$@"
	wait_for 60 test -f "$_px/addr"
	proxy=$(cat "$_px/addr")
}
proxy one --auth 'me:P4ss word' --map reg.test=127.0.0.1 --map registry.test=127.0.0.1
creds='me:P4ss%20word@'
asked() { jq -r .line "$T/one/log" 2>/dev/null | grep -c "$1"; }

HTTP_PROXY=http://$creds$proxy p --plain-http --authfile "$T/auth.json" -o "$T/l:http" "reg.test:$aport/x"
rc_is 0 "plain HTTP through a proxy"
is "$(asked "^GET http://reg.test:$aport/v2/x/")" "$(jq -s length "$T/one/log")" "in the absolute form, all of it"
is "$(jq -s '[.[]|select(.server=="A")|select(.headers["proxy-authorization"])]|length' "$T/f/log")" 0 "the registry does not see the proxy's password"
HTTPS_PROXY=http://$creds$proxy p -o "$T/l:https" "registry.test:$sport/x"
rc_is 0 "HTTPS through a proxy"
isnt "$(asked "^CONNECT registry.test:$sport ")" 0 "by a tunnel"
nok "T67 in which the certificate is checked against the name" jq -se 'any(.[]; .line | startswith("GET https"))' "$T/one/log"
is "$(jq -s '[.[]|select(.line|startswith("CONNECT"))|select(.headers.authorization)]|length' "$T/one/log")" 0 "the proxy does not see the registry's password"
https_proxy=$creds$proxy p -o "$T/l:lower" "registry.test:$sport/x"
rc_is 0 "https_proxy in lower case, without a scheme"
HTTPS_PROXY=http://$proxy p -o "$T/l:no" "registry.test:$sport/x"
rc_is 77 "a proxy that wants a password"
like "$err" "proxy" "is named"
HTTPS_PROXY=https://$proxy p -o "$T/l:no" "registry.test:$sport/x"
isnt "$rc" 0 "a proxy by https is refused"
like "$err" 'https_proxy|HTTPS_PROXY' "and the variable named"
HTTPS_PROXY=http://$creds$proxy p --retries 0 -o "$T/l:no" "unknown.test:$sport/x"
rc_is 69 "a host that the proxy does not reach"
before=$(jq -s length "$T/one/log")
HTTPS_PROXY=http://$creds$proxy NO_PROXY=.test p --retries 0 -o "$T/l:no" "registry.test:$sport/x"
isnt "$rc" 0 "NO_PROXY: straight to a name that is not known here"
HTTP_PROXY=http://127.0.0.1:1 HTTPS_PROXY=http://127.0.0.1:1 p -o "$T/l:lo" "$S/x"
rc_is 0 "no proxy to this host"
is "$(jq -s length "$T/one/log")" "$before" "neither asked the proxy"
REQUEST_METHOD=GET HTTP_PROXY=http://$creds$proxy p --plain-http --retries 0 -o "$T/l:no" "reg.test:$aport/x"
isnt "$rc" 0 "HTTP_PROXY in a CGI program is what a stranger sent"
proxy two --refuse
HTTPS_PROXY=http://$proxy p --retries 0 -o "$T/l:no" "registry.test:$sport/x"
rc_is 69 "a proxy that refuses"
rm -rf "$T/l"

# ---- addresses ----
p -o "$T/l:v6" "$V/x"
rc_is 0 "an IPv6 address"
p --retries 0 -o "$T/l:no" "no-such-host.invalid/x"
rc_is 69 "a name that does not exist"
# names of this test's own, in a mount namespace
hosts() {
	unshare -m --propagation private sh -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$T/hosts" timeout 60 pull -q --cacert "$T/certs/ca.crt" "$@"
}
if is_root && unshare -m true 2>/dev/null; then
	cat >"$T/hosts" <<-EOF
		127.0.0.9 registry.test
		127.0.0.1 registry.test
		::1 registry.test
		169.254.169.254 meta.test
		127.0.0.1 local.test
	EOF
	run hosts -o "$T/l:two" "registry.test:$sport/x"
	rc_is 0 "the first address refuses, the next one serves"
	run hosts --retries 0 -o "$T/l:plain" "registry.test:${D##*:}/x"
	rc_is 69 "plain HTTP is not spoken to a host that is not loopback by name"
	like "$err" 'does not speak TLS .--plain-http' "which option would is told"
	run hosts -o "$T/l:plain" --plain-http "registry.test:${D##*:}/x"
	rc_is 0 "unless it is asked for"
	for c in meta local loopback http realm; do
		rm -rf "$T/l"
		run hosts --authfile "$T/auth.json" -o "$T/l:$c" "registry.test:$sport/$c"
		like "$rc" '^(76|77)$' "T60 a redirect or realm that must not be followed: $c"
	done
	run hosts --retries 0 --authfile "$T/auth.json" -o "$T/l:lookup" "registry.test:$sport/lookup"
	rc_is 77 "T60 a realm of another site gets no password"
	like "$err" "other.example" "and is named"
	rm -rf "$T/l"
else
	skip "needs root and a mount namespace" 12
fi

# ---- a mirror that always cuts ----
echo "$D http://$(cat "$T/f/addr.M")" >"$T/mirrors"
p --registries "$T/mirrors" -o "$T/l:m" "$D/x"
rc_is 0 "a mirror that cuts is left for the origin"
is "$(jq -r 'select(.server=="D")|select(.path|test("^/v2/x/blobs/'"$layer"'"))|.headers.range' "$T/f/log" | tail -n 1)" "bytes=140000-" \
	"which is asked for what is still missing"
rm -rf "$T/l"

# ---- CAs of one host ----
mkdir -p "$T/.config/containers/certs.d/$S"
cp "$T/certs/ca.crt" "$T/.config/containers/certs.d/$S/"
run timeout 60 pull -q -o "$T/l:certsd" "$S/x"
rc_is 0 "certs.d/HOST:PORT/ca.crt"
mv "$T/.config/containers/certs.d/$S" "$T/.config/containers/certs.d/127.0.0.1:1"
run timeout 60 pull -q -o "$T/l:certsd" "$S/y"
rc_is 69 "that of another port is not this one's"
rm -rf "$T/l" "$T/.config"

# ---- a client certificate ----
mkdir "$T/mine"
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=me -keyout "$T/mine/me.key" -out "$T/mine/me.cert" -days 2 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=me -keyout "$T/ec.key" -out "$T/ec.cert" -days 2 2>/dev/null
cat "$T/mine/me.cert" "$T/ec.cert" >"$T/clients.crt"
bg "$tools/layoutd" "$img" "$T" "$T/clients.crt" 2>/dev/null
wait_for 60 test -f "$T/port"
port=$(cat "$T/port")
p -o "$T/l:mine" --cert-dir "$T/mine" "127.0.0.1:$port/x"
rc_is 0 "a client certificate, RSA"
rm -rf "$T/l" "$T/mine"/*
p -o "$T/l:mine" --cert-dir "$T/mine" --retries 0 "127.0.0.1:$port/x"
isnt "$rc" 0 "none where one is wanted"
cp "$T/ec.key" "$T/ec.cert" "$T/mine/"
p -o "$T/l:mine" --cert-dir "$T/mine" "127.0.0.1:$port/x"
rc_is 0 "a client certificate, EC"
rm "$T/mine/ec.key"
p -o "$T/l:mine" --cert-dir "$T/mine" "127.0.0.1:$port/x"
isnt "$rc" 0 "a certificate without its key"
like "$err" 'ec.key' "which is named"
rm -rf "$T/l"

wait "$drip"
is "$(cat "$T/drip.rc")" 75 "a server that drips is given up"
like "$(cat "$T/drip.err")" 'less than 10240 bytes a second' "and the floor named"
rm -rf "$T"/l-drip
if [ "$dns" ]; then
	# shellcheck disable=SC2086
	wait $dns
	read -r status seconds <"$T/dns-once.rc"
	is "$status" 69 "no server of DNS answers"
	ok "in bounded time ($seconds s)" test "$seconds" -le 90
	like "$(cat "$T/dns-once.err")" 'no answer of DNS within 15 s' "which is said"
	read -r status seconds <"$T/dns-deadline.rc"
	is "$status" 75 "nor before the deadline"
	ok "which holds ($seconds s)" test "$seconds" -lt 15
	like "$(cat "$T/dns-deadline.err")" 'deadline' "and is named"
else
	skip "needs root and namespaces" 6
fi
done_testing
