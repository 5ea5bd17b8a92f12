/* Connection sections: what is read, what is refused, what fits together, what a reload would change. */
#include "unit/conf/conf_test.h"

#include "conf/diff.h"
#include "conf/profile.h"
#include "conf/rows.h"
#include "conf/value.h"
#include "conf/walk.h"

#include "base/text.h"

#define ERROR   FINDING_ERROR
#define WARNING FINDING_WARNING
#define NOTICE  FINDING_NOTICE

/* A pure bridge; the line behind it is line 5. */
#define BEGIN "backend h\nconnection c\naddress r\n"
#define WHOLE BEGIN "topic #\n"

static const struct conf_bridge *only(const struct outcome *outcome) {
    assert_int_equal(outcome->conf->bridge_count, 1);
    return &outcome->conf->bridges[0];
}

static void defaults_are_mosquittos(void **state) {
    (void)state;
    struct outcome outcome = expect_clean(WHOLE);
    const struct conf *conf = outcome.conf;
    const struct conf_bridge *bridge = only(&outcome);
    assert_int_equal(conf->listener_count, 0); /* it opens no port */
    assert_string_equal(bridge->name, "c");
    assert_string_equal(bridge->file, TEST_PATH);
    assert_int_equal(bridge->line, 2);
    assert_int_equal(bridge->address->count, 1);
    assert_string_equal(bridge->address->list[0].host, "r");
    assert_int_equal(bridge->address->list[0].port, 1883);
    assert_int_equal(bridge->keepalive_interval, 60);
    assert_int_equal(bridge->start_type, CONF_START_AUTOMATIC);
    assert_int_equal(bridge->threshold, 10);
    assert_int_equal(bridge->idle_timeout_ms, 60000);
    assert_int_equal(bridge->restart_timeout.base_s, 5);
    assert_int_equal(bridge->restart_timeout.cap_s, 30);
    assert_int_equal(bridge->restart_timeout.stable_s, 0);
    assert_false(bridge->round_robin || bridge->cleansession || bridge->local_cleansession);
    assert_true(bridge->try_private && bridge->notifications && bridge->bridge_attempt_unsubscribe);
    assert_true(bridge->bridge_outgoing_retain && !bridge->notifications_local_only);
    assert_int_equal(bridge->bridge_protocol_version, CONF_BRIDGE_MQTTV311);
    assert_int_equal(bridge->bridge_max_packet_size, 0);
    assert_int_equal(bridge->bridge_receive_maximum, 0);
    assert_int_equal(bridge->bridge_session_expiry_interval, -1);
    assert_int_equal(bridge->bridge_max_topic_alias, 10);
    assert_int_equal(bridge->bridge_tcp_keepalive.count, 0);
    assert_int_equal(bridge->bridge_reload_type, CONF_RELOAD_LAZY);
    assert_int_equal(bridge->bridge_transport, CONF_TRANSPORT_TCP);
    assert_string_equal(bridge->bridge_websockets_path, "/mqtt");
    assert_int_equal(bridge->profile, CONF_PROFILE_NONE);
    assert_int_equal(bridge->queue_max_bytes, 1 << 30);
    assert_int_equal(bridge->queue_max_age_ms, 7 * 86400000);
    assert_int_equal(bridge->queue_overflow, CONF_OVERFLOW_DROP_OLDEST);
    assert_int_equal(bridge->queue_order, CONF_ORDER_FIFO);
    assert_int_equal(bridge->durability, CONF_DURABILITY_FULL);
    assert_int_equal(bridge->drain_rate.per_hour, 0);
    assert_int_equal(bridge->dead_letter_after, 3);
    assert_int_equal(bridge->bridge_ack_timeout_ms, 30000);
    assert_null(bridge->queue_priority);
    assert_false(conf_bridge_is_tls(bridge));
    assert_string_equal(conf->queue_dir, "/var/lib/drawbridge");
    assert_int_equal(conf->max_inflight_messages, 20);
    assert_int_equal(conf->max_queued_messages, 0);
    assert_int_equal(conf->max_queued_bytes, 0);
    assert_false(conf->queue_qos0_messages || conf->upgrade_outgoing_qos);
    char room[64];
    assert_string_equal(conf_bridge_remote_id(bridge, "host", room, sizeof room), "host.c");
    assert_string_equal(conf_bridge_local_id(bridge, "host", room, sizeof room), "local.host.c");
    outcome_clear(&outcome);
}

