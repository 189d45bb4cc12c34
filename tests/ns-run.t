#!/bin/sh
# ns-run: what it promises to everybody, tried as root and as an ordinary user with and without subordinate ids.
. "${0%/*}/lib.sh"
need busybox unshare
need_applet ns-run
need_userns
export T

R=$T/root
mkdir -p "$R/bin" "$R/etc" "$R/tmp" "$R/home"
cp "$(command -v busybox)" "$R/bin/busybox"
for a in sh ls cat id env ps sleep true false hostname kill stat pwd grep test mkdir mknod touch head wc df dd mount \
	umount unshare readlink sort tr echo trap printf ip stty tty chroot nohup; do
	ln -s busybox "$R/bin/$a"
done
printf 'root:x:0:0::/root:/bin/sh\nu:x:1000:1001::/home/u:/bin/sh\n7:x:1007:1007::/:/bin/sh\n' >"$R/etc/passwd"
printf 'root:x:0:\nu:x:1001:\nextra:x:2000:u\nmore:x:2001:nobody,u\n' >"$R/etc/group"
chmod 755 "$R" "$R/bin/busybox"

basics() { # WHO RUNNER...
	who=$1
	shift
	run "$@" ns-run "$R" true
	rc_is 0 "$who: true"
	run "$@" ns-run "$R" -- sh -c 'exit 7'
	rc_is 7 "$who: the program's status"
	run "$@" ns-run "$R" sh -c 'kill -9 $$'
	rc_is 137 "$who: 128 and the signal"
	run "$@" ns-run "$R" nope
	rc_is 127 "$who: 127 for what is not found"
	like "$err" 'ns-run: nope: not found' "$who: and it says so"
	run "$@" ns-run "$R" /etc/passwd
	rc_is 126 "$who: 126 for what cannot be executed"
	run "$@" ns-run "$T/nowhere" true
	rc_is 125 "$who: 125 for our own errors"
	like "$err" 'nowhere' "$who: with the name"
	run "$@" ns-run
	rc_is 125 "$who: 125 for no arguments"
	run "$@" ns-run --nonsense "$R" true
	rc_is 125 "$who: 125 for an unknown option"
	run "$@" ns-run --timeout 100ms "$R" sleep 20
	rc_is 124 "$who: --timeout"
	run "$@" ns-run "$R" id -u
	is "$out" 0 "$who: root inside"
	run "$@" ns-run "$R" sh -c 'for n in pid mnt uts ipc net cgroup; do readlink /proc/self/ns/$n; done'
	for n in pid mnt uts ipc net cgroup; do readlink /proc/self/ns/$n; done | sort >"$T/outside"
	is "$(printf '%s\n' "$out" | sort | comm -12 - "$T/outside")" "" "$who: no namespace in common"
	run "$@" ns-run "$R" sh -c 'ip -o link | grep -c .; ip addr show lo'
	like "$out" '^1$' "$who: one interface"
	like "$out" 'inet 127.0.0.1/8' "$who: the loopback is up"
	run "$@" ns-run "$R" sh -c 'cd /dev && stat -c "%n %t:%T %a" null zero full random urandom tty'
	is "$out" "null 1:3 666
zero 1:5 666
full 1:7 666
random 1:8 666
urandom 1:9 666
tty 5:0 666" "$who: the standard devices"
	run "$@" ns-run "$R" sh -c 'echo x >/dev/null; head -c 3 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c; echo y >/dev/full'
	is "$out" "3
5" "$who: and they work"
	run "$@" ns-run "$R" sh -c 'for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; stat -fc %T /dev/pts /dev/shm; echo z >/dev/shm/x; echo x | cat /dev/stdin'
	is "$out" "/proc/self/fd
/proc/self/fd/0
/proc/self/fd/1
/proc/self/fd/2
pts/ptmx
devpts
tmpfs
x" "$who: links, pts, shm"
	run "$@" env SECRET=s ns-run "$R" env
	is "$(printf '%s\n' "$out" | sort)" "HOME=/root
HOSTNAME=ns-run
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$who: the environment is new (T28)"
	printf '# comment\nA=1\n\n  B=two words\nSECRET\nUNSET\n' >"$T/envfile"
	run "$@" env SECRET=s ns-run --env-file "$T/envfile" -e A=2 --env=PATH=/bin --env C= "$R" env
	is "$(printf '%s\n' "$out" | sort)" "A=2
B=two words
C=
HOME=/root
HOSTNAME=ns-run
PATH=/bin
SECRET=s" "$who: --env and --env-file"
	run "$@" ns-run --unsetenv-all -e X=1 "$R" /bin/env
	is "$out" "X=1" "$who: --unsetenv-all"
	run "$@" ns-run --hostname box "$R" hostname
	is "$out" box "$who: --hostname"
	run "$@" ns-run --read-only --tmpfs /tmp:size=64k "$R" sh -c 'echo x >/x; echo y >/tmp/y && cat /tmp/y; dd if=/dev/zero of=/tmp/z bs=1k count=100 2>/dev/null || echo full'
	is "$out" "y
full" "$who: --read-only, --tmpfs and its size"
	mkdir -p "$T/vol/sub"
	echo in >"$T/vol/f"
	chmod 777 "$T/vol"
	run "$@" ns-run -v "$T/vol:/mnt/a/b" -v "$T/vol/f:/etc/f:ro" "$R" sh -c 'cat /mnt/a/b/f /etc/f; echo x >/etc/f; echo new >/mnt/a/b/'"$who"
	is "$out" "in
in" "$who: volumes of a directory and a file"
	is "$(cat "$T/vol/f") $(cat "$T/vol/$who")" "in new" "$who: written through, but not where read-only"
	run "$@" ns-run -v "$T/vol:/mnt/a/b:ro" "$R" sh -c 'echo x >/mnt/a/b/x'
	rc_is 1 "$who: a read-only volume"
	run "$@" sh -c 'cd "$T/vol" && ns-run -v .:/here ../root cat /here/f'
	is "$out" in "$who: relative paths"
	run "$@" ns-run -v "$T/none:/mnt/a" "$R" true
	rc_is 125 "$who: a volume that is not there"
	for bad in nocolon x: :/x "$T/vol:rel" "$T/vol:/" "$T/vol:/a:wrong"; do
		run "$@" ns-run -v "$bad" "$R" true
		rc_is 125 "$who: -v $bad is refused"
	done
	run "$@" ns-run --workdir /made/here "$R" pwd
	is "$out" /made/here "$who: --workdir is made"
	run "$@" ns-run "$R" grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status
	is "$out" "CapInh:	0000000000000000
CapPrm:	00000000a80425fb
CapEff:	00000000a80425fb
CapBnd:	00000000a80425fb
CapAmb:	0000000000000000
NoNewPrivs:	1
Seccomp:	2" "$who: docker's capabilities, none inheritable (T48), no_new_privs, a filter"
	run "$@" ns-run --cap-drop ALL --cap-add net_admin --cap-add CAP_KILL "$R" grep Cap /proc/self/status
	like "$out" 'CapBnd:.0000000000001020$' "$who: --cap-drop and --cap-add"
	like "$out" 'CapEff:.0000000000001020$' "$who: effective, too"
	run "$@" ns-run --cap-add nonsense "$R" true
	rc_is 125 "$who: an unknown capability"
	run "$@" ns-run "$R" unshare -U true
	isnt "$rc" 0 "$who: the filter keeps from new user namespaces"
	run "$@" ns-run --security-opt seccomp=unconfined "$R" unshare -U true
	rc_is 0 "$who: seccomp=unconfined"
	run "$@" ns-run --security-opt no-new-privileges=false "$R" grep -E '^(NoNew|Seccomp:)' /proc/self/status
	is "$out" "NoNewPrivs:	0
Seccomp:	2" "$who: no-new-privileges=false keeps the filter"
	run "$@" ns-run "$R" sh -c '(sleep 0.05 &); sleep 0.1; n=0; while cat /proc/[0-9]*/stat | grep ") [A-Z] 1 " | grep -v "^2 " >/dev/null && [ $n -lt 1200 ]; do n=$((n + 1)); sleep 0.05; done; test $n -lt 1200 && echo gone || ps'
	is "$out" gone "$who: orphans are reaped"
	run "$@" ns-run --no-init "$R" sh -c 'echo $$'
	is "$out" 1 "$who: --no-init"
	run "$@" ns-run --share-uts --share-ipc "$R" sh -c 'readlink /proc/self/ns/uts; readlink /proc/self/ns/ipc'
	is "$out" "$(readlink /proc/self/ns/uts /proc/self/ns/ipc)" "$who: --share-uts --share-ipc"
	run "$@" ns-run --network=host "$R" readlink /proc/self/ns/net
	is "$out" "$(readlink /proc/self/ns/net)" "$who: --network=host"
	run "$@" ns-run --share-net --network none "$R" readlink /proc/self/ns/net
	isnt "$out" "$(readlink /proc/self/ns/net)" "$who: the last word on the network counts"
	run "$@" sh -c "OCIBOX_NET=\$(stat -Lc %d:%i /proc/self/ns/net) OCIBOX_HOSTS=$T/vol/f ns-run '$R' sh -c 'readlink /proc/self/ns/net; cat /etc/hosts; env | grep -c OCIBOX'"
	is "$out" "$(readlink /proc/self/ns/net)
in
0" "$who: OCIBOX_NET keeps the present network, binds its files, and does not go on"
	run "$@" env OCIBOX_NET=1:2 OCIBOX_HOSTS="$T/vol/f" ns-run "$R" sh -c 'readlink /proc/self/ns/net; test -s /etc/hosts'
	isnt "$out" "$(readlink /proc/self/ns/net)" "$who: another namespace's number does not"
	rc_is 1 "$who: nor are its files bound"
	run "$@" sh -c 'ns-run "$T/root" sh -c "ls /proc/self/fd | wc -l; cat" <&- >"$T/vol/closed.$$" 2>&1; echo $?; cat "$T/vol/closed.$$"'
	is "$out" "0
4" "$who: closed standard input"
	run "$@" ns-run --step-times "$R" true
	like "$err" 'us  mount /proc' "$who: --step-times"
	run "$@" ns-run --map -- sh -c 'id -u; test -e "$1"' - "$T/envfile"
	is "$out$rc" 00 "$who: --map is root on the host's tree"
	run "$@" ns-run --map -- sh -c 'exit 9'
	rc_is 9 "$who: --map and its status"
}

