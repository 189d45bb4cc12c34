#!/bin/sh
# Which servers pull trusts: names, uses, chains, dates and files of certificates; the end of TLS (T67).
. "${0%/*}/lib.sh"
need python3 jq openssl
need_applet pull
"$OCIBOX" --version | grep -q '+tls' || skip_all "built without TLS"
cached tiny "$tools/mkimage" tiny || skip_all "no image"
img=$cached
HOME=$T DOCKER_CONFIG=$T/none
export HOME DOCKER_CONFIG
"$tools/mkcerts" --all "$T/certs" || skip_all "no certificates"

kinds='good cnonly cntrap wild ipname p384 clientonly bothuses mail noca crossed twoways'
srv=''
for k in $kinds; do srv="$srv${srv:+,}\"$k\":{\"tls\":\"$k\",\"repos\":{\"*\":\"$img\"}}"; done
start_faultd f "{\"servers\":{\"A\":{\"tls\":{\"cert\":\"rsa\",\"max\":\"1.2\"},\"repos\":{\"*\":\"$img\"}},
	\"B\":{\"tls\":{\"cert\":\"good\",\"max\":\"1.2\"},\"repos\":{\"*\":\"$img\"}},$srv},\"rules\":[
	{\"server\":\"A\",\"path\":\"^/v2/cut/manifests/latest\",\"do\":{\"length\":\"none\"}},
	{\"server\":\"A\",\"path\":\"^/v2/whole/manifests/latest\",\"do\":{\"length\":\"none\",\"goodbye\":true}},
	{\"server\":\"A\",\"path\":\"^/v2/blob/blobs/\",\"do\":{\"length\":\"none\"}}]}"
port() { sed 's/.*://' "$T/f/addr.$1"; }
ca=$T/certs/ca.crt
# t KIND [HOST [CACERT]]
t() {
	rm -rf "$T/l"
	run timeout 60 pull -q --retries 0 --cacert "${3:-$ca}" -o "$T/l:x" "${2:-127.0.0.1}:$(port "$1")/x"
}

t A
rc_is 0 "TLS 1.2 and no more, RSA"
t B
rc_is 0 "TLS 1.2 and no more, ECDSA"
t p384
rc_is 0 "a key on P-384"

# ---- names ----
t cnonly localhost
rc_is 69 "T67 a name in the subject alone is no name"
like "$err" 'no subjectAltName, and "localhost"' "and what it lacks is told"
t cntrap localhost
rc_is 69 "T67 nor is one beside other names"
like "$err" 'for other.test' "which are told"
t ipname
rc_is 69 "T67 an address as a name is no address"
t good 127.0.0.2
rc_is 69 "T67 another address"
t good '[::ffff:127.0.0.1]'
isnt "$rc" 0 "T67 an address in other clothes"
# names of this test's own, in a mount namespace
hosts() {
	rm -rf "$T/l"
	run unshare -m --propagation private sh -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$T/hosts" \
		timeout 60 pull -q --retries 0 --cacert "$ca" -o "$T/l:x" "$1:$(port wild)/x"
}
if is_root && unshare -m true 2>/dev/null; then
	echo '127.0.0.1 a.wild.test A.b.wild.test wild.test x.wild.test.evil.test' >"$T/hosts"
	hosts a.wild.test
	rc_is 0 "a wildcard"
	hosts A.WILD.test
	rc_is 0 "in any case of letters"
	for n in a.b.wild.test wild.test x.wild.test.evil.test; do
		hosts $n
		rc_is 69 "T67 a wildcard is one label: not $n"
	done
else
	skip "needs root and a mount namespace" 5
fi

# ---- uses ----
t bothuses
rc_is 0 "a certificate for clients and servers"
t clientonly
rc_is 69 "T67 a certificate for clients only"
like "$err" 'other uses' "which is said"
t mail
rc_is 69 "T67 one of a CA for mail"
t noca
rc_is 69 "T67 one that another server issued"

# ---- chains and files of CAs ----
cat "$ca" "$T/certs/newroot.crt" >"$T/bundle"
t crossed 127.0.0.1 "$T/bundle"
rc_is 0 "a root that came signed by one that has expired, and is trusted itself"
t crossed
rc_is 69 "and is not trusted itself"
t twoways
rc_is 0 "a CA that came with two signatures, of which one is known"
{
	echo 'Some words about this file'
	openssl x509 -in "$T/certs/oldroot.crt" -text
	echo '# -----BEGIN NOTHING-----'
	sed 's/$/\r/' "$T/certs/newroot.crt"
	printf '%s\n' '-----BEGIN CERTIFICATE-----' 'bm90IGEgY2VydGlmaWNhdGU=' '-----END CERTIFICATE-----'
	openssl x509 -in "$ca" -trustout
} >"$T/odd"
t good 127.0.0.1 "$T/odd"
rc_is 0 "a bundle with words, line ends of two kinds, and what is no certificate"
t crossed 127.0.0.1 "$T/odd"
rc_is 0 "all of which is read"
echo nothing >"$T/empty"
t good 127.0.0.1 "$T/empty"
like "$rc" '^(64|65|69)$' "a file of CAs without any"
like "$err" 'empty.*no PEM' "is named"

# ---- docker's certs.d: ca.crt, client.cert, client.key ----
mkdir "$T/d"
bg "$tools/layoutd" "$img" "$T" "$ca" TLSv1_2 2>/dev/null
wait_for 60 test -f "$T/port"
cp "$ca" "$T/d/ca.crt"
cp "$T/certs/bothuses.crt" "$T/d/client.cert"
cp "$T/certs/bothuses.key" "$T/d/client.key"
mine() {
	rm -rf "$T/l"
	run timeout 60 pull -q --retries 0 -o "$T/l:x" "$@" "127.0.0.1:$(cat "$T/port")/x"
}
mine --cert-dir "$T/d"
rc_is 0 "--cert-dir with ca.crt, client.cert and client.key"
mkdir -p "$T/.config/containers/certs.d"
cp -R "$T/d" "$T/.config/containers/certs.d/127.0.0.1:$(cat "$T/port")"
mine
rc_is 0 "the same in certs.d/HOST:PORT"
openssl pkcs8 -topk8 -nocrypt -in "$T/certs/bothuses.key" -out "$T/d/client.key"
mine --cert-dir "$T/d"
rc_is 0 "a key in PKCS #8"
openssl pkcs8 -topk8 -passout pass:x -in "$T/certs/bothuses.key" -out "$T/d/client.key"
mine --cert-dir "$T/d"
isnt "$rc" 0 "a key under a password"
like "$err" 'unencrypted' "is not taken"

# ---- the end ----
p() {
	rm -rf "$T/l"
	run timeout 60 pull -q --retries 0 --cacert "$ca" -o "$T/l:x" "127.0.0.1:$(port A)/$1"
}
p cut
rc_is 69 "a manifest without a length, and the connection ends without a goodbye"
like "$err" 'closed in the middle' "may be cut"
p whole
rc_is 0 "with a goodbye it is whole"
p blob
rc_is 0 "a blob tells by its digest"
# the port is for HTTPS: what the server says of it is shown
start_registry forhttps --tls
run pull --retries 0 --plain-http "$addr/x:1"
is "$rc $err" "76 pull: $addr/x:1: Client sent an HTTP request to an HTTPS server. (HTTP 400)" "--plain-http to a port for TLS"

done_testing
