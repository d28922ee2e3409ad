/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * holdfast pr: persistent reservations of a disk, as a VM with a helper sees and changes them.
 */

#include "cli/pr.h"

#include "cli/message.h"
#include "cli/print.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

int hf_pr_failed(const struct hf_pr_device *device, const struct holdfast_error *err)
{
        hf_message("%s: %s", device->path, err->text);
        return hf_message_status(err);
}

const char *hf_pr_key_text(uint64_t key, char ret[static HF_PR_KEY_TEXT])
{
        (void)snprintf(ret, HF_PR_KEY_TEXT, "0x%" PRIx64, key);
        return ret;
}

/* Not as a number: programs would round it. */
struct json_object *hf_pr_key_json(uint64_t key)
{
        char text[HF_PR_KEY_TEXT];

        return json_object_new_string(hf_pr_key_text(key, text));
}

struct json_object *hf_pr_reservation_json(const struct holdfast_pr_reservation *reservation)
{
        struct json_object *object;

        if (reservation->type == HOLDFAST_PR_NONE)
                return NULL;
        object = json_object_new_object();
        hf_print_put(object, "type",
                     json_object_new_string(holdfast_pr_type_name(reservation->type)));
        hf_print_put(object, "key", reservation->key ? hf_pr_key_json(reservation->key) : NULL);
        return object;
}

/* A FIFO or a modem shall not stop us. */
static int open_device(struct hf_pr_device *device, bool writable)
{
        device->fd = open(device->path,
                          (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (device->fd >= 0)
                return HF_EXIT_OK;
        hf_message("cannot open %s%s: %s", device->path, writable ? " for writing" : "",
                   strerror(errno));
        return errno == EACCES || errno == EPERM || errno == EROFS ? HF_EXIT_DENIED
                                                                   : HF_EXIT_NO_IMAGE;
}

static int open_way(const struct hf_pr_given *given, struct hf_pr_device *device)
{
        hf_cleanup_free char *socket = NULL;
        struct holdfast_error error = {0};
        char here[PATH_MAX];

        if (given->socket && *given->socket != '/') {
                if (!getcwd(here, sizeof(here)) ||
                    asprintf(&socket, "%s/%s", here, given->socket) < 0) {
                        socket = NULL;
                        hf_message("cannot find the current directory");
                        return HF_EXIT_SYSTEM;
                }
        }
        if (holdfast_pr_open(socket ? socket : given->socket,
                             given->direct ? HOLDFAST_PR_DIRECT : 0, &device->pr, &error) >= 0)
                return HF_EXIT_OK;
        hf_message("%s", error.text);
        return hf_message_status(&error);
}

int hf_pr_read(const struct hf_options *options, int argc, char **argv, struct hf_pr_given *given,
               struct hf_pr_device *device, int *ret_status)
{
        int first;

        if (hf_verb_options(options, argc, argv, given, &given->standard, &first, ret_status) < 0)
                return -ECANCELED;
        *ret_status = HF_EXIT_USAGE;
        if (argc - first != 1) {
                hf_message("name one device; see '%s --help'", options->program);
                return -EINVAL;
        }
        if (given->direct && given->socket) {
                hf_message("--direct and --socket exclude each other");
                return -EINVAL;
        }
        device->path = argv[first];
        device->json = given->json;
        return 0;
}

int hf_pr_open(const struct hf_pr_given *given, bool writable, struct hf_pr_device *device,
               int *ret_status)
{
        *ret_status = open_device(device, writable);
        if (*ret_status == HF_EXIT_OK)
                *ret_status = open_way(given, device);
        return *ret_status == HF_EXIT_OK ? 0 : -EIO;
}

int hf_pr_begin(const struct hf_options *options, int argc, char **argv, struct hf_pr_given *given,
                struct hf_pr_device *device, int *ret_status)
{
        int r = hf_pr_read(options, argc, argv, given, device, ret_status);

        return r < 0 ? r : hf_pr_open(given, false, device, ret_status);
}

void hf_pr_end(struct hf_pr_device *device)
{
        holdfast_pr_close(device->pr);
        device->pr = NULL;
        hf_close_fd(&device->fd);
}

static const struct hf_verb verbs[] = {
        {"keys", "list the keys that are registered", hf_pr_verb_keys},
        {"status", "tell who is registered and who has the disk reserved", hf_pr_verb_status},
        {"capabilities", "tell which reservations the device can have", hf_pr_verb_capabilities},
        {"register", "register a key, change it, or end its registration", hf_pr_verb_register},
        {"reserve", "reserve the disk", hf_pr_verb_reserve},
        {"release", "end the reservation", hf_pr_verb_release},
        {"clear", "end the reservation and all registrations", hf_pr_verb_clear},
        {"preempt", "end another's registration, and take its reservation over",
         hf_pr_verb_preempt},
};

int hf_verb_pr(int argc, char **argv)
{
        const struct hf_verbs program = {
                .program = "holdfast pr",
                .summary = "Persistent reservations of a disk, through a helper as VMs use it.",
                .verbs = verbs,
                .n = HF_ARRAY_LEN(verbs),
        };

        return hf_verbs_main(&program, argc, argv);
}
