/* SPDX-License-Identifier: MIT */
/* site_page.h: the call sites in the statistics (obs/site_table.h), as lines and as a member of the JSON object. Compiled in by
 * HAK_CALL_SITES. */
#ifndef HAK_API_SITE_PAGE_H
#define HAK_API_SITE_PAGE_H

#include "base/types.h"

/* Nothing when no site was seen. JSON: begins with a comma. */
void hak_site_page_write(int fd, bool json);

#endif
