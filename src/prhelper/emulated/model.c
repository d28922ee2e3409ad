/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Each service action is a row of a table: what it does, and what is judged before. The order of
 * the judgements is the standard's: a waiting unit attention, the service action, the length of the
 * list, scope and type, whether the nexus is registered, its key.
 *
 * Where the standard and the Linux target differ, the standard is followed: who is not registered
 * meets a reservation conflict, a release with the wrong type is an invalid release, and PREEMPT
 * with the key of a registrant that does not hold the reservation removes it, even if it is one's
 * own.
 */

#include "prhelper/emulated/model.h"

#include "prhelper/emulated/data.h"
#include "prhelper/emulated/nexus.h"

#include "base/cleanup.h"

#include <string.h>

struct call {
        struct hf_pr_state *state;
        const char *nexus;
        uint64_t now;
        const struct hf_pr_out *out;
        struct hf_scsi_result *result;
};

struct action {
        /* me: NULL only where free_for_all. Returns as hf_pr_model. */
        int (*run)(const struct call *call, struct hf_pr_nexus_state *me);
        bool free_for_all; /* who is not registered may ask as well, and the key is run's to judge
                            */
        bool typed;        /* scope and type count */
};

static int refuse(const struct call *call, uint16_t code)
{
        hf_scsi_refuse(call->result, HF_SENSE_ILLEGAL_REQUEST, code);
        return 0;
}

static int conflict(const struct call *call)
{
        hf_scsi_status(call->result, HF_SCSI_RESERVATION_CONFLICT);
        return 0;
}

static bool scope_and_type_fine(const struct hf_pr_out *out)
{
        return out->scope == 0 && hf_pr_type_known(out->type);
}

static void hold(struct hf_pr_state *state, const struct hf_pr_nexus_state *me, uint8_t type)
{
        state->type = type;
        memset(state->holder, 0, sizeof(state->holder));
        if (!hf_pr_type_is_all(type))
                memcpy(state->holder, me->name, strlen(me->name));
}

static void drop(struct hf_pr_state *state)
{
        state->type = HF_PR_NONE;
        memset(state->holder, 0, sizeof(state->holder));
}

/* A reservation of all registrants goes with the last of them. */
static void drop_if_deserted(struct hf_pr_state *state)
{
        if (hf_pr_nexus_count(state, 0) == 0)
                drop(state);
}

static void unregister(const struct call *call, struct hf_pr_nexus_state *me)
{
        struct hf_pr_state *state = call->state;
        uint8_t type = state->type;
        bool held = hf_pr_nexus_holds(state, me);

        me->key = 0;
        if (held && !hf_pr_type_is_all(type)) {
                drop(state);
                if (hf_pr_type_for_registrants(type))
                        hf_pr_nexus_tell_others(state, me, HF_ASC_RESERVATIONS_RELEASED, call->now);
        }
        drop_if_deserted(state);
}

/* What REGISTER and REGISTER AND IGNORE have in common once the old key is no matter any more. */
static int take_key(const struct call *call, struct hf_pr_nexus_state *me)
{
        struct hf_pr_state *state = call->state;
        const struct hf_pr_out *out = call->out;

        if (!out->new_key && (!me || !me->key))
                return 0;
        if (!out->new_key) {
                unregister(call, me);
        } else {
                if ((!me || !me->key) && hf_pr_nexus_count(state, 0) >= HF_PR_NEXUSES_MAX)
                        return refuse(call, HF_ASC_INSUFFICIENT_REGISTRATION);
                if (!me && hf_pr_nexus_need(state, call->nexus, &me) < 0)
                        return -ENOMEM;
                me->key = out->new_key;
                me->all_tg_pt = out->all_tg_pt;
        }
        state->aptpl = out->aptpl;
        state->generation++;
        return 1;
}

static int do_register(const struct call *call, struct hf_pr_nexus_state *me)
{
        if (call->out->key != (me ? me->key : 0))
                return conflict(call);
        return take_key(call, me);
}

static int do_reserve(const struct call *call, struct hf_pr_nexus_state *me)
{
        struct hf_pr_state *state = call->state;

        if (state->type == HF_PR_NONE) {
                hold(state, me, call->out->type);
                return 1;
        }
        if (!hf_pr_nexus_holds(state, me) || state->type != call->out->type)
                return conflict(call);
        return 0;
}

static int do_release(const struct call *call, struct hf_pr_nexus_state *me)
{
        struct hf_pr_state *state = call->state;
        uint8_t type = state->type;

        if (!hf_pr_nexus_holds(state, me))
                return 0;
        if (type != call->out->type)
                return refuse(call, HF_ASC_INVALID_RELEASE);
        drop(state);
        if (hf_pr_type_for_registrants(type))
                hf_pr_nexus_tell_others(state, me, HF_ASC_RESERVATIONS_RELEASED, call->now);
        return 1;
}

static int do_clear(const struct call *call, struct hf_pr_nexus_state *me)
{
        struct hf_pr_state *state = call->state;

        hf_pr_nexus_tell_others(state, me, HF_ASC_RESERVATIONS_PREEMPTED, call->now);
        for (size_t i = 0; i < state->n; i++)
                state->nexuses[i].key = 0;
        drop(state);
        state->generation++;
        return 1;
}

