/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The backend for NVMe on a kernel that answers from a list: each ioctl has to be the next of it.
 * No packaged kernel has an NVMe target with reservations.
 */

#include "prhelper/device/nvme.h"

#include "prhelper/device/blockpr.h"
#include "scsi/bytes.h"

#include "base/cleanup.h"

#include <linux/nvme_ioctl.h>
#include <linux/pr.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#define FD        42
#define NSID      3
#define READ_KEYS _IOC(_IOC_READ | _IOC_WRITE, 'p', 206, 16)
#define READ_RSV  _IOC(_IOC_READ, 'p', 207, 16)

/* One ioctl: what has to come, and what is answered. */
struct step {
        unsigned long request;
        uint8_t opcode;    /* of pass-through */
        uint32_t cdw10;    /* of pass-through, where it is not 0 */
        uint64_t words[2]; /* of IOC_PR_*: the first two */
        int answer;
        const void *data; /* what the device gives */
        size_t size;
};

static struct {
        const struct step *steps;
        size_t n, at;
} script;

static void check_passthru(const struct step *step, struct nvme_passthru_cmd *command)
{
        assert_int_equal(command->opcode, step->opcode);
        assert_int_equal(command->nsid, NSID);
        if (step->cdw10)
                assert_int_equal(command->cdw10, step->cdw10);
        if (step->data) {
                assert_true(step->size <= command->data_len);
                memcpy((void *)(uintptr_t)command->addr, step->data, step->size);
        }
}

static void check_block(const struct step *step, void *argument)
{
        uint64_t words[2];
        uint64_t keys;

        memcpy(words, argument, sizeof(words));
        if (step->request == READ_KEYS) {
                /* generation and number, then where they are wanted. */
                memcpy(&keys, (const char *)argument + 8, sizeof(keys));
                if (step->answer == 0) {
                        memcpy(argument, step->data, 8);
                        memcpy((void *)(uintptr_t)keys, (const char *)step->data + 8,
                               step->size - 8);
                }
        } else if (step->request == READ_RSV) {
                if (step->answer == 0)
                        memcpy(argument, step->data, step->size);
        } else {
                assert_true(words[0] == step->words[0] && words[1] == step->words[1]);
        }
}

static int answer(void *context, int fd, unsigned long request, void *argument)
{
        const struct step *step = &script.steps[script.at];

        assert_null(context);
        assert_int_equal(fd, FD);
        if (request == NVME_IOCTL_ID)
                return NSID;
        assert_true(script.at < script.n);
        script.at++;
        assert_true(request == step->request);
        if (request == NVME_IOCTL_IO_CMD || request == NVME_IOCTL_ADMIN_CMD)
                check_passthru(step, argument);
        else
                check_block(step, argument);
        return step->answer;
}

static const struct hf_ioctls kernel = {.call = answer};
static uint8_t data[HF_PR_DATA_MAX];

static struct hf_scsi_result execute(const uint8_t *cdb, const struct step *steps, size_t n)
{
        struct hf_pr_request request = {.cdb = cdb, .data = data, .fd = FD};
        struct hf_scsi_result result;
        struct hf_error note;

        script.steps = steps;
        script.n = n;
        script.at = 0;
        assert_int_equal(hf_nvme_execute(&kernel, &request, &result, &note), 1);
        assert_int_equal(script.at, n);
        return result;
}

static struct hf_scsi_result out(unsigned int action, unsigned int type, uint64_t key,
                                 uint64_t new_key, const struct step *steps, size_t n)
{
        uint8_t cdb[HF_PR_CDB_SIZE] = {HF_PR_OUT, (uint8_t)action, (uint8_t)type, [8] = 24};

        memset(data, 0, HF_PR_LIST_SIZE);
        hf_put64(data, key);
        hf_put64(data + 8, new_key);
        return execute(cdb, steps, n);
}

static struct hf_scsi_result in(unsigned int action, uint8_t room, const struct step *steps,
                                size_t n)
{
        uint8_t cdb[HF_PR_CDB_SIZE] = {HF_PR_IN, (uint8_t)action, [8] = room};

        memset(data, 0xee, sizeof(data));
        return execute(cdb, steps, n);
}

#define OUT(action, type, key, new_key, steps)                                                     \
        out(action, type, key, new_key, steps, HF_ARRAY_LEN(steps))
#define IN(action, room, steps) in(action, room, steps, HF_ARRAY_LEN(steps))

static void assert_sense(const struct hf_scsi_result *result, unsigned int key, unsigned int code)
{
        unsigned int got_key, got_code;

        assert_int_equal(result->status, HF_SCSI_CHECK_CONDITION);
        assert_int_equal(result->size, 0);
        assert_int_equal(hf_sense_decode(result->sense, &got_key, &got_code), 0);
        assert_int_equal(got_key, key);
        assert_int_equal(got_code, code);
}

