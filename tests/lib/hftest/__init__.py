# SPDX-License-Identifier: LGPL-2.1-or-later
"""Helpers shared by the tests: a raw wire client, daemons on private paths, processes."""
