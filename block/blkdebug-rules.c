/* SPDX-License-Identifier: MIT */
/*
 * Rules of blkdebug.
 *
 * The node is in a numbered state, 1 at first. A rule with an event is armed
 * when the event happens while the node is in the rule's state; one without
 * is armed from the start. An armed rule applies to each request of its kinds
 * that touches its range, in its state, or to the first such alone (`once`).
 * A kind of request is an event too, which happens just before the request;
 * set-state rules act when all others have seen the event.
 *
 * `lock` guards the state and what rules remember; nobody waits under it.
 */
#include "block/blkdebug-rules.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "block/driver.h"

#define RULE_ALL 0xffu
#define SECTOR_SIZE 512
#define MAX_DELAY_MS 3600000

typedef enum RuleAction { RULE_ERROR, RULE_DELAY, RULE_SET_STATE } RuleAction;

typedef struct Rule {
    RuleAction action;
    char *event;          /* named event that arms it; NULL: none */
    unsigned event_kinds; /* or the kinds of requests that do; 0: none */
    unsigned kinds;       /* of requests it applies to; 0: to the event */
    unsigned state;       /* 0: any */
    int64_t start, end;   /* touches this range; end 0: everything */
    bool once;
    int error;          /* RULE_ERROR: errno */
    unsigned ms;        /* RULE_DELAY */
    unsigned new_state; /* RULE_SET_STATE */
    bool armed, spent;  /* lock */
} Rule;

struct RuleSet {
    pthread_mutex_t lock;
    unsigned state; /* lock */
    GArray *rules;  /* Rule */
};

/* ---- Options ---- */

/* In the order of the RULE_* bits. */
static const char *const kind_names[] = {
    "read",         "write",      "write-zeroes", "discard", "flush",
    "block-status", "copy-range", "truncate",     NULL
};

static const OptionDesc error_options[] = {
    { .name = "event", .type = OPTION_STRING },
    { .name = "state", .type = OPTION_NUMBER, .max = INT32_MAX },
    { .name = "iotype", .type = OPTION_ENUM, .values = kind_names },
    { .name = "errno", .type = OPTION_STRING, .def = "EIO" },
    { .name = "sector",
      .type = OPTION_NUMBER,
      .max = INT64_MAX / SECTOR_SIZE - 1 },
    { .name = "offset", .type = OPTION_SIZE, .max = INT64_MAX - 1 },
    { .name = "bytes", .type = OPTION_SIZE, .min = 1, .max = INT64_MAX },
    { .name = "once", .type = OPTION_BOOL, .def = "off" },
    /* QEMU's; requests here have no asynchronous part to skip. */
    { .name = "immediately", .type = OPTION_BOOL, .def = "off" },
    { .name = NULL },
};

static const OptionDesc delay_options[] = {
    { .name = "event", .type = OPTION_STRING },
    { .name = "state", .type = OPTION_NUMBER, .max = INT32_MAX },
    { .name = "iotype", .type = OPTION_ENUM, .values = kind_names },
    { .name = "sector",
      .type = OPTION_NUMBER,
      .max = INT64_MAX / SECTOR_SIZE - 1 },
    { .name = "offset", .type = OPTION_SIZE, .max = INT64_MAX - 1 },
    { .name = "bytes", .type = OPTION_SIZE, .min = 1, .max = INT64_MAX },
    { .name = "once", .type = OPTION_BOOL, .def = "off" },
    { .name = "ms", .type = OPTION_NUMBER, .max = MAX_DELAY_MS },
    { .name = NULL },
};

static const OptionDesc state_options[] = {
    { .name = "event", .type = OPTION_STRING },
    { .name = "state", .type = OPTION_NUMBER, .max = INT32_MAX },
    { .name = "new_state", .type = OPTION_NUMBER, .min = 1, .max = INT32_MAX },
    { .name = NULL },
};

/* The lists, by RuleAction. */
static const struct RuleList {
    const char *name;
    const OptionDesc *table;
} rule_lists[] = {
    [RULE_ERROR] = { "inject-error", error_options },
    [RULE_DELAY] = { "inject-delay", delay_options },
    [RULE_SET_STATE] = { "set-state", state_options },
};

static unsigned kind_of_event(const char *event)
{
    for (unsigned i = 0; kind_names[i] != NULL; i++) {
        if (strcmp(kind_names[i], event) == 0) {
            return 1u << i;
        }
    }
    return 0;
}

