/* SPDX-License-Identifier: MIT */
/* Options: default < mode < single option; bad input keeps the value and warns in one line; origins are told. */
#include "suite.h"

#include "base/names.h"
#include "base/options.h"

static const char *environment[8][2];

static const char *lookup(const char *name)
{
    for (int i = 0; i < 8; i++)
        if (environment[i][0] != NULL && strcmp(environment[i][0], name) == 0)
            return environment[i][1];
    return NULL;
}

static char warnings[4096];

static int kept_stderr, said[2];

/* Until heard(), what is said on stderr goes to `warnings`. */
static void listen(void)
{
    assert_int_equal(pipe(said), 0);
    kept_stderr = dup(STDERR_FILENO);
    dup2(said[1], STDERR_FILENO);
    close(said[1]);
}

static void heard(void)
{
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    const ssize_t length = read(said[0], warnings, sizeof warnings - 1);
    warnings[length > 0 ? length : 0] = 0;
    close(said[0]);
}

/* Reads the options from the given pairs (NULL ends them), collecting what is said on stderr. */
static void read_options(const char *const pairs[][2])
{
    listen();
    memset(environment, 0, sizeof environment);
    for (int i = 0; pairs[i][0] != NULL; i++) {
        environment[i][0] = pairs[i][0];
        environment[i][1] = pairs[i][1];
    }
    hak_options_read(lookup);
    heard();
}

static int lines_of(const char *text)
{
    int found = 0;
    for (; *text != 0; text++)
        found += *text == '\n';
    return found;
}

static hak_option_view_t view(const char *name)
{
    for (size_t i = 0; i < hak_options_count(); i++)
        if (strcmp(hak_options_view(i).name, name) == 0)
            return hak_options_view(i);
    fail_msg("there is no option %s", name);
    return hak_options_view(0);
}

static void test_defaults_lie_in_their_range(void **state)
{
    (void)state;
    read_options((const char *const[][2]){{NULL, NULL}});
    assert_string_equal(warnings, "");
    for (size_t i = 0; i < hak_options_count(); i++) {
        const hak_option_view_t option = hak_options_view(i);
        assert_int_equal(strncmp(option.name, "HAKMEM_", 7), 0);
        assert_true(strlen(option.sentence) > 10);
        assert_int_equal(option.origin, HAK_FROM_DEFAULT);
    }
}

static void test_a_value_is_taken(void **state)
{
    (void)state;
    read_options(
        (const char *const[][2]){{"HAKMEM_PURGE_DELAY_MS", "1234"}, {"HAKMEM_THP", "off"}, {NULL, NULL}});
    assert_string_equal(warnings, "");
    assert_int_equal(hak_policy()->purge_delay_ms, 1234);
    assert_int_equal(hak_policy()->thp, HAK_THP_OFF);
    assert_int_equal(view("HAKMEM_PURGE_DELAY_MS").value, 1234);
    assert_int_equal(view("HAKMEM_PURGE_DELAY_MS").origin, HAK_FROM_ENVIRONMENT);
}

static void test_bad_values_warn_and_change_nothing(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"HAKMEM_PURGE_DELAY_MS", "12x"},
        {"HAKMEM_PURGE_DELAY_MS", ""},
        {"HAKMEM_PURGE_DELAY_MS", "-1"},
        {"HAKMEM_PURGE_DELAY_MS", "4294967297"},
        {"HAKMEM_PURGE_DELAY_MS", "18446744073709551617"},
        {"HAKMEM_PURGE_DELAY_MS", "3600001"},
        {"HAKMEM_RETAIN_MB", " 1"},
        {"HAKMEM_THP", "maybe"},
        {"HAKMEM_THP", "off|auto"},
        {"HAKMEM_THP", ""},
        {"HAKMEM_SAFE_FREE", "2"},
        {"HAKMEM_TARGET_HIT_MID", "1.001"},
        {"HAKMEM_TARGET_HIT_MID", "0.6543"},
        {"HAKMEM_TARGET_HIT_MID", "650"},
        {"HAKMEM_TARGET_HIT_MID", "0,65"},
        {"HAKMEM_TARGET_HIT_MID", ".5"},
        {"HAKMEM_TARGET_HIT_MID", "05"},
        {"HAKMEM_TARGET_HIT_MID", "10"},
        {"HAKMEM_TARGET_HIT_MID", ""},
        {"HAKMEM_MODE", "quick"},
        {"HAKMEM_MODE", ""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const hak_policy_t before = *hak_policy();
        read_options((const char *const[][2]){{bad[i][0], bad[i][1]}, {NULL, NULL}});
        assert_memory_equal(hak_policy(), &before, offsetof(hak_policy_t, version));
        assert_non_null(strstr(warnings, bad[i][0]));
        assert_non_null(strstr(warnings, "; using "));
        assert_ptr_equal(strchr(warnings, '\n'), warnings + strlen(warnings) - 1);
    }
}

