/* SPDX-License-Identifier: MIT */
/* A sandbox refuses mprotect. Whatever comes of a plug-in that is loaded with RTLD_DEEPBIND then, libc's table of symbols, which
 * the library would have changed, is as it was: its names are found, and lead to where they led before. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include "filter.h"
#include "threads.h"

static void refuse_mprotect(void)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    install_filter(program, sizeof program / sizeof *program);
}

int main(int argc, char **argv)
{
    (void)argc;
    char path[4096];
    const char *slash = strrchr(argv[0], '/');
    snprintf(path, sizeof path, "%.*s/plugin_allocating.so", slash ? (int)(slash - argv[0]) : 1,
             slash ? argv[0] : ".");
    void *before = dlsym(RTLD_DEFAULT, "getppid");
    CHECK(before != NULL, "%s", dlerror());
    refuse_mprotect();
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    CHECK(plugin != NULL || dlerror() != NULL, "an error is told");
    CHECK(dlsym(RTLD_DEFAULT, "getppid") == before, "a function of libc is not found any more");
    free(strdup("a block of libc's"));
    use_every_size();
    return 0;
}
