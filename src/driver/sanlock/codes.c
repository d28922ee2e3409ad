/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/sanlock/codes.h"

#include "base/cleanup.h"
#include "driver/error.h"

#include <errno.h>
#include <sanlock.h>
#include <sanlock_rv.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/*
 * Codes of newer daemons than the header that we are built with: owners without timeout, leases
 * of another kind, a comparison on the disk that failed.
 */
#define NEWER_OWNER_NO_TIMEOUT (-249)
#define NEWER_LEASE_KIND       (-281)
#define NEWER_COMPARE          (-285)

#define BIT(call)              (1U << (call))
#define ANY                    (~0U)
#define ACQUIRE                BIT(HF_SANLOCK_ACQUIRE)
#define RELEASE                BIT(HF_SANLOCK_RELEASE)
#define JOIN                   BIT(HF_SANLOCK_JOIN)
#define LEAVE                  BIT(HF_SANLOCK_LEAVE)
#define FORMAT                 BIT(HF_SANLOCK_FORMAT)
#define READ                   BIT(HF_SANLOCK_READ)
#define HOSTS                  BIT(HF_SANLOCK_HOSTS)
/* Those that name a place on storage. */
#define PLACES (ACQUIRE | RELEASE | JOIN | FORMAT | READ)
/* Those that are about a registered process. */
#define PROCESSES                                                                                  \
        (ACQUIRE | RELEASE | BIT(HF_SANLOCK_REGISTER) | BIT(HF_SANLOCK_INQUIRE) |                  \
         BIT(HF_SANLOCK_SETUP))

struct row {
        unsigned int calls;
        int rv;
        struct hf_sanlock_code is;
};

#define CONTROL_LOST                                                                               \
        "that process is not under lock control: the sanlock daemon was restarted since it was "   \
        "started, or it was started without; stop it and start it again"
#define DAMAGED   "the data of the lease is damaged; find out who wrote there before it is made anew"
#define NO_DAEMON "the sanlock daemon does not answer; is it running?"

