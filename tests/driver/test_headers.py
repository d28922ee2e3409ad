# SPDX-License-Identifier: LGPL-2.1-or-later
"""What other projects build against: headers, exported symbols, pkg-config."""

import os
import re
import shutil
import subprocess

import pytest

from hftest.daemons import BUILD, REPO

HEADERS = ("console.h", "holdfast.h", "lock-driver.h", "messages.h", "pr.h")
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", f"-I{REPO}/include"]
COMPILERS = {
    "c99": ["cc", "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-x", "c"],
    "gnu17": ["cc", "-std=gnu17", "-x", "c"],
    "c++11": ["g++", "-std=c++11", "-x", "c++"],
    "c++20": ["g++", "-std=c++20", "-x", "c++"],
}

PROGRAM = """
#include <holdfast/holdfast.h>
#include <stdio.h>
int main(void)
{
        struct holdfast_vm_params params;
        struct holdfast_vm *vm;
        struct holdfast_error error;

        holdfast_vm_params_init(&params);
        params.name = "vm";
        params.driver = "nop";
        if (holdfast_vm_new(&params, &vm, &error) < 0)
                return 1;
        (void)puts(holdfast_version());
        holdfast_vm_free(vm);
        return 0;
}
"""


@pytest.mark.parametrize("standard", COMPILERS)
@pytest.mark.parametrize("header", HEADERS)
def test_each_header_compiles_alone_without_a_warning(standard, header):
    if not shutil.which(COMPILERS[standard][0]):
        pytest.skip(f"no {COMPILERS[standard][0]} here")
    # Twice: a header may be included by two others.
    source = f"#include <holdfast/{header}>\n" * 2 + "int main(void) { return 0; }\n"
    subprocess.run([*COMPILERS[standard], *STRICT, "-"], input=source.encode(), check=True)


def exported(path):
    listed = subprocess.run(["nm", "-D", "--defined-only", path], check=True, capture_output=True,
                            text=True).stdout
    return [line.split()[2] for line in listed.splitlines()]


def test_the_module_exports_one_symbol():
    assert exported(os.path.join(BUILD, "src/driver/lockd.so")) == ["hf_lock_driver"]


def declarations(name):
    with open(os.path.join(REPO, "include/holdfast", name), encoding="utf-8") as header:
        return set(re.findall(r"\b(holdfast_\w+)\(", re.sub(r"/\*.*?\*/", "", header.read(), flags=re.S)))


def test_the_library_exports_what_its_headers_declare_and_nothing_else():
    symbols = exported(os.path.join(BUILD, "src/client/libholdfast.so.0"))
    declared = declarations("holdfast.h") | declarations("pr.h") | declarations("console.h")
    declared -= {"holdfast_vm_params_init", "holdfast_console_params_init"}
    assert {s.split("@@")[0] for s in symbols if "@@" in s} == declared
    assert all(s.endswith("@@HOLDFAST_0.1") for s in symbols if "@@" in s)
    assert [s for s in symbols if "@@" not in s] == ["HOLDFAST_0.1"]


@pytest.mark.usefixtures("plain_build")
def test_a_program_is_built_by_pkg_config_against_the_installed_tree(folder):
    if not shutil.which("meson"):
        pytest.skip("no meson here to install the tree with")
    root = os.path.join(folder, "root")
    done = subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [pc] = [os.path.join(at, name) for at, _, names in os.walk(root) for name in names
            if name == "libholdfast.pc"]
    env = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": root, "PKG_CONFIG_PATH": os.path.dirname(pc)}
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libholdfast"], env=env, check=True,
                           capture_output=True, text=True).stdout.split()
    program = os.path.join(folder, "program")
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-x", "c", "-", "-o", program, "-x",
                    "none", *flags], input=PROGRAM.encode(), check=True)
    libdir = subprocess.run(["pkg-config", "--variable=libdir", "libholdfast"], env=env,
                            check=True, capture_output=True, text=True).stdout.strip()
    libdir = libdir if libdir.startswith(root) else root + libdir
    said = subprocess.run([program], env={"LD_LIBRARY_PATH": libdir}, check=True,
                          capture_output=True, text=True).stdout
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", said)
    driverdir = subprocess.run(["pkg-config", "--variable=driverdir", "libholdfast"], env=env,
                               check=True, capture_output=True, text=True).stdout.strip()
    driverdir = driverdir if driverdir.startswith(root) else root + driverdir
    assert os.path.exists(os.path.join(driverdir, "lockd.so"))