/* As people write them for mosquitto, among listeners. */
static void a_rich_section_is_read(void **state) {
    (void)state;
    struct outcome outcome = expect_clean("backend 127.0.0.1:1884\n"
                                          "max_inflight_messages 40\n"
                                          "max_queued_messages 5000 # plenty\n"
                                          "queue_max_bytes 2m\n"
                                          "queue_priority alarms/# 10\n"
                                          "listener 1883 127.0.0.1\n"
                                          "allow_anonymous true\n"
                                          "connection cloud-1.eu\n"
                                          "addresses a.example:8883 [2001:db8::1]:8884 192.0.2.1 # three\n"
                                          "topic sensors/# out 1 plant/ site7/\n"
                                          "topic \"two words/#\" IN\n"
                                          "topic \"\" Both 2 here/x there/y # one to one\n"
                                          "topic a/+ out 0 \"\" \"far away/\"\n"
                                          "remap s/+/t/# out 1 eu/$1/${#:-}\n"
                                          "clientid me\n"
                                          "username user name\n"
                                          "password # is no comment\n"
                                          "local_username inside\n"
                                          "local_password_file secrets/p\n"
                                          "cleansession true\n"
                                          "start_type lazy\n"
                                          "threshold 3\n"
                                          "idle_timeout 5\n"
                                          "restart_timeout 10 20 60\n"
                                          "bridge_cafile ca.pem\n"
                                          "bridge_tcp_keepalive 60 10 3\n"
                                          "max_connections 5\n" /* still the listener's */
                                          "queue_overflow stop_reading\n"
                                          "queue_priority logs/# -10\n"
                                          "drain_rate 500/s\n"
                                          "drain_bytes_rate 1m/s\n"
                                          "connection second\n"
                                          "address b\n"
                                          "topic # in\n");
    const struct conf *conf = outcome.conf;
    assert_int_equal(conf->bridge_count, 2);
    assert_int_equal(conf->listeners[0].max_connections, 5);
    assert_int_equal(conf->max_inflight_messages, 40);
    assert_int_equal(conf->max_queued_messages, 5000);
    const struct conf_bridge *one = &conf->bridges[0], *two = &conf->bridges[1];
    assert_string_equal(one->name, "cloud-1.eu");
    assert_int_equal(one->address->count, 3);
    assert_string_equal(one->address->list[0].host, "a.example");
    assert_string_equal(one->address->list[1].host, "2001:db8::1");
    assert_string_equal(one->address->list[1].text, "[2001:db8::1]:8884");
    assert_int_equal(one->address->list[1].port, 8884);
    assert_int_equal(one->address->list[2].port, 1883);
    assert_string_equal(one->remote_clientid, "me");
    assert_string_equal(one->remote_username, "user name");
    assert_string_equal(one->remote_password, "# is no comment");
    assert_string_equal(one->local_password_file, "etc/secrets/p");
    assert_string_equal(one->bridge_cafile, "etc/ca.pem");
    assert_true(conf_bridge_is_tls(one) && !conf_bridge_is_tls(two));
    assert_true(one->local_cleansession);
    assert_int_equal(one->idle_timeout_ms, 5000);
    assert_int_equal(one->restart_timeout.base_s, 10);
    assert_int_equal(one->restart_timeout.cap_s, 20);
    assert_int_equal(one->restart_timeout.stable_s, 60);
    assert_int_equal(one->bridge_tcp_keepalive.idle_s, 60);
    assert_int_equal(one->bridge_tcp_keepalive.count, 3);
    assert_int_equal(one->drain_rate.per_hour, 500 * 3600);
    /* what stands above any connection is for all, but for who has lines of its own */
    assert_int_equal(one->queue_max_bytes, 2 << 20);
    assert_int_equal(two->queue_max_bytes, 2 << 20);
    assert_int_equal(one->queue_overflow, CONF_OVERFLOW_STOP_READING);
    assert_int_equal(two->queue_overflow, CONF_OVERFLOW_DROP_OLDEST);
    assert_string_equal(one->queue_priority->filter, "logs/#");
    assert_int_equal(one->queue_priority->priority, -10);
    assert_null(one->queue_priority->next);
    assert_string_equal(two->queue_priority->filter, "alarms/#");
    char room[64];
    assert_string_equal(conf_bridge_local_id(one, "host", room, sizeof room), "local.me");
    outcome_clear(&outcome);
}

struct line {
    const char *text;
    unsigned directions;
    uint8_t qos;
    const char *local, *remote; /* remap: filter, template */
    const char *printed;
};

