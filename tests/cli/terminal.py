"""terminal.py [--seconds N] STEP… -- COMMAND…: runs COMMAND on a terminal of its own and plays the person in front of it.

    see:REGEX   wait until it is on the screen (what was seen before counts no more)
    type:TEXT   with \\n, \\x03 and so on
    kill:NAME   a signal, e.g. kill:INT

No step takes for granted how fast the program is. Prints the whole screen; the exit code is the command's, or 99 when a step
waited N seconds (60) in vain.  SPDX-License-Identifier: Apache-2.0"""
import os, pty, re, select, signal, sys, time


def read_into(fd, screen, seconds):
    if not select.select([fd], [], [], seconds)[0]:
        return True
    try:
        got = os.read(fd, 65536)
    except OSError:  # the other side is closed
        return False
    screen[0] += got.decode("utf8", "replace")
    return bool(got)


def play(fd, pid, step, screen, seen, seconds):
    kind, _, text = step.partition(":")
    if kind == "type":
        os.write(fd, text.encode("latin1").decode("unicode_escape").encode("latin1"))
    elif kind == "kill":
        os.kill(pid, getattr(signal, "SIG" + text))
    else:
        end = time.monotonic() + seconds
        while True:
            m = re.compile(text).search(screen[0], seen)
            if m:
                return m.end()
            if time.monotonic() > end or not read_into(fd, screen, 0.2):
                return -1
    return seen


def main(args):
    seconds = 60
    if args[0] == "--seconds":
        seconds, args = int(args[1]), args[2:]
    at = args.index("--")
    steps, command = args[:at], args[at + 1 :]
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    screen, seen = [""], 0
    for step in steps:
        seen = play(fd, pid, step, screen, seen, seconds)
        if seen < 0:
            break
    end = time.monotonic() + seconds
    while seen >= 0 and time.monotonic() < end and read_into(fd, screen, 0.2):
        pass
    done = 0
    while not done and time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    if not done:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(screen[0].replace("\r\n", "\n"))
    if seen < 0 or not done:
        print("terminal.py:", "waited in vain for " + step if seen < 0 else "the command does not end")
        return 99
    return os.waitstatus_to_exitcode(status) % 256


sys.exit(main(sys.argv[1:]))
