#!/bin/sh
# login against real registries; what it writes is read by pull, push, skopeo, and kept as podman keeps it.
in_memory=1
. "${0%/*}/lib.sh"
need_applet login logout pull push
need docker-registry skopeo jq openssl htpasswd python3
cached tiny "$tools/mkimage" tiny || skip_all "no image"
HOME=$T/home XDG_RUNTIME_DIR=$T/run
export HOME XDG_RUNTIME_DIR
mkdir "$HOME" "$XDG_RUNTIME_DIR"
secret=tester:S3cret.word:x
b64=$(printf %s "$secret" | base64)
auth=$XDG_RUNTIME_DIR/containers/auth.json

for kind in basic token; do
	start_registry $kind --tls --$kind "$secret"
	set -- --cacert "$_rd/ca.crt"
	rm -rf "$XDG_RUNTIME_DIR/containers"
	run sh -c 'printf "%s\n" S3cret.word:x | login -u tester --password-stdin "$@"' - "$@" "$addr"
	rc_is 0 "$kind: a right password"
	like "$err" "^login: $addr: kept in $auth" "$kind: where it is kept"
	is "$(stat -c %a "$auth")" 600 "$kind: for its owner alone"
	is "$(jq -r ".auths[\"$addr\"].auth" "$auth")" "$b64" "$kind: as podman has it"
	run push -q "$@" "$cached:latest" "$addr/x/tiny:1"
	rc_is 0 "$kind: push finds it"
	run pull -q "$@" -o "$T/l-$kind:x" "$addr/x/tiny:1"
	rc_is 0 "$kind: so does pull"
	ok "$kind: and skopeo" skopeo inspect --cert-dir "$_rd" "docker://$addr/x/tiny:1"
	sum=$(sha256sum <"$auth")
	run sh -c 'echo Mistaken | login -u tester --password-stdin "$@"' - "$@" "$addr"
	rc_is 77 "$kind: a wrong password"
	unlike "$out$err" "Mistaken" "$kind: is not printed"
	is "$(sha256sum <"$auth")" "$sum" "$kind: and not kept"
	run sh -c 'login --debug --auth-trace --creds-fd 3 --authfile "$1" --cacert "$2" "$3/team/a" 3<<-END
		'"$secret"'
	END' - "$T/new/dir/auth.json" "$_rd/ca.crt" "$addr"
	rc_is 0 "$kind: --creds-fd, --authfile, a path"
	unlike "$out$err" "S3cret|$b64" "$kind: --debug keeps the secret"
	is "$(jq -c '.auths|keys' "$T/new/dir/auth.json")" "[\"$addr/team/a\"]" "$kind: for that path"
	rm -rf "$T/new"
done

# what is there stays
printf '{"HttpHeaders":{"A":"b"},"auths":{"other.example":{"auth":"eDp5"},"%s":{"auth":"b2xk"}},"psFormat":"x"}' "$addr" >"$T/mine.json"
chmod 644 "$T/mine.json"
ln -s mine.json "$T/link.json"
run sh -c 'echo S3cret.word:x | REGISTRY_AUTH_FILE="$1" login -u tester --password-stdin --cacert "$2" "https://$3/"' - "$T/link.json" "$_rd/ca.crt" "$addr"
rc_is 0 "REGISTRY_AUTH_FILE, a URL"
is "$(jq -c . "$T/mine.json")" "{\"HttpHeaders\":{\"A\":\"b\"},\"auths\":{\"other.example\":{\"auth\":\"eDp5\"},\"$addr\":{\"auth\":\"$b64\"}},\"psFormat\":\"x\"}" \
	"only its entry is changed"
is "$(readlink "$T/link.json") $(stat -c %a "$T/mine.json")" "mine.json 600" "a link stays one, the file is closed to others"
echo 'not json' >"$T/broken.json"
run sh -c 'echo S3cret.word:x | login -u tester --password-stdin --authfile "$1" --cacert "$2" "$3"' - "$T/broken.json" "$_rd/ca.crt" "$addr"
rc_is 65 "a file that is broken"
is "$(cat "$T/broken.json")" "not json" "is left alone"
run sh -c 'echo S3cret.word:x | DOCKER_CONFIG="$1" login -u tester --password-stdin --cacert "$2" "$3"' - "$T/dc" "$_rd/ca.crt" "$addr"
ok "DOCKER_CONFIG" test -f "$T/dc/config.json"

# several at once
i=0
pids=''
while [ $i -lt 8 ]; do
	echo S3cret.word:x | login -q -u tester --password-stdin --authfile "$T/many.json" --cacert "$_rd/ca.crt" "$addr/p$i" &
	pids="$pids $!"
	i=$((i + 1))
done
for p in $pids; do wait "$p" || diag "one failed ($?)"; done
is "$(jq '.auths|length' "$T/many.json")" 8 "eight at once lose nothing"

