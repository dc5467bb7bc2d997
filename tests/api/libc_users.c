/* SPDX-License-Identifier: MIT */
/* libc's own users of the allocator: they allocate and the program frees, they keep and resize, they free at the end. */
#define _GNU_SOURCE
#include "suite.h"

#include <argz.h>
#include <dirent.h>
#include <ftw.h>
#include <glob.h>
#include <iconv.h>
#include <locale.h>
#include <netdb.h>
#include <obstack.h>
#include <regex.h>
#include <search.h>
#include <wchar.h>

#define obstack_chunk_alloc malloc
#define obstack_chunk_free  free

static void test_copies_of_text(void **state)
{
    (void)state;
    char *copy = strdup("some text");
    assert_string_equal(copy, "some text");
    free(copy);
    copy = strndup("some text", opaque(4));
    assert_string_equal(copy, "some");
    free(copy);
    wchar_t *wide = wcsdup(L"wide text");
    assert_int_equal(wcscmp(wide, L"wide text"), 0);
    free(wide);
    char *list = NULL;
    size_t length = 0;
    assert_int_equal(argz_create_sep("one:two:three", ':', &list, &length), 0);
    assert_int_equal(argz_add(&list, &length, "four"), 0);
    assert_int_equal(argz_count(list, length), 4);
    free(list);
}

static void test_printed_text(void **state)
{
    (void)state;
    char *text = NULL;
    for (int width = 1; width < 300000; width *= 3) {
        assert_int_equal(asprintf(&text, "%0*d", width, 7), width);
        assert_int_equal(strlen(text), width);
        assert_int_equal(text[width - 1], '7');
        free(text);
    }
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    for (int i = 0; i < 50000; i++)
        assert_true(fprintf(stream, "%d,", i) > 0);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(strlen(text), size);
    assert_string_equal(text + size - 6, "49999,");
    free(text);
    wchar_t *wide = NULL;
    stream = open_wmemstream(&wide, &size);
    assert_non_null(stream);
    assert_true(fwprintf(stream, L"%d", 1234) == 4);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(wcscmp(wide, L"1234"), 0);
    free(wide);
}

static void test_lines(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    for (int length = 1; length < 500000; length *= 7) {
        for (int i = 0; i < length; i++)
            fputc('a' + i % 26, file);
        fputc('\n', file);
    }
    rewind(file);
    char *line = NULL;
    size_t size = 0;
    for (ssize_t length = 1; length < 500000; length *= 7) {
        assert_int_equal(getline(&line, &size, file), length + 1);
        assert_true(size > (size_t)length);
        assert_int_equal(line[length - 1], 'a' + (length - 1) % 26);
    }
    rewind(file);
    assert_true(getdelim(&line, &size, 'z', file) > 0);
    free(line);
    fclose(file);
}

static void test_names_of_files(void **state)
{
    (void)state;
    glob_t found;
    memset(&found, 0, sizeof found);
    assert_int_equal(glob("/usr/*", 0, NULL, &found), 0);
    assert_int_equal(glob("/*", GLOB_APPEND, NULL, &found), 0);
    assert_true(found.gl_pathc > 10);
    globfree(&found);
    struct dirent **names = NULL;
    const int count = scandir("/usr", &names, NULL, alphasort);
    assert_true(count > 2);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    DIR *directory = opendir("/");
    assert_non_null(directory);
    assert_non_null(readdir(directory));
    assert_int_equal(closedir(directory), 0);
    char *path = realpath("/usr/../usr/./bin/..", NULL);
    assert_string_equal(path, "/usr");
    free(path);
    path = getcwd(NULL, 0);
    assert_non_null(path);
    free(path);
}

static int visited;

static int visit(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)path, (void)status, (void)kind, (void)where;
    return ++visited == 300;
}

static void test_walk_of_a_tree(void **state)
{
    (void)state;
    visited = 0;
    assert_true(nftw("/usr/share", visit, 10, FTW_PHYS) >= 0);
    assert_true(visited > 2);
}

static int compare_words(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Elements of 64 bytes: above a limit qsort works in a copy, which it allocates. */
static void test_sorting(void **state)
{
    (void)state;
    enum {
        COUNT = 20000,
        WORDS = 8
    };
    uint64_t random = 5;
    uint64_t(*elements)[WORDS] = calloc(COUNT, sizeof *elements);
    assert_non_null(elements);
    for (size_t i = 0; i < COUNT; i++) {
        elements[i][0] = next_random(&random);
        elements[i][7] = ~elements[i][0];
    }
    qsort(elements, COUNT, sizeof *elements, compare_words);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(i == 0 || elements[i - 1][0] <= elements[i][0]);
        assert_true(elements[i][7] == ~elements[i][0]);
    }
    free(elements);
}

