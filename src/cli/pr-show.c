/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* holdfast pr keys, status, capabilities: what the device says, unchanged by the asking. */

#include "cli/message.h"
#include "cli/pr.h"
#include "cli/print.h"

#include "base/cleanup.h"

#include <errno.h>

static const struct hf_option show_table[] = {HF_PR_OPTIONS};

static const struct hf_options keys_options = {
        .program = "holdfast pr keys",
        .usage = "[OPTION]... DEVICE",
        .summary = "Lists the keys that are registered, one for each registration.",
        .table = show_table,
        .n = HF_ARRAY_LEN(show_table),
};

static const struct hf_options status_options = {
        .program = "holdfast pr status",
        .usage = "[OPTION]... DEVICE",
        .summary = "Tells who is registered, and who has the disk reserved and how.",
        .table = show_table,
        .n = HF_ARRAY_LEN(show_table),
};

static const struct hf_options capabilities_options = {
        .program = "holdfast pr capabilities",
        .usage = "[OPTION]... DEVICE",
        .summary = "Tells which reservations the device can have.",
        .table = show_table,
        .n = HF_ARRAY_LEN(show_table),
};

static struct json_object *document_of(const char *schema, const struct hf_pr_device *device)
{
        struct json_object *document = hf_print_document(schema);

        hf_print_put(document, "device", hf_print_string(device->path));
        return document;
}

static int print_end(struct json_object *document, bool json)
{
        if (json)
                hf_print_json(document);
        (void)json_object_put(document);
        return hf_print_end(HF_EXIT_OK);
}

/* ---- keys ------------------------------------------------------------------------------- */

static struct json_object *keys_array(const struct holdfast_pr_keys *keys)
{
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < keys->n; i++)
                (void)json_object_array_add(array, hf_pr_key_json(keys->keys[i]));
        return array;
}

static void print_keys(const struct holdfast_pr_keys *keys)
{
        char text[HF_PR_KEY_TEXT];

        for (size_t i = 0; i < keys->n; i++)
                hf_print_line("%s", hf_pr_key_text(keys->keys[i], text));
        if (keys->n < keys->n_all)
                hf_message("%zu more do not fit the answer", keys->n_all - keys->n);
}

int hf_pr_verb_keys(int argc, char **argv)
{
        hf_cleanup_pr_device struct hf_pr_device device = HF_PR_DEVICE_INIT;
        struct hf_pr_given given = {0};
        struct holdfast_pr_keys *keys;
        struct holdfast_error error = {0};
        struct json_object *document;
        int status;

        if (hf_pr_begin(&keys_options, argc, argv, &given, &device, &status) < 0)
                return status;
        if (holdfast_pr_read_keys(device.pr, device.fd, &keys, &error) < 0)
                return hf_pr_failed(&device, &error);
        document = document_of("holdfast.pr.keys", &device);
        hf_print_put(document, "generation", json_object_new_int64(keys->generation));
        hf_print_put(document, "count", json_object_new_int64((int64_t)keys->n_all));
        hf_print_put(document, "keys", keys_array(keys));
        if (!given.json)
                print_keys(keys);
        holdfast_pr_keys_free(keys);
        return print_end(document, given.json);
}

/* ---- status ----------------------------------------------------------------------------- */

static struct json_object *registrant_json(const struct holdfast_pr_registrant *registrant)
{
        struct json_object *object = json_object_new_object();

        hf_print_put(object, "key", hf_pr_key_json(registrant->key));
        hf_print_put(object, "holder", json_object_new_boolean(registrant->holder != 0));
        hf_print_put(object, "initiator", hf_print_string(registrant->initiator));
        hf_print_put(object, "port",
                     registrant->all_ports ? NULL : json_object_new_int((int)registrant->port));
        return object;
}

/* Devices without READ FULL STATUS have their keys at least. */
static int add_keys(struct json_object *array, const struct hf_pr_device *device,
                    struct holdfast_error *err)
{
        struct holdfast_pr_keys *keys;
        int r = holdfast_pr_read_keys(device->pr, device->fd, &keys, err);

        if (r < 0)
                return r;
        for (size_t i = 0; i < keys->n; i++) {
                struct json_object *object = json_object_new_object();

                hf_print_put(object, "key", hf_pr_key_json(keys->keys[i]));
                hf_print_put(object, "holder", NULL);
                hf_print_put(object, "initiator", NULL);
                hf_print_put(object, "port", NULL);
                (void)json_object_array_add(array, object);
        }
        holdfast_pr_keys_free(keys);
        return 0;
}

static int add_registrants(struct json_object *array, const struct hf_pr_device *device,
                           struct holdfast_error *err)
{
        struct holdfast_pr_registrant_list *list;
        int r = holdfast_pr_read_registrants(device->pr, device->fd, &list, err);

        /* A device may lack the action, or answer something else in its place. */
        if (r == -EINVAL || r == -EOPNOTSUPP || r == -EBADMSG)
                return add_keys(array, device, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < list->n; i++)
                (void)json_object_array_add(array, registrant_json(list->registrants[i]));
        holdfast_pr_registrant_list_free(list);
        return 0;
}

