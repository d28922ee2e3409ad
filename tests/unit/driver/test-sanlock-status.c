/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/daemon-status.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* As sanlock 3.8.5 prints it, with the lines that mean nothing here left out. */
static const char status_text[] = "daemon alpha\n"
                                  "    our_host_name=alpha\n"
                                  "    use_watchdog=0\n"
                                  "    kill_grace_seconds=40\n"
                                  "    monotime=59149\n"
                                  "    version_str=3.8.5\n"
                                  "    version_num=3.8.5\n"
                                  "p -1 helper\n"
                                  "    restricted=0\n"
                                  "p -1 listener\n"
                                  "p 8207 web 0\n"
                                  "    restricted=1\n"
                                  "p 8208 \n"
                                  "    restricted=0\n"
                                  "s __LIBVIRT__DISKS__:1:/srv/leases/__LIBVIRT__DISKS__:0\n"
                                  "    list=spaces\n"
                                  "    io_timeout=1\n"
                                  "    renew_fail=3\n"
                                  "    killing_pids=1\n"
                                  "    renewal_last_success=59148\n"
                                  "s S:2:/srv/a\\:b\\\\c:1048576 ADD\n"
                                  "    list=add\n"
                                  "r __LIBVIRT__DISKS__:aaaa:/srv/leases/aaaa:0:17 p 8207\n"
                                  "    list=held\n"
                                  "r S:key:/srv/one p 1/k:1048576:/srv/two:0:SH p 8208\n"
                                  "    list=held\n"
                                  "r S:left:/srv/left:0:4 p 8209\n"
                                  "    list=orphans\n";

static struct hf_sanlock_daemon parsed(const char *text)
{
        struct hf_sanlock_daemon status;

        assert_int_equal(hf_sanlock_status_parse(text, &status, NULL), 0);
        return status;
}

static void the_daemon_tells_of_itself(void **state)
{
        struct hf_sanlock_daemon status = parsed(status_text);

        (void)state;
        assert_string_equal(status.host_name, "alpha");
        assert_string_equal(status.version, "3.8.5");
        assert_false(status.watchdog);
        assert_int_equal(status.grace, 40);
        assert_int_equal(status.watchdog_fire, 60);
        hf_sanlock_status_clear(&status);
        status = parsed("daemon x\n use_watchdog=1\n watchdog_fire_timeout=30\n");
        assert_true(status.watchdog);
        assert_int_equal(status.watchdog_fire, 30);
        hf_sanlock_status_clear(&status);
}

static void its_processes_are_those_with_a_pid(void **state)
{
        struct hf_sanlock_daemon status = parsed(status_text);

        (void)state;
        assert_int_equal(status.n_processes, 2);
        assert_int_equal(status.processes[0].pid, 8207);
        assert_string_equal(status.processes[0].name, "web 0");
        assert_true(status.processes[0].restricted);
        assert_string_equal(status.processes[1].name, "");
        assert_false(status.processes[1].restricted);
        hf_sanlock_status_clear(&status);
}

static void lockspaces_tell_how_they_fare(void **state)
{
        struct hf_sanlock_daemon status = parsed(status_text);

        (void)state;
        assert_int_equal(status.n_spaces, 2);
        assert_string_equal(status.spaces[0].name, "__LIBVIRT__DISKS__");
        assert_int_equal(status.spaces[0].host_id, 1);
        assert_int_equal(status.spaces[0].io_timeout, 1);
        assert_int_equal(status.spaces[0].renew_fail, 3);
        assert_true(status.spaces[0].killing);
        assert_false(status.spaces[0].adding);
        assert_int_equal(status.spaces[0].last_success, 59148);
        assert_string_equal(status.spaces[1].path, "/srv/a:b\\c");
        assert_int_equal(status.spaces[1].offset, 1048576);
        assert_true(status.spaces[1].adding);
        assert_false(status.spaces[1].removing);
        hf_sanlock_status_clear(&status);
}

