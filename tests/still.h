/* SPDX-License-Identifier: MIT */
/* still.h: the clock of the library stands still in the program that includes this (core/os/os_linux.c), so that nothing goes back
 * to the system by time, however slow the machine is. In one file of a program. */
#ifndef TESTS_STILL_H
#define TESTS_STILL_H

#include <stdint.h>

uint64_t hakmem_steady_ms(void);

uint64_t hakmem_steady_ms(void)
{
    return 3600000;
}

#endif
