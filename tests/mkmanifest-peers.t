#!/bin/sh
# mkmanifest's changes of a config, beside what buildah makes of the same Dockerfile instructions: from nothing, and upon an
# image that has them. Where we choose otherwise the test says what and why.
. "${0%/*}/lib.sh"
need buildah jq
need_applet mkmanifest inspect
mkdir "$T/home" "$T/run" "$T/ctx"
on_exit 'chmod -R u+rwX "$T/store" 2>/dev/null'
# its own storage, no network, no namespaces: there is no RUN
b() {
	env HOME="$T/home" XDG_RUNTIME_DIR="$T/run" BUILDAH_ISOLATION=chroot REGISTRY_AUTH_FILE=/dev/null buildah \
		--storage-driver vfs --root "$T/store" --runroot "$T/run/store" "$@"
}
# build NAME < DOCKERFILE: its config in $T/NAME.theirs
build() {
	cat >"$T/ctx/Dockerfile"
	b build -q --format docker --timestamp 0 -f "$T/ctx/Dockerfile" -t "localhost/$1" "$T/ctx" >"$T/b.out" 2>&1 &&
		b inspect --type image "localhost/$1" >"$T/b.json" 2>>"$T/b.out" &&
		jq '.Docker | .config + { author }' "$T/b.json" >"$T/$1.theirs"
}
# ours NAME OPTION...
ours() {
	_name=$1
	shift
	run mkmanifest -q --format docker -o "$T/lay:$_name" "$@"
	rc_is 0 "$_name: mkmanifest"
	inspect --config "$T/lay:$_name" | jq '.config + { author }' >"$T/$_name.ours"
}
# same NAME MEMBER [FILTER]: "nothing" has several spellings
same() {
	is "$(jq -cS ".$2 | ${3:-.} | if . == [] or . == {} or . == \"\" then null else . end" "$T/$1.ours")" \
		"$(jq -cS ".$2 | ${3:-.} | if . == [] or . == {} or . == \"\" then null else . end" "$T/$1.theirs")" "$1: $2"
}
members="Env Cmd Entrypoint WorkingDir User Labels ExposedPorts Volumes StopSignal Healthcheck Shell OnBuild author"
all() { # NAME OMITTED...
	_n1=$1
	shift
	for m in $members; do
		case " $* " in *" $m "*) continue ;; esac
		case $m in
		# An image from nothing has no PATH with us: nothing is put into a config that nobody asked for. A variable that is set
		# again keeps its place, as with docker; buildah appends it.
		Env) same "$_n1" Env '(. // []) | map(select(startswith("PATH=") | not)) | sort' ;;
		# nor is a label that tells who made it
		Labels) same "$_n1" Labels '(. // {}) | del(.["io.buildah.version"])' ;;
		# a range is its ports, as with docker: the specification knows no "8000-8002/tcp", which is what buildah writes
		ExposedPorts) same "$_n1" ExposedPorts '(. // {}) | with_entries(.key |= sub("8000-8002"; "8000")) | del(.["8001/tcp", "8002/tcp"])' ;;
		*) same "$_n1" "$m" ;;
		esac
	done
}

build first <<'END2' || skip_all "buildah does not work here: $(head -n 1 "$T/b.out")"
FROM scratch
ENV A=1 B="two words"
ENV A=3 E=
LABEL l=1 m="x y"
LABEL l=2
EXPOSE 80 53/udp 8000-8002
VOLUME /data /b
VOLUME ["/c d"]
WORKDIR /w
WORKDIR sub
USER 5:6
STOPSIGNAL SIGQUIT
SHELL ["/bin/x","-c"]
ENTRYPOINT ["/e","a"]
CMD ["x","y z"]
HEALTHCHECK --interval=5s --timeout=1m30s --start-period=2s --retries=3 CMD ["/h","1"]
ONBUILD RUN true
ONBUILD COPY . /
MAINTAINER Me <me@x>
END2
: >"$T/empty"
tar -cf "$T/empty.tar" -T /dev/null
set -- --env A=1 --env "B=two words" --env A=3 --env E= --label l=1 --label "m=x y" --label l=2 --expose 80 --expose 53/udp --expose 8000-8002 \
	--volume /data --volume /b --volume '["/c d"]' --workdir /w --workdir sub --user 5:6 --stop-signal SIGQUIT --shell '["/bin/x","-c"]' \
	--entrypoint '["/e","a"]' --cmd '["x","y z"]' --healthcheck '--interval=5s --timeout=1m30s --start-period=2s --retries=3 CMD ["/h","1"]' \
	--onbuild 'RUN true' --onbuild 'COPY . /' --author 'Me <me@x>'
ours first --layer "$T/empty.tar" "$@"
all first
is "$(jq -c '.Env, (.ExposedPorts | keys)' "$T/first.ours" | tr '\n' ' ')" \
	'["A=3","B=two words","E="] ["53/udp","80/tcp","8000/tcp","8001/tcp","8002/tcp"] ' "first: variables keep their places, ranges are ports"

# upon that image: what is replaced, and what is added to
build plain <<'END2'
FROM scratch
ENV A=1 B=2
LABEL l=1
EXPOSE 80
VOLUME /data
WORKDIR /w
ENTRYPOINT ["/e","a"]
CMD ["x"]
HEALTHCHECK --retries=3 CMD ["/h"]
END2
b push -q localhost/plain "docker-archive:$T/plain.tar" >/dev/null 2>&1
have skopeo && skopeo copy -q --insecure-policy "docker-archive:$T/plain.tar" "oci:$T/base:plain" 2>/dev/null
build second <<'END2'
FROM localhost/plain
ENV B=3 C=$A A=9
LABEL m=2
EXPOSE 443/tcp 80/tcp
VOLUME /more
WORKDIR rel/../x
USER name
STOPSIGNAL 9
ENTRYPOINT ["/new"]
HEALTHCHECK NONE
END2
if [ -e "$T/base" ]; then
	# a variable in a value is the Dockerfile's: a shell that calls us has its own
	ours second -b "$T/base:plain" --env B=3 --env C=1 --env A=9 --label m=2 --expose 443/tcp --expose 80/tcp --volume /more --workdir rel/../x --user name \
		--stop-signal 9 --entrypoint '["/new"]' --healthcheck NONE
	all second
else
	skip "no skopeo" 14
fi

# the shell forms
build shell <<'END2'
FROM scratch
ENTRYPOINT /e "a b"
CMD echo $HOME
HEALTHCHECK CMD /h || exit 1
END2
ours shell --layer "$T/empty.tar" --entrypoint '/e "a b"' --cmd 'echo $HOME' --healthcheck 'CMD /h || exit 1'
all shell
build own <<'END2'
FROM scratch
SHELL ["/bin/x","-c"]
CMD echo hi
END2
ours own --layer "$T/empty.tar" --shell '["/bin/x","-c"]' --cmd 'echo hi'
# buildah puts /bin/sh -c before a command in the shell form, whatever SHELL said; the Dockerfile's reference and docker take that shell
all own Cmd
is "$(jq -c .Cmd "$T/own.ours") $(jq -c .Cmd "$T/own.theirs")" '["/bin/x","-c","echo hi"] ["/bin/sh","-c","echo hi"]' "own: Cmd, by the shell that was chosen"
done_testing