/* A Report with one registrant of this host identifier, which has key 5. */
static const uint8_t report[128] = {
        2, 0, 0, 0, 1, 1, [64] = 1, 0, 1, [72] = 5, [80] = 0xab,
};
static const uint8_t this_host[16] = {0xab};
static const uint8_t other_host[16] = {0xac};

static void a_device_that_is_no_namespace_is_left_to_others(void **state)
{
        uint8_t cdb[HF_PR_CDB_SIZE] = {HF_PR_IN, [8] = 8};
        struct hf_pr_request request = {.cdb = cdb, .data = data, .fd = -1};
        struct hf_scsi_result result;

        (void)state;
        assert_int_equal(hf_pr_nvme.execute(NULL, &request, &result, NULL), 0);
}

static void a_reservation_is_one_command(void **state)
{
        const struct step good[] = {{NVME_IOCTL_IO_CMD, 0x11, 3 << 8}};
        const struct step conflict[] = {{NVME_IOCTL_IO_CMD, 0x11, 3 << 8, .answer = 0x4083}};

        (void)state;
        assert_int_equal(OUT(HF_PR_RESERVE, 5, 1, 0, good).status, 0);
        assert_int_equal(OUT(HF_PR_RESERVE, 5, 1, 0, conflict).status, 0x18);
}

static void register_and_ignore_tries_both_ways(void **state)
{
        const struct step first[] = {{NVME_IOCTL_IO_CMD, 0x0d, 2U << 30 | 10}};
        const struct step second[] = {{NVME_IOCTL_IO_CMD, 0x0d, 2U << 30 | 10, .answer = 0x83},
                                      {NVME_IOCTL_IO_CMD, 0x0d, 2U << 30 | 8}};
        const struct step neither[] = {{NVME_IOCTL_IO_CMD, 0x0d, .answer = 0x83},
                                       {NVME_IOCTL_IO_CMD, 0x0d, .answer = 0x83}};
        const struct step absent[] = {{NVME_IOCTL_IO_CMD, 0x0d, 2U << 30 | 9, .answer = 0x83}};

        (void)state;
        assert_int_equal(OUT(HF_PR_REGISTER_AND_IGNORE, 0, 0, 7, first).status, 0);
        assert_int_equal(OUT(HF_PR_REGISTER_AND_IGNORE, 0, 0, 7, second).status, 0);
        assert_int_equal(OUT(HF_PR_REGISTER_AND_IGNORE, 0, 0, 7, neither).status, 0x18);
        assert_int_equal(OUT(HF_PR_REGISTER_AND_IGNORE, 0, 0, 0, absent).status, 0);
}

static void a_registration_of_nothing_asks_whether_this_host_is_registered(void **state)
{
        const struct step registered[] = {
                {NVME_IOCTL_IO_CMD, 0x0e, .data = report, .size = sizeof(report)},
                {NVME_IOCTL_ADMIN_CMD, 0x0a, 0x81, .data = this_host, .size = 16}};
        const struct step not [] = {
                {NVME_IOCTL_IO_CMD, 0x0e, .data = report, .size = sizeof(report)},
                {NVME_IOCTL_ADMIN_CMD, 0x0a, 0x81, .data = other_host, .size = 16}};

        (void)state;
        assert_int_equal(OUT(HF_PR_REGISTER, 0, 0, 0, registered).status, 0x18);
        assert_int_equal(OUT(HF_PR_REGISTER, 0, 0, 0, not ).status, 0);
}

static void keys_come_by_a_report(void **state)
{
        const struct step steps[] = {
                {NVME_IOCTL_IO_CMD, 0x0e, .data = report, .size = sizeof(report)}};
        struct hf_scsi_result result;

        (void)state;
        result = IN(HF_PR_READ_KEYS, 255, steps);
        assert_int_equal(result.status, 0);
        assert_int_equal(result.size, 16);
        assert_memory_equal(data, "\0\0\0\2\0\0\0\10\0\0\0\0\0\0\0\5\xee", 17);
        result = IN(HF_PR_READ_KEYS, 4, steps);
        assert_int_equal(result.size, 4);
}

static void a_controller_with_short_identifiers_is_asked_again(void **state)
{
        static const uint8_t plain[48] = {2, 0, 0, 0, 0, 1, [24] = 1, [32] = 0xab, [40] = 5};
        const struct step steps[] = {
                {NVME_IOCTL_IO_CMD, 0x0e, .answer = 0x4018},
                {NVME_IOCTL_IO_CMD, 0x0e, .data = plain, .size = sizeof(plain)}};

        (void)state;
        assert_int_equal(IN(HF_PR_READ_KEYS, 255, steps).size, 16);
        assert_int_equal(data[15], 5);
}

