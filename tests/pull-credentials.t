#!/bin/sh
# Credentials of pull: where they come from, for whom they are, and that they stay secret.
. "${0%/*}/lib.sh"
need_applet pull
need docker-registry skopeo jq htpasswd

cached tiny "$tools/mkimage" tiny || skip_all "no image"
tiny=$cached
HOME=$T/home
export HOME
mkdir "$HOME"
"$tools/registry" start "$T/basic" --basic 'ann:s3cret:x' || skip_all "docker-registry does not start"
on_exit '"$tools/registry" stop "$T/basic"'
addr=$(cat "$T/basic/addr")
"$tools/registry" push "$T/basic" "$tiny:latest" x/tiny:1 >"$T/push.log" 2>&1 || diag "$(cat "$T/push.log")"

good=$(printf 'ann:s3cret:x' | base64)
bad=$(printf 'ann:wrong' | base64)
entry() { printf '{"auths":{"%s":{"auth":"%s"}}}' "$1" "$2"; }
pulls() { run pull -q "$@" "$addr/x/tiny:1"; }

pulls
rc_is 77 "no credentials: 77"
like "$err" "^pull: $addr/x/tiny:1: .*401" "and why"
echo 'ann:s3cret:x' >"$T/creds"
run sh -c "pull -q --creds-fd 5 $addr/x/tiny:1 5<$T/creds"
rc_is 0 "--creds-fd"
echo 'ann:wrong' >"$T/wrong"
run sh -c "pull -q --creds-fd 5 $addr/x/tiny:1 5<$T/wrong"
rc_is 77 "a wrong password: 77"
unlike "$err" "wrong$|s3cret" "without the password"
run sh -c "echo nonsense | pull -q --creds-fd 0 $addr/x/tiny:1"
rc_is 64 "--creds-fd without a colon: 64"
pulls --creds-fd 77
isnt "$rc" 0 "--creds-fd of a closed descriptor"

# ---- the sources, each alone
entry "$addr" "$good" >"$T/auth.json"
pulls --authfile "$T/auth.json"
rc_is 0 "--authfile"
run env REGISTRY_AUTH_FILE="$T/auth.json" pull -q "$addr/x/tiny:1"
rc_is 0 "REGISTRY_AUTH_FILE"
run env DOCKER_AUTH_CONFIG="$(cat "$T/auth.json")" pull -q "$addr/x/tiny:1"
rc_is 0 "DOCKER_AUTH_CONFIG"
mkdir -p "$T/docker" "$T/run/containers" "$T/home/.docker" "$T/secret" "$T/empty"
cp "$T/auth.json" "$T/docker/config.json"
run env DOCKER_CONFIG="$T/docker" pull -q "$addr/x/tiny:1"
rc_is 0 "DOCKER_CONFIG"
cp "$T/auth.json" "$T/run/containers/auth.json"
run env XDG_RUNTIME_DIR="$T/run" pull -q "$addr/x/tiny:1"
rc_is 0 "XDG_RUNTIME_DIR"
cp "$T/auth.json" "$T/home/.docker/config.json"
pulls
rc_is 0 "config.json in HOME"
rm "$T/home/.docker/config.json"
cp "$T/auth.json" "$T/secret/.dockerconfigjson"
pulls --authfile "$T/secret"
rc_is 0 "a Kubernetes secret directory as --authfile"
run env DOCKER_CONFIG="$T/secret" pull -q "$addr/x/tiny:1"
rc_is 0 "and as DOCKER_CONFIG"
run bash -c "pull -q --authfile <(cat $T/auth.json) $addr/x/tiny:1"
rc_is 0 "--authfile that is a pipe"

