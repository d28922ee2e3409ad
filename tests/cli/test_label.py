# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images belong to the user of their VM while it runs, and to nobody else."""

import fcntl
import os
import stat
import subprocess

import pytest

from hftest.command import HOLDFAST, end, need, qemu, read_pid, running
from hftest.labels import ATTRIBUTE, NOBODY, OTHER, Place, owner, settings_dir
from hftest.processes import kill_family, until

SHOW = ("sh", "-c", 'id -u; id -g; id -G; shift; stat -c %u:%g "$@"', "sh", "--")


def test_images_are_the_vms_users_and_go_back(place):
    first, second = place.image("a.img"), place.image("b.img", 5, 6)
    answer = place.run("nobody", first, f"{second}:ro", vmm=[*SHOW, first, second])
    assert answer.stdout.split() == ["65534", "65534", "65534", NOBODY, NOBODY], answer
    assert (place.owner(first), place.owner(second)) == ("0:0", "5:6")
    place.nothing_is_left()


def test_it_is_remembered_where_the_filesystem_can(place):
    path = place.image()
    place.hold("web0", NOBODY, path)
    label, = place.labels()
    assert (label["place"], label["original"], label["now"], label["path"]) == \
        (place.kind, "0:0", NOBODY, path)
    user, = label["users"]
    assert user["name"] == "web0" and user["state"] == "running"
    in_attribute = place.kind == "attribute"
    assert (ATTRIBUTE in os.listxattr(place.outside(path))) == in_attribute


def test_the_exit_status_is_still_the_vms(place):
    assert place.run(NOBODY, place.image(), vmm=["sh", "-c", "exit 17"]).returncode == 17
    assert place.run(NOBODY, place.image(), vmm=["sh", "-c", "kill -9 $$"]).returncode == 137


def test_a_vmm_that_the_user_cannot_run_leaves_the_image_as_it_was(place):
    secret = os.path.join(place.cli.folder, "secret")
    with open(secret, "w", encoding="ascii") as out:
        out.write("#!/bin/sh\n")
    os.chmod(secret, 0o700)
    path = place.image()
    assert place.run(NOBODY, path, vmm=[secret]).returncode == 126
    assert place.owner(path) == "0:0"
    place.nothing_is_left()


def test_vms_of_one_user_share_an_image_until_the_last_has_ended(place):
    path = place.image()
    one, two = (place.hold(name, NOBODY, f"{path}:ro") for name in ("one", "two"))
    assert {user["name"] for user in place.labels()[0]["users"]} == {"one", "two"}
    end(one)
    assert place.owner(path) == NOBODY
    end(two)
    assert place.owner(path) == "0:0"
    place.nothing_is_left()


def test_another_user_is_refused_and_told_who_has_it(place):
    path, free = place.image(), place.image("free.img")
    place.hold("web0", NOBODY, f"{path}:ro")
    answer = place.run(OTHER, free, f"{path}:ro")
    assert answer.returncode == 75 and answer.stderr.count("\n") == 1, answer
    assert "web0 (pid" in answer.stderr and path in answer.stderr
    assert (place.owner(path), place.owner(free)) == (NOBODY, "0:0")
    assert len(place.labels()) == 1


def test_an_image_that_has_the_wanted_owner_already_counts_as_used(place):
    path = place.image(uid=65534, gid=65534)
    child = place.hold("web0", NOBODY, f"{path}:ro")
    assert place.run(OTHER, f"{path}:ro").returncode == 75
    end(child)
    assert place.owner(path) == NOBODY
    place.nothing_is_left()


def test_an_owner_that_somebody_gives_by_hand_meanwhile_stays(place):
    path = place.image()
    child = place.hold("web0", NOBODY, path)
    os.chown(place.outside(path), 77, 78)
    end(child)
    assert "somebody has changed" in child.stderr.read()
    assert place.owner(path) == "77:78"
    place.nothing_is_left()


def test_an_image_that_is_replaced_while_its_vm_runs_is_another_one(place):
    path, new = place.image(), place.image("new.img", 65534, 65534)
    child = place.hold("web0", NOBODY, path)
    os.rename(place.outside(new), place.outside(path))
    end(child)
    assert place.owner(path) == NOBODY
    place.nothing_is_left()


@pytest.mark.parametrize("place", ["attribute"], indirect=True)
def test_an_image_that_is_renamed_while_its_vm_runs_goes_back(place):
    path = place.image()
    child = place.hold("web0", NOBODY, path)
    os.rename(path, f"{path}.old")
    end(child)
    assert owner(f"{path}.old") == "0:0"
    place.nothing_is_left()


