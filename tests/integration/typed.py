"""Runs a command on a terminal of its own and types what is asked for.

usage: typed.py QUESTION ANSWER [QUESTION ANSWER]... -- COMMAND [ARGUMENT]...
Each time a QUESTION appears its ANSWER is typed; an answer that begins with ! is a command, which gets all that was on the terminal
so far, and whose output is typed. Prints all that was on the terminal; ends as the command does.
"""

import os
import pty
import subprocess
import sys
import termios
import time


def wait_for_silence(terminal):
    """Who asks for a secret switches the echo off after asking; nobody types that fast."""
    for _ in range(600):
        if not termios.tcgetattr(terminal)[3] & termios.ECHO:
            return
        time.sleep(0.1)


def main():
    split = sys.argv.index("--")
    rules, command = sys.argv[1:split], sys.argv[split + 1 :]
    rules = [(question.encode(), answer) for question, answer in zip(rules[::2], rules[1::2])]
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(command[0], command)
    seen, answered = b"", 0
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
        for question, answer in rules:
            at = seen.find(question, answered)
            if at >= 0:
                answered = at + len(question)
                typed = answer.encode()
                if answer.startswith("!"):
                    typed = subprocess.run(answer[1:], shell=True, input=seen, capture_output=True, check=True).stdout.strip()
                if any(secret in question for secret in (b"phrase", b"Password", b"Again")):
                    wait_for_silence(terminal)
                os.write(terminal, typed + b"\n")
    sys.stdout.buffer.write(seen)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
