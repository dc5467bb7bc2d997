/* SPDX-License-Identifier: MIT */
/* Compiled without exceptions: nobody can catch what new throws, and nobody may be given NULL. */
#include <cstdint>
#include <cstdio>
#include <new>

int main()
{
    volatile std::size_t size = SIZE_MAX / 2 - 100000;
    char *volatile block = new char[size];
    std::printf("went on with %p\n", static_cast<void *>(block));
    return 0;
}
