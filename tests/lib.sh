# shellcheck shell=sh
# TAP helpers for the suites: POSIX sh, sourced by tests/NAME.t as
#
#	. "${0%/*}/lib.sh"
#
# Results (every one prints one TAP line and never ends the script):
#	pass NAME | fail NAME
#	ok NAME CMD [ARG...]		CMD succeeds (its output becomes diagnostics if not)
#	nok NAME CMD [ARG...]		CMD fails
#	is GOT WANT NAME | isnt GOT WANT NAME
#	like TEXT ERE NAME | unlike TEXT ERE NAME
#	run CMD [ARG...]		runs it: $rc, $out, $err, and whole in $T/out, $T/err;
#					standard input is /dev/null unless redirected
#	rc_is N NAME			the last run ended with N (shows its stderr if not)
#	skip REASON [COUNT]		that many results are skipped
#	skip_all REASON			the whole file is (before the first result)
#	diag TEXT...
#	plan N | done_testing		one of them; done_testing at the end is the usual
#
# Needs:
#	need CMD...			skip_all where one is missing
#	need_root | need_userns		skip_all where that cannot be had
#	have CMD...			only asks
#
# Surroundings, all private to the test and gone at its exit:
#	$T		scratch directory (0755); $TMPDIR is $T/tmp and must be empty at the end
#	$top, $tools	the source tree, tests/tools
#	$OCIBOX		the binary under test; its applets are on PATH ($T/bin)
#	as_user CMD...	as an unprivileged user that has a subordinate id range
#	as_user_nosub	as one that has none (both are made at the first use, home in $T)
#	user_name nosub|sub	the name of that user
#	bg CMD...	starts a server in the background: $bg_pid; ended at exit
#	wait_for N CMD...	tries CMD for N seconds; N is generous: it is for the machine that
#			stutters, and a good one never waits so long
#	on_exit COMMAND-TEXT	evaluated at exit, last first
#	cached NAME CMD...	builds directory NAME of the image cache once, whoever asks
#				first ($cache/NAME; CMD gets the path to fill); sets $cached
#
# done_testing also tests that the script leaves no process, mount, interface or file.

LC_ALL=C TZ=UTC
export LC_ALL TZ
unset CDPATH SOURCE_DATE_EPOCH DOCKER_CONFIG DOCKER_AUTH_CONFIG REGISTRY_AUTH_FILE SSL_CERT_FILE \
	HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy XDG_RUNTIME_DIR

top=$(cd "$(dirname "$0")/.." && pwd -P)
# a test may lie deeper than tests/
while [ ! -f "$top/tests/lib.sh" ] && [ "$top" != / ]; do top=$(dirname "$top"); done
tools=$top/tests/tools
export tools
# Debian's python3 first: the tools use the standard library only
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH

_n=0 _bad=0 _plan='' _pids='' _exit='' _done=''
umask 022
# Suites that make and delete many files ask for a scratch directory in memory (in_memory=1 before they source this): deleting them on a disk
# takes longer than the test. Where memory is short or holds no extended attributes it is the disk after all.
if [ "${in_memory:-}" ] && [ -z "${OCIBOX_TEST_TMP:-}" ] && [ -w /dev/shm ] && [ "$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)" -ge 4 ] &&
	python3 -c 'import os, tempfile; f = tempfile.NamedTemporaryFile(dir="/dev/shm"); os.setxattr(f.name, "user.x", b"1")' 2>/dev/null; then
	OCIBOX_TEST_TMP=/dev/shm
