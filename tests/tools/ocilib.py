"""What the image makers share: layers by tarfile or by raw headers, OCI layouts, indexes.  Standard
library only."""
import gzip, hashlib, io, json, os, struct, subprocess, tarfile, zlib

T0 = 1700000000
OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
MT = {
    "oci": {"manifest": OCI + "manifest.v1+json", "index": OCI + "index.v1+json", "config": OCI + "config.v1+json",
            "tar": OCI + "layer.v1.tar", "gzip": OCI + "layer.v1.tar+gzip", "zstd": OCI + "layer.v1.tar+zstd"},
    "docker": {"manifest": DOCKER + "distribution.manifest.v2+json",
               "index": DOCKER + "distribution.manifest.list.v2+json",
               "config": DOCKER + "container.image.v1+json", "tar": DOCKER + "image.rootfs.diff.tar",
               "gzip": DOCKER + "image.rootfs.diff.tar.gzip", "zstd": DOCKER + "image.rootfs.diff.tar.zstd"},
}


def sha(b):
    return "sha256:" + hashlib.sha256(b).hexdigest()


def dumps(o):
    return json.dumps(o, separators=(",", ":")).encode()


def gz(raw, level=6):
    c = zlib.compressobj(level, zlib.DEFLATED, 31)
    return c.compress(raw) + c.flush()


def zstd(raw, *opts):
    return subprocess.run(["zstd", "-q", "-c", *opts], input=raw, stdout=subprocess.PIPE, check=True).stdout


class Layout:
    """An OCI image layout directory that is being written."""

    def __init__(self, path):
        self.path, self.entries = path, []
        os.makedirs(path + "/blobs/sha256", exist_ok=True)
        with open(path + "/oci-layout", "w") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')

    def put(self, b):
        d = sha(b)
        with open("%s/blobs/sha256/%s" % (self.path, d[7:]), "wb") as f:
            f.write(b)
        return {"digest": d, "size": len(b)}

    def put_file(self, src):
        """Moves the file SRC in as a blob."""
        h, n = hashlib.sha256(), 0
        with open(src, "rb") as f:
            while b := f.read(1 << 20):
                h.update(b)
                n += len(b)
        os.rename(src, "%s/blobs/sha256/%s" % (self.path, h.hexdigest()))
        return {"digest": "sha256:" + h.hexdigest(), "size": n}

    def layer(self, raw, comp="gzip", blob=None, kind="oci", media=None, diff_id=None):
        """RAW tar to (descriptor, diff_id); BLOB is the compressed form when it is an odd one."""
        if blob is None:
            blob = gz(raw) if comp == "gzip" else zstd(raw) if comp == "zstd" else raw
        return dict({"mediaType": media or MT[kind][comp]}, **self.put(blob)), diff_id or sha(raw)

    def manifest(self, layers, config=None, arch="amd64", variant=None, kind="oci", extra=None, diff_ids=None,
                 os_name="linux", config_bytes=None):
        """LAYERS are (descriptor, diff_id); gives the manifest's descriptor with its platform."""
        c = {"created": "2023-11-14T22:13:20Z", "architecture": arch, "os": os_name,
             "config": config if config is not None else {"Cmd": ["/bin/sh"]},
             "rootfs": {"type": "layers", "diff_ids": diff_ids or [d for _, d in layers]},
             "history": [{"created": "2023-11-14T22:13:20Z", "created_by": "layer %d" % i}
                         for i in range(len(layers))]}
        plat = {"architecture": arch, "os": os_name}
        if variant:
            c["variant"] = plat["variant"] = variant
        cb = config_bytes if config_bytes is not None else dumps(c)
        m = {"schemaVersion": 2, "mediaType": MT[kind]["manifest"],
             "config": dict({"mediaType": MT[kind]["config"]}, **self.put(cb)), "layers": [d for d, _ in layers]}
        m.update(extra or {})
        return dict({"mediaType": MT[kind]["manifest"]}, **self.put(dumps(m)), platform=plat)

    def index(self, descs, kind="oci", extra=None):
        i = {"schemaVersion": 2, "mediaType": MT[kind]["index"], "manifests": descs}
        i.update(extra or {})
        return dict({"mediaType": MT[kind]["index"]}, **self.put(dumps(i)))

    def tag(self, desc, name="latest"):
        d = {k: v for k, v in desc.items() if k != "platform"}
        d["annotations"] = dict(d.get("annotations", {}), **{"org.opencontainers.image.ref.name": name})
        self.entries.append(d)
        self.write()

    def write(self):
        with open(self.path + "/index.json", "wb") as f:
            f.write(dumps({"schemaVersion": 2, "mediaType": MT["oci"]["index"], "manifests": self.entries}))


