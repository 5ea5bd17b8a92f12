/* check_bridge: rules between the options of one bridge, and between bridges. */
#include "conf/bridge.h"

#include "base/text.h"

#define AT(findings, kind, bridge, option, ...)                                                              \
    do {                                                                                                     \
        struct conf_origin origin_ = conf_bridge_origin(bridge, option);                                     \
        findings_add(findings, kind, origin_.file, origin_.line, __VA_ARGS__);                               \
    } while (0)

static bool is_set(const struct conf_bridge *bridge, enum conf_option option) {
    return bridge->origins[option].line != 0;
}

static const char *keyword_of(enum conf_option option) {
    return conf_row_of(option)->keyword;
}

static bool is_same_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* A wrong line counts as given: it was told already. */
static void check_needed(const struct conf_bridge *bridge, struct findings *findings) {
    if (!is_set(bridge, CONF_address))
        findings_add(
            findings, FINDING_ERROR, bridge->file, bridge->line,
            "connection %s has no address; add a line such as `address broker.example.com:8883` below it",
            bridge->name);
    if (!is_set(bridge, CONF_topic))
        findings_add(findings, FINDING_ERROR, bridge->file, bridge->line,
                     "connection %s has no topic, so nothing would cross it; add a line such as `topic "
                     "sensors/# out 1` below it",
                     bridge->name);
}

static void check_ids(const struct conf *conf, const struct conf_bridge *bridge, struct findings *findings) {
    char own[1024], others[1024];
    if (bridge->name[0] == '\0') /* a wrong name, which was told */
        return;
    conf_bridge_local_id(bridge, "HOSTNAME", own, sizeof own);
    for (const struct conf_bridge *other = conf->bridges; other < bridge; other++)
        if (strcmp(own, conf_bridge_local_id(other, "HOSTNAME", others, sizeof others)) == 0 &&
            strcmp(other->name, bridge->name) != 0) {
            bool is_local = is_set(bridge, CONF_local_clientid);
            AT(findings, FINDING_ERROR, bridge, is_local ? CONF_local_clientid : CONF_remote_clientid,
               "connection %s has the same %s as connection %s at %s:%u, so the two would throw each other "
               "out at the broker; give each "
               "its own local_clientid",
               bridge->name, is_local ? "local_clientid" : "client id at the broker", other->name,
               other->file, other->line);
            return;
        }
}

/* ---- TLS ---- */

static void check_psk(const struct conf_bridge *bridge, struct findings *findings) {
    static const enum conf_option certificates[] = {CONF_bridge_cafile, CONF_bridge_capath,
                                                    CONF_bridge_certfile, CONF_bridge_keyfile,
                                                    CONF_bridge_tls_use_os_certs};
    bool has_key = is_set(bridge, CONF_bridge_psk), has_identity = is_set(bridge, CONF_bridge_identity);
    if (has_key != has_identity)
        AT(findings, FINDING_ERROR, bridge, has_key ? CONF_bridge_psk : CONF_bridge_identity,
           "%s needs %s too", has_key ? "bridge_psk" : "bridge_identity",
           has_key ? "bridge_identity" : "bridge_psk");
    for (size_t i = 0; (has_key || has_identity) && i < sizeof certificates / sizeof certificates[0]; i++)
        if (is_set(bridge, certificates[i]) &&
            (certificates[i] != CONF_bridge_tls_use_os_certs || bridge->bridge_tls_use_os_certs))
            AT(findings, FINDING_ERROR, bridge, certificates[i],
               "%s is about certificates, and this connection has %s instead; remove one of the two",
               keyword_of(certificates[i]), has_key ? "bridge_psk" : "bridge_identity");
    size_t size = 0;
    bool is_hex = true;
    for (const char *at = bridge->bridge_psk; at != NULL && *at != '\0'; at++, size++)
        is_hex &= strchr("0123456789abcdefABCDEF", *at) != NULL;
    if (bridge->bridge_psk != NULL && (!is_hex || size % 2 != 0 || size > 1024))
        AT(findings, FINDING_ERROR, bridge, CONF_bridge_psk,
           "bridge_psk must be an even number of hexadecimal digits, at most 1024, without 0x in front");
    if (bridge->bridge_psk != NULL && is_same_text(bridge->bridge_tls_version, "tlsv1.3"))
        AT(findings, FINDING_ERROR, bridge, CONF_bridge_tls_version,
           "bridge_tls_version tlsv1.3 and bridge_psk exclude each other, for TLS is 1.2 with a pre-shared "
           "key; remove one of the two");
}

