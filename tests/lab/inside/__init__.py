# SPDX-License-Identifier: LGPL-2.1-or-later
"""What runs within a guest, as its root: the report, NFS hosts, disks."""
