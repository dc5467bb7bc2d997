/* SPDX-License-Identifier: MIT */
/* What the replaced operators and the program that calls them share. */
#ifndef TESTS_CXX_REPLACED_H
#define TESTS_CXX_REPLACED_H

#include <cstddef>
#include <new>

/* A replaced form refuses this many bytes, and so does every malloc. */
inline const std::size_t too_much = static_cast<std::size_t>(-1) / 2 - 100000;

/* The replaced form of this number was called. */
void form_called(int form);

#endif