def test_a_block_device_is_labelled_by_its_node(place):
    path = os.path.join(place.folder, "node")
    # A loop device of which nothing is read: any block device will do.
    os.mknod(place.outside(path), 0o600 | stat.S_IFBLK, os.makedev(7, 0))
    place.options = ["--driver=nop"]
    answer = place.run(NOBODY, f"{path}:ro", vmm=["stat", "-c", "%u:%g", path])
    assert answer.stdout == f"{NOBODY}\n", answer
    assert place.owner(path) == "0:0"
    place.nothing_is_left()


@pytest.mark.parametrize("alias", [os.symlink, os.link])
def test_two_names_of_one_image_in_a_vm_are_one_image(place, alias):
    path = place.image()
    alias("disk.img" if alias is os.symlink else place.outside(path), place.outside("other.img"))
    other = os.path.join(place.folder, "other.img")
    place.hold("web0", NOBODY, f"{path}:shared", f"{other}:shared")
    place.hold("web1", NOBODY, f"{other}:shared")
    label, = place.labels()
    assert len(label["users"]) == 2


@pytest.mark.parametrize("place", ["attribute"], indirect=True)
def test_an_image_goes_back_also_when_a_link_to_it_leads_elsewhere_by_then(place):
    path, link = place.image(), os.path.join(place.folder, "link.img")
    os.symlink("disk.img", link)
    child = place.hold("web0", NOBODY, link)
    os.rename(path, f"{path}.old")
    place.image()
    end(child)
    assert (owner(f"{path}.old"), owner(path)) == ("0:0", "0:0")
    child = place.hold("web1", NOBODY, link)
    os.remove(link)
    os.symlink("disk.img.old", link)
    end(child)
    assert (owner(f"{path}.old"), owner(path)) == ("0:0", "0:0")
    place.nothing_is_left()


@pytest.mark.parametrize("place", ["attribute"], indirect=True)
@pytest.mark.parametrize("link", ["link.img", "folder/disk.img"])
def test_a_link_of_a_user_gives_nobody_a_file_of_another_user(place, link):
    path, link = place.image(), os.path.join(place.folder, link)
    made = os.path.dirname(link) if "folder" in link else link
    os.symlink(place.folder if "folder" in link else path, made)
    os.chown(made, 65534, 65534, follow_symlinks=False)
    answer = place.run(NOBODY, link, vmm=["stat", "-c", "%u:%g", path])
    assert answer.returncode == 77 and answer.stdout == "", answer
    assert os.path.basename(made) in answer.stderr and answer.stderr.count("\n") == 1
    place.nothing_is_left()
    os.chown(path, 65534, 65534)
    assert place.run(NOBODY, link).returncode == 0
    os.chown(path, 5, 6)
    os.chown(made, 0, 0, follow_symlinks=False)
    assert place.run(NOBODY, link).returncode == 0
    assert owner(path) == "5:6"


@pytest.mark.parametrize("place", ["attribute"], indirect=True)
@pytest.mark.parametrize("option", ["-b secret -F raw", "-o data_file=secret"])
def test_what_only_the_header_of_an_image_names_is_given_to_nobody(place, option):
    secret, overlay = place.image("secret"), os.path.join(place.folder, "overlay.qcow2")
    os.chmod(secret, 0o600)
    subprocess.run([need("qemu-img"), "create", "-q", "-f", "qcow2", *option.split(), overlay,
                    "1M"], cwd=place.folder, check=True)
    with open(secret, "r+b") as out:
        out.truncate(1 << 20)
    words = ["run", "--user=nobody", "--name=web0"]
    vmm = ["sh", "-c", 'stat -c %u:%g "$0"', secret, "-drive", f"file={overlay},if=none"]
    answer = place.cli(*words, "--", *vmm)
    assert answer.returncode == 77 and answer.stdout == "", answer
    assert f"--disk={secret}" in answer.stderr and answer.stderr.count("\n") == 1
    assert (owner(secret), owner(overlay)) == ("0:0", "0:0")
    os.chmod(secret, 0o666)
    assert place.cli(*words, "--", *vmm).stdout == "0:0\n"
    answer = place.cli(*words, f"--disk={secret}", "--", *vmm)
    assert answer.stdout == f"{NOBODY}\n", answer
    assert (owner(secret), owner(overlay)) == ("0:0", "0:0")
    place.nothing_is_left()


