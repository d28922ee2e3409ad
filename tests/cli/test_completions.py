# SPDX-License-Identifier: LGPL-2.1-or-later
"""Completion in bash, zsh and fish: words are typed at a real shell on a terminal."""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from hftest import daemons
from hftest.processes import Nursery

SCRIPTS = pathlib.Path(daemons.BUILD) / "data/completions"
FILES = {"bash": "holdfast", "zsh": "_holdfast", "fish": "holdfast.fish"}
DEADLINE = 60
TOOLS = pathlib.Path(daemons.REPO) / "tools"

# How each shell is started with nothing but the script; it says what it would have run.
START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"],
             "bind 'set enable-bracketed-paste off'; PS1=; holdfast() {{ echo \"GOT<$*>\"; }}; "
             "source {script}; echo REA''DY"),
    "zsh": (["zsh", "-f", "-i"],
            "PS1=; unsetopt zle_bracketed_paste; unset zle_bracketed_paste; fpath=({folder} $fpath); "
            "autoload -U compinit; compinit -u -D; holdfast() {{ print -r -- \"GOT<$*>\" }}; echo REA''DY"),
    "fish": (["fish", "--no-config", "-i"],
             "function fish_prompt; end; function holdfast; echo \"GOT<$argv>\"; end; "
             "source {script}; echo REA''DY"),
}

# What is typed, where "\t" asks for completion, and what the command is then given.
TYPED = [
    ("exp\t", "explain"),
    ("run --no-con\t", "run --no-console"),
    ("run --on-lost=pa\t", "run --on-lost=pause"),
    ("check --stri\t --js\t", "check --strict --json"),
    ("label rep\t", "label repair"),
    ("pr res\t", "pr reserve"),
    ("pr register --ign\t", "pr register --ignore"),
    ("sanlock clea\t", "sanlock cleanup"),
    ("console --time\t", "console --timestamps"),
    ("who {folder}/web-d\t", "who {folder}/web-disk"),
    # What a verb does not know is not completed in it.
    ("ps --no-con\t", "ps --no-con"),
]


class Shell:
    """An interactive one on a terminal of its own."""

    def __init__(self, nursery, name, folder):
        command, first = START[name]
        command = [shutil.which(command[0]) or pytest.skip(f"{name} is not installed"), *command[1:]]
        ours, theirs = pty.openpty()
        self.terminal, self.said = ours, ""
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "TERM": "dumb", "LC_ALL": "C.UTF-8",
                       "XDG_CONFIG_HOME": folder, "XDG_DATA_HOME": folder, "HISTFILE": "/dev/null"}
        self.child = nursery.spawn(["setsid", "--ctty", *command], stdin=theirs,
                                   stdout=theirs, stderr=theirs, cwd=folder, env=environment)
        os.close(theirs)
        self.type(first.format(script=SCRIPTS / FILES[name], folder=SCRIPTS) + "\n")
        self.await_text("READY")

    def type(self, text):
        os.write(self.terminal, text.encode())

    def await_text(self, pattern):
        end = time.monotonic() + DEADLINE
        while not (found := re.search(pattern, self.said)):
            left = end - time.monotonic()
            assert left > 0 and select.select([self.terminal], [], [], left)[0], self.said[-2000:]
            self.said += os.read(self.terminal, 65536).decode(errors="replace")
        self.said = self.said[found.end():]
        return found

    def given(self, typed):
        """What the command would be given. The line is sent once it has been completed."""
        self.type(f"holdfast {typed}")
        self.type("\n")
        return " ".join(self.await_text(r"GOT<([^>]*)>").group(1).split())


@pytest.fixture(scope="module", params=sorted(FILES))
def shell(request, tmp_path_factory):
    nursery, folder = Nursery(), tmp_path_factory.mktemp("shell")
    (folder / "web-disk").touch()
    one = Shell(nursery, request.param, str(folder))
    one.folder = folder
    yield one
    os.close(one.terminal)
    nursery.close()


@pytest.mark.parametrize("typed,given", TYPED, ids=[given for _, given in TYPED])
def test_what_is_begun_at_a_shell_is_completed(shell, typed, given):
    folder = shell.folder
    assert shell.given(typed.format(folder=folder)) == given.format(folder=folder)


def options_of(*command):
    text = subprocess.run([*command, "--dump-options"], capture_output=True, text=True, check=True,
                          stdin=subprocess.DEVNULL, timeout=DEADLINE).stdout
    return set(re.findall(r"--[a-z][\w-]*", text))


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("verb", ["run", "lock", "check", "ps", "who", "explain", "events", "metrics",
                                  "console", "console list", "label list", "label repair", "pr keys",
                                  "pr preempt"])
def test_every_option_of_a_verb_is_in_the_script(name, verb):
    program = pathlib.Path(daemons.BUILD) / "src/cli/holdfast"
    text = (SCRIPTS / FILES[name]).read_text()
    if name == "bash":
        text = next(line for line in text.splitlines() if line.strip().startswith(f"options['{verb} ']"))
    elif name == "zsh":
        text = text.split(f"\n_holdfast_{verb.replace(' ', '_')}()\n")[1].split("\n}\n")[0]
    else:
        text = "\n".join(line.replace(" -l ", " --") for line in text.splitlines()
                         if f"'__holdfast_at {verb}'" in line)
    missing = {o for o in options_of(program, *verb.split()) if not re.search(rf"{o}(?![\w-])", text)}
    assert not missing


def test_a_shell_that_is_not_known_is_refused():
    done = subprocess.run([TOOLS / "completions", "csh", "holdfast"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=DEADLINE, check=False)
    assert done.returncode == 64 and "usage" in done.stderr
