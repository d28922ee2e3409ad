# SPDX-License-Identifier: LGPL-2.1-or-later
"""The check of the man pages sees where they and the programs disagree."""

import pathlib
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]

PAGE = '''.\\" SPDX-License-Identifier: LGPL-2.1-or-later
.Dd November 21, 2026
.Dt {name} {section}
.Os
.Sh NAME
.Nm {name}
.Nd something
.Sh DESCRIPTION
.Bl -tag -width Ds
{items}.El
'''

# Stands in for a program: $1 is a verb or an option; it knows --name and -v.
PROGRAM = '''#!/bin/sh
case $* in
*--dump-options) printf '%s\\n' '-v, --verbose' '--name=NAME' ;;
*--help) echo 'Usage: x [-v|--verbose] [--name=NAME]' ;;
esac
'''

OPTIONS = ['Fl v , Fl -verbose', 'Fl -name Ns = Ns Ar name']
PAGES = {
    'holdfastd.8': OPTIONS,
    'holdfast.1': OPTIONS,
    'holdfast-pr-helper.8': OPTIONS,
    'holdfast-console.1': OPTIONS,
    'holdfast-consoled.8': OPTIONS,
    'holdfast-pr.1': OPTIONS,
    'holdfast-adopt.8': OPTIONS,
    'holdfastd.conf.5': ['Va log_level'],
    'holdfast.conf.5': ['Va lock_manager'],
    'pr-policy.conf.5': ['Va log_level'],
    'console.conf.5': ['Va log_level'],
}


# Of each file: the tables that it is read by, and its lens.
TABLES = {
    'src/daemon/config.c': '        KEY(INT, log_level, "log_level", .min = 1),\n',
    'src/console/config.c': '        KEY(INT, log_level, "log_level", .min = 1),\n',
    'src/prhelper/settings.c': '        KEY(INT, log_level, "log_level", .min = 1),\n',
    'src/client/settings.c': '        {"lock_manager", HF_CONF_KIND_STRING, 0},\n',
    'src/storage/lockspaces.c': '        {\n"lock_manager",\n        HF_CONF_KIND_OTHERS},\n',
    'src/driver/sanlock/settings.c': '        {"lock_manager", HF_CONF_KIND_OTHERS},\n',
    'data/augeas/holdfastd.aug': 'let entry = setting "log_level" number\n',
    'data/augeas/holdfast_console.aug': 'let entry = setting "log_level" number\n',
    'data/augeas/holdfast_pr_policy.aug': 'let entry = setting "log_level" number\n',
    'data/augeas/holdfast.aug': 'let entry = setting "lock_manager" text\n',
}
LIBRARY = 'src/client/libholdfast.map'
LIBRARY_PAGE = 'docs/man/libholdfast.3'


@pytest.fixture
def tree(tmp_path):
    if not shutil.which('mandoc'):
        pytest.skip('mandoc is not here')
    for name in ('tools', 'docs/man', 'data/augeas', 'build/src/daemon', 'build/src/cli', 'build/src/prhelper',
                 'build/src/console', 'src/console', 'src/daemon', 'src/client', 'src/storage', 'src/driver/sanlock', 'src/prhelper'):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(TOP / 'tools' / 'check-docs', tmp_path / 'tools')
    (tmp_path / 'data/holdfastd.conf').write_text('# What is logged.\n#log_level = 3\n')
    (tmp_path / 'data/pr-policy.conf').write_text('#log_level = 3\n')
    (tmp_path / 'data/console.conf').write_text('#log_level = 3\n')
    (tmp_path / 'data/holdfast.conf').write_text('lock_manager = "lockd"\n')
    for program in ('build/src/daemon/holdfastd', 'build/src/cli/holdfast',
                    'build/src/console/holdfast-consoled',
                    'build/src/prhelper/holdfast-pr-helper'):
        (tmp_path / program).write_text(PROGRAM)
        (tmp_path / program).chmod(0o755)
    for name, text in TABLES.items():
        (tmp_path / name).write_text(text)
    for name, items in PAGES.items():
        write_page(tmp_path, name, items)
    (tmp_path / LIBRARY).write_text('X {\n        global:\n                holdfast_one;\n};\n')
    write_page(tmp_path, 'libholdfast.3', ['Ar one'])
    with open(tmp_path / LIBRARY_PAGE, 'a', encoding='ascii') as page:
        page.write('.Pp\n.Fn holdfast_one void\n')
    return tmp_path


