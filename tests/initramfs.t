#!/bin/sh
# unpack and ns-run in a bare root, as in an initramfs: nothing but the binary; no /proc, /sys, /dev, /dev/shm, /tmp, no
# /etc, a read-only root, a tmpfs as the target.
. "${0%/*}/lib.sh"
need_root
need python3 unshare
need_applet unpack
cached tiny "$tools/mkimage" tiny || skip_all "no image"
img=$cached
unpack -q "$img" "$T/want"

mkdir "$T/root" "$T/root/bin" "$T/root/new" "$T/root/img"
cp "$OCIBOX" "$T/root/bin/ocibox"
# a sanitizer's build is not static
"$OCIBOX" --version >/dev/null 2>&1
if ldd "$OCIBOX" 2>/dev/null | grep -q '=> /'; then skip_all "this binary is not static"; fi
cp "$(command -v busybox || echo /bin/busybox)" "$T/root/bin/busybox" 2>/dev/null || skip_all "busybox-static is not here"
cp -R "$img/." "$T/root/img"
tar -C "$img" -cf "$T/root/image.tar" oci-layout index.json blobs

# in_root COMMANDS: as its first process, by busybox' shell; the tree of /new is copied out as $T/got for the judge
cat >"$T/enter" <<'END'
set -e
root=$1
mount --bind "$root" "$root"
mount -t tmpfs none "$root/new"
mount -o remount,bind,ro "$root"
rm -rf "$3" && mkdir "$3"
set +e
env -i /usr/sbin/chroot "$root" /bin/busybox sh -c "$2"
st=$?
cp -a "$root/new/." "$3/"
exit $st
END
in_root() { run_in unshare -m --propagation private sh "$T/enter" "$T/root" "$1" "$T/got"; }

in_root '/bin/ocibox unpack /img /new/root' </dev/null
rc_is 0 "a layout, to a directory on tmpfs"
ok "the same tree" "$tools/treecmp" "$T/want" "$T/got/root"
in_root '/bin/ocibox unpack /image.tar /new' </dev/null
rc_is 0 "a stream file, into the mount point"
ok "the same tree" "$tools/treecmp" --no-root "$T/want" "$T/got"
in_root '/bin/ocibox unpack - /new/root' <"$T/root/image.tar"
rc_is 0 "a stream"
ok "the same tree" "$tools/treecmp" "$T/want" "$T/got/root"
in_root '/bin/ocibox unpack -b /img /new/b' </dev/null
rc_is 0 "a bundle"
ok "has its config" test -s "$T/got/b/config.json"
in_root '/bin/ocibox unpack /img /nowhere' </dev/null
like "$rc" '^(71|73|77)$' "the root is read-only, and that is said"
like "$err" 'unpack: .*nowhere' "by the name"

if [ -e "$T/bin/ns-run" ]; then
	in_root '/bin/ocibox unpack /img /new/root && /bin/ocibox ns-run /new/root /bin/sh -c "echo in \$(cat /etc/second); test -d /proc/1 && echo proc; exit 7"' </dev/null
	rc_is 7 "ns-run in a bare root"
	is "$out" "in layer 2
proc" "runs, with a /proc of its own"
	in_root '/bin/ocibox unpack -b /img /new/b && /bin/ocibox ns-run -b /new/b /bin/true' </dev/null
	rc_is 0 "ns-run -b in a bare root"
else
	skip "no ns-run in this binary" 3
fi

# The kernel's first root, as after booting: it is no mount on another one, so it cannot be changed by pivot_root(2).
ok "the initramfs is played" cc -O1 -static -w -o "$T/bootroot" "$tools/bootroot.c"
booted() { run "$T/bootroot" "$T/root" "$1"; }
booted :
if [ "$rc" = 77 ]; then
	skip "the kernel's first root is out of reach here: $err" 12
elif [ ! -e "$T/bin/ns-run" ]; then
	skip "no ns-run in this binary" 12
else
	mount -t tmpfs none "$T/root/new"
	booted '"$1/bin/ocibox" unpack "$1/img" "$1/new/root"'
	rc_is 0 "unpack in a booted initramfs"
	ok "the same tree" "$tools/treecmp" "$T/want" "$T/root/new/root"
	booted '"$1/bin/ocibox" ns-run "$1/new/root" /bin/sh -c "echo in \$(cat /etc/second); ls -d /obt* /proc/1 /dev/null; wc -l </proc/mounts; exit 7"'
	rc_is 7 "ns-run in a booted initramfs"
	like "$out" "^in layer 2" "runs in its root"
	like "$out" "^/proc/1$" "with a /proc of its own"
	like "$out" "^/dev/null$" "and a /dev"
	unlike "$out" "^/obt" "sees nothing of the initramfs"
	booted '"$1/bin/ocibox" ns-run --userns "$1/new/root" /bin/sh -c "exit 5"'
	rc_is 125 "a user namespace needs a /proc"
	like "$err" "/proc is not mounted" "which is said"
	ok "the probe builds" cc -O1 -static -w -o "$T/root/new/root/bin/nsprobe" "$tools/nsprobe.c"
	booted '"$1/bin/ocibox" ns-run "$1/new/root" /bin/nsprobe climb'
	like "$out" "^etc$" "T42 climbing out of a chroot ends at the root of the container"
	unlike "$out" "^obt" "T42 not in the initramfs"
	umount "$T/root/new"
fi
done_testing
