/* SPDX-License-Identifier: MIT */
/* Includes for a program with many cases, each of them counted: cmocka, whose headers come in one order only. */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "check.h"

#endif
