#!/bin/sh
# What of the binaries for other machines can be run under qemu-user: of aarch64's its start, its unit tests, and of that for
# 32 bits (arm) and riscv64, too, what writes and reads layers: the same bytes.
. "${0%/*}/lib.sh"
cd "$top" || exit 1
. "$tools/golden.sh"
sha() { sha256sum | cut -d' ' -f1; }
# there MACHINE: its binary can be run; a missing one that CROSS_CHECK names is a failure
there() {
	why=
	# shellcheck disable=SC3013 # dash and busybox have -nt
	[ ! "$top/ocibox" -nt "$theirs" ] || why="its binary is older than the one here"
	[ -x "$theirs" ] || why="no binary (make CROSS=$1 all unit, make cross-layers)"
	have "$qemu" || why="no $qemu"
	[ -n "$why" ] || return 0
	case " ${CROSS_CHECK:-} " in
	*" $1 "*) fail "$1: $why" ;;
	*) skip "$1: $why" ;;
	esac
	return 1
}
has() { $qemu "$theirs" --list | grep -qx "$1"; }

golden "$T/golden" 2>/dev/null || rm -rf "$T/golden"
# What only 64 bits can say: a time after 2038, a length over 2 GiB (of which the first bytes are looked at).
mkdir "$T/wide" "$T/long"
echo late >"$T/wide/late"
touch -d @8589934597 "$T/wide/late" "$T/wide"
truncate -s 3G "$T/long/holes"
touch -d @7 "$T/long/holes" "$T/long"
mkdir "$T/tree"
echo file >"$T/tree/file"
tar -C "$T/tree" -cf "$T/layer.tar" .
! have python3 busybox || cached tiny "$tools/mkimage" tiny

# whole: all applets and the unit tests
whole() {
	like "$(file -b "$theirs" 2>/dev/null || readelf -h "$theirs")" "$1" "it is for another machine"
	is "$($qemu "$theirs" --list)" "$("$OCIBOX" --list)" "it has the same applets"
	like "$($qemu "$theirs" --version)" '\+gzip-zlib' "and zlib, for igzip is for x86-64"
	for a in $("$OCIBOX" --list); do
		ok "$a --help runs" $qemu "$theirs" "$a" --help
	done

	find "$o/tests/unit" -type f -perm -100 | sort >"$T/units"
	# shellcheck disable=SC2016 # expanded by the inner shell
	xargs -P "$(nproc)" -n 1 sh -c '$0 "$2" >"$1/${2##*/}.tap" 2>&1; echo "status $?" >>"$1/${2##*/}.tap"' \
		$qemu "$T/tmp" <"$T/units"
	while read -r t; do
		is "$(grep '^not ok\|^status' "$T/tmp/${t##*/}.tap" | head -n 5)" "status 0" "unit test ${t##*/}"
		rm -f "$T/tmp/${t##*/}.tap"
	done <"$T/units"
}

# layers MACHINE: the same bytes and the same tree as here
layers() {
	if has unpack && [ "${cached:-}" ]; then
		ok "$1: unpack of a layout" $qemu "$theirs" unpack "$cached:latest" "$T/$1"
		[ -d "$T/ours" ] || ok "here as well" "$OCIBOX" unpack "$cached:latest" "$T/ours"
		ok "$1: gives the same tree" "$tools/treecmp" "$T/ours" "$T/$1"
	fi
	if has mklayer; then
		if [ -d "$T/golden" ]; then
			is "$($qemu "$theirs" mklayer --owner 0 --group 0 "$T/golden" | sha)" "$want_gzip" "$1: the golden layer"
			is "$($qemu "$theirs" mklayer --owner 0 --group 0 --compression-format none "$T/golden" | sha)" "$want_tar" \
				"$1: and its diff_id"
		fi
		for f in gzip zstd none; do
			a=$("$OCIBOX" mklayer --owner 0 --group 0 --compression-format $f "$top/libcommon" | sha)
			run sh -c '"$@" | sha256sum' sh $qemu "$theirs" mklayer --owner 0 --group 0 --compression-format $f "$top/libcommon"
			is "${out%% *}" "$a" "$1: mklayer makes the same bytes: $f"
		done
		is "$($qemu "$theirs" mklayer --compression-format none "$T/wide" | sha)" \
			"$("$OCIBOX" mklayer --compression-format none "$T/wide" | sha)" "$1: a time after 2038"
		is "$($qemu "$theirs" mklayer --compression-format none "$T/long" 2>/dev/null | head -c 65536 | sha)" \
			"$("$OCIBOX" mklayer --compression-format none "$T/long" 2>/dev/null | head -c 65536 | sha)" "$1: a file of 3 GiB"
	fi
	if has mkmanifest; then
		for b in "$OCIBOX" "$qemu $theirs"; do
			$b mkmanifest -q --layer "$T/layer.tar" --platform linux/amd64 --env A=1 --label b=c --created 7 >"$T/made.tar"
			$b mkmanifest -q --squash -b "$T/made.tar" | sha
		done >"$T/sums"
		is "$(sort -u "$T/sums" | wc -l)" 1 "$1: mkmanifest makes the same image, --squash the same layer"
	fi
}

for cross in aarch64-linux-gnu arm-linux-gnueabihf riscv64-linux-gnu; do
	qemu=qemu-${cross%%-*}-static o=$top/build/$cross
	[ -x "$o/ocibox" ] || o=$top/build/layers/$cross
	theirs=$o/ocibox
	there $cross || continue
	[ $cross != aarch64-linux-gnu ] || whole 'aarch64|AArch64'
	layers $cross
done

done_testing
