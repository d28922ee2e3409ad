/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Command lines that cannot be understood: the error names the option, and the spec is as it was.
 */

#include "spec-text.h"
#include "vm/qemu-cmdline.h"
#include "vm/qemu-nodes.h"
#include "vm/qemu-opts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define QEMU "qemu-system-x86_64"

struct row {
        const char *sentence;
        const char *argv[12];
        int number;
        const char *text; /* the error's beginning */
};

static const struct row rows[] = {
        {"a switch that is neither on nor off",
         {QEMU, "-drive", "file=/x,readonly=maybe"},
         EINVAL,
         "-drive file=/x,readonly=maybe: 'readonly' is neither on nor off"},
        {"a snapshot that is neither on nor off",
         {QEMU, "-drive", "file=/x,snapshot=2"},
         EINVAL,
         "-drive file=/x,snapshot=2: 'snapshot' is neither on nor off"},
        {"a key without a name",
         {QEMU, "-drive", "file=/x,=y"},
         EINVAL,
         "-drive file=/x,=y: a key is missing at '=y'"},
        {"a key that is a value and a group",
         {QEMU, "-drive", "backing=n,backing.driver=raw"},
         EINVAL,
         "-drive backing=n,backing.driver=raw: 'backing.driver' is both a value and a group"},
        {"JSON that ends too early",
         {QEMU, "-blockdev", "{\"driver\":\"file\""},
         EINVAL,
         "-blockdev {\"driver\":\"file\": the JSON ends too early"},
        {"JSON that is broken",
         {QEMU, "-blockdev", "{\"driver\" \"file\"}"},
         EINVAL,
         "-blockdev {\"driver\" \"file\"}: object property name separator"},
        {"something after the JSON",
         {QEMU, "-blockdev", "{\"driver\":\"null-co\"}x"},
         EINVAL,
         "-blockdev {\"driver\":\"null-co\"}x: something follows the JSON at 'x'"},
        {"a file name that is a number",
         {QEMU, "-blockdev", "{\"driver\":\"file\",\"filename\":7}"},
         EINVAL,
         "-blockdev {\"driver\":\"file\",\"filename\":7}: 'filename' is not a text"},
        {"a file name with a zero byte",
         {QEMU, "-blockdev", "{\"driver\":\"file\",\"filename\":\"/a\\u0000b\"}"},
         EINVAL,
         "-blockdev {\"driver\":\"file\",\"filename\":\"/a\\u0000b\"}: 'filename' holds a zero byte"},
        {"-blockdev with a word that is no key",
         {QEMU, "-blockdev", "file,filename"},
         EINVAL,
         "-blockdev file,filename: a value is missing at 'filename'"},
        {"a node that is not there",
         {QEMU, "-blockdev", "raw,file=gone,node-name=n"},
         ENOENT,
         "-blockdev raw,file=gone,node-name=n: there is no node 'gone'"},
        {"two nodes of one name",
         {QEMU, "-blockdev", "file,filename=/a,node-name=n", "-blockdev",
          "file,filename=/b,node-name=n"},
         EEXIST,
         "-blockdev file,filename=/b,node-name=n: there is another node 'n'"},
        {"nodes in a circle",
         {QEMU, "-blockdev", "raw,file=b,node-name=a", "-blockdev", "raw,file=a,node-name=b"},
         ELOOP,
         "-blockdev raw,file=b,node-name=a: its nodes use each other in a circle"},
        {"a node that is its own backing file",
         {QEMU, "-blockdev", "qcow2,file.driver=file,file.filename=/a,backing=n,node-name=n"},
         ELOOP,
         "-blockdev qcow2,file.driver=file,file.filename=/a,backing=n,node-name=n: its nodes"},
        {"a json: file name that is broken",
         {QEMU, "-hda", "json:{\"driver\":}"},
         EINVAL,
         "-hda json:{\"driver\":}: unexpected character"},
        {"a json: file name that is no object",
         {QEMU, "-hda", "json:[1]"},
         EINVAL,
         "-hda json:[1]: not a JSON object"},
        {"a debugging filter without an image",
         {QEMU, "-hda", "blkdebug:rules"},
         EINVAL,
         "-hda blkdebug:rules: blkdebug:rules is not of the form blkdebug:NAME:IMAGE"},
        {"an option without its value", {QEMU, "-hda"}, EINVAL, "-hda: its value is missing"},
        {"a -device in broken JSON", {QEMU, "-device", "{"}, EINVAL, "-device {: the JSON ends"},
        {"a -set without a value",
         {QEMU, "-set", "drive.a.file"},
         EINVAL,
         "-set drive.a.file: not of the form GROUP.ID.KEY=VALUE"},
        {"a UUID that is none", {QEMU, "-uuid", "12345"}, EINVAL, "-uuid 12345: not a UUID: 12345"},
        {"a broken -drive counts also where QEMU's name was not seen",
         {"./start", "-drive", "file=/x,readonly=maybe"},
         EINVAL,
         "-drive file=/x,readonly=maybe: 'readonly' is neither on nor off"},
};

/* Expects the error, and the spec to keep what it had. */
static void assert_refused(const char *const *argv, int number, const char *text)
{
        struct hf_error err = {0};
        struct hf_vm_spec spec;
        char *have;

        hf_vm_spec_init(&spec);
        assert_int_equal(hf_vm_spec_add_disk_option(&spec, "/before", NULL), 0);
        assert_int_equal(hf_qemu_parse(argv, NULL, &spec, &err), -number);
        if (strncmp(err.text, text, strlen(text)) != 0)
                fail_msg("\"%s\" does not begin with \"%s\"", err.text, text);
        assert_int_equal(err.code, HF_ERR_INVALID_ARG);
        assert_int_equal(hf_qemu_parse(argv, NULL, &spec, NULL), -number);
        have = spec_text(&spec);
        assert_string_equal(have, "W /before ?\n");
        free(have);
        hf_vm_spec_free(&spec);
}

