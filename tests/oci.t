#!/bin/sh
# The oci layer by itself, through its unit programs as tools; skopeo, umoci, crun and runc judge.
. "${0%/*}/lib.sh"
need python3 jq skopeo umoci
unit=${BUILD:-$top/build/native}/tests/unit
[ -x "$unit/oci_image" ] && [ -x "$unit/oci_bundle" ] || skip_all "no unit programs (make unit)"
# copies, so that the users made here reach them
cp "$unit/oci_image" "$unit/oci_bundle" "$T/bin/"
cached tiny "$tools/mkimage" tiny || skip_all "no image"
tiny=$cached
cached multi "$tools/mkimage" multi || skip_all "no image"
multi=$cached
HOME=$T/h
export HOME
mkdir "$HOME"
sk() { skopeo --insecure-policy "$@"; }
digest_of() { jq -r --arg t "$2" '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $t) | .digest' "$1/index.json"; }
md=$(digest_of "$tiny" latest)

# ---- a stream, and what becomes of it ----
run sh -c "oci_image pack '$tiny' latest debian:12 >'$T/tiny.tar'"
rc_is 0 "an image of a layout as a stream"
is "$(tar -tf "$T/tiny.tar" | head -n 6 | tr '\n' ' ')" \
	"oci-layout index.json manifest.json blobs/ blobs/sha256/ blobs/sha256/${md#sha256:} " "in streaming order"
is "$(tar --numeric-owner -tvf "$T/tiny.tar" | awk '{ print $1, $2, $4, $5 }' | sort -u | tr '\n' ';')" \
	"-rw-r--r-- 0/0 1970-01-01 00:00;drwxr-xr-x 0/0 1970-01-01 00:00;" "canonical: modes, owners, times"
run sk copy -q "oci-archive:$T/tiny.tar:docker.io/library/debian:12" "dir:$T/sk"
rc_is 0 "skopeo finds it by its full name"
is "sha256:$(sha256sum <"$T/sk/manifest.json" | cut -d' ' -f1)" "$md" "and has the same manifest"
run sh -c "oci_image store '$T/lay' t <'$T/tiny.tar'"
rc_is 0 "a stream into a new layout"
is "$(digest_of "$T/lay" t)" "$md" "named there"
is "$(umoci ls --layout "$T/lay")" t "umoci lists it"
ok "umoci reads it" umoci stat --image "$T/lay:t"
is "$(find "$T/lay" -name '.*' -o -name '*lock*')" "" "nothing else is left in the layout"
sk copy -q "oci:$tiny:latest" "oci-archive:$T/sk.tar:r.io/a:1"
run sh -c "cat '$T/sk.tar' | oci_image store '$T/lay' sk"
rc_is 0 "skopeo's archive, blobs first, from a pipe"
is "$(digest_of "$T/lay" sk)" "$md" "is the same image"
for p in linux/amd64 linux/amd64/v3 linux/arm/v5 linux/arm64 linux/riscv64; do
	run sh -c "oci_image pack --platform $p '$multi' latest m:1 | oci_image store --platform $p '$T/lay' m"
	rc_is 0 "T75 $p of an index"
	is "$(oci_image pack --platform $p "$multi" latest m:1 | tar -xOf - "blobs/sha256/$(digest_of "$T/lay" m | cut -d: -f2)" |
		jq -r .config.digest | cut -d: -f2 | xargs -I@ jq -r '"linux/" + .architecture + (if .variant then "/" + .variant else "" end)' "$T/lay/blobs/sha256/@" |
		sed 's,arm64/v8,arm64,')" "$p" "T75 its config says the same"
done

# ---- a layout that others change too ----
sk copy -q "oci:$tiny:latest" "oci:$T/lay:theirs"
ok "umoci tags in our layout" umoci tag --image "$T/lay:t" umocis
jq '.annotations = {"a": "b"} | .other = [1, {"x": null}] | .manifests[0].extra = 1.5' "$T/lay/index.json" >"$T/i" && cp "$T/i" "$T/lay/index.json"
run sh -c "oci_image store '$T/lay' again <'$T/tiny.tar'"
rc_is 0 "one more into it"
is "$(umoci ls --layout "$T/lay" | sort | tr '\n' ' ')" "again m sk t theirs umocis " "no name is lost"
is "$(jq -c '[.annotations, .other, .manifests[0].extra]' "$T/lay/index.json")" '[{"a":"b"},[1,{"x":null}],1.5]' "nor what we do not know"
ok "umoci removes what nothing names" umoci gc --layout "$T/lay"
ok "and ours is whole" umoci stat --image "$T/lay:again"
schema=$top/../shared/schema/validate.py
if [ -f "$schema" ]; then
	# its modules are in another folder beside it
	run env PYTHONPATH="$top/../shared/dockerfiles/lib" PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$schema" "$T/lay" "$T/tiny.tar"
	# the member that this test put in
	is "$(printf '%s' "$out" | grep -v extra)" "" "the layout keeps the schemas"
