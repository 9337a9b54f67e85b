#!/bin/sh
# Plants known bugs, one at a time, in a copy of the tree and expects the simulation to catch each.
#
#   tests/planted-bugs.sh [name…]     SEEDS=n: seeds per bug (default 1000)
#
# A bug is a small patch under tests/planted. A patch that no longer applies fails too: it has to be
# made anew for the code as it is.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
tar -C "$here" --exclude=./target --exclude=./.git -cf - . | tar -C "$copy" -xf -
export CARGO_TARGET_DIR="${PLANTED_TARGET_DIR:-$copy/target}"
export SEEDS="${SEEDS:-1000}" RUST_BACKTRACE=0

cd "$copy"
simulate() {
    cargo test --quiet -p usher-tests --test simulation no_seed_breaks_a_promise -- --nocapture \
        >"$copy/log" 2>&1
}

if [ $# -eq 0 ]; then
    set -- $(ls "$here/tests/planted" | sed 's/\.patch$//')
fi
missed=0
for name in "$@"; do
    patch --quiet -p1 <"$here/tests/planted/$name.patch"
    if ! cargo test --quiet -p usher-tests --test simulation --no-run >"$copy/log" 2>&1; then
        echo "$name: does not compile"
        missed=1
    elif simulate; then
        echo "$name: NOT caught in $SEEDS seeds"
        missed=1
    else
        seed=$(sed -n 's/^failed with SEED=//p' "$copy/log" | sort -n | head -1)
        what=$(grep -A1 'panicked at' "$copy/log" | grep -v 'panicked at' | head -1 | cut -c1-100)
        echo "$name: caught at SEED=$seed: $what"
    fi
    patch --quiet -R -p1 <"$here/tests/planted/$name.patch"
done
exit $missed
