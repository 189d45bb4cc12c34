#!/bin/sh
# What scripts/check says of a failure at its end: enough to find the cause from the last lines of its output.
. "${0%/*}/lib.sh"
need prove

mkdir "$T/t"
cat >"$T/t/one.t" <<'END'
echo 'ok 1 - fine'
echo 'not ok 2 - the name of it'
echo '# got:  7'
echo '# want: 8'
echo 'ok 3 - fine, too'
echo '# of the third'
echo 'not ok 4 - later # TODO'
echo 1..4
exit 1
END
cat >"$T/t/dies.t" <<'END'
echo 1..3
echo 'ok 1 - before'
echo '# the last word'
exit 3
END
echo "echo 'ok 1 - good'; echo 1..1" >"$T/t/good.t"
run sh -c 'cd "$T" && PERL_TEST_HARNESS_DUMP_TAP=$T/tap exec prove -j2 -e sh t/one.t t/dies.t t/good.t'
isnt "$rc" 0 "the suites fail"
cat "$T/out" "$T/err" >"$T/log"
run "$top/scripts/failures" step "$T/log" "$T/tap"
like "$out" '^step: one.t: not ok 2 - the name of it$' "the failed test with its step and suite"
is "$(printf '%s\n' "$out" | grep -A2 'not ok 2' | tail -n 2)" "  # got:  7
  # want: 8" "and its diagnostics"
unlike "$out" 'third|good|not ok 4' "nothing of those that are good"
like "$out" '^step: dies.t: # the last word$' "of a suite that ended in the middle its last lines"
like "$out" '^t/dies.t.*exit status: 3.*planned 3' "and what prove says of it"
printf 'cc -c x.c\nx.c:1: error: no such thing\nmake: *** [x.o] Error 1\n' >"$T/log"
run "$top/scripts/failures" build "$T/log" "$T/none"
like "$out" 'x.c:1: error' "of a step without tests its errors"
done_testing