static void test_patterns(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        regex_t pattern;
        assert_int_equal(regcomp(&pattern, "^(a|b|[0-9]{2,40})*x+(foo|bar|.*baz)$", REG_EXTENDED), 0);
        regmatch_t match[4];
        assert_int_equal(regexec(&pattern, "ab12ab34xxxsome long text baz", 4, match, 0), 0);
        assert_int_equal(match[2].rm_eo, 29);
        assert_int_equal(regexec(&pattern, "ab12ab34", 4, match, 0), REG_NOMATCH);
        regfree(&pattern);
    }
}

static void test_trees_and_tables(void **state)
{
    (void)state;
    static uint64_t keys[2000];
    uint64_t random = 8;
    void *root = NULL;
    for (size_t i = 0; i < 2000; i++) {
        keys[i] = next_random(&random);
        assert_non_null(tsearch(&keys[i], &root, compare_words));
    }
    for (size_t i = 0; i < 1000; i++)
        assert_non_null(tdelete(&keys[i], &root, compare_words));
    assert_null(tfind(&keys[0], &root, compare_words));
    assert_ptr_equal(*(void **)tfind(&keys[1000], &root, compare_words), &keys[1000]);
    for (size_t i = 1000; i < 2000; i++)
        assert_non_null(tdelete(&keys[i], &root, compare_words));
    assert_null(root);
    struct hsearch_data table;
    memset(&table, 0, sizeof table);
    assert_int_not_equal(hcreate_r(500, &table), 0);
    ENTRY *entry = NULL;
    assert_int_not_equal(hsearch_r((ENTRY){"key", "value"}, ENTER, &entry, &table), 0);
    assert_int_not_equal(hsearch_r((ENTRY){"key", NULL}, FIND, &entry, &table), 0);
    assert_string_equal(entry->data, "value");
    hdestroy_r(&table);
}

static void test_obstack(void **state)
{
    (void)state;
    struct obstack stack;
    obstack_init(&stack);
    void *first = obstack_alloc(&stack, 100);
    for (int i = 1; i < 3000; i++)
        memset(obstack_alloc(&stack, i), i, (size_t)i);
    obstack_free(&stack, first);
    obstack_free(&stack, NULL);
}

static void test_environment(void **state)
{
    (void)state;
    char name[32];
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "A_TEST_VARIABLE_%d", i);
        assert_int_equal(setenv(name, name, 1), 0);
    }
    assert_string_equal(getenv("A_TEST_VARIABLE_321"), "A_TEST_VARIABLE_321");
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "A_TEST_VARIABLE_%d", i);
        assert_int_equal(unsetenv(name), 0);
    }
}

static void test_locales(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        assert_non_null(setlocale(LC_ALL, "C"));
        if (setlocale(LC_ALL, "C.UTF-8") == NULL)
            skip();
        locale_t locale = newlocale(LC_ALL_MASK, "C.UTF-8", NULL);
        assert_non_null(locale);
        locale_t copy = duplocale(locale);
        assert_non_null(copy);
        freelocale(locale);
        freelocale(copy);
    }
    assert_non_null(setlocale(LC_ALL, "C"));
}

static void test_conversion(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        iconv_t converter = iconv_open("UTF-16LE", "UTF-8");
        assert_ptr_not_equal(converter, (iconv_t)-1);
        char text[] = "gr\xc3\xbc\xc3\x9f";
        char result[32];
        char *from = text, *to = result;
        size_t left = strlen(text), room = sizeof result;
        assert_int_equal(iconv(converter, &from, &left, &to, &room), 0);
        assert_int_equal(sizeof result - room, 8);
        assert_int_equal(iconv_close(converter), 0);
    }
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const names[] = {"127.0.0.1", "::1", "localhost"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct addrinfo *list = NULL;
        const int error = getaddrinfo(names[i], "80", NULL, &list);
        if (i == 2 && error != 0)
            skip(); /* a machine without the name */
        assert_int_equal(error, 0);
        assert_non_null(list);
        freeaddrinfo(list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies_of_text), cmocka_unit_test(test_printed_text),
        cmocka_unit_test(test_lines),          cmocka_unit_test(test_names_of_files),
        cmocka_unit_test(test_walk_of_a_tree), cmocka_unit_test(test_sorting),
        cmocka_unit_test(test_patterns),       cmocka_unit_test(test_trees_and_tables),
        cmocka_unit_test(test_obstack),        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_locales),        cmocka_unit_test(test_conversion),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
