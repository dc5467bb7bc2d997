/* SPDX-License-Identifier: MIT */
/* When memory is out: throwing forms throw, quiet ones give NULL, the new_handler is called, may free a reserve, and may throw
 * something of its own. A plug-in, or with PROGRAM a program. */
#include <malloc.h>
#include <sys/resource.h>

#include <cstdint>
#include <new>

extern "C" {
#include "../check.h"
int plugin_test();
}
#include "../throws.h"

#ifndef QUIET_FORMS_CALL_THE_HANDLER
#define QUIET_FORMS_CALL_THE_HANDLER 1
#endif

namespace
{

const std::size_t too_much = SIZE_MAX / 2 - 100000;
const std::size_t much = 256 << 20; /* not there under a limit */
const auto page = static_cast<std::align_val_t>(4096);
int calls;

struct another : std::bad_alloc {
    int number = 7;
};

void give_up()
{
    if (++calls == 3)
        std::set_new_handler(nullptr);
}

void throw_another()
{
    throw another();
}

template <typename Request> void all_is_right(Request request, bool quiet)
{
    CHECK(throws_bad_alloc([&] { CHECK(request() == nullptr, "a block of nearly all memory"); }) == !quiet,
          "no handler");
    calls = 0;
    std::set_new_handler(give_up);
    CHECK(throws_bad_alloc([&] { request(); }) == !quiet, "a handler");
    CHECK(calls == 3 || (quiet && !QUIET_FORMS_CALL_THE_HANDLER), "the new_handler was called %d times",
          calls);
    std::set_new_handler(throw_another);
    int caught = 0;
    try {
        CHECK(request() == nullptr, "a block");
    } catch (const another &exception) {
        caught = exception.number;
    }
    CHECK(caught == (quiet ? 0 : 7), "the handler's own exception: %d", caught);
    std::set_new_handler(nullptr);
}

rlimit unlimited;

void make_room()
{
    calls++;
    setrlimit(RLIMIT_AS, &unlimited);
}

/* What is there only after the handler has been called is a block of its form like others. */
template <typename Request, typename Release> void handler_helps(Request request, Release release)
{
    const rlimit none = {0, unlimited.rlim_max};
    calls = 0;
    std::set_new_handler(make_room);
    malloc_trim(0); /* or the last one's memory is there still */
    setrlimit(RLIMIT_AS, &none);
    void *block = request();
    setrlimit(RLIMIT_AS, &unlimited);
    std::set_new_handler(nullptr);
    CHECK(calls == 1 && block != nullptr, "the handler was called %d times", calls);
    release(escape(block));
}

void all_are_helped()
{
    getrlimit(RLIMIT_AS, &unlimited);
    handler_helps([] { return ::operator new(much); }, [](void *p) { ::operator delete(p); });
    handler_helps([] { return ::operator new[](much); }, [](void *p) { ::operator delete[](p); });
    handler_helps([] { return ::operator new(much, page); }, [](void *p) { ::operator delete(p, page); });
    handler_helps([] { return ::operator new[](much, page); }, [](void *p) { ::operator delete[](p, page); });
}

} /* namespace */

int plugin_test()
{
    all_are_helped();
    for (int round = 0; round < 2; round++) {
        all_is_right([] { return escape(::operator new(too_much)); }, false);
        all_is_right([] { return escape(::operator new[](too_much)); }, false);
        all_is_right([] { return escape(::operator new(too_much, page)); }, false);
        all_is_right([] { return escape(::operator new[](too_much, page)); }, false);
        all_is_right([] { return escape(::operator new(too_much, std::nothrow)); }, true);
        all_is_right([] { return escape(::operator new[](too_much, std::nothrow)); }, true);
        all_is_right([] { return escape(::operator new(too_much, page, std::nothrow)); }, true);
        all_is_right([] { return escape(::operator new[](too_much, page, std::nothrow)); }, true);
        ::operator delete(escape(::operator new(100)));
        ::operator delete[](escape(::operator new[](100, page)), page);
    }
    return 0;
}

#ifdef PROGRAM
int main()
{
    return plugin_test();
}
#endif
