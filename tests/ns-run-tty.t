#!/bin/sh
# ns-run --tty: a terminal of the container's own, and what becomes of the caller's.
. "${0%/*}/lib.sh"
need busybox python3
need_applet ns-run
need_userns
export T

R=$T/root
mkdir -p "$R/bin" "$R/etc" "$R/tmp"
chmod 777 "$R"
cp "$(command -v busybox)" "$R/bin/busybox"
for a in sh ls cat stty tty stat sleep true echo kill id ps test; do ln -s busybox "$R/bin/$a"; done
printf 'root:x:0:0::/:/bin/sh\nu:x:1000:1000::/:/bin/sh\n' >"$R/etc/passwd"

# Plays the terminal: runs the command on a pty of 30x90 as its session's leader, does what the script says, and prints
# what it saw.
cat >"$T/term.py" <<'END'
import fcntl, os, pty, select, signal, struct, sys, termios, time
steps, cmd = sys.argv[1].split("|"), sys.argv[2:]
master, slave = pty.openpty()
size = lambda r, c: fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", r, c, 0, 0))
size(30, 90)
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)
    os.close(master)
    # a suite started in the background has the keyboard's signals ignored, and so would the program
    for n in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP, signal.SIGPIPE):
        signal.signal(n, signal.SIG_DFL)
    os.execvp(cmd[0], cmd)
out, status = b"", None
def pump(t):
    global out
    end = time.time() + t
    while time.time() < end:
        if select.select([master], [], [], 0.02)[0]:
            try:
                out += os.read(master, 65536)
            except OSError:
                return
def until(text, t=60):
    end = time.time() + t
    while text not in out and time.time() < end:
        pump(0.02)
    if text not in out:
        print("never saw %r in %r" % (text, out))
for s in steps:
    verb, _, arg = s.partition(" ")
    if verb == "wait":
        until(arg.encode())
    elif verb == "type":
        os.write(master, arg.encode().decode("unicode_escape").encode())
    elif verb == "size":
        size(*map(int, arg.split(",")))
    elif verb == "raw":
        print("raw" if not termios.tcgetattr(slave)[3] & termios.ICANON else "cooked")
    elif verb == "kill":
        os.kill(pid, getattr(signal, arg))
    elif verb == "sleep":
        pump(float(arg))
    elif verb == "end":
        for i in range(3000):
            p, st = os.waitpid(pid, os.WNOHANG)
            if p:
                status = os.waitstatus_to_exitcode(st)
                break
            pump(0.02)
        pump(0.05)
        if status is None:
            os.kill(pid, 9)
print("status", status)
for i in range(3000):
    if termios.tcgetattr(slave) == before:
        break
    time.sleep(0.02)
print("terminal", "as before" if termios.tcgetattr(slave) == before else "spoilt")
sys.stdout.flush()
os.write(1, out)
END
term() { run python3 "$T/term.py" "$@"; }

