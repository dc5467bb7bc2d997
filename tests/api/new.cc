/* SPDX-License-Identifier: MIT */
/* Every form of operator new and delete: plain, array, sized, aligned, nothrow; bad_alloc, new_handler, exceptions. */
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include <dlfcn.h>
#include <malloc.h>

#include "throws.h"

extern "C" {
#include "suite.h"
}

namespace
{

const std::size_t too_large = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) - 4096;

bool is_aligned(void *block, std::size_t alignment)
{
    return reinterpret_cast<std::uintptr_t>(block) % alignment == 0;
}

void test_plain_and_array(void **)
{
    for (std::size_t size = 0; size < 200000; size = size * 5 / 4 + 1) {
        void *one = ::operator new(size);
        void *many = ::operator new[](size);
        assert_non_null(one);
        assert_non_null(many);
        assert_ptr_not_equal(one, many);
        assert_true(size < 16 || (is_aligned(one, 16) && is_aligned(many, 16)));
        std::memset(one, 1, size);
        std::memset(many, 2, size);
        ::operator delete(one);
        ::operator delete[](many);
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr);
}

void test_sized_delete(void **)
{
    for (std::size_t size = 0; size < 200000; size = size * 5 / 4 + 1) {
        ::operator delete(std::memset(::operator new(size), 3, size), size);
        ::operator delete[](std::memset(::operator new[](size), 3, size), size);
    }
    ::operator delete(nullptr, 10);
    ::operator delete[](nullptr, 10);
}

void test_aligned(void **)
{
    for (std::size_t alignment = 8; alignment <= (64u << 20); alignment *= 2) {
        for (std::size_t size = 1; size < 300000; size = size * 3 + 1) {
            const auto align = static_cast<std::align_val_t>(alignment);
            void *plain = ::operator new(size, align);
            void *array = ::operator new[](size, align);
            void *quiet = ::operator new(size, align, std::nothrow);
            void *quiet_array = ::operator new[](size, align, std::nothrow);
            assert_non_null(quiet);
            assert_non_null(quiet_array);
            assert_true(is_aligned(plain, alignment));
            assert_true(is_aligned(array, alignment));
            assert_true(is_aligned(quiet, alignment));
            assert_true(is_aligned(quiet_array, alignment));
            ::operator delete(plain, align);
            ::operator delete[](array, size, align);
            ::operator delete(quiet, size, align);
            ::operator delete[](quiet_array, align, std::nothrow);
            ::operator delete[](::operator new[](size, align), align);
            ::operator delete(::operator new(size, align), align, std::nothrow);
        }
    }
    ::operator delete(nullptr, std::align_val_t(64));
    ::operator delete[](nullptr, 10, std::align_val_t(64));
}

/* Each form by its symbol: a block that comes from one library and is freed by another is a crash. */
void test_one_library_defines_every_form(void **)
{
    static const char *const names[] = {"_Znwm",
                                        "_Znam",
                                        "_ZnwmRKSt9nothrow_t",
                                        "_ZnamRKSt9nothrow_t",
                                        "_ZnwmSt11align_val_t",
                                        "_ZnamSt11align_val_t",
                                        "_ZnwmSt11align_val_tRKSt9nothrow_t",
                                        "_ZnamSt11align_val_tRKSt9nothrow_t",
                                        "_ZdlPv",
                                        "_ZdaPv",
                                        "_ZdlPvm",
                                        "_ZdaPvm",
                                        "_ZdlPvRKSt9nothrow_t",
                                        "_ZdaPvRKSt9nothrow_t",
                                        "_ZdlPvSt11align_val_t",
                                        "_ZdaPvSt11align_val_t",
                                        "_ZdlPvmSt11align_val_t",
                                        "_ZdaPvmSt11align_val_t",
                                        "_ZdlPvSt11align_val_tRKSt9nothrow_t",
                                        "_ZdaPvSt11align_val_tRKSt9nothrow_t"};
    Dl_info family;
    assert_int_not_equal(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &family), 0);
    for (const char *name : names) {
        Dl_info info;
        void *symbol = dlsym(RTLD_DEFAULT, name);
        assert_non_null(symbol);
        assert_int_not_equal(dladdr(symbol, &info), 0);
        if (std::strcmp(info.dli_fname, family.dli_fname) != 0)
            fail_msg("%s comes from %s, malloc from %s", name, info.dli_fname, family.dli_fname);
    }
}

void test_nothrow(void **)
{
    for (std::size_t size = 0; size < 200000; size = size * 5 / 4 + 1) {
        void *one = ::operator new(size, std::nothrow);
        void *many = ::operator new[](size, std::nothrow);
        assert_non_null(one);
        assert_non_null(many);
        ::operator delete(one, std::nothrow);
        ::operator delete[](many, std::nothrow);
    }
    assert_null(::operator new(opaque(too_large), std::nothrow));
    assert_null(::operator new[](opaque(too_large), std::nothrow));
    assert_null(::operator new(opaque(too_large), std::align_val_t(256), std::nothrow));
    assert_null(::operator new[](opaque(too_large), std::align_val_t(256), std::nothrow));
}

