/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* console.conf as it is understood. */
#include "console/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int load(const char *text, struct hf_con_config *ret, struct hf_error *err)
{
        char path[] = "/tmp/hf-console-conf-XXXXXX";
        int fd = mkstemp(path), r;

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        (void)close(fd);
        r = hf_con_config_load(path, NULL, NULL, NULL, ret, err);
        (void)unlink(path);
        return r;
}

static void an_empty_file_means_the_defaults(void **state)
{
        struct hf_con_config config;

        (void)state;
        assert_int_equal(load("\n", &config, NULL), 0);
        assert_int_equal(config.scrollback, 256);
        assert_int_equal(config.max_consoles, 256);
        assert_int_equal(config.max_clients, 1024);
        assert_int_equal(config.rw_mode, 0700);
        assert_int_equal(config.ro_mode, 0700);
        assert_null(config.log_directory);
        assert_string_equal(hf_con_config_lock_dir(&config), HF_LOCKFILEDIR);
        hf_con_config_clear(&config);
}

static void lock_files_are_in_a_directory_or_nowhere(void **state)
{
        struct hf_con_config config;

        (void)state;
        assert_int_equal(load("lock_files = \"off\"\n", &config, NULL), 0);
        assert_string_equal(hf_con_config_lock_dir(&config), "");
        hf_con_config_clear(&config);
        assert_int_equal(load("lock_files = \"/srv/locks\"\n", &config, NULL), 0);
        assert_string_equal(hf_con_config_lock_dir(&config), "/srv/locks");
        hf_con_config_clear(&config);
}

static void what_cannot_be_meant_is_refused_with_its_line(void **state)
{
        static const char *const wrong[] = {
                "lock_files = \"here\"\n",
                "log_directory = \"logs\"\n",
                "unix_sock_rw_perms = \"rw\"\n",
                "unix_sock_ro_perms = \"07777\"\n",
                "scrollback = 1\n",
                "max_consoles = 0\n",
                "log_outputs = \"9:nowhere\"\n",
                "log_filters = \"nonsense\"\n",
        };

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(wrong); i++) {
                struct hf_con_config config;
                struct hf_error error = {0};

                assert_true(load(wrong[i], &config, &error) < 0);
                assert_non_null(strstr(error.text, ":1: "));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_empty_file_means_the_defaults),
                cmocka_unit_test(lock_files_are_in_a_directory_or_nowhere),
                cmocka_unit_test(what_cannot_be_meant_is_refused_with_its_line),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