ttys() { # WHO RUNNER...
	who=$1
	shift
	term 'end' "$@" ns-run --tty "$R" sh -c 'tty; stty size; test -t 0 -a -t 1 -a -t 2 && echo terminal; stat -c %t:%T /dev/console; exit 5'
	like "$out" '^status 5' "$who: status"
	like "$out" '^terminal as before' "$who: the caller's terminal is as before"
	like "$out" '/dev/pts/0' "$who: a terminal of the container's devpts"
	like "$out" '^30 90' "$who: of the same size"
	like "$out" '^terminal.?$' "$who: on all three"
	like "$out" '^88:0' "$who: /dev/console is it"
	term 'wait up|raw|type hello\n|wait got|type exit\n|end' "$@" ns-run --tty "$R" sh -c 'echo up; read x; echo got $x; sh'
	like "$out" '^raw' "$who: raw meanwhile"
	like "$out" '^got hello' "$who: what is typed comes in"
	term 'wait up|size 11,22|end' "$@" ns-run --tty "$R" sh -c 'trap "echo resized" WINCH; echo up; until [ "$(stty size)" = "11 22" ]; do sleep 0.05; done; stty size'
	like "$out" '^resized' "$who: a change of size is told"
	like "$out" '^11 22' "$who: and comes in"
	term 'wait up|type \x03|end' "$@" ns-run --tty "$R" sh -c 'trap "echo interrupted; exit 4" INT; echo up; while :; do sleep 0.05; done'
	like "$out" 'interrupted' "$who: Ctrl-C is the program's"
	like "$out" '^status 4' "$who: who decides what it does"
	term 'wait \$|type sh -c "echo st\\\\arted; exec sleep 99"\n|wait started|type \x1a|wait Stopped|type kill %1; exit 3\n|sleep 0.2|type exit 3\n|end' "$@" ns-run --tty -e 'PS1=$ ' "$R" sh -i
	like "$out" 'Stopped' "$who: job control works inside"
	term 'wait up|raw|kill SIGKILL|end' "$@" ns-run --tty "$R" sh -c "echo up; sleep 77.$$"
	like "$out" '^raw' "$who: raw"
	like "$out" '^terminal as before' "$who: set back even when ns-run is killed"
	ok "$who: and the program is gone" wait_for 60 sh -c "! pgrep -f '^sleep 77.$$'"
	term 'wait up|kill SIGTERM|end' "$@" ns-run --tty "$R" sh -c 'echo up; exec sleep 30'
	like "$out" '^status 143' "$who: SIGTERM goes through"
	run sh -c 'echo "echo \$((6 * 7))" | "$@"' - "$@" ns-run --tty "$R" sh
	like "$out" '42' "$who: from a pipe"
	rc_is 0 "$who: and its end is Ctrl-D"
	run "$@" ns-run --tty "$R" sh -c 'i=0; while [ $i -lt 2000 ]; do echo "line $i of a long output that fills the pty"; i=$((i + 1)); done'
	is "$(tail -n 1 "$T/out" | tr -d "\r")" "line 1999 of a long output that fills the pty" "$who: nothing is lost at the end"
	run "$@" ns-run --tty --timeout 200ms "$R" sleep 20
	rc_is 124 "$who: --timeout"
}

if is_root; then
	ttys root
	run ns-run --tty --user u "$R" sh -c 'stat -c %u /dev/pts/0; echo x >/dev/tty'
	like "$out" '^1000' "the terminal belongs to the user"
	like "$out" '^x' "who can open it"
	T_USER="setpriv --reuid $(user_name sub) --regid $(id -g "$(user_name sub)") --init-groups"
	ttys user $T_USER
else
	ttys self
fi
# standard output is a pipe, or a terminal, that nobody reads: a signal still ends it, while the program runs and after
cat >"$T/stuck.py" <<'END'
import os, signal, subprocess, sys, time
r, w = os.openpty() if sys.argv[1] == "tty" else os.pipe()
p = subprocess.Popen(sys.argv[2:], stdin=w if sys.argv[1] == "tty" else subprocess.DEVNULL, stdout=w)
fill = -1
for _ in range(200):  # until nothing more goes in
    import fcntl, termios, array
    n = array.array("i", [0])
    fcntl.ioctl(r, termios.FIONREAD, n)
    if n[0] and n[0] == fill:
        break
    fill = n[0]
    time.sleep(0.2)
p.send_signal(signal.SIGTERM)
try:
    print("ended", p.wait(60))
except subprocess.TimeoutExpired:
    print("hangs")
    p.kill()
END
line=0123456789012345678901234567890123456789012345678901234567890123456789
for k in pipe tty; do
	run python3 "$T/stuck.py" $k ns-run --tty "$R" -- sh -c "while :; do echo $line; done"
	is "$out" "ended 143" "$k: output that nobody takes: SIGTERM ends it"
	run python3 "$T/stuck.py" $k ns-run --tty "$R" -- sh -c "i=0; while [ \$i -lt 1100 ]; do echo $line; i=\$((i + 1)); done"
	like "$out" "^ended" "$k: and when the program has ended"
done
done_testing