# ---- their order
entry "$addr" "$bad" >"$T/bad.json"
entry other.example "$bad" >"$T/other.json"
cp "$T/bad.json" "$T/home/.docker/config.json"
run env XDG_RUNTIME_DIR="$T/run" pull -q "$addr/x/tiny:1"
rc_is 0 "containers/auth.json goes before ~/.docker"
run env DOCKER_CONFIG="$T/docker" XDG_RUNTIME_DIR="$T/empty" pull -q "$addr/x/tiny:1"
rc_is 0 "DOCKER_CONFIG before both"
run env DOCKER_AUTH_CONFIG="$(cat "$T/bad.json")" DOCKER_CONFIG="$T/docker" pull -q "$addr/x/tiny:1"
rc_is 77 "DOCKER_AUTH_CONFIG before that"
run env REGISTRY_AUTH_FILE="$T/auth.json" DOCKER_AUTH_CONFIG="$(cat "$T/bad.json")" pull -q "$addr/x/tiny:1"
rc_is 0 "REGISTRY_AUTH_FILE before that"
run env REGISTRY_AUTH_FILE="$T/bad.json" pull -q --authfile "$T/auth.json" "$addr/x/tiny:1"
rc_is 0 "--authfile before that"
run sh -c "pull -q --authfile $T/bad.json --creds-fd 5 $addr/x/tiny:1 5<$T/creds"
rc_is 0 "--creds-fd first"
rm "$T/home/.docker/config.json"
run env REGISTRY_AUTH_FILE="$T/auth.json" pull -q --authfile "$T/other.json" "$addr/x/tiny:1"
rc_is 0 "a file without an entry for the registry is passed over"

# ---- scopes and spellings
for key in "http://$addr" "https://$addr/v1/" "$addr/v2/" "$addr/x" "$addr/x/tiny"; do
	entry "$key" "$good" >"$T/a.json"
	pulls --authfile "$T/a.json"
	rc_is 0 "T65 the key $(printf %s "$key" | sed "s/$addr/HOST/")"
done
for key in "$addr/y" "$addr/x/tin" "$addr/x/tiny/z" "$addr.evil" "evil.$addr"; do
	entry "$key" "$good" >"$T/a.json"
	pulls --authfile "$T/a.json"
	rc_is 77 "T65 T66 not the key $(printf %s "$key" | sed "s/$addr/HOST/")"
done
printf '{"auths":{"%s":{"auth":"%s"},"%s/x":{"auth":"%s"}}}' "$addr" "$bad" "$addr" "$good" >"$T/a.json"
pulls --authfile "$T/a.json"
rc_is 0 "T65 the most specific entry wins"