static void is_refused_as_the_row_says(void **state)
{
        const struct row *row = *state;

        assert_refused(row->argv, row->number, row->text);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
        static char path[HF_VM_PATH_MAX + 2] = "/";
        const char *argv[] = {QEMU, "-hda", path, NULL};
        struct hf_vm_spec spec;

        (void)state;
        memset(path + 1, 'a', HF_VM_PATH_MAX - 1);
        assert_refused(argv, EINVAL, "-hda /aaa");
        path[HF_VM_PATH_MAX - 1] = '\0';
        hf_vm_spec_init(&spec);
        assert_int_equal(hf_qemu_parse(argv, NULL, &spec, NULL), 0);
        hf_vm_spec_free(&spec);
}

static void texts_longer_than_an_argument_can_be_are_refused(void **state)
{
        static char text[HF_QEMU_TEXT_MAX + 1];

        (void)state;
        memset(text, 'a', HF_QEMU_TEXT_MAX);
        assert_refused((const char *const[]){QEMU, "-drive", text, NULL}, EINVAL, "-drive aaa");
        text[0] = '{';
        assert_refused((const char *const[]){QEMU, "-blockdev", text, NULL}, EINVAL,
                       "-blockdev {aa");
}

static void keys_nested_too_deeply_are_refused(void **state)
{
        static char text[2048] = "file";
        const char *argv[] = {QEMU, "-drive", text, NULL};

        (void)state;
        for (int i = 0; i < HF_QEMU_DEPTH_MAX + 1; i++)
                strcat(text, ".file");
        strcat(text, ".filename=/x");
        assert_refused(argv, EINVAL, "-drive file.file");
}

static void too_many_keys_are_refused(void **state)
{
        static char text[16 * HF_QEMU_KEYS_MAX] = "file=/x";
        const char *argv[] = {QEMU, "-drive", text, NULL};
        size_t len = strlen(text);

        (void)state;
        for (int i = 0; i < HF_QEMU_KEYS_MAX; i++)
                len += (size_t)sprintf(text + len, ",k%d=v", i);
        assert_refused(argv, E2BIG, "-drive file=/x,k0=v");
}

/* Each node is used twice by the next: 2^n visits for n short options. */
static void a_graph_that_fans_out_without_end_is_refused(void **state)
{
        enum { LEVELS = 40 };
        static char text[LEVELS][128];
        const char *argv[2 * LEVELS + 2] = {QEMU};

        (void)state;
        for (int i = 0; i < LEVELS; i++) {
                if (i == 0)
                        strcpy(text[i], "file,filename=/x,node-name=n0");
                else
                        sprintf(text[i], "quorum,children.0=n%d,children.1=n%d,node-name=n%d",
                                i - 1, i - 1, i);
                argv[1 + 2 * i] = "-blockdev";
                argv[2 + 2 * i] = text[i];
        }
        assert_refused(argv, ELOOP, "-blockdev quorum,children.0=n38");
}

static void a_backing_chain_of_200_nodes_is_read(void **state)
{
        enum { LENGTH = 200 };
        static char text[LENGTH][128];
        const char *argv[2 * LENGTH + 2] = {QEMU};
        struct hf_vm_spec spec;

        (void)state;
        for (int i = 0; i < LENGTH; i++) {
                size_t len = (size_t)sprintf(
                        text[i], "qcow2,node-name=n%d,file.driver=file,file.filename=/%d", i, i);

                if (i > 0)
                        sprintf(text[i] + len, ",backing=n%d", i - 1);
                argv[1 + 2 * i] = "-blockdev";
                argv[2 + 2 * i] = text[i];
        }
        hf_vm_spec_init(&spec);
        assert_int_equal(hf_qemu_parse(argv, NULL, &spec, NULL), 0);
        assert_int_equal(spec.n_disks, LENGTH);
        assert_int_equal(hf_vm_spec_find_disk(&spec, "/199")->flags, HF_VM_DISK_BACKING_GIVEN);
        assert_int_equal(hf_vm_spec_find_disk(&spec, "/0")->flags, HF_VM_DISK_READONLY);
        hf_vm_spec_free(&spec);
}

int main(void)
{
        static const struct CMUnitTest more[] = {
                cmocka_unit_test(a_path_that_is_too_long_is_refused),
                cmocka_unit_test(texts_longer_than_an_argument_can_be_are_refused),
                cmocka_unit_test(keys_nested_too_deeply_are_refused),
                cmocka_unit_test(too_many_keys_are_refused),
                cmocka_unit_test(a_graph_that_fans_out_without_end_is_refused),
                cmocka_unit_test(a_backing_chain_of_200_nodes_is_read),
        };
        enum { N = sizeof(rows) / sizeof(rows[0]), MORE = sizeof(more) / sizeof(more[0]) };
        static struct CMUnitTest tests[N + MORE];

        for (size_t i = 0; i < N; i++)
                tests[i] = (struct CMUnitTest){.name = rows[i].sentence,
                                               .test_func = is_refused_as_the_row_says,
                                               .initial_state = (void *)(uintptr_t)&rows[i]};
        memcpy(tests + N, more, sizeof(more));
        return cmocka_run_group_tests(tests, NULL, NULL);
}
