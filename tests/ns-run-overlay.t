#!/bin/sh
# ns-run --overlay: several directories as one root.
. "${0%/*}/lib.sh"
need busybox
need_applet ns-run
need_userns
export T

B=$T/base
mkdir -p "$B/bin" "$B/etc" "$B/dir" "$B/tmp"
chmod 711 "$B"
cp "$(command -v busybox)" "$B/bin/busybox"
for a in sh ls cat rm mkdir echo stat true; do ln -s busybox "$B/bin/$a"; done
echo root:x:0:0::/root:/bin/sh >"$B/etc/passwd"
echo base >"$B/etc/who"
echo gone >"$B/dir/gone"
chmod 755 "$B"
mkdir -p "$T/o:dd\\na,me/etc"
echo top >"$T/o:dd\\na,me/etc/who"
escaped="$T/o\\:dd\\\\na,me"
long=$T/$(head -c 200 /dev/zero | tr '\0' l)
mkdir -p "$long/$(head -c 120 /dev/zero | tr '\0' m)/etc"
long=$long/$(head -c 120 /dev/zero | tr '\0' m)
echo long >"$long/etc/long"

overlay() { # WHO RUNNER...
	who=$1
	shift
	run "$@" ns-run --overlay "$escaped:$B" sh -c 'cat /etc/who; echo x >/new; rm /dir/gone; ls /dir; cat /new'
	is "$out" "top
x" "$who: lower directories with odd names, changes in a tmpfs"
	is "$(cat "$B/dir/gone"; ls "$B/new" 2>/dev/null)" gone "$who: the lower ones stay as they are"
	run "$@" ns-run --overlay "$long:$B" cat /etc/long /etc/who
	is "$out" "long
base" "$who: a name longer than what the kernel takes"
	run "$@" ns-run --overlay "$B" --read-only sh -c 'echo x >/new'
	rc_is 1 "$who: with --read-only"
	mkdir -p "$T/up-$who"
	chmod 777 "$T/up-$who"
	run "$@" ns-run --overlay "$B" --upper "$T/up-$who" sh -c 'echo one >/etc/new; rm /dir/gone; stat -c %a /'
	is "$out" 755 "$who: --upper: the root looks like the lower one"
	is "$(cat "$T/up-$who/diff/etc/new")" one "$who: changes are in DIR/diff"
	run "$@" ns-run --overlay "$B" --upper "$T/up-$who" sh -c 'cat /etc/new; ls /dir'
	is "$out" one "$who: and there the next time"
	run "$@" sh -c 'cd "$T" && ns-run --overlay base --upper "up-$1" cat /etc/new' - "$who"
	is "$out" one "$who: relative names"
	run "$@" ns-run --overlay "$T/none:$B" true
	rc_is 125 "$who: a lower directory that is not there"
	like "$err" 'none' "$who: is named"
	run "$@" ns-run --overlay "$B" --upper "$T/none" true
	rc_is 125 "$who: an upper one"
	run "$@" ns-run --overlay '' true
	rc_is 125 "$who: an empty list"
	run "$@" ns-run --overlay "$B" --user 0 --workdir /a/b sh -c 'ls -d /a/b'
	is "$out" /a/b "$who: user and directory are looked up in the whole"
}

if is_root; then
	overlay root
	chown -R "$(user_name sub):" "$B" "$T/o:dd\\na,me" "$T/lll"* 2>/dev/null
	overlay user as_user
else
	overlay self
fi
done_testing
