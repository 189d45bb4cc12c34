#!/bin/sh
# mklayer on trees and images that mean harm: what a container leaves behind, and what it does meanwhile.
# shellcheck disable=SC2034 # for lib.sh
in_memory=1
. "${0%/*}/lib.sh"
need python3 setfattr
need_applet mklayer

victim=$T/victim
mkdir -p "$victim/sub"
echo SECRET >"$victim/f"
echo SECRET >"$victim/sub/f"
at() { find "$@" -exec touch -h -d @1700000000 {} +; }

# ---- links lead nowhere ----
mkdir -p "$T/t/d" "$T/low/other"
ln -s "$victim" "$T/t/abs"
ln -s ../../../../../../../../../../../../../../"$victim" "$T/t/d/up"
ln -s "$victim/f" "$T/t/d/file"
ln -s "$victim" "$T/low/pre"
at "$T/t" "$T/low"
run mklayer --compression-format none "$T/t"
is "$rc $(tar -tvf "$T/out" | grep -c '^l.* -> ') $(tar -tf "$T/out" | grep -c sub)" "0 3 0" "T01 links are written, never followed"
cp -a "$victim" "$T/same"
run mklayer --compression-format none --lower "$T/low" --prefix pre "$T/same"
is "$rc $(tar -tf "$T/out" | tr '\n' ' ')" "0 pre/ pre/f pre/sub/ pre/sub/f " "T01 --prefix through a link of --lower: there is nothing before"
mkdir -p "$T/mid/d" && ln -s "$victim" "$T/low/d"
cp -a "$victim/." "$T/mid/d"
at "$T/low"
run mklayer --compression-format none --lower "$T/low" "$T/mid"
is "$rc $(tar -tf "$T/out" | tr '\n' ' ')" "0 ./ .wh.other .wh.pre d/ d/f d/sub/ d/sub/f " "T01 a link of --lower where DIR has a directory"
is "$(tar -tf "$T/out" | grep -Ec '^/|(^|/)\.\.(/|$)')" 0 "T10 names are relative, and lead nowhere else"

# ---- it changes while it is read ----
cat >"$T/racer" <<'END'
import ctypes, os, subprocess, sys, threading
T, victim = sys.argv[1:3]
libc = ctypes.CDLL(None)
raced = T + "/raced"
os.makedirs(raced + "/in/d/sub")
os.makedirs(T + "/raced-low/in/d/sub")
for d in ("d/f", "d/sub/f", "file"):
    open(raced + "/in/" + d, "w").write("harmless\n")
    open(T + "/raced-low/in/" + d, "w").write("harmless\n")
os.symlink(victim, raced + "/in/evil")
os.symlink(victim + "/f", raced + "/in/evil-f")
stop = False


def race():
    a, b, f, g = [(raced + "/in" + n).encode() for n in ("/d", "/evil", "/file", "/evil-f")]
    while not stop:
        libc.syscall(316 if os.uname().machine == "x86_64" else 276, -100, a, -100, b, 2)
        libc.syscall(316 if os.uname().machine == "x86_64" else 276, -100, f, -100, g, 2)


t = threading.Thread(target=race)
t.start()
runs, secret, seen, odd = 0, 0, set(), []
try:
    for i in range(150):
        for args in ([raced], ["--lower", T + "/raced-low", raced], ["--upper", "--lower", T + "/raced-low", raced], ["--lower", raced, T + "/raced-low"]):
            p = subprocess.run(["mklayer", "-q", "--compression-format", "none", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            runs += 1
            secret += b"SECRET" in p.stdout
            seen.add(p.returncode)
            if p.returncode not in (0, 75):
                odd.append(p.stderr.decode())
finally:
    stop = True
    t.join()
print("%d runs, %d with the secret" % (runs, secret), "raced" if len(seen) > 1 else "not raced", *odd[:3])
END
run python3 "$T/racer" "$T" "$victim"
like "$out" '^600 runs, 0 with the secret' "T05 directories and files that a racer exchanges for links: nothing from outside"
unlike "$out" 'with the secret (raced|not raced) .' "T05 such a run succeeds, or says that the tree changed: $(printf '%.300s' "$out")"

# ---- the tree stays as it is; what is made is nobody else's ----
mkdir "$T/up" && cp -a "$T/t/." "$T/up"
before=$("$tools/treecmp" --hash "$T/t")$("$tools/treecmp" --hash "$T/up")$("$tools/treecmp" --hash "$T/low")
run sh -c 'mklayer "$1/t"; mklayer --lower "$1/low" "$1/t"; mklayer --upper --lower "$1/low" "$1/up"' sh "$T"
is "$("$tools/treecmp" --hash "$T/t")$("$tools/treecmp" --hash "$T/up")$("$tools/treecmp" --hash "$T/low")" "$before" "T33 no tree is changed"
mkdir "$T/df"
run sh -c 'umask 077; mklayer --digestfile "$1/private" "$2" >/dev/null; umask 022; mklayer --digestfile "$1/public" "$2" >/dev/null; umask 0; mklayer --digestfile "$1/open" "$2" >/dev/null
	stat -c %a "$1/private" "$1/public" "$1/open"' sh "$T/df" "$T/t"
is "$out" "600
644
644" "T18 the mode of --digestfile: the umask takes away, nothing gives more"
old=$(cat "$T/df/public")
: >"$T/t/.wh.bad"
run mklayer --digestfile "$T/df/public" "$T/t"
is "$rc $(cat "$T/df/public")" "65 $old" "a run that fails leaves --digestfile as it was"
rm "$T/t/.wh.bad"
is "$(find "$T/df" -type f | wc -l)" 3 "and no other file beside it"

# ---- ids are strict ----
for id in 4294967295 4294967296 -1 0x0 +-1 ++0 + +x ' 0' '0 ' '' root 00x 18446744073709551616; do
	run mklayer --owner "$id" "$T/t"
	[ "$rc" = 64 ] || break
	run mklayer --group "$id" "$T/t"
	[ "$rc" = 64 ] || break
done
is "$rc" 64 "T50 --owner and --group take numbers, and none that means none ($id)"

# ---- images that mean harm, as the tree before ----
"$tools/mklayers" "$T/cases" --victim "$victim" >/dev/null || { fail "the generator"; done_testing; }
python3 -c '
import json, sys
for n, c in sorted(json.load(open(sys.argv[1])).items()):
    # what options of unpack refuse, or the file system
    if not c["options"] and not n.startswith("xattr-"):
        print(n, c["outcome"], ",".join(map(str, c["status"])))' "$T/cases/cases.json" >"$T/list"
mkdir "$T/nothing"
bad=
while read -r c outcome status; do
	[ -d "$T/cases/$c" ] || continue
	mklayer -q --lower-image "$T/cases/$c" "$T/nothing" >"$T/out" 2>"$T/err" </dev/null
	rc=$?
	case $outcome,$rc in
	refuse,0 | *,1[0-9][0-9]) bad="$bad $c($rc)" ;;
	refuse,*) case ,$status,64,65,66,71, in *,$rc,*) ;; *) bad="$bad $c($rc)" ;; esac ;;
	esac
done <"$T/list"
is "$bad" "" "T02 T06 T11 T12 T13 T14 T15 T81 hostile images for --lower-image: what unpack refuses is refused"
is "$(cat "$victim/f" "$victim/sub/f" | sort -u)" SECRET "and nothing outside was touched"

done_testing
