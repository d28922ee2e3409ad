# SPDX-License-Identifier: LGPL-2.1-or-later
"""What all kinds of requests have."""


class Kind:
    # Whether it may be refused when the daemon has no memory.
    may_fail = True
    # Of a kind that takes long: so many of its points are tried in a run that does not try all.
    most = None

    def __init__(self, scene):
        self.scene, self.client, self.disk = scene, scene.client, scene.disk

    def before(self):
        pass

    def after(self):
        pass