/* The first that fits counts: what is special to a call is above what holds for all. */
static const struct row rows[] = {
        /* The way to the daemon. */
        {ANY, -ECONNREFUSED, {ECONNREFUSED, HF_LOCK_E_NO_DAEMON, NO_DAEMON}},
        {ANY,
         -ECONNRESET,
         {ECONNRESET, HF_LOCK_E_NO_DAEMON, "the sanlock daemon went away in the middle of it"}},
        {ANY,
         -EPIPE,
         {EPIPE, HF_LOCK_E_NO_DAEMON, "the sanlock daemon went away in the middle of it"}},
        {ANY,
         -ETIMEDOUT,
         {ETIMEDOUT, HF_LOCK_E_TIMEOUT, "the sanlock daemon did not answer in time"}},
        {ANY,
         -EACCES,
         {EACCES, HF_LOCK_E_DENIED,
          "permission denied, to the socket of the sanlock daemon or, for the daemon, to the "
          "file"}},
        {ANY & ~(PLACES | LEAVE | HOSTS), -ENOENT, {ENOENT, HF_LOCK_E_NO_DAEMON, NO_DAEMON}},

        /* What the system says, which means something else from call to call. */
        {LEAVE | HOSTS,
         -ENOENT,
         {ENOENT, HF_LOCK_E_CONFIG, "this host has not joined that lockspace"}},
        {PLACES,
         -ENOENT,
         {ENOENT, HF_LOCK_E_CONFIG, "there is no such file, or no sanlock daemon is running"}},
        {JOIN,
         -ENODEV,
         {ENOENT, HF_LOCK_E_CONFIG,
          "there is no lockspace at that place; 'holdfast sanlock init' makes one"}},
        {PLACES, -ENODEV, {ENOENT, HF_LOCK_E_CONFIG, "there is no such file"}},
        {HOSTS, -ENOSPC, {ENOENT, HF_LOCK_E_CONFIG, "this host has not joined that lockspace"}},
        {HOSTS,
         -EAGAIN,
         {EAGAIN, HF_LOCK_E_TIMEOUT,
          "this host has joined a moment ago and knows the others soon"}},
        {FORMAT, -ENOSPC, {ENOSPC, HF_LOCK_E_SYSTEM, "there is no room for it"}},
        {ACQUIRE | RELEASE | READ | JOIN,
         -ENOSPC,
         {ENOLCK, HF_LOCK_E_CONFIG,
          "this host has not joined the lockspace, or is losing it; see 'holdfast sanlock "
          "status', then 'holdfast sanlock join'"}},
        {RELEASE, -EPERM, {ENOLCK, HF_LOCK_E_INVALID, "that process does not hold it"}},
        {ANY, -EPERM, {EPERM, HF_LOCK_E_DENIED, "not permitted"}},
        {PROCESSES, -ESRCH, {ESRCH, HF_LOCK_E_INVALID, CONTROL_LOST}},
        {ACQUIRE, -EEXIST, {EBUSY, HF_LOCK_E_BUSY, "it is held by another process of this host"}},
        {JOIN, -EEXIST, {EEXIST, HF_LOCK_E_INVALID, "this host has joined it already"}},
        {ACQUIRE,
         -EAGAIN,
         {EBUSY, HF_LOCK_E_BUSY,
          "it is busy: shared by others, or still being given back; try again shortly"}},
        {JOIN,
         -EAGAIN,
         {EAGAIN, HF_LOCK_E_TIMEOUT, "this host is still leaving it; try again shortly"}},
        {ANY, -EAGAIN, {EAGAIN, HF_LOCK_E_TIMEOUT, "it is busy; try again shortly"}},
        {ACQUIRE,
         -EBUSY,
         {EBUSY, HF_LOCK_E_BUSY, "another process of this host is just taking it; try again"}},
        {LEAVE,
         -EBUSY,
         {EBUSY, HF_LOCK_E_BUSY, "processes of this host hold leases in it; end them first"}},
        {ANY, -EBUSY, {EBUSY, HF_LOCK_E_BUSY, "it is in use"}},
        {JOIN | LEAVE,
         -EINPROGRESS,
         {EINPROGRESS, HF_LOCK_E_TIMEOUT, "this host is just joining or leaving it"}},
        {ANY,
         -EINPROGRESS,
         {EINPROGRESS, HF_LOCK_E_TIMEOUT,
          "this host is just joining or leaving the lockspace; try again shortly"}},
        {JOIN,
         -EINVAL,
         {EINVAL, HF_LOCK_E_CONFIG,
          "the daemon does not take it: it is joined by another host id or another path, or the "
          "host id is out of range"}},
        {ANY,
         -EINVAL,
         {EINVAL, HF_LOCK_E_CONFIG, "the daemon does not take its name, path or offset"}},
        {ANY, -ERANGE, {EINVAL, HF_LOCK_E_CONFIG, "nothing was named"}},
        {ANY,
         -EMSGSIZE,
         {EIO, HF_LOCK_E_CONFIG,
          "the place of the lease is too short, or its offset is no multiple of what a lease "
          "takes"}},
        {PROCESSES, -ESTALE, {ESRCH, HF_LOCK_E_INVALID, "that process has ended meanwhile"}},
        {PROCESSES, -ENOTTY, {ESRCH, HF_LOCK_E_INVALID, "that process has ended meanwhile"}},
        {ANY,
         -EUCLEAN,
         {EBUSY, HF_LOCK_E_BUSY,
          "this host still holds it for a process that is gone; give that back with 'sanlock "
          "client release', or join anew"}},
        {ANY,
         -ENAMETOOLONG,
         {ENAMETOOLONG, HF_LOCK_E_CONFIG, "a name or path is longer than sanlock takes"}},
        {ANY,
         -ELIBSCN,
         {EINVAL, HF_LOCK_E_CONFIG,
          "sanlock cannot write down what is held: a path has a blank in it"}},
        {ANY, -ENOMEM, {ENOMEM, HF_LOCK_E_SYSTEM, "out of memory"}},
        {ANY, -EIO, {EIO, HF_LOCK_E_SYSTEM, "storage error"}},
        {ANY, -EROFS, {EROFS, HF_LOCK_E_SYSTEM, "the storage is read-only"}},

        /* The daemon's work in general. */
        {ANY, SANLK_ERROR, {EIO, HF_LOCK_E_INTERNAL, "an error within the sanlock daemon"}},
        {ANY,
         SANLK_AIO_TIMEOUT,
         {ETIMEDOUT, HF_LOCK_E_TIMEOUT,
          "storage did not answer within its I/O timeout; try again when it is faster"}},
        {ANY,
         SANLK_WD_ERROR,
         {ENODEV, HF_LOCK_E_CONFIG,
          "the watchdog daemon (wdmd) cannot be reached, and without it no lockspace is "
          "joined"}},

        /* Reading and writing what is on storage. */
        {ANY, SANLK_DBLOCK_READ, {EIO, HF_LOCK_E_SYSTEM, "storage error: cannot be read"}},
        {ANY, SANLK_DBLOCK_WRITE, {EIO, HF_LOCK_E_SYSTEM, "storage error: cannot be written"}},
        {ANY, SANLK_DBLOCK_LVER, {EBUSY, HF_LOCK_E_BUSY, "another host was faster"}},
        {ANY, SANLK_DBLOCK_MBAL, {EBUSY, HF_LOCK_E_BUSY, "another host was faster"}},
        {ANY, SANLK_DBLOCK_CHECKSUM, {EUCLEAN, HF_LOCK_E_SYSTEM, DAMAGED}},
        {ANY, SANLK_LEADER_READ, {EIO, HF_LOCK_E_SYSTEM, "storage error: cannot be read"}},
        {ANY, SANLK_LEADER_WRITE, {EIO, HF_LOCK_E_SYSTEM, "storage error: cannot be written"}},
        {ANY,
         SANLK_LEADER_DIFF,
         {EUCLEAN, HF_LOCK_E_SYSTEM, "the disks of the lease do not say the same"}},
        {JOIN,
         SANLK_LEADER_MAGIC,
         {ENOMEDIUM, HF_LOCK_E_CONFIG,
          "there is no lockspace at that place; 'holdfast sanlock init' makes one"}},
        {ANY, SANLK_LEADER_MAGIC, {ENOMEDIUM, HF_LOCK_E_CONFIG, "there is no lease at that place"}},
        {ANY,
         SANLK_LEADER_VERSION,
         {EPROTONOSUPPORT, HF_LOCK_E_UNSUPPORTED,
          "it was made by a sanlock of another version, or is damaged"}},
        {ANY, SANLK_LEADER_SECTORSIZE, {EUCLEAN, HF_LOCK_E_SYSTEM, DAMAGED}},
        {ANY,
         SANLK_LEADER_LOCKSPACE,
         {EINVAL, HF_LOCK_E_CONFIG, "what lies there belongs to another lockspace"}},
        {ANY,
         SANLK_LEADER_RESOURCE,
         {EINVAL, HF_LOCK_E_CONFIG,
          "the lease that lies there has another name, or was left by a 'holdfast sanlock cleanup' "
          "that was killed: run that again"}},
        {ANY, SANLK_LEADER_NUMHOSTS, {EUCLEAN, HF_LOCK_E_SYSTEM, DAMAGED}},
        {ANY, SANLK_LEADER_CHECKSUM, {EUCLEAN, HF_LOCK_E_SYSTEM, DAMAGED}},
        {ANY,
         SANLK_ADDLS_SIZES,
         {EINVAL, HF_LOCK_E_CONFIG, "its sizes of sectors and of leases do not go together"}},
        {ANY,
         SANLK_ADDLS_INVALID_HOSTID,
         {EINVAL, HF_LOCK_E_CONFIG,
          "this host's number (host_id) is greater than the lockspace has room for"}},

        /* Who has it. */
        {ANY,
         SANLK_ACQUIRE_LVER,
         {ESTALE, HF_LOCK_E_STALE,
          "it was used elsewhere since: what it protects may have changed"}},
        {ANY,
         SANLK_ACQUIRE_LOCKSPACE,
         {EIO, HF_LOCK_E_SYSTEM, "the lockspace of the host that holds it is not known here"}},
        {ANY,
         SANLK_ACQUIRE_IDDISK,
         {EIO, HF_LOCK_E_SYSTEM, "the lockspace of the host that holds it cannot be read"}},
        {ANY, SANLK_ACQUIRE_IDLIVE, {EBUSY, HF_LOCK_E_BUSY, "it is held by another host"}},
        {ANY, SANLK_ACQUIRE_OWNED, {EBUSY, HF_LOCK_E_BUSY, "another host was faster"}},
        {ANY, SANLK_ACQUIRE_OTHER, {EBUSY, HF_LOCK_E_BUSY, "another host was faster"}},
        {ANY,
         SANLK_ACQUIRE_SHRETRY,
         {EBUSY, HF_LOCK_E_BUSY, "several hosts want to share it at this moment; try again"}},
        {ANY,
         SANLK_ACQUIRE_OWNED_RETRY,
         {EBUSY, HF_LOCK_E_BUSY,
          "it is held by a host that gives no sign of life; it can be had when that host has "
          "certainly been reset"}},
        {ANY,
         NEWER_OWNER_NO_TIMEOUT,
         {EBUSY, HF_LOCK_E_BUSY,
          "it is held by a host that gives no sign of life, in a lockspace without timeouts: "
          "somebody has to fence that host"}},
        {ANY,
         SANLK_RELEASE_LVER,
         {ESTALE, HF_LOCK_E_STALE, "it had been taken over by others already"}},
        {ANY,
         SANLK_RELEASE_OWNER,
         {ESTALE, HF_LOCK_E_STALE, "it had been taken over by others already"}},
        {ANY,
         SANLK_RENEW_OWNER,
         {EUCLEAN, HF_LOCK_E_CONFIG,
          "another host writes to the lease of this one: two hosts have one number (host_id)"}},
        {ANY,
         SANLK_RENEW_DIFF,
         {EUCLEAN, HF_LOCK_E_CONFIG,
          "another host writes to the lease of this one: two hosts have one number (host_id)"}},
        {ANY,
         SANLK_HOSTID_BUSY,
         {EADDRINUSE, HF_LOCK_E_CONFIG,
          "another host that is alive uses this host's number (host_id)"}},

        /* Requests to give way. */
        {ANY, SANLK_REQUEST_MAGIC, {EUCLEAN, HF_LOCK_E_SYSTEM, DAMAGED}},
        {ANY, SANLK_REQUEST_VERSION, {EUCLEAN, HF_LOCK_E_SYSTEM, DAMAGED}},
        {ANY, SANLK_REQUEST_OLD, {ESTALE, HF_LOCK_E_STALE, "the request is out of date"}},
        {ANY, SANLK_REQUEST_LVER, {ESTALE, HF_LOCK_E_STALE, "the request is out of date"}},

        {ANY,
         NEWER_LEASE_KIND,
         {EOPNOTSUPP, HF_LOCK_E_UNSUPPORTED, "it is a lease of another kind than the lockspace"}},
        {ANY, NEWER_COMPARE, {EBUSY, HF_LOCK_E_BUSY, "another host was faster"}},
};

static const struct hf_sanlock_code unknown = {EIO, HF_LOCK_E_SYSTEM,
                                               "an error that is not known here"};

const struct hf_sanlock_code *hf_sanlock_code(enum hf_sanlock_call call, int rv)
{
        for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++)
                if (rows[i].rv == rv && (rows[i].calls & BIT(call)))
                        return &rows[i].is;
        return &unknown;
}

int hf_sanlock_fail(struct hf_lock_error *err, enum hf_sanlock_call call, int rv,
                    const char *format, ...)
{
        const struct hf_sanlock_code *code = hf_sanlock_code(call, rv);
        const char *text = code->text;
        /* Room for the words of the table behind it. */
        char what[HF_LOCK_ERROR_TEXT_MAX - 256];
        va_list args;

        /* Of its own codes are those below; what is above is the system's. */
        if (code == &unknown && rv < 0 && rv > SANLK_ERROR)
                text = strerror(-rv);
        va_start(args, format);
        (void)vsnprintf(what, sizeof(what), format, args);
        va_end(args);
        return hf_driver_refuse(err, code->number, code->code, "%s: %s (sanlock: %d)", what, text,
                                rv);
}
