/* SPDX-License-Identifier: MIT */
/* C++ when memory has run out: bad_alloc is thrown and caught, a new_handler that frees its reserve saves the request,
 * containers stay whole, and all works again after freeing, the limit still in force. */
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/resource.h>

#include "threads.h"
#include "throws.h"

namespace
{

char *reserve;
int handler_calls;

void release_reserve()
{
    handler_calls++;
    delete[] reserve;
    reserve = nullptr;
    std::set_new_handler(nullptr);
}

/* Takes blocks of `size` until bad_alloc; the list of them can itself run out. */
std::size_t exhaust(std::vector<std::unique_ptr<char[]>> &blocks, std::size_t size)
{
    try {
        while (blocks.size() < 1000000) {
            blocks.emplace_back(new char[size]);
            blocks.back()[0] = blocks.back()[size - 1] = 'x';
        }
    } catch (const std::bad_alloc &) {
    }
    CHECK(blocks.size() < 1000000, "no limit");
    for (const auto &block : blocks)
        CHECK(block[0] == 'x' && block[size - 1] == 'x', "a block changed");
    return blocks.size();
}

/* 48 MiB are more than what remains at the limit, with the reserve of 20 MiB. */
void at_the_limit()
{
    CHECK(throws_bad_alloc([] { escape(::operator new(48u << 20)); }), "new");
    CHECK(throws_bad_alloc([] { escape(::operator new[](48u << 20)); }), "new[]");
    CHECK(throws_bad_alloc([] { escape(::operator new(48u << 20, std::align_val_t(4096))); }), "aligned new");
    CHECK(::operator new(48u << 20, std::nothrow) == nullptr, "new(nothrow)");
    CHECK(throws_bad_alloc([] { std::string(48u << 20, 'x'); }), "string");
    std::vector<int> grown;
    CHECK(throws_bad_alloc([&] {
              while (true)
                  grown.push_back(static_cast<int>(grown.size()));
          }),
          "vector");
    for (std::size_t i = 0; i < grown.size(); i++)
        CHECK(grown[i] == static_cast<int>(i), "a vector that could not grow changed");
    try {
        std::thread([] { use_every_size(); }).join();
    } catch (const std::system_error &) { /* no room for its stack */
    } catch (const std::bad_alloc &) {
    }
}

} /* namespace */

int main()
{
    use_every_size();
    const rlim_t bytes = 192u << 20;
    const struct rlimit limit = {bytes, bytes};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
    static const std::size_t sizes[] = {5u << 20, 1000, 100000, 250, 20000};
    std::size_t first_bytes = 0;
    for (std::size_t size : sizes) {
        reserve = new char[20u << 20];
        handler_calls = 0;
        std::vector<std::unique_ptr<char[]>> blocks;
        const std::size_t count = exhaust(blocks, size);
        first_bytes = first_bytes == 0 ? count * size : first_bytes;
        CHECK(count * size > first_bytes / 3, "%zu blocks of %zu bytes after %zu bytes before", count, size,
              first_bytes);
        at_the_limit();
        std::set_new_handler(release_reserve);
        delete[] new char[12u << 20];
        CHECK(handler_calls == 1, "the new_handler was called %d times", handler_calls);
        std::set_new_handler(nullptr);
    }
    /* All is free again: also the address space of a stack can be had. */
    for (int round = 0; round < 5; round++) {
        std::vector<std::string> words(10000, std::string(500, 'w'));
        CHECK(words.back().size() == 500, "a string");
        try {
            std::thread([] { use_every_size(); }).join();
        } catch (const std::system_error &error) {
            CHECK(false, "all is freed and no thread can start: %s", error.what());
        }
    }
    return 0;
}
