/* SPDX-License-Identifier: MIT */
/*
 * What nbdkit's log is told of the node: as errors, what of the directory or
 * of the guest's writes is not where it belongs, and requests that failed; as
 * debugging output, the rest. A directory can have a million odd names, and a
 * guest can do what it should not all day long, so there is a budget for each
 * of the three. Names are the host's or the guest's: they come escaped.
 */
#include "tools/nbdkit-vvfat.h"

#include <pthread.h>
#include <string.h>

#include "block/event.h"
#include "tools/tool-output.h"

typedef struct Budget {
    unsigned most;     /* lines in a period */
    unsigned n_lines;  /* in this one */
    unsigned left_out; /* since this was last told */
    gint64 start;      /* of the period, microseconds */
} Budget;

#define PERIOD (60 * G_USEC_PER_SEC)

static pthread_mutex_t budget_lock = PTHREAD_MUTEX_INITIALIZER;
static Budget of_errors = { .most = 20 };
static Budget of_requests = { .most = 20 };
static Budget of_debug = { .most = 1000 };

/* ---- Lines ---- */

static void print(const Budget *budget, const char *line)
{
    if (budget == &of_debug) {
        nbdkit_debug("%s", line);
    } else {
        nbdkit_error("%s", line);
    }
}

/* Say how many lines are missing, if some are, and begin anew. Under
 * budget_lock. */
static void next_period(Budget *budget, const char *where)
{
    if (budget->left_out) {
        g_autofree char *line = g_strdup_printf("%u more like these%s",
                                                budget->left_out, where);

        print(budget, line);
    }
    budget->left_out = 0;
    budget->n_lines = 0;
    budget->start = g_get_monotonic_time();
}

static void G_GNUC_PRINTF(2, 3) say(Budget *budget, const char *fmt, ...)
{
    g_autofree char *line = NULL;
    va_list ap;

    pthread_mutex_lock(&budget_lock);
    if (g_get_monotonic_time() - budget->start > PERIOD) {
        next_period(budget, "");
    }
    if (budget->n_lines < budget->most) {
        budget->n_lines++;
        va_start(ap, fmt);
        line = g_strdup_vprintf(fmt, ap);
        va_end(ap);
        print(budget, line);
    } else {
        budget->left_out++;
    }
    pthread_mutex_unlock(&budget_lock);
}

/* What comes behind a long list has a budget of its own. */
static void end_of_list(Budget *budget, const char *where)
{
    pthread_mutex_lock(&budget_lock);
    next_period(budget, where);
    pthread_mutex_unlock(&budget_lock);
}

/* ---- What is known of the node ---- */

static const char *report_field(const Options *facts, unsigned i,
                                const char *field)
{
    g_autofree char *key = g_strdup_printf("report.%u.%s", i, field);

    return options_get(facts, key);
}

static void log_report(const Options *facts)
{
    const char *kind;

    for (unsigned i = 0; (kind = report_field(facts, i, "kind")); i++) {
        const char *path = report_field(facts, i, "path");
        const char *detail = report_field(facts, i, "detail");
        bool is_missing = strcmp(kind, "skipped") == 0 ||
                          strcmp(kind, "conflict") == 0;
        g_autofree char *clean_path = tool_escape(path ? path : "", true);
        g_autofree char *clean = tool_escape(detail ? detail : "", true);

        say(is_missing ? &of_errors : &of_debug, "%s '%s': %s", kind,
            clean_path, clean);
    }
    end_of_list(&of_errors, "; vvfat-img info shows all of them");
    end_of_list(&of_debug, "; vvfat-img info shows all of them");
}

void plugin_log_report(BlockBackend *blk)
{
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);

    if (info && info->specific) {
        log_report(info->specific);
    }
}

static void log_fact(const char *key, const char *value, void *opaque)
{
    g_autofree char *clean = tool_escape(value, false);

    if (!g_str_has_prefix(key, "report.")) {
        say(&of_debug, "%s: %s=%s", (const char *)opaque, key, clean);
    }
}

void plugin_log_facts(BlockBackend *blk, const char *when)
{
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);

    if (info && info->specific) {
        options_foreach(info->specific, log_fact, (void *)when);
        end_of_list(&of_debug, "");
    }
}

/* ---- What happens to it ---- */

/* The last commit has failed. It is tried again and again, and fails again. */
static bool is_failing;

/* Whether a commit is the first one that fails. */
static bool begins_to_fail(const BlkEvent *event)
{
    bool begins;

    pthread_mutex_lock(&budget_lock);
    begins = event->error < 0 && !is_failing;
    is_failing = event->error < 0;
    pthread_mutex_unlock(&budget_lock);
    return begins;
}

static bool is_loss(const BlkEvent *event)
{
    switch (event->kind) {
    case BLK_EVENT_COMMIT:
        return begins_to_fail(event);
    case BLK_EVENT_CONFLICT:
    case BLK_EVENT_SUSPENDED:
        return true;
    default: /* at the end, the last commit's error says what was rescued */
        return false;
    }
}

static void log_event(BlockBackend *blk, const BlkEvent *event, void *opaque)
{
    g_autofree char *path = tool_escape(event->path ? event->path : "", true);
    g_autofree char *detail = tool_escape(event->detail ? event->detail : "",
                                          true);

    (void)blk;
    (void)opaque;
    say(is_loss(event) ? &of_errors : &of_debug, "%s%s%s%s%s%s",
        blk_event_name(event->kind), event->path ? " '" : "", path,
        event->path ? "'" : "", event->detail ? ": " : "", detail);
}

void plugin_log_watch(BlockBackend *blk)
{
    blk_add_event_handler(blk, NULL, log_event, NULL, NULL);
}

void plugin_log_failure(const char *what, const char *reason)
{
    say(&of_requests, "%s: %s", what, reason);
}

void plugin_log_end(void)
{
    end_of_list(&of_requests, "");
    end_of_list(&of_errors, "");
    end_of_list(&of_debug, "");
}
