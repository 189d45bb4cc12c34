#!/bin/sh
# Whom pull tells its secrets, and whom it trusts: realms, redirects, token servers, mirrors and certificates, against
# scripted servers that record every request.
. "${0%/*}/lib.sh"
need python3 jq openssl strace
need_applet pull
cached tiny "$tools/mkimage" tiny || skip_all "no image"
img=$cached
man=$(jq -r '.manifests[0].digest' "$img/index.json")
layer=$(jq -r '.layers[0].digest' "$img/blobs/sha256/${man#sha256:}")
HOME=$T DOCKER_CONFIG=$T/none
export HOME DOCKER_CONFIG
secret='u:S3cret-of-A'
basic=$(printf %s "$secret" | base64)

# authfile ADDR...: one entry for each
authfile() {
	_s='' _o='{"auths":{'
	for _a in "$@"; do _o="$_o$_s\"$_a\":{\"auth\":\"$basic\"}" _s=,; done
	echo "$_o}}" >"$T/auth.json"
}
# leaks NAME: requests to server NAME that carried any authorization or the secret in any form
leaks() {
	jq -s --arg s "$1" '[.[] | select(.server == $s) | select((.headers.authorization != null) or
		((.path + .body) | test("S3cret")))] | length' "$2/log"
}
p() { run timeout 60 pull -q "$@"; }

# ---- T60: the realm chooses who gets the password ----
# a server each: the realm is part of the challenge
realms='ok @A@/token
otherport @B@/token
userinfo http://me:you@127.0.0.1/token
metadata http://169.254.169.254/token
metadata6 http://[fd00:ec2::254]/token
metadata-ali http://100.100.100.200/token
linklocal http://169.254.1.2/token
linklocal6 http://[fe80::1]/token
file file:///etc/passwd
ftp ftp://127.0.0.1/token
relative /token
empty 
otherhost http://attacker.example/token
lookalike http://127.0.0.1.attacker.example/token
decimal http://2852039166/token
mapped6 http://[::ffff:169.254.169.254]/token'
token='"token":{"creds":"'$secret'","reply":{"token":"TOK"}}'
echo "$realms" | while read -r name realm; do
	echo "$name $realm"