users() { # WHO RUNNER...
	who=$1
	shift
	run "$@" ns-run --user u "$R" sh -c 'id -u; id -g; id -G; echo $HOME; grep -E "Cap(Prm|Eff|Amb)" /proc/self/status'
	is "$out" "1000
1001
1001 2000 2001
/home/u
CapPrm:	0000000000000000
CapEff:	0000000000000000
CapAmb:	0000000000000000" "$who: a user by name, groups as the root's files say (T49), no capabilities"
	run "$@" ns-run --user 1000:2001 "$R" sh -c 'id -u; id -g'
	is "$out" "1000
2001" "$who: a user and group by number"
	run "$@" ns-run --user 7 "$R" id -u
	is "$out" 1007 "$who: a name that is a number is a name first (T50)"
	run "$@" ns-run --user 1 --workdir /tmp "$R" sh -c 'echo x >/proc/1/oom_score_adj'
	isnt "$rc" 0 "$who: pid 1 is not the program's to write to"
	run "$@" ns-run --user u --no-init "$R" id -u
	is "$out" 1000 "$who: with --no-init"
}

signals() { # WHO RUNNER...
	who=$1 nap=31.$$
	shift
	rm -f "$T/vol/up"
	"$@" ns-run -v "$T/vol:/v" "$R" sh -c 'trap "echo got >/v/term; exit 3" TERM; echo up >/v/up; while :; do sleep 0.05; done' &
	pid=$!
	wait_for 60 test -e "$T/vol/up"
	n=$(pgrep -P $pid -x ns-run || echo $pid)
	kill -TERM $n
	wait $pid
	is "$? $(cat "$T/vol/term")" "3 got" "$who: SIGTERM goes to the program, whose status counts"
	rm -f "$T/vol/up" "$T/vol/term"
	"$@" ns-run -v "$T/vol:/v" "$R" sh -c "echo up >/v/up; sleep $nap" &
	pid=$!
	wait_for 60 test -e "$T/vol/up"
	n=$(pgrep -P $pid -x ns-run || echo $pid)
	kill -TSTP $n
	ok "$who: a terminal stop stops the program" wait_for 60 sh -c "ps -eo stat,args | grep '^T.*sh -c echo up >/v/up; sleep $nap' | grep -v -- --init | grep -qv grep"
	ok "$who: and ns-run" wait_for 60 sh -c "ps -o stat= -p $n | grep -q T"
	kill -CONT $n
	ok "$who: and a continuation both" wait_for 60 sh -c "! ps -eo stat,args | grep '^T.*sleep $nap' | grep -qv grep"
	kill -KILL $n
	{ wait $pid; } 2>/dev/null
	ok "$who: who kills ns-run kills the container" wait_for 60 sh -c "! pgrep -f '^sleep $nap'"
	rm -f "$T/vol/up"
}

