# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the build would install, at the places where it would be, in this guest alone."""

import json
import os
import shutil

from hftest import daemons


def install():
    """Copies all that has been built; returns where each file is, by its name
    and by its name with the folder's."""
    with open(os.path.join(daemons.BUILD, "meson-info", "intro-installed.json"),
              encoding="utf-8") as text:
        plan = json.load(text)
    names = {}
    for source, path in plan.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        if os.path.isabs(source):
            shutil.copy(source, path)
        else:
            # A link beside what it leads to: the plan has its own name alone.
            target = next(os.path.basename(other) for other in plan
                          if os.path.basename(other).startswith(source) and other != source)
            os.symlink(target, path)
        # A program is before the completion of its name.
        names.setdefault(os.path.basename(path), path)
        names["/".join(path.split("/")[-2:])] = path
    return names
