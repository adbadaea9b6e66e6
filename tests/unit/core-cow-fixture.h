/* SPDX-License-Identifier: MIT */
/* Two drivers of core-fixture.h that know of each other. */
#ifndef TESTS_CORE_COW_FIXTURE_H
#define TESTS_CORE_COW_FIXTURE_H

#include "block/driver.h"

extern const BlockDriver core_cow;
extern const BlockDriver core_mem;

#endif
