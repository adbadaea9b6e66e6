#!/bin/bash
# SPDX-License-Identifier: MIT
# Interrupted: no half image stays, and the program ends by the signal.
# SIGUSR1 asks for progress.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need strace pgrep
ulimit -c 0

mkdir tree
head -c 30000000 /dev/urandom >tree/file


# start TARGET: convert, with every copy slowed down.
start() {
    # A shell without job control has background jobs ignore SIGINT.
    env --default-signal=INT,QUIT,PIPE strace -f -qq -o /dev/null \
        -e trace=copy_file_range,preadv,pread64,preadv2 \
        -e inject=copy_file_range,preadv,pread64,preadv2:delay_enter=200000 \
        "$VVFAT_IMG" convert -m 2 -S 0 "fat:tree" "$1" 2>err &
    STRACE=$!
    PID=
    for _ in $(seq 100); do
        PID=$(pgrep -P $STRACE || true)
        if [ -n "$PID" ] && [ -n "$(find "$1" -size +1M 2>/dev/null)" ]; then
            sleep 0.3
            return
        fi
        sleep 0.05
    done
    fail "no $1 comes up: $(cat err)"
}

for signal in INT TERM HUP QUIT PIPE; do
    start out.img
    kill -$signal "$PID"
    STATUS=0
    wait $STRACE || STATUS=$?
    [ "$STATUS" = $((128 + $(kill -l $signal))) ] ||
        fail "SIG$signal: ended with $STATUS: $(cat err)"
    [ ! -e out.img ] || fail "SIG$signal: half an image stays"
done

# What was there before is not removed, but it is no half image either.
echo old >old.img
start old.img
kill -INT "$PID"
wait $STRACE || true
expect_output 0 stat -c %s old.img

# Nor is it any when the format holds tables that are not written yet.
truncate -s 60M zeroes
for format in qcow qcow2; do
    echo old >old.img
    env --default-signal=INT "$VVFAT_IMG" convert -S 0 -r 20M -f raw \
        -O $format zeroes old.img &
    sleep 0.7
    kill -INT $!
    STATUS=0
    wait $! || STATUS=$?
    [ "$STATUS" = 130 ] || fail "$format: ended with $STATUS"
    expect_output 0 stat -c %s old.img
done

# A second signal does not wait.
start out.img
kill -INT "$PID"
kill -TERM "$PID" 2>/dev/null || true
wait $STRACE || true
[ ! -e out.img ] || fail 'two signals: half an image stays'

start out.img
kill -USR1 "$PID"
sleep 0.6
kill -USR1 "$PID"
STATUS=0
wait $STRACE || STATUS=$?
[ "$STATUS" = 0 ] || fail "SIGUSR1 ends it: $STATUS"
[ "$(grep -c '%.*/s' err)" = 2 ] || fail "no progress is told: $(cat err)"

# Extraction: no file stays that has its name and not all its contents.
img convert -S 0 fat:tree v.img
env --default-signal=INT strace -f -qq -o /dev/null -e trace=pread64,preadv \
    -e inject=pread64,preadv:delay_enter=100000 \
    "$VVFAT_IMG" extract v.img to 2>err &
STRACE=$!
for _ in $(seq 100); do
    [ -s to/file ] && break
    sleep 0.05
done
[ -s to/file ] || fail "nothing is extracted: $(cat err)"
kill -INT "$(pgrep -P $STRACE)"
STATUS=0
wait $STRACE || STATUS=$?
[ "$STATUS" = 130 ] || fail "extract: ended with $STATUS: $(cat err)"
[ ! -e to/file ] || fail 'extract: half a file stays'
