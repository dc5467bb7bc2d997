/* SPDX-License-Identifier: MIT */
/* policy_file.c: see policy_file.h. No state. */
#include "base/policy_file.h"

#include "base/call.h"
#include "base/message.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE_MOST  256u     /* bytes of a line that are looked at, and its end */
#define VALUES     "values" /* the section that is read */
#define NAME_BYTES "abcdefghijklmnopqrstuvwxyz0123456789_-"
#define FILE_MOST  ((size_t)1 << 20) /* bytes; what is longer is none of ours, and may be endless */

typedef enum section {
    SECTION_TOP,
    SECTION_VALUES,
    SECTION_OTHER
} section_t;

typedef struct parser {
    const char *path;
    uint64_t line; /* its number */
    section_t section;
    bool has_format, has_values;
    bool given[HAK_POLICIES];
    hak_policy_t policy;
} parser_t;

/* Says what is wrong with the present line. Always false. */
static HAK_COLD bool refuse_line(const parser_t *parser, const char *what, const char *word)
{
    hak_warn("HAKMEM_POLICY=%s: line %u: %s%s; no value of the file is used", parser->path, parser->line,
             what, word);
    return false;
}

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

static bool ends_here(const char *at)
{
    at = skip_blanks(at);
    return *at == 0 || *at == '#';
}

/* `name = number`; cuts the line behind the name. */
static bool split_line(char *line, uint32_t *number)
{
    size_t length = strspn(line, NAME_BYTES);
    const char *at = skip_blanks(line + length);
    if (length == 0 || *at != '=')
        return false;
    at = skip_blanks(at + 1);
    if (*at < '0' || *at > '9' || (*at == '0' && at[1] >= '0' && at[1] <= '9'))
        return false;
    uint64_t value = hak_text_take_number(&at);
    line[length] = 0;
    *number = (uint32_t)value;
    return value <= UINT32_MAX && ends_here(at);
}

static bool take_format(parser_t *parser, const char *name, uint32_t number)
{
    if (strcmp(name, "format") != 0)
        return refuse_line(parser, "only format stands before the sections, not ", name);
    if (number != HAK_POLICY_FILE_FORMAT)
        return refuse_line(parser, "a format that is not known here, only 1", "");
    if (parser->has_format)
        return refuse_line(parser, "a second value of ", name);
    parser->has_format = true;
    return true;
}

static bool set_row(parser_t *parser, const char *name, uint32_t number)
{
    size_t row = hak_policy_find(name, strlen(name));
    if (row == HAK_POLICIES)
        return refuse_line(parser, "no parameter has the name ", name);
    if (parser->given[row])
        return refuse_line(parser, "a second value of ", name);
    if (number < hak_policy_rows[row].low || number > hak_policy_rows[row].high)
        return refuse_line(parser, "out of the range of ", name);
    if (!hak_policy_rows[row].start && number != *hak_policy_value(&parser->policy, row))
        return refuse_line(parser, "only configure.py --policy=FILE sets what is compiled in: ", name);
    parser->given[row] = true;
    *hak_policy_value(&parser->policy, row) = number;
    return true;
}

/* `[name]`, also with blanks around the name. What means the values and is written otherwise would be passed over silently. */
static bool take_section(parser_t *parser, const char *line)
{
    const char *name = skip_blanks(line + strspn(line, "["));
    size_t length = strspn(name, NAME_BYTES);
    const char *end = skip_blanks(name + length);
    bool values = length == strlen(VALUES) && strncmp(name, VALUES, length) == 0;
    parser->section = values ? SECTION_VALUES : SECTION_OTHER;
    if (!values)
        return true;
    if (line[1] == '[' || *end != ']' || !ends_here(end + 1))
        return refuse_line(parser, "no section but [" VALUES "] holds values", "");
    if (parser->has_values)
        return refuse_line(parser, "a second section [" VALUES "]", "");
    parser->has_values = true;
    return true;
}

/* True if what is not looked at of a line that is too long may count: it is no comment, nor a line of a section for people. */
static bool may_count(const parser_t *parser, const char *line)
{
    return strchr(line, '#') == NULL && (parser->section != SECTION_OTHER || *line == '[' || *line == 0);
}

static bool parse_line(parser_t *parser, char *line, bool cut)
{
    uint32_t number;
    line += strspn(line, " \t");
    if (cut && may_count(parser, line))
        return refuse_line(parser, "longer than 255 bytes", "");
    if (ends_here(line))
        return true;
    if (*line == '[')
        return take_section(parser, line);
    if (parser->section == SECTION_OTHER)
        return true;
    if (!split_line(line, &number))
        return refuse_line(parser, "not of the form name = number", "");
    return parser->section == SECTION_TOP ? take_format(parser, line, number) : set_row(parser, line, number);
}

/* Lines of a file, one after the other. */
typedef struct reader {
    int fd;
    size_t at, length, seen; /* in `bytes`; and of the file so far */
    char bytes[512];
} reader_t;

/* The next byte; -1 at the end, -2 where the file cannot be read, or is too long. */
static int next_byte(reader_t *reader)
{
    if (reader->at == reader->length) {
        long n = hak_call(SYS_read, reader->fd, (long)reader->bytes, sizeof reader->bytes, 0, 0, 0);
        if (n == 0)
            return -1;
        if (n < 0 || (reader->seen += (size_t)n) > FILE_MOST)
            return -2;
        reader->at = 0;
        reader->length = (size_t)n;
    }
    return (unsigned char)reader->bytes[reader->at++];
}

/* A line without its end. *cut: it is too long, and only begins so. Returns what its end was: a line feed, or as next_byte. */
static int next_line(reader_t *reader, char *line, bool *cut)
{
    size_t length = 0;
    int byte;
    *cut = false;
    while ((byte = next_byte(reader)) >= 0 && byte != '\n')
        if (length < LINE_MOST - 1)
            line[length++] = (char)(byte != 0 ? byte : '?');
        else
            *cut = true;
    if (byte == '\n' && length > 0 && line[length - 1] == '\r')
        length--;
    line[length] = 0;
    return byte;
}

static bool parse_file(parser_t *parser, int fd)
{
    reader_t reader = {.fd = fd};
    char line[LINE_MOST];
    bool cut;
    int end;
    do {
        end = next_line(&reader, line, &cut);
        parser->line++;
        if (end == -2)
            return refuse_line(parser, "it cannot be read, or is longer than 1 MiB", "");
        if (!parse_line(parser, line, cut))
            return false;
    } while (end == '\n');
    if (!parser->has_format)
        return refuse_line(parser, "the file has no line format = 1", "");
    if (!hak_policy_has_good_sizes(&parser->policy))
        return refuse_line(parser, "mid_dyn1 and mid_dyn2 can be no two sizes of blocks", "");
    return parser->has_values || refuse_line(parser, "the file has no section [" VALUES "]", "");
}

void hak_policy_file_read(const char *path, hak_policy_t *policy, hak_origin_t *origins)
{
    parser_t parser = {.path = path, .policy = *policy};
    /* Not to wait for whoever writes into a pipe. */
    long fd = hak_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
    if (hak_call_failed(fd)) {
        hak_warn("HAKMEM_POLICY=%s: the file cannot be opened; no value of it is used", path);
        return;
    }
    bool good = parse_file(&parser, (int)fd);
    hak_call(SYS_close, fd, 0, 0, 0, 0, 0);
    if (!good)
        return;
    *policy = parser.policy;
    for (size_t row = 0; row < HAK_POLICIES; row++)
        if (parser.given[row])
            origins[row] = HAK_FROM_FILE;
}