static void routes_are_read(void **state) {
    (void)state;
    static const struct line rows[] = {
        {"topic #", CONF_ROUTE_OUT, 0, "#", "#", "topic # out 0"},
        {"topic #  in", CONF_ROUTE_IN, 0, "#", "#", "topic # in 0"},
        {"topic # # all of it", CONF_ROUTE_OUT, 0, "#", "#", "topic # out 0"},
        {"topic a/# both # 1", 3, 0, "a/#", "a/#", "topic a/# both 0"},
        {"topic a OUT 2 # x/", CONF_ROUTE_OUT, 2, "a", "a", "topic a out 2"},
        {"topic a out 1 l/ # r/", CONF_ROUTE_OUT, 1, "l/a", "a", "topic a out 1 l/ \"\""},
        {"topic a out 1 \"\" r/", CONF_ROUTE_OUT, 1, "a", "r/a", "topic a out 1 \"\" r/"},
        {"topic # out 1 l r", CONF_ROUTE_OUT, 1, NULL, NULL, NULL}, /* l# is no filter */
        {"topic + out 1 l/x/ r/", CONF_ROUTE_OUT, 1, "l/x/+", "r/+", "topic + out 1 l/x/ r/"},
        {"topic \"\" both 1 l/a r/b", 3, 1, "l/a", "r/b", "topic \"\" both 1 l/a r/b"},
        {"topic \"a\" in 1", CONF_ROUTE_IN, 1, "a", "a", "topic a in 1"},
        {"topic \"a  b/+\" in 1 \"x y/\"", CONF_ROUTE_IN, 1, "x y/a  b/+", "a  b/+",
         "topic \"a  b/+\" in 1 \"x y/\" \"\""},
        {"topic a#b", 0, 0, NULL, NULL, NULL},
        {"topic $share/g/a/# in 1", CONF_ROUTE_IN, 1, "$share/g/a/#", "$share/g/a/#",
         "topic $share/g/a/# in 1"},
        {"remap a/+/b out 1 $1", CONF_ROUTE_OUT, 1, "a/+/b", "$1", "remap a/+/b out 1 $1"},
        {"remap # in 0 ${topic:-}", CONF_ROUTE_IN, 0, "#", "${topic:-}", "remap # in 0 ${topic:-}"},
        {"remap # in 0 ${#:\xC3\xA9} # flat", CONF_ROUTE_IN, 0, "#", "${#:\xC3\xA9}",
         "remap # in 0 ${#:\xC3\xA9}"},
        {"remap # in 0 ${topic:}}", CONF_ROUTE_IN, 0, "#", "${topic:}}", "remap # in 0 ${topic:}}"},
        {"remap \"a b/+\" Out 2 \"$$x/${hostname} ${name}/$1\"", CONF_ROUTE_OUT, 2, "a b/+",
         "$$x/${hostname} ${name}/$1", "remap \"a b/+\" out 2 \"$$x/${hostname} ${name}/$1\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char lines[300], room[300];
        snprintf(lines, sizeof lines, BEGIN "%s\n", rows[i].text);
        if (rows[i].local == NULL) {
            expect_one(lines, ERROR, TEST_PATH ":4: the local filter '");
            continue;
        }
        struct outcome outcome = expect_clean(lines);
        const struct conf_route *route = only(&outcome)->topic;
        assert_int_equal(route->directions, rows[i].directions);
        assert_int_equal(route->qos, rows[i].qos);
        assert_int_equal(route->origin.line, 4);
        assert_string_equal(route->is_remap ? route->source_filter : route->local_filter, rows[i].local);
        assert_string_equal(route->is_remap ? route->target : route->remote_filter, rows[i].remote);
        assert_string_equal(value_print(conf_row_of(CONF_topic), only(&outcome), room, sizeof room),
                            rows[i].printed);
        outcome_clear(&outcome);
    }
}

static void wrong_lines_are_named(void **state) {
    (void)state;
    static const struct {
        const char *line; /* line 5 */
        enum finding_kind kind;
        const char *piece;
    } rows[] = {
        {"topic", ERROR, ":5: topic has no pattern"},
        {"topic a b", ERROR, "the direction of topic is 'b', but may only be out, in or both"},
        {"topic two words/# out 1", ERROR, "a pattern with spaces needs quotes"},
        {"topic \"a out 1", ERROR, "the quotes around 'a out 1' of topic are not closed"},
        {"topic \"a\"b out 1", ERROR, "or something stands right behind them"},
        {"topic a both bridge/", ERROR, "the QoS of topic is 'bridge/', but must be 0, 1 or 2"},
        {"topic a both 3", ERROR, "the QoS of topic is '3'"},
        {"topic a both 1x", ERROR, "the QoS of topic is '1x'"},
        {"topic a both 1 l/+/", ERROR, "the local prefix 'l/+/' may not hold the wildcards"},
        {"topic a both 1 l/ r/#", ERROR, "the remote prefix 'r/#' may not hold the wildcards"},
        {"topic a both 1 l/ r/ more", WARNING, "'more', which is ignored"},
        {"topic \"\" out 1 l/", ERROR, "needs both prefixes"},
        {"topic \"\"", ERROR, "needs both prefixes"},
        {"topic \"\" out 1 \"\" r", ERROR, "needs both prefixes"},
        {"topic a/#/b", ERROR, "has a # that is not its last level"},
        {"topic a+ in", ERROR, "has a + that does not fill its level"},
        {"topic a\tout", ERROR, "there is a tab in 'a\\x09out'"},
        {"topic $share/g", ERROR, "has no filter behind $share/NAME/"},
        {"remap", ERROR, "remap takes four values"},
        {"remap a out 1", ERROR, "remap takes four values"},
        {"remap a both 1 b", ERROR, "the direction of remap is 'both', but may only be out or in"},
        {"remap a out 4 b", ERROR, "the QoS of remap is '4'"},
        {"remap a+ out 1 b", ERROR, "the filter 'a+' has a +"},
        {"remap a/+ out 1 b/$2", ERROR, "has $2, but the filter has only 1 +"},
        {"remap a/+ out 1 b/$#", ERROR, "has $#, but the filter has no #"},
        {"remap a/+ out 1 ${#:-}", ERROR, "has $#, but the filter has no #"},
        {"remap $share/+/+ out 1 a", ERROR, "the filter '$share/+/+' has no filter behind $share/NAME/"},
        {"remap a/# out 1 ${#:+}", ERROR, "which is none of $1 to $9"},
        {"remap a/# out 1 ${#:}", ERROR, "which is none of $1 to $9"},
        {"remap a/# out 1 ${#:--}", ERROR, "which is none of $1 to $9"},
        {"remap a/# out 1 ${host}", ERROR, "'${host}', which is none of"},
        {"remap a/# out 1 $SYS/a", ERROR, "write $$ for a dollar"},
        {"remap a/+ out 1 $0", ERROR, "which is none of"},
        {"remap a/# out 1 a$", ERROR, "which is none of"},
        {"remap a/# out 1 b/#", ERROR, "no topic holds + or #"},
        {"remap a/+ out 1 b/+", ERROR, "no topic holds + or #"},
        {"remap a/# out 1 \"\"", ERROR, "is empty, which never makes a topic"},
        {"address x", ERROR, ":5: address stands at etc/test.conf:3 already"},
        {"addresses x", ERROR, ":5: addresses stands at etc/test.conf:3 already"},
        {"remote_clientid a\nclientid b", ERROR, ":6: clientid stands at etc/test.conf:5 already"},
        {"start_type manual", ERROR, ":5: start_type manual is not possible"},
        {"start_type now", ERROR, "start_type is 'now', but may only be one of automatic|lazy|once"},
        {"start_type lazy\nthreshold 0", WARNING, ":6: threshold is 0 and counts as 1"},
        {"start_type lazy\nidle_timeout 0", WARNING, ":6: idle_timeout is 0 and counts as 1s"},
        {"keepalive_interval 4", WARNING, ":5: keepalive_interval is 4 and counts as 5"},
        {"keepalive_interval 65536", ERROR, "must be from 0 to 65535"},
        {"restart_timeout", ERROR, "restart_timeout has no value; write: restart_timeout SECONDS"},
        {"restart_timeout x", ERROR, "restart_timeout has 'x', which is no whole number"},
        {"restart_timeout 0", WARNING, "restart_timeout is below 1 and counts as 1"},
        {"restart_timeout 3601", ERROR, "restart_timeout must be from 1 to 3600 seconds"},
        {"restart_timeout 20 10", ERROR, "restart_timeout must be from 1 to 3600 seconds"},
        {"restart_timeout 20 7201", ERROR, "and at most 7200"},
        {"restart_timeout 20 30 -1", ERROR, "a third not below 0"},
        {"bridge_tcp_keepalive 60 10", ERROR, "bridge_tcp_keepalive takes three numbers above 0"},
        {"bridge_tcp_keepalive 60 0 3", ERROR, "bridge_tcp_keepalive takes three numbers above 0"},
        {"queue_max_bytes 1t", ERROR, "queue_max_bytes is '1t', which is no size"},
        {"queue_max_bytes", ERROR, "queue_max_bytes has no value"},
        {"queue_priority a", ERROR, "queue_priority takes a filter and a number from -100 to 100"},
        {"queue_priority a 101", ERROR, "queue_priority takes a filter and a number from -100 to 100"},
        {"queue_priority a# 1", ERROR, "the filter 'a#' of queue_priority has a #"},
        {"drain_rate fast", ERROR, "drain_rate is 'fast', which is no rate"},
        {"profile aws", ERROR, "profile is 'aws', but may only be one of none|aws-iot"},
        {"connection c\naddress x\ntopic #", ERROR, ":5: connection c stands at etc/test.conf:2 already"},
        {"connection a/b\naddress x\ntopic #", ERROR, ":5: the name of the connection is 'a/b'"},
        {"connection .a\naddress x\ntopic #", ERROR, ":5: the name of the connection is '.a'"},
        {"connection\naddress x\ntopic #", ERROR, ":5: connection has no name"},
        {"connection d\ntopic #", ERROR, ":5: connection d has no address"},
        {"connection d\naddress x", ERROR, ":5: connection d has no topic"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char lines[300];
        snprintf(lines, sizeof lines, WHOLE "%s\n", rows[i].line);
        expect_one(lines, rows[i].kind, rows[i].piece);
    }
    expect_one("backend h\nconnection c\ntopic #\naddress [::1\n", ERROR,
               ":4: address names '[::1', which is no address");
    expect_one("backend h\nconnection c\ntopic #\naddress [h]:1\n", ERROR, "which is no address");
    expect_one("backend h\nconnection c\ntopic #\naddress fe80::1\n", ERROR, "which is no address");
    expect_one("backend h\nconnection c\ntopic #\naddress mqtt://h:1\n", ERROR,
               "names 'mqtt://h:1', a URL; write only HOST:PORT");
    expect_one("backend h\nconnection c\ntopic #\naddress a b:0\n", ERROR,
               "names 'b:0', whose port must be a number");
    expect_one("backend h\nconnection c\ntopic #\naddress a:\n", ERROR, "names 'a:', whose port");
    expect_one("backend h\nconnection c\ntopic #\naddress\n", ERROR, ":4: address has no value");
    expect_one("backend h\nconnection c\ntopic #\naddress 2001:db8::1:1884\n", WARNING,
               "is read as port 1884 of 2001:db8::1; write [2001:db8::1]:1884");
    expect_one(OPEN "remote_username x\n", ERROR, ":4: remote_username belongs to a bridge");
    expect_one("topic #\n" WHOLE, ERROR, ":1: topic belongs to a bridge; put it below the connection line");
}

#define TLS "bridge_cafile c\n"

static void options_fit_together(void **state) {
    (void)state;
    static const struct {
        const char *lines; /* from line 5 on */
        enum finding_kind kind;
        const char *piece;
    } rows[] = {
        {"bridge_certfile c", ERROR, ":5: bridge_certfile needs bridge_keyfile too"},
        {"bridge_keyfile c", ERROR, ":5: bridge_keyfile needs bridge_certfile too"},
        {"bridge_certfile c\nbridge_keyfile k", WARNING, ":5: bridge_certfile alone does not turn TLS on"},
        {"bridge_psk ab", ERROR, ":5: bridge_psk needs bridge_identity too"},
        {"bridge_identity i", ERROR, ":5: bridge_identity needs bridge_psk too"},
        {"bridge_psk abc\nbridge_identity i", ERROR,
         ":5: bridge_psk must be an even number of hexadecimal digits"},
        {"bridge_psk 0xab\nbridge_identity i", ERROR, "without 0x in front"},
        {"bridge_psk ab\nbridge_identity i\n" TLS, ERROR, ":7: bridge_cafile is about certificates"},
        {"bridge_psk ab\nbridge_identity i\nbridge_tls_use_os_certs true", ERROR,
         ":7: bridge_tls_use_os_certs is about"},
        {"bridge_psk ab\nbridge_identity i\nbridge_tls_version tlsv1.3", ERROR,
         ":7: bridge_tls_version tlsv1.3 and bridge_psk exclude"},
        {"bridge_psk ab\nbridge_identity i\nbridge_require_ocsp true", ERROR,
         ":7: bridge_require_ocsp is about certificates"},
        {TLS "bridge_tls_version tlsv1.4", ERROR,
         ":6: bridge_tls_version is 'tlsv1.4', but may only be tlsv1.2 or tlsv1.3"},
        {TLS "bridge_tls_version tlsv1.1", WARNING, ":6: bridge_tls_version tlsv1.1 is not offered any more"},
        {TLS "bridge_insecure true", WARNING,
         ":6: bridge_insecure: the name in the remote broker's certificate is not checked"},
        {"bridge_insecure true", WARNING, ":5: bridge_insecure has no effect, for connection c has no TLS"},
        {"bridge_alpn mqtt", WARNING, ":5: bridge_alpn has no effect"},
        {"bridge_ciphers x", WARNING, ":5: bridge_ciphers has no effect"},
        {"bridge_ciphers_tls1.3 x", WARNING, ":5: bridge_ciphers_tls1.3 has no effect"},
        {"bridge_tls_version tlsv1.2", WARNING, ":5: bridge_tls_version has no effect"},
        {"bridge_require_ocsp true", WARNING, ":5: bridge_require_ocsp has no effect"},
        {"username u\npassword p\nremote_password_file f", ERROR,
         ":7: remote_password, remote_password_file and"},
        {"username u\nremote_password_command x\nremote_password_file f", ERROR,
         ":6: remote_password, remote_password_file and"},
        {"local_username u\nlocal_password p\nlocal_password_file f", ERROR,
         ":7: local_password and local_password_file both"},
        {"password p", WARNING, ":5: the password is not sent"},
        {"local_password p", WARNING, ":5: local_password has no effect"},
        {"remote_password_timeout 5s", WARNING,
         ":5: remote_password_timeout has no effect without remote_password_command"},
        {"bridge_http_proxy_password_file f", ERROR,
         ":5: bridge_http_proxy_password_file needs bridge_http_proxy"},
        {"threshold 5", NOTICE, ":5: threshold has no effect without start_type lazy"},
        {"idle_timeout 5", NOTICE, ":5: idle_timeout has no effect without start_type lazy"},
        {"round_robin true", NOTICE, ":5: round_robin has no effect with one address"},
        {"bridge_protocol_version mqttv50", NOTICE,
         ":2: connection c asks the remote broker to keep its session for ever"},
        {"bridge_protocol_version mqttv50\nbridge_session_expiry_interval 0", WARNING,
         ":6: bridge_session_expiry_interval 0 makes the remote"},
        {"bridge_receive_maximum 5", NOTICE,
         ":5: bridge_receive_maximum has no effect without bridge_protocol_version mqttv50"},
        {"notification_topic a/+", ERROR, ":5: notification_topic is 'a/+'"},
        {"notifications false\nnotification_topic a", NOTICE, ":6: notification_topic has no effect"},
        {"bridge_websockets_path mqtt", ERROR,
         ":5: bridge_websockets_path is 'mqtt', but must begin with a slash"},
        {"bridge_websockets_path /x", WARNING, ":5: bridge_websockets_path has no effect"},
        {"bridge_max_packet_size 19", ERROR, ":5: bridge_max_packet_size is 19, but must be at least 20"},
        {"local_clientid x\nconnection d\naddress h\ntopic #\nlocal_clientid x", ERROR,
         ":9: connection d has the same local_clientid as connection c"},
        {"clientid x\nconnection d\naddress h\ntopic #\nclientid x", ERROR,
         ":9: connection d has the same client id at the broker"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char lines[400];
        snprintf(lines, sizeof lines, WHOLE "%s\n", rows[i].lines);
        expect_one(lines, rows[i].kind, rows[i].piece);
    }
    static const char *const silent[] = {
        TLS
        "bridge_certfile c\nbridge_keyfile k\nbridge_keyfile k2\nbridge_alpn mqtt\nbridge_insecure false\n",
        "bridge_psk AB01\nbridge_identity i\nbridge_tls_use_os_certs false\n",
        "username u\nremote_password_command cat x\nremote_password_timeout 5s\n",
        "bridge_protocol_version mqttv50\ncleansession true\n",
        "bridge_protocol_version mqttv50\nbridge_session_expiry_interval 3600\npassword p\n",
        "bridge_transport websockets\nbridge_websockets_path /x?y=1\n",
        "connection d\naddress h:1884\ntopic #\nlocal_clientid local.x\n",
    };
    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++) {
        char lines[400];
        snprintf(lines, sizeof lines, WHOLE "%s", silent[i]);
        if (strstr(lines, "bridge_keyfile k2") != NULL) { /* mosquitto takes the last one */
            expect_one(lines, WARNING, ":8: bridge_keyfile replaces the value of line 7");
            continue;
        }
        struct outcome outcome = expect_clean(lines);
        outcome_clear(&outcome);
    }
    expect_one(BEGIN "topic # in\nstart_type lazy\n", WARNING,
               ":5: start_type lazy connects when messages wait");
    expect_one(OPEN "queue_dir q\n", NOTICE, ":4: queue_dir has no effect, for there is no connection");
    expect_one(OPEN "durability full\n", NOTICE, ":4: durability has no effect, for there is no connection");
    expect_one(OPEN "max_inflight_messages 5\n", NOTICE,
               ":4: for the broker, without effect here: max_inflight_messages");
}

/* A password is in no finding and in no line about a reload. */
static void passwords_are_not_shown(void **state) {
    (void)state;
    static const char *const keywords[] = {"remote_password", "local_password", "bridge_psk",
                                           "bridge_http_proxy"};
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        char lines[300], room[TEXT_QUOTED_SIZE];
        snprintf(lines, sizeof lines,
                 WHOLE "username u\nlocal_username u\nbridge_identity i\n%s \"sesame\" # \"\n", keywords[i]);
        struct outcome outcome = outcome_of(lines);
        for (const struct finding *finding = outcome.findings.first; finding != NULL; finding = finding->next)
            assert_null(strstr(finding->text, "sesame"));
        assert_true(outcome_count(&outcome, WARNING, "belong to the value of") >= 1);
        outcome_clear(&outcome);
        const struct conf_row *row = conf_row_find(span_of_text(keywords[i]));
        assert_int_equal(row->type, CONF_TYPE_HIDDEN);
        struct conf_bridge bridge = {.remote_password = "sesame",
                                     .local_password = "sesame",
                                     .bridge_psk = "sesame",
                                     .bridge_http_proxy = "sesame"};
        assert_string_equal(value_print(row, &bridge, room, sizeof room), "a text that is not shown");
    }
}

/* ---- profiles ---- */

static void profiles_set_what_is_not_said(void **state) {
    (void)state;
    struct outcome outcome = expect_good(WHOLE TLS "profile aws-iot\n");
    const struct conf_bridge *bridge = only(&outcome);
    assert_int_equal(outcome.findings.size, 1);
    assert_int_equal(
        outcome_count(&outcome, NOTICE,
                      ":6: for AWS IoT Core connection c has: try_private false, notifications_local_only "
                      "true, bridge_attempt_unsubscribe false"),
        1);
    assert_false(bridge->try_private || bridge->bridge_attempt_unsubscribe ||
                 !bridge->notifications_local_only);
    assert_int_equal(profile_of(bridge)->payload_max_bytes, 131072);
    assert_int_equal(profile_of(bridge)->qos_max, 1);
    outcome_clear(&outcome);
    outcome = expect_clean(
        WHOLE TLS
        "profile aws-iot\ntry_private false\nnotifications false\nbridge_attempt_unsubscribe false\n");
    assert_false(only(&outcome)->notifications_local_only);
    outcome_clear(&outcome);
    outcome = expect_good(WHOLE TLS "profile azure-eventgrid\n");
    assert_false(only(&outcome)->bridge_outgoing_retain);
    outcome_clear(&outcome);
    outcome = expect_good(BEGIN "topic a out 2\ntopic b in 1\nprofile aws-iot\n" TLS);
    assert_int_equal(only(&outcome)->topic->qos, 1);
    assert_int_equal(only(&outcome)->topic->next->qos, 1);
    outcome_clear(&outcome);
    outcome = expect_clean(WHOLE "profile mosquitto\n");
    assert_true(only(&outcome)->try_private && only(&outcome)->bridge_attempt_unsubscribe);
    assert_int_equal(profile_of(only(&outcome))->qos_max, 2);
    outcome_clear(&outcome);
}

#define QUIET "notifications false\ntry_private false\nbridge_attempt_unsubscribe false\n" TLS

static void profiles_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *lines; /* from line 4 on */
        enum finding_kind kind;
        const char *piece;
    } rows[] = {
        {QUIET "topic # out 1 \"\" a/\nprofile aws-iot\nkeepalive_interval 1201", WARNING,
         ":10: AWS IoT Core allows a keepalive_interval of at most 1200"},
        {QUIET "topic a\nprofile aws-iot\nkeepalive_interval 29", WARNING,
         "wants a keepalive_interval of at least 30"},
        {QUIET "topic a/b/c/d/e/f/g/h/i\nprofile aws-iot", WARNING,
         ":8: 'a/b/c/d/e/f/g/h/i' has 8 slashes, but AWS IoT Core allows 7"},
        {QUIET "topic a out 2\nprofile aws-iot", WARNING, ":8: AWS IoT Core takes no QoS above 1"},
        {QUIET "topic a\nprofile aws-iot\nbridge_protocol_version mqttv31", ERROR,
         ":10: AWS IoT Core does not speak mqttv31"},
        {QUIET "topic a\nprofile azure-iothub\nremote_username u\nclientid d\nbridge_protocol_version "
               "mqttv50\ncleansession true",
         ERROR, "Azure IoT Hub does not speak mqttv50"},
        {QUIET "topic a\nprofile azure-iothub\nremote_username u\nclientid d", WARNING,
         ":8: Azure IoT Hub knows only topics below devices/"},
        {QUIET "topic \"\" out 1 a devices/d/messages/events/\nprofile azure-iothub\nclientid d", WARNING,
         "wants a username"},
        {QUIET "topic \"\" out 1 a devices/d/messages/events/\nprofile azure-iothub\nremote_username u",
         WARNING, "wants the device id as client id"},
        {QUIET "topic a\nprofile azure-eventgrid\nbridge_outgoing_retain true", WARNING,
         ":10: Azure Event Grid does not stand bridge_outgoing_retain true"},
        {QUIET "topic a\nprofile azure-eventgrid\nbridge_outgoing_retain false\nkeepalive_interval 1161",
         WARNING, "at most 1160"},
        {"notifications false\ntry_private true\nbridge_attempt_unsubscribe false\n" TLS
         "topic a\nprofile aws-iot",
         WARNING, ":5: AWS IoT Core does not stand try_private true"},
        {"notifications false\ntry_private false\nbridge_attempt_unsubscribe false\ntopic a\nprofile "
         "hivemq-cloud",
         WARNING, ":8: HiveMQ Cloud speaks TLS only"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char lines[500];
        snprintf(lines, sizeof lines, BEGIN "%s\n", rows[i].lines);
        expect_one(lines, rows[i].kind, rows[i].piece);
    }
    char many[4000] = BEGIN QUIET "profile azure-iothub\nremote_username u\nclientid d\n";
    for (int i = 0; i < 6; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "topic devices/%d in 1\n", i);
    expect_one(many, ERROR, "connection c has 6 lines in or both, but Azure IoT Hub allows 5 subscriptions");
    char long_id[400] = BEGIN QUIET "topic a\nprofile aws-iot\nclientid ";
    size_t used = strlen(long_id);
    memset(long_id + used, 'x', 129);
    expect_one(long_id, ERROR, ":10: remote_clientid is longer than the 128 bytes");
}

