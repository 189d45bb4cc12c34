#!/bin/sh
# mklayer --lower and --upper: what is in the layer, in which order, and that it is the same layer however the difference was found.
# shellcheck disable=SC2034 # for lib.sh
in_memory=1
. "${0%/*}/lib.sh"
need python3 setfattr
need_applet mklayer unpack

names() { gzip -dc "$T/out" | tar -tf - | tr '\n' ' '; }
at() { find "$@" -exec touch -h -d @1700000000 {} +; }

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
kind=user
setfattr -n trusted.x -v 1 "$T/a/etc" 2>/dev/null && setfattr -x trusted.x "$T/a/etc" && [ "$(stat -Lc %i /proc/self/ns/user)" = 4026531837 ] && kind=trusted
diag "marks are $kind.overlay.*"
mark() { setfattr -n "$kind.overlay.$1" -v "$2" "$3"; }
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
setfattr -x $kind.overlay.redirect "$T/u/etc/deep"
mark metacopy "" "$T/u/etc/deep/new" 2>/dev/null || setfattr -n $kind.overlay.metacopy "$T/u/etc/deep/new"
run mklayer --upper --lower "$T/a" "$T/u"
rc_is 65 "T17 a file of metadata only is refused"
like "$err" 'etc/deep/new: .*metacopy=off' "by name, with advice"
setfattr -x $kind.overlay.metacopy "$T/u/etc/deep/new"
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

# ---- names of one file that overlayfs parted: what is not in the upper directory would have to be in the layer ----
mkdir -p "$T/hl/d" "$T/hu/d"
echo one >"$T/hl/d/f"
for f in d/g h; do ln "$T/hl/d/f" "$T/hl/$f"; done
at "$T/hl"
mklayer "$T/hl" >"$T/hl.tgz"
"$tools/layerimage" "$T/hl-img" "$T/hl.tgz"
cp -a "$T/hl/d/f" "$T/hu/d/f"
cp -a "$T/hl/h" "$T/hu/h"
at "$T/hu"
run mklayer --upper --lower "$T/hl" "$T/hu"
is "$rc $(names)" "0 ./ d/ d/f d/g h " "--upper: names that came apart are all in the layer"
run mklayer --upper --lower-image "$T/hl-img" "$T/hu"
rc_is 65 "over an image, which has not the contents, that is refused"
like "$err" 'mklayer: .*: d/f: overlayfs parted it .*--lower' "by name, with advice"
: >"$T/hu/d/g"
mark whiteout y "$T/hu/d/g"
mark opaque x "$T/hu/d"
at "$T/hu"
run mklayer --upper --lower-image "$T/hl-img" "$T/hu"
is "$rc $(names)" "0 ./ d/ d/.wh.g d/f h " "but not where the missing name was removed"
setfattr -x $kind.overlay.opaque "$T/hu/d"
rm "$T/hu/d/g"
cp -a "$T/hl/d/g" "$T/hu/d/g"
at "$T/hu"
run mklayer --upper --lower-image "$T/hl-img" "$T/hu"
is "$rc $(names)" "0 ./ d/ d/f d/g h " "nor where all names are there"
# a name that is gone another way: each over the image gives the layer that it gives over the directory
for how in whiteout replaced by-dir opaque dir-gone dir-replaced excluded; do
	rm -rf "$T/hv"
	mkdir "$T/hv"
	cp -a "$T/hl/h" "$T/hv/h"
	set --
	case $how in
	opaque | whiteout | replaced | by-dir) mkdir "$T/hv/d" ;;
	esac
	case $how in
	whiteout) for f in f g; do : >"$T/hv/d/$f"; mark whiteout y "$T/hv/d/$f"; done; mark opaque x "$T/hv/d" ;;
	replaced) for f in f g; do echo other >"$T/hv/d/$f"; done ;;
	by-dir) mkdir "$T/hv/d/f"; echo x >"$T/hv/d/g" ;;
	opaque) mark opaque y "$T/hv/d" ;;
	dir-gone) : >"$T/hv/d"; mark whiteout y "$T/hv/d"; mark opaque x "$T/hv" ;;
	dir-replaced) echo x >"$T/hv/d" ;;
	excluded) set -- --exclude /d ;;
	esac
	at "$T/hv"
	run mklayer "$@" --upper --lower "$T/hl" "$T/hv"
	cp "$T/out" "$T/want"
	run mklayer "$@" --upper --lower-image "$T/hl-img" "$T/hv"
	is "$rc $(sha256sum <"$T/out")" "0 $(sha256sum <"$T/want")" "the other names are gone ($how): as over the directory"
