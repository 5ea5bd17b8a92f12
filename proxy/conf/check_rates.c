#include "conf/check_rates.h"

#include "conf/rows.h"

struct rate_option {
    enum conf_option option;
    size_t offset;
};
#define RATE(field)                                                                                          \
    { CONF_##field, offsetof(struct conf_listener, field) }
/* Per row: of the device, of its username, of the listener. */
static const struct rate_option options[3][3] = {
    {RATE(packet_rate), RATE(user_packet_rate), RATE(listener_packet_rate)},
    {RATE(publish_rate), RATE(user_publish_rate), RATE(listener_publish_rate)},
    {RATE(publish_bytes_rate), RATE(user_publish_bytes_rate), RATE(listener_publish_bytes_rate)},
};

static const struct rate *rate_of(const struct conf_listener *listener, const struct rate_option *option) {
    return (const struct rate *)((const char *)listener + option->offset);
}

static bool has_rate(const struct conf_listener *listener) {
    for (size_t i = 0; i < 9; i++)
        if (rate_is_set(rate_of(listener, &options[i / 3][i % 3])))
            return true;
    return false;
}

static bool is_same_line(struct conf_origin a, struct conf_origin b) {
    return a.line == b.line && a.file == b.file;
}

/* A limit of one device that is wider than that of all its user's devices never speaks, nor does that of a
 * user beside a narrower one of all. What a listener has from the lines for all (`shared`; NULL for these
 * themselves) was looked at there. */
static void check_wider(const struct conf_listener *listener, const struct conf_listener *shared,
                        struct findings *findings) {
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 2; j++) {
            const struct rate *narrow = rate_of(listener, &options[i][j]);
            const struct rate *wide = rate_of(listener, &options[i][j + 1]);
            bool is_idle = rate_is_set(narrow) && rate_is_set(wide) && narrow->per_hour > wide->per_hour &&
                           narrow->burst > wide->burst;
            struct conf_origin origin = conf_listener_origin(listener, options[i][j].option);
            bool is_told = shared != NULL;
            for (size_t k = j; k < j + 2 && shared != NULL; k++)
                is_told &= is_same_line(listener->origins[options[i][k].option],
                                        shared->origins[options[i][k].option]);
            if (is_idle && !is_told)
                findings_add(findings, FINDING_WARNING, origin.file, origin.line,
                             "%s has no effect, for %s is lower; lower it or remove it",
                             conf_row_of(options[i][j].option)->keyword,
                             conf_row_of(options[i][j + 1].option)->keyword);
        }
}

void check_rates(const struct conf *conf, struct findings *findings) {
    struct conf_origin shared = conf->shared.origins[CONF_rate_action];
    bool is_shared_used = false;
    check_wider(&conf->shared, NULL, findings);
    for (size_t i = 0; i < conf->listener_count; i++) {
        const struct conf_listener *listener = &conf->listeners[i];
        struct conf_origin origin = listener->origins[CONF_rate_action];
        check_wider(listener, &conf->shared, findings);
        if (is_same_line(origin, shared))
            is_shared_used |= has_rate(listener);
        else if (!has_rate(listener))
            findings_add(findings, FINDING_WARNING, origin.file, origin.line,
                         "rate_action has no effect, for this listener has no rate such as publish_rate");
    }
    if (shared.line != 0 && !is_shared_used)
        findings_add(findings, FINDING_WARNING, shared.file, shared.line,
                     "rate_action has no effect, for there is no rate such as publish_rate");
}
