# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real terminal: tmux with a shell in it, to whose keyboard and screen a test has access."""

import os
import re
import subprocess

from .command import need
from .processes import until

DEADLINE = 15
PROMPT = "ready> "


class Tmux:
    """One window with a shell; the server is this test's alone and ends with it."""

    def __init__(self, nursery, folder, env, columns=100, rows=30):
        self.socket = os.path.join(folder, "tmux")
        self.env = {**env, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        self.env.pop("TMUX", None)
        settings = os.path.join(folder, "tmux.conf")
        with open(settings, "w", encoding="ascii") as out:
            out.write("set -g exit-empty off\nset -g history-limit 5000\n")
        with open(os.path.join(folder, "rc"), "w", encoding="ascii") as out:
            out.write(f"PS1='{PROMPT}'; unset HISTFILE\n")
        # -D: in the foreground, so that it is a child and is ended by its pid.
        self.server = nursery.spawn([need("tmux"), "-S", self.socket, "-f", settings, "-D"],
                                    env=self.env, cwd=folder, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        nursery.at_end(self.close)
        until(lambda: self._run("list-sessions").returncode == 0, "tmux serves")
        self.must("new-session", "-d", "-s", "test", "-x", str(columns), "-y", str(rows),
                  f"bash --rcfile {folder}/rc -i")
        # Not before there is a session: tmux 3.3 ends itself then.
        self.must("set-option", "-g", "window-size", "manual")
        self.shell = int(self.must("display-message", "-p", "#{pane_pid}"))
        self.await_text(PROMPT.strip())

    def _run(self, *words):
        return subprocess.run([need("tmux"), "-S", self.socket, *words], env=self.env, text=True,
                              capture_output=True, timeout=DEADLINE, check=False)

    def must(self, *words):
        done = self._run(*words)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def close(self):
        """The server takes its shells with it."""
        self._run("kill-server")

    def key(self, *keys):
        """Presses keys, as tmux names them: "C-]", "Enter"."""
        self.must("send-keys", *keys)

    def type(self, text):
        """Types text as it is."""
        self.must("send-keys", "-l", text)

    def line(self, text):
        self.type(text)
        self.key("Enter")

    def resize(self, columns, rows):
        self.must("resize-window", "-t", "test", "-x", str(columns), "-y", str(rows))

    def screen(self):
        """All that was shown, lines that were wrapped in one piece."""
        return self.must("capture-pane", "-p", "-J", "-S", "-5000")

    def await_text(self, pattern, times=1):
        """The screen, as soon as the pattern is on it so often."""
        return until(lambda: len(re.findall(pattern, self.screen())) >= times and self.screen(),
                     f"{pattern} ({times} times) is on the screen:\n{self.screen()}", DEADLINE)

    def ask(self, command):
        """What a command of the shell prints; the terminal has to be the shell's."""
        self.count = getattr(self, "count", 0) + 1
        begin, end = f"<{self.count}:", f":{self.count}>"
        self.line(f"echo '<'{self.count}:; {command}; echo :{self.count}'>'")
        text = self.await_text(re.escape(end))
        return text.split(begin)[-1].split(end)[0].strip()

    def status(self):
        """What the last command ended with."""
        self.count = getattr(self, "count", 0) + 1
        self.line(f"echo '<'{self.count}=$?'>'")
        return int(re.search(rf"<{self.count}=(\d+)>", self.await_text(rf"<{self.count}=\d+>"))[1])

    def settings(self):
        """The terminal's, as a command finds them: the shell has its own while it reads."""
        return self.ask("stty -a")
