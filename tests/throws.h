/* SPDX-License-Identifier: MIT */
/* For the C++ tests of what happens when memory is out. */
#ifndef TESTS_THROWS_H
#define TESTS_THROWS_H

#include <new>

template <typename Function> bool throws_bad_alloc(Function function)
{
    try {
        function();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

#endif
