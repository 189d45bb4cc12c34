#!/bin/sh
# mklayer itself: what stands in a layer and how, options, refusals. Differences are in mklayer-diff.t.
. "${0%/*}/lib.sh"
need python3 jq setfattr
. "$tools/golden.sh"
need_applet mklayer
tc=$tools/treecmp

sha() { sha256sum | cut -d' ' -f1; }

golden "$T/golden" || skip_all "no user extended attributes here"

# ---- format 1 ----
run mklayer --owner 0 --group 0 --digestfile "$T/d" "$T/golden"
rc_is 0 "a whole directory"
cp "$T/out" "$T/golden.tgz"
is "$(sha <"$T/golden.tgz")" $want_gzip "format 1: the digest of the golden layer"
is "$(gzip -dc "$T/golden.tgz" | sha)" $want_tar "and its diff_id"
is "$(cat "$T/d")" '{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:'$want_gzip'","size":'"$(stat -c %s "$T/golden.tgz")"',"diffID":"sha256:'$want_tar'"}' \
	"--digestfile says all of it"
run mklayer --owner 0 --group 0 --compression-format none --digestfile "$T/d" "$T/golden"
is "$(sha <"$T/out")" $want_tar "no compression: the same archive"
is "$(jq -r '.mediaType, .digest == .diffID' "$T/d" | tr '\n' ' ')" "application/vnd.oci.image.layer.v1.tar true " "--digestfile of that"
is "$(tail -c 1024 "$T/out" | tr -d '\000' | wc -c)" 0 "the end of archive is there"

mkdir "$T/x"
ok "GNU tar reads it" tar -C "$T/x" --xattrs -xpf "$T/golden.tgz"
no_owner=
is_root || no_owner=--no-owner
ok "and gives the tree" "$tc" --mtime-seconds $no_owner "$T/golden" "$T/x"
is "$(tar -tf "$T/golden.tgz" | head -n 3 | tr '\n' ' ')" "./ dir/ dir/fifo " "names are relative, the root first, in the order of bytes"
is "$(tar -tvf "$T/golden.tgz" | sed -n 's/.*\(dir.link.*\)/\1/p')" "dir/link link to dir/file" "hard links go to the first name"

run mklayer "$T/x/empty"
cp "$T/out" "$T/empty.tgz"
ok "an empty directory: a layer" tar -tf "$T/empty.tgz"
run mklayer --lower "$T/x" "$T/x"
is "$(gzip -dc "$T/out" | tr -d '\000' | wc -c) $(gzip -dc "$T/out" | wc -c)" "0 1024" "nothing changed: the end of archive in one member"

# ---- the same bytes everywhere ----
same() {
	_what=$1
	shift
	run "$@"
	is "$rc $(sha <"$T/out")" "0 $want_gzip" "the same bytes: $_what"
}
same "another locale, time zone, umask" sh -c 'umask 077; LC_ALL=C.UTF-8 TZ=Pacific/Kiritimati exec mklayer --owner 0 --group 0 "$1"' sh "$T/golden"
if have taskset; then
	same "one processor" taskset -c "$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')" mklayer --owner 0 --group 0 "$T/golden"
else
	skip "no taskset"
fi
same "DIR with a slash, from elsewhere" sh -c 'cd /; exec mklayer --owner 0 --group 0 "$1/"' sh "$T/golden"
# a copy whose directories were filled in another order
(cd "$T/golden" && find . -depth | tac | sort -r | tar --xattrs --no-recursion -cf - -T -) | (mkdir "$T/copy" && cd "$T/copy" && tar --xattrs -xpf - 2>/dev/null)
find "$T/copy" -depth ! -name zero -exec touch -h -d @1700000000.25 {} +
touch -d @-5.0 "$T/copy/zero"
touch -d @1700000000 "$T/copy"
same "another order of names on the disk" mklayer --owner 0 --group 0 "$T/copy"
if is_root; then
	mkdir "$T/ext4" "$T/tmpfs" "$T/ovl"
	truncate -s 64M "$T/img"
	if mkfs.ext4 -q "$T/img" 2>/dev/null && mount -o loop "$T/img" "$T/ext4" 2>/dev/null; then
		cp -a "$T/golden" "$T/ext4/g"
		same "ext4" mklayer --owner 0 --group 0 "$T/ext4/g"
		umount "$T/ext4"
	else
		skip "no ext4 on a loop device"
	fi
	if mount -t tmpfs tmpfs "$T/tmpfs" && cp -a "$T/golden" "$T/tmpfs/g" && mkdir "$T/tmpfs/u" "$T/tmpfs/w" && touch -d @1700000000 "$T/tmpfs/u"; then
		same "tmpfs" mklayer --owner 0 --group 0 "$T/tmpfs/g"
		if mount -t overlay overlay -o "lowerdir=$T/golden,upperdir=$T/tmpfs/u,workdir=$T/tmpfs/w" "$T/ovl"; then
			same "overlay" mklayer --owner 0 --group 0 "$T/ovl"
			umount "$T/ovl"
		else
			skip "no overlay"
		fi
	else
		skip "no tmpfs with extended attributes" 2
	fi
	umount "$T/tmpfs" 2>/dev/null
