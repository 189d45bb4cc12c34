#!/bin/sh
# The helpers themselves: what should fail fails, what leaks is found and cleared away.
. "${0%/*}/lib.sh"

# inner TEXT: runs TEXT as a test script of its own
inner() {
	mkdir -p "$T/src/tests"
	cp "$top/tests/lib.sh" "$T/src/tests/"
	printf '. "${0%%/*}/lib.sh"\n%s\n' "$1" >"$T/src/tests/x.t"
	run env OCIBOX_TEST_TMP="$T/src" OCIBOX_TEST_PATIENCE=20 sh "$T/src/tests/x.t"
}

inner 'ok a true; nok b false; is 1 1 c; like abc b d; run sh -c "exit 3"; rc_is 3 e; done_testing'
rc_is 0 "a good script ends with 0"
like "$out" '^1\.\.6$' "the plan counts the leak check"

inner 'ok a false; done_testing'
rc_is 1 "a failed result ends with 1"
inner 'nok a true; isnt x x b; unlike abc b c; plan 3'
is "$(grep -c '^not ok' "$T/out")" 3 "nok, isnt and unlike can fail"
rc_is 1 "as does the script under a plan"
inner 'pass a'
rc_is 99 "a script without done_testing fails"
inner 'need no-such-command; fail a'
like "$out" '^1\.\.0 # skip no-such-command' "need skips with the reason"

inner 'setsid sleep 77.1913 & done_testing'
like "$out" 'process [0-9]+ .sleep 77.1913' "a leaked process is found"
nok "and ended" pgrep -f '^sleep 77.1913$'
inner 'touch "$TMPDIR/rest"; done_testing'
like "$out" 'TMPDIR/./rest' "a leaked file is found"
if is_root; then
	inner 'mount -t tmpfs none "$T/tmp"; done_testing'
	like "$out" "mount .*/tmp" "a leaked mount is found"
	inner 'run as_user id -un; u=$out; [ "$u" = "$(user_name sub)" ] && grep -q "^$u:" /etc/subuid &&
		echo "name=$u"; as_user_nosub grep "^$(user_name nosub):" /etc/subuid; as_user mkdir -m0 "$T/home-sub/x"; done_testing'
	like "$out" '^name=obt' "a user with a subordinate range"
	u=$(sed -n 's/^name=//p' "$T/out")
	nok "that is removed" grep -rq "$u" /etc/passwd /etc/group /etc/subuid
	unlike "$out" '^obt' "and one without"
else
	skip "needs root" 4
fi
is "$(ls "$T/src")" tests "scratch directories are removed"
done_testing
