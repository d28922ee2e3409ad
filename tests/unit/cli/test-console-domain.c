/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/console-domain.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define UUID "<uuid>00112233-4455-6677-8899-aabbccddeeff</uuid>"
#define HEAD "<domain type='qemu' id='3'><name>web1</name>" UUID "<devices>"
#define TAIL "</devices></domain>"

/* As libvirt writes them: the first console is the first serial line once more. */
#define SERIAL(n, type, path)                                                                      \
        "<serial type='" type "'><source path='" path "'/><target type='isa-serial' port='" n      \
        "'/><alias name='serial" n "'/></serial>"
#define CONSOLE                                                                                    \
        "<console type='pty' tty='/dev/pts/4'><source path='/dev/pts/4'/><target type='serial' "   \
        "port='0'/><alias name='serial0'/></console>"
#define CHANNEL                                                                                    \
        "<channel type='unix'><source mode='bind' path='/run/agent'/>"                             \
        "<target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>"                  \
        "<alias name='channel0'/></channel>"

static struct hf_domain_console found;
static struct hf_error error;

static int parse(const char *text, const char *device)
{
        hf_domain_console_clear(&found);
        memset(&error, 0, sizeof(error));
        return hf_domain_console_parse(text, strlen(text), device, &found, &error);
}

static int clear(void **state)
{
        (void)state;
        hf_domain_console_clear(&found);
        return 0;
}

static void without_a_device_it_is_the_first_line(void **state)
{
        static const uint8_t uuid[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                         0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

        (void)state;
        assert_int_equal(parse(HEAD CHANNEL SERIAL("0", "pty", "/dev/pts/4")
                                       SERIAL("1", "pty", "/dev/pts/9") CONSOLE TAIL,
                               ""),
                         0);
        assert_string_equal(found.vm, "web1");
        assert_string_equal(found.device, "serial0");
        assert_string_equal(found.path, "/dev/pts/4");
        assert_memory_equal(found.uuid, uuid, sizeof(uuid));
}

static void a_device_is_named_by_its_alias_or_as_the_guest_calls_it(void **state)
{
        static const char text[] = HEAD SERIAL("0", "pty", "/dev/pts/4")
                SERIAL("1", "pty", "/dev/pts/9") CONSOLE CHANNEL TAIL;

        (void)state;
        assert_int_equal(parse(text, "serial1"), 0);
        assert_string_equal(found.path, "/dev/pts/9");
        assert_int_equal(parse(text, "channel0"), 0);
        assert_string_equal(found.path, "/run/agent");
        assert_int_equal(parse(text, "org.qemu.guest_agent.0"), 0);
        assert_string_equal(found.device, "channel0");
}

static void a_device_that_is_not_there_is_refused_with_those_that_are(void **state)
{
        (void)state;
        assert_int_equal(
                parse(HEAD SERIAL("0", "pty", "/dev/pts/4") CONSOLE CHANNEL TAIL, "serial7"),
                -ENOENT);
        assert_string_equal(error.text, "domain web1 has no device serial7; its devices are: "
                                        "serial0, channel0 (org.qemu.guest_agent.0)");
        assert_int_equal(parse(HEAD TAIL, ""), -ENOENT);
        assert_string_equal(error.text, "domain web1 has no console; its devices are: none");
}

static void what_is_neither_a_terminal_nor_listens_is_refused(void **state)
{
        (void)state;
        assert_int_equal(parse(HEAD SERIAL("0", "file", "/tmp/out") TAIL, ""), -EOPNOTSUPP);
        assert_non_null(strstr(error.text, "\"file\""));
        assert_int_equal(parse(HEAD "<serial type='unix'><source mode='connect' path='/run/x'/>"
                                    "<alias name='serial0'/></serial>" TAIL,
                               "serial0"),
                         -EOPNOTSUPP);
        assert_int_equal(parse(HEAD SERIAL("0", "pty", "relative") TAIL, ""), -EOPNOTSUPP);
        assert_int_equal(parse(HEAD "<serial type='pty'/>" TAIL, ""), -EOPNOTSUPP);
}

static void a_domain_that_does_not_run_has_no_console(void **state)
{
        (void)state;
        assert_int_equal(parse("<domain type='qemu'><name>web1</name>" UUID
                               "<devices>" SERIAL("0", "pty", "/dev/pts/4") TAIL,
                               ""),
                         -ENOENT);
        assert_string_equal(error.text, "domain web1 does not run");
}

static void what_is_no_domain_is_refused(void **state)
{
        static const char *const texts[] = {
                "",
                "<",
                "<html/>",
                HEAD,
                "<domain id='1'/>",
                "<domain id='1'><name>x</name><uuid>no</uuid></domain>",
                "<domain id='1'><name>x</name></domain>",
                "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain>&x;</domain>",
        };

        (void)state;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                assert_int_equal(parse(texts[i], ""), -EBADMSG);
}

/* Hundreds of devices: the text stays whole, cut. */
static void very_many_devices_are_listed_as_far_as_there_is_room(void **state)
{
        static char text[200000];
        size_t used = (size_t)snprintf(text, sizeof(text), "%s", HEAD);

        (void)state;
        for (int i = 0; i < 500; i++)
                used += (size_t)snprintf(
                        text + used, sizeof(text) - used,
                        "<serial type='pty'><source path='/dev/pts/1'/><alias name='line-%d'/>"
                        "</serial>",
                        i);
        (void)snprintf(text + used, sizeof(text) - used, "%s", TAIL);
        assert_int_equal(parse(text, "nothing"), -ENOENT);
        assert_true(strlen(error.text) < sizeof(error.text));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_a_device_it_is_the_first_line),
                cmocka_unit_test(a_device_is_named_by_its_alias_or_as_the_guest_calls_it),
                cmocka_unit_test(a_device_that_is_not_there_is_refused_with_those_that_are),
                cmocka_unit_test(what_is_neither_a_terminal_nor_listens_is_refused),
                cmocka_unit_test(a_domain_that_does_not_run_has_no_console),
                cmocka_unit_test(what_is_no_domain_is_refused),
                cmocka_unit_test(very_many_devices_are_listed_as_far_as_there_is_room),
        };

        return cmocka_run_group_tests(tests, NULL, clear);
}
