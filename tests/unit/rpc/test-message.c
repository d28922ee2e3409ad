/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/message.h"

#include "base/cleanup.h"
#include "rpc/holdfast.h"
#include "rpc/lock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PROC(type) (xdrproc_t) xdr_##type

/* acquire-resource of "/x" in the default lockspace, shared: as it is on the wire. */
static const uint8_t acquire[] = {
        0,    0,    0,    44,   /* length */
        0x0e, 0xa7, 0xbe, 0xef, /* program */
        0,    0,    0,    1,    /* version */
        0,    0,    0,    6,    /* procedure */
        0,    0,    0,    0,    /* call */
        0,    0,    0,    9,    /* serial */
        0,    0,    0,    0,    /* status */
        0,    0,    0,    0,    /* path: "" */
        0,    0,    0,    2,    /* name: 2 bytes and padding */
        '/',  'x',  0,    0,    /**/
        0,    0,    0,    1,    /* flags */
};

static const struct hf_rpc_header header = {
        .prog = HF_LOCK_PROGRAM,
        .vers = HF_LOCK_VERSION,
        .proc = HF_LOCK_ACQUIRE_RESOURCE,
        .type = HF_RPC_CALL,
        .serial = 9,
};

static char no_path[] = "", name_x[] = "/x";
static const struct hf_lock_resource_args args = {.path = no_path, .name = name_x, .flags = 1};

static int64_t length_of(uint32_t value)
{
        const uint8_t word[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16),
                                (uint8_t)(value >> 8), (uint8_t)value};

        return hf_rpc_length(word);
}

static void a_length_word_is_within_the_limits_of_the_protocol(void **state)
{
        (void)state;
        assert_true(length_of(0) == -EBADMSG);
        assert_true(length_of(27) == -EBADMSG);
        assert_true(length_of(28) == 28);
        assert_true(length_of(33554436) == 33554436);
        assert_true(length_of(33554437) == -EBADMSG);
        assert_true(length_of(0x80000000) == -EBADMSG);
        assert_true(length_of(UINT32_MAX) == -EBADMSG);
}

static void a_call_is_on_the_wire_as_libvirt_writes_it(void **state)
{
        uint8_t buf[sizeof(acquire)];

        (void)state;
        assert_int_equal(hf_rpc_put(buf, sizeof(buf), &header, PROC(hf_lock_resource_args), &args),
                         sizeof(acquire));
        assert_memory_equal(buf, acquire, sizeof(acquire));
}

static void a_call_is_read_as_libvirt_writes_it(void **state)
{
        struct hf_lock_resource_args got = {0};
        struct hf_rpc_header head;

        (void)state;
        assert_true(hf_rpc_length(acquire) == sizeof(acquire));
        hf_rpc_get_header(acquire, &head);
        assert_int_equal(head.prog, HF_LOCK_PROGRAM);
        assert_int_equal(head.vers, 1);
        assert_int_equal(head.proc, HF_LOCK_ACQUIRE_RESOURCE);
        assert_int_equal(head.type, HF_RPC_CALL);
        assert_int_equal(head.serial, 9);
        assert_int_equal(head.status, HF_RPC_OK);
        assert_int_equal(hf_rpc_get_payload(acquire + HF_RPC_HEADER_SIZE,
                                            sizeof(acquire) - HF_RPC_HEADER_SIZE,
                                            PROC(hf_lock_resource_args), &got, NULL),
                         0);
        assert_string_equal(got.path, "");
        assert_string_equal(got.name, "/x");
        assert_int_equal(got.flags, HF_LOCK_ACQUIRE_SHARED);
        hf_rpc_free(PROC(hf_lock_resource_args), &got);
        assert_null(got.name);
}