@pytest.mark.parametrize("place", ["attribute"], indirect=True)
def test_a_path_that_is_led_away_before_the_image_is_given_gives_nothing(place, folder):
    """Each call that sets signals takes a second, so there is time when the VM's process is there
    and has looked at nothing again."""
    path, secret = place.image(), place.image("secret")
    calls = os.path.join(folder, "calls")
    child = place.cli.nursery.spawn(
        [need("strace"), "-f", "-qq", "-o", calls, "-e", "trace=clone,clone3,rt_sigprocmask",
         "--inject=rt_sigprocmask:delay_enter=1s", HOLDFAST, "run", "--driver=nop",
         "--user=nobody", f"--disk={path}", "--", "stat", "-c", "%u:%g", path],
        env=place.cli.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: subprocess.run(["grep", "-q", "clone", calls], check=False,
                                 capture_output=True).returncode == 0, "it has made a process")
    os.rename(secret, path)
    out, text = child.communicate(timeout=60)
    assert (child.returncode, out) == (66, "") and "leads elsewhere" in text, (out, text)
    assert owner(path) == "0:0"
    place.nothing_is_left()


@pytest.mark.parametrize("place", ["attribute"], indirect=True)
def test_no_capability_of_roots_goes_with_the_user(place):
    caps = "+net_admin,+dac_override"
    place.prefix = [need("setpriv"), f"--inh-caps={caps}", f"--ambient-caps={caps}", "setpriv",
                    "--securebits=+no_setuid_fixup"]
    answer = place.run("nobody", place.image(), vmm=["grep", "^Cap[IPEA]", "/proc/self/status"])
    assert answer.stdout.count("\t0000000000000000\n") == 4, answer