/* A positive errno from "EIO" or "5"; 0: neither. */
static int errno_parse(const char *text)
{
    static const struct {
        const char *name;
        int value;
    } names[] = {
        { "EPERM", EPERM },         { "ENOENT", ENOENT },
        { "EINTR", EINTR },         { "EIO", EIO },
        { "ENXIO", ENXIO },         { "EBADF", EBADF },
        { "EAGAIN", EAGAIN },       { "ENOMEM", ENOMEM },
        { "EACCES", EACCES },       { "EBUSY", EBUSY },
        { "ENODEV", ENODEV },       { "EINVAL", EINVAL },
        { "EFBIG", EFBIG },         { "ENOSPC", ENOSPC },
        { "EROFS", EROFS },         { "ENOSYS", ENOSYS },
        { "EOVERFLOW", EOVERFLOW }, { "EOPNOTSUPP", EOPNOTSUPP },
        { "ENOTSUP", ENOTSUP },     { "ETIMEDOUT", ETIMEDOUT },
        { "ESTALE", ESTALE },       { "EDQUOT", EDQUOT },
        { "ENOMEDIUM", ENOMEDIUM }, { "ECANCELED", ECANCELED },
        { "ESHUTDOWN", ESHUTDOWN }, { "EREMOTEIO", EREMOTEIO },
    };
    guint64 number;

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(names[i].name, text) == 0) {
            return names[i].value;
        }
    }
    return g_ascii_string_to_unsigned(text, 10, 1, 4095, &number, NULL)
               ? (int)number
               : 0;
}

static bool rule_parse_range(Rule *rule, const OptionValues *v,
                             const char *where, GError **errp)
{
    bool sector = option_values_given(v, "sector");
    bool offset = option_values_given(v, "offset");
    bool bytes = option_values_given(v, "bytes");
    int64_t length = bytes ? (int64_t)option_values_size(v, "bytes") : 1;

    if (sector && (offset || bytes)) {
        block_error_set(errp, EINVAL,
                        "%s: give either sector, or offset and bytes", where);
        return false;
    }
    if (sector) {
        rule->start = (int64_t)option_values_number(v, "sector") * SECTOR_SIZE;
        length = SECTOR_SIZE;
    } else if (offset || bytes) {
        rule->start = (int64_t)option_values_size(v, "offset");
    } else {
        return true;
    }
    rule->end = length > INT64_MAX - rule->start ? INT64_MAX
                                                 : rule->start + length;
    return true;
}

/* `where` is the rule's name in messages: "inject-error.0". */
static bool rule_parse_action(Rule *rule, const OptionValues *v,
                              const char *where, GError **errp)
{
    switch (rule->action) {
    case RULE_ERROR:
        rule->error = errno_parse(option_values_string(v, "errno"));
        if (rule->error == 0) {
            block_error_set(errp, EINVAL,
                            "%s: errno '%s' is neither a number from 1 to "
                            "4095 nor a name like EIO or ENOSPC",
                            where, option_values_string(v, "errno"));
            return false;
        }
        return true;
    case RULE_DELAY:
        rule->ms = (unsigned)option_values_number(v, "ms");
        if (rule->ms == 0) {
            block_error_set(errp, EINVAL,
                            "%s needs ms: how long to wait, in milliseconds",
                            where);
            return false;
        }
        return true;
    case RULE_SET_STATE:
        rule->new_state = (unsigned)option_values_number(v, "new_state");
        if (rule->new_state == 0 || !option_values_given(v, "event")) {
            block_error_set(errp, EINVAL, "%s needs event and new_state",
                            where);
            return false;
        }
        return true;
    }
    return true;
}

static void rule_parse_event(Rule *rule, const OptionValues *v)
{
    const char *event = option_values_string(v, "event");

    if (event == NULL || *event == '\0' || strcmp(event, "none") == 0) {
        rule->armed = true;
    } else {
        rule->event_kinds = kind_of_event(event);
        rule->event = rule->event_kinds == 0 ? g_strdup(event) : NULL;
    }
}

static void rule_parse_kinds(Rule *rule, const OptionValues *v)
{
    int kind = option_values_enum(v, "iotype");

    if (kind >= 0) {
        rule->kinds = 1u << kind;
    } else if (rule->event_kinds != 0) {
        rule->kinds = rule->event_kinds;
    } else if (rule->event != NULL && rule->action == RULE_DELAY) {
        rule->kinds = 0;
    } else {
        /* As in QEMU: questions about the map fail only when asked for. */
        rule->kinds = RULE_ALL & ~RULE_BLOCK_STATUS;
    }
}

static bool rule_parse(Rule *rule, Options *options, const char *where,
                       GError **errp)
{
    const OptionDesc *table = rule_lists[rule->action].table;
    const OptionDesc *known[] = { table, NULL };
    g_autoptr(OptionValues) v = option_values_absorb(table, options, errp);

    if (v == NULL) {
        g_prefix_error(errp, "%s: ", where);
        return false;
    }
    if (!options_reject_unknown(options, where, known, errp) ||
        !rule_parse_action(rule, v, where, errp)) {
        return false;
    }
    rule->state = (unsigned)option_values_number(v, "state");
    rule_parse_event(rule, v);
    if (rule->action == RULE_SET_STATE) {
        return true;
    }
    rule->once = option_values_bool(v, "once");
    rule_parse_kinds(rule, v);
    return rule_parse_range(rule, v, where, errp);
}

