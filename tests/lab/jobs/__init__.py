# SPDX-License-Identifier: LGPL-2.1-or-later
"""Jobs: what is done within a guest."""
