#!/bin/sh
# Random layers: what the kernel shows of -l's directories is the tree that unpack makes of the same image. The two come
# about in different ways (deleting, and overlayfs' merging), so that each judges the other.
. "${0%/*}/lib.sh"
need_root
need python3 mount unshare
need_applet unpack
seeds=${UNPACK_SEEDS:-100}
"$tools/mkrandom" --plain "$T/img" "$seeds"
cat >"$T/one.sh" <<'END'
unpack -q "$1" m 2>e1
a=$?
lower=$(unpack -q -l "$1" l 2>e2)
b=$?
if [ $a != $b ]; then
	echo "unpack ends with $a, -l with $b: $(cat e1 e2)"
elif [ $a = 0 ]; then
	mkdir mnt below
	mount -t overlay -o "lowerdir=$lower:$PWD/below" none mnt && "$2" --no-root --no-nlink --no-links m mnt 2>&1
	umount mnt
	echo good >>count
fi
rm -rf m l mnt below
END
cat >"$T/all.sh" <<'END'
mount -t tmpfs none "$1/w" && cd "$1/w" || exit 99
i=0
while [ $i -lt "$2" ]; do
	sh "$1/one.sh" "$1/img/$i" "$3" >out || true
	[ ! -s out ] || { echo "seed $i:"; head -n 5 out; }
	i=$((i + 1))
done
[ "$(wc -l <count)" -ge $(($2 / 4)) ] || echo "too few of them are well formed: $(wc -l <count)"
END
mkdir "$T/w"
run unshare -m sh "$T/all.sh" "$T" "$seeds" "$tools/treecmp"
if [ "$rc" = 99 ]; then skip_all "no tmpfs can be mounted"; fi
is "$out" "" "$seeds random images: mounted layers and unpacked trees are the same (T15 T16)"

# what umoci makes of them, where it can: it refuses hard links that an entry has replaced or taken away meanwhile
if have umoci; then
	i=0 same=0
	while [ $i -lt "$seeds" ]; do
		if umoci raw unpack --image "$T/img/$i:latest" "$T/umoci" >/dev/null 2>&1; then
			if unpack -q "$T/img/$i" "$T/ours" 2>"$T/diff" && "$tools/treecmp" --no-dir-mtime "$T/umoci" "$T/ours" >"$T/diff" 2>&1; then
				same=$((same + 1))
			else
				echo "seed $i:" && head -n 5 "$T/diff"
			fi
		fi
		rm -rf "$T/umoci" "$T/ours"
		i=$((i + 1))
	done >"$T/all"
	is "$(cat "$T/all")" "" "and umoci makes the same of them (T15)"
	ok "of enough of them: $same" test "$same" -ge $((seeds / 4))
else
	skip "no umoci" 2
fi
done_testing