static void check_certificate(const struct conf_bridge *bridge, struct findings *findings) {
    bool has_certificate = is_set(bridge, CONF_bridge_certfile),
         has_key = is_set(bridge, CONF_bridge_keyfile);
    if (has_certificate != has_key)
        AT(findings, FINDING_ERROR, bridge, has_certificate ? CONF_bridge_certfile : CONF_bridge_keyfile,
           "%s needs %s too", has_certificate ? "bridge_certfile" : "bridge_keyfile",
           has_certificate ? "bridge_keyfile" : "bridge_certfile");
    else if (has_certificate && !conf_bridge_is_tls(bridge) && !is_set(bridge, CONF_bridge_identity))
        AT(findings, FINDING_WARNING, bridge, CONF_bridge_certfile,
           "bridge_certfile alone does not turn TLS on, so connection %s is in plain text; add "
           "bridge_cafile, "
           "bridge_capath or bridge_tls_use_os_certs true",
           bridge->name);
}

static void check_tls_version(struct conf_bridge *bridge, struct findings *findings) {
    const char *version = bridge->bridge_tls_version;
    char room[TEXT_QUOTED_SIZE];
    if (version == NULL || strcmp(version, "tlsv1.2") == 0 || strcmp(version, "tlsv1.3") == 0)
        return;
    if (strcmp(version, "tlsv1") != 0 && strcmp(version, "tlsv1.1") != 0) {
        AT(findings, FINDING_ERROR, bridge, CONF_bridge_tls_version,
           "bridge_tls_version is '%s', but may only be tlsv1.2 or tlsv1.3",
           text_quote(room, sizeof room, span_of_text(version)));
        return;
    }
    AT(findings, FINDING_WARNING, bridge, CONF_bridge_tls_version,
       "bridge_tls_version %s is not offered any more, tlsv1.2 is the lowest; write tlsv1.2", version);
    bridge->bridge_tls_version = "tlsv1.2";
}

static void check_tls(struct conf_bridge *bridge, struct findings *findings) {
    static const enum conf_option idle[] = {CONF_bridge_alpn,          CONF_bridge_ciphers,
                                            CONF_bridge_ciphers_tls13, CONF_bridge_tls_version,
                                            CONF_bridge_insecure,      CONF_bridge_require_ocsp};
    check_psk(bridge, findings);
    check_certificate(bridge, findings);
    check_tls_version(bridge, findings);
    if (bridge->bridge_alpn != NULL && strlen(bridge->bridge_alpn) > 255)
        AT(findings, FINDING_ERROR, bridge, CONF_bridge_alpn,
           "bridge_alpn is longer than 255 bytes; shorten it");
    if (conf_bridge_is_tls(bridge)) {
        if (bridge->bridge_insecure)
            AT(findings, FINDING_WARNING, bridge, CONF_bridge_insecure,
               "bridge_insecure: the name in the remote broker's certificate is not checked, so every server "
               "with a certificate of these "
               "authorities can be the broker; remove the line");
        if (bridge->bridge_require_ocsp && bridge->bridge_psk != NULL)
            AT(findings, FINDING_ERROR, bridge, CONF_bridge_require_ocsp,
               "bridge_require_ocsp is about certificates, and this connection has bridge_psk instead; "
               "remove one of the two");
        return;
    }
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
        bool is_off = (idle[i] == CONF_bridge_insecure && !bridge->bridge_insecure) ||
                      (idle[i] == CONF_bridge_require_ocsp && !bridge->bridge_require_ocsp);
        if (is_set(bridge, idle[i]) && !is_off)
            AT(findings, FINDING_WARNING, bridge, idle[i],
               "%s has no effect, for connection %s has no TLS; add bridge_cafile, bridge_capath or "
               "bridge_tls_use_os_certs true",
               keyword_of(idle[i]), bridge->name);
    }
}

/* ---- who we are ---- */

