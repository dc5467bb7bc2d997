/* SPDX-License-Identifier: MIT */
/* Takes a block of as many bytes as the argument says in each way and frees it in each way, each pair in a process of its own, and
 * says of each pair whether that was stopped. Under the hardened library and under AddressSanitizer it says the same. */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

extern "C" {
#include "../check.h"
}

namespace
{

const auto line = static_cast<std::align_val_t>(64);
const auto half = static_cast<std::align_val_t>(32);
std::size_t size;

struct way {
    const char *name;
    void *(*take)();
};

struct end {
    const char *name;
    void (*give)(void *);
};

const way ways[] = {
    {"malloc", [] { return std::malloc(size); }},
    {"calloc", [] { return std::calloc(1, size); }},
    {"realloc", [] { return std::realloc(std::malloc(size / 2 + 1), size + 1); }},
    {"strdup", [] { return static_cast<void *>(strdup("a string")); }},
    {"new", [] { return ::operator new(size); }},
    {"new nothrow", [] { return ::operator new(size, std::nothrow); }},
    {"new[]", [] { return ::operator new[](size); }},
    {"new[] nothrow", [] { return ::operator new[](size, std::nothrow); }},
    {"new aligned", [] { return ::operator new(size, line); }},
    {"new aligned nothrow", [] { return ::operator new(size, line, std::nothrow); }},
    {"new[] aligned", [] { return ::operator new[](size, line); }},
    {"new[] aligned nothrow", [] { return ::operator new[](size, line, std::nothrow); }},
};

const end ends[] = {
    {"free", [](void *p) { std::free(p); }},
    {"realloc", [](void *p) { std::free(escape(std::realloc(p, 2 * size + 1))); }},
    {"delete", [](void *p) { ::operator delete(p); }},
    {"delete sized", [](void *p) { ::operator delete(p, size); }},
    {"delete nothrow", [](void *p) { ::operator delete(p, std::nothrow); }},
    {"delete[]", [](void *p) { ::operator delete[](p); }},
    {"delete[] sized", [](void *p) { ::operator delete[](p, size); }},
    {"delete[] nothrow", [](void *p) { ::operator delete[](p, std::nothrow); }},
    {"delete aligned", [](void *p) { ::operator delete(p, line); }},
    {"delete aligned to less", [](void *p) { ::operator delete(p, half); }},
    {"delete sized aligned", [](void *p) { ::operator delete(p, size, line); }},
    {"delete aligned nothrow", [](void *p) { ::operator delete(p, line, std::nothrow); }},
    {"delete[] aligned", [](void *p) { ::operator delete[](p, line); }},
    {"delete[] sized aligned", [](void *p) { ::operator delete[](p, size, line); }},
    {"delete[] aligned nothrow", [](void *p) { ::operator delete[](p, line, std::nothrow); }},
};

bool is_stopped(const way &from, const end &by)
{
    const pid_t child = fork();
    if (child == 0) {
        const rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        close(2);
        by.give(escape(from.take()));
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    return status != 0;
}

} /* namespace */

int main(int argc, char **argv)
{
    size = std::strtoul(argc > 1 ? argv[1] : "100", nullptr, 10);
    for (const way &from : ways) {
        for (const end &by : ends) {
            std::printf("%s, %s: %s\n", from.name, by.name, is_stopped(from, by) ? "stopped" : "went on");
            std::fflush(stdout);
        }
    }
    return 0;
}