# credential helpers
cat >"$T/bin/docker-credential-fake" <<'END'
#!/bin/sh
echo "$1 $(cat)" >>"$T/helper.log"
case $1 in
get) [ -f "$T/helper.bad" ] && exit 1; printf '{"Username":"tester","Secret":"S3cret.word:x"}' ;;
store) [ ! -f "$T/helper.bad" ] || { echo "the vault is shut"; exit 1; } ;;
esac
END
chmod +x "$T/bin/docker-credential-fake"
for member in "\"credHelpers\":{\"$addr\":\"fake\"}" '"credsStore":"fake"'; do
	what=${member%%:*}
	echo "{$member}" >"$T/helped.json"
	: >"$T/helper.log"
	run sh -c 'echo S3cret.word:x | login -u tester --password-stdin --authfile "$1" --cacert "$2" "$3"' - "$T/helped.json" "$_rd/ca.crt" "$addr"
	rc_is 0 "$what: the helper keeps it"
	like "$err" "kept by docker-credential-fake" "$what: which is said"
	is "$(sed 's/^store //' "$T/helper.log" | jq -c .)" "{\"ServerURL\":\"$addr\",\"Username\":\"tester\",\"Secret\":\"S3cret.word:x\"}" "$what: it was given all"
	nok "$what: the file has no secret" grep -q "$b64" "$T/helped.json"
	run pull -q --authfile "$T/helped.json" --cacert "$_rd/ca.crt" -o "$T/helped-$$:x" "$addr/x/tiny:1"
	rc_is 0 "$what: pull asks the helper"
	run logout --authfile "$T/helped.json" "$addr"
	rc_is 0 "$what: logout"
	is "$(tail -n 1 "$T/helper.log")" "erase $addr" "$what: has it forget"
	touch "$T/helper.bad"
	run sh -c 'echo S3cret.word:x | login -u tester --password-stdin --authfile "$1" --cacert "$2" "$3"' - "$T/helped.json" "$_rd/ca.crt" "$addr"
	rc_is 77 "$what: one that fails"
	like "$err" "the vault is shut" "$what: is heard"
	rm "$T/helper.bad"
done

# the command line, the terminal
run login -u tester -p S3cret.word:x --authfile "$T/p.json" --cacert "$_rd/ca.crt" "$addr"
like "$rc $err" "^0 .*warning: .*--password-stdin" "a password on the command line is warned of"
cat >"$T/ask.py" <<'PY'
import os, pty, sys, time
pid, fd = pty.fork()
if not pid:
    os.execvp("login", ["login", "--authfile", sys.argv[3], "--cacert", sys.argv[2], sys.argv[1]])
out = b""
def until(text):
    global out
    while text not in out:
        out += os.read(fd, 4096)
until(b"user name: ")
os.write(fd, b"tester\n")
until(b"password: ")
os.write(fd, b"S3cret.word:x\n")
try:
    while True:
        d = os.read(fd, 4096)
        if not d: break
        out += d
except OSError:
    pass
print(out.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY
run timeout 60 python3 "$T/ask.py" "$addr" "$_rd/ca.crt" "$T/tty.json"
like "$out" " 0$" "asked on a terminal"
unlike "$out" "S3cret" "the password is not shown"
is "$(jq -r ".auths[\"$addr\"].auth" "$T/tty.json")" "$b64" "and kept"
# a signal at the prompt: what is typed shows again
cat >"$T/interrupt.py" <<'PY'
import os, pty, sys, termios, time
pid, fd = pty.fork()
if not pid:
    os.execvp("login", ["login", "-u", "tester", "--authfile", sys.argv[2], sys.argv[1]])
out = b""
while b"password: " not in out:
    out += os.read(fd, 4096)
hidden = not termios.tcgetattr(fd)[3] & termios.ECHO
os.write(fd, b"\003")
status = os.waitpid(pid, 0)[1]
print("hidden" if hidden else "shown", os.waitstatus_to_exitcode(status), "restored" if termios.tcgetattr(fd)[3] & termios.ECHO else "spoilt")
PY
run timeout 60 python3 "$T/interrupt.py" "$addr" "$T/no.json"
is "$out" "hidden -2 restored" "Ctrl-C at the prompt ends it, with the terminal as it was"
run setsid login -u tester --authfile "$T/no.json" --cacert "$_rd/ca.crt" "$addr"
rc_is 64 "no password and no terminal is 64"
run sh -c 'echo "$1" | login -u other --creds-fd 0 --authfile "$2" "$3"' - "$secret" "$T/no.json" "$addr"
rc_is 64 "two user names"
run login -u tester -p S3cret.word:x --authfile= --cacert "$_rd/ca.crt" "$addr"
rc_is 66 "a file without a name"
run login -u a:b -p x --authfile "$T/no.json" "$addr"
rc_is 64 "a colon in the user name is 64"
for bad in team/app '' 'a b' "$addr/x:1" reg; do
	run login -u a -p b --authfile "$T/no.json" "$bad"
	rc_is 64 "\"$bad\" is no registry"
done
run login -u tester -p S3cret.word:x --authfile "$T" --cacert "$_rd/ca.crt" "$addr"
is "$err" "login: warning: others on this machine can see a password that stands on the command line: use --password-stdin
login: $T: Is a directory" "a directory is no file for credentials"
nok "nothing is written then" test -e "$T/no.json"
start_registry plain
run login -u a -p b --authfile "$T/open.json" "$addr"
rc_is 0 "a registry that asks for none"
like "$err" "warning: $addr asks for no password: it was not checked" "is told of"
run login -u a -p b --retries 0 --authfile "$T/no.json" 127.0.0.1:1
rc_is 69 "no registry there is 69"
done_testing
