# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a refusal must say."""
import re

NAMES_NOBODY = "virtlockd's refusal has the resource in it, but no word of who holds it"


def names(text, vm):
    """Whether a refusal tells which VM holds the resource, and which process that is."""
    return all(re.search(rf"\b{word}\b", text) for word in (vm.name, vm.pid))
