/* SPDX-License-Identifier: MIT */
/* What the plug-in is linked with: it comes with it, and binds as it does. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *part_text(int number);
void part_free(void *block);

char *part_text(int number)
{
    char *text = NULL;
    return asprintf(&text, "part %d", number) < 0 ? NULL : text;
}

void part_free(void *block)
{
    free(block);
}

__attribute__((constructor)) static void loaded(void)
{
    free(strdup("in a constructor of what the plug-in is linked with"));
}
