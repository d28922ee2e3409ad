# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast sanlock, and what the other verbs say where lock_manager is sanlock: real daemons, which
run as several hosts."""

import json
import os
import signal
import time

import pytest

from hftest import sanlock
from hftest.command import HOLDFAST, need
from hftest.processes import Nursery, until
from hftest.sanlock import Command

OK, TROUBLE, NOBODY, USAGE, NO_DAEMON, SYSTEM, HELD, CONFIG = 0, 1, 1, 64, 69, 71, 75, 78
WEEK = 7 * 86400


def knows_all(command):
    """A host that has just joined counts the others as unknown, until it has seen them renew."""
    [space] = command.json("sanlock", "status")["lockspaces"]
    return [host["state"] for host in space["hosts"]] == ["alive", "alive"]


@pytest.fixture(scope="module")
def hosts():
    """Two hosts that have joined; a test that spoils them makes its own."""
    if not sanlock.driver_is_built():
        pytest.skip("the driver sanlock is not built (-Dsanlock)")
    nursery = Nursery()
    try:
        made = sanlock.Cluster(nursery)
        for host in made.hosts:
            until(lambda one=Command(host): knows_all(one), f"{host.name} has heard of both", 30)
        yield made
    finally:
        nursery.close()


@pytest.fixture
def alpha(hosts):
    return Command(hosts[0])


@pytest.fixture
def beta(hosts):
    return Command(hosts[1])


def test_a_lockspace_is_made_joined_shown_and_left(new_cluster):
    cluster = new_cluster(hosts=1, join=False)
    host = Command(cluster[0])
    before = host("sanlock", "status")
    assert before.returncode == OK and "there is no lockspace" in before.stdout, before
    made = host("sanlock", "init")
    assert made.returncode == OK, made.stderr
    assert "after 8 s" in made.stdout and "after 68 s" in made.stdout
    assert os.stat(cluster.lockspace).st_mode & 0o777 == 0o600
    again = host("sanlock", "init")
    assert again.returncode == OK, again.stderr
    other = host("sanlock", "init", "--io-timeout=5")
    assert other.returncode == CONFIG and "I/O timeout of 1 s" in other.stderr, other
    waits = host("sanlock", "status")
    assert "the first VM waits for that 3 s" in waits.stdout, waits.stdout
    joined = host("sanlock", "join")
    assert joined.returncode == OK and "as host 1" in joined.stdout, joined
    assert cluster[0].joined()
    wrong = host("sanlock", "join", "--host-id=7")
    assert wrong.returncode == CONFIG and "as host 1" in wrong.stderr, wrong
    left = host("sanlock", "leave")
    assert left.returncode == OK and not cluster[0].joined(), left
    twice = host("sanlock", "leave")
    assert twice.returncode == CONFIG and "not joined" in twice.stderr, twice


def test_without_a_daemon_each_verb_says_so(hosts, folder):
    host = Command(hosts[0])
    host.env["SANLOCK_RUN_DIR"] = os.path.join(folder, "nowhere")
    for verb in ("init", "join", "leave", "status", "cleanup"):
        answer = host("sanlock", verb)
        assert answer.returncode == NO_DAEMON and "is it running?" in answer.stderr, answer


def test_words_that_mean_nothing_are_refused(alpha):
    for words in ((), ("bogus",), ("init", "extra"), ("join", "--path=/x"),
                  ("init", "--lockspace=L"), ("cleanup", "--older-than=-1")):
        answer = alpha("sanlock", *words)
        assert answer.returncode == USAGE and answer.stderr, (words, answer)


def test_without_the_program_the_command_says_what_is_missing(alpha, folder):
    alpha.env["HOLDFAST_LIBEXEC_DIR"] = folder
    answer = alpha("sanlock", "status")
    assert answer.returncode == 127 and "holdfast-sanlock" in answer.stderr


def test_the_command_itself_links_no_sanlock(alpha):
    with open(HOLDFAST, "rb") as program:
        assert b"libsanlock_client" not in program.read()
    with open(os.path.join(alpha.env["HOLDFAST_LIBEXEC_DIR"], "holdfast-sanlock"), "rb") as program:
        assert b"libsanlock_client" in program.read()


def test_the_status_shows_hosts_leases_and_times(hosts, alpha):
    disk = hosts.disk()
    vm = alpha.hold("web0", f"--disk={disk}")
    status = json.loads(alpha("sanlock", "status", "--json").stdout)
    assert status["schema"] == "holdfast.sanlock.status"
    assert status["daemon"]["host"] == "alpha" and not status["daemon"]["watchdog"]
    [space] = status["lockspaces"]
    assert space["state"] == "joined" and space["timing"]["failed"] == 8
    assert space["timing"]["reset"] == 68 and space["timing"]["kill"] == 48
    names = {row["name"]: row["state"] for row in space["hosts"]}
    assert names == {"alpha": "alive", "beta": "alive"}, space["hosts"]
    [lease] = [row for row in space["leases"] if row["key"] == sanlock.key_of(disk)]
    assert (lease["name"], lease["via"], lease["version"]) == ("web0", "holdfast run", 1)
    text = alpha("sanlock", "status").stdout
    assert "VMs are acted on after 8 s" in text and "web0" in text
    vm.kill()


def test_a_lockspace_with_vms_in_it_is_not_left(hosts, alpha):
    disk = hosts.disk()
    vm = alpha.hold("stays", f"--disk={disk}")
    refused = alpha("sanlock", "leave")
    assert refused.returncode == HELD and "end them first" in refused.stderr, refused
    assert vm.poll() is None and hosts.hosts[0].owner(disk) == 1


def test_a_refusal_names_vm_and_host(hosts, alpha, beta):
    disk = hosts.disk()
    alpha.hold("web1", f"--disk={disk}")
    here = alpha("run", "--name=other", f"--disk={disk}", "--", "true")
    assert here.returncode == HELD, here
    assert "held by web1 (pid " in here.stderr and "host alpha, holdfast run)" in here.stderr
    there = beta("run", "--name=other", f"--disk={disk}", "--", "true")
    assert there.returncode == HELD, there
    assert "held by a VM elsewhere: host 1 (alpha, generation 1) is alive" in there.stderr


def test_who_names_the_holder_on_its_host_and_on_others(hosts, alpha, beta):
    disk = hosts.disk()
    assert alpha("who", disk).returncode == NOBODY
    alpha.hold("web2", f"--disk={disk}")
    [holder] = alpha.json("who", disk)["holders"]
    assert (holder["name"], holder["host"], holder["via"]) == ("web2", "alpha", "holdfast run")
    assert holder["pid"] and holder["guarantee"] == "cluster-advisory"
    [holder] = beta.json("who", disk)["holders"]
    assert (holder["host"], holder["host_id"], holder["pid"]) == ("alpha", 1, None)
    assert holder["state"].endswith("is alive") and holder["kind"] == "elsewhere"


def test_a_holder_of_both_names_of_a_disk_is_told_once(hosts, alpha, beta):
    disk = hosts.disk()
    link = disk + ".link"
    os.symlink(disk, link)
    alpha.hold("web5", f"--disk={link}")
    for path in (link, disk):
        [holder] = alpha.json("who", path)["holders"]
        assert holder["name"] == "web5" and holder["path"] == path
        assert len(beta.json("who", path)["holders"]) == 1


def test_who_names_a_client_that_never_heard_of_holdfast(hosts, alpha):
    disk = hosts.disk()
    lease = hosts.make_lease(disk)
    raw = hosts[0].raw(registered=True)
    raw.must("acquire", lease)
    [holder] = alpha.json("who", disk)["holders"]
    assert holder["pid"] == raw.pid and holder["name"], holder
    raw.kill()


def test_check_tells_what_a_start_would_meet(hosts, alpha, beta):
    disk = hosts.disk()
    free = json.loads(beta("check", "--json", f"--disk={disk}", "--", "true").stdout)
    assert free["would_start"] and free["images"][0]["guarantee"] == "cluster-advisory", free
    alpha.hold("web3", f"--disk={disk}")
    answer = beta("check", "--json", f"--disk={disk}", "--", "true")
    told = json.loads(answer.stdout)
    assert answer.returncode == HELD and told["images"][0]["state"] == "held"
    assert "host 1 (alpha" in told["images"][0]["holder"]
    assert "without a watchdog" in answer.stderr
    assert not told["daemon"], "no lock daemon of ours is needed"


def test_check_sees_a_lease_of_the_users(hosts, alpha, beta):
    path = os.path.join(hosts.folder, "own-lease")
    hosts.make_area(path)
    hosts[0].asker.must("write_resource", [sanlock.DISKS, "mine", path, 0])
    option = f"--lease={sanlock.DISKS}:mine:{path}"
    assert beta("check", option, "--", "true").returncode == OK
    alpha.hold("leased", option)
    answer = beta("check", option, "--", "true")
    assert answer.returncode == HELD and "the lease mine" in answer.stderr, answer


def test_explain_says_who_and_what_to_do(hosts, alpha, beta):
    disk = hosts.disk()
    free = beta.json("explain", disk)
    assert free["situation"] == "free" and "as far as" not in free["verdict"], free
    alpha.hold("web4", f"--disk={disk}")
    there = beta.json("explain", disk)
    assert there["situation"] == "elsewhere" and not there["free"]
    assert "host 1 (alpha" in there["verdict"], there
    here = alpha.json("explain", disk)
    assert here["situation"] == "held" and "web4" in here["verdict"], here
    assert "Lease held by" in alpha("explain", disk).stdout


@pytest.fixture
def spoiled(hosts):
    """A disk, and its lease file, in which there is something else."""
    disk = hosts.disk()
    place = hosts.lease_of(disk)[2]
    with open(place, "wb") as out:
        out.write(b"no lease" * 512)
    yield disk, sanlock.own(place)
    os.unlink(place)


def test_a_disk_whose_lease_cannot_be_read_is_not_called_free(spoiled, alpha):
    disk, place = spoiled
    who = alpha("who", disk)
    assert who.returncode == CONFIG and "nobody" not in who.stdout and place in who.stderr, who
    check = alpha("check", "--json", f"--disk={disk}", "--", "true")
    told = json.loads(check.stdout)
    assert check.returncode == CONFIG and not told["would_start"], check
    assert told["images"][0]["state"] == "unknown", told
    told = json.loads(alpha("explain", "--json", disk).stdout)
    assert (told["situation"], told["free"]) == ("hidden", False), told
    assert "root" not in told["next"], told
    start = alpha("run", f"--disk={disk}", "--", "true")
    assert start.returncode == CONFIG and place in start.stderr, start


def test_check_refuses_what_the_settings_keep_from_starting(new_cluster, hosts, alpha):
    host = hosts[0]
    disk = hosts.disk()
    other = os.path.join(hosts.folder, "other")
    os.mkdir(other)
    sanlock.own(other)
    try:
        host.configure(disk_lease_dir=other)
        strayed = Command(host)
        check = strayed("check", f"--disk={disk}", "--", "true")
        assert check.returncode == CONFIG and "would not start" in check.stdout, check
        assert hosts.leases in check.stderr and other in check.stderr, check
    finally:
        host.configure()
        Command(host)
    lone = new_cluster(hosts=1, join=False)
    lone[0].configure(host_id=None)
    check = Command(lone[0])("check", f"--disk={lone.disk()}", "--", "true")
    assert check.returncode == CONFIG and "host_id" in check.stderr, check


def test_ps_says_where_leases_are_shown(alpha):
    answer = alpha("ps")
    assert answer.returncode == NO_DAEMON and "holdfast sanlock status" in answer.stderr, answer


def test_a_host_without_an_io_timeout_of_its_own_uses_the_lockspaces(new_cluster):
    cluster = new_cluster(hosts=1, join=False)
    cluster[0].configure(io_timeout=None)
    host = Command(cluster[0])
    assert host("sanlock", "init", "--io-timeout=1").returncode == OK
    assert host("sanlock", "join").returncode == OK
    [space] = host.json("sanlock", "status")["lockspaces"]
    assert (space["io_timeout"], space["timing"]["failed"]) == (1, 8), space


# ---- cleanup


def age(path, seconds=WEEK + 60):
    then = time.time() - seconds
    os.utime(path, (then, then))


def outcomes(answer):
    return {os.path.basename(row["path"]): row["outcome"]
            for row in json.loads(answer.stdout)["leases"]}


@pytest.fixture
def leases(hosts):
    """Makes a lease of a disk that was not used for long; all are gone afterwards."""
    made = []

    def make():
        disk = hosts.disk()
        path = hosts.make_lease(disk)[2]
        age(path)
        made.append(path)
        return disk, path
    yield make
    for path in made:
        if os.path.exists(path):
            os.unlink(path)


def test_cleanup_removes_what_is_old_and_nobodys(hosts, alpha, beta, leases):
    (_, old), (held_disk, held), (_, young) = leases(), leases(), leases()
    os.utime(young)
    beta.hold("keeps", f"--disk={held_disk}")
    age(held)
    dry = alpha("sanlock", "cleanup", "--dry-run", "--json")
    told = outcomes(dry)
    names = [os.path.basename(path) for path in (old, held, young)]
    assert [told[name] for name in names] == ["would be removed", "in use", "used lately"], told
    assert os.path.exists(old)
    done = alpha("sanlock", "cleanup", "--json")
    told = outcomes(done)
    assert done.returncode == OK, done.stderr
    assert [told[name] for name in names] == ["removed", "in use", "used lately"], told
    assert not os.path.exists(old) and os.path.exists(held) and os.path.exists(young)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("times", [1, 2])
def test_what_is_used_while_cleanup_looks_at_it_is_spared(hosts, alpha, leases, times, version):
    """A VM that is paused now may demand the version that it has left there."""
    disk, path = leases()
    user = hosts[1].raw(registered=True)
    if version:
        user.must("acquire", hosts.lease_of(disk))
        user.must("release", hosts.lease_of(disk))
        age(path)
    trace = os.path.join(hosts[0].directory, f"trace-{times}-{version}")
    # It stops behind that look at the file.
    sweep = alpha.nursery.spawn(
        [*sanlock.as_user([]), need("strace"), "-f", "-o", trace, "-P", path, "-e",
         f"inject=newfstatat:signal=SIGSTOP:when={times}",
         os.path.join(alpha.env["HOLDFAST_LIBEXEC_DIR"], "holdfast-sanlock"), "cleanup"],
        # A sanitizer cannot look for leaks of what is traced.
        env={**alpha.env, "ASAN_OPTIONS": "detect_leaks=0:exitcode=99"},
        stdin=-3, stdout=-1, stderr=-1, text=True)

    def stopped():
        if not os.path.exists(trace):
            return 0
        with open(trace, encoding="utf-8") as text:
            return next((int(line.split()[0]) for line in text if "stopped by SIGSTOP" in line), 0)
    until(stopped, "it has stopped")
    try:
        user.must("acquire", hosts.lease_of(disk))
        user.must("release", hosts.lease_of(disk))
    finally:
        os.kill(stopped(), signal.SIGCONT)
    said = sweep.communicate(timeout=30)
    assert sweep.returncode == OK, said
    assert os.path.exists(path) and hosts[0].version(disk) > version, said
    user.kill()


def test_a_lease_that_was_removed_is_made_again(hosts, alpha, beta, leases):
    disk, path = leases()
    assert alpha("sanlock", "cleanup").returncode == OK
    assert not os.path.exists(path)
    beta.hold("again", f"--disk={disk}")
    assert os.path.exists(path) and hosts[0].owner(disk) == 2


def test_one_cleanup_at_a_time(hosts, alpha, beta, leases):
    leases()
    assert alpha("sanlock", "cleanup").returncode == OK
    lease = [sanlock.DISKS, ".holdfast-cleanup", os.path.join(hosts.leases, ".holdfast-cleanup"), 0]
    other = hosts[1].raw(registered=True)
    other.must("acquire", lease)
    _, path = leases()
    refused = alpha("sanlock", "cleanup")
    assert refused.returncode == HELD and "another cleanup runs" in refused.stderr, refused
    assert "on host beta" in refused.stderr and os.path.exists(path)
    other.kill()
    until(lambda: alpha("sanlock", "cleanup").returncode == OK, "the next cleanup runs")
    assert not os.path.exists(path)


def test_what_a_killed_cleanup_left_is_finished_by_the_next(hosts, alpha, leases):
    disk, path = leases()
    # As if it had been killed between giving the lease up and removing its file.
    client = hosts[0].raw(registered=True)
    client.must("write_resource", [sanlock.DISKS, "holdfast-removed", path, 0])
    half = os.path.join(hosts.leases, ".holdfast-aB3xY9")
    hosts.make_area(half)
    age(half)
    done = alpha("sanlock", "cleanup", "--json")
    assert done.returncode == OK, done.stderr
    assert outcomes(done)[os.path.basename(path)] == "removed"
    assert not os.path.exists(path) and not os.path.exists(half)
    client.kill()


def test_who_had_the_lease_file_open_is_refused_and_makes_a_new_one(hosts, alpha, leases):
    """The race of a cleanup that only removes files: here the old file grants nothing any more."""
    disk, path = leases()
    kept = path + ".kept"
    os.link(path, kept)
    assert alpha("sanlock", "cleanup").returncode == OK
    key = sanlock.key_of(disk)
    client = hosts[1].raw(registered=True)
    answer = client.acquire([sanlock.DISKS, key, kept, 0])
    os.unlink(kept)
    assert answer["r"] == -227, answer
    client.kill()


def test_what_is_no_lease_is_left_alone_and_told(hosts, alpha):
    path = os.path.join(hosts.leases, "0" * 32)
    hosts.make_area(path)
    age(path)
    answer = alpha("sanlock", "cleanup")
    assert answer.returncode == SYSTEM and "there is no lease at that place" in answer.stderr
    assert os.path.exists(path)
    os.unlink(path)


def turns(command, disk, mark, n):
    """Starts n VMs on the disk, one after the other, that fail if another one runs meanwhile."""
    script = f"for i in $(seq {n}); do {HOLDFAST} run --name=t --disk={disk} -- " \
             f"sh -c 'mkdir {mark} || exit 99; rmdir {mark}' 2>&1; echo status $?; done"
    return command.nursery.spawn([*sanlock.as_user([]), "sh", "-c", script], env=command.env,
                                 text=True, stdin=-3, stdout=-1)


ROUNDS = 12


def test_cleanups_in_the_midst_of_starts_never_give_a_disk_twice(hosts, alpha, beta):
    disk = hosts.disk()
    mark = os.path.join(hosts.folder, "mark")
    statuses, cleanups = [], 0
    # Whether a cleanup meets a lease that is free is for the scheduler to say.
    for _ in range(ROUNDS):
        if cleanups:
            break
        starters = [turns(command, disk, mark, 25) for command in (alpha, beta)]
        while any(starter.poll() is None for starter in starters):
            answer = alpha("sanlock", "cleanup", "--older-than=0", "--json")
            assert answer.returncode in (OK, HELD), answer
            told = outcomes(answer) if answer.returncode == OK else {}
            cleanups += told.get(sanlock.key_of(disk)) == "removed"
        for starter in starters:
            said = starter.communicate(timeout=30)[0]
            found = [int(line.split()[1]) for line in said.splitlines()
                     if line.startswith("status ")]
            assert len(found) == 25 and set(found) <= {OK, HELD}, said
            statuses += found
    assert OK in statuses
    assert cleanups > 0, "no cleanup met a lease that was free"
