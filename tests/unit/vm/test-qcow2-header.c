/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * qcow2 headers: what they say, and what is wrong with damaged ones.
 */

#include "qcow2-image.h"
#include "vm/qcow2-header.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct qcow2_image image;
static struct hf_qcow2_header header;
static struct hf_error err;

/* Parses a copy of exactly len bytes, so that a sanitizer sees a read beyond them. */
static int parse(size_t len)
{
        uint8_t *copy = malloc(len ? len : 1);
        int r;

        assert_non_null(copy);
        memcpy(copy, image.bytes, len);
        memset(&err, 0, sizeof(err));
        r = hf_qcow2_header_parse(copy, len, &header, &err);
        free(copy);
        return r;
}

static void assert_damaged(const char *text)
{
        assert_int_equal(parse(image.len), -EINVAL);
        assert_string_equal(err.text, text);
}

static void an_image_without_other_files_names_none(void **state)
{
        (void)state;
        for (uint32_t version = 1; version <= 3; version++) {
                qcow2_image_init(&image, version);
                assert_int_equal(parse(image.len), 1);
                assert_int_equal(header.version, version);
                assert_string_equal(header.backing, "");
                assert_string_equal(header.backing_format, "");
                assert_string_equal(header.data_file, "");
        }
}

static void each_version_names_its_backing_file(void **state)
{
        (void)state;
        for (uint32_t version = 1; version <= 3; version++) {
                qcow2_image_init(&image, version);
                qcow2_image_back(&image, "base.img");
                assert_int_equal(parse(image.len), 1);
                assert_string_equal(header.backing, "base.img");
        }
}

static void the_backing_format_and_the_data_file_are_read(void **state)
{
        (void)state;
        qcow2_image_init(&image, 3);
        qcow2_image_external(&image);
        qcow2_image_extend(&image, 0x6803f857, "a feature table that nobody reads");
        qcow2_image_extend(&image, QCOW2_BACKING_FORMAT, "qcow2");
        qcow2_image_extend(&image, QCOW2_DATA_FILE, "data.raw");
        qcow2_image_back(&image, "/b");
        assert_int_equal(parse(image.len), 1);
        assert_string_equal(header.backing, "/b");
        assert_string_equal(header.backing_format, "qcow2");
        assert_string_equal(header.data_file, "data.raw");
}

static void a_data_file_counts_only_with_its_feature_bit(void **state)
{
        (void)state;
        qcow2_image_init(&image, 3);
        qcow2_image_extend(&image, QCOW2_DATA_FILE, "data.raw");
        assert_int_equal(parse(image.len), 1);
        assert_string_equal(header.data_file, "");
}

static void a_longer_header_of_a_later_qemu_is_read(void **state)
{
        (void)state;
        qcow2_image_init(&image, 3);
        qcow2_image_be32(&image, 100, 112);
        image.extension = 112;
        qcow2_image_extend(&image, QCOW2_BACKING_FORMAT, "raw");
        qcow2_image_back(&image, "b");
        assert_int_equal(parse(image.len), 1);
        assert_string_equal(header.backing_format, "raw");
}

static void other_files_are_no_qcow2_image(void **state)
{
        (void)state;
        memset(&image, 0, sizeof(image));
        assert_int_equal(parse(sizeof(image.bytes)), 0);
        assert_int_equal(parse(0), 0);
        qcow2_image_init(&image, 3);
        assert_int_equal(parse(7), 0);
        image.bytes[0] = 'q';
        assert_int_equal(parse(image.len), 0);
}

static void a_header_cut_short_is_damaged(void **state)
{
        (void)state;
        qcow2_image_init(&image, 3);
        image.len = 103;
        assert_damaged("damaged qcow2 header: it ends too early");
        image.len = 104;
        assert_int_equal(parse(image.len), 1);
        qcow2_image_init(&image, 1);
        image.len = 47;
        assert_damaged("damaged qcow2 header: it ends too early");
}

static void an_unknown_version_is_refused(void **state)
{
        (void)state;
        qcow2_image_init(&image, 4);
        assert_damaged("qcow2 version 4 is not known");
        qcow2_image_init(&image, 0);
        assert_damaged("qcow2 version 0 is not known");
}

static void a_cluster_size_out_of_range_is_damaged(void **state)
{
        static const uint32_t bits[] = {0, 8, 22, 64, UINT32_MAX};

        (void)state;
        for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
                qcow2_image_init(&image, 3);
                qcow2_image_be32(&image, 20, bits[i]);
                assert_damaged("damaged qcow2 header: the cluster size");
        }
}

static void a_header_length_out_of_range_is_damaged(void **state)
{
        static const uint32_t lengths[] = {0, 103, 4097, UINT32_MAX};

        (void)state;
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
                qcow2_image_init(&image, 3);
                qcow2_image_be32(&image, 100, lengths[i]);
                assert_damaged("damaged qcow2 header: its length");
        }
}

