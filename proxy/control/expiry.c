#include "control/expiry.h"

#include <stdio.h>

#include "base/log.h"

#define DAY_S (24 * 3600)

void expiry_each(const struct generation *generation, void (*tell)(void *keeper, const struct expiry *expiry),
                 void *keeper) {
    for (size_t i = 0; i < generation->every_count; i++) {
        const struct terms *terms = generation->every[i];
        for (size_t j = 0; j <= terms->file_count; j++) {
            const struct tls_context *context = j == 0 ? terms->tls : terms->files[j - 1];
            /* The first file of pem_dir is the listener's own too when there is no certfile. */
            if (context == NULL || (j == 0 && terms->listener->certfile == NULL))
                continue;
            struct expiry expiry = {.listener = terms->listener};
            for (size_t k = 0; (expiry.path = tls_context_certfile(context, k, &expiry.expires_s)) != NULL;
                 k++)
                tell(keeper, &expiry);
        }
    }
}

/* How near the end is: 0 far, 1 below 30 days, 2 below 7, 3 below 1, 4 over. */
static int step_of(int64_t left_s) {
    return left_s < 0 ? 4 : left_s < DAY_S ? 3 : left_s < 7 * DAY_S ? 2 : left_s < 30 * DAY_S ? 1 : 0;
}

const char *expiry_words(const struct expiry *expiry, int64_t before_s, int64_t now_s, char *room,
                         size_t room_size) {
    int64_t left_s = expiry->expires_s - now_s;
    int step = step_of(left_s), before = step_of(expiry->expires_s - before_s);
    char name[512];
    room[0] = '\0';
    conf_listener_name(expiry->listener, name, sizeof name);
    if (step == 4)
        snprintf(room, room_size, "certfile %s of %s has expired: devices refuse it; renew it and reload.",
                 expiry->path, name);
    else if (step == 3)
        snprintf(room, room_size, "certfile %s of %s expires in %lld hours: renew it and reload.",
                 expiry->path, name, (long long)(left_s / 3600));
    else if (step > before)
        snprintf(room, room_size, "certfile %s of %s expires in %lld days: renew it and reload.",
                 expiry->path, name, (long long)(left_s / DAY_S));
    return room;
}

struct telling {
    int64_t before_s, now_s;
};

static void tell_one(void *keeper, const struct expiry *expiry) {
    const struct telling *telling = keeper;
    char room[LOG_LINE_SIZE];
    expiry_words(expiry, telling->before_s, telling->now_s, room, sizeof room);
    if (room[0] == '\0')
        return;
    log_line(expiry->expires_s < telling->now_s ? LOG_KIND_ERROR : LOG_KIND_WARNING, "%s", room);
}

void expiry_tell(const struct generation *generation, int64_t before_s, int64_t now_s) {
    struct telling telling = {before_s, now_s};
    expiry_each(generation, tell_one, &telling);
}
