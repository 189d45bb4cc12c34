#!/bin/sh
# ns-run against hostile roots, hostile programs and careless callers.
. "${0%/*}/lib.sh"
need busybox unshare cc
need_applet ns-run
need_userns
export T

ok "the probe builds" cc -O1 -static -w -o "$T/nsprobe" "$tools/nsprobe.c"
sum=$(sha256sum <"$OCIBOX")

mkroot() {
	mkdir -p "$1/bin" "$1/etc" "$1/tmp"
	cp "$(command -v busybox)" "$1/bin/busybox"
	cp "$T/nsprobe" "$1/bin/nsprobe"
	for a in sh ls cat id env ps sleep true false kill stat mkdir mknod touch head wc dd mount unshare readlink grep \
		chroot df umount nc; do
		ln -s busybox "$1/bin/$a"
	done
	printf 'root:x:0:0::/root:/bin/sh\n' >"$1/etc/passwd"
	chmod 755 "$1/bin/busybox" "$1/bin/nsprobe"
	chmod 777 "$1" "$1/etc" "$1/tmp"
}
R=$T/root
mkroot "$R"

hostile() { # WHO RUNNER...
	who=$1
	shift

	# T40: no writable road back to the binary
	printf '#!/proc/self/exe\n' >"$R/evil"
	chmod 755 "$R/evil"
	run "$@" timeout 100 ns-run --cap-add ALL --security-opt seccomp=unconfined "$R" /evil
	isnt "$rc" 0 "$who: T40 a script that asks for /proc/self/exe gets nothing done"
	for f in /proc/1/exe /proc/self/exe; do
		run "$@" timeout 100 ns-run --cap-add ALL --security-opt seccomp=unconfined "$R" nsprobe overwrite $f
		isnt "$rc" 0 "$who: T40 $f cannot be written"
	done
	run "$@" timeout 100 ns-run --cap-add ALL --security-opt seccomp=unconfined --no-init "$R" nsprobe overwrite /proc/1/exe
	isnt "$rc" 0 "$who: T40 nor without init"
	run "$@" ns-run "$R" sh -c 'for p in /proc/[0-9]*; do readlink $p/exe; done'
	unlike "$out" 'ocibox|ns-run' "$who: T40 no process inside runs from the binary"
	run "$@" ns-run "$R" sh -c 'cat /proc/1/maps /proc/1/mountinfo'
	unlike "$out" 'ocibox' "$who: T40 nor maps it"
	is "$(sha256sum <"$OCIBOX")" "$sum" "$who: T40 the binary is what it was"

	# T41: descriptors and the working directory
	run "$@" sh -c 'exec 3</etc 5</etc/passwd 7</ 9<"$T"; ns-run "$T/root" ls /proc/self/fd'
	is "$(echo $out)" "0 1 2 3" "$who: T41 no descriptor comes in (3 is ls's own)"
	bad=
	for n in 3 4 5 6 7 8 9 10 20 64; do
		run "$@" sh -c 'exec 3</ 4</ 5</ 6</ 7</ 8</ 9</; ns-run --workdir /proc/self/fd/'$n' "$T/root" ls'
		[ "$rc" = 125 ] || bad="$bad $n:$rc"
	done
	is "$bad" "" "$who: T41 /proc/self/fd/N is no working directory"
	ln -sfn /proc/self/fd/7 "$R/sneaky"
	run "$@" sh -c 'exec 7</; ns-run --workdir /sneaky "$T/root" ls'
	rc_is 125 "$who: T41 nor through a link of the root"
	run "$@" ns-run --workdir /tmp/../../.. "$R" sh -c 'pwd; ls -d /proc/1/cwd/bin/nsprobe'
	like "$out" '^/$' "$who: T41 .. stops at the root"

	# T43: a root whose /dev, or what is in it, leads elsewhere
	mkdir -p "$T/victim"
	chmod 777 "$T/victim"
	for d in dev proc sys; do
		mkroot "$T/hostile-$d"
		ln -s "$T/victim" "$T/hostile-$d/$d"
		run "$@" ns-run "$T/hostile-$d" true
		rc_is 125 "$who: T43 T44 /$d is a link: refused"
		like "$err" "/$d of the root is a symbolic link" "$who: with the reason"
		rm "$T/hostile-$d/$d"
		echo >"$T/hostile-$d/$d"
		run "$@" ns-run "$T/hostile-$d" true
		rc_is 125 "$who: T43 T44 /$d is a file: refused"
		rm -r "$T/hostile-$d"
	done
	mkroot "$T/hostile"
	mkdir -p "$T/hostile/dev" "$T/hostile/proc/self" "$T/hostile/sys"
	ln -s "$T/victim" "$T/hostile/dev/pts"
	ln -s "$T/victim" "$T/hostile/dev/shm"
	mkfifo "$T/hostile/dev/console" "$T/hostile/dev/null" 2>/dev/null
	echo "CapEff: lie" >"$T/hostile/proc/self/status"
	mkdir -p "$T/hostile/proc/self/attr"
	run "$@" timeout 100 ns-run --tty "$T/hostile" sh -c 'stat -c %t:%T /dev/null; stat -fc %T /dev/shm /dev/pts; grep -c Seccomp:.2 /proc/self/status'
	is "$(printf '%s' "$out" | tr -d '\r')" "1:3
tmpfs
devpts
1" "$who: T42 T43 T44 what lies in /dev and /proc of the root is covered"
	is "$(ls -A "$T/victim")" "" "$who: nothing was made outside"
	rm -r "$T/hostile"

	# T45, T32: places to mount on, below links
	mkroot "$T/linked"
	ln -s "$T/victim" "$T/linked/link"
	ln -s ../../../../../../../../../../../../"$T/victim" "$T/linked/up"
	mkdir -p "$T/linked/$T"
	mkdir -m 777 "$T/linked/$T/victim"
	ln -s /host/x "$T/linked/etc/resolv.conf"
	mkdir "$T/linked/etc/hosts"
	for p in /link/a /up/b /link /up; do
		run "$@" ns-run -v "$T/nsprobe:$p/f" --tmpfs "$p/t" --workdir "$p/w" "$T/linked" sh -c "test -s $p/f && test -d $p/t && test -d $p/w"
		rc_is 0 "$who: T45 mounts and directories below $p work"
	done
	is "$(ls -A "$T/victim")" "" "$who: T45 inside the root"
	is "$(ls -A "$T/linked/$T/victim" | tr "\n" " ")" "a b f t w " "$who: T45 where the links lead there"
	net=$(stat -Lc %d:%i /proc/self/ns/net)
	echo nameserver >"$T/resolv"
	run "$@" env OCIBOX_NET="$net" OCIBOX_RESOLV_CONF="$T/resolv" ns-run "$T/linked" cat /etc/resolv.conf
	is "$out" nameserver "$who: T32 resolv.conf is a link: bound where it leads inside"
	run "$@" env OCIBOX_NET="$net" OCIBOX_HOSTS="$T/resolv" ns-run "$T/linked" true
	rc_is 125 "$who: T32 hosts is a directory: refused"
	run "$@" ns-run -v "$T/nsprobe:/tmp/../../../../$T/victim/x" "$T/linked" true
	rc_is 0 "$who: T45 .. in a target stays inside"
	ln -s loop "$T/linked/loop"
	run "$@" ns-run -v "$T/nsprobe:/loop/x" "$T/linked" true
	rc_is 125 "$who: T45 a loop of links is an error"
	is "$(ls -A "$T/victim")" "" "$who: T45 still nothing outside"

	# T05: the target is swapped while it is mounted on
	rm -rf "$T/linked/${T#/}"
	mkdir "$T/linked/a" "$T/linked/a/m"
	ln -s "$T/victim" "$T/linked/b"
	mkdir "$T/victim/m"
	echo safe >"$T/victim/m/keep"
	"$T/nsprobe" exchange "$T/linked/a" "$T/linked/b" &
	racer=$!
	i=0 wrong=
	while [ $i -lt 60 ]; do
		i=$((i + 1))
		"$@" ns-run -v "$T/vol:/a/m" --tmpfs /a/n "$T/linked" true >/dev/null 2>&1
		ls "$T/victim" >"$T/now"
		[ "$(cat "$T/now")" = m ] && [ "$(ls "$T/victim/m")" = keep ] || wrong=$(cat "$T/now")
	done
	{ kill $racer; wait $racer; } 2>/dev/null
	is "$wrong" "" "$who: T05 a target that is swapped for a link never leads out"
	rm -r "$T/victim/m" "$T/linked"

	# T47: what must not be read or written
	run "$@" ns-run "$R" sh -c 'for p in /proc/acpi /proc/asound /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do
			[ ! -e $p ] || ls -A $p; done
		for p in /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/timer_list /proc/timer_stats; do
			[ ! -e $p ] || head -c 1 $p; done'
	is "$out$err" "" "$who: T47 masked paths show nothing"
	run "$@" ns-run --cap-add ALL --security-opt seccomp=unconfined "$R" sh -c 'for p in /proc/sys/kernel/domainname /proc/sysrq-trigger /proc/sys/vm/swappiness /sys/kernel/mm/ksm/run /proc/irq/default_smp_affinity; do
			[ ! -e $p ] || { echo x >$p && echo "wrote $p"; }; done 2>/dev/null'
	is "$out" "" "$who: T47 read-only paths take nothing, with all capabilities"

	# T49: the caller's groups stay outside; T50, T51: who the user is
	for u in 4294967295 4294967296 -1 0x0 +0 ' 0' '0 ' 99999999999999999999 1000:4294967295 1000: : nobody0 '0:0:0' 1e3; do
		run "$@" timeout 100 ns-run --user "$u" "$R" id -u
		rc_is 125 "$who: T50 --user '$u' is refused"
	done
	mkroot "$T/pw"
	rm "$T/pw/etc/passwd"
	mkfifo "$T/pw/etc/passwd"
	run "$@" timeout 100 ns-run --user x "$T/pw" true
	rc_is 125 "$who: T51 etc/passwd is a fifo: no wait, no user"
	rm "$T/pw/etc/passwd"
	echo "x:x:0:0::/:/" >"$T/outside-passwd"
	ln -s "$T/outside-passwd" "$T/pw/etc/passwd"
	run "$@" timeout 100 ns-run --user x "$T/pw" true
	rc_is 125 "$who: T51 a link to a file of the host is not followed out"
	rm "$T/pw/etc/passwd"
	head -c 3000000 /dev/zero | tr '\0' x >"$T/pw/etc/passwd"
	run "$@" timeout 100 ns-run --user x "$T/pw" true
	rc_is 125 "$who: T51 a huge etc/passwd is refused"
	rm -r "$T/pw"

	# T53, T55: names
	long=$(head -c 100 /dev/zero | tr '\0' a)
	run "$@" ns-run --hostname "$long" "$R" true
	rc_is 125 "$who: T53 a host name that is too long"

	# T54: typing into the caller's terminal
	run "$@" ns-run "$R" nsprobe tiocsti
	is "$(printf '%s\n' "$out" | head -n 4 | cut -d: -f2 | sort -u)" " EPERM" "$who: T54 TIOCSTI and TIOCLINUX, with high bits, too"
	unlike "$out" '0x5401: EPERM' "$who: T54 other ioctls go through"
	run "$@" ns-run "$R" sh -c 'cut -d" " -f6,7 /proc/self/stat 2>/dev/null || busybox cut -d" " -f6,7 /proc/self/stat'
	like "$out" '^[0-9]+ 0$' "$who: T54 a session of its own, without a terminal"
	run "$@" ns-run "$R" nsprobe clone3
	is "$out" "clone3: ENOSYS" "$who: clone3 asks for clone"
	run "$@" ns-run "$R" nsprobe vsock
	like "$out" 'EPERM' "$who: no vsock"
	run "$@" ns-run "$R" nsprobe keyctl
	like "$out" 'EPERM' "$who: no keys"
	run "$@" ns-run "$R" nsprobe newcall
	is "$out" "newcall: ENOSYS" "$who: calls of the future do not exist"

	# T57: nothing that can be reached through a shared network namespace
	mkfifo -m 666 "$T/open"
	"$@" ns-run --network=host "$R" sh -c 'echo up; read -r line' <>"$T/open" >"$T/up" &
	pid=$!
	wait_for 60 test -s "$T/up"
	unlike "$(cut -c 50- /proc/net/unix)" '@.*(ocibox|ns-run)' "$who: T57 no abstract socket"
	# it ends by its input: $pid may be a shell that only waits for it
	echo >"$T/open"
	wait $pid
	rm -f "$T/open" "$T/up"

	# T84
	run "$@" ns-run "$R" sh -c 'dd if=/dev/zero of=/dev/shm/x bs=1M count=70 2>/dev/null || df -m /dev/shm | tail -n 1'
	like "$out" ' 64 +64 ' "$who: T84 /dev/shm holds 64 MiB"
}

