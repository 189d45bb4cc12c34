# ocibox: one static binary of OCI applets. `make help` tells the targets.
#
# Sources are chosen by lists keyed on Kconfig symbols: each layer's are in libcommon/LAYER/Makefile.inc,
# the applets' are generated (scripts/applet). All that is made goes below build/: $(O) holds one
# flavour's objects, build/deps the libraries, build/gen what is generated for all.

VERSION := 0.1.0
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all
SHELL := /bin/sh
ifeq ($(V),)
Q := @
else
Q :=
endif

comma := ,

# --- flavours: native, CROSS=TRIPLET; with clang on the host's libc: asan, fuzz, tsan ------------------
FLAVOUR := $(or $(CROSS),native)
O := build/$(FLAVOUR)
G = $(O)/gen
HOSTDEPS := build/deps/native
sanitizer := $(if $(filter asan fuzz,$(FLAVOUR)),asan)$(filter tsan,$(FLAVOUR))
ifneq ($(sanitizer),)
DEPFLAVOUR := $(sanitizer)
CC = clang
SIZE := size
NM := nm
STRIP := strip
else
DEPFLAVOUR := $(FLAVOUR)
ifeq ($(origin CC),command line)
$(error CC=$(CC): the static binary is built by gcc behind musl's wrapper; REALGCC=gcc-13 chooses another gcc, FLAVOUR=asan builds with clang)
endif
CC = $(DEPS)/bin/musl-gcc
export REALGCC := $(if $(CROSS),$(CROSS)-gcc,gcc)
SIZE := $(if $(CROSS),$(CROSS)-)size
NM := $(if $(CROSS),$(CROSS)-)nm
STRIP := $(if $(CROSS),$(CROSS)-)strip
endif
DEPS := build/deps/$(DEPFLAVOUR)
HOSTCC = REALGCC=gcc $(HOSTDEPS)/bin/musl-gcc
# The stripped binary; other flavours and other configurations leave theirs in their own folder.
BIN := $(if $(filter build/native,$(O)),ocibox,$(O)/ocibox)

# --- configuration: .config is the user's; each flavour completes it for its machine -------------------
CONFIG := .config
export MACHINE := $(if $(CROSS),$(firstword $(subst -, ,$(CROSS))),$(shell uname -m))
APPLETS := $(sort $(wildcard applets/*.c))
KCONFIG := Kconfig build/gen/Kconfig.applets
KCONF = KCONFIG_CONFIG=$(CONFIG) kconfig-conf

config-goals := menuconfig nconfig defconfig olddefconfig savedefconfig randconfig allnoconfig allyesconfig
defconfigs := $(notdir $(wildcard configs/*_defconfig))
# These need no configuration of a flavour.
plain-goals := help clean mrproper distclean lint size size-build size-check solo cross-layers $(config-goals) $(defconfigs)
ifneq ($(filter-out $(plain-goals),$(or $(MAKECMDGOALS),all)),)
include $(O)/config.mk
endif

.PHONY: all
all: $(if $(wildcard libcommon/main.c),$(BIN),objects)

$(CONFIG): | $(KCONFIG)
	@mkdir -p $(@D)
	$(Q)$(KCONF) --defconfig=configs/full_defconfig Kconfig >/dev/null

$(O)/config.mk: $(CONFIG) $(KCONFIG) scripts/config
	@mkdir -p $(@D)/include
	$(Q)scripts/config $(CONFIG) $(@D) $(KCONFIG)

# Written anew only when they say something new, so that little is compiled again.
update = cmp -s $@.new $@ 2>/dev/null && rm $@.new || mv $@.new $@

build/gen/Kconfig.applets: $(APPLETS) scripts/applet
	@mkdir -p $(@D)
	$(Q)scripts/applet kconfig $(APPLETS) >$@

build/gen/applets.mk: $(APPLETS) scripts/applet
	@mkdir -p $(@D)
	$(Q)scripts/applet mk $(APPLETS) >$@

menuconfig nconfig: $(KCONFIG)
	$(Q)KCONFIG_CONFIG=$(CONFIG) kconfig-$(if $(filter menuconfig,$@),m,n)conf Kconfig
defconfig: full_defconfig
olddefconfig allnoconfig allyesconfig randconfig: $(KCONFIG)
	$(Q)$(KCONF) --$@ Kconfig
savedefconfig: $(KCONFIG)
	$(Q)$(KCONF) --savedefconfig=build/defconfig Kconfig
	@echo "build/defconfig holds what differs from the defaults"
$(defconfigs): $(KCONFIG)
	$(Q)$(KCONF) --defconfig=configs/$@ Kconfig >/dev/null
.PHONY: $(config-goals) $(defconfigs)

# --- sources -----------------------------------------------------------------------------------------
LAYERS := base io codec oci registry runtime build cli
-include $(LAYERS:%=libcommon/%/Makefile.inc)
ifneq ($(filter-out $(plain-goals),$(or $(MAKECMDGOALS),all)),)
include build/gen/applets.mk
endif
lib-y := $(foreach l,$(LAYERS),$(addprefix libcommon/$l/,$(notdir $($l-y))))
LIBOBJ := $(lib-y:%=$(O)/%)
APPOBJ := $(obj-y:%=$(O)/%) $(G)/applets.o
MAINOBJ := $(O)/libcommon/main.o

# --- libraries: NAME of scripts/deps.list, and what is linked for it -----------------------------------
libs-y := jansson bearssl
libs-$(CONFIG_ZSTD_ENCODE) += zstdenc
libs-$(CONFIG_ZSTD) += zstd
libs-$(CONFIG_GZIP_IGZIP) += isal
libs-$(CONFIG_GZIP_ZLIB) += zlib
libs-$(CONFIG_COMPRESS) += libdeflate
libs-$(CONFIG_SECCOMP_COMPUTE) += seccomp
ld-jansson := -ljansson
ld-bearssl := -lbearssl
ld-zstdenc := -lzstd-alone -lzstd-compress
ld-zstd := $(if $(CONFIG_ZSTD_SMALL),-lzstd-small,-lzstd-decode -lzstd-common)
ld-isal := -ligzip
ld-zlib := -lz
ld-libdeflate := -ldeflate
ld-seccomp := -lseccomp-own
LDLIBS = $(foreach l,$(libs-y),$(ld-$l)) -lpthread
# The default seccomp filter is computed by a program that runs while building.
hostlibs-$(CONFIG_SECCOMP) += musl seccomp

# --- flags -------------------------------------------------------------------------------------------
# musl has no _FORTIFY_SOURCE; the sanitizers stand for it in the other flavours.
warn := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Wwrite-strings \
	-Wpointer-arith -Wno-unused-parameter -Wno-missing-field-initializers $(if $(CONFIG_WERROR),-Werror)
common := -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 $(warn) -I. -I$(O)/include -I$(G) -fno-strict-aliasing \
	-fno-common
ifneq ($(sanitizer),)
sanitize := $(if $(filter tsan,$(sanitizer)),-fsanitize=thread,-fsanitize=address,undefined -fno-sanitize-recover=undefined) $(if $(filter fuzz,$(FLAVOUR)),-fsanitize=fuzzer-no-link)
CFLAGS := $(common) -isystem $(DEPS)/include -O1 -g -fPIE -fno-omit-frame-pointer $(sanitize) -Wno-gnu-variable-sized-type-not-at-end
LDFLAGS := $(sanitize) -pie -L$(DEPS)/lib
else
lto := $(if $(CONFIG_LTO),-flto=auto)
CFLAGS := $(common) -Os -g1 -fPIE -ffunction-sections -fdata-sections -fstack-protector-strong -fno-plt \
	-fcf-protection=none -fno-asynchronous-unwind-tables -fmerge-all-constants $(lto)
ifneq ($(MACHINE),x86_64)
CFLAGS := $(filter-out -fcf-protection=none,$(CFLAGS))
endif
LDFLAGS := -static-pie -L$(DEPS)/lib -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--build-id=none \
	-Wl,--sort-section=alignment -Wl,-O1 -Wl,-T,scripts/link.ld $(if $(lto),$(lto) -Os -w)
# Relative relocations in their compact form, where the linker has it: 18 KB.
ifeq ($(MACHINE),x86_64)
LDFLAGS += -Wl,-z,pack-relative-relocs
endif
# This linker leaves empty relocations behind where it removed sections, and takes them for some of code.
ifeq ($(MACHINE),riscv64)
LDFLAGS += -Wl,-z,notext
endif
endif

# --- building ----------------------------------------------------------------------------------------
$(O)/deps.done: scripts/deps scripts/deps.list scripts/igzip_glue.c scripts/seccomp_table.c scripts/zstd_glue.c \
		$(O)/config.mk
	$(Q)scripts/deps build $(DEPFLAVOUR) musl $(libs-y)
	$(Q)$(if $(hostlibs-y),REALGCC=gcc scripts/deps build native $(hostlibs-y))
	@cat $(DEPS)/stamp/* | cmp -s - $(O)/deps.stamp || cat $(DEPS)/stamp/* >$(O)/deps.stamp
	@touch $@
$(O)/deps.stamp: $(O)/deps.done ;

flags-text = $(CC) $(CFLAGS) $(foreach v,$(sort $(filter cflags-%,$(.VARIABLES))),$v=$($v))
$(O)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(flags-text)' | cmp -s - $@ || echo '$(flags-text)' >$@

# OBJECTS=FOLDER: objects that are the same in several configurations are compiled once and kept there.
OBJECTS :=
compile = $(if $(OBJECTS),scripts/share $(OBJECTS) $@ $<) $(CC) $(CFLAGS) $1 -MMD -MP $(if $(OBJECTS),,-c -o $@ $<)
$(O)/%.o: %.c $(O)/flags $(O)/deps.stamp
	@mkdir -p $(@D)
	@echo "  CC      $(FLAVOUR) $<"
	$(Q)$(call compile,$(if $(filter libcommon/%,$<),-Wmissing-prototypes) $(cflags-$*.o))

$(G)/%.o: $(G)/%.c $(O)/flags $(O)/deps.stamp
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

features := TLS ZSTD ZSTD_ENCODE GZIP_IGZIP GZIP_ZLIB SECCOMP SECCOMP_COMPUTE PROGRESS
feature-text := $(foreach f,$(features),$(if $(CONFIG_$f),+,-)$(shell echo $f | tr A-Z_ a-z-)) $(sanitizer:%=+%)
$(G)/applets.c: $(filter applets/%,$(obj-y:.o=.c)) scripts/applet Makefile $(O)/config.mk
	@mkdir -p $(@D)
	$(Q)scripts/applet table $(filter applets/%.c,$^) >$@.new
	$(Q)scripts/applet help $(filter applets/%.c,$^) >$@.help
	$(Q){ echo 'const unsigned char applets_help[] = {'; \
		$(if $(CONFIG_HELP_PACKED),gzip -9n,cat) <$@.help | od -An -v -tu1 | sed 's/ *\([0-9][0-9]*\)/\1,/g'; \
		echo '};'; echo 'const size_t applets_help_n = sizeof(applets_help);'; } >>$@.new
	$(Q)echo 'const char ocibox_version[] = "$(VERSION)";' >>$@.new
	$(Q)echo 'const char ocibox_features[] = "$(strip $(feature-text))";' >>$@.new
	@$(update)

$(O)/libocibox.a: $(LIBOBJ) $(O)/flags
	@rm -f $@
	$(Q)$(if $(lto),$(if $(CROSS),$(CROSS)-)gcc-ar,ar) rcsD $@ $(LIBOBJ)

$(O)/ocibox.debug: $(MAINOBJ) $(APPOBJ) $(O)/libocibox.a
	@echo "  LINK    $@"
	@printf '%s\n' $(lib-y) >$@.objects
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -Wl,-Map=$@.map -o $@ $^ $(LDLIBS)

$(BIN): $(O)/ocibox.debug
	$(Q)$(if $(sanitizer),cp $< $@,$(STRIP) -s -R .comment -o $@ $<)
	@$(SIZE) $@ | awk 'NR == 2 { printf "  DONE    %s, text %d KiB, data %d KiB\n", "$@", $$1 / 1024, ($$2 + $$3) / 1024 }'

.PHONY: FORCE objects
FORCE:
objects: $(LIBOBJ) $(APPOBJ)

-include $(wildcard $(O)/libcommon/*.d $(O)/libcommon/*/*.d $(O)/applets/*.d $(G)/*.d $(O)/tests/*/*.d)

# --- tests -------------------------------------------------------------------------------------------
# What a configuration leaves out cannot be tested in it.
tests-need-REGISTRY := $(shell grep -l 'libcommon/registry' tests/unit/*.c tests/fuzz/*.c)
tests-need-TLS := tests/unit/x509.c tests/fuzz/x509.c tests/fuzz/tls.c
tests-need-CONTAINER := tests/unit/container.c tests/unit/runtime.c tests/fuzz/bundle.c
tests-need-SECCOMP_COMPUTE := tests/unit/seccomp.c tests/unit/seccomp_built_in.c
tests-need-PROGRESS := tests/unit/progress.c
tests-need-COMPRESS := tests/unit/parallel.c
tests-off := $(foreach s,REGISTRY TLS CONTAINER SECCOMP_COMPUTE PROGRESS COMPRESS,$(if $(CONFIG_$s),,$(tests-need-$s)))
UNIT := $(patsubst %.c,$(O)/%,$(filter-out $(tests-off),$(wildcard tests/unit/*.c)))
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(filter-out tests/fuzz/replay.c $(tests-off),$(wildcard tests/fuzz/*.c)))
REPLAY := $(FUZZERS:%=$(O)/tests/fuzz/%)
# Those that take longest first, so that none of them runs alone at the end; many others wait more than they compute.
LONGEST := $(wildcard $(patsubst %,tests/%.t,mklayer-random build listing mklayer-large budget pull-faults mkmanifest \
	push-faults unpack-hostile unpack-random ns-run-threats kill pull))
T := $(LONGEST) $(filter-out $(LONGEST),$(sort $(wildcard tests/*.t)))
FUZZ := $(FUZZERS)
FUZZ_SECONDS := 10
# inputs by chance, or those of a number
FUZZ_SEED :=
PROVE := prove -j$(shell echo $$(($$(nproc) + 1)))

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(O)/libocibox.a
	@echo "  LINK    $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The filters of all machines, of which the binary's own libseccomp knows one.
$(O)/tests/unit/seccomp: ld-seccomp := -lseccomp

# A fuzz target with a driver that feeds it its corpus, in every flavour but the fuzzer's own.
$(O)/tests/fuzz/%: $(O)/tests/fuzz/%.o $(if $(filter fuzz,$(FLAVOUR)),,$(O)/tests/fuzz/replay.o) $(O)/libocibox.a
	@echo "  LINK    $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(if $(filter fuzz,$(FLAVOUR)),-fsanitize=fuzzer) -o $@ $^ $(LDLIBS)

.SECONDARY:
.PHONY: unit replay check check-asan asan fuzz-smoke fuzzers bench
unit: $(UNIT)
replay: $(REPLAY)
fuzzers: $(FUZZ:%=$(O)/tests/fuzz/%)

# Leaks are looked for in the unit tests and the fuzz targets only: an applet's end frees its memory.
test-env = OCIBOX=$(abspath $(BIN)) BUILD=$(abspath $(O)) UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=$${TSAN_OPTIONS-report_thread_leaks=0}
UNITS := $(if $(filter command,$(origin T)),,$(UNIT) $(REPLAY))
check: $(BIN) $(UNIT) $(REPLAY)
	$(Q)bad=0; export $(test-env); \
	$(if $(UNITS),ASAN_OPTIONS=detect_leaks=1 $(PROVE) $(UNITS) || bad=1;) \
	ASAN_OPTIONS=detect_leaks=0 $(PROVE) $(T) || bad=1; \
	exit $$bad

asan:
	$(Q)$(MAKE) FLAVOUR=asan all
check-asan:
	$(Q)$(MAKE) FLAVOUR=asan check

fuzz-smoke:
	$(Q)$(MAKE) FLAVOUR=fuzz fuzzers
	$(Q)$(MAKE) FLAVOUR=fuzz $(FUZZ:%=fuzz-%)
# One target for a moment; `make -j` runs several at once.
fuzz-%: $(O)/tests/fuzz/%
	@mkdir -p build/fuzz/found/$*
	$(Q)$< -max_total_time=$(FUZZ_SECONDS) $(FUZZ_SEED:%=-seed=%) -rss_limit_mb=1024 -timeout=60 -artifact_prefix=build/fuzz/found/$*- \
		build/fuzz/found/$* tests/fuzz/corpus/$* >build/fuzz/found/$*.log 2>&1 || \
		{ echo "  FUZZ    $*"; tail -n 40 build/fuzz/found/$*.log; exit 1; }
	@echo "  FUZZ    $*: $$(tail -n 1 build/fuzz/found/$*.log)"

# --- other configurations -------------------------------------------------------------------------------
# Each applet alone, and nothing that it does not need.
solo: $(KCONFIG)
	@find build/objects -type f -mtime +1 -delete 2>/dev/null || :
	$(Q)for a in $(basename $(notdir $(APPLETS))); do \
		o=build/solo/$$a; mkdir -p $$o; \
		echo "CONFIG_$$(echo $$a | tr a-z- A-Z_)=y" >$$o/only; \
		KCONFIG_ALLCONFIG=$$o/only KCONFIG_CONFIG=$$o/.config kconfig-conf --allnoconfig Kconfig >/dev/null && \
		$(MAKE) O=$$o CONFIG=$$o/.config OBJECTS=build/objects && $$o/ocibox --list | grep -qx $$a || exit 1; \
	done

# What reads and writes layers, for other machines: tests/cross.t compares bytes under qemu.
MACHINES := arm-linux-gnueabihf riscv64-linux-gnu
cross-layers: $(KCONFIG)
	$(Q)for c in $(MACHINES); do \
		o=build/layers/$$c; mkdir -p $$o; \
		printf 'CONFIG_%s=y\n' MKLAYER MKMANIFEST UNPACK ZSTD ZSTD_ENCODE >$$o/only; \
		MACHINE=$${c%%-*} KCONFIG_ALLCONFIG=$$o/only KCONFIG_CONFIG=$$o/.config kconfig-conf --allnoconfig Kconfig >/dev/null && \
		$(MAKE) CROSS=$$c O=$$o CONFIG=$$o/.config || exit 1; \
	done

# The ledger of sizes, tests/size.txt: `size` writes it, `size-check` (tests/size.t) tells when it is out
# of date.
SIZED := full fetch run initramfs
size-build: $(KCONFIG)
	$(Q)for c in $(SIZED); do \
		o=build/size/$$c; mkdir -p $$o; \
		KCONFIG_CONFIG=$$o/.config kconfig-conf --defconfig=configs/$${c}_defconfig Kconfig >/dev/null && \
		$(MAKE) O=$$o CONFIG=$$o/.config OBJECTS=build/objects && \
		scripts/size $$c $$o/ocibox.debug.map $$o/ocibox >$$o/size.txt || exit 1; \
	done
size: size-build
	$(Q)cat $(SIZED:%=build/size/%/size.txt) >tests/size.txt
	$(Q)cat tests/size.txt
size-check: size-build
	$(Q)SIZE_CHECK=1 $(PROVE) tests/size.t

lint: $(KCONFIG)
	$(Q)scripts/lint
.PHONY: solo size size-build size-check cross-layers lint

# --- installing --------------------------------------------------------------------------------------
PREFIX := /usr/local
DESTDIR :=
bindir = $(DESTDIR)$(PREFIX)/bin
mandir = $(DESTDIR)$(PREFIX)/share/man/man1
docdir = $(DESTDIR)$(PREFIX)/share/doc/ocibox
enabled = $(patsubst applets/%.o,%,$(obj-y))
PORCELAIN := $(wildcard scripts/ocibox-*)

.PHONY: install relink-kit
install: $(BIN)
	install -d $(bindir) $(mandir) $(docdir)/notices
	install -m 755 $(BIN) $(bindir)/ocibox
	$(Q)for a in $(enabled); do \
		to=$$(readlink $(bindir)/$$a); \
		if [ "$${to##*/}" != ocibox ] && { [ -e $(bindir)/$$a ] || [ -L $(bindir)/$$a ]; }; then \
			echo "$(bindir)/$$a is another program's, and was left alone: say \"ocibox $$a\""; \
		else \
			ln -sf ocibox $(bindir)/$$a || exit 1; \
		fi; \
		scripts/applet man applets/$$a.c >$(mandir)/ocibox-$$a.1 || exit 1; \
	done
	$(Q)scripts/applet index $(enabled:%=applets/%.c) >$(mandir)/ocibox.1
	$(Q)$(foreach s,$(PORCELAIN),install -m 755 $s $(bindir)/ &&) :
	install -m 644 LICENSE README.md $(docdir)/
	install -m 644 $(foreach l,musl $(libs-y),$(DEPS)/notices/$l) $(docdir)/notices/

# All that is linked, and a script that links it again: with another build of libseccomp, as its licence
# (LGPL-2.1) lets everybody do. It needs the host's gcc and nothing else.
relink-kit: $(O)/ocibox.debug
	@rm -rf $(O)/ocibox-relink && mkdir -p $(O)/ocibox-relink
	$(Q)cp $(MAINOBJ) $(APPOBJ) $(O)/libocibox.a $(patsubst -l%,$(DEPS)/lib/lib%.a,$(filter-out -lpthread,$(LDLIBS)) -lc) \
		$(DEPS)/lib/rcrt1.o $(DEPS)/lib/crti.o $(DEPS)/lib/crtn.o $(O)/ocibox-relink/
	$(Q)printf '%s\n' '#!/bin/sh' '# Put your libseccomp.a here in place of libseccomp-own.a, and run this.' \
		'set -e; cd "$$(dirname "$$0")"; gcc=$${CC:-$(REALGCC)}' \
		'$$gcc -static-pie -nostartfiles -nodefaultlibs $(filter-out %.ld,$(filter -Wl$(comma)%,$(LDFLAGS))) -s -o ocibox rcrt1.o crti.o \' \
		'	$(notdir $(MAINOBJ) $(APPOBJ)) libocibox.a -L. $(filter-out -lpthread,$(LDLIBS)) -lc \' \
		'	"$$($$gcc -print-libgcc-file-name)" -lc crtn.o' >$(O)/ocibox-relink/relink
	@chmod +x $(O)/ocibox-relink/relink
	$(Q)tar -C $(O) -czf $(O)/ocibox-relink.tar.gz ocibox-relink
	@echo "  DONE    $(O)/ocibox-relink.tar.gz"

# Compares with other tools.
bench: $(BIN)
	$(Q)tests/bench/run $(abspath $(BIN))

.PHONY: clean mrproper distclean help
# Keeps the libraries; mrproper does not.
clean:
	rm -rf ocibox $(filter-out build/deps,$(wildcard build/*))
mrproper: clean
	rm -rf build .config .config.old
distclean: mrproper

help:
	@echo 'all (default)    the binary, ./ocibox; with CROSS=aarch64-linux-gnu (riscv64-linux-gnu,'
	@echo '                 arm-linux-gnueabihf) for another machine, build/$$CROSS/ocibox'
	@echo 'install          into DESTDIR= PREFIX=/usr/local, with a symlink per applet and man pages'
	@echo 'relink-kit       what it takes to link the binary with another libseccomp'
	@echo
	@echo 'menuconfig nconfig defconfig olddefconfig savedefconfig'
	@echo 'randconfig allnoconfig allyesconfig'
	@echo '                 choose what goes in (.config)'
	@echo '$(defconfigs)'
	@echo '                 ready-made choices'
	@echo
	@echo 'check            all tests, or T="tests/pull.t ..."'
	@echo 'check-asan       the same with AddressSanitizer and UBSan; FLAVOUR=tsan check: with ThreadSanitizer'
	@echo 'fuzz-smoke       each fuzz target for FUZZ_SECONDS=10, or FUZZ="tar json"; FUZZ_SEED=1: always the same'
	@echo 'bench            compare with other tools'
	@echo 'lint             rules of the code that no compiler checks'
	@echo 'solo             each applet linked alone'
	@echo 'cross-layers     mklayer, mkmanifest and unpack for arm and riscv64, which tests/cross.t runs'
	@echo 'size             where the bytes of each configuration come from: tests/size.txt'
	@echo
	@echo 'clean            remove what was built; mrproper, distclean: and the libraries and .config'
	@echo
	@echo 'DEPS_DIR=DIR     take the tarballs of the libraries from DIR instead of from apt'
	@echo 'REALGCC=gcc-13   another gcc (clang builds what is not shipped: FLAVOUR=asan, fuzz, tsan)'
	@echo 'V=1              show the commands'
