/* SPDX-License-Identifier: MIT */
#include "block/vvfat/journal-codec.h"

#include <string.h>

#include "util/bytes.h"

#define NO_STRING UINT32_MAX
#define MAX_STRING 65536u /* bytes of a name or path */

/* ---- Primitives ---- */

void journal_put_raw(GByteArray *out, const void *data, size_t bytes)
{
    g_byte_array_append(out, data, (guint)bytes);
}

void journal_put_u8(GByteArray *out, uint8_t value)
{
    journal_put_raw(out, &value, 1);
}

void journal_put_u32(GByteArray *out, uint32_t value)
{
    le32 raw;

    le32_put(&raw, value);
    journal_put_raw(out, &raw, sizeof(raw));
}

void journal_put_u64(GByteArray *out, uint64_t value)
{
    le64 raw;

    le64_put(&raw, value);
    journal_put_raw(out, &raw, sizeof(raw));
}

void journal_put_string(GByteArray *out, const char *text)
{
    if (!text) {
        journal_put_u32(out, NO_STRING);
        return;
    }
    journal_put_u32(out, (uint32_t)strlen(text));
    journal_put_raw(out, text, strlen(text));
}

void journal_get_raw(JournalReader *in, void *data, size_t bytes)
{
    if (in->bad || in->left < bytes) {
        in->bad = true;
        memset(data, 0, bytes);
        return;
    }
    memcpy(data, in->at, bytes);
    in->at += bytes;
    in->left -= bytes;
}

uint8_t journal_get_u8(JournalReader *in)
{
    uint8_t value;

    journal_get_raw(in, &value, 1);
    return value;
}

uint32_t journal_get_u32(JournalReader *in)
{
    le32 raw;

    journal_get_raw(in, &raw, sizeof(raw));
    return le32_get(raw);
}

uint64_t journal_get_u64(JournalReader *in)
{
    le64 raw;

    journal_get_raw(in, &raw, sizeof(raw));
    return le64_get(raw);
}

char *journal_get_string(JournalReader *in)
{
    uint32_t length = journal_get_u32(in);
    g_autofree char *text = NULL;

    if (in->bad || length == NO_STRING) {
        return NULL;
    }
    if (length > MAX_STRING || length > in->left) {
        in->bad = true;
        return NULL;
    }
    text = g_malloc(length + 1);
    journal_get_raw(in, text, length);
    text[length] = '\0';
    if (strlen(text) != length) {
        in->bad = true;
        return NULL;
    }
    return g_steal_pointer(&text);
}

/* ---- Plans ---- */

static void op_clear(gpointer data)
{
    g_free(((JournalOp *)data)->name);
}

static void staged_clear(gpointer data)
{
    g_free(((JournalStaged *)data)->name);
}

JournalPlan *journal_plan_new(void)
{
    JournalPlan *plan = g_new(JournalPlan, 1);

    plan->ops = g_array_new(FALSE, FALSE, sizeof(JournalOp));
    plan->staged = g_array_new(FALSE, FALSE, sizeof(JournalStaged));
    g_array_set_clear_func(plan->ops, op_clear);
    g_array_set_clear_func(plan->staged, staged_clear);
    return plan;
}

void journal_plan_free(JournalPlan *plan)
{
    if (plan) {
        g_array_unref(plan->ops);
        g_array_unref(plan->staged);
        g_free(plan);
    }
}

static uint64_t number_of(const Inode *inode)
{
    return inode ? inode->id : 0;
}

void journal_put_ops(GByteArray *out, const Plan *plan)
{
    journal_put_u32(out, plan->ops->len);
    for (guint i = 0; i < plan->ops->len && !journal_is_full(out); i++) {
        const PlanOp *op = &g_array_index(plan->ops, PlanOp, i);

        journal_put_u8(out, (uint8_t)op->kind);
        journal_put_u64(out, number_of(op->inode));
        journal_put_u64(out, number_of(op->dir));
        journal_put_u64(out, number_of(op->victim));
        journal_put_string(out, op->name);
    }
}

void journal_get_ops(JournalReader *in, JournalPlan *plan)
{
    uint32_t n = journal_get_u32(in);

    plan->has_begun = true;
    for (uint32_t i = 0; i < n && !in->bad; i++) {
        unsigned kind = journal_get_u8(in);
        JournalOp op = { .kind = (PlanKind)kind };

        op.inode = journal_get_u64(in);
        op.dir = journal_get_u64(in);
        op.victim = journal_get_u64(in);
        op.name = journal_get_string(in);
        in->bad |= kind > PLAN_TIMES;
        plan->has_begun &= kind != PLAN_STAGE;
        g_array_append_val(plan->ops, op);
    }
}

bool journal_plan_stages(const Plan *plan)
{
    bool found = false;

    for (guint i = 0; i < plan->ops->len && !found; i++) {
        found = g_array_index(plan->ops, PlanOp, i).kind == PLAN_STAGE;
    }
    return found;
}

void journal_put_staged(GByteArray *out, const Plan *plan)
{
    for (guint i = 0; i < plan->ops->len; i++) {
        const PlanOp *op = &g_array_index(plan->ops, PlanOp, i);
        const InodeChange *change = op->inode->change;

        if (op->kind != PLAN_STAGE || !change->temp_name) {
            continue;
        }
        journal_put_u64(out, op->inode->id);
        journal_put_u64(out, number_of(change->temp_dir));
        journal_put_string(out, change->temp_name);
        journal_put_host_id(out, &change->staged);
    }
}

void journal_get_staged(JournalReader *in, JournalPlan *plan)
{
    plan->has_begun = true;
    while (in->left && !in->bad) {
        JournalStaged staged = { .inode = journal_get_u64(in) };

        staged.dir = journal_get_u64(in);
        staged.name = journal_get_string(in);
        journal_get_host_id(in, &staged.id);
        g_array_append_val(plan->staged, staged);
    }
}
