#!/bin/sh
# The ledger of sizes (tests/size.txt, written by `make size`) is not far from the truth, and the
# binary keeps below its limits. `make size-check` builds the configurations and runs this.
. "${0%/*}/lib.sh"

# compare CONFIGURATION MAP BINARY
compare() {
	"$top/scripts/size" "$1" "$2" "$3" >"$T/now"
	# A group may move by 10 % or 6 KB before somebody should look and write the ledger anew.
	run awk -v c="$1" '
		$1 != c { next }
		FNR == NR { was[$2] = $3; next }
		{ now[$2] = $3 }
		END {
			for (g in now) {
				d = now[g] - was[g]; if (d < 0) d = -d
				if (d > 6144 && d > now[g] / 10) print g ": " was[g] + 0 " in the ledger, now " now[g]
			}
			for (g in was) if (!(g in now) && was[g] > 6144) print g ": gone"
		}' "$top/tests/size.txt" "$T/now"
	is "$out" "" "the ledger of $1 is fresh (else: make size)"
}

# limit CONFIGURATION KIB BINARY
limit() {
	size=$(wc -c <"$3")
	ok "$1 takes $size bytes, at most $2 KiB" test "$size" -le $(($2 * 1024))
}

[ -n "${SIZE_CHECK:-}" ] || skip_all "run by make size-check"
cd "$top" || exit 1
for c in full fetch run initramfs; do
	o=build/size/$c
	compare $c $o/ocibox.debug.map $o/ocibox
	case $c in
	full) limit $c 1024 $o/ocibox ;;
	initramfs) limit $c 560 $o/ocibox ;;
	esac
done

done_testing
