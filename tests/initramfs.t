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
done_testing
