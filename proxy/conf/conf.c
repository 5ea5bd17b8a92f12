#include "conf/conf.h"

#include "base/text.h"

#include <stdio.h>
#include <syslog.h>

void conf_destroy(struct conf *conf) {
    if (conf != NULL)
        arena_destroy(conf->arena); /* conf itself lives in it */
}

const char *conf_listener_name(const struct conf_listener *listener, char *room, size_t room_size) {
    char address[TEXT_QUOTED_SIZE];
    if (listener->is_default_local)
        snprintf(room, room_size, "the default listener (127.0.0.1 and ::1, port %u)", listener->port);
    else if (listener->path != NULL)
        snprintf(room, room_size, "listener 0 %s",
                 text_quote(address, sizeof address, span_of_text(listener->path)));
    else if (listener->address != NULL)
        snprintf(room, room_size, "listener %u %s", listener->port,
                 text_quote(address, sizeof address, span_of_text(listener->address)));
    else
        snprintf(room, room_size, "listener %u", listener->port);
    size_t used = strlen(room);
    if (listener->host != NULL && used < room_size)
        snprintf(room + used, room_size - used, " host %s", listener->host);
    return room;
}

const char *conf_bridge_remote_id(const struct conf_bridge *bridge, const char *hostname, char *room,
                                  size_t room_size) {
    if (bridge->remote_clientid != NULL)
        snprintf(room, room_size, "%s", bridge->remote_clientid);
    else
        snprintf(room, room_size, "%s.%s", hostname, bridge->name);
    return room;
}

const char *conf_bridge_local_id(const struct conf_bridge *bridge, const char *hostname, char *room,
                                 size_t room_size) {
    if (bridge->local_clientid != NULL)
        snprintf(room, room_size, "%s", bridge->local_clientid);
    else if (bridge->remote_clientid != NULL)
        snprintf(room, room_size, "local.%s", bridge->remote_clientid);
    else
        snprintf(room, room_size, "local.%s.%s", hostname, bridge->name);
    return room;
}

/* The words 0 to 7 of log_facility are local0 to local7, the last one is daemon. */
static int syslog_facility(int choice) {
    static const int facilities[] = {LOG_LOCAL0, LOG_LOCAL1, LOG_LOCAL2, LOG_LOCAL3, LOG_LOCAL4,
                                     LOG_LOCAL5, LOG_LOCAL6, LOG_LOCAL7, LOG_DAEMON};
    return facilities[choice];
}

struct log_settings conf_log_settings(const struct conf *conf) {
    return (struct log_settings){.dests = conf->log_dest,
                                 .kinds = conf->log_type,
                                 .timestamp = conf->log_timestamp,
                                 .timestamp_format = conf->log_timestamp_format,
                                 .file = conf->log_file,
                                 .facility = syslog_facility(conf->log_facility)};
}
