#!/bin/sh
# mklayer --lower and --upper: what is in the layer, in which order, and that it is the same layer however the difference was found.
# shellcheck disable=SC2034 # for lib.sh
in_memory=1
. "${0%/*}/lib.sh"
need python3 setfattr
need_applet mklayer unpack
seeds=${MKLAYER_SEEDS:-30}

names() { gzip -dc "$T/out" | tar -tf - | tr '\n' ' '; }
at() { find "$@" -exec touch -h -d @1700000000 {} +; }
is_root || setpriv --version >/dev/null 2>&1 || skip_all "no setpriv"

# ---- what is there ----
mkdir -p "$T/a/etc/deep/er" "$T/a/same/d" "$T/a/gone/d" "$T/a/was-dir/d" "$T/a/meta"
for f in etc/deep/er/f etc/zz same/d/f gone/d/f was-dir/d/f was-file meta/f big 'odd "n'; do echo "$f" >"$T/a/$f"; done
ln "$T/a/etc/zz" "$T/a/same/linked"
ln -s f "$T/a/same/d/l"
at "$T/a"
cp -a "$T/a" "$T/b"
run mklayer --lower "$T/a" "$T/b"
is "$rc $(names)" "0 " "a copy: nothing"
echo F >"$T/b/etc/deep/er/f"
rm -r "$T/b/gone" "$T/b/was-dir" "$T/b/was-file" "$T/b/odd \"n"
mkdir "$T/b/was-file"
echo x >"$T/b/was-dir"
chmod 700 "$T/b/meta"
echo bIg >"$T/b/big"
at "$T/b"
run mklayer --lower "$T/a" "$T/b"
is "$(names)" "./ .wh.gone .wh.odd \"n big etc/ etc/deep/ etc/deep/er/ etc/deep/er/f meta/ was-dir was-file/ " \
	"what changed, with its directories; contents of the same size and time are compared"
touch -d @1700000000.9 "$T/b/same/d/f"
run mklayer --lower "$T/a" "$T/b"
unlike "$(names)" same "times are compared to the second"
touch -d @1700000001 "$T/b/same/d/f"
run mklayer --lower "$T/a" "$T/b"
like "$(names)" same/d/f "and then differ"
run mklayer --mtime 1 --lower "$T/a" "$T/b"
unlike "$(names)" same/d "--mtime: times are not compared"
touch -d @1700000000 "$T/b/same/d/f"
run mklayer --exclude gone --exclude big --lower "$T/a" "$T/b"
unlike "$(names)" 'gone|big' "--exclude: neither entry nor whiteout"
setfattr -n user.x -v 1 "$T/b/same/d/f"
run mklayer --lower "$T/a" "$T/b"
like "$(names)" same/d/f "extended attributes are compared"
setfattr -x user.x "$T/b/same/d/f"
run mklayer --prefix same --lower "$T/a" "$T/b/same"
is "$(names)" "" "--prefix: compared with that place"
run mklayer --prefix not/there --lower "$T/a" "$T/b/same"
is "$(names)" "not/there/ not/there/d/ not/there/d/f not/there/d/l not/there/linked " "which may not be there"
run mklayer --lower "$T/nowhere" "$T/b"
rc_is 66 "no such --lower"

# ---- hard links: all names of an inode, or none ----
cp -a "$T/a" "$T/c"
ln "$T/c/same/linked" "$T/c/new"
at "$T/c"
run mklayer --lower "$T/a" "$T/c"
is "$(names)" "./ etc/ etc/zz new same/ same/linked " "one more name: all are in the layer"
is "$(gzip -dc "$T/out" | tar -tvf - | sed -n 's/.* link to //p' | tr '\n' ' ')" "etc/zz etc/zz " "linked to the first"
rm "$T/c/new"
cp -a "$T/c/etc/zz" "$T/c/x"
mv "$T/c/x" "$T/c/etc/zz"
at "$T/c"
run mklayer --lower "$T/a" "$T/c"
is "$(names)" "./ etc/ etc/zz same/ same/linked " "names that came apart"
rm "$T/c/etc/zz"
at "$T/c"
run mklayer --lower "$T/a" "$T/c"
is "$(names)" "./ etc/ etc/.wh.zz " "one name less: the others stay"
run mklayer "$T/c/same"
unlike "$(gzip -dc "$T/out" | tar -tvf -)" 'link to' "names outside do not count"

# ---- an image for the tree before ----
run mklayer "$T/a"
cp "$T/out" "$T/a.tgz"
"$tools/layerimage" "$T/img" "$T/a.tgz"
run mklayer --lower-image "$T/img" "$T/a"
is "$rc $(names)" "0 " "--lower-image: nothing changed"
for t in b c; do
	run mklayer --lower "$T/a" "$T/$t"
	cp "$T/out" "$T/want"
	run mklayer --lower-image "$T/img" "$T/$t"
	is "$(sha256sum <"$T/out")" "$(sha256sum <"$T/want")" "--lower-image: the same layer as --lower of what it unpacks to"
done
run sh -c 'tar -C "$1" -cf - oci-layout index.json blobs | mklayer --lower-image - --prefix same "$2/same"' sh "$T/img" "$T/b"
is "$rc $(names)" "0 " "--lower-image - with --prefix"
run mklayer --lower-image "$T/img" --lower "$T/a" "$T/b"
rc_is 64 "--lower and --lower-image"
run mklayer --lower-image "$T/nowhere" "$T/b"
rc_is 66 "no such image"

