/* SPDX-License-Identifier: MIT */
/* Calls each form of operator new and delete of a program that has replaced some of them (the arguments: their numbers) and
 * checks that the one that the standard names answers: the form itself, else the simpler one that the library's form is
 * to call, and so on. Some of the blocks are thus the program's, freed by the library, or the reverse: no misuse. */
#include "replaced.h"

#include <cstdint>

extern "C" {
#include "../check.h"
}

namespace
{

const int forms = 20;
const int none = -1;
/* The form that the library's definition of each calls; none: it allocates or frees by itself. */
const int simpler[forms] = {none, 0, 0, 1, none, 4, 4, 5, none, 8, 8, 9, 8, 9, none, 14, 14, 15, 14, 15};
const char *const names[forms] = {"new",
                                  "new[]",
                                  "new nothrow",
                                  "new[] nothrow",
                                  "new aligned",
                                  "new[] aligned",
                                  "new aligned nothrow",
                                  "new[] aligned nothrow",
                                  "delete",
                                  "delete[]",
                                  "delete sized",
                                  "delete[] sized",
                                  "delete nothrow",
                                  "delete[] nothrow",
                                  "delete aligned",
                                  "delete[] aligned",
                                  "delete sized aligned",
                                  "delete[] sized aligned",
                                  "delete aligned nothrow",
                                  "delete[] aligned nothrow"};
/* The form of delete that goes with each form of new. */
const int partner[8] = {8, 9, 12, 13, 14, 15, 18, 19};
const auto line = static_cast<std::align_val_t>(64);
const std::size_t size = 128; /* what a replaced form rounds it up to */

bool replaced[forms];
int called = none; /* the first replaced form since it was cleared */

int expected(int form)
{
    while (form != none && !replaced[form])
        form = simpler[form];
    return form;
}

void *allocate(int form, std::size_t bytes)
{
    switch (form) {
    case 0: return ::operator new(bytes);
    case 1: return ::operator new[](bytes);
    case 2: return ::operator new(bytes, std::nothrow);
    case 3: return ::operator new[](bytes, std::nothrow);
    case 4: return ::operator new(bytes, line);
    case 5: return ::operator new[](bytes, line);
    case 6: return ::operator new(bytes, line, std::nothrow);
    default: return ::operator new[](bytes, line, std::nothrow);
    }
}

void release(int form, void *block)
{
    switch (form) {
    case 8: return ::operator delete(block);
    case 9: return ::operator delete[](block);
    case 10: return ::operator delete(block, size);
    case 11: return ::operator delete[](block, size);
    case 12: return ::operator delete(block, std::nothrow);
    case 13: return ::operator delete[](block, std::nothrow);
    case 14: return ::operator delete(block, line);
    case 15: return ::operator delete[](block, line);
    case 16: return ::operator delete(block, size, line);
    case 17: return ::operator delete[](block, size, line);
    case 18: return ::operator delete(block, line, std::nothrow);
    default: return ::operator delete[](block, line, std::nothrow);
    }
}

void answers(int form)
{
    CHECK(called == expected(form), "%s: form %d answered, expected %d", names[form], called, expected(form));
    called = none;
}

bool throws(int form)
{
    try {
        return allocate(form, too_much) == nullptr ? false : (std::abort(), false);
    } catch (const std::bad_alloc &) {
        return true;
    }
}

} /* namespace */

void form_called(int form)
{
    called = called == none ? form : called;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replaced[std::atoi(argv[i])] = true;
    for (int form = 0; form < 8; form++) {
        void *block = escape(allocate(form, size));
        CHECK(block != nullptr, "%s", names[form]);
        CHECK(form < 4 || reinterpret_cast<std::uintptr_t>(block) % 64 == 0, "%s is not aligned",
              names[form]);
        answers(form);
        fill(block, size, 1);
        release(partner[form], block);
        called = none;
        const bool quiet = form % 4 >= 2;
        CHECK(throws(form) == !quiet, "%s, of too much", names[form]);
        answers(form);
    }
    for (int form = 8; form < forms; form++) {
        void *block = escape(allocate(form % 2 + (form < 14 ? 0 : 4), size));
        called = none;
        release(form, block);
        answers(form);
    }
    return 0;
}
