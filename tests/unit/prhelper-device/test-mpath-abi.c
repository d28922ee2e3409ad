/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Our own words for libmpathpersist's interface, against its header where that is installed. */

#include "prhelper/device/mpath-abi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#ifdef HAVE_MPATH_PERSIST_H

#include <mpath_persist.h>

#define SAME(ours, theirs) assert_int_equal(ours, theirs)
#define PLACE(type, member, their_type, their_member)                                              \
        do {                                                                                       \
                SAME(offsetof(type, member), offsetof(their_type, their_member));                  \
                SAME(sizeof(((type *)0)->member), sizeof(((their_type *)0)->their_member));        \
        } while (0)

static void results_have_the_librarys_numbers(void **state)
{
        (void)state;
        SAME(HF_MPATH_SUCCESS, MPATH_PR_SUCCESS);
        SAME(HF_MPATH_SYNTAX_ERROR, MPATH_PR_SYNTAX_ERROR);
        SAME(HF_MPATH_NOT_READY, MPATH_PR_SENSE_NOT_READY);
        SAME(HF_MPATH_MEDIUM_ERROR, MPATH_PR_SENSE_MEDIUM_ERROR);
        SAME(HF_MPATH_HARDWARE_ERROR, MPATH_PR_SENSE_HARDWARE_ERROR);
        SAME(HF_MPATH_ILLEGAL_REQUEST, MPATH_PR_ILLEGAL_REQ);
        SAME(HF_MPATH_UNIT_ATTENTION, MPATH_PR_SENSE_UNIT_ATTENTION);
        SAME(HF_MPATH_INVALID_OPERATION, MPATH_PR_SENSE_INVALID_OP);
        SAME(HF_MPATH_ABORTED_COMMAND, MPATH_PR_SENSE_ABORTED_COMMAND);
        SAME(HF_MPATH_NO_SENSE, MPATH_PR_NO_SENSE);
        SAME(HF_MPATH_MALFORMED, MPATH_PR_SENSE_MALFORMED);
        SAME(HF_MPATH_CONFLICT, MPATH_PR_RESERV_CONFLICT);
        SAME(HF_MPATH_FILE_ERROR, MPATH_PR_FILE_ERROR);
        SAME(HF_MPATH_MAP_ERROR, MPATH_PR_DMMP_ERROR);
        SAME(HF_MPATH_THREAD_ERROR, MPATH_PR_THREAD_ERROR);
        SAME(HF_MPATH_OTHER, MPATH_PR_OTHER);
        SAME(HF_MPATH_BUFFER, MPATH_MAX_PARAM_LEN);
        SAME(HF_PR_IDS_MAX, MPATH_MX_TIDS);
}

static void answers_lie_as_the_library_writes_them(void **state)
{
        (void)state;
        PLACE(struct hf_mpath_list, generation, struct prin_readdescr, prgeneration);
        PLACE(struct hf_mpath_list, length, struct prin_readdescr, additional_length);
        PLACE(struct hf_mpath_list, entries, struct prin_readdescr, key_list);
        SAME(offsetof(struct hf_mpath_list, length),
             offsetof(struct prin_resvdescr, additional_length));
        SAME(offsetof(struct hf_mpath_list, entries), offsetof(struct prin_resvdescr, key));
        SAME(offsetof(struct hf_mpath_list, entries) + 13,
             offsetof(struct prin_resvdescr, scope_type));
        PLACE(struct hf_mpath_capabilities, length, struct prin_capdescr, length);
        PLACE(struct hf_mpath_capabilities, flags, struct prin_capdescr, flags);
        PLACE(struct hf_mpath_capabilities, type_mask, struct prin_capdescr, pr_type_mask);
        assert_true(sizeof(union hf_mpath_in) >= sizeof(struct prin_resp));
}

static void commands_lie_as_the_library_reads_them(void **state)
{
        (void)state;
        PLACE(struct hf_mpath_out, key, struct prout_param_descriptor, key);
        PLACE(struct hf_mpath_out, new_key, struct prout_param_descriptor, sa_key);
        PLACE(struct hf_mpath_out, flags, struct prout_param_descriptor, sa_flags);
        PLACE(struct hf_mpath_out, own, struct prout_param_descriptor, private_buffer);
        PLACE(struct hf_mpath_out, n_ids, struct prout_param_descriptor, num_transportid);
        SAME(offsetof(struct hf_mpath_out, ids),
             offsetof(struct prout_param_descriptor, trnptid_list));
        PLACE(struct hf_mpath_id, format, struct transportid, format_code);
        PLACE(struct hf_mpath_id, protocol, struct transportid, protocol_id);
        PLACE(struct hf_mpath_id, port, struct transportid, n_port_name);
        PLACE(struct hf_mpath_id, port, struct transportid, sas_address);
        PLACE(struct hf_mpath_id, name, struct transportid, iscsi_name);
        SAME(sizeof(struct hf_mpath_id), sizeof(struct transportid));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(results_have_the_librarys_numbers),
                cmocka_unit_test(answers_lie_as_the_library_writes_them),
                cmocka_unit_test(commands_lie_as_the_library_reads_them),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

#include <stdio.h>

/* What Meson takes for "skipped". */
#define SKIPPED 77

int main(void)
{
        puts("skipped: <mpath_persist.h> is not installed (Debian: multipath-tools)");
        return SKIPPED;
}

#endif