# ---- overlay ----
# an upper directory without its mount: what the kernel leaves there
mark() { setfattr -n "user.overlay.$1" -v "$2" "$3"; }
mkdir -p "$T/u/same" "$T/u/etc/deep"
at "$T/u"
mark opaque y "$T/u/etc/deep"
echo new >"$T/u/etc/deep/new"
: >"$T/u/same/d"
mark whiteout y "$T/u/same/d"
: >"$T/u/nothing"
mark whiteout y "$T/u/nothing"
mark opaque x "$T/u/same"
at "$T/u"
run mklayer --upper --lower "$T/a" "$T/u"
is "$(names)" "./ etc/ etc/deep/ etc/deep/.wh.er etc/deep/new same/ same/.wh.d " "T16 whiteouts by attribute, and an opaque directory"
cp "$T/out" "$T/want"
run mklayer --upper --lower-image "$T/img" "$T/u"
is "$(sha256sum <"$T/out")" "$(sha256sum <"$T/want")" "--upper over an image"
run mklayer --upper "$T/u"
is "$(names)" "./ .wh.nothing etc/ etc/deep/ etc/deep/.wh..wh..opq etc/deep/new same/ same/.wh.d " "without --lower: as they stand"
run mklayer --upper --lower "$T/a" --exclude new "$T/u"
unlike "$(names)" new "--exclude"
mark redirect /elsewhere "$T/u/etc/deep"
run mklayer --upper --lower "$T/a" "$T/u"
rc_is 65 "T17 a redirected directory is refused"
like "$err" 'etc/deep: .*redirect_dir=off' "by name, with advice"
setfattr -x user.overlay.redirect "$T/u/etc/deep"
mark metacopy "" "$T/u/etc/deep/new" 2>/dev/null || setfattr -n user.overlay.metacopy "$T/u/etc/deep/new"
run mklayer --upper --lower "$T/a" "$T/u"
rc_is 65 "T17 a file of metadata only is refused"
like "$err" 'etc/deep/new: .*metacopy=off' "by name, with advice"
setfattr -x user.overlay.metacopy "$T/u/etc/deep/new"
echo x >"$T/u/etc/deep/linked"
mark nlink U+1 "$T/u/etc/deep/linked"
run mklayer --upper --lower "$T/a" "$T/u"
rc_is 0 "a file of one name, whatever it was"
ln "$T/u/etc/deep/linked" "$T/index"
run mklayer --upper --lower "$T/a" "$T/u"
rc_is 65 "T17 a file whose other names only overlayfs's index has is refused"
like "$err" 'etc/deep/linked: .*index=off' "by name, with advice"
rm "$T/u/etc/deep/linked" "$T/index"
at "$T/u"
mkdir -p "$T/low er:1" "$T/low2"
cp -a "$T/a/etc" "$T/low er:1/"
cp -a "$T/a/same" "$T/low2/"
at "$T/low er:1" "$T/low2"
run mklayer --upper --lower "$T/low er\\:1:$T/low2" "$T/u"
is "$(sha256sum <"$T/out")" "$(sha256sum <"$T/want")" "several lower directories, one with a colon in its name"

socket() { python3 -c 'import os, socket, sys; os.chdir(sys.argv[1]); socket.socket(socket.AF_UNIX).bind("s")' "$1"; }
mkdir -p "$T/sock" "$T/sock-up"
socket "$T/sock"
socket "$T/sock-up"
at "$T/sock" "$T/sock-up"
run mklayer --upper --lower "$T/sock" "$T/sock-up"
is "$rc $(names)" "0 " "--upper: a socket that takes the place of one"
rm "$T/sock-up/s"
: >"$T/sock-up/s"
mark whiteout y "$T/sock-up/s"
at "$T/sock-up"
run mklayer --upper --lower "$T/sock" "$T/sock-up"
is "$rc $(names)" "0 " "--upper: a socket that is gone was in no layer"

# ---- names whose whiteouts are not like others ----
mkdir -p "$T/wh/d" "$T/no-wh/d"
: >"$T/wh/d/.wh..opq"
run mklayer --lower "$T/wh" "$T/no-wh"
rc_is 65 "T15 no whiteout of .wh..opq, which would be an opaque mark"
like "$err" 'd/\.wh\.\.opq: ' "by name"
long=$(printf '%0255d' 0)
mkdir -p "$T/long" "$T/short"
: >"$T/long/$long"
: >"$T/short/x"
mklayer "$T/long" >"$T/long.tgz"
mklayer --lower "$T/long" "$T/short" >"$T/short.tgz"
"$tools/layerimage" "$T/long-img" "$T/long.tgz" "$T/short.tgz"
run unpack -q "$T/long-img" "$T/long-out"
is "$rc $(ls "$T/long-out")" "0 x" "T15 a name of 255 bytes is removed by a whiteout of 259"
run mklayer --lower-image "$T/long-img" "$T/short"
is "$rc $(names)" "0 " "and in a listing"

# ---- random trees ----
prop() { # WHAT CMD...
	_what=$1
	shift
	mkdir "$T/prop" && chmod 777 "$T/prop"
	run "$@"
	is "$out$(grep -v '^$' "$T/err" | head -n 3)" "$seeds" "random trees, $_what: $seeds seeds (MKLAYER_SEEDS=1000)"
	rm -rf "$T/prop"
}
cp -r "$tools" "$T/tools"
chmod -R a+rX "$T/tools"
if is_root; then
	prop "as root" unshare -m "$T/tools/layerprop" "$T/prop" 0 "$seeds"
else
	skip "needs root"
fi
if as_user unshare -Urm true 2>/dev/null; then
	prop "in a user namespace" as_user unshare -Urm "$T/tools/layerprop" --userxattr "$T/prop" 1000 "$seeds"
else
	skip "no user namespaces here"
fi

done_testing
