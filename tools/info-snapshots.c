/* SPDX-License-Identifier: MIT */
#include "tools/info-snapshots.h"

#include <inttypes.h>
#include <stdio.h>

#include "tools/tool-output.h"
#include "util/size.h"

#define NSEC_PER_SEC INT64_C(1000000000)

/* Its texts belong to the options. */
typedef struct Snapshot {
    const char *id, *name;
    int64_t state_size, date_sec, date_nsec, clock_nsec;
    const char *icount; /* NULL: not recorded */
} Snapshot;

static const char *fact(const Options *snapshots, unsigned i, const char *name)
{
    char key[64];

    g_snprintf(key, sizeof(key), "%u.%s", i, name);
    return options_get(snapshots, key);
}

static int64_t number(const Options *snapshots, unsigned i, const char *name)
{
    const char *text = fact(snapshots, i, name);

    return text ? g_ascii_strtoll(text, NULL, 10) : 0;
}

static bool load(const Options *snapshots, unsigned i, Snapshot *sn)
{
    *sn = (Snapshot){
        .id = fact(snapshots, i, "id"),
        .name = fact(snapshots, i, "name"),
        .state_size = number(snapshots, i, "vm-state-size"),
        .date_sec = number(snapshots, i, "date-sec"),
        .date_nsec = number(snapshots, i, "date-nsec"),
        .clock_nsec = number(snapshots, i, "vm-clock-nsec"),
        .icount = fact(snapshots, i, "icount"),
    };
    return sn->id && sn->name;
}

static void print_row(const Snapshot *sn)
{
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_local(sn->date_sec);
    g_autofree char *when = date ? g_date_time_format(date, "%F %T") : NULL;
    g_autofree char *size = size_format((uint64_t)sn->state_size);
    g_autofree char *id = tool_escape(sn->id, false);
    g_autofree char *name = tool_escape(sn->name, false);
    int64_t seconds = sn->clock_nsec / NSEC_PER_SEC;
    g_autofree char *clock =
        g_strdup_printf("%02" PRId64 ":%02d:%02d.%03d", seconds / 3600,
                        (int)(seconds / 60 % 60), (int)(seconds % 60),
                        (int)(sn->clock_nsec % NSEC_PER_SEC / 1000000));

    printf("%-9s %-16s %8s%20s%13s%11s\n", id, name, size, when ? when : "",
           clock, sn->icount ? sn->icount : "");
}

void info_snapshots_print(const Options *snapshots)
{
    Snapshot sn;

    for (unsigned i = 0; load(snapshots, i, &sn); i++) {
        if (i == 0) {
            printf("Snapshot list:\n%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG",
                   "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
        }
        print_row(&sn);
    }
}

static void write_row(const Snapshot *sn, JsonWriter *w)
{
    g_autofree char *id = tool_json_name(sn->id);
    g_autofree char *name = tool_json_name(sn->name);

    json_begin_object(w, NULL);
    if (sn->icount) {
        json_number(w, "icount", sn->icount);
    }
    json_int(w, "vm-clock-nsec", sn->clock_nsec % NSEC_PER_SEC);
    json_string(w, "name", name);
    json_int(w, "date-sec", sn->date_sec);
    json_int(w, "date-nsec", sn->date_nsec);
    json_int(w, "vm-clock-sec", sn->clock_nsec / NSEC_PER_SEC);
    json_string(w, "id", id);
    json_int(w, "vm-state-size", sn->state_size);
    json_end_object(w);
}

void info_snapshots_write(const Options *snapshots, JsonWriter *w)
{
    Snapshot sn;

    if (!load(snapshots, 0, &sn)) {
        return;
    }
    json_begin_array(w, "snapshots");
    for (unsigned i = 0; load(snapshots, i, &sn); i++) {
        write_row(&sn, w);
    }
    json_end_array(w);
}