static void test_an_unknown_mode_is_told_all_there_are(void **state)
{
    (void)state;
    read_options((const char *const[][2]){{"HAKMEM_MODE", "quick"}, {NULL, NULL}});
    assert_non_null(
        strstr(warnings,
               "=quick: not one of minimal, fast, balanced, learning, evolving, research; using balanced\n"));
}

static void test_parts_of_one_are_thousandths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t value;
    } good[] = {{"0", 0}, {"1", 1000}, {"1.0", 1000}, {"0.5", 500}, {"0.65", 650}, {"0.999", 999}, {"0.", 0}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        read_options((const char *const[][2]){{"HAKMEM_TARGET_HIT_LARGE", good[i].text}, {NULL, NULL}});
        assert_int_equal(hak_options()->target_hit_large, good[i].value);
    }
    read_options((const char *const[][2]){{"HAKMEM_TARGET_HIT_LARGE", "2"}, {NULL, NULL}});
    assert_non_null(
        strstr(warnings, "not a number from 0 to 1 with up to three decimals; using 0 thousandths"));
}

static void test_single_options_win_over_the_mode(void **state)
{
    (void)state;
    read_options(
        (const char *const[][2]){{"HAKMEM_MODE", "minimal"}, {"HAKMEM_RETAIN_MB", "3"}, {NULL, NULL}});
    assert_string_equal(hak_options_mode(), "minimal");
    assert_int_equal(hak_options()->disable_bigcache, 1);
    assert_int_equal(view("HAKMEM_DISABLE_BIGCACHE").origin, HAK_FROM_MODE);
    assert_int_equal(hak_policy()->retain_mb, 3);
    assert_int_equal(view("HAKMEM_RETAIN_MB").origin, HAK_FROM_ENVIRONMENT);
}

static void test_a_mode_that_is_not_compiled_in_names_its_variant(void **state)
{
    (void)state;
    read_options((const char *const[][2]){{"HAKMEM_MODE", "research"}, {NULL, NULL}});
    assert_non_null(strstr(warnings, "the variant research has it"));
}

static void test_the_modes_of_learning_name_their_variant(void **state)
{
    (void)state;
    read_options((const char *const[][2]){{"HAKMEM_MODE", "evolving"}, {NULL, NULL}});
    assert_non_null(strstr(warnings, "the variant learning has it"));
    read_options((const char *const[][2]){{"HAKMEM_MODE", "learning"}, {NULL, NULL}});
    assert_non_null(strstr(warnings, "the variant learning has it"));
}

static void test_modes_without_counting_watch_nothing(void **state)
{
    (void)state;
    static const char *const silent[] = {"minimal", "fast"};
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
        hak_options_live = hak_options_default;
        read_options((const char *const[][2]){{"HAKMEM_MODE", silent[i]}, {NULL, NULL}});
        assert_int_equal(hak_options()->stats, 0);
        assert_int_equal(hak_options()->size_hist, 0);
        assert_int_equal(hak_options()->mem_trace, 0);
    }
    read_options((const char *const[][2]){{"HAKMEM_MODE", "balanced"}, {NULL, NULL}});
    assert_int_equal(hak_options()->stats, 1);
    assert_int_equal(hak_options()->mem_trace, 1);
}

static void test_an_option_whose_feature_is_missing_names_the_variants(void **state)
{
    (void)state;
    read_options(
        (const char *const[][2]){{"HAKMEM_SIZE_HIST", "1"}, {"HAKMEM_MEM_TRACE", "0"}, {NULL, NULL}});
    assert_non_null(strstr(warnings,
                           "HAKMEM_SIZE_HIST=1 changes nothing: this library is the variant balanced; "
                           "the variants that can do it: learning and research"));
    assert_int_equal(lines_of(warnings), 1);
    assert_false(view("HAKMEM_SIZE_HIST").compiled_in);
    assert_true(view("HAKMEM_STATS").compiled_in);
}