static int preempt_reservation(const struct call *call, struct hf_pr_nexus_state *me)
{
        struct hf_pr_state *state = call->state;
        const struct hf_pr_out *out = call->out;

        if (!scope_and_type_fine(out))
                return refuse(call, HF_ASC_INVALID_FIELD_IN_CDB);
        for (size_t i = 0; i < state->n; i++) {
                struct hf_pr_nexus_state *one = &state->nexuses[i];

                if (one == me || !one->key)
                        continue;
                if (!out->new_key || one->key == out->new_key) {
                        one->key = 0;
                        hf_pr_nexus_tell(one, HF_ASC_REGISTRATIONS_PREEMPTED, call->now);
                } else if (state->type != out->type) {
                        hf_pr_nexus_tell(one, HF_ASC_RESERVATIONS_RELEASED, call->now);
                }
        }
        hold(state, me, out->type);
        state->generation++;
        return 1;
}

/* Scope and type are ignored here, says the standard: no reservation is made. */
static int remove_registrations(const struct call *call, struct hf_pr_nexus_state *me)
{
        struct hf_pr_state *state = call->state;
        uint64_t key = call->out->new_key;

        if (hf_pr_nexus_count(state, key) == 0)
                return conflict(call);
        for (size_t i = 0; i < state->n; i++) {
                struct hf_pr_nexus_state *one = &state->nexuses[i];

                if (one->key != key)
                        continue;
                one->key = 0;
                if (one != me)
                        hf_pr_nexus_tell(one, HF_ASC_REGISTRATIONS_PREEMPTED, call->now);
        }
        drop_if_deserted(state);
        state->generation++;
        return 1;
}

/* PREEMPT AND ABORT is the same: there are no tasks here that could be aborted. */
static int do_preempt(const struct call *call, struct hf_pr_nexus_state *me)
{
        const struct hf_pr_state *state = call->state;
        uint64_t victim = call->out->new_key;
        const struct hf_pr_nexus_state *holder;

        if (hf_pr_type_is_all(state->type))
                return victim ? remove_registrations(call, me) : preempt_reservation(call, me);
        if (!victim)
                return refuse(call, HF_ASC_INVALID_FIELD_IN_LIST);
        holder = state->type ? hf_pr_nexus_find(state, state->holder) : NULL;
        if (holder && holder->key == victim)
                return preempt_reservation(call, me);
        return remove_registrations(call, me);
}

/* REGISTER AND MOVE would name its target by a TransportID, and ours are made up: not there. */
static const struct action actions[] = {
        [HF_PR_REGISTER] = {do_register, .free_for_all = true},
        [HF_PR_RESERVE] = {do_reserve, .typed = true},
        [HF_PR_RELEASE] = {do_release, .typed = true},
        [HF_PR_CLEAR] = {do_clear},
        [HF_PR_PREEMPT] = {do_preempt},
        [HF_PR_PREEMPT_AND_ABORT] = {do_preempt},
        [HF_PR_REGISTER_AND_IGNORE] = {take_key, .free_for_all = true},
};

static int out(struct call *call, const uint8_t *cdb, const uint8_t *list)
{
        struct hf_pr_nexus_state *me = hf_pr_nexus_find(call->state, call->nexus);
        const struct action *action;
        unsigned int number = hf_pr_in_action(cdb);
        size_t n = hf_pr_length(cdb);
        struct hf_pr_out decoded;
        enum hf_pr_fault fault;
        bool ids;

        if (number >= HF_ARRAY_LEN(actions) || !actions[number].run)
                return refuse(call, HF_ASC_INVALID_FIELD_IN_CDB);
        action = &actions[number];
        fault = hf_pr_out_decode(cdb, list, n, &decoded);
        if (fault != HF_PR_FAULT_NONE)
                return refuse(call, fault);
        ids = decoded.spec_i_pt && action->free_for_all;
        if (!ids && n != HF_PR_LIST_SIZE)
                return refuse(call, HF_ASC_PARAMETER_LIST_LENGTH);
        if (ids) /* SIP_C is 0 */
                return refuse(call, HF_ASC_INVALID_FIELD_IN_LIST);
        if (action->typed && !scope_and_type_fine(&decoded))
                return refuse(call, HF_ASC_INVALID_FIELD_IN_CDB);
        if (!action->free_for_all && (!me || !me->key || me->key != decoded.key))
                return conflict(call);
        call->out = &decoded;
        return action->run(call, me);
}

int hf_pr_model(struct hf_pr_state *state, const char *nexus, uint64_t now, const uint8_t *cdb,
                uint8_t *data, struct hf_scsi_result *result)
{
        struct call call = {.state = state, .nexus = nexus, .now = now, .result = result};
        struct hf_pr_nexus_state *me = hf_pr_nexus_find(state, nexus);
        uint16_t message = hf_pr_nexus_message(me, now);
        int changed = 0;

        if (strlen(nexus) >= HF_PR_NEXUS_MAX)
                return -ENAMETOOLONG;
        hf_scsi_status(result, HF_SCSI_GOOD);
        if (message) {
                me->attention = 0;
                hf_scsi_refuse(result, HF_SENSE_UNIT_ATTENTION, message);
                changed = 1;
        } else if (cdb[0] == HF_PR_OUT) {
                changed = out(&call, cdb, data);
        } else if (cdb[0] == HF_PR_IN) {
                hf_pr_state_data(state, cdb, data, result);
        } else {
                (void)refuse(&call, HF_ASC_INVALID_OPCODE);
        }
        if (changed > 0)
                hf_pr_nexus_sweep(state, now);
        return changed;
}
