/* SPDX-License-Identifier: MIT */
/* policy_out.c: see policy_out.h. No state but the output's name, which is set before there are threads. */
#include "obs/policy_out.h"

#include "base/policy_file.h"
#include "os/output.h"

static char policy_path[HAK_OS_OUTPUT_PATH]; /* empty: none */

void hak_policy_out_set(const char *path)
{
    if (!hak_os_output_path(policy_path, path))
        hak_warn("HAKMEM_POLICY_OUT=%s: the name is too long; nothing is written", path);
}

static void put_policy(hak_os_output_t *out)
{
    hak_policy_t policy = *hak_policy();
    hak_text_t text = {.length = 0};
    hak_text_format(&text, "# The policy in force in the variant %s.\nformat = %u\n\n[values]\n", HAK_VARIANT,
                    (uint64_t)HAK_POLICY_FILE_FORMAT);
    hak_os_output_text(out, &text);
    for (size_t row = 0; row < HAK_POLICIES; row++) {
        const hak_policy_row_t *of = &hak_policy_rows[row];
        hak_text_format(&text, "%s = %u # %s; %s\n", of->name, (uint64_t)*hak_policy_value(&policy, row),
                        of->unit, hak_origin_names[hak_policy_origin(row)]);
        hak_os_output_text(out, &text);
    }
}

void hak_policy_out_write(void)
{
    if (policy_path[0] != 0 && !hak_os_output_replace(policy_path, 0666, put_policy))
        hak_warn("HAKMEM_POLICY_OUT=%s: it cannot be written", policy_path);
}