@pytest.fixture
def immutable(place):
    """An image whose owner cannot be changed."""
    path = place.image("fixed.img")
    done = subprocess.run([need("chattr"), "+i", place.outside(path)], check=False,
                          capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this filesystem has no immutable files: {done.stderr}")
    yield path
    subprocess.run(["chattr", "-i", place.outside(path)], check=True)


@pytest.mark.parametrize("place", ["attribute"], indirect=True)
def test_where_the_third_image_fails_none_is_changed(place, immutable):
    images = [place.image("a.img"), place.image("b.img", 5, 6)]
    place.hold("web0", NOBODY, f"{images[0]}:ro")
    answer = place.run(NOBODY, f"{images[0]}:ro", images[1], f"{immutable}:ro")
    assert answer.returncode == 77 and answer.stderr.count("\n") == 1, answer
    assert "fixed.img" in answer.stderr and "not permitted" in answer.stderr
    assert [place.owner(path) for path in images] == [NOBODY, "5:6"]
    label, = place.labels()
    assert [user["name"] for user in label["users"]] == ["web0"]


def test_an_image_that_is_only_read_on_a_readonly_filesystem_stays_as_it_is(cli, nursery, folder):
    if os.geteuid() != 0:
        pytest.skip("needs root: images are given to other users")
    place = Place(cli, nursery, folder, "attribute")
    place.mount(nursery, 'mount -t tmpfs none "$1" && echo x >"$1/cd.iso" && chmod 755 "$1" && '
                'mount -o remount,ro "$1"')
    path = os.path.join(place.folder, "cd.iso")
    answer = place.run(NOBODY, f"{path}:ro", vmm=["cat", path])
    assert answer.returncode == 0 and answer.stdout == "x\n", answer
    assert "read-only filesystem" in answer.stderr
    place.nothing_is_left()


@pytest.mark.parametrize("place", ["attribute"], indirect=True)
def test_a_record_that_does_not_fit_into_attributes_is_in_the_table(place):
    path = place.image()
    space = 0
    for size in (512, 64):
        try:
            for _ in range(200):
                os.setxattr(path, f"trusted.fill{space}", b"x" * size)
                space += 1
        except OSError:
            pass
    if space == 400:
        pytest.skip("attributes of this filesystem are never full")
    child = place.hold("web0", NOBODY, path)
    assert place.labels()[0]["place"] == "table"
    end(child)
    assert place.owner(path) == "0:0"
    place.nothing_is_left()


def test_more_users_than_an_attribute_has_room_for_are_remembered(place):
    """Of real VMs a filesystem with small attributes would need dozens; their names do it here."""
    path = place.image()
    names = [letter * 80 for letter in "abcdefghijkl"]
    children = [place.hold(name, NOBODY, f"{path}:ro") for name in names]
    label, = place.labels()
    assert sorted(user["name"] for user in label["users"]) == names
    for child in children:
        end(child)
    assert place.owner(path) == "0:0"
    place.nothing_is_left()


def test_a_copy_of_an_image_is_another_image(place):
    path = place.image()
    child = place.hold("web0", NOBODY, path)
    subprocess.run([need("cp"), "-a", place.outside(path), place.outside("copy.img")], check=True)
    copy = os.path.join(place.folder, "copy.img")
    assert place.run(OTHER, copy, vmm=["stat", "-c", "%u:%g", copy]).stdout == f"{OTHER}\n"
    assert place.owner(copy) == NOBODY
    end(child)
    assert place.owner(path) == "0:0"


def test_many_images_go_there_and_back(place):
    paths = [place.image(f"{n}.img", n, n) for n in range(1, 60)]
    answer = place.run(NOBODY, *paths, vmm=["stat", "-c", "%u:%g", paths[0], paths[-1]])
    assert answer.stdout.split() == [NOBODY, NOBODY], answer
    assert [place.owner(path) for path in paths] == [f"{n}:{n}" for n in range(1, 60)]
    place.nothing_is_left()


WRONG = {
    "an unknown user": (["--user=no-such-user"], 64, "no-such-user"),
    "an unknown group": (["--user=nobody:no-such-group"], 64, "no-such-group"),
    "a number without a group": (["--user=4242"], 64, "USER:GROUP"),
    "nothing": (["--user="], 64, "USER"),
    "the number that is nobody": (["--user=4294967295:0"], 64, "4294967295"),
    "with --exec": (["--user=nobody", "--exec"], 64, "--exec"),
    "a loop of links": (["--user=nobody", "--disk=loop"], 66, "loop"),
    "no image": (["--user=nobody", "--disk=gone.img"], 66, "gone.img"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_is_one_clear_error(cli, disk, wrong):
    if os.geteuid() != 0:
        pytest.skip("needs root: images are given to other users")
    words, status, text = WRONG[wrong]
    path = disk()
    os.symlink("loop", os.path.join(cli.folder, "loop"))
    answer = cli("run", f"--disk={path}", *words, "--", "true")
    assert answer.returncode == status and text in answer.stderr, answer
    assert answer.stderr.count("\n") == 1 and owner(path) == "0:0"


def test_who_is_not_root_is_told_that_root_is_needed(cli, disk):
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    path = disk()
    os.chmod(path, 0o666)
    for words in (["run", "--user=nobody", f"--disk={path}", "--", "true"], ["label", "list"],
                  ["label", "repair"]):
        answer = cli(*words, prefix=become if os.geteuid() == 0 else ())
        assert answer.returncode == 77 and "needs root" in answer.stderr, answer


def test_a_context_where_selinux_is_off_is_refused(cli, disk):
    if os.geteuid() != 0:
        pytest.skip("needs root: images are given labels")
    if os.path.exists("/sys/fs/selinux/enforce"):
        pytest.skip("SELinux is on here")
    answer = cli("run", "--selinux-label=system_u:object_r:svirt_image_t:s0", f"--disk={disk()}",
                 "--", "true")
    assert answer.returncode == 78 and answer.stderr.count("\n") == 1, answer


def ids_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as text:
        found = dict(line.rstrip("\n").split(":\t", 1) for line in text)
    return set(found["Uid"].split()), set(found["Gid"].split())


@pytest.mark.parametrize("place", ["attribute"], indirect=True)
def test_a_qemu_runs_as_its_user_with_a_monitor_that_root_alone_reaches(place, folder):
    path, pidfile = place.image(), os.path.join(folder, "images", "qemu.pid")
    os.chmod(place.folder, 0o777)
    place.cli.start(*place.words(NOBODY), "--name=web0", "--", *qemu(
        "-pidfile", pidfile, "-drive", f"file={path},format=raw,if=virtio"))
    pid = running(place.cli.nursery, pidfile)
    assert ids_of(pid) == ({"65534"}, {"65534"}) and place.owner(path) == NOBODY
    monitors = os.path.join(place.cli.env["HOLDFAST_RUN_DIR"], "holdfast", "monitors")
    socket, = (name for name in os.listdir(monitors) if name.endswith(".qmp"))
    found = os.stat(os.path.join(monitors, socket))
    assert (found.st_uid, found.st_mode & 0o777) == (0, 0o600)
    assert os.stat(monitors).st_mode & 0o777 == 0o700
    done = subprocess.run(["/usr/bin/python3", "-c", "import socket, sys\n"
                           "s = socket.socket(socket.AF_UNIX)\ns.settimeout(20)\n"
                           "s.connect(sys.argv[1])\nprint(s.recv(4096))",
                           os.path.join(monitors, socket)], capture_output=True, text=True,
                          check=False)
    assert "QMP" in done.stdout, done
    os.kill(pid, 9)
    until(lambda: place.owner(path) == "0:0", "the image goes back")
    until(lambda: not os.listdir(monitors) and not os.listdir(f"{monitors}-of-users"),
          "the monitor's files go")


@pytest.mark.parametrize("place", ["attribute"], indirect=True)
def test_a_qemu_that_leaves_its_process_keeps_its_images(place, folder):
    path, pidfile = place.image(), os.path.join(folder, "images", "qemu.pid")
    os.chmod(place.folder, 0o777)
    words = qemu("-pidfile", pidfile, "-daemonize", "-drive",
                 f"file={path},format=raw,if=virtio")
    answer = place.run(NOBODY, vmm=words)
    assert answer.returncode == 0, answer
    pid = place.cli.nursery.adopt(read_pid(pidfile))
    assert place.owner(path) == NOBODY and place.run(OTHER, f"{path}:ro").returncode == 75
    place.repair()
    assert place.labels()[0]["users"][0]["state"] == "running" and place.owner(path) == NOBODY
    os.kill(pid, 9)
    until(lambda: place.repair() and place.owner(path) == "0:0", "the image goes back")
    place.nothing_is_left()


@pytest.fixture
def configure(place, folder):
    """Gives the command, as root has it, a holdfast.conf: by a prefix for its command line."""
    def make(text):
        with open(os.path.join(folder, "holdfast.conf"), "w", encoding="ascii") as conf:
            conf.write(text)
        layer = os.path.join(folder, "layer")
        os.mkdir(layer)
        script = ('mount -t tmpfs none "$2" && mkdir -p "$2/upper/holdfast" "$2/work" && '
                  'cp "$3" "$2/upper/holdfast" && mount -t overlay -o '
                  '"lowerdir=$1,upperdir=$2/upper,workdir=$2/work" none "$1" && shift 3 && '
                  'exec "$@"')
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
                settings_dir(), layer, os.path.join(folder, "holdfast.conf")]
    return make


def waiters(path):
    """Processes that wait in the kernel for a lock on the file."""
    inode = os.stat(path).st_ino
    with open("/proc/locks", encoding="ascii") as text:
        return [line for line in text if "->" in line and f":{inode} " in line]


@pytest.mark.parametrize("place", ["attribute"], indirect=True)
def test_libvirts_lock_for_relabelling_is_waited_for_in_the_kernel(place, nursery, configure):
    path, prefix = place.image(), configure("libvirt_metadata_lock = 1\n")
    libvirtd = nursery.vm("libvirtd")
    libvirtd.lock(path, "posix", fcntl.F_WRLCK, start=1)
    child = place.cli.start(*place.words(NOBODY, path), "--", "echo", "up", prefix=prefix,
                            stdout=subprocess.PIPE)
    until(lambda: waiters(path), "somebody waits for byte 1")
    assert place.owner(path) == "0:0"
    libvirtd.leave()
    assert child.stdout.readline() == "up\n" and child.wait(10) == 0
    assert place.owner(path) == "0:0" and not waiters(path)


@pytest.mark.parametrize("place", ["attribute"], indirect=True)
def test_without_the_setting_libvirts_lock_is_not_asked_for(place, nursery):
    path = place.image()
    nursery.vm("libvirtd").lock(path, "posix", fcntl.F_WRLCK, start=1)
    assert place.run(NOBODY, path).returncode == 0


@pytest.mark.parametrize("place", ["attribute"], indirect=True)
def test_who_waits_for_libvirts_lock_and_is_killed_leaves_nothing(place, nursery, configure):
    path, prefix = place.image(), configure("libvirt_metadata_lock = 1\n")
    libvirtd = nursery.vm("libvirtd")
    libvirtd.lock(path, "posix", fcntl.F_WRLCK, start=1)
    child = place.cli.start(*place.words(NOBODY, path), "--", "true", prefix=prefix)
    until(lambda: waiters(path), "somebody waits for byte 1")
    kill_family(child.pid)
    until(lambda: not waiters(path), "nobody waits any more")
    libvirtd.leave()
    assert place.run(NOBODY, path).returncode == 0 and place.owner(path) == "0:0"
