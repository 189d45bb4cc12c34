#!/bin/sh
# What the build promises: a hardened static binary, installing, configurations, libraries that are
# checked before they are used.
. "${0%/*}/lib.sh"

need make gcc readelf kconfig-conf
[ "${BUILD##*/}" = native ] || skip_all "only for the usual build (make check)"
cd "$top" || exit 1
unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES
MACHINE=$(uname -m)
export MACHINE
mk() { make --no-print-directory "$@"; }

# --- the binary
elf=$(readelf -lhdW "$OCIBOX")
like "$elf" 'Type: +DYN' "the binary is position independent"
unlike "$elf" 'INTERP|NEEDED' "and static"
like "$elf" 'GNU_RELRO' "with read-only relocations"
like "$elf" 'BIND_NOW|FLAGS.*NOW' "all of them, bound at start"
like "$elf" 'GNU_STACK .* RW +0x' "no executable stack"
unlike "$elf" 'LOAD .* RWE' "and no page that is writable and executable"
unlike "$(readelf -SW "$OCIBOX")" 'symtab|debug' "stripped"
like "$(nm "$BUILD/ocibox.debug")" '__stack_chk_fail' "with stack protector"

# --- building again
run mk
unlike "$out$err" ' CC | LINK ' "a second make does nothing"

# --- installing
ok "make install" mk install DESTDIR="$T/root" PREFIX=/usr
is "$(cd "$T/root/usr/bin" && find . -type l | sed 's,./,,' | sort)" "$("$OCIBOX" --list | sort)" \
	"a symlink per applet"
for a in $("$OCIBOX" --list); do
	ok "the installed $a runs" "$T/root/usr/bin/$a" --help
	like "$(man -l --warnings "$T/root/usr/share/man/man1/ocibox-$a.1" 2>&1)" "$a - " "$a has a man page"
	is "$(man -l --warnings "$T/root/usr/share/man/man1/ocibox-$a.1" 2>&1 >/dev/null)" "" "without a warning"
done
ok "the notices of the linked libraries" test -s "$T/root/usr/share/doc/ocibox/notices/musl" \
	-a -s "$T/root/usr/share/doc/ocibox/notices/bearssl"

# what another program has there stays: /usr/bin/login, or busybox's link
for how in file link; do
	rm -f "$T/root/usr/bin/login"
	case $how in file) echo theirs >"$T/root/usr/bin/login" ;; link) ln -s busybox "$T/root/usr/bin/login" ;; esac
	was=$(stat -c '%F %s' "$T/root/usr/bin/login")
	run mk install DESTDIR="$T/root" PREFIX=/usr
	is "$rc $(stat -c '%F %s' "$T/root/usr/bin/login")" "0 $was" "make install leaves another program's $how"
	run "$OCIBOX" --install "$T/root/usr/bin"
	is "$rc $(stat -c '%F %s' "$T/root/usr/bin/login")" "73 $was" "so does --install"
	like "$err" "warning: $T/root/usr/bin/login is another program's, and was left alone" "which is told"
	ok "and the others are made" test "$T/root/usr/bin/unpack" -ef "$OCIBOX"
done

# --- libseccomp is LGPL: the binary can be linked again with another
ok "make relink-kit" mk relink-kit
tar -C "$T" -xzf "$BUILD/ocibox-relink.tar.gz"
ok "the kit links" "$T/ocibox-relink/relink"
is "$("$T/ocibox-relink/ocibox" --list)" "$("$OCIBOX" --list)" "and what it links runs"

# --- configurations
for seed in 0x1 0x2 0x5; do
	o=build/rand/$seed
	mkdir -p $o
	KCONFIG_SEED=$seed KCONFIG_CONFIG=$o/.config kconfig-conf --randconfig Kconfig >/dev/null 2>&1
	sed -i '/WERROR/d' $o/.config
	ok "make randconfig with KCONFIG_SEED=$seed builds, and so do its tests" mk O=$o CONFIG=$o/.config OBJECTS=build/objects all unit
	ok "and runs" $o/ocibox --version
done
rm "$o/libcommon/main.o"
ok "and later builds need no network" unshare -rn make O="$o" CONFIG="$o/.config"
for c in full fetch run initramfs; do
	KCONFIG_CONFIG=$T/$c kconfig-conf --defconfig=configs/${c}_defconfig Kconfig >/dev/null 2>&1
done
has() { grep -qx "CONFIG_$2=y" "$T/$1"; }
ok "full has pull, unpack, ns-run and TLS" eval 'has full PULL && has full UNPACK && has full NS_RUN && has full TLS'
ok "fetch has no ns-run and no container" eval 'has fetch PULL && ! has fetch NS_RUN && ! has fetch CONTAINER'
ok "run has no network client" eval 'has run NS_RUN && ! has run PULL && ! has run REGISTRY'
ok "initramfs has zlib and no encoder" eval \
	'has initramfs PULL && has initramfs GZIP_ZLIB && ! has initramfs GZIP_IGZIP && ! has initramfs ZSTD_ENCODE'

# --- libraries
mkdir -p "$T/src/scripts" "$T/tarballs"
cp scripts/deps scripts/deps.list scripts/igzip_glue.c "$T/src/scripts/"
echo junk >"$T/tarballs/musl_1.2.5.orig.tar.gz"
run env DEPS_DIR="$T/tarballs" "$T/src/scripts/deps" fetch
isnt "$rc" 0 "a tarball with another digest is refused"
like "$err" 'SHA-256' "by its digest"
ok "and not kept" test ! -e "$T/src/build/deps/tarballs/musl_1.2.5.orig.tar.gz"

# --- header comments of applets
printf '/*\n * x - a "thing" \\\n *\n * usage: x [OPTION]...\n *\n * options:\n *   -a, --all   all of "it" \\\n */\n' >"$T/x.c"
run scripts/applet table "$T/x.c"
like "$out" '"a \\"thing\\" \\\\"' "summaries are quoted for C"
run scripts/applet help "$T/x.c"
like "$out" '^  -a, --all   all of "it" \\$' "texts of --help are not"
like "$(scripts/applet kconfig "$T/x.c")" 'bool "x: a \\"thing\\" \\\\"' "the summary is the prompt, quoted for Kconfig"
is "$(scripts/applet options "$T/x.c" | tr '\n' ' ')" "all debug help quiet version " "the options"
printf '/*\n * x - a thing\n *\n * options:\n *   --all   all\n * of it\n */\n' >"$T/x.c"
nok "text at the left edge within a section is refused" scripts/applet table "$T/x.c"
printf '/*\n * y - another name\n */\n' >"$T/x.c"
nok "a comment with another name is refused" scripts/applet table "$T/x.c"

done_testing
