/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HOLDFAST_PR_H
#define HOLDFAST_PR_H

/*
 * Persistent reservations: which initiators are known to a disk by their keys, and which of
 * them may write to it. Commands go through a helper that has the rights for them, as QEMU's do, or
 * straight to the device by SG_IO, which takes CAP_SYS_RAWIO.
 *
 *     struct holdfast_pr *pr;
 *     int disk = open("/dev/sdb", O_RDWR | O_CLOEXEC);
 *
 *     if (holdfast_pr_open(NULL, 0, &pr, &error) < 0 ||
 *         holdfast_pr_register(pr, disk, 0, 0x1234, 0, &error) < 0 ||
 *         holdfast_pr_reserve(pr, disk, 0x1234, HOLDFAST_PR_WRITE_EXCLUSIVE, &error) < 0)
 *             ...
 *
 * A helper takes changes only with a descriptor that is open for writing. What it answers is
 * checked: nothing that it sends can do more than make a call fail.
 *
 * The rules of holdfast.h hold here: negative errno and *err, outputs only on success, one object,
 * one thread at a time. Calls wait for the device; see holdfast_pr_set_timeout.
 */

#include <holdfast/holdfast.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Longest list and longest data of one command. */
#define HOLDFAST_PR_DATA_MAX  8192

#define HOLDFAST_PR_CDB_MAX   16
#define HOLDFAST_PR_SENSE_MAX 96

/* As SCSI numbers them. */
enum holdfast_pr_type {
        HOLDFAST_PR_NONE = 0, /* no reservation */
        HOLDFAST_PR_WRITE_EXCLUSIVE = 1,
        HOLDFAST_PR_EXCLUSIVE_ACCESS = 3,
        HOLDFAST_PR_WRITE_EXCLUSIVE_REGISTRANTS = 5,
        HOLDFAST_PR_EXCLUSIVE_ACCESS_REGISTRANTS = 6,
        HOLDFAST_PR_WRITE_EXCLUSIVE_ALL = 7,
        HOLDFAST_PR_EXCLUSIVE_ACCESS_ALL = 8
};

/* "write-exclusive-registrants"; "none" for 0, "unknown" for any other number. */
const char *holdfast_pr_type_name(unsigned int type);

/* ---- the way to a device ---------------------------------------------------------------- */

struct holdfast_pr;

/* Flag of holdfast_pr_open: commands are given by this process itself; socket is not used. */
#define HOLDFAST_PR_DIRECT 1u

/*
 * Connects to the helper at socket, an absolute path; NULL: the system's. HOLDFAST_E_NO_DAEMON when
 * nobody answers there. A connection that the helper has ended since is made again by the next
 * command.
 */
int holdfast_pr_open(const char *socket, unsigned int flags, struct holdfast_pr **ret,
                     struct holdfast_error *err);
void holdfast_pr_close(struct holdfast_pr *pr); /* NULL is fine */

/*
 * How long a helper may take for one command, in milliseconds; < 0: for ever. At first
 * one minute. After -ETIMEDOUT the command may still be carried out. Has no effect with
 * HOLDFAST_PR_DIRECT: the kernel waits as long as the device does.
 */
void holdfast_pr_set_timeout(struct holdfast_pr *pr, int timeout_ms);

/* ---- any command ------------------------------------------------------------------------ */

/* What the device answered. */
struct holdfast_pr_result {
        size_t size;         /* set by the caller: sizeof(struct holdfast_pr_result) */
        unsigned int status; /* of SCSI: 0 good, 0x02 check condition, 0x18 conflict, ... */
        size_t data_size;    /* of IN with status 0: bytes that came */
        unsigned char sense[HOLDFAST_PR_SENSE_MAX]; /* with status 0x02, else zero */
};

/*
 * PERSISTENT RESERVE IN (0x5e) or OUT (0x5f) as it is, on the device that fd is open on. data:
 * the parameter list, or room for the data; its size is at least the length in bytes 7 and 8 of the
 * command. Returns 0 whenever there is an answer, whatever it is; -EINVAL for any other
 * command; -ECONNRESET when the helper has gone meanwhile: the command may have been carried out.
 */
int holdfast_pr_command(struct holdfast_pr *pr, int fd, const void *cdb, size_t cdb_size,
                        void *data, size_t size, struct holdfast_pr_result *ret,
                        struct holdfast_error *err);

