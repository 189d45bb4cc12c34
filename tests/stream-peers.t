#!/bin/sh
# The image stream that pull writes loads in podman, ctr, docker and skopeo, from a pipe where they read one; and what
# they write can be unpacked.
. "${0%/*}/lib.sh"
need_root
need python3 jq skopeo docker-registry
need_applet pull
cached tiny "$tools/mkimage" tiny || skip_all "no image"
tiny=$cached
cached multi "$tools/mkimage" multi || skip_all "no image"
multi=$cached
HOME=$T/h XDG_DATA_HOME=$T/h/data
export HOME XDG_DATA_HOME
mkdir "$T/h"
start_registry r
"$tools/registry" push "$T/r" "$tiny:latest" x/tiny:1
"$tools/registry" push "$T/r" "$multi:latest" x/multi:1 --all
"$tools/registry" push "$T/r" "$multi:platforms" x/docker:1 --all --format v2s2
name=$addr/x/tiny:1
md=$(jq -r '.manifests[0].digest' "$tiny/index.json")
cfg=$(jq -r .config.digest "$tiny/blobs/sha256/${md#sha256:}")

run sh -c "pull -q $name >'$T/tiny.tar' && pull -q --all-platforms $addr/x/multi:1 >'$T/multi.tar' && pull -q --platform linux/amd64 $addr/x/docker:1 >'$T/docker.tar'"
rc_is 0 "three streams"
is "$(tar -xOf "$T/tiny.tar" index.json | jq -r '.manifests[0].digest')" "$md" "the stream names the manifest"
is "$(tar -tf "$T/tiny.tar" | sort | uniq -d)" "" "every member once"
schema=$top/../shared/schema/validate.py
if [ -f "$schema" ]; then
	# its modules are in another folder beside it
	ok "the streams keep the schemas" env PYTHONPATH="$top/../shared/dockerfiles/lib" PYTHONDONTWRITEBYTECODE=1 \
		/usr/bin/python3 "$schema" "$T/tiny.tar" "$T/multi.tar" "$T/docker.tar"
else
	skip "no schemas beside the source tree"
fi

# ---- skopeo ----
for s in tiny multi docker; do
	run skopeo --insecure-policy copy -q --all "oci-archive:$T/$s.tar" "dir:$T/sk-$s"
	rc_is 0 "skopeo reads oci-archive: $s"
done
is "sha256:$(sha256sum <"$T/sk-tiny/manifest.json" | cut -d' ' -f1)" "$md" "skopeo has the same manifest"
run skopeo --insecure-policy copy -q "docker-archive:$T/tiny.tar" "dir:$T/sk-da"
rc_is 0 "skopeo reads docker-archive, by manifest.json"