def write_page(tree, name, items):
    title, _, section = name.rpartition('.')
    text = ''.join(f'.It {item}\nSomething.\n' for item in items)
    (tree / 'docs/man' / name).write_text(PAGE.format(name=title, section=section, items=text))


def check(tree):
    done = subprocess.run([tree / 'tools/check-docs', tree / 'build'], capture_output=True,
                          text=True, check=False)
    return done.returncode, done.stdout


def test_pages_that_agree_pass(tree):
    assert check(tree) == (0, 'check-docs: 0 disagreements\n')


def test_an_option_without_a_line_in_the_page_is_told(tree):
    write_page(tree, 'holdfast.1', OPTIONS[:1])
    status, said = check(tree)
    assert status == 1
    assert 'holdfast.1: does not tell of holdfast run --name' in said


def test_an_option_that_is_gone_from_the_program_is_told(tree):
    write_page(tree, 'holdfastd.8', [*OPTIONS, 'Fl -frobnicate'])
    status, said = check(tree)
    assert status == 1
    assert 'holdfastd.8: --frobnicate is no option of holdfastd' in said


def test_an_option_without_a_line_in_help_is_told(tree):
    program = tree / 'build/src/cli/holdfast'
    program.write_text(PROGRAM.replace(' [--name=NAME]', ''))
    status, said = check(tree)
    assert status == 1
    assert 'holdfast run: --help does not tell of --name' in said


def test_a_function_of_the_library_without_a_line_is_told_and_back(tree):
    (tree / LIBRARY).write_text((tree / LIBRARY).read_text().replace('_one', '_two'))
    status, said = check(tree)
    assert status == 1
    assert 'does not tell of holdfast_two' in said and 'holdfast_one is no function' in said


def test_a_setting_without_a_line_in_the_page_is_told_and_back(tree):
    write_page(tree, 'holdfastd.conf.5', ['Va log_depth'])
    status, said = check(tree)
    assert status == 1
    assert 'does not tell of log_level' in said and 'has no line for log_depth' in said


def test_a_setting_that_a_table_has_and_nothing_tells_of_is_told(tree):
    table = tree / 'src/storage/lockspaces.c'
    table.write_text(table.read_text() + '        SWITCH(some_key, "some"),\n')
    status, said = check(tree)
    assert status == 1
    assert 'data/holdfast.conf: has no line for some_key' in said
    assert 'holdfast.aug: does not know some_key' in said


def test_a_setting_that_a_table_lacks_is_told(tree):
    (tree / 'src/client/settings.c').write_text('{"other", HF_CONF_KIND_BOOL}\n')
    status, said = check(tree)
    assert status == 1
    assert 'src/client/settings.c: does not know lock_manager' in said


def test_a_fault_in_the_language_of_the_page_is_told(tree):
    page = tree / 'docs/man/holdfast.1'
    page.write_text(page.read_text() + '.Xx\n')
    status, said = check(tree)
    assert status == 1
    assert 'holdfast.1' in said and 'Xx' in said


def test_a_link_that_leads_nowhere_is_told(tree):
    (tree / 'README.md').write_text('See [this](docs/man/holdfast.1) and [that](docs/gone.md).\n')
    status, said = check(tree)
    assert status == 1
    assert 'docs/gone.md' in said and 'holdfast.1' not in said


def test_a_program_that_is_not_built_is_a_skip_with_its_name(tree):
    (tree / 'build/src/cli/holdfast').unlink()
    status, said = check(tree)
    assert status == 77
    assert 'skipped: not built: src/cli/holdfast' in said
