#!/bin/sh
# mklayer --map: a tree that an ordinary user unpacked and changed gives the layer that root's gives, ids and capabilities too.
. "${0%/*}/lib.sh"
need_root
need python3 unshare setfattr newuidmap
need_applet mklayer unpack
as_user unshare -Ur --map-auto true 2>/dev/null || skip_all "no user namespaces with subordinate ids here"

sha() { sha256sum | cut -d' ' -f1; }
cap=0x0100000200200000000000000000000000000000
u=$T/home-sub
# what root does to a tree, in whatever namespace he is root
cat >"$T/change" <<END
cd "\$1" || exit
echo new >etc/new && chown 5:6 etc/new
chown 33:65534 var/www && chmod 2775 var/www
echo x >bin/tool && chown 0:12 bin/tool && chmod 4750 bin/tool
echo y >bin/caps && setfattr -n security.capability -v $cap bin/caps || exit
ln etc/kept etc/again && ln -s ../x etc/link && chown -h 7:8 etc/link
rm -r etc/gone
mkdir -m 700 home && chown 1000:1000 home
find . -exec touch -h -d @1700000001 {} +
END
mkdir -p "$T/a/etc/gone" "$T/a/var/www" "$T/a/bin"
for f in etc/kept etc/gone/f etc/same; do echo $f >"$T/a/$f"; done
chown 1:2 "$T/a/etc/same"
chown 65535:65535 "$T/a/etc/kept"
echo z >"$T/a/bin/had" && setfattr -n security.capability -v $cap "$T/a/bin/had"
find "$T/a" -exec touch -h -d @1700000000 {} +
mklayer "$T/a" >"$T/a.tgz" || exit
"$tools/layerimage" "$T/img" "$T/a.tgz"

# ---- root's ----
run sh -c 'unpack -q "$1/img" "$1/r" && sh "$1/change" "$1/r"' sh "$T"
rc_is 0 "root unpacks and changes"
whole=$(mklayer "$T/r" | sha)
mklayer --lower-image "$T/img" "$T/r" >"$T/want.tgz"
part=$(sha <"$T/want.tgz")
is "$(tar -tvzf "$T/want.tgz" --numeric-owner | awk '{ print $2, $6 }' | tr '\n' ' ')" \
	"0/0 ./ 0/0 bin/ 0/0 bin/caps 0/0 bin/had 0/12 bin/tool 0/0 etc/ 0/0 etc/.wh.gone 65535/65535 etc/again 65535/65535 etc/kept 7/8 etc/link 5/6 etc/new 1/2 etc/same 1000/1000 home/ 0/0 var/ 33/65534 var/www/ " \
	"root's layer"
is "$(mklayer --map --lower-image "$T/img" "$T/r" | sha)" "$part" "--map as root changes nothing"
setfattr -n security.capability -v 0x010000030020000000000000000000000000000000000000 "$T/r/bin/caps"
is "$(mklayer "$T/r" | sha)" "$whole" "a capability of version 3 whose root is ours becomes one of version 2"

# ---- the user's ----
run as_user sh -c 'unpack -q "$1/img" "$HOME/r" && unshare -Ur --map-auto sh "$1/change" "$HOME/r"' sh "$T"
rc_is 0 "a user unpacks and changes"
isnt "$(stat -c %u "$u/r/home")" 1000 "ids are others outside"
run as_user sh -c 'mklayer --map "$HOME/r"'
is "$rc $(sha <"$T/out")" "0 $whole" "--map: the whole tree, as root's"
run as_user sh -c 'mklayer --map --lower-image "$1/img" "$HOME/r"' sh "$T"
is "$rc $(sha <"$T/out")" "0 $part" "--map --lower-image: as root's"
run as_user sh -c 'unpack -q "$1/img" "$HOME/a" && mklayer --map --lower "$HOME/a" "$HOME/r"' sh "$T"
is "$rc $(sha <"$T/out")" "0 $part" "--map --lower: as root's"
run as_user sh -c 'mklayer --map --digestfile "$HOME/d" --compression-format none "$HOME/r"'
is "$rc $(grep -o "$(sha <"$T/out")" "$u/d" | head -n 1)" "0 $(sha <"$T/out")" "--digestfile, which is outside of the map"
run as_user sh -c 'mklayer "$HOME/r"'
rc_is 65 "without --map a capability belongs to the inside"
like "$err" 'bin/caps: its security.capability belongs to another user namespace' "by name"


