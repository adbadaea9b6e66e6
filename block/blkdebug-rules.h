/* SPDX-License-Identifier: MIT */
/*
 * The rules of a blkdebug node: which requests fail, wait, or move the node
 * from one state to another.
 */
#ifndef BLOCK_BLKDEBUG_RULES_H
#define BLOCK_BLKDEBUG_RULES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/options.h"

/* Kinds of requests: the option iotype, and events of the same names. */
#define RULE_READ 0x01u
#define RULE_WRITE 0x02u
#define RULE_WRITE_ZEROES 0x04u
#define RULE_DISCARD 0x08u
#define RULE_FLUSH 0x10u
#define RULE_BLOCK_STATUS 0x20u
#define RULE_COPY_RANGE 0x40u
#define RULE_TRUNCATE 0x80u

/* For requests without a range: rules with a range do not apply to them. */
#define RULE_NO_RANGE (-1)

typedef struct RuleSet RuleSet;

/*
 * Take the lists inject-error, inject-delay and set-state out of options.
 * NULL and *errp for what is malformed.
 */
RuleSet *rules_parse(Options *options, GError **errp);
void rules_free(RuleSet *rules);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RuleSet, rules_free)

/*
 * A request of these kinds is about to run: wait as the rules say, and give 0
 * or the negative errno with which it must fail. Any thread may call.
 */
int rules_request(RuleSet *rules, unsigned kinds, int64_t offset,
                  int64_t bytes) G_GNUC_WARN_UNUSED_RESULT;

/* A driver reached a named point. Any thread may call. */
void rules_event(RuleSet *rules, const char *event);

#endif