else
	skip "mounts need root" 3
fi

# ---- options ----
run sh -c 'SOURCE_DATE_EPOCH=1600000000 mklayer "$1" | tar -tzv --utc --full-time -f - | grep -v zero | grep -vc "2020-09-13 12:26:40"' sh "$T/golden"
is "$out" 0 "SOURCE_DATE_EPOCH clamps times"
run sh -c 'SOURCE_DATE_EPOCH=1800000000 mklayer --owner 0 --group 0 "$1"' sh "$T/golden"
is "$(sha <"$T/out")" $want_gzip "and leaves earlier ones alone"
for e in soon @5; do
	run sh -c 'SOURCE_DATE_EPOCH=$2 mklayer "$1"' sh "$T/golden" $e
	rc_is 64 "SOURCE_DATE_EPOCH that is no number: $e"
done
run sh -c 'mklayer --owner 70000 --group 5 --mtime 1 "$1" | tar -tzv --numeric-owner --utc --full-time -f - | grep -vc "70000/5 .*1970-01-01 00:00:01"' sh "$T/golden"
is "$out" 0 "--owner, --group, --mtime"
run sh -c 'mklayer --prefix /opt/./app/ "$1" | tar -tzf - | head -n 2 | tr "\n" " "; mklayer --prefix opt/app "$1" | tar -tzvf - | sed -n "s/.* link to //p"' sh "$T/golden"
is "$out" "opt/app/ opt/app/dir/ opt/app/dir/file" "--prefix, of link targets too"
run mklayer --prefix ../x "$T/golden"
rc_is 64 "--prefix with .."
run sh -c 'mklayer --exclude "long*" --exclude dir/sub --exclude "*z*" "$1" | tar -tzf - | tr "\n" " "' sh "$T/golden"
is "$out" "./ dir/ dir/fifo dir/file dir/link dir/symlink $(printf 'dir/\\303\\274ber dir/\\377raw') empty/ holes large " "--exclude"
for o in "--compression-format xz" "--compression-level 10" "--compression-level 0" "--compression-format none --compression-level 1"; do
	run mklayer $o "$T/golden"
	rc_is 64 "$o"
	like "$err" '^mklayer: --compression-(level: (level 10 is not one of 1 to 9|0 is no level|no compression has no levels)|format: xz is not one of)' "and said why"
done
is "$(mklayer --help | grep -Eo '1 to [0-9] for (gzip|zstd)' | tr '\n' ' ')" "1 to 9 for gzip 1 to 4 for zstd " "--help says which there are"
for l in 1 2 3 4 5 6 7 8 9; do
	run sh -c 'mklayer --owner 0 --group 0 --compression-level $1 "$2" | gzip -dc | sha256sum | cut -d" " -f1' sh $l "$T/golden"
	is "$out" $want_tar "--compression-level $l"
done
run mklayer --stats --compression-format none "$T/golden"
sed "s/^[^{]*//" "$T/err" >"$T/stats"
is "$(jq -r '"\(.read > 2000000) \(.hashed) \(.compressed) \(.sent)"' "$T/stats")" "true $((2 * $(stat -c %s "$T/out"))) 0 $(stat -c %s "$T/out")" "--stats"
run mklayer
rc_is 64 "no operand"
run mklayer --platform linux/arm64 "$T/golden"
is "$rc $err" "64 mklayer: --platform goes with --lower-image" "an option that would mean nothing"
run mklayer "$T/nowhere"
rc_is 66 "no such directory"
run mklayer "$T/golden/zero"
isnt "$rc" 0 "a file for DIR"
if have script; then
	run script -qec "mklayer '$T/golden'" /dev/null
	like "$out" 'refusing to write an archive to a terminal' "a terminal gets no archive"
else
	skip "no script(1)"
fi