# ---- helpers (T64)
mkdir "$T/helpers"
PATH=$T/helpers:$PATH
cat >"$T/helpers/docker-credential-good" <<HELPER
#!/bin/sh
[ "\$1" = get ] || exit 2
s=\$(cat)
echo "\$s" >>"$T/asked"
[ "\$s" = "$addr" ] || { echo "credentials not found in native keychain"; exit 1; }
echo "{\"ServerURL\":\"\$s\",\"Username\":\"ann\",\"Secret\":\"s3cret:x\"}"
HELPER
printf '#!/bin/sh\necho "the keyring is locked"\nexit 1\n' >"$T/helpers/docker-credential-locked"
printf '#!/bin/sh\necho "credentials not found in native keychain"\nexit 1\n' >"$T/helpers/docker-credential-none"
printf '#!/bin/sh\necho "unlock the keyring, please" >&2\nexec sleep 600\n' >"$T/helpers/docker-credential-slow"
chmod +x "$T"/helpers/*
printf '{"credHelpers":{"%s":"good"}}' "$addr" >"$T/h.json"
pulls --authfile "$T/h.json"
rc_is 0 "T64 a credential helper"
is "$(sort -u "$T/asked")" "$addr" "T64 is asked for the registry alone"
printf '{"credsStore":"good"}' >"$T/h.json"
pulls --authfile "$T/h.json"
rc_is 0 "T64 a credential store"
printf '{"credHelpers":{"%s":"locked"},"auths":{"other.example":{"auth":"%s"},"docker.io":{"auth":"%s"}}}' "$addr" "$good" "$good" >"$T/h.json"
run env REGISTRY_AUTH_FILE="$T/auth.json" pull -q --authfile "$T/h.json" "$addr/x/tiny:1"
rc_is 77 "T64 a helper that fails ends the search"
like "$err" "docker-credential-locked failed for $addr: the keyring is locked" "T64 and says why"
printf '{"credHelpers":{"%s":"none"}}' "$addr" >"$T/h.json"
run env REGISTRY_AUTH_FILE="$T/auth.json" pull -q --authfile "$T/h.json" "$addr/x/tiny:1"
rc_is 0 "T64 one that has nothing does not"
printf '{"credHelpers":{"%s":"../helpers/docker-credential-good"}}' "$addr" >"$T/h.json"
pulls --authfile "$T/h.json"
isnt "$rc" 0 "T64 a helper's name is no path"
printf '{"credHelpers":{"%s":"slow"}}' "$addr" >"$T/h.json"
t0=$(date +%s)
pulls --authfile "$T/h.json" --deadline 4s
rc_is 75 "a helper that does not answer before the deadline"
ok "is not waited for" test $(($(date +%s) - t0)) -le 60
like "$err" 'unlock the keyring' "what it says to the user is seen"

# ---- faults
pulls --authfile "$T/missing"
rc_is 66 "a missing --authfile: 66"
like "$err" "missing" "is named"
echo '{"auths":' >"$T/broken.json"
pulls --authfile "$T/broken.json"
rc_is 65 "one that does not parse: 65"
run sh -c "pull -q --authfile $T/broken.json --creds-fd 5 $addr/x/tiny:1 5<$T/creds"
rc_is 0 "but only where it is needed"

# ---- --auth-trace
run pull -q --auth-trace --authfile "$T/auth.json" "$addr/x/tiny:1"
like "$err" "entry \"$addr\" of $T/auth.json" "--auth-trace names file and entry"
unlike "$err" "s3cret|$good" "without the secret"
run pull -q --debug --authfile "$T/auth.json" "$addr/x/tiny:1"
unlike "$err" "s3cret|$good" "nor does --debug tell it"

# ---- tokens
"$tools/registry" start "$T/token" --token 'bob:t0ken' --token-opt '--identity idt-123' --token-opt '--expires none'
on_exit '"$tools/registry" stop "$T/token"'
taddr=$(cat "$T/token/addr")
"$tools/registry" push "$T/token" "$tiny:latest" x/tiny:1 >"$T/push.log" 2>&1 || diag "$(cat "$T/push.log")"
run pull -q "$taddr/x/tiny:1"
rc_is 77 "a token server, without credentials: 77"
entry "$taddr" "$(printf bob:t0ken | base64)" >"$T/t.json"
run pull -q --authfile "$T/t.json" "$taddr/x/tiny:1"
rc_is 0 "with a password"
is "$(printf '%s' "$err")" "" "silently"
: >"$T/token/token.log"
printf '{"auths":{"%s":{"identitytoken":"idt-123"}}}' "$taddr" >"$T/t.json"
run pull -q --authfile "$T/t.json" "$taddr/x/tiny:1"
rc_is 0 "with an identity token"
like "$(cat "$T/token/token.log")" "^POST .*refresh_token=idt-123" "which is posted"
python3 - "$taddr" "$(cat "$T/token/tokend.addr")" >"$T/t.json" <<'PY'
import base64, json, sys, urllib.request
q = urllib.request.Request("http://%s/token?service=test-registry&scope=repository:x/tiny:pull" % sys.argv[2],
                           headers={"Authorization": "Basic " + base64.b64encode(b"bob:t0ken").decode()})
print(json.dumps({"auths": {sys.argv[1]: {"registrytoken": json.load(urllib.request.urlopen(q))["token"]}}}))
PY
: >"$T/token/token.log"
run pull -q --auth-trace --authfile "$T/t.json" "$taddr/x/tiny:1"
rc_is 0 "with a registry token"
is "$(cat "$T/token/token.log")" "" "which is nobody else's business"
unlike "$err" "$(jq -r '.auths[].registrytoken' "$T/t.json")" "and is not told"
run pull -q --auth-trace "$taddr/x/tiny:1"
like "$err" "anonymous: (no entry|there is no file)" "--auth-trace tells what was searched in vain"
done_testing
