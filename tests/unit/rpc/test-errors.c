/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/errors.h"

#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct hf_rpc_header call = {.prog = 1, .vers = 1, .proc = 6, .serial = 5};
static uint8_t buf[8192];

/* Encodes err and decodes its payload into *ret, to be freed with hf_rpc_free. */
static void put(const struct hf_error *err, struct hf_rpc_error *ret)
{
        int len = hf_rpc_put_error(buf, sizeof(buf), &call, err);
        struct hf_rpc_header header;

        assert_true(len > HF_RPC_HEADER_SIZE);
        assert_true(hf_rpc_length(buf) == len);
        hf_rpc_get_header(buf, &header);
        assert_int_equal(header.type, HF_RPC_REPLY);
        assert_int_equal(header.status, HF_RPC_ERROR);
        assert_int_equal(header.serial, call.serial);
        assert_int_equal(hf_rpc_get_payload(buf + HF_RPC_HEADER_SIZE,
                                            (size_t)len - HF_RPC_HEADER_SIZE,
                                            (xdrproc_t)xdr_hf_rpc_error, ret, NULL),
                         0);
}

/* Encodes a wire error and reads it as a client does. */
static int get(const struct hf_rpc_error *wire, struct hf_error *err)
{
        struct hf_rpc_header header = hf_rpc_reply_to(&call, HF_RPC_ERROR);
        int len = hf_rpc_put(buf, sizeof(buf), &header, (xdrproc_t)xdr_hf_rpc_error, wire);

        assert_true(len > 0);
        return hf_rpc_get_error(buf + HF_RPC_HEADER_SIZE, (size_t)len - HF_RPC_HEADER_SIZE, err);
}

static void free_wire(struct hf_rpc_error *wire)
{
        hf_rpc_free((xdrproc_t)xdr_hf_rpc_error, wire);
}

#define cleanup_wire hf_cleanup(free_wire)

static void a_busy_resource_is_said_as_libvirt_says_it(void **state)
{
        cleanup_wire struct hf_rpc_error wire = {0};
        struct hf_error err;

        (void)state;
        (void)hf_error_set(&err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE, "/x is held");
        put(&err, &wire);
        assert_int_equal(wire.code, 87);
        assert_int_equal(wire.domain, 51);
        assert_int_equal(wire.level, 2);
        assert_string_equal(*wire.message, "resource busy: /x is held");
        assert_string_equal(*wire.str1, "resource busy: %s");
        assert_string_equal(*wire.str2, "/x is held");
        assert_null(wire.str3);
        assert_int_equal(wire.int1, -1);
        assert_int_equal(wire.int2, -1);
        assert_int_equal(wire.has_domain, 0);
        assert_int_equal(wire.has_network, 0);
}

static void a_system_error_carries_its_errno(void **state)
{
        cleanup_wire struct hf_rpc_error wire = {0};
        struct hf_error err;

        (void)state;
        (void)hf_error_sys(&err, ENOENT, "cannot open /x");
        put(&err, &wire);
        assert_int_equal(wire.code, 38);
        assert_string_equal(*wire.message, "cannot open /x: No such file or directory");
        assert_string_equal(*wire.str1, "%s");
        assert_int_equal(wire.int1, ENOENT);
        assert_int_equal(wire.int2, -1);
}

static void unknown_flags_have_a_form_of_their_own(void **state)
{
        cleanup_wire struct hf_rpc_error wire = {0};
        struct hf_error err;

        (void)state;
        (void)hf_error_set(&err, EINVAL, HF_ERR_INVALID_ARG, HF_FROM_RPC, "unsupported flags");
        put(&err, &wire);
        assert_string_equal(*wire.message, "unsupported flags");
        assert_string_equal(*wire.str2, "flags");
        assert_int_equal(wire.int1, 0);
        assert_int_equal(wire.int2, 0);
}

static void an_error_means_the_same_on_both_sides(void **state)
{
        static const struct {
                int number, code, domain;
        } errors[] = {
                {EIO, HF_ERR_INTERNAL, HF_FROM_LOCKSPACE},
                {EINVAL, HF_ERR_INVALID_ARG, HF_FROM_LOCKSPACE},
                {EINVAL, HF_ERR_INVALID_ARG, HF_FROM_RPC},
                {EPERM, HF_ERR_OPERATION_DENIED, HF_FROM_RPC},
                {EPROTO, HF_ERR_RPC, HF_FROM_RPC},
                {EINVAL, HF_ERR_OPERATION_INVALID, HF_FROM_RPC},
                {EOPNOTSUPP, HF_ERR_CONFIG_UNSUPPORTED, HF_FROM_LOCKING},
                {EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE},
                {ENOENT, HF_ERR_NO_SERVER, HF_FROM_ADMIN},
                {ENOENT, HF_ERR_NO_CLIENT, HF_FROM_ADMIN},
        };

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(errors); i++) {
                struct hf_error there, back;
                int len;

                (void)hf_error_set(&there, 1, errors[i].code, errors[i].domain, "what %zu is", i);
                len = hf_rpc_put_error(buf, sizeof(buf), &call, &there);
                assert_int_equal(hf_rpc_get_error(buf + HF_RPC_HEADER_SIZE,
                                                  (size_t)len - HF_RPC_HEADER_SIZE, &back),
                                 -errors[i].number);
                assert_int_equal(back.code, errors[i].code);
                assert_int_equal(back.domain, errors[i].domain);
                assert_string_equal(back.text, there.text);
        }
}