static void print_status(const struct hf_pr_device *device,
                         const struct holdfast_pr_reservation *reservation,
                         struct json_object *registrants)
{
        static const struct hf_print_column columns[] = {
                {"KEY", "key"}, {"HOLDER", "holder"}, {"INITIATOR", "initiator"}, {"PORT", "port"}};
        char key[HF_PR_KEY_TEXT];

        if (reservation->type == HOLDFAST_PR_NONE)
                hf_print_line("%s is not reserved.", device->path);
        else if (!reservation->key)
                hf_print_line("%s is reserved, %s, by all registrants.", device->path,
                              holdfast_pr_type_name(reservation->type));
        else
                hf_print_line("%s is reserved, %s, by key %s.", device->path,
                              holdfast_pr_type_name(reservation->type),
                              hf_pr_key_text(reservation->key, key));
        if (json_object_array_length(registrants) == 0)
                hf_print_line("Nobody is registered.");
        else
                hf_print_table(registrants, columns, HF_ARRAY_LEN(columns), NULL);
}

int hf_pr_verb_status(int argc, char **argv)
{
        hf_cleanup_pr_device struct hf_pr_device device = HF_PR_DEVICE_INIT;
        struct holdfast_pr_reservation reservation = {.size = sizeof(reservation)};
        struct hf_pr_given given = {0};
        struct holdfast_error error = {0};
        struct json_object *document, *registrants;
        int status;

        if (hf_pr_begin(&status_options, argc, argv, &given, &device, &status) < 0)
                return status;
        if (holdfast_pr_read_reservation(device.pr, device.fd, &reservation, &error) < 0)
                return hf_pr_failed(&device, &error);
        document = document_of("holdfast.pr.status", &device);
        registrants = json_object_new_array();
        hf_print_put(document, "generation", json_object_new_int64(reservation.generation));
        hf_print_put(document, "reservation", hf_pr_reservation_json(&reservation));
        hf_print_put(document, "registrants", registrants);
        if (add_registrants(registrants, &device, &error) < 0) {
                (void)json_object_put(document);
                return hf_pr_failed(&device, &error);
        }
        if (!given.json)
                print_status(&device, &reservation, registrants);
        return print_end(document, given.json);
}

/* ---- capabilities ----------------------------------------------------------------------- */

static struct json_object *types_array(unsigned int types)
{
        struct json_object *array = json_object_new_array();

        for (unsigned int type = 1; type <= HOLDFAST_PR_EXCLUSIVE_ACCESS_ALL; type++)
                if (types & (1u << type))
                        (void)json_object_array_add(
                                array, json_object_new_string(holdfast_pr_type_name(type)));
        return array;
}

static void print_capabilities(const struct holdfast_pr_capabilities *found)
{
        const struct {
                unsigned int set;
                const char *text;
        } rows[] = {
                {found->persists, "can keep registrations over a loss of power (--aptpl)"},
                {found->persisting, "keeps them now"},
                {found->all_ports, "can register at all its ports at once (--all-ports)"},
                {found->specify_initiators, "can register other initiators"},
                {found->compatible, "understands RESERVE and RELEASE of old"},
                {found->replace_lost, "can replace a lost reservation"},
        };

        for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++)
                if (rows[i].set)
                        hf_print_line("%s", rows[i].text);
        if (!found->types)
                hf_print_line("does not say which types it has");
        for (unsigned int type = 1; type <= HOLDFAST_PR_EXCLUSIVE_ACCESS_ALL; type++)
                if (found->types & (1u << type))
                        hf_print_line("type %s", holdfast_pr_type_name(type));
}

int hf_pr_verb_capabilities(int argc, char **argv)
{
        hf_cleanup_pr_device struct hf_pr_device device = HF_PR_DEVICE_INIT;
        struct holdfast_pr_capabilities found = {.size = sizeof(found)};
        struct hf_pr_given given = {0};
        struct holdfast_error error = {0};
        struct json_object *document;
        int status;

        if (hf_pr_begin(&capabilities_options, argc, argv, &given, &device, &status) < 0)
                return status;
        if (holdfast_pr_read_capabilities(device.pr, device.fd, &found, &error) < 0)
                return hf_pr_failed(&device, &error);
        document = document_of("holdfast.pr.capabilities", &device);
        hf_print_put(document, "types", found.types ? types_array(found.types) : NULL);
        hf_print_put(document, "aptpl", json_object_new_boolean(found.persists != 0));
        hf_print_put(document, "aptpl_active", json_object_new_boolean(found.persisting != 0));
        hf_print_put(document, "all_ports", json_object_new_boolean(found.all_ports != 0));
        hf_print_put(document, "specify_initiators",
                     json_object_new_boolean(found.specify_initiators != 0));
        hf_print_put(document, "compatible", json_object_new_boolean(found.compatible != 0));
        hf_print_put(document, "replace_lost", json_object_new_boolean(found.replace_lost != 0));
        if (!given.json)
                print_capabilities(&found);
        return print_end(document, given.json);
}
