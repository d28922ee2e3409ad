/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "prhelper/settings.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static char path[] = "/tmp/hf-pr-policy-XXXXXX";

static int setup(void **state)
{
        hf_cleanup_fd int fd = mkstemp(path);

        (void)state;
        return fd < 0;
}

static int teardown(void **state)
{
        (void)state;
        return unlink(path);
}

static int load(const char *text, struct hf_pr_settings *ret, struct hf_error *err)
{
        hf_cleanup_file FILE *file = fopen(path, "w");

        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fflush(file), 0);
        return hf_pr_settings_load(path, ret, err);
}

static void loads(const char *text, struct hf_pr_settings *ret)
{
        struct hf_error err = {0};

        if (load(text, ret, &err) < 0)
                fail_msg("%s", err.text);
}

static void nothing_said_is_as_permissive_as_the_original(void **state)
{
        struct hf_pr_settings settings;
        const struct hf_pr_question question = {.in = 0};

        (void)state;
        loads("\n", &settings);
        assert_int_equal(hf_pr_policy_judge(settings.policy, &question), 0);
        assert_int_equal(settings.n_units, 0);
        assert_int_equal(settings.nexus, HF_PR_NEXUS_HOST);
        assert_int_equal(settings.socket_mode, -1);
        assert_true(hf_pr_settings_allow(&settings, "sgio"));
        assert_true(hf_pr_settings_allow(&settings, "mpath"));
        hf_pr_settings_clear(&settings);
}

static void each_key_has_its_field(void **state)
{
        struct hf_pr_settings settings;

        (void)state;
        loads("rules = [ \"allow user=0\", 'deny' ]\n"
              "emulate = [ \"/a as b as unit-1\", \"/c as unit-2\" ]\n"
              "emulation_dir = \"/shared\"\n nexus = \"vm\"\n host_name = \"a.example\"\n"
              "backends = [ \"sgio\", \"emulated\" ]\n max_clients = 5\n max_user_clients = 4\n"
              "request_timeout = 0\n socket_group = \"kvm\"\n socket_mode = \"0660\"\n"
              "log_level = 1\n log_filters = \"1:pr\"\n log_outputs = \"2:stderr\"\n",
              &settings);
        assert_int_equal(settings.n_units, 2);
        assert_string_equal(settings.units[0].path, "/a as b");
        assert_string_equal(settings.units[0].name, "unit-1");
        assert_string_equal(settings.units[1].path, "/c");
        assert_string_equal(settings.directory, "/shared");
        assert_null(settings.database);
        assert_int_equal(settings.nexus, HF_PR_NEXUS_VM);
        assert_string_equal(settings.host, "a.example");
        assert_true(hf_pr_settings_allow(&settings, "emulated"));
        assert_false(hf_pr_settings_allow(&settings, "nvme"));
        assert_int_equal(settings.max_clients, 5);
        assert_int_equal(settings.max_user_clients, 4);
        assert_int_equal(settings.request_timeout, 0);
        assert_string_equal(settings.socket_group, "kvm");
        assert_int_equal(settings.socket_mode, 0660);
        assert_int_equal(settings.log_level, 1);
        assert_string_equal(settings.log_filters, "1:pr");
        assert_string_equal(settings.log_outputs, "2:stderr");
        hf_pr_settings_clear(&settings);
        assert_null(settings.units);
}

static void a_mistake_is_told_with_its_line_and_nothing_is_loaded(void **state)
{
        static const struct {
                const char *text, *says;
        } rows[] = {
                {"rules = [ \"deny everybody\" ]\n", "everybody"},
                {"rules = [ 'deny' ]\nrules = [ 'allow' ]\n", "rules"},
                {"rule = [ 'deny' ]\n", "rule"},
                {"emulate = \"/dev/x\"\nemulation_dir = '/x'\n", "as NAME"},
                {"emulate = \"x as y\"\nemulation_dir = '/x'\n", "as NAME"},
                {"emulate = \"/x as ../y\"\nemulation_dir = '/x'\n", "../y"},
                {"emulate = \"/x as a/b\"\nemulation_dir = '/x'\n", "a/b"},
                {"emulate = ['/x as a', '/y as a']\nemulation_dir = '/x'\n", "one unit"},
                {"emulate = ['/x as a', '/x as b']\nemulation_dir = '/x'\n", "two units"},
                {"emulate = ['/dev/null as a', '/dev/./null as b']\nemulation_dir = '/x'\n",
                 "two units"},
                {"emulate = \"/x as y\"\n", "emulation_database"},
                {"emulate = \"/x as y\"\nemulation_dir='/a'\nemulation_database='/b'\n",
                 "emulation_database"},
                {"emulation_dir = \"here\"\n", "absolute"},
                {"nexus = \"host,vm\"\n", "nexus"},
                {"host_name = \"a/b\"\n", "a/b"},
                {"backends = [ ]\n", "without any"},
                {"backends = [ \"scsi\" ]\n", "scsi"},
                {"max_clients = 0\n", "max_clients"},
                {"socket_mode = \"0999\"\n", "octal"},
                {"socket_mode = \"-7\"\n", "octal"},
                {"socket_mode = 660\n", "socket_mode"},
                {"log_filters = \"9:x\"\n", "log_filters"},
                {"log_outputs = \"nowhere\"\n", "log_outputs"},
        };

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
                struct hf_pr_settings settings = {.max_clients = 77};
                struct hf_error err = {0};

                assert_int_equal(load(rows[i].text, &settings, &err), -EINVAL);
                assert_int_equal(settings.max_clients, 77);
                if (!strstr(err.text, rows[i].says) || !strstr(err.text, path))
                        fail_msg("%s: %s", rows[i].text, err.text);
        }
}

static void a_file_that_is_named_has_to_be_there(void **state)
{
        struct hf_pr_settings settings;

        (void)state;
        assert_int_equal(hf_pr_settings_load("/nowhere/pr-policy.conf", &settings, NULL), -ENOENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_said_is_as_permissive_as_the_original),
                cmocka_unit_test(each_key_has_its_field),
                cmocka_unit_test(a_mistake_is_told_with_its_line_and_nothing_is_loaded),
                cmocka_unit_test(a_file_that_is_named_has_to_be_there),
        };

        return cmocka_run_group_tests_name("settings", tests, setup, teardown);
}