done
mkdir -p "$T/pu"
mklayer --prefix p/q "$T/hl" >"$T/hp.tgz"
"$tools/layerimage" "$T/hp-img" "$T/hp.tgz"
cp -a "$T/hl/h" "$T/pu/h"
at "$T/pu"
run mklayer --upper --prefix p/q --lower-image "$T/hp-img" "$T/pu"
rc_is 65 "--prefix: refused where it shows"
run mklayer --upper --prefix p/q/d --lower-image "$T/hp-img" "$T/pu"
rc_is 0 "names outside do not matter"
rm "$T/hu/d/g" "$T/hu/h"
echo two >"$T/hu/d/f"
at "$T/hu"
run mklayer --upper --lower-image "$T/hl-img" "$T/hu"
is "$rc $(names)" "0 ./ d/ d/f " "nor where the file changed: the others stay what they are"
cp "$T/out" "$T/want"
run mklayer --upper --lower "$T/hl" "$T/hu"
is "$(sha256sum <"$T/out")" "$(sha256sum <"$T/want")" "the same layer as over the directory"

# ---- whose marks: those of the other kind are a program's, which may set them through the mount ----
mkdir -p "$T/fl/d" "$T/fu/d"
for f in d/f zero; do : >"$T/fl/$f"; done
cp -a "$T/fl/zero" "$T/fu/zero"
at "$T/fl" "$T/fu"
setfattr -n user.overlay.opaque -v y "$T/fu/d"
at "$T/fu"
run mklayer --upper --userxattr --lower "$T/fl" "$T/fu"
is "$rc $(names)" "0 ./ d/ d/.wh.f " "--userxattr: opaque by user.overlay.opaque"
run mklayer --upper --userxattr=false --lower "$T/fl" "$T/fu"
is "$rc $(names)" "0 " "T17 --userxattr=false: it means nothing"
run mklayer --upper --lower "$T/fl" "$T/fu"
if [ $kind = trusted ]; then
	rc_is 65 "T17 as root it is refused"
	like "$err" 'mklayer: .*: d: .*user\.overlay\.opaque: .*--userxattr=false' "by name, with advice"
else
	is "$rc $(names)" "0 ./ d/ d/.wh.f " "heeded where trusted.* is not seen"
	skip "needs root"
fi
setfattr -x user.overlay.opaque "$T/fu/d"
setfattr -n user.overlay.whiteout -v y "$T/fu/zero"
at "$T/fu"
run mklayer --upper --userxattr --lower "$T/fl" "$T/fu"
is "$rc $(names)" "0 ./ .wh.zero " "--userxattr: a whiteout by user.overlay.whiteout"
run mklayer --upper --userxattr=false --lower "$T/fl" "$T/fu"
is "$rc $(names)" "0 " "T16 --userxattr=false: it means nothing"
for o in redirect metacopy nlink; do
	ln "$T/fu/zero" "$T/fu/zero2"
	setfattr -x user.overlay.whiteout "$T/fu/zero" 2>/dev/null
	setfattr -n user.overlay.$o -v /x "$T/fu/zero" && setfattr -n user.overlay.$o -v /x "$T/fu/d"
	run mklayer --upper --userxattr=false --lower "$T/fl" "$T/fu"
	is "$rc $(names)" "0 ./ zero zero2 " "T17 nor does user.overlay.$o"
	setfattr -x user.overlay.$o "$T/fu/zero" && setfattr -x user.overlay.$o "$T/fu/d"
	rm "$T/fu/zero2"
done
if [ $kind = trusted ]; then
	setfattr -n trusted.overlay.opaque -v y "$T/fu/d"
	at "$T/fu"
	run mklayer --upper --userxattr --lower "$T/fl" "$T/fu"
	is "$rc $(names)" "0 " "T17 --userxattr: trusted.overlay.opaque means nothing"
	run mklayer --upper --lower "$T/fl" "$T/fu"
	is "$rc $(names)" "0 ./ d/ d/.wh.f " "but does by default"
	# a program in the mount that hides what it did, and feigns deletions
	cat >"$T/forge" <<'END'
mount -t overlay overlay -o "lowerdir=$1/a,upperdir=$1/forge-u,workdir=$1/forge-w" "$1/forge-m" || exit 77
echo evil >"$1/forge-m/etc/evil"
: >"$1/forge-m/etc/zz"
setfattr -n user.overlay.whiteout -v y "$1/forge-m/etc/zz"
setfattr -n user.overlay.opaque -v y "$1/forge-m/etc"
setfattr -n user.overlay.redirect -v /same "$1/forge-m/etc"
mklayer --lower "$1/a" "$1/forge-m" | sha256sum
END
	mkdir "$T/forge-u" "$T/forge-w" "$T/forge-m"
	chmod --reference "$T/a" "$T/forge-u"
	run unshare -m sh "$T/forge" "$T"
	if [ "$rc" = 0 ]; then
		want=$out
		run mklayer --upper --userxattr=false --lower "$T/a" "$T/forge-u"
		is "$(sha256sum <"$T/out")" "$want" "T17 marks set through the mount change nothing: the mounted tree's layer"
		run mklayer --upper --lower "$T/a" "$T/forge-u"
		rc_is 65 "T17 and are seen by default"
	else
		skip "no overlay here" 2
	fi
else
	skip "needs root" 4
fi

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

done_testing
