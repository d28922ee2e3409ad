# SPDX-License-Identifier: LGPL-2.1-or-later
"""Loading drivers: what can be wrong with one is said, and nothing wrong is used."""

import os
import subprocess

import pytest

from hftest.daemons import REPO

CONFIG = 6

COMPLETE = """
#include <holdfast/lock-driver.h>
#include <stdlib.h>
static int init(const struct hf_lock_init *i, void **d, struct hf_lock_error *e)
{ (void)i; (void)e; *d = NULL; return 0; }
static void end(void *d) { (void)d; }
static int vm_new(void *d, const struct hf_lock_vm_params *p, void **v, struct hf_lock_error *e)
{ (void)d; (void)p; (void)e; *v = NULL; return 0; }
static int add(void *v, const struct hf_lock_resource *r, struct hf_lock_error *e)
{ (void)v; (void)r; (void)e; return 0; }
static int acquire(void *v, const struct hf_lock_acquire *a, struct hf_lock_result *r,
                   struct hf_lock_error *e)
{ (void)v; (void)e; (void)a; r->guarantee = HF_GUARANTEE_CLUSTER_FENCED; return 0; }
static int state(void *v, char **s, struct hf_lock_error *e)
{ (void)v; (void)e; *s = calloc(1, 3); (*s)[0] = 'o'; (*s)[1] = 'k'; return 0; }
__attribute__((visibility("default"))) const struct hf_lock_driver hf_lock_driver = {
        .size = SIZE, .abi = ABI, .name = "made", .description = "made for a test",
        .init = INIT, .deinit = end, .vm_new = vm_new, .vm_free = end, .add_resource = add,
        .acquire = acquire, .release = state, .inquire = state,
};
"""


@pytest.fixture
def build_driver(folder):
    """Compiles NAME.so into the test's driver directory."""
    def build(name, source=COMPLETE, size="sizeof(struct hf_lock_driver)",
              abi="HF_LOCK_DRIVER_ABI", init="init"):
        path = os.path.join(folder, name + ".so")
        subprocess.run(["cc", "-shared", "-fPIC", "-std=gnu17", f"-I{REPO}/include",
                        f"-DSIZE={size}", f"-DABI={abi}", f"-DINIT={init}", "-x", "c", "-o", path,
                        "-"], input=source.encode(), check=True)
        return path
    return build


@pytest.fixture
def load(peer, folder):
    """Tries to make a VM object with that driver."""
    def new(name, **env):
        return peer({"HOLDFAST_DRIVER_DIR": folder, **env}).new(name="vm", driver=name)
    return new


def refused(answer, *words):
    assert answer["r"] < 0 and answer["code"] == CONFIG, answer
    for word in words:
        assert word in answer["text"], answer["text"]


def test_a_missing_driver_is_named_with_its_path(load, folder):
    refused(load("none"), '"none"', f"{folder}/none.so")


def test_names_cannot_leave_the_driver_directory(load):
    for name in ("", ".", "../lockd", "/tmp/x", ".hidden"):
        refused(load(name), "name of a lock driver")


def test_a_relative_driver_directory_is_refused(load):
    refused(load("lockd", HOLDFAST_DRIVER_DIR="drivers"), "HOLDFAST_DRIVER_DIR", "absolute")


def test_a_file_that_is_no_module_is_refused(load, folder):
    with open(os.path.join(folder, "text.so"), "w", encoding="utf-8") as out:
        out.write("no module\n")
    refused(load("text"), "text.so")


def test_a_module_with_an_unresolved_symbol_is_refused_at_once(load, build_driver):
    build_driver("open", "int missing_function(void); int f(void) { return missing_function(); }")
    refused(load("open"), "missing_function")


def test_a_module_without_the_symbol_is_no_driver(load, build_driver):
    build_driver("other", "int virLockDriverImpl;")
    refused(load("other"), "no symbol hf_lock_driver", "other.so")


def test_a_symbol_of_another_kind_is_no_driver(load, build_driver):
    build_driver("code", "int hf_lock_driver(void); int hf_lock_driver(void) { return 1; }")
    refused(load("code"), "no driver's table")


def test_another_abi_is_refused_with_both_versions(load, build_driver):
    build_driver("newer", abi="7")
    refused(load("newer"), "version 7", "version 1")


def test_a_table_that_is_too_small_is_refused(load, build_driver):
    build_driver("small", size="offsetof(struct hf_lock_driver, acquire)")
    refused(load("small"), "at least")
    build_driver("tiny", size="sizeof(size_t)")
    refused(load("tiny"), "no driver's table")


def test_a_driver_without_a_function_is_refused(load, build_driver):
    build_driver("lame", init="NULL")
    refused(load("lame"), "lacks its name or a function")


def test_a_driver_without_a_name_is_refused(load, build_driver):
    build_driver("anon", source=COMPLETE.replace('.name = "made",', ""))
    refused(load("anon"), "lacks its name")


def test_a_longer_table_and_one_without_dispatch_are_accepted(load, build_driver):
    build_driver("longer", size="sizeof(struct hf_lock_driver) + 64")
    assert load("longer")["r"] == 0
    build_driver("older", size="offsetof(struct hf_lock_driver, dispatch)")
    assert load("older")["r"] == 0


def test_a_drivers_state_and_guarantee_come_out(peer, folder, build_driver):
    build_driver("made")
    vm = peer({"HOLDFAST_DRIVER_DIR": folder})
    assert vm.must("new", name="vm", driver="made", pid=1)["driver"] == "made"
    vm.must("resume")
    assert vm.guarantee()["name"] == "cluster-fenced"
    assert vm.must("inquire")["state"] == "ok" and vm.must("pause")["state"] == "ok"


def test_nop_needs_no_file_and_no_daemon(peer, folder):
    vm = peer({"HOLDFAST_DRIVER_DIR": folder, "HOLDFAST_RUN_DIR": folder})
    assert vm.must("new", name="vm", driver="nop")["driver"] == "nop"
    vm.must("disk", what="add", path="/some/disk")
    assert vm.must("start")["fd"] == -1
    vm.must("pause")
    vm.must("resume")
    assert vm.guarantee()["name"] == "none"
    vm.must("free")


def configured(peer, folder, text, config=None):
    path = os.path.join(folder, "holdfast.conf")
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return peer({}).new(name="vm", config=config or path)


def test_the_configuration_chooses_the_driver(peer, folder):
    assert configured(peer, folder, 'lock_manager = "nop"\n')["driver"] == "nop"
    assert configured(peer, folder, "# nothing\n")["driver"] == "lockd"


def test_a_bad_or_missing_configuration_is_an_error_with_file_and_line(peer, folder):
    refused(configured(peer, folder, "\nlock_manager = 5\n"), "holdfast.conf:2")
    refused(configured(peer, folder, "lock_manager = \n"), "holdfast.conf:1")
    refused(configured(peer, folder, "", config=f"{folder}/none.conf"), "none.conf")


def test_parameters_that_make_no_sense_are_refused(peer):
    for wrong in ({"name": ""}, {"name": "vm", "size": 8}, {"name": "vm", "pid": -1}):
        assert peer({}).new(driver="nop", **wrong)["code"] == 2
