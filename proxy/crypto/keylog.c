#include "crypto/keylog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "crypto/inside.h"

struct keylog {
    unsigned references; /* atomic */
    int fd;
    char path[];
};

struct keylog *keylog_open(const char *path, const char *file, unsigned line, struct findings *findings) {
    struct keylog *keylog = malloc(sizeof *keylog + strlen(path) + 1);
    if (keylog == NULL) {
        findings->out_of_memory = true;
        return NULL;
    }
    keylog->references = 1;
    strcpy(keylog->path, path);
    keylog->fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (keylog->fd >= 0)
        return keylog;
    findings_add(findings, FINDING_ERROR, file, line, "keylog_file %s cannot be written: %s.", path,
                 strerror(errno));
    free(keylog);
    return NULL;
}

bool keylog_is_at(const struct keylog *keylog, const char *path) {
    return strcmp(keylog->path, path) == 0;
}

struct keylog *keylog_keep(struct keylog *keylog) {
    __atomic_add_fetch(&keylog->references, 1, __ATOMIC_RELAXED);
    return keylog;
}

void keylog_drop(struct keylog *keylog) {
    if (keylog == NULL || __atomic_sub_fetch(&keylog->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    close(keylog->fd);
    free(keylog);
}

/* One call for one line: the workers' do not mix in a file that is appended to. What a full disk loses is
 * only lost for who debugs. */
static void on_line(const SSL *ssl, const char *line) {
    const struct engine *engine = SSL_get_app_data(ssl);
    char end = '\n';
    struct iovec pieces[] = {{(void *)(uintptr_t)line, strlen(line)}, {&end, 1}};
    if (writev(engine->context->keylog->fd, pieces, 2) < 0)
        return;
}

void keylog_use(struct tls_context *context, struct keylog *keylog) {
    context->keylog = keylog_keep(keylog);
    SSL_CTX_set_keylog_callback(context->ssl_ctx, on_line);
}
