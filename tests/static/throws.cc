/* SPDX-License-Identifier: MIT */
/* C++ when memory is out, in a program that is linked with the archive: every new form throws or gives NULL, the new_handler
 * is called and may help. By tests/test_archive.py. */
#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include <sys/resource.h>

extern "C" {
#include "check.h"
#include "hakmem.h"
}
#include "throws.h"

namespace
{

const std::size_t size = 200u << 20;
const auto page = static_cast<std::align_val_t>(4096);
char *reserve;
int calls;

void release_reserve()
{
    calls++;
    delete[] reserve;
    reserve = nullptr;
    std::set_new_handler(nullptr);
}

void throws_or_gives_null()
{
    CHECK(throws_bad_alloc([] { escape(::operator new(size)); }), "new");
    CHECK(throws_bad_alloc([] { escape(::operator new[](size)); }), "new[]");
    CHECK(throws_bad_alloc([] { escape(::operator new(size, page)); }), "aligned new");
    CHECK(throws_bad_alloc([] { escape(::operator new[](size, page)); }), "aligned new[]");
    CHECK(::operator new(size, std::nothrow) == nullptr, "new(nothrow)");
    CHECK(::operator new[](size, std::nothrow) == nullptr, "new[](nothrow)");
    CHECK(::operator new(size, page, std::nothrow) == nullptr, "aligned new(nothrow)");
    CHECK(::operator new[](size, page, std::nothrow) == nullptr, "aligned new[](nothrow)");
}

/* A request of 60 MiB fits only once the reserve is given up. */
template <typename Request> void is_helped(Request request)
{
    reserve = new char[100u << 20];
    reserve[0] = 1;
    calls = 0;
    std::set_new_handler(release_reserve);
    void *block = request(100u << 20);
    CHECK(block != nullptr && calls == 1, "the new_handler was called %d times", calls);
    ::operator delete(block);
}

} /* namespace */

int main()
{
    void *block = ::operator new(100);
    CHECK(hakmem_usable_size(escape(block)) != 0, "a block of another malloc");
    ::operator delete(block, std::size_t(100));
    const struct rlimit limit = {size, size};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
    throws_or_gives_null();
    is_helped([](std::size_t bytes) { return ::operator new(bytes); });
    is_helped([](std::size_t bytes) { return ::operator new[](bytes); });
    is_helped([](std::size_t bytes) { return ::operator new(bytes, std::nothrow); });
    throws_or_gives_null();
    CHECK(std::vector<std::string>(1000, std::string(100, 'w')).size() == 1000, "containers");
    return 0;
}
