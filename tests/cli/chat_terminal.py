"""Drives `ilab chat` through a pseudo terminal. Called by chat.sh: chat_terminal.py ILAB MODEL.  SPDX-License-Identifier: Apache-2.0"""
import os, pty, re, select, sys, time

ilab, model = sys.argv[1:3]
failed = 0
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(TERM="xterm", LC_ALL="C.UTF-8")
    os.execv(ilab, [ilab, "chat", "-m", model, "--max-tokens", "20"])

seen = ""


def wait_for(pattern, seconds=60):
    """Reads until the pattern occurs; returns the text up to there and forgets it. None: it does not come, or the program has ended."""
    global seen
    end = time.time() + seconds
    while time.time() < end:
        m = re.search(pattern, seen, re.S)
        if m:
            text, seen = seen[:m.end()], seen[m.end():]
            return text
        if select.select([fd], [], [], 0.1)[0]:
            try:
                seen += os.read(fd, 65536).decode("utf8", "replace")
            except OSError:
                break
    return None


def check(name, pattern, send=None):
    global failed
    if send is not None:
        os.write(fd, send.encode())
    text = wait_for(pattern)
    if text is None:
        failed = 1
        print("not ok cli/chat-terminal-" + name, repr(seen[-300:]))
    else:
        print("ok cli/chat-terminal-" + name)


PROMPT = r"\[S\]\[default\]"
check("greeting", r"Welcome to InstructLab Chat w/ STARTER.*" + PROMPT)
check("answer", r"elapsed \d+\.\d+ seconds.*" + PROMPT, "Wo ist Köln?\r")
check("interrupt", PROMPT, "half a question\x03")
check("history", r"Wo ist K", "\x1b[A")
check("multi", r"\[M\]\[default\]", "\x15/m\r")
check("multi-more", r"\.\.\. ", "first line\r")
check("multi-send", r"elapsed .*" + PROMPT, "second line\x1b\r")
check("long-answer-stops", PROMPT, "/n\r")
check("space-key", PROMPT, "\x00\x03")
check("ends-while-answering", "╭", "Where is Cologne?\r")
os.write(fd, b"\x04")  # before the prompt is there: it must not get lost
end = time.time() + 60
done = 0
while not done and time.time() < end:
    wait_for("NEVER", 0.1)
    done, status = os.waitpid(pid, os.WNOHANG)
if not done:
    os.kill(pid, 9)
    status = os.waitpid(pid, 0)[1]
print(("ok" if status == 0 else "not ok") + " cli/chat-terminal-ends", "" if status == 0 else (status, seen[-300:]))
sys.exit(failed or status != 0)