static void check_passwords(const struct conf_bridge *bridge, struct findings *findings) {
    static const enum conf_option remote[] = {CONF_remote_password, CONF_remote_password_file,
                                              CONF_remote_password_command};
    size_t count = 0;
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++) {
        count += is_set(bridge, remote[i]);
        if (is_set(bridge, remote[i]) && count == 2)
            AT(findings, FINDING_ERROR, bridge, remote[i],
               "remote_password, remote_password_file and remote_password_command each say what the password "
               "is; keep one of them");
    }
    if (is_set(bridge, CONF_local_password) && is_set(bridge, CONF_local_password_file))
        AT(findings, FINDING_ERROR, bridge, CONF_local_password_file,
           "local_password and local_password_file both say what the password is; keep one of them");
    /* MQTT 3.1.1 3.1.2.9 [MQTT-3.1.2-22]: no password without a username */
    if (count != 0 && !is_set(bridge, CONF_remote_username) &&
        bridge->bridge_protocol_version != CONF_BRIDGE_MQTTV50)
        AT(findings, FINDING_WARNING, bridge,
           is_set(bridge, remote[0])   ? remote[0]
           : is_set(bridge, remote[1]) ? remote[1]
                                       : remote[2],
           "the password is not sent, for connection %s has no remote_username and MQTT before 5.0 has no "
           "password without one; add it",
           bridge->name);
    enum conf_option local =
        is_set(bridge, CONF_local_password) ? CONF_local_password : CONF_local_password_file;
    if (is_set(bridge, local) && !is_set(bridge, CONF_local_username))
        AT(findings, FINDING_WARNING, bridge, local,
           "%s has no effect, for connection %s has no local_username; add it", keyword_of(local),
           bridge->name);
    if (is_set(bridge, CONF_remote_password_timeout_ms) && !is_set(bridge, CONF_remote_password_command))
        AT(findings, FINDING_WARNING, bridge, CONF_remote_password_timeout_ms,
           "remote_password_timeout has no effect without remote_password_command; remove it");
    if (is_set(bridge, CONF_bridge_http_proxy_password_file) && !is_set(bridge, CONF_bridge_http_proxy))
        AT(findings, FINDING_ERROR, bridge, CONF_bridge_http_proxy_password_file,
           "bridge_http_proxy_password_file needs bridge_http_proxy with a user; add it or remove this line");
}

/* ---- how it behaves ---- */

static void check_start(const struct conf_bridge *bridge, struct findings *findings) {
    static const enum conf_option of_lazy[] = {CONF_threshold, CONF_idle_timeout_ms};
    for (size_t i = 0; i < 2 && bridge->start_type != CONF_START_LAZY; i++)
        if (is_set(bridge, of_lazy[i]))
            AT(findings, FINDING_NOTICE, bridge, of_lazy[i], "%s has no effect without start_type lazy",
               keyword_of(of_lazy[i]));
    bool is_outward = false;
    for (const struct conf_route *route = bridge->topic; route != NULL; route = route->next)
        is_outward |= (route->directions & CONF_ROUTE_OUT) != 0;
    if (bridge->start_type == CONF_START_LAZY && bridge->topic != NULL && !is_outward)
        AT(findings, FINDING_WARNING, bridge, CONF_start_type,
           "start_type lazy connects when messages wait to be sent, and connection %s has no topic line out "
           "or both, so it never "
           "would; write automatic",
           bridge->name);
    if (bridge->round_robin && bridge->address != NULL && bridge->address->count == 1)
        AT(findings, FINDING_NOTICE, bridge, CONF_round_robin, "round_robin has no effect with one address");
}

static void check_version(const struct conf_bridge *bridge, struct findings *findings) {
    static const enum conf_option of_5[] = {CONF_bridge_receive_maximum, CONF_bridge_session_expiry_interval,
                                            CONF_bridge_max_topic_alias};
    if (bridge->bridge_protocol_version == CONF_BRIDGE_MQTTV50) {
        if (!bridge->cleansession && bridge->bridge_session_expiry_interval < 0)
            findings_add(findings, FINDING_NOTICE, bridge->file, bridge->line,
                         "connection %s asks the remote broker to keep its session for ever, where mosquitto "
                         "would lose it at once; "
                         "bridge_session_expiry_interval says how long",
                         bridge->name);
        else if (!bridge->cleansession && bridge->bridge_session_expiry_interval == 0)
            AT(findings, FINDING_WARNING, bridge, CONF_bridge_session_expiry_interval,
               "bridge_session_expiry_interval 0 makes the remote broker lose the session with the "
               "connection, although cleansession is "
               "false; remove the line or write a number of seconds");
        return;
    }
    for (size_t i = 0; i < sizeof of_5 / sizeof of_5[0]; i++)
        if (is_set(bridge, of_5[i]))
            AT(findings, FINDING_NOTICE, bridge, of_5[i],
               "%s has no effect without bridge_protocol_version mqttv50", keyword_of(of_5[i]));
}