static void a_system_error_is_its_errno_on_the_other_side(void **state)
{
        struct hf_error there, back;
        int len;

        (void)state;
        (void)hf_error_sys(&there, EACCES, "cannot open /x");
        len = hf_rpc_put_error(buf, sizeof(buf), &call, &there);
        assert_int_equal(
                hf_rpc_get_error(buf + HF_RPC_HEADER_SIZE, (size_t)len - HF_RPC_HEADER_SIZE, &back),
                -EACCES);
        assert_int_equal(back.sys, EACCES);
        assert_string_equal(back.text, there.text);
}

static void a_system_error_without_an_errno_is_an_error_all_the_same(void **state)
{
        struct hf_rpc_error wire = {.code = HF_ERR_SYSTEM, .int1 = -1};
        struct hf_error err;

        (void)state;
        assert_int_equal(get(&wire, &err), -EIO);
        wire.int1 = INT32_MIN;
        assert_int_equal(get(&wire, &err), -EIO);
        assert_int_equal(err.sys, 0);
}

static void an_error_without_a_text_or_of_an_unknown_code_has_words(void **state)
{
        struct hf_rpc_error wire = {.code = 4242};
        hf_rpc_string empty = (char[]){""}, class_alone = (char[]){"resource busy: "};
        struct hf_error err;

        (void)state;
        assert_int_equal(get(&wire, &err), -EIO);
        assert_int_equal(err.code, 4242);
        assert_string_equal(err.text, "the daemon gave no reason");
        wire.message = &empty;
        assert_int_equal(get(&wire, &err), -EIO);
        assert_string_equal(err.text, "the daemon gave no reason");
        wire.code = HF_ERR_RESOURCE_BUSY;
        wire.message = &class_alone;
        assert_int_equal(get(&wire, &err), -EBUSY);
        assert_string_equal(err.text, "the daemon gave no reason");
}

static void a_long_text_is_cut_and_the_error_stays(void **state)
{
        static char text[100000];
        hf_rpc_string message = text;
        struct hf_rpc_error wire = {.code = HF_ERR_RESOURCE_BUSY, .message = &message};
        static uint8_t large[sizeof(text) + 4096];
        struct hf_rpc_header header = hf_rpc_reply_to(&call, HF_RPC_ERROR);
        struct hf_error err;
        int len;

        (void)state;
        memset(text, 'x', sizeof(text) - 1);
        len = hf_rpc_put(large, sizeof(large), &header, (xdrproc_t)xdr_hf_rpc_error, &wire);
        assert_int_equal(hf_rpc_get_error(large + HF_RPC_HEADER_SIZE,
                                          (size_t)len - HF_RPC_HEADER_SIZE, &err),
                         -EBUSY);
        assert_int_equal(strlen(err.text), HF_ERROR_TEXT_MAX - 1);
}

static void what_is_no_error_structure_is_said_so(void **state)
{
        hf_rpc_string text = (char[]){"no"};
        struct hf_rpc_error wire = {.code = HF_ERR_RESOURCE_BUSY, .message = &text};
        struct hf_error err;

        (void)state;
        assert_int_equal(get(&wire, &err), -EBUSY);
        for (size_t len = 0; len < 40; len++) {
                assert_int_equal(hf_rpc_get_error(buf + HF_RPC_HEADER_SIZE, len, &err), -EBADMSG);
                assert_int_equal(err.code, HF_ERR_RPC);
        }
        /* What would follow an object's presence word is not there to be skipped. */
        wire.has_domain = 1;
        assert_int_equal(get(&wire, &err), -EBADMSG);
        wire.has_domain = 0;
        wire.has_network = 1;
        assert_int_equal(get(&wire, &err), -EBADMSG);
}

static void an_error_that_does_not_fit_is_refused(void **state)
{
        struct hf_error err;

        (void)state;
        (void)hf_error_set(&err, EBUSY, HF_ERR_RESOURCE_BUSY, HF_FROM_LOCKSPACE, "/x is held");
        assert_int_equal(hf_rpc_put_error(buf, 60, &call, &err), -EMSGSIZE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_busy_resource_is_said_as_libvirt_says_it),
                cmocka_unit_test(a_system_error_carries_its_errno),
                cmocka_unit_test(unknown_flags_have_a_form_of_their_own),
                cmocka_unit_test(an_error_means_the_same_on_both_sides),
                cmocka_unit_test(a_system_error_is_its_errno_on_the_other_side),
                cmocka_unit_test(a_system_error_without_an_errno_is_an_error_all_the_same),
                cmocka_unit_test(an_error_without_a_text_or_of_an_unknown_code_has_words),
                cmocka_unit_test(a_long_text_is_cut_and_the_error_stays),
                cmocka_unit_test(what_is_no_error_structure_is_said_so),
                cmocka_unit_test(an_error_that_does_not_fit_is_refused),
        };

        return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
