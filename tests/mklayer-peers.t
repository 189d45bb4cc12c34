#!/bin/sh
# Layers that mklayer makes, of a tree, of a difference and of an overlay's upper directory, as one image: umoci, containerd, docker, podman
# and GNU tar make the same tree of them, with what was deleted gone; podman runs it.
. "${0%/*}/lib.sh"
need_root
need python3 setfattr
need_applet mklayer unpack mkmanifest
cached tiny "$tools/mkimage" tiny || skip_all "no image"
tc=$tools/treecmp
HOME=$T/h XDG_DATA_HOME=$T/h/data
export HOME XDG_DATA_HOME
mkdir "$T/h"

# ---- the trees ----
long=$(printf 'long-%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24)
unpack -q "$cached" "$T/a" || exit
mkdir -p "$T/a/odd/gone/deep" "$T/a/odd/was-dir/d" "$T/a/odd/was-dir2" "$T/a/odd/anew/d" "$T/a/odd/opaque/d" "$T/a/odd/kept" "$T/a/odd/$long/$long"
(
	cd "$T/a/odd" || exit
	for f in gone/deep/f gone/f was-file was-dir/d/f was-dir2/f anew/f anew/d/f opaque/f opaque/d/f kept/f 'a "b' "$long/$long/f" "$(printf 'new\nline')" hl xattr caps; do
		echo "$f" >"$f"
	done
	printf z >"$(printf '\303\274ber')"
	ln hl hl2 && ln hl kept/hl3
	ln -s "$long/$long/f" longlink
	mkfifo fifo
	mknod null c 1 3 && mknod blk b 7 300 && chmod 640 null
	setfattr -n user.one -v 1 xattr && setfattr -n user.bin -v 0x003d0a00 xattr
	setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 caps
	chown 70000:3000000 xattr
	setfattr -n system.posix_acl_access -v 0x0200000001000600ffffffff020004004d00000004000400ffffffff10000400ffffffff20000400ffffffff xattr
	chmod 4755 kept/f && chmod 1777 kept && chmod 2750 "$long"
	truncate -s 300000 holes && echo end >>holes
) || exit
at() { find "$@" -exec touch -h -d @1700000000 {} +; }
at "$T/a"
cp -a "$T/a" "$T/b"
(
	cd "$T/b/odd" || exit
	rm -r gone was-file was-dir was-dir2 anew hl2 blk 'a "b' "$(printf 'new\nline')"
	mkdir was-file anew && echo dir >was-file/f && echo other >anew/g
	echo file >was-dir
	ln -s kept was-dir2
	ln kept/f new-link
	setfattr -n user.one -v 2 xattr
	chmod 700 kept
	rm ../etc/second
)
at "$T/b"
# the third layer is what is in an overlay's upper directory
cat >"$T/mounted" <<'END'
mkdir "$1/u" "$1/w" "$1/m" && mount -t overlay overlay -o "lowerdir=$1/b,upperdir=$1/u,workdir=$1/w" "$1/m" || exit 77
cd "$1/m/odd" || exit
rm -r opaque null && mkdir opaque && echo new >opaque/new
rm was-dir2 && mkdir was-dir2
rm ../etc/group
echo more >>holes
mv caps kept/caps
find "$1/m" -newermt @1700000001 -exec touch -h -d @1700000002 {} +
touch -d @1700000002 . .. ../etc opaque kept
cp -a "$1/m" "$1/c"
mklayer --lower "$1/b" "$1/m" | sha256sum >"$1/sum"
END
if unshare -m sh "$T/mounted" "$T"; then
	run mklayer --upper --lower "$T/b" --digestfile "$T/3.json" "$T/u"
	cp "$T/out" "$T/3"
	is "$(sha256sum <"$T/3")" "$(cat "$T/sum")" "--upper is the mounted tree's layer"
	gone="etc/second etc/group odd/gone odd/hl2 odd/blk odd/null odd/anew/f odd/anew/d odd/opaque/f odd/opaque/d odd/caps odd/was-file/.wh"
	three="--layer $T/3"
else
	skip "no overlay here"
	cp -a "$T/b" "$T/c"
	gone="etc/second odd/gone odd/hl2 odd/blk odd/anew/f odd/anew/d"
	three=
fi
mklayer --digestfile "$T/1.json" "$T/a" >"$T/1" && mklayer --lower "$T/a" "$T/b" >"$T/2" || exit
like "$(tar -tzf "$T/2")" 'odd/\.wh\.gone' "the second layer has whiteouts"
name=localhost/test/judged:1
mkmanifest -q --layer "$T/1" --layer "$T/2" $three --cmd '["/bin/sh"]' --env PATH=/bin -t $name >"$T/s.tar"
mkmanifest -q --layer "$T/1" --layer "$T/2" $three --cmd '["/bin/sh"]' --env PATH=/bin -o "$T/l:latest"

# judge DIR WHO [OPTION...]: is it the tree, and is all gone that was deleted?
judge() {
	_dir=$1 _who=$2
	shift 2
	ok "$_who: the same tree" "$tc" --mtime-seconds "$@" "$T/c" "$_dir"
	_left=
	for _g in $gone; do
		[ ! -e "$_dir/$_g" ] || _left="$_left $_g"
	done
	is "$_left" "" "$_who: what was deleted is gone"
}
run unpack -q "$T/l" "$T/x"
judge "$T/x" "unpack"

# ---- archivers: the first layer ----
mkdir "$T/tar"
tar -C "$T/tar" --xattrs --xattrs-include='*' -xpf "$T/1"
ok "GNU tar: the same tree" "$tc" --mtime-seconds "$T/a" "$T/tar"
if have bsdtar; then
	mkdir "$T/bsdtar"
	bsdtar -C "$T/bsdtar" -xpf "$T/1"
	ok "bsdtar: the same tree" "$tc" --mtime-seconds --no-root --ignore-xattr system.posix_acl_ "$T/a" "$T/bsdtar"
else
	skip "bsdtar is not here"
fi

# ---- umoci ----
if have umoci; then
	run umoci unpack --image "$T/l:latest" "$T/umoci"
	judge "$T/umoci/rootfs" umoci
else
	skip "umoci is not here" 2
fi

# serves CMD...: the server that bg started answers CMD; one that has ended is not waited for
answers() { "$@" || [ ! -e "/proc/$bg_pid/exe" ]; }
serves() { wait_for 120 answers "$@" && "$@" >/dev/null 2>&1; }

# ---- containerd ----
if have containerd ctr nsenter; then
	mkdir "$T/ctd" "$T/ctd/m"
	cat >"$T/ctd/c.toml" <<END
version = 2
root = "$T/ctd/root"
state = "$T/ctd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$T/ctd/sock"
[ttrpc]
  address = "$T/ctd/ttrpc"
END
	bg unshare -m containerd -c "$T/ctd/c.toml" >"$T/ctd/log" 2>&1
	ctr() { nsenter -t $bg_pid -m ctr -a "$T/ctd/sock" "$@"; }
	if serves ctr version; then
		for s in native overlayfs; do
			run ctr image import --snapshotter $s --base-name localhost/$s "$T/s.tar"
			rc_is 0 "ctr image import, $s"
			run ctr image mount --snapshotter $s --platform "linux/$(dpkg --print-architecture 2>/dev/null || echo amd64)" $name "$T/ctd/m"
			if [ "$rc" = 0 ]; then
				judge "/proc/$bg_pid/root$T/ctd/m" "containerd, $s" --no-root --no-nlink
				ctr image unmount --rm "$T/ctd/m" >/dev/null 2>&1 || nsenter -t $bg_pid -m umount "$T/ctd/m"
			else
				diag "$err"
				skip "ctr does not mount images of $s here" 2
			fi
		done
	else
		_show 5 <"$T/ctd/log"
		skip "containerd does not start here" 6
	fi
	bg_end
else
	skip "containerd is not here" 6
fi

# ---- docker ----
if have dockerd docker nsenter; then
	mkdir "$T/dk"
	echo '{}' >"$T/dk/c.json"
	for s in vfs overlay2; do
		# it has its containerd write stacks to TMPDIR when that is slow
		bg env TMPDIR="$T/dk" unshare -m dockerd --config-file "$T/dk/c.json" --data-root "$T/dk/root" --exec-root "$T/dk/exec" -p "$T/dk/pid" \
			-H "unix://$T/dk/sock" --storage-driver $s --iptables=false --ip6tables=false --bridge none --ip-forward=false \
			--ip-masq=false >"$T/dk/log" 2>&1
		if serves docker -H "unix://$T/dk/sock" version; then
			run docker -H "unix://$T/dk/sock" load -i "$T/s.tar"
			rc_is 0 "docker load, $s"
			run docker -H "unix://$T/dk/sock" create $name
			mkdir "$T/dk/$s"
			run sh -c 'docker -H "unix://$1/sock" export "$2" | tar -C "$1/$3" --xattrs --xattrs-include="*" -xpf -' sh "$T/dk" "$out" $s
			# what it puts into a container, and what its export leaves out
			judge "$T/dk/$s" "docker, $s" --no-root --no-dir-mtime --ignore-xattr user. --ignore-xattr system.posix_acl_ --missing-ok .dockerenv --missing-ok dev/console \
				--missing-ok dev/pts --missing-ok dev/shm --missing-ok etc/hostname --missing-ok etc/hosts --missing-ok etc/mtab --missing-ok etc/resolv.conf
		else
			_show 5 <"$T/dk/log"
			skip "dockerd does not start with $s here" 3
		fi
		bg_end
	done
else
	skip "docker is not here" 6
fi

# ---- podman ----
if [ ${#T} -gt 30 ]; then
	skip "podman takes no long names of directories: TMPDIR has one" 8
elif have podman; then
	mkdir "$T/pod"
	printf '[containers]\ndefault_ulimits=["nofile=1024:1024","nproc=1024:1024"]\n[engine]\ncgroup_manager="cgroupfs"\nevents_logger="none"\nlock_type="file"\n' >"$T/pod/conf"
	for s in vfs overlay; do
		# its mounts stay in a namespace of their own
		cat >"$T/pod/judge" <<END
pod() { CONTAINERS_CONF=$T/pod/conf podman --root "$T/pod/$s" --runroot "$T/pod/run-$s" --tmpdir "$T/pod/tmp-$s" --storage-driver=$s "\$@"; }
# crun refuses a hierarchy of both versions
umount -l /sys/fs/cgroup/unified 2>/dev/null
pod load -q <"$T/s.tar" || exit
m=\$(pod image mount $name) || exit
cp -a "\$m" "$T/pod/tree-$s"
pod image umount $name >/dev/null
pod run --rm --network none --cgroups disabled --security-opt seccomp=unconfined $name /bin/sh -c 'cat /odd/anew/g; test ! -e /etc/second; echo \$?' >"$T/pod/ran-$s"
exit 0
END
		run unshare -m sh "$T/pod/judge"
		rc_is 0 "podman load, $s"
		acl=
		[ $s = overlay ] || acl="--ignore-xattr system.posix_acl_"
		judge "$T/pod/tree-$s" "podman, $s" --no-root $acl
		if [ "$(wc -l <"$T/pod/ran-$s")" = 2 ]; then
			is "$(tr '\n' ' ' <"$T/pod/ran-$s")" "other 0 " "podman run, $s: a program in it sees that"
		else
			diag "$err"
			skip "podman does not run containers here"
		fi
	done
else
	skip "podman is not here" 8
fi

done_testing