/* ---- reload ---- */

static void note(void *keeper, const struct conf_change *change) {
    char *text = keeper;
    size_t used = strlen(text);
    snprintf(text + used, 2000 - used, "%u %s%s %s->%s%s%s\n", change->line, change->keyword,
             change->is_gone ? " gone" : "", change->from, change->to,
             change->needs_restart ? " restart" : "", change->bridge == NULL ? "" : change->bridge->name);
}

static void expect_diff(const char *running, const char *wanted, const char *changes) {
    struct outcome before = expect_good(running), after = expect_good(wanted);
    char told[2000] = "";
    conf_diff(before.conf, after.conf, note, told);
    assert_string_equal(told, changes);
    outcome_clear(&before);
    outcome_clear(&after);
}

static void changes_are_told_by_bridge(void **state) {
    (void)state;
    expect_diff(WHOLE, WHOLE, "");
    expect_diff(WHOLE "topic a/+ in 1 \"\" \"x y/\"\n",
                BEGIN "# moved\ntopic # out\ntopic \"a/+\" IN 1 \"\" \"x y/\"\n", "");
    expect_diff(WHOLE, WHOLE "keepalive_interval 30\n", "5 keepalive_interval 60->30c\n");
    expect_diff(WHOLE "keepalive_interval 30\n", WHOLE, "5 keepalive_interval gone 30->60c\n");
    expect_diff(WHOLE, WHOLE "topic b in 1 x/ y/\nremap a out 0 b\n",
                "6 topic topic # out 0->topic # out 0, topic b in 1 x/ y/, remap a out 0 bc\n");
    expect_diff(WHOLE, "backend h\nconnection c\naddress r:1884 [::2]\ntopic #\n",
                "3 address r->r:1884 [::2]c\n");
    expect_diff(WHOLE "password a\nusername u\n", WHOLE "password b\nusername u\n",
                "5 remote_password a text that is not shown->a text that is not shownc\n");
    expect_diff(WHOLE "restart_timeout 5\n", WHOLE "restart_timeout 5 20 1\n",
                "5 restart_timeout 5 5 0->5 20 1c\n");
    expect_diff(WHOLE, WHOLE "bridge_tcp_keepalive 1 2 3\n", "5 bridge_tcp_keepalive none->1 2 3c\n");
    expect_diff(WHOLE, WHOLE "queue_max_bytes 1k\n", "5 queue_max_bytes 1073741824->1024c\n");
    expect_diff(WHOLE, WHOLE "queue_priority a 1\nqueue_priority b/# -1\n",
                "6 queue_priority none->a 1, b/# -1c\n");
    expect_diff(WHOLE, WHOLE "cleansession true\n",
                "5 cleansession false->truec\n0 local_cleansession false->truec\n");
    expect_diff(WHOLE, WHOLE "connection d\naddress h\ntopic #\n", "5 connection none->dd\n");
    expect_diff(WHOLE "connection d\naddress h\ntopic #\n", WHOLE, "5 connection gone d->noned\n");
    /* for all bridges: told once */
    expect_diff(WHOLE "connection d\naddress h\ntopic #\n",
                "durability relaxed\n" WHOLE "connection d\naddress h\ntopic #\n",
                "1 durability full->relaxed\n");
    expect_diff(WHOLE, "queue_dir /q\n" WHOLE, "1 queue_dir /var/lib/drawbridge->/q restart\n");
    expect_diff(WHOLE, "max_inflight_messages 5\n" WHOLE, "1 max_inflight_messages 20->5\n");
    /* the same section elsewhere */
    expect_diff(WHOLE "connection d\naddress h\ntopic #\n",
                "backend h\nconnection d\naddress h\ntopic #\nconnection c\naddress r\ntopic #\n", "");
}

