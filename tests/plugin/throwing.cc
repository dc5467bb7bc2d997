/* SPDX-License-Identifier: MIT */
/* A C++ plug-in as a C program loads it: its bad_alloc must reach its own catch, its memory the program's free. */
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

extern "C" int plugin_catches_bad_alloc()
{
    volatile std::size_t size = SIZE_MAX / 2;
    try {
        /* Through a volatile pointer: the compiler may leave out a new whose block nobody reads. */
        char *volatile block = new char[size];
        delete[] block;
    } catch (const std::bad_alloc &) {
        return 1;
    }
    return 0;
}

extern "C" void *plugin_block(std::size_t size)
{
    return std::malloc(size);
}

extern "C" std::size_t plugin_work()
{
    std::vector<std::string> words;
    for (int i = 0; i < 1000; i++)
        words.push_back(std::string(static_cast<std::size_t>(i), 'w'));
    std::size_t total = 0;
    for (const auto &word : words)
        total += word.size();
    return total;
}
