/* SPDX-License-Identifier: MIT */
/* A C program that calls operator new, and closes the way to any C++ runtime first. */
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

void *_Znwm(size_t size);

int main(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_NOFILE, &none);
    return _Znwm(SIZE_MAX / 2) == NULL ? 1 : 2;
}