static void a_header_survives_whatever_its_words_are(void **state)
{
        static const struct hf_rpc_header odd = {UINT32_MAX, 0x80000000, -1, 7, UINT32_MAX, 3};
        uint8_t buf[HF_RPC_HEADER_SIZE];
        struct hf_rpc_header got;

        (void)state;
        assert_int_equal(hf_rpc_put(buf, sizeof(buf), &odd, NULL, NULL), HF_RPC_HEADER_SIZE);
        hf_rpc_get_header(buf, &got);
        assert_memory_equal(&got, &odd, sizeof(odd));
}

static void an_answer_goes_to_its_call(void **state)
{
        struct hf_rpc_header reply = hf_rpc_reply_to(&header, HF_RPC_ERROR);

        (void)state;
        assert_int_equal(reply.type, HF_RPC_REPLY);
        assert_int_equal(reply.status, HF_RPC_ERROR);
        assert_int_equal(reply.serial, header.serial);
        assert_int_equal(reply.prog, header.prog);
        assert_int_equal(reply.vers, header.vers);
        assert_int_equal(reply.proc, header.proc);
}

static void what_does_not_fit_is_refused_and_nothing_behind_it_is_touched(void **state)
{
        uint8_t buf[sizeof(acquire) + 8];

        (void)state;
        for (size_t cap = 0; cap < sizeof(acquire); cap++) {
                memset(buf, 0xee, sizeof(buf));
                assert_int_equal(hf_rpc_put(buf, cap, &header, PROC(hf_lock_resource_args), &args),
                                 -EMSGSIZE);
                for (size_t i = cap; i < sizeof(buf); i++)
                        assert_int_equal(buf[i], 0xee);
        }
}

static void arguments_that_end_early_are_refused_and_leave_nothing(void **state)
{
        (void)state;
        for (size_t len = 0; len < sizeof(acquire) - HF_RPC_HEADER_SIZE; len++) {
                /* A copy of that size, so that a sanitizer sees a read behind it. */
                hf_cleanup_free uint8_t *copy = malloc(len + !len);
                struct hf_lock_resource_args got = {0};
                struct hf_error err = {0};

                assert_non_null(copy);
                memcpy(copy, acquire + HF_RPC_HEADER_SIZE, len);
                assert_int_equal(
                        hf_rpc_get_payload(copy, len, PROC(hf_lock_resource_args), &got, &err),
                        -EBADMSG);
                assert_int_equal(err.code, HF_ERR_RPC);
                assert_int_equal(err.domain, HF_FROM_RPC);
                assert_null(got.path);
                assert_null(got.name);
        }
}

static void what_comes_behind_the_arguments_is_ignored(void **state)
{
        uint8_t more[sizeof(acquire) + 5];
        struct hf_lock_resource_args got = {0};

        (void)state;
        memcpy(more, acquire, sizeof(acquire));
        memset(more + sizeof(acquire), 0xff, 5);
        assert_int_equal(hf_rpc_get_payload(more + HF_RPC_HEADER_SIZE,
                                            sizeof(more) - HF_RPC_HEADER_SIZE,
                                            PROC(hf_lock_resource_args), &got, NULL),
                         0);
        assert_string_equal(got.name, "/x");
        hf_rpc_free(PROC(hf_lock_resource_args), &got);
}

/* Encodes a path of that many bytes and decodes it again. Returns what failed first, or 0. */
static int send_path(size_t len)
{
        hf_cleanup_free char *path = malloc(len + 1);
        struct hf_lock_lockspace_args there = {.path = path}, back = {0};
        static uint8_t buf[HF_RPC_REQUEST_KEPT];
        int r;

        assert_non_null(path);
        memset(path, 'x', len);
        path[len] = '\0';
        r = hf_rpc_put(buf, sizeof(buf), &header, PROC(hf_lock_lockspace_args), &there);
        if (r < 0)
                return r;
        r = hf_rpc_get_payload(buf + HF_RPC_HEADER_SIZE, (size_t)r - HF_RPC_HEADER_SIZE,
                               PROC(hf_lock_lockspace_args), &back, NULL);
        if (r < 0)
                return r;
        assert_string_equal(back.path, path);
        hf_rpc_free(PROC(hf_lock_lockspace_args), &back);
        return 0;
}

