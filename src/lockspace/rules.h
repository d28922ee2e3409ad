/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The rules: may this owner have that resource?
 *
 * One holder, or any number of shared ones. The thing decides, not its name:
 * a request conflicts with every lock on the same lock file, on the same
 * protected thing, or by the same name; also where the lock file of one is the
 * protected thing of the other. What an owner holds of a resource is a
 * set of names: a name it has already changes nothing, another name of what it
 * has is added to the lock, in the mode the lock has. There is no upgrade and
 * no downgrade.
 *
 * A request is judged twice: by name before anything is opened, and by what was
 * found behind the name after that. A name alone only refuses: the file of that
 * name may have been replaced since it was locked, and then it is another thing.
 */

#include "lockspace/table.h"

#include <stdbool.h>

struct hf_request {
        uint32_t owner;
        uint32_t lockspace;
        const char *name;
        bool shared;
        struct hf_thing file;  /* none until it was opened */
        struct hf_thing thing; /* none where not known */
};

enum hf_verdict_kind {
        HF_VERDICT_FREE,     /* nothing known stands against it: take a lock */
        HF_VERDICT_HAVE,     /* the owner has `lock` by this name already, as `hold` */
        HF_VERDICT_JOIN,     /* add a hold to `lock`, which exists */
        HF_VERDICT_CONFLICT, /* `hold` stands against it (possibly the owner's own) */
};

struct hf_verdict {
        enum hf_verdict_kind kind;
        uint32_t lock;
        uint32_t hold;
};

/* By the name alone: FREE or CONFLICT. */
struct hf_verdict hf_rules_by_name(struct hf_table *table, const struct hf_request *request);

/*
 * By file and thing (request->file is set), after by_name said FREE. Who has or
 * joins a lock whose thing is not known notes hf_rules_thing there.
 */
struct hf_verdict hf_rules_by_thing(struct hf_table *table, const struct hf_request *request);

/*
 * What a metadata lock is on: whatever the file is, and the same to whom it is known by another
 * name. Nothing of the rules above leads there.
 */
struct hf_thing hf_rules_metadata_key(uint64_t dev, uint64_t ino);

/*
 * Who has the metadata of a thing, of any kind: a hold, or 0. Always alone: it stands against
 * everybody, its owner too.
 */
uint32_t hf_rules_metadata(struct hf_table *table, const struct hf_thing *thing);

/* What a request protects: in the default lockspace the file itself. Kind none: not known. */
const struct hf_thing *hf_rules_thing(const struct hf_request *request);

/* A hold of owner by that name, or 0. */
uint32_t hf_rules_hold_of(struct hf_table *table, uint32_t owner, uint32_t lockspace,
                          const char *name);

/*
 * Whether name may be used in a directory lockspace: not empty, no "/", not "."
 * or "..". Returns 0 or -EINVAL.
 */
int hf_rules_check_name(const char *name);

/*
 * The file of a resource, to be freed: name itself in the default lockspace (""),
 * else the file of that name in the lockspace's directory. NULL without memory.
 */
char *hf_rules_path(const char *lockspace, const char *name);

/* Room for the path of any resource. */
#define HF_RULES_PATH_MAX (2 * HF_TABLE_STRING_MAX + 2)

/* The same without memory of its own: in buf, or name itself. */
const char *hf_rules_put_path(const char *lockspace, const char *name,
                              char buf[static HF_RULES_PATH_MAX]);