static bool rules_parse_list(RuleSet *rules, RuleAction action,
                             Options *options, GError **errp)
{
    const char *name = rule_lists[action].name;
    unsigned n = options_list_length(options, name);

    for (unsigned i = 0; i < n; i++) {
        g_autofree char *where = g_strdup_printf("%s.%u", name, i);
        g_autoptr(Options) own = options_take_prefix(options, where);
        Rule rule = { .action = action };
        bool ok = rule_parse(&rule, own, where, errp);

        g_array_append_val(rules->rules, rule);
        if (!ok) {
            return false;
        }
    }
    if (options_has_prefix(options, name)) {
        block_error_set(errp, EINVAL,
                        "'%s' is a list of rules, numbered from 0 without a "
                        "gap: %s.0.event=...",
                        name, name);
        return false;
    }
    return true;
}

RuleSet *rules_parse(Options *options, GError **errp)
{
    g_autoptr(RuleSet) rules = g_new0(RuleSet, 1);

    pthread_mutex_init(&rules->lock, NULL);
    rules->state = 1;
    rules->rules = g_array_new(FALSE, TRUE, sizeof(Rule));
    for (unsigned i = 0; i < G_N_ELEMENTS(rule_lists); i++) {
        if (!rules_parse_list(rules, (RuleAction)i, options, errp)) {
            return NULL;
        }
    }
    return g_steal_pointer(&rules);
}

void rules_free(RuleSet *rules)
{
    if (rules == NULL) {
        return;
    }
    for (guint i = 0; i < rules->rules->len; i++) {
        g_free(g_array_index(rules->rules, Rule, i).event);
    }
    g_array_free(rules->rules, TRUE);
    pthread_mutex_destroy(&rules->lock);
    g_free(rules);
}

/* ---- Running ---- */

static bool rule_in_state(const Rule *rule, unsigned state)
{
    return !rule->spent && (rule->state == 0 || rule->state == state);
}

/*
 * An event happens: of this name, or (NULL) that of a request of `kinds`.
 * Gives the milliseconds to wait at the event itself. Under the lock.
 */
static unsigned fire_event(RuleSet *rules, const char *event, unsigned kinds)
{
    unsigned state = rules->state, ms = 0;

    for (guint i = 0; i < rules->rules->len; i++) {
        Rule *rule = &g_array_index(rules->rules, Rule, i);
        bool hit = event != NULL ? g_strcmp0(rule->event, event) == 0
                                 : (rule->event_kinds & kinds) != 0;

        if (!hit || !rule_in_state(rule, state)) {
            continue;
        }
        rule->armed = true;
        if (rule->action == RULE_SET_STATE) {
            rules->state = rule->new_state;
        } else if (rule->kinds == 0) {
            ms += rule->ms;
            rule->spent = rule->once;
        }
    }
    return ms;
}

static bool rule_applies(const Rule *rule, unsigned state, unsigned kinds,
                         int64_t offset, int64_t bytes)
{
    if (!rule->armed || !rule_in_state(rule, state) ||
        !(rule->kinds & kinds)) {
        return false;
    }
    if (rule->end == 0) {
        return true;
    }
    return offset != RULE_NO_RANGE && offset < rule->end &&
           rule->start - offset < bytes;
}

static void wait_ms(unsigned ms)
{
    if (ms > 0) {
        g_usleep((gulong)ms * 1000);
    }
}

int rules_request(RuleSet *rules, unsigned kinds, int64_t offset,
                  int64_t bytes)
{
    unsigned ms = 0;
    int error = 0;

    pthread_mutex_lock(&rules->lock);
    unsigned state = rules->state;
    (void)fire_event(rules, NULL, kinds);
    for (guint i = 0; i < rules->rules->len; i++) {
        Rule *rule = &g_array_index(rules->rules, Rule, i);

        if (rule->action == RULE_SET_STATE ||
            !rule_applies(rule, state, kinds, offset, bytes)) {
            continue;
        }
        if (rule->action == RULE_DELAY) {
            ms += rule->ms;
        } else if (error == 0) {
            error = rule->error;
        } else {
            continue; /* the first rule's error stands: this one is not used */
        }
        rule->spent = rule->once;
    }
    pthread_mutex_unlock(&rules->lock);
    wait_ms(ms);
    if (error != 0) {
        bdrv_set_io_error("blkdebug: injected error: %s", g_strerror(error));
    }
    return -error;
}

void rules_event(RuleSet *rules, const char *event)
{
    pthread_mutex_lock(&rules->lock);
    unsigned ms = fire_event(rules, event, 0);
    pthread_mutex_unlock(&rules->lock);
    wait_ms(ms);
}