static void check_notifications(const struct conf_bridge *bridge, struct findings *findings) {
    char room[TEXT_QUOTED_SIZE];
    if (bridge->notification_topic != NULL && strpbrk(bridge->notification_topic, "+#") != NULL)
        AT(findings, FINDING_ERROR, bridge, CONF_notification_topic,
           "notification_topic is '%s', but a topic to publish to holds no + and #",
           text_quote(room, sizeof room, span_of_text(bridge->notification_topic)));
    if (!bridge->notifications && is_set(bridge, CONF_notification_topic))
        AT(findings, FINDING_NOTICE, bridge, CONF_notification_topic,
           "notification_topic has no effect with notifications false");
}

/* What may stand in the first line of a request. */
static bool is_path(const char *text) {
    for (const char *at = text; *at != '\0'; at++)
        if (*at <= ' ' || *at > '~' || *at == '#')
            return false;
    return strlen(text) <= 4096;
}

static void check_way(const struct conf_bridge *bridge, struct findings *findings) {
    char room[TEXT_QUOTED_SIZE];
    if (is_set(bridge, CONF_bridge_websockets_path)) {
        if (bridge->bridge_websockets_path != NULL && bridge->bridge_websockets_path[0] != '/')
            AT(findings, FINDING_ERROR, bridge, CONF_bridge_websockets_path,
               "bridge_websockets_path is '%s', but must begin with a slash, such as /mqtt",
               text_quote(room, sizeof room, span_of_text(bridge->bridge_websockets_path)));
        else if (bridge->bridge_websockets_path != NULL && !is_path(bridge->bridge_websockets_path))
            AT(findings, FINDING_ERROR, bridge, CONF_bridge_websockets_path,
               "bridge_websockets_path holds a blank, a # or a character that is not ASCII, or is longer "
               "than 4096 bytes; write what is "
               "special as %%XX");
        else if (bridge->bridge_transport != CONF_TRANSPORT_WEBSOCKETS)
            AT(findings, FINDING_WARNING, bridge, CONF_bridge_websockets_path,
               "bridge_websockets_path has no effect without bridge_transport websockets; add it or remove "
               "this line");
    }
    if (bridge->bridge_max_packet_size != 0 && bridge->bridge_max_packet_size < 20)
        AT(findings, FINDING_ERROR, bridge, CONF_bridge_max_packet_size,
           "bridge_max_packet_size is %d, but must be at least 20, or 0 for no limit",
           (int)bridge->bridge_max_packet_size);
}

/* What is set for bridges where there is none. */
static void check_idle(const struct conf *conf, struct findings *findings) {
    for (size_t i = 0; i < conf_row_count && conf->bridge_count == 0; i++) {
        const struct conf_row *row = &conf_rows[i];
        bool is_of_bridges = row->kind == CONF_ROW_OPTION &&
                             (row->scope == CONF_SCOPE_BRIDGED || row->option == CONF_queue_dir);
        if (!is_of_bridges)
            continue;
        struct conf_origin origin = row->option == CONF_queue_dir ? conf->origins[CONF_queue_dir]
                                                                  : conf->bridged.origins[row->option];
        if (origin.line != 0)
            findings_add(findings, FINDING_NOTICE, origin.file, origin.line,
                         "%s has no effect, for there is no connection", row->keyword);
    }
}

void conf_check_bridges(struct conf *conf, struct findings *findings) {
    check_idle(conf, findings);
    for (size_t i = 0; i < conf->bridge_count; i++) {
        struct conf_bridge *bridge = &conf->bridges[i];
        check_needed(bridge, findings);
        check_ids(conf, bridge, findings);
        check_tls(bridge, findings);
        check_passwords(bridge, findings);
        check_start(bridge, findings);
        check_version(bridge, findings);
        check_notifications(bridge, findings);
        check_way(bridge, findings);
        conf_check_profile(bridge, findings);
    }
}