if is_root; then
	basics root
	users root
	signals root
	run ns-run --userns "$R" sh -c 'id -u; cat /proc/self/uid_map'
	rc_is 0 "root: --userns"
	isnt "$(ns-run --userns "$R" readlink /proc/self/ns/user)" "$(readlink /proc/self/ns/user)" "root: a user namespace of its own"
	ok "the probe builds" cc -O1 -static -w -o "$T/nsprobe" "$tools/nsprobe.c"
	for w in pidfd_open setns; do
		run "$T/nsprobe" without $w ns-run "$R" sh -c 'readlink /proc/self/ns/net; ls /sys/class/net; ip addr show lo'
		isnt "${out%%
*}" "$(readlink /proc/self/ns/net)" "root: a network of its own without $w"
		like "$out" '^lo
' "root: without $w /sys shows it"
		like "$out" 'inet 127.0.0.1/8' "root: without $w the loopback is up"
	done
	run unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_net_namespaces && ns-run "$1" true' - "$R"
	rc_is 125 "root: no more network namespaces"
	like "$err" 'network namespace.*No space|network namespace.*no space' "root: and it says so"
	run unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_ipc_namespaces && ns-run "$1" true' - "$R"
	rc_is 125 "root: nor others"
	like "$err" 'cannot make the namespaces' "root: and it says so"
	basics user as_user
	users user as_user
	signals user as_user
	basics nosub as_user_nosub
	run as_user_nosub ns-run --user u "$R" true
	rc_is 125 "nosub: another user than root is refused"
	like "$err" 'subordinate ids' "nosub: and it says what is missing"
else
	basics self
	signals self
fi
done_testing