mkdir -p "$T/vol"
if is_root; then
	hostile root
	run setpriv --groups 4242,4243 ns-run "$R" grep Groups /proc/self/status
	is "$(echo $out)" "Groups:" "T49 the caller's groups stay outside"

	run ns-run "$R" sh -c 'mknod /tmp/disk b 254 0; mknod /dev/disk b 254 0; mknod /dev/mem c 1 1; for d in /tmp/disk /dev/disk /dev/mem; do head -c 1 $d >/dev/null && echo "read $d"; done; rm -f /tmp/disk; test -b /dev/disk && echo made'
	is "$out" made "T59 device nodes can be made, not used"
	rm -f "$R/tmp/disk"
	run ns-run -v "$T/vol:/v" --tmpfs /t "$R" sh -c 'mknod /v/d c 1 5; mknod /t/d c 1 5; head -c 1 /v/d; head -c 1 /t/d; :'
	like "$err" '/v/d.*denied' "T59 not in a volume either"
	like "$err" '/t/d.*denied' "T59 nor in a tmpfs"
	run ns-run -v /dev/zero:/dev/mine "$R" sh -c 'head -c 3 /dev/mine | wc -c'
	is "$out" 3 "T59 one that is bound by name works"

	# T42: the host's nodes are looked at before they are bound
	run unshare -m sh -c 'mount -t tmpfs none /dev && for n in null zero full random urandom tty; do echo fake >/dev/$n; done; ns-run --userns "$T/root" true'
	rc_is 125 "T42 a file in place of the host's /dev/null is refused"
	like "$err" 'is not the device' "T42 with the reason"
	run unshare -m sh -c 'mount -t tmpfs none /dev && mknod /dev/null c 1 5; ns-run --userns "$T/root" true'
	rc_is 125 "T42 another device of that name, too"

	# T46
	cp "$OCIBOX" "$T/bin/setuid"
	chmod 4755 "$T/bin/setuid"
	run as_user "$T/bin/setuid" ns-run "$R" true
	rc_is 125 "T46 a setuid binary refuses to run"
	like "$err" 'setuid' "T46 and says why"
	rm "$T/bin/setuid"

	# out of a chroot
	if ldd "$OCIBOX" 2>/dev/null | grep -q "=> /"; then
		skip "this binary is not static" 4
	else
		mkroot "$T/jail"
		mkdir -p "$T/jail/proc" "$T/jail/dev" "$T/jail/inner"
		cp -a "$R/." "$T/jail/inner"
		cp "$OCIBOX" "$T/jail/bin/ocibox"
		echo secret >"$T/outside-file"
		run env -i PATH=/bin /usr/sbin/chroot "$T/jail" /bin/ocibox ns-run /inner /bin/ls /
		like "$out" '^etc$' "ns-run works in a chroot"
		run env -i PATH=/bin /usr/sbin/chroot "$T/jail" /bin/ocibox ns-run /inner /bin/cat /proc/self/mountinfo
		unlike "$out" ' /(home|tmp|var|run) ' "and nothing of the host is mounted there"
		is "$(printf '%s\n' "$out" | awk '$5 == "/"' | grep -c .)" 1 "one root"
		run unshare -m --propagation private sh -c 'mount --make-rshared / && cat /proc/self/mountinfo >"$T/before"
			env -i PATH=/bin /usr/sbin/chroot "$T/jail" /bin/ocibox ns-run /inner /bin/true && ns-run "$T/root" true &&
			diff "$T/before" /proc/self/mountinfo'
		rc_is 0 "what is mounted does not come out through shared mounts, nor out of the chroot"
	fi

	# all of it as an ordinary user
	hostile user as_user
else
	hostile self
fi
done_testing
