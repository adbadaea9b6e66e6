/* SPDX-License-Identifier: MIT */
/*
 * FAT's dates and times (Microsoft FAT specification 6, "Date and Time
 * Formats"): local time without a zone, in steps of two seconds, 1980-2107.
 *
 * Only localtime_r() knows the zone. mktime() is not used: what it makes of
 * the hour that a change to winter time repeats depends on earlier calls.
 */
#include <time.h>

#include "block/vvfat/dirent.h"

#define FIRST_YEAR 1980
#define LAST_YEAR 2107
#define SECONDS_A_DAY 86400

static FatTime pack(unsigned year, unsigned month, unsigned day, unsigned hour,
                    unsigned minute, unsigned second)
{
    return (FatTime){
        .date = (uint16_t)((year - FIRST_YEAR) << 9 | month << 5 | day),
        .time = (uint16_t)(hour << 11 | minute << 5 | second / 2),
    };
}

/* localtime_r() need not look at TZ itself (POSIX). */
static void zone_init(void)
{
    static gsize done;

    if (g_once_init_enter(&done)) {
        tzset();
        g_once_init_leave(&done, 1);
    }
}

static bool split(int64_t seconds, bool utc, struct tm *tm)
{
    time_t t = (time_t)seconds;

    if (utc) {
        return gmtime_r(&t, tm) != NULL;
    }
    zone_init();
    return localtime_r(&t, tm) != NULL;
}

FatTime dirent_time_from_unix(int64_t seconds, uint32_t nanoseconds, bool utc,
                              uint8_t *ten_ms, bool *clamped)
{
    unsigned fraction = nanoseconds / 10000000;
    struct tm tm;
    bool is_known = split(seconds, utc, &tm);
    int64_t far = seconds < 0 ? FIRST_YEAR - 1 : LAST_YEAR + 1;
    int64_t year = is_known ? (int64_t)tm.tm_year + 1900 : far;
    FatTime time;

    if (year < FIRST_YEAR) {
        time = pack(FIRST_YEAR, 1, 1, 0, 0, 0);
        fraction = 0;
    } else if (year > LAST_YEAR) {
        time = pack(LAST_YEAR, 12, 31, 23, 59, 58);
        fraction = 199;
    } else {
        /* Zones with leap seconds have a second 60. */
        unsigned second = (unsigned)MIN(tm.tm_sec, 59);

        time = pack((unsigned)year, (unsigned)tm.tm_mon + 1,
                    (unsigned)tm.tm_mday, (unsigned)tm.tm_hour,
                    (unsigned)tm.tm_min, second);
        fraction = MIN(fraction, 99) + second % 2 * 100;
    }
    if (ten_ms) {
        *ten_ms = (uint8_t)fraction;
    }
    *clamped = year < FIRST_YEAR || year > LAST_YEAR;
    return time;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30,
                                    31, 31, 30, 31, 30, 31 };
    /* 2100 is the one year in FAT's range that 4 divides without a leap. */
    bool is_leap = year % 4 == 0 && year != 2100;

    return days[month - 1] + (month == 2 && is_leap ? 1 : 0);
}

/* The nearest possible time as if it were UTC. */
static int64_t unpack(FatTime time)
{
    unsigned year = FIRST_YEAR + (time.date >> 9);
    unsigned month = CLAMP(time.date >> 5 & 0xf, 1u, 12u);
    unsigned day = CLAMP(time.date & 0x1f, 1u, days_in_month(year, month));
    unsigned hour = MIN(time.time >> 11, 23u);
    unsigned minute = MIN(time.time >> 5 & 0x3f, 59u);
    unsigned second = MIN((time.time & 0x1f) * 2, 58u);
    int64_t days = 3652; /* 1970-01-01 to 1980-01-01 */

    for (unsigned y = FIRST_YEAR; y < year; y++) {
        days += 337 + days_in_month(y, 2);
    }
    for (unsigned m = 1; m < month; m++) {
        days += days_in_month(year, m);
    }
    return (days + day - 1) * SECONDS_A_DAY + hour * 3600 + minute * 60 +
           second;
}

/* Seconds that the zone is ahead of UTC at a time. */
static int64_t zone_offset(int64_t seconds)
{
    struct tm tm;

    return split(seconds, false, &tm) ? tm.tm_gmtoff : 0;
}

int64_t dirent_time_to_unix(FatTime time, bool utc)
{
    int64_t wall = unpack(time);
    int64_t before, after, seconds;

    if (utc) {
        return wall;
    }
    /* The offset is the one before or the one after a change nearby. In the
     * hour that is there twice the first is taken, as most systems do; one
     * that is left out is counted on from before the change. */
    before = zone_offset(wall - SECONDS_A_DAY);
    after = zone_offset(wall + SECONDS_A_DAY);
    seconds = wall - before;
    if (before != after && zone_offset(seconds) != before &&
        zone_offset(wall - after) == after) {
        seconds = wall - after;
    }
    return seconds;
}