class Tar:
    """A layer by tarfile, for what an ordinary tar can say."""

    def __init__(self, fmt=tarfile.PAX_FORMAT):
        self.b = io.BytesIO()
        self.t = tarfile.open(fileobj=self.b, mode="w", format=fmt)

    def add(self, name, typ=tarfile.REGTYPE, data=b"", mode=0o644, uid=0, gid=0, link="", mtime=T0, pax=None, dev=None):
        ti = tarfile.TarInfo(name)
        ti.type, ti.mode, ti.uid, ti.gid, ti.mtime, ti.linkname = typ, mode, uid, gid, mtime, link
        ti.size = len(data)
        ti.pax_headers = dict(pax or {})
        if dev:
            ti.devmajor, ti.devminor = dev
        self.t.addfile(ti, io.BytesIO(data))
        return self

    def dir(self, name, mode=0o755, **k):
        return self.add(name, tarfile.DIRTYPE, mode=mode, **k)

    def file(self, name, data=b"", mode=0o644, **k):
        return self.add(name, data=data if isinstance(data, bytes) else data.encode(), mode=mode, **k)

    def sym(self, name, target, **k):
        return self.add(name, tarfile.SYMTYPE, link=target, mode=0o777, **k)

    def hard(self, name, target, **k):
        return self.add(name, tarfile.LNKTYPE, link=target, **k)

    def dev(self, name, typ, major, minor, mode=0o600, **k):
        return self.add(name, {"c": tarfile.CHRTYPE, "b": tarfile.BLKTYPE}[typ], mode=mode, dev=(major, minor), **k)

    def fifo(self, name, mode=0o600, **k):
        return self.add(name, tarfile.FIFOTYPE, mode=mode, **k)

    def raw(self, b):
        """Bytes of one's own making between the entries."""
        self.t.fileobj.write(b)
        self.t.offset += len(b)
        return self

    def done(self):
        self.t.close()
        return self.b.getvalue()


def hdr(name=b"", typ=b"0", size=0, link=b"", mode=0o644, uid=0, gid=0, mtime=T0, magic=b"ustar\x0000", prefix=b"",
        uname=b"", gname=b"", dev=(0, 0), fields=None, chksum=None):
    """One raw 512-byte header; FIELDS maps an offset to bytes that replace what stands there."""
    e = lambda s: s.encode() if isinstance(s, str) else s
    o = lambda v, n: (b"%0*o" % (n - 1, v)) + b"\0" if isinstance(v, int) else v.ljust(n, b"\0")
    h = bytearray(512)

    def at(i, b, n):
        h[i:i + min(n, len(b))] = b[:n]
    at(0, e(name), 100)
    at(100, o(mode, 8), 8), at(108, o(uid, 8), 8), at(116, o(gid, 8), 8)
    at(124, o(size, 12), 12), at(136, o(mtime, 12), 12)
    at(156, e(typ), 1), at(157, e(link), 100)
    at(257, magic, 8)
    if magic:
        at(265, e(uname), 32), at(297, e(gname), 32)
        if magic.startswith(b"ustar"):
            at(329, o(dev[0], 8), 8), at(337, o(dev[1], 8), 8), at(345, e(prefix), 155)
    for i, b in (fields or {}).items():
        at(i, b, len(b))
    h[148:156] = b" " * 8
    h[148:156] = chksum or b"%06o\0 " % sum(h)
    return bytes(h)


def pad(b):
    return b + b"\0" * (-len(b) % 512)


def paxrec(key, val):
    e = lambda s: s.encode() if isinstance(s, str) else s
    body = b" " + e(key) + b"=" + e(val) + b"\n"
    n = len(body) + 1
    while len(str(n)) + len(body) != n:
        n = len(str(n)) + len(body)
    return str(n).encode() + body


def pax(records, typ=b"x"):
    """RECORDS: pairs (so that duplicates can be said) or ready bytes."""
    b = records if isinstance(records, bytes) else b"".join(paxrec(k, v) for k, v in records)
    return hdr(b"././@PaxHeader", typ, len(b)) + pad(b)


def gnulong(b, typ=b"L"):
    b = b + b"\0"
    return hdr(b"././@LongLink", typ, len(b), magic=b"ustar  \0") + pad(b)


def ent(name, typ=b"0", data=b"", **k):
    return hdr(name, typ, k.pop("size", len(data)), **k) + pad(data)


END = b"\0" * 1024


def vfs_cap(permitted, effective=True, rootid=None):
    """The bytes of a security.capability attribute, v2, or v3 with ROOTID."""
    magic = (0x03000000 if rootid is not None else 0x02000000) | (1 if effective else 0)
    b = struct.pack("<IIIII", magic, permitted & 0xffffffff, 0, permitted >> 32, 0)
    return b + struct.pack("<I", rootid) if rootid is not None else b