static void a_long_report_is_read_whole(void **state)
{
        static uint8_t all[64 + 64 * 100] = {2, 0, 0, 0, 0, 100};
        const struct step steps[] = {
                {NVME_IOCTL_IO_CMD, 0x0e, 1023, .data = all, .size = 4096},
                {NVME_IOCTL_IO_CMD, 0x0e, sizeof(all) / 4 - 1, .data = all, .size = sizeof(all)}};

        (void)state;
        all[sizeof(all) - 56] = 9;
        assert_int_equal(IN(HF_PR_READ_KEYS, 255, steps).size, 255);
        assert_int_equal(hf_get32(data + 4), 800);
}

static void capabilities_ask_the_namespace_too(void **state)
{
        static const uint8_t identity[4096] = {[31] = 0x7f};
        const struct step steps[] = {
                {NVME_IOCTL_IO_CMD, 0x0e, .data = report, .size = sizeof(report)},
                {NVME_IOCTL_ADMIN_CMD, 0x06, .data = identity, .size = sizeof(identity)}};

        (void)state;
        assert_int_equal(IN(HF_PR_REPORT_CAPABILITIES, 8, steps).size, 8);
        assert_memory_equal(data, "\0\10\x05\x80\xea\x01\0\0", 8);
}

static void a_controller_without_reservations_has_no_such_command(void **state)
{
        const struct step in_steps[] = {{NVME_IOCTL_IO_CMD, 0x0e, .answer = 0x4001}};
        const struct step out_steps[] = {{NVME_IOCTL_IO_CMD, 0x11, .answer = 0x4001}};
        struct hf_scsi_result result;

        (void)state;
        result = IN(HF_PR_READ_KEYS, 255, in_steps);
        assert_sense(&result, 5, 0x2000);
        result = OUT(HF_PR_RESERVE, 1, 1, 0, out_steps);
        assert_sense(&result, 5, 0x2000);
}

static void a_refused_list_reaches_no_device(void **state)
{
        uint8_t cdb[HF_PR_CDB_SIZE] = {HF_PR_OUT, HF_PR_REGISTER, [8] = 23};
        struct hf_scsi_result result;

        (void)state;
        result = execute(cdb, NULL, 0);
        assert_sense(&result, 5, 0x1a00);
        result = out(HF_PR_REGISTER_AND_MOVE, 0, 1, 2, NULL, 0);
        assert_sense(&result, 5, 0x2400);
}

static void without_pass_through_the_kernel_s_own_interface_is_used(void **state)
{
        const struct step enrol[] = {{NVME_IOCTL_IO_CMD, 0x0d, .answer = -EACCES},
                                     {IOC_PR_REGISTER, .words = {0, 7}}};
        const struct step take[] = {{NVME_IOCTL_IO_CMD, 0x11, .answer = -EACCES},
                                    {IOC_PR_RESERVE, .words = {7, 3}, .answer = 0x118}};
        const struct step preempt[] = {{NVME_IOCTL_IO_CMD, 0x11, .answer = -EACCES},
                                       {IOC_PR_PREEMPT, .words = {7, 8}}};

        (void)state;
        assert_int_equal(OUT(HF_PR_REGISTER, 0, 0, 7, enrol).status, 0);
        assert_int_equal(OUT(HF_PR_RESERVE, 5, 7, 0, take).status, 0x18);
        assert_int_equal(OUT(HF_PR_PREEMPT, 5, 7, 8, preempt).status, 0);
}

/* generation 3 and keys in the host's order */
struct keys {
        uint32_t generation, n;
        uint64_t keys[2];
};

static void keys_are_read_by_the_kernel_s_interface_where_it_has_that(void **state)
{
        const struct keys two = {3, 2, {0x1122, 0x3344}};
        const struct step there[] = {{NVME_IOCTL_IO_CMD, 0x0e, .answer = -EACCES},
                                     {READ_KEYS, .data = &two, .size = sizeof(two)}};
        const struct step older[] = {{NVME_IOCTL_IO_CMD, 0x0e, .answer = -EACCES},
                                     {READ_KEYS, .answer = -EINVAL}};
        struct hf_scsi_result result;

        (void)state;
        result = IN(HF_PR_READ_KEYS, 255, there);
        assert_int_equal(result.status, 0);
        assert_int_equal(result.size, 24);
        assert_memory_equal(data, "\0\0\0\3\0\0\0\x10\0\0\0\0\0\0\x11\x22", 16);
        result = IN(HF_PR_READ_KEYS, 255, older);
        assert_sense(&result, 5, 0x2000);
}