else
	skip "no schemas beside the source tree"
fi
_pids_all=''
for i in 1 2 3 4 5 6; do
	oci_image store "$T/many" "n$i" <"$T/tiny.tar" 2>"$T/many-$i" &
	_pids_all="$_pids_all $!"
done
fails=''
for p in $_pids_all; do wait "$p" || fails="$fails $p"; done
# who finds a blob under way says so; the names of all others are there
is "$(cat "$T"/many-? | grep -v 'another process is fetching')" "" "six at once into a new layout: none breaks another"
ok "it can be read" umoci stat --image "$T/many:$(umoci ls --layout "$T/many" | head -n 1)"
is "$(find "$T/many" -name '.*')" "" "and holds no partial"

# ---- bundles ----
cfg=$(jq -r .config.digest "$tiny/blobs/sha256/${md#sha256:}")
cfg=$tiny/blobs/sha256/${cfg#sha256:}
# bundle DIR [MAP...]: config.json for DIR/rootfs, whose program tells what it sees
bundle() {
	_d=$1
	shift
	# shellcheck disable=SC2016
	jq '.config.User = "user" | .config.Entrypoint = ["/bin/sh", "-c"] | .config.Volumes = {"/home/user": {}} |
		.config.Cmd = ["echo $(id -u):$(id -G) $HOME $TINY $(pwd) $(stat -c %u:%a /home/user); touch /home/user/x && echo wrote; grep -c ^CapEff:.0*$ /proc/self/status"]' \
		"$cfg" >"$_d/image.json"
	oci_bundle "$_d/image.json" "$_d/rootfs" "$@" >"$_d/config.json"
}
want="1000:1000 29 44 /home/user 1 / 1000:750
wrote
1"
if is_root; then
	mkdir "$T/b"
	umoci raw unpack --image "$tiny:latest" "$T/b/rootfs" >/dev/null 2>&1
	ok "a bundle" bundle "$T/b"
	bundle "$T/b" && cp "$T/b/config.json" "$T/first" && bundle "$T/b"
	ok "the same bytes again" cmp "$T/first" "$T/b/config.json"
	if have crun; then
		# hosts with both cgroup versions: crun wants one
		# shellcheck disable=SC2016
		run unshare -m sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; crun --root "$1/crun" run -b "$1/b" "ob-$$"' sh "$T"
		is "$out" "$want" "crun runs it: user, groups, home, environment, volume, no capabilities"
	else
		skip "crun is not here"
	fi
	if have runc; then
		run runc --root "$T/runc" run -b "$T/b" "obr-$$"
		is "$out" "$want" "runc too"
	else
		skip "runc is not here"
	fi
	if have crun && as_user unshare -Ur true; then
		mkdir -m 755 "$T/rl"
		chown "$(user_name sub):" "$T/rl"
		cp -r "$tiny" "$T/tiny"
		chmod -R a+rX "$T/tiny"
		u=$(user_name sub)
		sub=$(awk -F: -v u="$u" '$1 == u { print $2; exit }' /etc/subuid)
		run as_user unshare -U --map-root-user --map-users="$sub,1,65535" --map-groups="$sub,1,65535" \
			umoci raw unpack --image "$T/tiny:latest" "$T/rl/rootfs"
		rc_is 0 "an ordinary user's tree"
		bundle "$T/rl" "$(id -u "$u")" "$(id -g "$u")" "$sub" 65535
		# the volume's owner, as seen inside
		jq '(.mounts[] | select(.destination == "/home/user") | .options) = ["mode=750", "uid=1000", "gid=1000"]' "$T/rl/config.json" >"$T/c" &&
			cat "$T/c" >"$T/rl/config.json"
		chmod -R a+rX "$T/rl/config.json"
		# shellcheck disable=SC2016
		run unshare -m sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; u=$1; shift
			exec setpriv --reuid "$u" --regid "$(id -g "$u")" --init-groups --inh-caps=-all -- env HOME=/ crun "$@"' \
			sh "$u" --root "$T/rl/crun" --cgroup-manager=disabled run -b "$T/rl" "obl-$$"
		is "$out" "$want" "crun runs it for an ordinary user"
		[ "$out" = "$want" ] || diag "$err"
	else
		skip "crun or user namespaces are not here" 2
	fi
else
	skip "needs root" 5
fi
done_testing
