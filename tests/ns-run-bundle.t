#!/bin/sh
# ns-run -b: OCI bundles, as crun and runc write them and as people change them.
. "${0%/*}/lib.sh"
need busybox jq
need_applet ns-run
need_userns

b=$T/bundle
mkdir -p "$b/rootfs/bin" "$b/rootfs/etc" "$b/rootfs/tmp" "$b/rootfs/data"
chmod 777 "$b/rootfs"
cp "$(command -v busybox)" "$b/rootfs/bin/busybox"
for a in sh ls cat id env hostname pwd grep stat sleep true ulimit umask readlink; do ln -s busybox "$b/rootfs/bin/$a"; done
cat >"$T/plain.json" <<'END'
{
  "ociVersion": "1.0.2",
  "process": {
    "terminal": true,
    "user": { "uid": 0, "gid": 0 },
    "args": [ "sh", "-c", "echo from the bundle" ],
    "env": [ "PATH=/bin", "A=b" ],
    "cwd": "/",
    "capabilities": {
      "bounding": [ "CAP_KILL", "CAP_NET_RAW" ], "effective": [ "CAP_KILL" ],
      "inheritable": [], "permitted": [ "CAP_KILL", "CAP_NET_RAW" ], "ambient": []
    },
    "rlimits": [ { "type": "RLIMIT_NOFILE", "hard": 512, "soft": 256 } ],
    "noNewPrivileges": true
  },
  "root": { "path": "rootfs", "readonly": true },
  "hostname": "bundled",
  "mounts": [
    { "destination": "/proc", "type": "proc", "source": "proc" },
    { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": [ "nosuid", "strictatime", "mode=755", "size=65536k" ] },
    { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": [ "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620" ] },
    { "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [ "nosuid", "noexec", "nodev", "mode=1777", "size=32m" ] },
    { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [ "nosuid", "noexec", "nodev", "ro" ] },
    { "destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": [ "size=64k", "mode=750" ] }
  ],
  "linux": {
    "resources": { "devices": [ { "allow": false, "access": "rwm" } ] },
    "namespaces": [ { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" } ],
    "maskedPaths": [ "/proc/kcore", "/proc/keys" ],
    "readonlyPaths": [ "/proc/sys" ]
  }
}
END
config() { jq "$1" "$T/plain.json" >"$b/config.json"; }

bundle() { # WHO RUNNER...
	who=$1
	shift
	config .
	run "$@" ns-run -b "$b"
	is "$out|$err|$rc" "from the bundle||0" "$who: its own process, no warning"
	run "$@" ns-run -b "$b" -- sh -c 'hostname; env; pwd; umask; ulimit -n; ulimit -Hn; stat -c %a /data; echo x >/x || echo ro; grep Cap /proc/self/status; stat -fc %T /dev/shm'
	is "$(printf '%s\n' "$out" | sed -n 1p)" bundled "$who: hostname"
	like "$out" '^A=b$' "$who: environment"
	like "$out" '^0022$' "$who: umask"
	is "$(printf '%s\n' "$out" | grep -xE '256|512' | tr '\n' ' ')" "256 512 " "$who: limits"
	like "$out" '^750$' "$who: mounts"
	like "$out" '^ro$' "$who: a read-only root"
	like "$out" 'CapPrm:	0000000000002020' "$who: permitted"
	like "$out" 'CapEff:	0000000000002020' "$who: root has all that is permitted once it executes"
	like "$out" 'CapBnd:	0000000000002020' "$who: bounding"
	run "$@" ns-run -b "$b" -e A=c -e B=d --hostname other --cap-drop NET_RAW --workdir /tmp -- sh -c 'hostname; env; pwd; grep CapBnd /proc/self/status'
	like "$out" 'A=c' "$who: options go over the bundle's variables"
	like "$out" 'CapBnd:	0000000000000020' "$who: and capabilities"
	like "$out" '^/tmp$' "$who: and directory"
	run "$@" ns-run --hostname first -b "$b" hostname
	is "$out" first "$who: wherever -b stands"
	run "$@" ns-run -b "$b" sh -c 'readlink /proc/self/ns/cgroup'
	is "$out" "$(readlink /proc/self/ns/cgroup)" "$who: a namespace that is not asked for is the host's"
	config '.process.user.umask = 7 | .process.cwd = "/made" | .root.readonly = false'
	run "$@" ns-run -b "$b" sh -c 'umask; pwd'
	is "$out" "0007
/made" "$who: umask and cwd"
	config '.mounts += [{destination: "/src", type: "bind", source: "rootfs/etc", options: ["rbind", "ro"]}] | .root.readonly = false'
	run "$@" sh -c 'cd / && ns-run -b "$1" sh -c "ls /src; echo x >/src/x"' - "$b"
	rc_is 1 "$who: a bind relative to the bundle, read-only"

	config '.linux.maskedPaths = ["/proc/../../etc", "/sys/../../usr"]'
	mkdir -p "$b/rootfs/usr/x" "$b/rootfs/etc/x"
	chmod -R a+rX "$b/rootfs/usr" "$b/rootfs/etc"
	run "$@" ns-run -b "$b" sh -c 'ls /etc /usr | grep -c x'
	is "$out" 0 "$who: what is masked by a way around is masked"

	for bad in '.hooks.prestart = [{path: "/bin/x"}]|hooks' '.linux.namespaces[0].path = "/proc/1/ns/pid"|joining a pid' \
		'.linux.namespaces += [{type: "time"}]|time' '.linux.sysctl = {"net.core.somaxconn": "1"}|sysctl' \
		'.linux.devices = [{path: "/dev/x", type: "c", major: 1, minor: 1}]|devices' \
		'.process.selinuxLabel = "x"|selinuxLabel' '.process.apparmorProfile = "x"|apparmorProfile' \
		'.ociVersion = "2.0"|ociVersion' 'del(.linux)|no linux' 'del(.process.cwd)|cwd' 'del(.root)|root.path' \
		'.process.user.uid = -1|uid' '.process.user.uid = 4294967295|uid' '.process.user.uid = "0"|uid' \
		'.process.rlimits[0].type = "RLIMIT_X"|RLIMIT_X' '.mounts += [{destination: "rel"}]|destination' \
		'.mounts += [{destination: "/x", type: "ext4", source: "/dev/sda"}]|ext4' \
		'.mounts += [{destination: "/x", type: "tmpfs", options: ["rshared"]}]|rshared' \
		'.linux.rootfsPropagation = "shared"|rootfsPropagation' '.linux.namespaces = []|mount namespace' \
		'.process.args = []|program' '.process.args = [1]|args' '.mounts = {}|mounts'; do
		config "${bad%|*}"
		run "$@" ns-run -b "$b"
		rc_is 125 "$who: refused: ${bad%|*}"
		like "$err" "${bad##*|}" "$who: by name"
	done
	config '.process.oomScoreAdj = 100 | .linux.cgroupsPath = "/x" | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW"} | .linux.resources.memory.limit = 1 | .new = {a: 1}
		| .process.capabilities.bounding += ["CAP_FUTURE"]'
	run "$@" ns-run -q -b "$b"
	rc_is 0 "$who: what a container can do without is left out"
	for w in process.oomScoreAdj linux.cgroupsPath linux.seccomp linux.resources config.new CAP_FUTURE; do
		like "$err" "warning: .*$w" "$who: with a warning: $w"
	done
	printf '{"ociVersion": "1.0.2", "ociVersion": "1.0.2"}' >"$b/config.json"
	run "$@" ns-run -b "$b"
	rc_is 125 "$who: doubled keys"
	rm "$b/config.json"
	run "$@" ns-run -b "$b"
	rc_is 125 "$who: no config.json"
	like "$err" 'config.json' "$who: it says which file"
}

if is_root; then
	bundle root
	config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 300000, size: 1000}] | .linux.gidMappings = [{containerID: 0, hostID: 400000, size: 1000}]'
	chmod 755 "$b" "$b/rootfs/bin/busybox"
	mkdir -p "$b/rootfs/proc" "$b/rootfs/dev" "$b/rootfs/sys"
	run ns-run -b "$b" cat /proc/self/uid_map /proc/self/gid_map
	is "$(echo $out)" "0 300000 1000 0 400000 1000" "mappings"
	bundle user as_user
	if have crun && (cd "$T" && crun spec 2>/dev/null); then
		mv "$T/config.json" "$b/config.json"
		run ns-run -b "$b" true
		is "$rc$err" 0 "what crun writes runs without a warning"
		rm -f "$T/config.json"
		(cd "$T" && crun spec --rootless) && mv "$T/config.json" "$b/config.json"
		jq 'del(.linux.uidMappings, .linux.gidMappings)' "$b/config.json" >"$b/c" && mv "$b/c" "$b/config.json"
		chmod 644 "$b/config.json"
		run as_user ns-run -b "$b" true
		is "$rc$err" 0 "what it writes for ordinary users, too"
	else
		skip "no crun" 2
	fi
else
	bundle self
fi
done_testing