static void collect(void *keeper, const char *keyword, const char *path) {
    char *text = keeper;
    size_t used = strlen(text);
    snprintf(text + used, 1000 - used, "%s=%s ", keyword == NULL ? "" : keyword, path);
}

static void files_of_bridges_are_walked(void **state) {
    (void)state;
    struct outcome outcome =
        expect_good(WHOLE "bridge_cafile a\nbridge_capath b\nbridge_certfile c\nbridge_keyfile d\n"
                          "username u\nremote_password_file e\nlocal_username u\nlocal_password_file f\n"
                          "bridge_http_proxy http://u@p:1\nbridge_http_proxy_password_file g\nqueue_dir h\n");
    char text[1000] = "";
    conf_each_path(outcome.conf, collect, text);
    assert_string_equal(text, "=" TEST_PATH " remote_password_file=etc/e local_password_file=etc/f "
                              "bridge_http_proxy_password_file=etc/g bridge_cafile=etc/a bridge_capath=etc/b "
                              "bridge_certfile=etc/c bridge_keyfile=etc/d ");
    outcome_clear(&outcome);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_mosquittos),
        cmocka_unit_test(a_rich_section_is_read),
        cmocka_unit_test(routes_are_read),
        cmocka_unit_test(wrong_lines_are_named),
        cmocka_unit_test(options_fit_together),
        cmocka_unit_test(passwords_are_not_shown),
        cmocka_unit_test(profiles_set_what_is_not_said),
        cmocka_unit_test(profiles_are_checked),
        cmocka_unit_test(changes_are_told_by_bridge),
        cmocka_unit_test(files_of_bridges_are_walked),
    };
    return cmocka_run_group_tests_name("conf/bridge", tests, NULL, NULL);
}