# ---- devices ----
if mknod "$T/a/bin/null" c 1 3 2>/dev/null; then
	mkdir "$T/a/dev"
	mknod "$T/a/dev/zero" c 1 5
	find "$T/a" -exec touch -h -d @1700000000 {} +
	mklayer "$T/a" >"$T/dev.tgz"
	"$tools/layerimage" "$T/devimg" "$T/dev.tgz"
	run as_user sh -c 'unpack -q "$1/devimg" "$HOME/v" && ls "$HOME/v/dev" && mklayer --map --lower-image "$1/devimg" "$HOME/v" | tar -tzf -' sh "$T"
	is "$rc $out" "0 " "--map: device nodes that a user cannot unpack are not gone"
	run as_user sh -c 'rm -r "$HOME/v/dev" && mklayer --map --lower-image "$1/devimg" "$HOME/v" | tar -tzf - | tr "\n" " "' sh "$T"
	like "$out" '^(\./ )?\.wh\.dev $' "their directory can be"
	rm -r "$T/a/dev" "$T/a/bin/null"
else
	skip "no devices can be made here" 2
fi

# ---- an overlay in the user's namespace ----
cat >"$T/overlay" <<'END'
mkdir "$2/u" "$2/w" "$2/m" && chmod --reference "$2/a" "$2/u" && touch -r "$2/a" "$2/u" &&
	mount -t overlay overlay -o "userxattr,lowerdir=$2/a,upperdir=$2/u,workdir=$2/w" "$2/m" || exit 77
sh "$1/change" "$2/m"
END
run as_user unshare -Urm --map-auto sh "$T/overlay" "$T" "$u"
if [ "$rc" = 0 ]; then
	run as_user sh -c 'mklayer --map --upper --lower "$HOME/a" "$HOME/u"'
	is "$rc $(sha <"$T/out")" "0 $part" "--map --upper --lower: as root's"
	run as_user sh -c 'mklayer --map --upper --lower-image "$1/img" "$HOME/u"' sh "$T"
	is "$rc $(sha <"$T/out")" "0 $part" "--map --upper --lower-image: as root's"
else
	diag "$err"
	skip "no overlay in a user namespace here" 2
fi

# ---- capabilities of others ----
refused() { # VALUE PATTERN NAME
	setfattr -n security.capability -v "$1" "$u/r/bin/caps"
	run as_user sh -c 'mklayer --map "$HOME/r"'
	rc_is 65 "T17 a capability $3 is refused"
	like "$err" "bin/caps: its security.capability belongs to $2" "by name"
}
le32() { printf '%08x' "$1" | sed 's/\(..\)\(..\)\(..\)\(..\)/\4\3\2\1/'; }
refused "0x0100000300200000000000000000000000000000$(le32 4000000000)" "a user namespace that is not mapped" "of a root that is not mapped"
sub=$(stat -c %u "$u/r/home")
refused "0x0100000300200000000000000000000000000000$(le32 "$sub")" "another user namespace, whose root is 1000 here" "of a namespace inside"
setfattr -n security.capability -v "0x0100000300200000000000000000000000000000$(le32 "$(id -u "$(user_name sub)")")" "$u/r/bin/caps"
run as_user sh -c 'mklayer --map "$HOME/r"'
is "$rc $(sha <"$T/out")" "0 $whole" "that of the map's root becomes version 2"
setfattr -n security.capability -v $cap "$u/r/bin/caps"
run as_user sh -c 'mklayer --map "$HOME/r"'
is "$rc $(sha <"$T/out")" "0 $whole" "that of the system's root counts inside, too"

# ---- a user without subordinate ids is root inside, and has nobody else ----
run as_user_nosub sh -c 'unpack -q "$1/img" "$HOME/r" && mklayer --map "$HOME/r" | tar -tvzf - --numeric-owner | cut -d" " -f2 | sort -u' sh "$T"
is "$out" 0/0 "a single id: all is root's"

done_testing