done >"$T/realms"
while read -r name realm; do
	start_faultd "T60-$name" "{\"servers\":{
		\"A\":{\"repos\":{\"*\":\"$img\"},\"auth\":{\"bearer\":\"TOK\",\"realm\":\"$realm\"},$token},
		\"B\":{\"token\":{\"creds\":null,\"reply\":{\"token\":\"TOK\"}}}}}"
	authfile "$addr"
	run timeout 60 strace -f -q -e trace=connect,sendto -o "$T/connects" pull -q --authfile "$T/auth.json" "$addr/x"
	case $name in
	ok) rc_is 0 "T60 a realm of the registry's own gets the password" ;;
	otherport) pass "T60 a realm on the same host, another port (status $rc)" ;;
	*)
		like "$rc" '^(69|76|77)$' "T60 $name: refused"
		is "$(grep -c 'sa_family=AF_INET' "$T/connects")" \
			"$(grep -c "sa_family=AF_INET, sin_port=htons(${addr##*:})" "$T/connects")" \
			"T60 $name: no connection but to the registry"
		;;
	esac
	bg_end "$faultd"
done <"$T/realms"

# a token server that redirects
start_faultd redirtok "{\"servers\":{\"A\":{\"repos\":{\"*\":\"$img\"},\"auth\":{\"bearer\":\"TOK\",\"realm\":\"@A@/token\"},$token},
	\"B\":{\"token\":{\"creds\":null,\"reply\":{\"token\":\"TOK\"}}}},\"rules\":[{\"server\":\"A\",\"path\":\"^/token\",\"do\":{\"redirect\":\"@B@/token\"}}]}"
authfile "$addr"
p --authfile "$T/auth.json" "$addr/x"
like "$rc" '^(69|76|77)$' "T60 a token server's redirect is not followed"
is "$(jq -s '[.[]|select(.server=="B")]|length' "$T/redirtok/log")" 0 "T60 and B hears nothing"
bg_end "$faultd"

# ---- tokens ----
# tok NAME REPLY STATUS WHY [AUTH-MEMBERS]
tok() {
	start_faultd "tok-$1" "{\"servers\":{\"A\":{\"repos\":{\"*\":\"$img\"},\"auth\":{\"bearer\":\"TOK\",\"realm\":\"@A@/token\"${5:-}},
		\"token\":{\"creds\":\"$secret\",\"reply\":$2}}}}"
	authfile "$addr"
	p --authfile "$T/auth.json" -o "$T/l:$1" "$addr/x/y"
	like "$rc" "^($3)\$" "token: $4"
	_tlog=$T/tok-$1/log
	bg_end "$faultd"
	rm -rf "$T/l"
}
tok token '{"token":"TOK"}' 0 "token, no expires_in"
ok "token: asked with service and scope" jq -se 'any(.[]; .path | test("^/token\\?") and test("service=svc") and test("scope=repository(:|%3A)x(/|%2F)y(:|%3A)pull"))' "$_tlog"
is "$(jq -s '[.[]|select(.path|test("^/token"))]|length' "$_tlog")" 1 "token: one is enough for a pull"
is "$(jq -s '[.[]|select(.path|test("^/v2"))|select(.headers.authorization|tostring|test("Basic"))]|length' "$_tlog")" 0 "token: the password goes to the token server only"
tok access '{"access_token":"TOK","expires_in":300}' 0 "access_token"
tok both '{"token":"TOK","access_token":"TOK","issued_at":"2020-01-01T00:00:00Z"}' 0 "both"
tok renewed '{"token":"TOK","expires_in":300}' 0 "renewed when it dies in the middle" ',"uses":2'
tok none '{}' '76|77' "a reply without a token"
tok wrong '{"token":"OTHER"}' 77 "a token that is refused"
ok "token: gives up soon" test "$(jq -s length "$_tlog")" -le 8
tok type '{"token":5}' '76|77' "a token that is a number"
tok nl '{"token":"a\r\nX-Evil: 1"}' '76|77' "a token with a line end"
nok "token: no header is smuggled" grep -q '"x-evil"' "$_tlog"
tok huge "{\"token\":\"$(head -c 2000000 /dev/zero | tr '\0' t)\"}" '65|76|77' "a token of 2 MB"
tok short '{"token":"TOK","expires_in":0}' 0 "expires_in 0"
tok negative '{"token":"TOK","expires_in":-5}' '0|76' "expires_in negative"

# later NAME RETRY-AFTER TIMES: the token server is busy
later() {
	start_faultd "$1" "{\"servers\":{\"A\":{\"repos\":{\"*\":\"$img\"},\"auth\":{\"bearer\":\"TOK\",\"realm\":\"@A@/token\"},$token}},
		\"rules\":[{\"path\":\"^/token\",\"times\":$3,\"do\":{\"status\":429,\"headers\":{\"Retry-After\":\"$2\"}}}]}"
	authfile "$addr"
	_t0=$(date +%s%N)
	p --authfile "$T/auth.json" -o "$T/l:x" "$addr/x"
	ms=$((($(date +%s%N) - _t0) / 1000000))
	rm -rf "$T/l"
	bg_end "$faultd"
}
later busy 2 1
rc_is 0 "token: a busy token server is asked again"
ok "token: after the time that it asks for ($ms ms)" test "$ms" -ge 2000
later busier 100000 100
rc_is 75 "token: one that is busy for a day is not waited for"
like "$err" 'come again in 100000 s' "token: which is said"
is "$(jq -s '[.[]|select(.path|test("^/token"))]|length' "$T/busier/log")" 1 "token: it is asked once"

# ---- T63: redirects between hosts ----
start_faultd T63 "{\"servers\":{
	\"A\":{\"repos\":{\"*\":\"$img\"},\"auth\":{\"basic\":\"$secret\"}},
	\"B\":{\"listen\":\"127.0.0.2\",\"repos\":{\"*\":\"$img\"},\"auth\":{\"bearer\":\"BTOK\",\"realm\":\"@B@/token\"},\"token\":{\"creds\":null,\"reply\":{\"token\":\"BTOK\"}}},
	\"C\":{\"listen\":\"127.0.0.2\",\"repos\":{\"*\":\"$img\"}},\"D\":{\"repos\":{\"*\":\"$img\"}}},
	\"rules\":[{\"server\":\"A\",\"path\":\"^/v2/b/blobs/\",\"header\":{\"authorization\":\".\"},\"do\":{\"redirect\":\"@B@/v2/b/blobs/$layer\"}},
		{\"server\":\"A\",\"path\":\"^/v2/c/blobs/$layer\",\"header\":{\"authorization\":\".\"},\"do\":{\"redirect\":\"@C@/v2/c/blobs/$layer\"}},
		{\"server\":\"C\",\"path\":\"^/v2/c/\",\"times\":1,\"do\":{\"cut\":100000}},
		{\"server\":\"A\",\"path\":\"^/v2/d/blobs/$layer\",\"header\":{\"authorization\":\".\"},\"do\":{\"redirect\":\"@D@/v2/d/blobs/$layer\"}}]}"
authfile "$addr"
A=$addr
p --authfile "$T/auth.json" -o "$T/l:c" "$A/c"
rc_is 0 "T63 a blob on another host"
is "$(leaks C "$T/T63")" 0 "T63 that hears no credential"
is "$(jq -s '[.[]|select(.server=="A")|select(.path|test("blobs/'"$layer"'"))|select(.headers.authorization != null)]|length' "$T/T63/log")" 2 \
	"T63 after a cut the registry is asked for a fresh redirect"
p --authfile "$T/auth.json" -o "$T/l:d" "$A/d"
rc_is 0 "T63 a blob on another port"
is "$(leaks D "$T/T63")" 0 "T63 that is another origin and hears no credential"
rm -rf "$T/l"
bg_end "$faultd"
start_faultd T63b "{\"servers\":{
	\"A\":{\"repos\":{\"*\":\"$img\"},\"auth\":{\"basic\":\"$secret\"}},
	\"B\":{\"listen\":\"127.0.0.2\",\"repos\":{\"*\":\"$img\"},\"auth\":{\"bearer\":\"BTOK\",\"realm\":\"@B@/token\"},\"token\":{\"creds\":null,\"reply\":{\"token\":\"BTOK\"}}}},
	\"rules\":[{\"server\":\"A\",\"path\":\"^/v2/b/blobs/$layer\",\"header\":{\"authorization\":\".\"},\"do\":{\"redirect\":\"@B@/v2/b/blobs/$layer\"}}]}"
authfile "$addr"
p --authfile "$T/auth.json" -o "$T/l:b" "$addr/b"
rc_is 0 "T63 A redirects to B, B says 401 and gives an anonymous token"
ok "T63 B was asked for one" jq -se 'any(.[]; .server == "B" and (.path | startswith("/token")))' "$T/T63b/log"
is "$(jq -s '[.[]|select(.server=="B")|select((.headers.authorization // "Bearer BTOK") != "Bearer BTOK")]|length' "$T/T63b/log")" 0 \
	"T63 and never hears A's secret"
nok "T63 nor A B's token" jq -se 'any(.[]; .server == "A" and (.headers.authorization | tostring | test("BTOK")))' "$T/T63b/log"
rm -rf "$T/l"
bg_end "$faultd"

# ---- T65: path scopes; no entry of another repository or host is used ----
start_faultd T65 "{\"servers\":{\"A\":{\"repos\":{\"*\":\"$img\"},\"auth\":{\"basic\":\"$secret\"}}}}"
authfile "$addr/org-a"
p --authfile "$T/auth.json" -o "$T/l:a" "$addr/org-a/app"
rc_is 0 "T65 an entry for org-a serves org-a/app"
p --authfile "$T/auth.json" -o "$T/l:b" "$addr/org-b/app"
rc_is 77 "T65 and not org-b"
p --authfile "$T/auth.json" -o "$T/l:c" "$addr/org-abc/app"
rc_is 77 "T65 nor org-abc"
is "$(jq -s '[.[]|select(.path|test("org-(b|abc)/"))|select(.headers.authorization!=null)]|length' "$T/T65/log")" 0 "T65 nothing was sent"
authfile "127.0.0.1:1" "127.0.0.1" "${addr}0"
p --authfile "$T/auth.json" -o "$T/l:d" "$addr/org-a/app"
rc_is 77 "entries of other ports are not used"
is "$(jq -s '[.[]|select(.headers.authorization|tostring|test("Basic"))|select(.path|test("org-a")|not)]|length' "$T/T65/log")" 0 "nothing else was sent"
rm -rf "$T/l"
bg_end "$faultd"

# ---- T61: urls in descriptors ----
cp -R "$img" "$T/urls"
start_faultd T61 "{\"servers\":{\"A\":{\"repos\":{\"*\":\"$T/urls\"}},\"B\":{\"repos\":{\"*\":\"$img\"}}}}"
jq -c --arg u "$(cat "$T/T61/url.B")/v2/x/blobs/$layer" '.layers[0].urls = [$u]' "$img/blobs/sha256/${man#sha256:}" >"$T/m.json"
m2=$(sha256sum <"$T/m.json" | cut -d' ' -f1)
cp "$T/m.json" "$T/urls/blobs/sha256/$m2"
jq -c --arg d "sha256:$m2" --argjson n "$(wc -c <"$T/m.json")" '.manifests[0].digest=$d | .manifests[0].size=$n' "$img/index.json" >"$T/urls/index.json"
bg_end "$faultd"
start_faultd T61b "{\"servers\":{\"A\":{\"repos\":{\"*\":\"$T/urls\"}}}}"
run timeout 60 strace -f -q -e trace=connect -o "$T/connects" pull -q -o "$T/l:u" "$addr/x"
rc_is 0 "T61 a layer with urls comes from the registry"
is "$(grep -c 'sa_family=AF_INET' "$T/connects")" "$(grep -c "htons(${addr##*:})" "$T/connects")" "T61 and nobody else is asked"
rm -rf "$T/l"
bg_end "$faultd"

# ---- mirrors ----
start_faultd mir "{\"servers\":{\"A\":{\"repos\":{\"*\":\"$img\"},\"auth\":{\"basic\":\"$secret\"}},
	\"B\":{\"repos\":{\"mirror/x\":\"$img\"}},\"C\":{}},
	\"rules\":[{\"server\":\"C\",\"path\":\"manifests\",\"do\":{\"body\":\"{\\\"schemaVersion\\\":2,\\\"config\\\":{},\\\"layers\\\":[]}\"}}]}"
authfile "$addr"
A=$addr B=$(cat "$T/mir/addr.B") C=$(cat "$T/mir/addr.C")
echo "$A http://$B/mirror" >"$T/mirrors"
p --authfile "$T/auth.json" --registries "$T/mirrors" -o "$T/l:m" "$A/x"
rc_is 0 "a mirror serves"
is "$(jq -s '[.[]|select(.server=="A")]|length' "$T/mir/log")" 0 "and the origin is not asked"
is "$(leaks B "$T/mir")" 0 "a mirror never gets the origin's credentials"
p --authfile "$T/auth.json" --registries "$T/mirrors" -o "$T/l:n" "$A/y"
rc_is 0 "what the mirror lacks comes from the origin"
is "$(leaks B "$T/mir")" 0 "still without telling the mirror"
echo "$A http://$B/mirror only" >"$T/mirrors"
p --authfile "$T/auth.json" --registries "$T/mirrors" -o "$T/l:o" "$A/y"
rc_is 66 "unless the rule says only"
echo "$A http://$C" >"$T/mirrors"
p --authfile "$T/auth.json" --registries "$T/mirrors" -o "$T/l:p" "$A/x@$man"
like "$rc" '^(0|65)$' "T69 a mirror with other bytes for a pinned digest"
[ "$rc" != 0 ] || is "$(jq -r '[.manifests[]|.digest]|unique|.[]' "$T/l/index.json")" "$man" "T69 is passed over"
rm -rf "$T/l"
bg_end "$faultd"

# ---- certificates (T67) ----
test_certs
kinds='good rsa chain unordered incomplete expired future wronghost cnonly constrained selfsigned'
srv=''
for k in $kinds; do srv="$srv,\"$k\":{\"tls\":\"$k\",\"repos\":{\"*\":\"$img\"}}"; done
start_faultd tls "{\"servers\":{\"A\":{\"tls\":{\"cert\":\"good\",\"min\":\"1.3\"},\"repos\":{\"*\":\"$img\"}},
	\"realm\":{\"tls\":\"good\",\"repos\":{\"*\":\"$img\"},\"auth\":{\"bearer\":\"T\",\"realm\":\"@selfsigned@/token\"}}$srv}}"
t() { p --cacert "$T/certs/ca.crt" -o "$T/l:$1" "$(cat "$T/tls/addr.$1")/x"; }
for k in good rsa chain unordered; do
	t $k
	rc_is 0 "TLS: $k"
done
tlsbad() {
	t "$1"
	rc_is 69 "T67 TLS: $1 is refused"
	like "$err" "$2" "TLS: $1 has its own message"
}
tlsbad expired '[Ee]xpired'
tlsbad future 'not (yet )?valid|future'
tlsbad wronghost 'name|host'
tlsbad cnonly 'name|host'
tlsbad selfsigned 'trust|unknown|authorit|self-signed'
tlsbad incomplete 'trust|unknown|authorit|intermediate|chain'
tlsbad constrained 'constraint'
tlsbad A '1\.3'
p -o "$T/l:sys" "$(cat "$T/tls/addr.good")/x"
rc_is 69 "T67 TLS: a CA of the test's own is not trusted without --cacert"
p --tls-verify=false -o "$T/l:no" "$(cat "$T/tls/addr.selfsigned")/x"
rc_is 0 "TLS: --tls-verify=false"
mkdir "$T/cd" && cp "$T/certs/ca.crt" "$T/cd/"
p --cert-dir "$T/cd" -o "$T/l:cd" "$(cat "$T/tls/addr.good")/x"
rc_is 0 "TLS: --cert-dir"
SSL_CERT_FILE=$T/certs/ca.crt p -o "$T/l:env" "$(cat "$T/tls/addr.good")/x"
rc_is 0 "TLS: SSL_CERT_FILE"
p --cacert "$T/certs/ca.crt" -o "$T/l:name" "localhost:$(sed 's/.*://' "$T/tls/addr.good")/x"
rc_is 0 "TLS: by name"
p --cacert "$T/certs/ca.crt" -o "$T/l:realm" "$(cat "$T/tls/addr.realm")/x"
like "$rc" '^(69|77)$' "T67 the realm's certificate is checked as well"
is "$(jq -s '[.[]|select(.server=="selfsigned")|select(.path|test("token"))]|length' "$T/tls/log")" 0 "T67 and nothing is asked there"
rm -rf "$T/l"
done_testing