case $(mklayer --version) in
*+zstd-encode*)
	need zstd
	run mklayer --compression-format zstd --compression-level 5 "$T/golden"
	rc_is 64 "zstd, level 5"
	like "$err" '^mklayer: --compression-level: level 5 is not one of 1 to 4' "and said why"
	for l in 1 2 3 4; do
		run sh -c 'mklayer --owner 0 --group 0 --compression-format zstd --compression-level $1 "$2" | zstd -dcq | sha256sum | cut -d" " -f1' sh $l "$T/golden"
		is "$out" $want_tar "zstd, level $l"
	done
	same_zstd=$(mklayer --owner 0 --group 0 --compression-format zstd --digestfile "$T/d" "$T/golden" | sha)
	is "$same_zstd" cf9019d52621e8d9c8dc9c0c559ab2b686948819cbd0ca823e9e284827b4fc13 "format 1: the digest of the golden layer with zstd"
	is "$(jq -r .mediaType "$T/d")" application/vnd.oci.image.layer.v1.tar+zstd "--digestfile of that"
	;;
*)
	run mklayer --compression-format zstd "$T/golden"
	rc_is 64 "no zstd in this build"
	skip "no zstd in this build" 7
	;;
esac

# ---- refusals: by name, and never a whole archive ----
# ---- owner and time as tar and touch take them ----
mkdir "$T/om"
echo x >"$T/om/f"
for o in 7 +7 root:7 :7; do
	is "$(mklayer --owner "$o" --group "$o" "$T/om" | tar -tvzf - --numeric-owner | awk '{ print $2 }' | sort -u)" 7/7 "--owner and --group $o"
done
for o in root 1000:100 0x7 -1 "" 4294967295 '7 '; do
	run mklayer --owner "$o" "$T/om"
	rc_is 64 "--owner '$o'"
done
run mklayer --group staff "$T/om"
like "$err" '--group: staff is no number, and a layer has no names' "which is told"
for t in 1704096000 @1704096000 2024-01-01T08:00:00Z 2024-01-01T09:30:00.9+01:30 "2024-01-01 08:00" "2024-01-01 08:00:00"; do
	is "$(TZ=Asia/Tokyo mklayer --mtime "$t" "$T/om" | tar -tvzf - --utc --full-time | awk '{ print $4, $5 }' | sort -u)" "2024-01-01 08:00:00" "--mtime $t"
done
for t in 1969-12-31 1900-02-28; do
	is "$(mklayer --mtime "$t" "$T/om" | tar -tvzf - --utc --full-time | awk '{ print $4, $5 }' | sort -u)" "$t 00:00:00" "--mtime $t"
done
for t in yesterday -1 2024-02-30 ""; do
	run mklayer --mtime "$t" "$T/om"
	rc_is 64 "--mtime '$t'"
done

broken() { # NAME STATUS PATTERN
	rc_is "$2" "$1 is refused"
	like "$err" "$3" "by name"
	cp "$T/out" "$T/broken"
	nok "what was written is no whole archive" tar -tf "$T/broken"
}
mkdir -p "$T/r/d"
echo x >"$T/r/d/.wh.gone"
run mklayer "$T/r"
broken "T15 T16 a name that begins with .wh." 65 'mklayer: .*d/\.wh\.gone: '
rm "$T/r/d/.wh.gone"
mkdir "$T/r/d/.wh..wh..opq"
run mklayer --compression-format none "$T/r"
broken "T15 T16 a directory of such a name" 65 'd/\.wh\.\.wh\.\.opq'
rmdir "$T/r/d/.wh..wh..opq"
if setfattr -n user.a=b -v 1 "$T/r/d"; then
	run mklayer "$T/r"
	broken "an extended attribute that PAX cannot say" 65 'd/?: tar cannot hold the extended attribute user.a=b'
	setfattr -x user.a=b "$T/r/d"
else
	skip "no such extended attribute here" 3
