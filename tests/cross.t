#!/bin/sh
# What of the binary for another machine can be run under qemu-user: its start, its unit tests, its
# fuzz corpora, and unpacking an image.
. "${0%/*}/lib.sh"

cross=aarch64-linux-gnu qemu=qemu-aarch64-static
o=$top/build/$cross
[ -x "$o/ocibox" ] || skip_all "no binary for $cross (make CROSS=$cross all unit)"
# shellcheck disable=SC3013 # dash and busybox have -nt
[ ! "$top/ocibox" -nt "$o/ocibox" ] || skip_all "the binary for $cross is older than the one here (make CROSS=$cross all unit)"
need $qemu
cd "$top" || exit 1

like "$(file -b "$o/ocibox" 2>/dev/null || readelf -h "$o/ocibox")" 'aarch64|AArch64' "it is for another machine"
is "$($qemu "$o/ocibox" --list)" "$("$OCIBOX" --list)" "it has the same applets"
like "$($qemu "$o/ocibox" --version)" '\+gzip-zlib' "and zlib, for igzip is for x86-64"
for a in $("$OCIBOX" --list); do
	ok "$a --help runs" $qemu "$o/ocibox" "$a" --help
done

for t in "$o"/tests/unit/*; do
	case $t in *.o | *.d) continue ;; esac
	[ -x "$t" ] || continue
	run $qemu "$t"
	bad=$(printf '%s\n' "$out" | grep '^not ok' | head -n 5)
	is "$rc $bad" "0 " "unit test ${t##*/}"
done

if "$OCIBOX" --list | grep -qx unpack; then
	have python3 busybox && cached tiny "$tools/mkimage" tiny
	ok "unpack of a layout" $qemu "$o/ocibox" unpack "$cached:latest" "$T/theirs"
	ok "here as well" "$OCIBOX" unpack "$cached:latest" "$T/ours"
	ok "gives the same tree" diff -r --no-dereference "$T/ours" "$T/theirs"
fi

if "$OCIBOX" --list | grep -qx mklayer; then
	for f in gzip zstd none; do
		a=$("$OCIBOX" mklayer --owner 0 --group 0 --compression-format $f "$top/libcommon" | sha256sum)
		run sh -c '"$@" | sha256sum' sh $qemu "$o/ocibox" mklayer --owner 0 --group 0 --compression-format $f "$top/libcommon"
		is "$out" "$a" "mklayer makes the same bytes: $f"
	done
fi

if "$OCIBOX" --list | grep -qx mkmanifest; then
	mkdir "$T/tree"
	echo file >"$T/tree/file"
	tar -C "$T/tree" -cf "$T/layer.tar" .
	for b in "$OCIBOX" "$qemu $o/ocibox"; do
		$b mkmanifest -q --layer "$T/layer.tar" --platform linux/amd64 --env A=1 --label b=c --created 7 >"$T/made.tar"
		$b mkmanifest -q --squash -b "$T/made.tar" | sha256sum
	done >"$T/sums"
	is "$(sort -u "$T/sums" | wc -l)" 1 "mkmanifest makes the same image, --squash the same layer"
fi

done_testing