static void a_reservation_is_read_by_the_kernel_s_interface(void **state)
{
        static const struct {
                uint64_t key;
                uint32_t generation, type;
        } held = {0x1122, 3, 3};
        const struct step steps[] = {{NVME_IOCTL_IO_CMD, 0x0e, .answer = -EPERM},
                                     {READ_RSV, .data = &held, .size = sizeof(held)}};

        (void)state;
        assert_int_equal(IN(HF_PR_READ_RESERVATION, 255, steps).size, 24);
        assert_int_equal(data[15], 0x22);
        assert_int_equal(data[21], 5);
}

static void a_key_is_taken_away_only_where_that_can_be_verified(void **state)
{
        const struct keys two = {3, 2, {7, 8}}, one = {4, 1, {8}}, zero = {4, 2, {0, 8}};
        const struct step gone[] = {{NVME_IOCTL_IO_CMD, 0x0d, .answer = -EACCES},
                                    {READ_KEYS, .data = &two, .size = sizeof(two)},
                                    {IOC_PR_REGISTER, .words = {7, 0}},
                                    {READ_KEYS, .data = &one, .size = sizeof(one)}};
        const struct step replaced[] = {{NVME_IOCTL_IO_CMD, 0x0d, .answer = -EACCES},
                                        {READ_KEYS, .data = &two, .size = sizeof(two)},
                                        {IOC_PR_REGISTER, .words = {7, 0}},
                                        {READ_KEYS, .data = &zero, .size = sizeof(zero)}};
        const struct step stays[] = {{NVME_IOCTL_IO_CMD, 0x0d, .answer = -EACCES},
                                     {READ_KEYS, .data = &two, .size = sizeof(two)},
                                     {IOC_PR_REGISTER, .words = {7, 0}},
                                     {READ_KEYS, .data = &two, .size = sizeof(two)}};
        const struct step blind[] = {{NVME_IOCTL_IO_CMD, 0x0d, .answer = -EACCES},
                                     {READ_KEYS, .answer = -ENOTTY}};
        struct hf_scsi_result result;

        (void)state;
        assert_int_equal(OUT(HF_PR_REGISTER, 0, 7, 0, gone).status, 0);
        result = OUT(HF_PR_REGISTER, 0, 7, 0, replaced);
        assert_sense(&result, 4, 0x4400);
        result = OUT(HF_PR_REGISTER, 0, 7, 0, stays);
        assert_sense(&result, 4, 0x4400);
        result = OUT(HF_PR_REGISTER, 0, 7, 0, blind);
        assert_sense(&result, 5, 0x2000);
}

static void what_old_and_new_kernels_return_means_the_same(void **state)
{
        static const struct {
                int returned;
                unsigned int status, key, code;
        } expect[] = {
                {0, 0, 0, 0},           {0x18, 0x18, 0, 0},          {0x118, 0x18, 0, 0},
                {0x4083, 0x18, 0, 0},   {0x402, 2, 5, 0x2400},       {0x10000, 8, 0, 0},
                {0xe0000, 8, 0, 0},     {0xf0000, 8, 0, 0},          {-EINVAL, 2, 5, 0x2400},
                {-EPERM, 2, 5, 0x2000}, {-EOPNOTSUPP, 2, 5, 0x2000}, {-EIO, 2, 0xb, 0x0800},
                {0x4001, 2, 5, 0x2000}, {0x4006, 2, 4, 0x4400},
        };

        (void)state;
        for (size_t i = 0; i < HF_ARRAY_LEN(expect); i++) {
                struct hf_scsi_result result;

                hf_blockpr_result(expect[i].returned, &result);
                if (expect[i].status == HF_SCSI_CHECK_CONDITION)
                        assert_sense(&result, expect[i].key, expect[i].code);
                else
                        assert_int_equal(result.status, expect[i].status);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_device_that_is_no_namespace_is_left_to_others),
                cmocka_unit_test(a_reservation_is_one_command),
                cmocka_unit_test(register_and_ignore_tries_both_ways),
                cmocka_unit_test(a_registration_of_nothing_asks_whether_this_host_is_registered),
                cmocka_unit_test(keys_come_by_a_report),
                cmocka_unit_test(a_controller_with_short_identifiers_is_asked_again),
                cmocka_unit_test(a_long_report_is_read_whole),
                cmocka_unit_test(capabilities_ask_the_namespace_too),
                cmocka_unit_test(a_controller_without_reservations_has_no_such_command),
                cmocka_unit_test(a_refused_list_reaches_no_device),
                cmocka_unit_test(without_pass_through_the_kernel_s_own_interface_is_used),
                cmocka_unit_test(keys_are_read_by_the_kernel_s_interface_where_it_has_that),
                cmocka_unit_test(a_reservation_is_read_by_the_kernel_s_interface),
                cmocka_unit_test(a_key_is_taken_away_only_where_that_can_be_verified),
                cmocka_unit_test(what_old_and_new_kernels_return_means_the_same),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