fi
T=$(mktemp -d "${OCIBOX_TEST_TMP:-${TMPDIR:-/tmp}}/obt.XXXXXX") || exit 99
T=$(cd "$T" && pwd -P)
chmod 755 "$T"
mkdir "$T/bin" "$T/tmp"
chmod 1777 "$T/tmp"
TMPDIR=$T/tmp
OCIBOX_TEST_ID=${T##*/}
export T TMPDIR OCIBOX_TEST_ID
_tmpfiles() { (cd "$T/tmp" && find . -mindepth 1 | head -n 5); }
_ifaces() { for _i in /sys/class/net/*; do echo "${_i##*/}"; done; }
_ifs0=$(_ifaces)

diag() { printf '# %s\n' "$*"; }
_show() { sed 's/^/# /' | head -n "${1:-20}"; }

pass() { _n=$((_n + 1)); printf 'ok %d - %s\n' $_n "$*"; }
fail() { _n=$((_n + 1)); _bad=$((_bad + 1)); printf 'not ok %d - %s\n' $_n "$*"; return 0; }

ok() {
	_name=$1
	shift
	if [ $# = 0 ] || "$@" >"$T/.ok" 2>&1 </dev/null; then
		pass "$_name"
	else
		_st=$?
		fail "$_name"
		diag "status $_st of: $*"
		_show <"$T/.ok"
	fi
}

nok() {
	_name=$1
	shift
	if "$@" >"$T/.ok" 2>&1 </dev/null; then
		fail "$_name"
		diag "should fail: $*"
		_show <"$T/.ok"
	else
		pass "$_name"
	fi
}

is() {
	if [ "$1" = "$2" ]; then
		pass "$3"
	else
		fail "$3"
		printf 'got:  %s\nwant: %s\n' "$1" "$2" | _show 40
	fi
}

isnt() {
	if [ "$1" != "$2" ]; then
		pass "$3"
	else
		fail "$3"
		printf 'got: %s\n' "$1" | _show
	fi
}

like() {
	if printf '%s\n' "$1" | grep -Eq -e "$2"; then
		pass "$3"
	else
		fail "$3"
		printf 'text: %s\nlacks: %s\n' "$1" "$2" | _show 40
	fi
}

unlike() {
	if printf '%s\n' "$1" | grep -Eq -e "$2"; then
		fail "$3"
		printf 'text: %s\nhas: %s\n' "$1" "$2" | _show 40
	else
		pass "$3"
	fi
}

# The only place where standard input is replaced: a test that feeds a pipe says
# `run sh -c '... | applet'` or redirects into `run_in`.
run() { run_in "$@" </dev/null; }
run_in() {
	"$@" >"$T/out" 2>"$T/err"
	rc=$?
	_last=$*
	# an archive on stdout is no shell variable
	out=$(head -c 65536 "$T/out" | tr -d '\000')
	err=$(head -c 65536 "$T/err" | tr -d '\000')
	return 0
}

rc_is() {
	if [ "$rc" = "$1" ]; then
		pass "$2"
	else
		fail "$2"
		printf 'status %s instead of %s of: %s\n%s\n' "$rc" "$1" "$_last" "$err" | _show
	fi
}

skip() {
	_k=${2:-1}
	while [ "$_k" -gt 0 ]; do
		_n=$((_n + 1)) _k=$((_k - 1))
		printf 'ok %d # skip %s\n' $_n "$1"
	done
}

skip_all() { printf '1..0 # skip %s\n' "$1"; _done=1; exit 0; }

have() {
	for _c in "$@"; do
		command -v "$_c" >/dev/null 2>&1 || return 1
	done
}

need() {
	for _c in "$@"; do
		have "$_c" || skip_all "$_c is not here"
	done
}

is_root() { [ "$(id -u)" = 0 ]; }
need_root() { is_root || skip_all "needs root"; }
need_userns() {
	unshare -Ur true 2>/dev/null || skip_all "no user namespaces here"
}

plan() { _plan=$1; printf '1..%d\n' "$1"; }

on_exit() { _exit="$1
$_exit"; }

bg() {
	"$@" </dev/null &
	bg_pid=$!
	_pids="$_pids $bg_pid"
}

# ends a process that bg started, and waits for it
bg_end() {
	kill "${1:-$bg_pid}" 2>/dev/null
	wait "${1:-$bg_pid}" 2>/dev/null
	return 0
}

wait_for() {
	_w=$(($1 * 20))
	shift
	while ! "$@" >/dev/null 2>&1 </dev/null; do
		_w=$((_w - 1))
		[ $_w -gt 0 ] || return 1
		sleep 0.05
	done
}

# Processes that carry this test's mark in their environment, or run in its scratch directory.
_leaked_pids() {
	cd / || return
	{
		env -u OCIBOX_TEST_ID grep -lzs "^OCIBOX_TEST_ID=$OCIBOX_TEST_ID\$" /proc/[0-9]*/environ
		env -u OCIBOX_TEST_ID find /proc/[0-9]*/cwd /proc/[0-9]*/root /proc/[0-9]*/exe -maxdepth 0 \
			\( -lname "$T" -o -lname "$T/*" \) 2>/dev/null
	} | env -u OCIBOX_TEST_ID awk -F/ -v self=$$ '$3 != self && !s[$3]++ { print $3 }'
}

_leaked_mounts() { awk -v t="$T" '$5 == t || index($5, t "/") == 1 { print $5 }' /proc/self/mountinfo; }

_end_servers() {
	for _p in $_pids; do kill "$_p" 2>/dev/null; done
	for _p in $_pids; do wait "$_p" 2>/dev/null; done
	_pids=''
}

# What is about to end is waited for; only a test that fails takes so long.
_residue() {
	_r=''
	_l=${OCIBOX_TEST_PATIENCE:-600}
	while _lp=$(_leaked_pids) && [ -n "$_lp" ] && [ $_l -gt 0 ]; do
		_l=$((_l - 1))
		sleep 0.05
	done
	for _p in $_lp; do
		_r="$_r process $_p ($(tr '\0' ' ' <"/proc/$_p/cmdline" 2>/dev/null | head -c 80));"
	done
	for _m in $(_leaked_mounts); do _r="$_r mount $_m;"; done
	for _m in $(_tmpfiles); do _r="$_r file \$TMPDIR/$_m;"; done
	_l=${OCIBOX_TEST_PATIENCE:-600}
	while [ "$(_ifaces)" != "$_ifs0" ] && [ $_l -gt 0 ]; do
		_l=$((_l - 1))
		sleep 0.05
	done
	[ "$(_ifaces)" = "$_ifs0" ] || _r="$_r interfaces now: $(_ifaces | tr '\n' ' ');"
	printf '%s' "$_r"
}

_run_exits() {
	_e=$_exit _exit=''
	eval "$_e"
}

done_testing() {
	_run_exits
	_end_servers
	_done=1
	is "$(_residue)" "" "nothing is left behind"
	[ -n "$_plan" ] || printf '1..%d\n' $_n
	[ $_bad = 0 ]
	exit
}

_cleanup() {
	_st=$?
	trap - EXIT
	trap '' HUP INT TERM
	_run_exits
	_end_servers
	if [ -z "$_done" ]; then
		_res=$(_residue)
		[ -z "$_res" ] || { diag "left behind:$_res"; _bad=$((_bad + 1)); }
		if [ -z "$_plan" ]; then diag "ended before done_testing (status $_st)"; _st=99; fi
		[ $_bad = 0 ] || [ $_st != 0 ] || _st=1
	fi
	for _p in $(_leaked_pids); do kill -9 "$_p" 2>/dev/null; done
	_leaked_mounts | sort -r | while read -r _m; do umount -l "$_m" 2>/dev/null; done
	for _u in sub nosub; do
		[ ! -f "$T/user-$_u" ] || _rmuser "$(cat "$T/user-$_u")"
	done
	# a tree of foreign ids or of 0000 directories, unpacked by an ordinary user
	rm -rf --one-file-system "$T" 2>/dev/null || {
		chmod -R u+rwX "$T" 2>/dev/null
		rm -rf --one-file-system "$T" 2>/dev/null || unshare -Ur --map-auto \
			rm -rf --one-file-system "$T" 2>/dev/null || diag "could not remove $T"
	}
	exit $_st
}
trap _cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# The binary is copied, so that the users made here reach it wherever the source tree lies.
OCIBOX=${OCIBOX:-$top/ocibox}
case $OCIBOX in /*) ;; *) OCIBOX=$(pwd)/$OCIBOX ;; esac
if [ -x "$OCIBOX" ]; then
	cp "$OCIBOX" "$T/bin/ocibox"
	for _a in $("$OCIBOX" --list 2>/dev/null); do
		ln -s ocibox "$T/bin/$_a"
	done
	OCIBOX=$T/bin/ocibox
fi
PATH=$T/bin:$PATH
export PATH OCIBOX

need_applet() {
	for _c in "$@"; do
		[ -e "$T/bin/$_c" ] || skip_all "applet $_c is not in this binary"
	done
}

# A user whose process has just been killed is still in use, and passwd may be locked.
_rmuser() {
	_l=40
	until userdel "$1" >"$T/.userdel" 2>&1 || ! grep -q "^$1:" /etc/passwd; do
		_l=$((_l - 1))
		[ $_l -gt 0 ] || { diag "userdel: $(cat "$T/.userdel")"; return 1; }
		sleep 0.3
	done
}

# _mkuser sub|nosub
_mkuser() {
	[ -f "$T/user-$1" ] && return 0
	is_root || return 1
	# lower case may make two names alike: the pid parts them
	_u=obt$(printf '%s' "${T##*.}" | tr '[:upper:]' '[:lower:]')$$$1
	case $1 in
	sub) set -- sub -K SUB_UID_COUNT=65536 -K SUB_GID_COUNT=65536 ;;
	nosub) set -- nosub -K SUB_UID_COUNT=0 -K SUB_GID_COUNT=0 ;;
	*) return 1 ;;
	esac
	_kind=$1
	shift
	# passwd's lock is waited for a few seconds only, and suites run in parallel
	_l=200
	until useradd -M -d "$T/home-$_kind" -s /bin/sh "$@" "$_u" 2>"$T/.useradd"; do
		_l=$((_l - 1))
		[ $_l -gt 0 ] || { diag "useradd: $(cat "$T/.useradd")"; return 1; }
		sleep 0.3
	done
	printf '%s\n' "$_u" >"$T/user-$_kind"
	if [ "$_kind" = nosub ]; then
		usermod --del-subuids 1-4294967294 --del-subgids 1-4294967294 "$_u" 2>/dev/null
	fi
	mkdir -m 700 "$T/home-$_kind"
	chown "$_u:" "$T/home-$_kind"
}

user_name() { _mkuser "$1" && cat "$T/user-$1"; }

_as() {
	_kind=$1
	shift
	if ! is_root; then
		"$@"
		return
	fi
	_mkuser "$_kind" || { echo "no user could be made" >&2; return 99; }
	_u=$(cat "$T/user-$_kind")
	setpriv --reuid "$_u" --regid "$(id -g "$_u")" --init-groups --inh-caps=-all -- \
		env -i HOME="$T/home-$_kind" USER="$_u" LOGNAME="$_u" SHELL=/bin/sh PATH="$PATH" \
		TMPDIR="$TMPDIR" LC_ALL=C TZ=UTC OCIBOX="$OCIBOX" OCIBOX_TEST_ID="$OCIBOX_TEST_ID" \
		${ASAN_OPTIONS:+"ASAN_OPTIONS=$ASAN_OPTIONS"} ${UBSAN_OPTIONS:+"UBSAN_OPTIONS=$UBSAN_OPTIONS"} \
		${TSAN_OPTIONS:+"TSAN_OPTIONS=$TSAN_OPTIONS"} \
		T="$T" "$@"
}
as_user() { _as sub "$@"; }
as_user_nosub() { _as nosub "$@"; }

# Images are costly: made once, under a lock, kept between runs.
cache=${OCIBOX_TEST_CACHE:-$top/build/test-images}
cached() {
	cached=$cache/$1
	_name=$1
	shift
	[ -d "$cached" ] && return 0
	mkdir -p "$cache" || return 1
	(
		flock 9 || exit 1
		[ -d "$cached" ] && exit 0
		rm -rf "$cached.new"
		mkdir -p "$cached.new"
		"$@" "$cached.new" >"$cache/$_name.log" 2>&1 </dev/null || {
			diag "making image $_name failed:"
			tail -n 10 "$cache/$_name.log" | _show
			rm -rf "$cached.new"
			exit 1
		}
		mv "$cached.new" "$cached"
	) 9>"$cache/$_name.lock"
}

# the tools' python must leave no byte code in the source tree
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE

# start_registry NAME [OPTION...]: a real registry in $T/NAME (see tests/tools/registry), ended at
# exit; sets $addr (HOST:PORT) and $url
start_registry() {
	_rd=$T/$1
	shift
	need docker-registry openssl skopeo
	on_exit "\"$tools/registry\" stop \"$_rd\""
	"$tools/registry" start "$_rd" "$@" || { fail "registry starts"; exit 1; }
	addr=$(cat "$_rd/addr") url=$(cat "$_rd/url")
}

# start_faultd NAME SCRIPT: a scripted server (see tests/tools/faultd) in $T/NAME, ended at exit; $addr and $url are
# those of its server A, others are in $T/NAME/addr.B and so on; requests go to $T/NAME/log. $faultd is its process.
# Certificates, where the script wants some, are made once for the test in $T/certs.
start_faultd() {
	_fd=$T/$1
	mkdir -p "$_fd"
	case $2 in *'"tls"'*) test_certs && ln -sfn "$T/certs" "$_fd/certs" ;; esac
	printf '%s\n' "$2" >"$_fd/script"
	bg "$tools/faultd" "$_fd" "@$_fd/script"
	faultd=$bg_pid
	wait_for 60 test -f "$_fd/ready" || { fail "faultd starts"; exit 1; }
	addr=$(cat "$_fd/addr.A") url=$(cat "$_fd/url.A")
}

# $T/certs, see tests/tools/mkcerts
test_certs() { [ -f "$T/certs/ca.crt" ] || { need openssl && "$tools/mkcerts" "$T/certs"; }; }