void test_bad_alloc_is_thrown(void **)
{
    for (int round = 0; round < 100; round++) {
        assert_true(throws_bad_alloc([] { escape(::operator new(opaque(too_large))); }));
        assert_true(throws_bad_alloc([] { escape(::operator new[](opaque(too_large))); }));
        assert_true(throws_bad_alloc([] { escape(::operator new(opaque(SIZE_MAX))); }));
        assert_true(
            throws_bad_alloc([] { escape(::operator new(opaque(too_large), std::align_val_t(64))); }));
        assert_true(
            throws_bad_alloc([] { escape(::operator new[](opaque(too_large), std::align_val_t(64))); }));
        assert_true(
            throws_bad_alloc([] { escape(::operator new(opaque(SIZE_MAX - 8), std::align_val_t(4096))); }));
    }
    std::string text(100, 'x');
    assert_int_equal(text.size(), 100);
}

int handler_calls;

void uninstalling_handler()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

struct handler_error {
};

void throwing_handler()
{
    handler_calls++;
    throw handler_error();
}

void test_new_handler_is_called_until_it_gives_up(void **)
{
    handler_calls = 0;
    std::set_new_handler(uninstalling_handler);
    assert_true(throws_bad_alloc([] { escape(::operator new(opaque(too_large))); }));
    assert_int_equal(handler_calls, 3);

    handler_calls = 0;
    std::set_new_handler(uninstalling_handler);
    assert_true(throws_bad_alloc([] { escape(::operator new(opaque(too_large), std::align_val_t(64))); }));
    assert_int_equal(handler_calls, 3);

    handler_calls = 0;
    std::set_new_handler(uninstalling_handler);
    assert_null(::operator new(opaque(too_large), std::nothrow));
    assert_int_equal(handler_calls, 3);
}

void test_new_handler_may_throw(void **)
{
    handler_calls = 0;
    std::set_new_handler(throwing_handler);
    bool caught = false;
    try {
        escape(::operator new(opaque(too_large)));
    } catch (const handler_error &) {
        caught = true;
    }
    std::set_new_handler(nullptr);
    assert_true(caught);
    assert_int_equal(handler_calls, 1);
    errno = 0;
    assert_null(std::malloc(opaque(too_large)));
    assert_int_equal(errno, ENOMEM);
}

/* A handler that throws bad_alloc is how it says that it gives up; new(nothrow) turns that into a null pointer. */
void refusing_handler()
{
    handler_calls++;
    throw std::bad_alloc();
}

void test_nothrow_holds_with_a_handler_that_throws(void **)
{
    handler_calls = 0;
    std::set_new_handler(refusing_handler);
    assert_null(::operator new(opaque(too_large), std::nothrow));
    assert_null(::operator new[](opaque(too_large), std::nothrow));
    assert_null(::operator new(opaque(too_large), std::align_val_t(4096), std::nothrow));
    assert_null(::operator new[](opaque(too_large), std::align_val_t(4096), std::nothrow));
    assert_int_equal(handler_calls, 4);
    assert_true(throws_bad_alloc([] { escape(::operator new(opaque(too_large))); }));
    std::set_new_handler(nullptr);
}

struct alignas(128) wide {
    char bytes[300];
};

struct thrower {
    std::vector<int> first = std::vector<int>(100);
    thrower() { throw 42; }
};

void test_constructor_that_throws_gives_memory_back(void **)
{
    const long before = resident_kib();
    for (int i = 0; i < 100000; i++) {
        try {
            delete new thrower;
            fail();
        } catch (int value) {
            assert_int_equal(value, 42);
        }
    }
    assert_true(resident_kib() - before < 8 * 1024);
}

void test_types(void **)
{
    for (int i = 1; i < 50; i++) {
        std::unique_ptr<wide> one(new wide);
        std::unique_ptr<wide[]> many(new wide[static_cast<std::size_t>(i)]);
        auto shared = std::make_shared<wide>();
        assert_true(is_aligned(one.get(), 128));
        assert_true(is_aligned(many.get(), 128));
        assert_true(is_aligned(shared.get(), 128));
    }
}

void test_thrown_in_many_threads(void **)
{
    std::vector<std::thread> threads;
    int caught[4] = {0, 0, 0, 0};
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([i, &caught] {
            for (int round = 0; round < 500; round++)
                caught[i] += throws_bad_alloc([] { escape(::operator new(opaque(too_large))); });
        });
    }
    for (auto &thread : threads)
        thread.join();
    for (int count : caught)
        assert_int_equal(count, 500);
}

} /* namespace */

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_and_array),
        cmocka_unit_test(test_sized_delete),
        cmocka_unit_test(test_aligned),
        cmocka_unit_test(test_one_library_defines_every_form),
        cmocka_unit_test(test_nothrow),
        cmocka_unit_test(test_bad_alloc_is_thrown),
        cmocka_unit_test(test_new_handler_is_called_until_it_gives_up),
        cmocka_unit_test(test_new_handler_may_throw),
        cmocka_unit_test(test_nothrow_holds_with_a_handler_that_throws),
        cmocka_unit_test(test_constructor_that_throws_gives_memory_back),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_thrown_in_many_threads),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