static void a_string_may_be_as_long_as_the_protocol_has_it_and_no_longer(void **state)
{
        (void)state;
        assert_int_equal(send_path(0), 0);
        assert_int_equal(send_path(HF_LOCK_STRING_MAX - 1), 0);
        assert_int_equal(send_path(HF_LOCK_STRING_MAX), 0);
        assert_int_equal(send_path(HF_LOCK_STRING_MAX + 1), -EMSGSIZE);
}

static void a_string_that_announces_more_is_refused_though_it_is_there(void **state)
{
        static uint8_t payload[4 + HF_LOCK_STRING_MAX + 4] = {0, 1, 0, 1};
        struct hf_lock_lockspace_args got = {0};

        (void)state;
        memset(payload + 4, 'x', sizeof(payload) - 4);
        assert_int_equal(hf_rpc_get_payload(payload, sizeof(payload), PROC(hf_lock_lockspace_args),
                                            &got, NULL),
                         -EBADMSG);
        payload[3] = 0;
        assert_int_equal(hf_rpc_get_payload(payload, sizeof(payload), PROC(hf_lock_lockspace_args),
                                            &got, NULL),
                         0);
        assert_int_equal(strlen(got.path), HF_LOCK_STRING_MAX);
        hf_rpc_free(PROC(hf_lock_lockspace_args), &got);
}

static void a_list_with_more_entries_than_a_page_is_refused(void **state)
{
        uint8_t count[] = {0, 0, 2, 1, 0, 0, 0, 0}; /* 513 owners, none of which is there */
        struct hf_holdfast_list_owners_ret got = {0};

        (void)state;
        assert_int_equal(hf_rpc_get_payload(count, sizeof(count), PROC(hf_holdfast_list_owners_ret),
                                            &got, NULL),
                         -EBADMSG);
        count[2] = count[3] = 0;
        assert_int_equal(hf_rpc_get_payload(count, sizeof(count), PROC(hf_holdfast_list_owners_ret),
                                            &got, NULL),
                         0);
        assert_int_equal(got.owners.owners_len, 0);
        hf_rpc_free(PROC(hf_holdfast_list_owners_ret), &got);
}

static void the_longest_request_of_any_procedure_is_kept_whole(void **state)
{
        static char path[HF_LOCK_STRING_MAX + 1], name[HF_LOCK_STRING_MAX + 1];
        static char image[HF_HOLDFAST_PATH_MAX + 1];
        static uint8_t buf[HF_RPC_REQUEST_KEPT];
        struct hf_holdfast_acquire_args longest = {.path = path, .name = name, .image = image};

        (void)state;
        memset(path, 'x', sizeof(path) - 1);
        memset(name, 'x', sizeof(name) - 1);
        memset(image, 'x', sizeof(image) - 1);
        assert_true(hf_rpc_put(buf, sizeof(buf), &header, PROC(hf_holdfast_acquire_args),
                               &longest) > 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_length_word_is_within_the_limits_of_the_protocol),
                cmocka_unit_test(a_call_is_on_the_wire_as_libvirt_writes_it),
                cmocka_unit_test(a_call_is_read_as_libvirt_writes_it),
                cmocka_unit_test(a_header_survives_whatever_its_words_are),
                cmocka_unit_test(an_answer_goes_to_its_call),
                cmocka_unit_test(what_does_not_fit_is_refused_and_nothing_behind_it_is_touched),
                cmocka_unit_test(arguments_that_end_early_are_refused_and_leave_nothing),
                cmocka_unit_test(what_comes_behind_the_arguments_is_ignored),
                cmocka_unit_test(a_string_may_be_as_long_as_the_protocol_has_it_and_no_longer),
                cmocka_unit_test(a_string_that_announces_more_is_refused_though_it_is_there),
                cmocka_unit_test(a_list_with_more_entries_than_a_page_is_refused),
                cmocka_unit_test(the_longest_request_of_any_procedure_is_kept_whole),
        };

        return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
