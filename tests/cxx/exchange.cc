/* SPDX-License-Identifier: MIT */
/* A plug-in, and with PROGRAM the program that loads it (its arguments: the plug-in, and dlopen's mode): each frees what the other
 * has allocated, by the operators that go together. Whose operators these are, the linking decides. */
#include <cstdlib>
#include <dlfcn.h>

extern "C" {
#include "../check.h"
char *plugin_take(std::size_t size);
void plugin_give(char *block);
}

#ifndef PROGRAM

char *plugin_take(std::size_t size)
{
    return static_cast<char *>(escape(::operator new(size)));
}

void plugin_give(char *block)
{
    ::operator delete(escape(block));
    try {
        throw 1; /* a runtime of its own is more than its operators */
    } catch (int) {
    }
}

#else

int main(int argc, char **argv)
{
    void *plugin = argc > 2 ? dlopen(argv[1], RTLD_NOW | std::atoi(argv[2])) : nullptr;
    CHECK(plugin != nullptr, "%s", dlerror());
    const auto take = reinterpret_cast<decltype(&plugin_take)>(dlsym(plugin, "plugin_take"));
    const auto give = reinterpret_cast<decltype(&plugin_give)>(dlsym(plugin, "plugin_give"));
    const std::size_t sizes[] = {1, 100, 5000, 300000};
    for (const std::size_t size : sizes) {
        ::operator delete(escape(take(size)));
        give(static_cast<char *>(escape(::operator new(size))));
    }
    return 0;
}

#endif