static void leases_tell_who_has_them_and_at_which_version(void **state)
{
        struct hf_sanlock_daemon status = parsed(status_text);

        (void)state;
        assert_int_equal(status.n_held, 3);
        assert_string_equal(status.held[0].lockspace, "__LIBVIRT__DISKS__");
        assert_string_equal(status.held[0].key, "aaaa");
        assert_int_equal(status.held[0].version, 17);
        assert_int_equal(status.held[0].pid, 8207);
        assert_false(status.held[0].shared || status.held[0].orphan);
        assert_string_equal(status.held[1].path, "/srv/one p 1/k");
        assert_int_equal(status.held[1].offset, 1048576);
        assert_true(status.held[1].shared);
        assert_int_equal(status.held[1].pid, 8208);
        assert_true(status.held[2].orphan);
        hf_sanlock_status_clear(&status);
}

static void what_is_not_understood_is_passed_over(void **state)
{
        struct hf_sanlock_daemon status = parsed("daemon a\n"
                                                 "z what:is:this\n"
                                                 "    io_timeout=9\n"
                                                 "s half\n"
                                                 "    io_timeout=9\n"
                                                 "r a:b:c p 1\n"
                                                 "r a:b:c:1:d:1 p 1\n"
                                                 "r a:b:c:1:c:1:c:1:c:1:c:1:1 p 1\n"
                                                 "no line end");

        (void)state;
        assert_int_equal(status.n_spaces, 0);
        assert_int_equal(status.n_held, 0);
        hf_sanlock_status_clear(&status);
}

static void a_text_without_a_daemon_is_refused(void **state)
{
        struct hf_sanlock_daemon status;
        struct hf_error error;

        (void)state;
        assert_int_equal(hf_sanlock_status_parse("", &status, &error), -EPROTO);
        assert_int_equal(hf_sanlock_status_parse("p 1 x\nr a:b:/c:0:1 p 1\n", &status, NULL),
                         -EPROTO);
}

static void any_number_of_leases_is_read(void **state)
{
        const size_t wanted = 1000, size = wanted * 64 + 64;
        char *text = malloc(size);
        size_t at = (size_t)snprintf(text, size, "daemon a\n");
        struct hf_sanlock_daemon status;

        (void)state;
        for (size_t i = 0; i < wanted; i++)
                at += (size_t)snprintf(text + at, size - at, "r S:k%zu:/k:0:1 p %zu\n", i, i + 1);
        status = parsed(text);
        assert_int_equal(status.n_held, wanted);
        assert_int_equal(status.held[wanted - 1].pid, wanted);
        hf_sanlock_status_clear(&status);
        free(text);
}

static void hosts_tell_their_names_and_when_they_were_seen(void **state)
{
        struct hf_sanlock_host *hosts;
        size_t n;

        (void)state;
        assert_int_equal(hf_sanlock_hosts_parse("1 timestamp 59148\n"
                                                "    last_check=59150\n"
                                                "    last_live=59149\n"
                                                "    owner_id=1\n"
                                                "    owner_generation=7\n"
                                                "    timestamp=59148\n"
                                                "    io_timeout=5\n"
                                                "    owner_name=alpha\n"
                                                "2 timestamp 0\n",
                                                &hosts, &n, NULL),
                         0);
        assert_int_equal(n, 2);
        assert_int_equal(hosts[0].id, 1);
        assert_int_equal(hosts[0].generation, 7);
        assert_int_equal(hosts[0].last_live, 59149);
        assert_int_equal(hosts[0].io_timeout, 5);
        assert_string_equal(hosts[0].name, "alpha");
        assert_int_equal(hosts[0].state, HF_SANLOCK_HOST_UNKNOWN);
        assert_string_equal(hosts[1].name, "");
        free(hosts);
        assert_int_equal(hf_sanlock_hosts_parse("hosts not ready\n", &hosts, &n, NULL), 0);
        assert_int_equal(n, 0);
        free(hosts);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_daemon_tells_of_itself),
                cmocka_unit_test(its_processes_are_those_with_a_pid),
                cmocka_unit_test(lockspaces_tell_how_they_fare),
                cmocka_unit_test(leases_tell_who_has_them_and_at_which_version),
                cmocka_unit_test(what_is_not_understood_is_passed_over),
                cmocka_unit_test(a_text_without_a_daemon_is_refused),
                cmocka_unit_test(any_number_of_leases_is_read),
                cmocka_unit_test(hosts_tell_their_names_and_when_they_were_seen),
        };

        return cmocka_run_group_tests_name("sanlock-status", tests, NULL, NULL);
}
