/* SPDX-License-Identifier: MIT */
/* One replaced form of operator new or delete, FORM of the list in replaced.h: it says that it was called. Compiled once for
 * each form; tests/test_operators.py links them singly and in groups. */
#include "replaced.h"

#include <cstdlib>

/* memalign(align) or free, whichever the form is for; what is too much is refused by a throw. */
[[maybe_unused]] static void *take(std::size_t size, std::size_t align)
{
    form_called(FORM);
    if (size >= too_much)
        throw std::bad_alloc();
    return std::aligned_alloc(align, (size + align - 1) / align * align);
}

[[maybe_unused]] static void *take_quietly(std::size_t size, std::size_t align)
{
    form_called(FORM);
    return size < too_much ? std::aligned_alloc(align, (size + align - 1) / align * align) : nullptr;
}

[[maybe_unused]] static void give(void *block)
{
    form_called(FORM);
    std::free(block);
}

#define ALIGN static_cast<std::size_t>(align)

/* clang-format off */
#if FORM == 0
void *operator new(std::size_t size) { return take(size, 16); }
#elif FORM == 1
void *operator new[](std::size_t size) { return take(size, 16); }
#elif FORM == 2
void *operator new(std::size_t size, const std::nothrow_t &) noexcept { return take_quietly(size, 16); }
#elif FORM == 3
void *operator new[](std::size_t size, const std::nothrow_t &) noexcept { return take_quietly(size, 16); }
#elif FORM == 4
void *operator new(std::size_t size, std::align_val_t align) { return take(size, ALIGN); }
#elif FORM == 5
void *operator new[](std::size_t size, std::align_val_t align) { return take(size, ALIGN); }
#elif FORM == 6
void *operator new(std::size_t size, std::align_val_t align, const std::nothrow_t &) noexcept
{
    return take_quietly(size, ALIGN);
}
#elif FORM == 7
void *operator new[](std::size_t size, std::align_val_t align, const std::nothrow_t &) noexcept
{
    return take_quietly(size, ALIGN);
}
#elif FORM == 8
void operator delete(void *block) noexcept { give(block); }
#elif FORM == 9
void operator delete[](void *block) noexcept { give(block); }
#elif FORM == 10
void operator delete(void *block, std::size_t) noexcept { give(block); }
#elif FORM == 11
void operator delete[](void *block, std::size_t) noexcept { give(block); }
#elif FORM == 12
void operator delete(void *block, const std::nothrow_t &) noexcept { give(block); }
#elif FORM == 13
void operator delete[](void *block, const std::nothrow_t &) noexcept { give(block); }
#elif FORM == 14
void operator delete(void *block, std::align_val_t) noexcept { give(block); }
#elif FORM == 15
void operator delete[](void *block, std::align_val_t) noexcept { give(block); }
#elif FORM == 16
void operator delete(void *block, std::size_t, std::align_val_t) noexcept { give(block); }
#elif FORM == 17
void operator delete[](void *block, std::size_t, std::align_val_t) noexcept { give(block); }
#elif FORM == 18
void operator delete(void *block, std::align_val_t, const std::nothrow_t &) noexcept { give(block); }
#elif FORM == 19
void operator delete[](void *block, std::align_val_t, const std::nothrow_t &) noexcept { give(block); }
#endif
/* clang-format on */