fi
setfattr -n user.overlay.opaque -v y "$T/r/d"
run sh -c 'mklayer "$1" | gzip -dc | grep -ac overlay' sh "$T/r"
is "$out" 0 "T17 overlayfs's own attributes stay out"
(cd "$T/r/d" && python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")')
run mklayer "$T/r"
rc_is 0 "a socket"
like "$err" 'socket left out: d/sock' "is left out, and told"
run mklayer -q "$T/r"
is "$err" "" "-q: not told"
rm "$T/r/d/sock"
if is_root && mknod "$T/r/d/gone" c 0 0 2>/dev/null; then
	run mklayer "$T/r"
	broken "T17 a whiteout of overlayfs without --upper" 65 'd/gone: .*--upper'
	rm "$T/r/d/gone"
	mknod "$T/r/d/null" c 1 3 && mknod "$T/r/d/blk" b 7 300
	run sh -c 'mklayer "$1" | tar -tzvf - | sed -n "s/^\([cb]\).* \([0-9]*,[0-9]*\) .*/\1 \2/p" | tr "\n" " "' sh "$T/r"
	is "$out" "b 7,300 c 1,3 " "devices"
	rm "$T/r/d/null" "$T/r/d/blk"
else
	skip "devices need root" 4
fi
run as_user sh -c 'mkdir -p "$HOME/r"; echo x >"$HOME/r/secret"; echo y >"$HOME/r/a"; chmod 000 "$HOME/r/secret"; mklayer "$HOME/r"'
broken "a file that cannot be read" 77 'secret: '
# a reader that is slow lets the file change meanwhile
head -c 4000000 /dev/urandom >"$T/r/grows"
run sh -c 'mklayer --compression-format none "$1" | { head -c 100000 >/dev/null; echo more >>"$1/grows"; cat >/dev/null; }' sh "$T/r"
like "$err" 'grows: .*changed while it was read|grows: it changed' "a file that changes while it is read"
head -c 4000000 /dev/urandom >"$T/r/grows"
run sh -c 'mklayer --compression-format none "$1" | { head -c 100000 >/dev/null; truncate -s 1000 "$1/grows"; cat >"$2"; }' sh "$T/r" "$T/broken"
like "$err" 'grows: .*shorter' "a file that shrinks"
rm "$T/r/grows"
run sh -c 'mklayer "$1" >/dev/full' sh "$T/golden"
rc_is 73 "no room for the output"

# ---- capabilities, ACLs ----
if is_root && have setcap getfacl setfacl; then
	mkdir "$T/caps"
	echo x >"$T/caps/tool"
	setcap cap_net_raw+ep "$T/caps/tool"
	setfacl -m u:77:r-x,g:88:rwx "$T/caps/tool"
	setfacl -d -m u:77:rwx "$T/caps"
	run sh -c 'mklayer "$1" >"$2" && "$3" "$4" "$2" && unpack -q "$4" "$5" && "$6" --mtime-seconds "$1" "$5"' sh "$T/caps" "$T/caps.tgz" "$tools/layerimage" \
		"$T/caps.l" "$T/caps.u" "$tc"
	rc_is 0 "capabilities and ACLs arrive"
	is "$(gzip -dc "$T/caps.tgz" | grep -ao 'SCHILY.xattr.[a-z._]*=' | tr '\n' ' ')" \
		"SCHILY.xattr.system.posix_acl_default= SCHILY.xattr.security.capability= SCHILY.xattr.system.posix_acl_access= " "as their attributes, sorted"
	# version 3, whose namespace has another root
	setfattr -n security.capability -v 0x010000030020000000000000000000000000000060ea0000 "$T/caps/tool"
	run mklayer "$T/caps"
	broken "T17 a capability of another user namespace" 65 'tool: its security.capability belongs to another user namespace'
else
	skip "capabilities and ACLs need root" 5
fi

# ---- the way back ----
run sh -c '"$1" "$2" "$3" && unpack -q "$2" "$4" && "$5" --mtime-seconds $6 "$7" "$4"' sh "$tools/layerimage" "$T/l" "$T/golden.tgz" "$T/u" "$tc" "$no_owner" "$T/golden"
rc_is 0 "unpack gives the tree"
if is_root && have umoci; then
	umoci unpack --image "$T/l:latest" "$T/umoci" >/dev/null 2>&1
	ok "umoci as well" "$tc" --mtime-seconds --no-root "$T/golden" "$T/umoci/rootfs"
else
	skip "no umoci"
fi

# ---- where it goes ----
mkdir "$T/self"
echo a >"$T/self/a"
run sh -c 'cd "$1" && mklayer . >layer.gz && tar -tzf layer.gz | tr "\n" " "' sh "$T/self"
is "$rc $out" "0 ./ a " "a layer that is written into the directory does not hold itself"
is "$err" "mklayer: the layer itself left out: layer.gz" "which is told"
mkdir "$T/some" "$T/gone"
echo a >"$T/some/a"
run sh -c 'mklayer "$1" >&-' sh "$T/some"
isnt "$rc" 0 "a closed standard output is an error"
like "$err" '^mklayer: standard output: Bad file descriptor' "which is told"
run sh -c 'mklayer --digestfile "$1/none/x" "$2"' sh "$T" "$T/some"
rc_is 73 "a digest file in no directory cannot be created"
run mklayer --compression-level 99 "$T/some"
rc_is 64 "a level that there is not"
like "$err" '^mklayer: --compression-level: level 99 is not one of 1 to 9' "names its option"
: >"$T/gone/.wh.x"
if [ -e /dev/full ]; then
	run sh -c 'mklayer "$1" >/dev/full' sh "$T/gone"
	rc_is 65 "a tree that is no layer, and no room"
	like "$err" "^mklayer: $T/gone: .*\\.wh\\.x" "tells of the tree"
else
	skip "no /dev/full" 2
fi

done_testing