# ---- podman ----
# podman refuses a run directory with a name of more than 50 letters
if have podman && [ ${#T} -le 40 ]; then
	mkdir "$T/pod"
	printf '[containers]\ndefault_ulimits=["nofile=1024:1024"]\n[engine]\ncgroup_manager="cgroupfs"\nevents_logger="none"\nlock_type="file"\n' >"$T/pod/conf"
	# its mounts stay in a namespace of their own
	pod() { CONTAINERS_CONF=$T/pod/conf unshare -m podman --root "$T/pod/root" --runroot "$T/pod/run" --tmpdir "$T/pod/tmp" --storage-driver=vfs "$@"; }
	run sh -c "pull -q $name | CONTAINERS_CONF=$T/pod/conf unshare -m podman --root $T/pod/root --runroot $T/pod/run --tmpdir $T/pod/tmp --storage-driver=vfs load"
	rc_is 0 "podman load from a pipe"
	like "$out$err" "$name" "podman: under its full name"
	run pod image inspect --format '{{.Id}} {{.Digest}}' "$name"
	is "$out" "${cfg#sha256:} $md" "podman: the same config and manifest"
	for s in multi docker; do
		run pod load -i "$T/$s.tar"
		rc_is 0 "podman load: $s"
	done
	run pod save --format oci-archive -o "$T/podsave.tar" "$name"
	rc_is 0 "podman saves an oci-archive"
else
	skip "podman is not here, or TMPDIR is too long for it" 7
fi

# ---- containerd ----
if have containerd ctr; then
	mkdir "$T/ctd"
	cat >"$T/ctd/c.toml" <<END
version = 2
root = "$T/ctd/root"
state = "$T/ctd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$T/ctd/sock"
[ttrpc]
  address = "$T/ctd/ttrpc"
END
	bg unshare -m containerd -c "$T/ctd/c.toml" >"$T/ctd/log" 2>&1
	if wait_for 60 ctr -a "$T/ctd/sock" version; then
		run sh -c "pull -q $name | ctr -a $T/ctd/sock image import --snapshotter native -"
		rc_is 0 "ctr image import from a pipe"
		run ctr -a "$T/ctd/sock" image ls
		like "$out" "^$name .*$md" "ctr: name and digest"
		run ctr -a "$T/ctd/sock" image import --no-unpack --all-platforms "$T/multi.tar"
		rc_is 0 "ctr: several platforms"
		run ctr -a "$T/ctd/sock" image import --no-unpack "$T/docker.tar"
		rc_is 0 "ctr: docker's media types"
		run ctr -a "$T/ctd/sock" image export "$T/ctrsave.tar" "$name"
		rc_is 0 "ctr exports it"
	else
		_show 5 <"$T/ctd/log"
		skip "containerd does not start here" 5
	fi
	bg_end
else
	skip "containerd is not here" 5
fi

# ---- docker ----
if have dockerd docker; then
	mkdir "$T/dk"
	echo '{}' >"$T/dk/c.json"
	# it has its containerd write stacks to TMPDIR when that is slow
	bg env TMPDIR="$T/dk" unshare -m dockerd --config-file "$T/dk/c.json" --data-root "$T/dk/root" --exec-root "$T/dk/exec" -p "$T/dk/pid" \
		-H "unix://$T/dk/sock" --storage-driver vfs --iptables=false --ip6tables=false --bridge none --ip-forward=false \
		--ip-masq=false >"$T/dk/log" 2>&1
	if wait_for 60 docker -H "unix://$T/dk/sock" version; then
		run sh -c "pull -q $name | docker -H unix://$T/dk/sock load"
		rc_is 0 "docker load from a pipe"
		run docker -H "unix://$T/dk/sock" image inspect --format '{{.Id}} {{.RepoTags}}' "$name"
		is "$out" "$cfg [$name]" "docker: the same config under its full name"
		run docker -H "unix://$T/dk/sock" load -i "$T/docker.tar"
		rc_is 0 "docker load: docker's media types"
		run docker -H "unix://$T/dk/sock" load -i "$T/multi.tar"
		rc_is 0 "docker load: of several platforms"
	else
		_show 5 <"$T/dk/log"
		skip "dockerd does not start here" 4
	fi
	bg_end
else
	skip "docker is not here" 4
fi

# ---- what others write ----
if [ -e "$T/bin/unpack" ]; then
	run unpack -q "$tiny" "$T/want"
	rc_is 0 "our own tree"
	skopeo --insecure-policy copy -q "oci:$tiny:latest" "oci-archive:$T/skopeo.tar:$name"
	for s in tiny skopeo podsave ctrsave; do
		[ -f "$T/$s.tar" ] || { skip "$s is not here"; continue; }
		run sh -c "cat '$T/$s.tar' | unpack -q '$T/u-$s'"
		rc_is 0 "unpack of a stream by $s"
		ok "$s: the same tree" "$tools/treecmp" "$T/want" "$T/u-$s"
		run unpack -q "$T/$s.tar" "$T/f-$s"
		ok "$s: the same from the file" "$tools/treecmp" "$T/want" "$T/f-$s"
	done
	# members in the worst order: layers first, index last
	mkdir "$T/x" && tar -xf "$T/tiny.tar" -C "$T/x"
	(cd "$T/x" && find blobs -type f | sort -r | tar -cf "$T/rev.tar" --no-recursion -T - manifest.json index.json oci-layout)
	run sh -c "cat '$T/rev.tar' | unpack -q '$T/u-rev'"
	rc_is 0 "a stream in the worst order"
	ok "the same tree" "$tools/treecmp" "$T/want" "$T/u-rev"
else
	skip "no unpack in this binary"
fi
done_testing
