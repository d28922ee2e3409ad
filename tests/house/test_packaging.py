# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lists of the packages have what the tree installs."""

import fnmatch
import pathlib

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted(page.name for page in (TOP / "docs/man").glob("*.[1-9]"))


def missing(patterns):
    return [page for page in PAGES
            if not any(fnmatch.fnmatch(page, pattern) for pattern in patterns)]


def test_every_manual_page_is_in_a_debian_package():
    lists = [path.read_text().split() for path in (TOP / "packaging/debian").glob("*.install")]
    assert PAGES and not missing([word.rsplit("/", 1)[-1] for words in lists for word in words
                                  if word.startswith("usr/share/man/")])


def test_every_manual_page_is_in_an_rpm_package():
    lines = (TOP / "packaging/rpm/holdfast.spec").read_text().splitlines()
    assert not missing([line.rsplit("/", 1)[-1] for line in lines
                        if line.startswith("%{_mandir}/")])
