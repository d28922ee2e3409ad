/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Commands to a disk that is a function of ours in place of the C library's ioctl. */
#include "scsi/sg.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

/* What the device writes, and says of how much it wrote. */
static struct {
        size_t writes;
        int resid;
} device;

int ioctl(int fd, unsigned long request, ...)
{
        struct sg_io_hdr *io;
        va_list args;

        va_start(args, request);
        io = va_arg(args, struct sg_io_hdr *);
        va_end(args);
        assert_int_equal(fd, 7);
        assert_int_equal(request, SG_IO);
        assert_true(device.writes <= io->dxfer_len);
        memset(io->dxferp, 0xda, device.writes);
        io->resid = device.resid;
        return 0;
}

static void ask(uint8_t data[static HF_PR_DATA_MAX], struct hf_scsi_result *result)
{
        uint8_t cdb[HF_PR_CDB_SIZE];

        hf_pr_in_encode(HF_PR_READ_KEYS, 64, cdb);
        hf_sg_pr(7, cdb, data, result);
        assert_int_equal(result->status, HF_SCSI_GOOD);
}

static void as_much_is_given_on_as_came_and_was_asked_for(void **state)
{
        uint8_t data[HF_PR_DATA_MAX];
        struct hf_scsi_result result;

        (void)state;
        device.writes = 24;
        device.resid = HF_PR_DATA_MAX - 24;
        ask(data, &result);
        assert_int_equal(result.size, 24);
        device.writes = 128;
        device.resid = HF_PR_DATA_MAX - 128;
        ask(data, &result);
        assert_int_equal(result.size, 64);
}

static void a_device_that_hides_how_little_it_wrote_shows_nothing_of_ours(void **state)
{
        uint8_t data[HF_PR_DATA_MAX];
        struct hf_scsi_result result;

        (void)state;
        memset(data, 0x55, sizeof(data));
        device.writes = 8;
        device.resid = 0;
        ask(data, &result);
        for (size_t i = 0; i < result.size; i++)
                assert_int_equal(data[i], i < 8 ? 0xda : 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(as_much_is_given_on_as_came_and_was_asked_for),
                cmocka_unit_test(a_device_that_hides_how_little_it_wrote_shows_nothing_of_ours),
        };

        return cmocka_run_group_tests_name("sg", tests, NULL, NULL);
}