/*
 * All calls below give a command anew that met a unit attention, which is news of what others did
 * and not an answer. What a device answers becomes: -EBUSY (HOLDFAST_E_BUSY) for a reservation
 * conflict, -EAGAIN when it is busy, -EOPNOTSUPP (HOLDFAST_E_UNSUPPORTED) for a command that it
 * does not have, -EINVAL for one that it does not like, -EIO for all else, with the device's
 * reason in the text.
 */

/* ---- looking ---------------------------------------------------------------------------- */

struct holdfast_pr_keys {
        size_t size;
        uint32_t generation; /* counts changes of registrations */
        size_t n_all;        /* that there are; more than n where they do not fit one answer */
        size_t n;
        const uint64_t *keys; /* one for each registration, so some may be equal */
};

struct holdfast_pr_reservation {
        size_t size; /* set by the caller */
        uint32_t generation;
        unsigned int type; /* enum holdfast_pr_type; HOLDFAST_PR_NONE: there is none */
        uint64_t key;      /* of the holder; 0 where all registrants are */
};

struct holdfast_pr_capabilities {
        size_t size;                     /* set by the caller */
        unsigned int types;              /* bit N: type N; 0 where the device does not say */
        unsigned int persists;           /* can keep registrations over a loss of power */
        unsigned int persisting;         /* and does so now */
        unsigned int specify_initiators; /* can register others by their TransportIDs */
        unsigned int all_ports;          /* can register at all its ports at once */
        unsigned int compatible;         /* understands RESERVE and RELEASE of old as well */
        unsigned int replace_lost;       /* can replace a lost reservation */
};

struct holdfast_pr_registrant {
        size_t size;
        uint64_t key;
        unsigned int holder;
        unsigned int type; /* of a holder */
        unsigned int all_ports;
        unsigned int port;     /* relative target port, where not all_ports */
        const char *initiator; /* "iqn...,i,0x...", "sas 0x..." or "fc 0x..." */
};

struct holdfast_pr_registrant_list {
        size_t size;
        uint32_t generation;
        size_t n_all;
        size_t n;
        const struct holdfast_pr_registrant *const *registrants;
};

int holdfast_pr_read_keys(struct holdfast_pr *pr, int fd, struct holdfast_pr_keys **ret,
                          struct holdfast_error *err);
void holdfast_pr_keys_free(struct holdfast_pr_keys *keys);

int holdfast_pr_read_reservation(struct holdfast_pr *pr, int fd,
                                 struct holdfast_pr_reservation *ret, struct holdfast_error *err);
int holdfast_pr_read_capabilities(struct holdfast_pr *pr, int fd,
                                  struct holdfast_pr_capabilities *ret, struct holdfast_error *err);

/* READ FULL STATUS, which not every device or backend has. */
int holdfast_pr_read_registrants(struct holdfast_pr *pr, int fd,
                                 struct holdfast_pr_registrant_list **ret,
                                 struct holdfast_error *err);
void holdfast_pr_registrant_list_free(struct holdfast_pr_registrant_list *list);

/* ---- changing --------------------------------------------------------------------------- */

/* Flags of holdfast_pr_register; key is not looked at with the first. */
#define HOLDFAST_PR_IGNORE_KEY 1u /* replaces whatever is registered */
#define HOLDFAST_PR_PERSIST    2u /* APTPL: registrations outlive a loss of power from now on */
#define HOLDFAST_PR_ALL_PORTS  4u /* at all ports of the device */

/* Flag of holdfast_pr_preempt: the victim's commands are aborted as well. */
#define HOLDFAST_PR_ABORT 1u

/* key: what is registered now, 0: nothing. new_key 0: ends the registration. */
int holdfast_pr_register(struct holdfast_pr *pr, int fd, uint64_t key, uint64_t new_key,
                         unsigned int flags, struct holdfast_error *err);
int holdfast_pr_reserve(struct holdfast_pr *pr, int fd, uint64_t key, unsigned int type,
                        struct holdfast_error *err);
int holdfast_pr_release(struct holdfast_pr *pr, int fd, uint64_t key, unsigned int type,
                        struct holdfast_error *err);

/* Ends the reservation and all registrations. */
int holdfast_pr_clear(struct holdfast_pr *pr, int fd, uint64_t key, struct holdfast_error *err);

/* Ends all registrations with the victim's key; takes its reservation over, if it has it. */
int holdfast_pr_preempt(struct holdfast_pr *pr, int fd, uint64_t key, uint64_t victim,
                        unsigned int type, unsigned int flags, struct holdfast_error *err);

#ifdef __cplusplus
}
#endif

#endif
