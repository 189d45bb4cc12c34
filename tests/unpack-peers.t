#!/bin/sh
# unpack against its peers: umoci and GNU tar make the same tree of real images, to the nanosecond.
in_memory=1
. "${0%/*}/lib.sh"
need python3 jq umoci setfattr
need_applet unpack
tc=$tools/treecmp

if is_root; then
	for i in tiny debian manyfiles; do
		case $i in
		debian)
			# not to be had everywhere: a mirror is asked once, then the cache has it
			have debootstrap && cached debian "$tools/mkimage" debian || { skip "no Debian image" 4; continue; }
			;;
		manyfiles) cached manyfiles-6000 sh -c '"$0" manyfiles "$1" 6000' "$tools/mkimage" ;;
		*) cached $i "$tools/mkimage" $i ;;
		esac
		img=$cached
		run umoci raw unpack --image "$img:latest" "$T/umoci"
		rc_is 0 "$i: umoci"
		run unpack -q "$img" "$T/ours"
		rc_is 0 "$i: unpack"
		ok "$i: the trees are the same" "$tc" "$T/umoci" "$T/ours"
		rm -rf "$T/umoci"
		if [ $i != manyfiles ]; then
			# the layers one after the other: what GNU tar cannot do (whiteouts) is done by hand
			mkdir "$T/tar"
			m=$(jq -r '.manifests[0].digest' "$img/index.json")
			for l in $(jq -r '.layers[].digest' "$img/blobs/sha256/${m#sha256:}"); do
				tar -xz --numeric-owner --same-owner -p --xattrs --xattrs-include='*' --acls -f "$img/blobs/sha256/${l#sha256:}" -C "$T/tar"
			done
			(cd "$T/tar" && find . -name '.wh.*' | while read -r w; do rm -rf "${w%/*}/${w##*/.wh.}" "$w"; done)
			ok "$i: GNU tar agrees" "$tc" --no-dir-mtime --no-root "$T/tar" "$T/ours"
			rm -rf "$T/tar"
		else
			run unpack -q "$img" "$T/again"
			ok "$i: twice the same" "$tc" "$T/again" "$T/ours"
			rm -rf "$T/again"
		fi
		rm -rf "$T/ours"
	done
else
	skip "needs root" 12
fi

# ---- an ordinary user: the same but for owners ----
cached tiny "$tools/mkimage" tiny
img=$cached
umask 022
if is_root; then
	unpack -q "$img" "$T/ours"
	mkdir -m 777 "$T/w"
	run as_user unpack "$img" "$T/w/sub"
	rc_is 0 "a user with subordinate ids"
	ok "all but owners is the same" "$tc" --no-owner "$T/ours" "$T/w/sub"
	u=$(user_name sub)
	first=$(sed -n "s/^$u:\([0-9]*\):.*/\1/p" /etc/subuid)
	is "$(stat -c %u "$T/w/sub/bin/busybox")" "$(id -u "$u")" "root's files are the user's own"
	is "$(stat -c %u:%g "$T/w/sub/home/user/mine")" "$((first + 999)):$(($(sed -n "s/^$u:\([0-9]*\):.*/\1/p" /etc/subgid) + 999))" "those of 1000 are in the range"
	is "$(stat -c %a "$T/w/sub/usr/bin/su-like")" 4755 "setuid stays where ownership is exact"
	run as_user unpack --remove "$T/w/sub"
	rc_is 0 "unpack --remove"
	nok "takes the tree away" test -e "$T/w/sub"

	run as_user_nosub unpack "$img" "$T/w/nosub"
	rc_is 0 "a user without subordinate ids"
	ok "all but owners and setuid bits is the same" "$tc" --no-owner --no-setid "$T/ours" "$T/w/nosub"
	is "$(find "$T/w/nosub" ! -user "$(user_name nosub)" | wc -l)" 0 "all is the user's own"
	is "$(find "$T/w/nosub" -perm /6000 | wc -l)" 0 "no setuid or setgid bit is left"
	like "$err" 'set.?[ug]id' "which is said"
	is "$(printf '%s\n' "$err" | grep -c 'set.\?[ug]id')" 1 "once"
fi

# ---- -l: the overlay of the layers is the tree ----
if is_root; then
	"$tools/mklayers" "$T/cases" --victim "$T/v" --only 'T15-*' >/dev/null
	"$tools/mklayers" --options "$T/cases" | while read -r c _; do
		[ "$(jq -r ".\"$c\".outcome" "$T/cases/cases.json")" = accept ] && echo "$c"
	done >"$T/accept"
	for c in $(cat "$T/accept") tiny; do
		dir=$T/cases/$c
		[ $c != tiny ] || dir=$img
		run unpack -q -l "$dir" "$T/ly"
		rc_is 0 "-l $c"
		lower=$(cat "$T/out")
		unpack -q "$dir" "$T/merged"
		# one directory alone is no overlay; a name that a layer above deletes still counts in its inode
		mkdir "$T/m" "$T/below"
		if [ "$rc" = 0 ] && unshare -m sh -c 'mount -t overlay -o "lowerdir=$1:$2" none "$3" && exec "$4" --no-nlink --no-root "$5" "$3"' \
			sh "$lower" "$T/below" "$T/m" "$tc" "$T/merged" >"$T/diff" 2>&1; then
			pass "-l $c: mounted it is the tree (T16)"
		else
			fail "-l $c: mounted it is the tree (T16)"
			_show <"$T/diff"
		fi
		rm -rf "$T/ly" "$T/merged" "$T/m" "$T/below"
	done
	run unpack -q -l "$img" "$T/ly"
	first=$out
	before=$("$tc" --hash "$T/ly")
	run unpack -q -l "$img" "$T/ly"
	is "$out" "$first" "-l again prints the same list"
	is "$("$tc" --hash "$T/ly")" "$before" "and makes nothing anew"
	is "$(ls "$T/ly")" trusted "root's layers are in trusted/"
	rm -rf "$T/ly"
	# a hardlink into a lower layer is copied up
	"$tools/mklayers" "$T/hl" --only 'T06-absolute-target-2' >/dev/null
	run unpack -q -l "$T/hl/T06-absolute-target-2" "$T/ly"
	rc_is 0 "-l with a hardlink into the layer below"
	top_=${out%%:*}
	ok "has the file in its own layer" test -f "$top_/y"
	rm -rf "$T/ly"
else
	skip "needs root"
fi
done_testing