static void test_names_that_are_no_option_are_answered(void **state)
{
    (void)state;
    static char *const known[] = {
        "HOME=/", "HAKMEM_MODE=x", "HAKMEM_THP=off", "HAKMEM", "HAKMEM_STATS", "XHAKMEM_A=1", NULL};
    listen();
    hak_names_answer(known);
    hak_names_answer(NULL);
    heard();
    assert_string_equal(warnings, "");
    static char *const unknown[] = {"HAKMEM_TINY_CAP=1", "HAKMEM_THPP=on", "HAKMEM_TH=on", "HAKMEM_=", NULL};
    listen();
    hak_names_answer(unknown);
    heard();
    assert_int_equal(lines_of(warnings), 4);
    assert_non_null(strstr(warnings, "HAKMEM_TINY_CAP changes nothing: small blocks have no settings"));
    assert_non_null(strstr(warnings, "HAKMEM_THPP changes nothing: no option has this name"));
    assert_non_null(strstr(warnings, "HAKMEM_TH changes nothing: no option"));
    assert_non_null(strstr(warnings, "HAKMEM_ changes nothing: no option"));
}

static void test_many_names_are_no_flood(void **state)
{
    (void)state;
    static char text[60][300];
    static char *many[61];
    for (size_t i = 0; i < 60; i++) {
        snprintf(text[i], sizeof text[i], "HAKMEM_SS_NUMBER_%zu=%0*d", i, i == 7 ? 250 : 3, 1);
        many[i] = text[i];
    }
    text[8][0] = 'X';
    memset(text[9] + 10, 'L', 280);
    text[9][290] = '=';
    listen();
    hak_names_answer(many);
    heard();
    assert_in_range(lines_of(warnings), 5, 12);
    assert_non_null(strstr(warnings, "HAKMEM_SS_NUMBER_0 "));
    assert_null(strstr(warnings, "NUMBER_8,"));
    for (size_t i = 10; i < 60; i++) {
        char name[40];
        snprintf(name, sizeof name, "HAKMEM_SS_NUMBER_%zu", i);
        assert_non_null(strstr(warnings, name));
    }
}

static void test_long_values_are_cut_not_overrun(void **state)
{
    (void)state;
    hak_options_live = hak_options_default;
    static char text[3000];
    memset(text, 'y', sizeof text - 1);
    read_options((const char *const[][2]){{"HAKMEM_STATS", text}, {NULL, NULL}});
    assert_true(strlen(warnings) < 500);
    const char *end = strstr(warnings, "yyy...yyy");
    assert_non_null(end);
    assert_string_equal(end + 9 + strspn(end + 9, "y"),
                        ": not one of off|counters|options; using counters\n");
}

static void test_a_message_is_one_line_of_plain_text(void **state)
{
    (void)state;
    hak_options_live = hak_options_default;
    read_options(
        (const char *const[][2]){{"HAKMEM_STATS", "\x1b[31m\nhakmem: fatal: \x7f\xc3\xa4"}, {NULL, NULL}});
    assert_string_equal(
        warnings,
        "hakmem: warning: HAKMEM_STATS=?[31m?hakmem: fatal: ?\xc3\xa4: not one of off|counters|options; "
        "using counters\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_lie_in_their_range),
        cmocka_unit_test(test_a_value_is_taken),
        cmocka_unit_test(test_bad_values_warn_and_change_nothing),
        cmocka_unit_test(test_an_unknown_mode_is_told_all_there_are),
        cmocka_unit_test(test_parts_of_one_are_thousandths),
        cmocka_unit_test(test_single_options_win_over_the_mode),
        cmocka_unit_test(test_a_mode_that_is_not_compiled_in_names_its_variant),
        cmocka_unit_test(test_the_modes_of_learning_name_their_variant),
        cmocka_unit_test(test_modes_without_counting_watch_nothing),
        cmocka_unit_test(test_an_option_whose_feature_is_missing_names_the_variants),
        cmocka_unit_test(test_names_that_are_no_option_are_answered),
        cmocka_unit_test(test_many_names_are_no_flood),
        cmocka_unit_test(test_long_values_are_cut_not_overrun),
        cmocka_unit_test(test_a_message_is_one_line_of_plain_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
