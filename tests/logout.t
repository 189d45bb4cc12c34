#!/bin/sh
# logout forgets what login wrote, and nothing else.
. "${0%/*}/lib.sh"
need_applet logout
need jq
HOME=$T XDG_RUNTIME_DIR=$T/run
export HOME XDG_RUNTIME_DIR
mkdir -p "$T/run/containers"
f=$T/run/containers/auth.json
put() { printf '{"auths":{"a.example":{"auth":"eDp5"},"a.example/team":{"auth":"eDp5"},"https://index.docker.io/v1/":{"auth":"eDp5"}},"x":1.5}' >"$f"; }
put
run logout a.example
rc_is 0 "one"
is "$(jq -c '[(.auths|keys),.x]' "$f")" '[["a.example/team","https://index.docker.io/v1/"],1.5]' "is forgotten, all else stays"
is "$(stat -c %a "$f")" 600 "the file is its owner's"
run logout a.example
rc_is 66 "again: there is nothing to forget"
run logout a.example/team
is "$(jq -c '.auths|keys' "$f")" '["https://index.docker.io/v1/"]' "one with a path"
run logout docker.io
is "$rc $(jq -c '.auths|keys' "$f")" '0 []' "docker.io, as docker writes it"
put
run logout --all
is "$rc $(jq -c . "$f")" '0 {"auths":{},"x":1.5}' "all"
run logout --all --authfile "$T/none.json"
rc_is 66 "no file"
nok "none is made" test -e "$T/none.json"
run logout
rc_is 64 "no registry is 64"
run logout --all a.example
rc_is 64 "both are 64"
like "$(logout --help)" 'ocibox logout' "--help tells of the shells that have a logout"
done_testing