static void a_backing_name_beyond_the_first_cluster_is_damaged(void **state)
{
        static const struct {
                uint64_t offset;
                uint32_t size;
        } rows[] = {{4096, 1},         {4090, 7},       {200, 1024},
                    {200, UINT32_MAX}, {UINT64_MAX, 1}, {UINT64_MAX - 10, 20}};

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                qcow2_image_init(&image, 3);
                qcow2_image_be64(&image, 8, rows[i].offset);
                qcow2_image_be32(&image, 16, rows[i].size);
                assert_damaged("damaged qcow2 header: the name of the backing file");
        }
        qcow2_image_init(&image, 3);
        qcow2_image_be64(&image, 8, 3073);
        qcow2_image_be32(&image, 16, 1023);
        memset(image.bytes + 3073, 'x', 1023);
        assert_int_equal(parse(image.len), 1);
        assert_int_equal(strlen(header.backing), 1023);
}

static void an_extension_beyond_the_header_is_damaged(void **state)
{
        (void)state;
        qcow2_image_init(&image, 3);
        qcow2_image_be32(&image, 104, QCOW2_BACKING_FORMAT);
        qcow2_image_be32(&image, 108, 4096 - 112 + 1);
        assert_damaged("damaged qcow2 header: an extension reaches beyond the header");
        qcow2_image_be32(&image, 108, UINT32_MAX);
        assert_damaged("damaged qcow2 header: an extension reaches beyond the header");
}

static void names_in_extensions_that_are_too_long_are_damaged(void **state)
{
        (void)state;
        qcow2_image_init(&image, 3);
        qcow2_image_extend(&image, QCOW2_BACKING_FORMAT, "sixteen letters!");
        assert_damaged("damaged qcow2 header: the format of the backing file");
}

static void a_data_file_name_that_is_too_long_is_damaged(void **state)
{
        static uint8_t bytes[65536];

        (void)state;
        qcow2_image_init(&image, 3);
        qcow2_image_be32(&image, 20, 16);
        qcow2_image_external(&image);
        qcow2_image_be32(&image, 104, QCOW2_DATA_FILE);
        qcow2_image_be32(&image, 108, HF_QCOW2_DATA_MAX + 1);
        memcpy(bytes, image.bytes, 112);
        memset(bytes + 112, 'x', HF_QCOW2_DATA_MAX + 1);
        assert_int_equal(hf_qcow2_header_parse(bytes, sizeof(bytes), &header, &err), -EINVAL);
        assert_string_equal(err.text, "damaged qcow2 header: the name of the data file");
        qcow2_image_be32(&image, 108, HF_QCOW2_DATA_MAX);
        memcpy(bytes, image.bytes, 112);
        bytes[112 + HF_QCOW2_DATA_MAX] = 0;
        assert_int_equal(hf_qcow2_header_parse(bytes, sizeof(bytes), &header, &err), 1);
        assert_int_equal(strlen(header.data_file), HF_QCOW2_DATA_MAX);
}

/* What lies behind the first cluster is data, which the guest may have written. */
static void bytes_beyond_the_first_cluster_do_not_count(void **state)
{
        (void)state;
        qcow2_image_init(&image, 3);
        qcow2_image_be32(&image, 20, 9);
        qcow2_image_be64(&image, 8, 512);
        qcow2_image_be32(&image, 16, 4);
        memcpy(image.bytes + 512, "evil", 4);
        assert_damaged("damaged qcow2 header: the name of the backing file");
}

static void the_header_is_one_cluster(void **state)
{
        (void)state;
        qcow2_image_init(&image, 3);
        assert_int_equal(hf_qcow2_header_size(image.bytes, 24), 4096);
        assert_int_equal(hf_qcow2_header_size(image.bytes, 23), 0);
        qcow2_image_be32(&image, 20, 21);
        assert_int_equal(hf_qcow2_header_size(image.bytes, 24), HF_QCOW2_HEADER_MAX);
        qcow2_image_be32(&image, 20, 63);
        assert_int_equal(hf_qcow2_header_size(image.bytes, 24), 65536);
        image.bytes[3] = 0;
        assert_int_equal(hf_qcow2_header_size(image.bytes, 24), 0);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_image_without_other_files_names_none),
                cmocka_unit_test(each_version_names_its_backing_file),
                cmocka_unit_test(the_backing_format_and_the_data_file_are_read),
                cmocka_unit_test(a_data_file_counts_only_with_its_feature_bit),
                cmocka_unit_test(a_longer_header_of_a_later_qemu_is_read),
                cmocka_unit_test(other_files_are_no_qcow2_image),
                cmocka_unit_test(a_header_cut_short_is_damaged),
                cmocka_unit_test(an_unknown_version_is_refused),
                cmocka_unit_test(a_cluster_size_out_of_range_is_damaged),
                cmocka_unit_test(a_header_length_out_of_range_is_damaged),
                cmocka_unit_test(a_backing_name_beyond_the_first_cluster_is_damaged),
                cmocka_unit_test(an_extension_beyond_the_header_is_damaged),
                cmocka_unit_test(names_in_extensions_that_are_too_long_are_damaged),
                cmocka_unit_test(a_data_file_name_that_is_too_long_is_damaged),
                cmocka_unit_test(bytes_beyond_the_first_cluster_do_not_count),
                cmocka_unit_test(the_header_is_one_cluster),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
