/* From lines to a generation: values, scopes, inheritance, and what is said of wrong lines. */
#include "unit/conf/conf_test.h"

#include "conf/rows.h"

#include <syslog.h>

#define ERROR   FINDING_ERROR
#define WARNING FINDING_WARNING
#define NOTICE  FINDING_NOTICE

static void the_defaults_are_mosquittos(void **state) {
    (void)state;
    struct outcome outcome = expect_clean("backend broker:1884\n");
    const struct conf *conf = outcome.conf;
    assert_int_equal(conf->listener_count, 1);
    const struct conf_listener *listener = &conf->listeners[0];
    assert_true(listener->is_default_local);
    assert_int_equal(listener->port, 1883);
    assert_null(listener->address);
    assert_true(listener->allow_anonymous);
    assert_int_equal(listener->max_connections, -1);
    assert_int_equal(listener->max_qos, 2);
    assert_int_equal(listener->max_topic_alias, 10);
    assert_int_equal(listener->max_packet_size, 2000000);
    assert_int_equal(listener->message_size_limit, 0);
    assert_int_equal(listener->max_keepalive, 0);
    assert_true(listener->retain_available);
    assert_true(listener->allow_zero_length_clientid);
    assert_string_equal(listener->auto_id_prefix, "auto-");
    assert_int_equal(listener->accept_protocol_versions, CONF_VERSION(3) | CONF_VERSION(4) | CONF_VERSION(5));
    assert_int_equal(listener->handshake_timeout_ms, 10000);
    assert_int_equal(listener->connect_timeout_ms, 10000);
    assert_int_equal(listener->acl_subscribe, CONF_ACL_SUBSCRIBE_REFUSE);
    assert_int_equal(listener->deny_publish, CONF_DENY_PUBLISH_ACK);
    assert_string_equal(listener->tls_version, "tlsv1.2");
    assert_false(conf_listener_is_tls(listener));
    assert_null(listener->password_file);
    assert_int_equal(conf->backend_timeout_ms, 5000);
    assert_int_equal(conf->global_max_connections, -1);
    assert_int_equal(conf->workers, 0);
    assert_string_equal(conf->user, "mosquitto");
    assert_null(conf->metrics_listener);
    assert_true(conf->connection_messages);
    struct log_settings log = conf_log_settings(conf);
    assert_int_equal(log.dests, LOG_DEST_STDERR);
    assert_int_equal(log.kinds, LOG_KINDS_DEFAULT);
    assert_true(log.timestamp);
    assert_int_equal(log.facility, LOG_DAEMON);
    assert_ptr_equal(listener->backend, conf->backend);
    assert_string_equal(conf->backend->host, "broker");
    assert_int_equal(conf->backend->port, 1884);
    outcome_clear(&outcome);
}

/* The four lines of the tutorial, plus the backend. */
static void the_tutorial_is_read(void **state) {
    (void)state;
    struct outcome outcome = expect_clean("per_listener_settings true\n"
                                          "listener 1883\n"
                                          "allow_anonymous false\n"
                                          "password_file passwd\n"
                                          "backend 127.0.0.1:1884\n");
    const struct conf_listener *listener = &outcome.conf->listeners[0];
    assert_false(listener->is_default_local);
    assert_false(listener->allow_anonymous);
    assert_string_equal(listener->password_file, "etc/passwd");
    assert_int_equal(conf_listener_origin(listener, CONF_password_file).line, 4);
    assert_string_equal(conf_listener_origin(listener, CONF_password_file).file, TEST_PATH);
    assert_int_equal(conf_listener_origin(listener, CONF_max_qos).line,
                     2); /* a default: the listener's line */
    outcome_clear(&outcome);
}

/* A broker's file that has seen some years, in the way administrators write them. */
static void a_rich_file_is_read(void **state) {
    (void)state;
    struct outcome outcome = expect_good("# our broker\r\n"
                                         "pid_file /run/mosquitto/mosquitto.pid\r\n"
                                         "user mosquitto\n"
                                         "persistence true\n"
                                         "persistence_location /var/lib/mosquitto/\n"
                                         "autosave_interval 300\n"
                                         "max_queued_messages 5000 # plenty\n"
                                         "max_inflight_messages 40\n"
                                         "persistence_file mosquitto.db\n"
                                         "log_dest syslog\n"
                                         "log_dest file /var/log/mosquitto/mosquitto.log\n"
                                         "log_dest topic\n"
                                         "log_type error\n"
                                         "log_type warning\n"
                                         "log_timestamp_format %Y-%m-%dT%H:%M:%S\n"
                                         "log_facility 5\n"
                                         "connection_messages false\n"
                                         "max_packet_size 0x10000\n"
                                         "max_keepalive 0600\n"
                                         "allow_anonymous false\n"
                                         "password_file /etc/mosquitto/passwd\n"
                                         "acl_file acl file with spaces\n"
                                         "handshake_timeout 3s\n"
                                         "backend unix:run/broker.sock\n"
                                         "\n"
                                         "listener 1883 127.0.0.1 # local\n"
                                         "listener_allow_anonymous true\n"
                                         "max_connections -5\n"
                                         "\n"
                                         "listener 8883\n"
                                         "certfile certs/server.pem\n"
                                         "keyfile /certs/server.key\n"
                                         "cafile ../ca.pem\n"
                                         "require_certificate 1\n"
                                         "use_identity_as_username true\n"
                                         "tls_version tlsv1.3\n"
                                         "ciphers_tls1.3 TLS_AES_128_GCM_SHA256\n"
                                         "handshake_timeout 1500ms\n"
                                         "maximum_qos 1\n"
                                         "accept_protocol_versions 4, 5\t# modern\n"
                                         "socket_domain ipv4\n"
                                         "\n"
                                         "listener 0 run/devices.sock\n"
                                         "listener_auto_id_prefix sock-\n");
    const struct conf *conf = outcome.conf;
    assert_int_equal(outcome.findings.size, 2); /* the broker's words, the topic */
    assert_int_equal(outcome_count(&outcome, NOTICE,
                                   TEST_PATH ":4: for the broker, without effect here: persistence, "
                                             "persistence_location, autosave_interval, persistence_file, "
                                             "max_inflight_messages, max_queued_messages"),
                     1);
    assert_int_equal(outcome_count(&outcome, NOTICE, TEST_PATH ":12: log_dest topic"), 1);
    assert_int_equal(conf->log_dest, LOG_DEST_SYSLOG | LOG_DEST_FILE);
    assert_string_equal(conf->log_file, "/var/log/mosquitto/mosquitto.log");
    assert_int_equal(conf->log_type, LOG_KIND_ERROR | LOG_KIND_WARNING);
    assert_int_equal(conf_log_settings(conf).facility, LOG_LOCAL5);
    assert_string_equal(conf->log_timestamp_format, "%Y-%m-%dT%H:%M:%S");
    assert_false(conf->connection_messages);
    assert_null(conf->backend->host);
    assert_string_equal(conf->backend->path, "etc/run/broker.sock");

    assert_int_equal(conf->listener_count, 3);
    const struct conf_listener *local = &conf->listeners[0], *tls = &conf->listeners[1],
                               *unix_one = &conf->listeners[2];
    assert_string_equal(local->address, "127.0.0.1");
    assert_true(local->allow_anonymous);
    assert_int_equal(local->max_connections, -1);
    assert_int_equal(local->handshake_timeout_ms, 3000);
    assert_int_equal(local->max_packet_size, 65536);
    assert_int_equal(local->max_keepalive, 384);

    assert_int_equal(tls->port, 8883);
    assert_null(tls->address);
    assert_false(tls->allow_anonymous);
    assert_string_equal(tls->certfile->text, "etc/certs/server.pem");
    assert_string_equal(tls->keyfile->text, "/certs/server.key");
    assert_string_equal(tls->cafile, "etc/../ca.pem");
    assert_true(tls->require_certificate && tls->use_identity_as_username);
    assert_string_equal(tls->tls_version, "tlsv1.3");
    assert_string_equal(tls->ciphers_tls13, "TLS_AES_128_GCM_SHA256");
    assert_int_equal(tls->handshake_timeout_ms, 1500);
    assert_int_equal(tls->max_qos, 1);
    assert_int_equal(tls->accept_protocol_versions, CONF_VERSION(4) | CONF_VERSION(5));
    assert_int_equal(tls->socket_domain, CONF_SOCKET_DOMAIN_IPV4);
    assert_string_equal(tls->acl_file, "etc/acl file with spaces");
    assert_int_equal(tls->origins[CONF_acl_file].line, 22);

    assert_int_equal(unix_one->port, 0);
    assert_string_equal(unix_one->path, "etc/run/devices.sock");
    assert_string_equal(unix_one->auto_id_prefix, "sock-");
    assert_string_equal(tls->auto_id_prefix, "auto-");
    char room[100];
    assert_string_equal(conf_listener_name(local, room, sizeof room), "listener 1883 127.0.0.1");
    assert_string_equal(conf_listener_name(unix_one, room, sizeof room), "listener 0 etc/run/devices.sock");
    outcome_clear(&outcome);
}

static void shared_values_reach_every_listener(void **state) {
    (void)state;
    struct outcome outcome =
        expect_clean("backend h\nlistener 1\nlistener 2\nallow_anonymous true\nmax_packet_size "
                     "500\nmax_keepalive 9\nacl_file a\nretain_available false\n");
    for (size_t i = 0; i < 2; i++) { /* below the second listener, and still for both */
        const struct conf_listener *listener = &outcome.conf->listeners[i];
        assert_true(listener->allow_anonymous);
        assert_int_equal(listener->max_packet_size, 500);
        assert_int_equal(listener->max_keepalive, 9);
        assert_string_equal(listener->acl_file, "etc/a");
        assert_false(listener->retain_available);
    }
    outcome_clear(&outcome);
}

static void own_keywords_inherit(void **state) {
    (void)state;
    struct outcome outcome = expect_clean(
        "acl_subscribe silent\nconnect_timeout 4\nbackend h\nallow_anonymous true\nlistener 1\nlistener "
        "2\nacl_subscribe refuse\nconnect_timeout 7\ndeny_publish disconnect\n");
    const struct conf_listener *one = &outcome.conf->listeners[0], *two = &outcome.conf->listeners[1];
    assert_int_equal(one->acl_subscribe, CONF_ACL_SUBSCRIBE_SILENT);
    assert_int_equal(two->acl_subscribe, CONF_ACL_SUBSCRIBE_REFUSE);
    assert_int_equal(one->connect_timeout_ms, 4000);
    assert_int_equal(two->connect_timeout_ms, 7000);
    assert_int_equal(one->deny_publish, CONF_DENY_PUBLISH_ACK);
    assert_int_equal(two->deny_publish, CONF_DENY_PUBLISH_DISCONNECT);
    outcome_clear(&outcome);
}

static void per_listener_settings_part_the_listeners(void **state) {
    (void)state;
    struct outcome outcome =
        expect_good("per_listener_settings true\nbackend h\nlistener 1\nallow_anonymous "
                    "true\nacl_file a\nauto_id_prefix x-\nlistener 2\npassword_file p\n");
    const struct conf_listener *one = &outcome.conf->listeners[0], *two = &outcome.conf->listeners[1];
    assert_true(one->allow_anonymous);
    assert_false(two->allow_anonymous);
    assert_null(two->acl_file);
    assert_null(one->password_file);
    assert_string_equal(one->auto_id_prefix, "x-");
    assert_string_equal(two->auto_id_prefix, "auto-");
    outcome_clear(&outcome);

    expect_one("per_listener_settings true\nacl_file a\n" OPEN, ERROR,
               TEST_PATH ":2: with per_listener_settings true, acl_file belongs to a listener");
    expect_one("allow_anonymous true\nbackend h\nper_listener_settings true\nlistener "
               "1\nlistener_allow_anonymous 1\n",
               ERROR,
               TEST_PATH ":3: per_listener_settings true must stand above allow_anonymous at " TEST_PATH
                         ":1");
    expect_one("per_listener_settings true\nper_listener_settings false\n" OPEN, WARNING,
               ":2: per_listener_settings is true already");
    outcome = expect_good("per_listener_settings true\nper_listener_settings false\n" OPEN);
    assert_true(outcome.conf->per_listener_settings);
    outcome_clear(&outcome);
    outcome = expect_clean("acl_file a\nper_listener_settings false\n" OPEN);
    outcome_clear(&outcome);
}

static void the_old_default_listener_is_read(void **state) {
    (void)state;
    struct outcome outcome =
        expect_good("max_connections 5\nport 8883\nbind_address 192.0.2.1\ncertfile c\nkeyfile "
                    "k\nlistener 1883\nbackend h\nallow_anonymous 1\n");
    assert_int_equal(outcome.conf->listener_count, 2);
    const struct conf_listener *old = &outcome.conf->listeners[0];
    assert_true(old->is_old_style);
    assert_int_equal(old->port, 8883);
    assert_int_equal(old->line, 2);
    assert_string_equal(old->address, "192.0.2.1");
    assert_int_equal(old->max_connections, 5);
    assert_string_equal(old->certfile->text, "etc/c");
    assert_null(outcome.conf->listeners[1].certfile);
    outcome_clear(&outcome);
    outcome = expect_clean("backend h\nbind_address 192.0.2.1\nallow_anonymous 1\n");
    assert_int_equal(outcome.conf->listeners[0].port, 1883);
    outcome_clear(&outcome);

    expect_one("backend h\nport 1\nport 2\nallow_anonymous 1\n", WARNING,
               ":3: port stands at " TEST_PATH ":2 already");
    expect_one("backend h\nbind_address a\nbind_address b\nallow_anonymous 1\n", ERROR,
               ":3: bind_address stands at " TEST_PATH ":2 already");
    /* mosquitto 2.0 opens a second, plain listener for such a file */
    expect_one("certfile c\nkeyfile k\n" OPEN, ERROR,
               ":1: certfile stands before any listener; put it below");
}

static void anonymous_depends_on_the_listeners(void **state) {
    (void)state;
    struct outcome outcome = expect_good("backend h\nlistener 1883\n");
    assert_false(outcome.conf->listeners[0].allow_anonymous);
    outcome_clear(&outcome);
    outcome = expect_good("backend h\nport 1883\n");
    assert_false(outcome.conf->listeners[0].allow_anonymous);
    outcome_clear(&outcome);
    outcome = expect_good("backend h\nallow_anonymous false\n");
    assert_true(outcome.conf->listeners[0].is_default_local);
    assert_false(outcome.conf->listeners[0].allow_anonymous);
    outcome_clear(&outcome);
    outcome = expect_clean("backend h\nlistener_allow_anonymous true\nport 1883\n");
    assert_true(outcome.conf->listeners[0].allow_anonymous);
    outcome_clear(&outcome);
}

static void backends_are_read(void **state) {
    (void)state;
    static const struct {
        const char *value, *host, *path;
        uint16_t port;
    } good[] = {{"broker", "broker", NULL, 1883},
                {"broker:1", "broker", NULL, 1},
                {"[::1]", "::1", NULL, 1883},
                {"[::1]:65535", "::1", NULL, 65535},
                {"192.0.2.1:1884", "192.0.2.1", NULL, 1884},
                {"unix:/run/a b", NULL, "/run/a b", 0},
                {"unix:x", NULL, "etc/x", 0}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char lines[100];
        snprintf(lines, sizeof lines, "backend %s\nlistener 9\nallow_anonymous 1\n", good[i].value);
        struct outcome outcome = expect_clean(lines);
        const struct conf_backend *backend = outcome.conf->listeners[0].backend;
        assert_string_equal(backend->text, good[i].value);
        if (good[i].host != NULL)
            assert_string_equal(backend->host, good[i].host);
        else
            assert_string_equal(backend->path, good[i].path);
        assert_int_equal(backend->port, good[i].port);
        assert_int_equal(backend->line, 1);
        outcome_clear(&outcome);
    }
    static const char *const bad[] = {"",         ":1",       "h:",      "h:0",     "h:65536",    "h:x",
                                      "h:-1",     "h: 1",     "::1",     "a:b:c",   "[::1",       "[::1]1",
                                      "[]:1",     "[host]:1", "[::1]:",  "unix:",   "mqtt://h",   "h 1",
                                      "user@h:1", "h/path:1", "h:1883x", "h:+1883", "h:1883 # c", "a,b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char lines[100];
        snprintf(lines, sizeof lines, "\nbackend %s\nlistener 9\nallow_anonymous 1\n", bad[i]);
        expect_one(lines, ERROR, TEST_PATH ":2: ");
    }
    expect_one("listener 9\nallow_anonymous 1\n", ERROR, TEST_PATH ": there is no backend; add a line");
    expect_one("backend a:1\nbackend b:1\nlistener 9\nallow_anonymous 1\n", ERROR,
               ":2: backend stands at " TEST_PATH ":1 already and there can be only one for now");
}

static void wrong_lines_are_named(void **state) {
    (void)state;
    static const struct {
        const char *line; /* the fourth of the file */
        enum finding_kind kind;
        const char *piece;
    } wrong[] = {
        /* keywords */
        {"max_conections 4", ERROR, ":4: 'max_conections' is no keyword; did you mean max_connections?"},
        {"Max-QoS 1", ERROR, "did you mean max_qos?"},
        {"CAFILE x", ERROR, "did you mean cafile?"},
        {"zzzzzz 1", ERROR, ":4: 'zzzzzz' is no keyword; correct it or remove the line"},
        {"port\t1884", ERROR, ":4: a tab stands behind port, but only a space separates"},
        {"\tport 1884", ERROR, ":4: the line begins with a tab"},
        {"  # comment", ERROR, ":4: a comment must begin with the first byte"},
        {"user=me", ERROR, "without ="},
        {"\x01\x02 1", ERROR, "'\\x01\\x02' is no keyword"},
        {"user \xFF", ERROR, ":4: the line is not valid UTF-8"},
        /* bool */
        {"connection_messages yes", ERROR, ":4: connection_messages is 'yes', but may only be true or false"},
        {"connection_messages True", ERROR, "'True'"},
        {"connection_messages", ERROR,
         ":4: connection_messages has no value; write: connection_messages true|false"},
        {"connection_messages  ", ERROR, "has no value"},
        {"connection_messages true\t", ERROR, "there is a tab in it; only spaces separate"},
        {"connection_messages true false", WARNING, "'false', which is ignored"},
        /* int */
        {"max_qos 3", ERROR, ":4: max_qos is 3, but must be from 0 to 2"},
        {"max_qos -1", ERROR, "max_qos is -1"},
        {"max_qos 1x", ERROR, "'1x', which is no whole number"},
        {"max_qos 4294967296", ERROR, "no whole number of 32 bits"},
        {"max_qos", ERROR, "max_qos has no value"},
        {"max_packet_size 19", ERROR,
         ":4: max_packet_size is 19, but must be at least 20, or 0 for no limit"},
        {"workers 257", ERROR, "workers is 257, but must be from 0 to 256"},
        {"log_facility 8", ERROR, "log_facility is '8', but may only be one of 0|1|2|3|4|5|6|7|daemon"},
        /* duration */
        {"handshake_timeout 0", ERROR, "handshake_timeout is 0, but must be from 1ms to 86400s"},
        {"handshake_timeout ten", ERROR, "'ten', which is no duration; write a number and ms, s, m, h or d"},
        {"handshake_timeout 25h", ERROR, "handshake_timeout is 25h"},
        {"backend_timeout -5s", ERROR, "no duration"},
        /* choice */
        {"acl_subscribe quiet", ERROR, "acl_subscribe is 'quiet', but may only be one of refuse|silent"},
        {"acl_subscribe", ERROR, "write: acl_subscribe refuse|silent"},
        {"socket_domain unix", ERROR, "socket_domain is 'unix'"},
        /* strings */
        {"pid_file", ERROR, ":4: pid_file has no value"},
        {"pid_file   ", ERROR, "pid_file has no value"},
        {"pid_file a # b", WARNING, ":4: the # and what follows belong to the value of pid_file: 'a # b'"},
        {"acl_file \"a\"", WARNING, "the quotes belong to the value of acl_file"},
        {"pid_file a\npid_file b", ERROR,
         ":5: pid_file stands at " TEST_PATH ":4 already and there can be only one"},
        {"acl_file a\nacl_file b", WARNING, ":5: acl_file replaces the value of line 4"},
        {"auto_id_prefix a\nauto_id_prefix b", ERROR, ":5: auto_id_prefix stands"},
        {"auto_id_prefix 012345678901234567890123456789012345678901234567890", ERROR,
         ":4: auto_id_prefix is longer"},
        {"listener_auto_id_prefix 012345678901234567890123456789012345678901234567890", ERROR,
         ":4: auto_id_prefix"},
        /* masks */
        {"log_dest", ERROR, "log_dest has no value; write: log_dest stderr"},
        {"log_dest printer", ERROR, "log_dest is 'printer'"},
        {"log_dest file", ERROR, "log_dest file has no value"},
        {"log_dest file a\nlog_dest file b", ERROR, ":5: log_dest file stands there already"},
        {"log_dest topic", NOTICE, "log_dest topic is for the broker"},
        {"log_dest dlt", NOTICE, "log_dest dlt is for the broker"},
        {"log_type loud", ERROR, "log_type is 'loud'"},
        {"accept_protocol_versions", ERROR, "accept_protocol_versions has no value"},
        {"accept_protocol_versions # 5", ERROR, "accept_protocol_versions has no value"},
        {"accept_protocol_versions 3,6", ERROR, "names '6', but the versions are 3"},
        /* structures */
        {"listener", ERROR, "listener has no value"},
        {"listener 65536", ERROR, "listener is 65536, but must be from 0 to 65535"},
        {"listener -1", ERROR, "listener is -1"},
        {"listener 0", ERROR, "a listener with port 0 needs the path of a Unix socket"},
        {"listener 0 # path", ERROR, "a listener with port 0 needs the path"},
        {"listener 9 a b", WARNING, "'b', which is ignored"},
        {"include_dir d", ERROR, "include_dir is not possible here"},
        {"metrics_listener 127.0.0.1", ERROR,
         "metrics_listener has no port; write: metrics_listener HOST:PORT"},
        {"metrics_listener unix:/x", ERROR, ":4: "},
        /* rows of other kinds */
        {"dhparamfile x", WARNING, ":4: dhparamfile is ignored."},
        {"psk_file p", WARNING, "psk_file has no effect"},
        {"enable_proxy_protocol 2", ERROR, "needs proxy_protocol_from"},
        {"proxy_protocol_v2_require_tls true", ERROR, "needs enable_proxy_protocol 2"},
        {"protocol websockets", ERROR, ":4: protocol websockets is not supported yet"},
        {"protocol http_api", ERROR, ":4: protocol http_api is not supported yet"},
        {"protocol coap", ERROR, "protocol is 'coap'"},
        {"tls_keyform engine", ERROR, ":4: tls_keyform engine is not supported yet"},
        {"topic # both", ERROR, ":4: topic belongs to a bridge; put it below the connection line"},
        {"retry_interval 20\nsys_interval 5\nretry_interval 7", NOTICE,
         ":4: for the broker, without effect here: retry_interval, sys_interval"},
        {"persistence", NOTICE, ": persistence"},
        {"set_tcp_nodelay false", NOTICE, ":4: set_tcp_nodelay false has no effect"},
        {"message_size_limit 100", NOTICE, ":4: message_size_limit is the old form"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char lines[400];
        snprintf(lines, sizeof lines, OPEN "%s\n", wrong[i].line);
        expect_one(lines, wrong[i].kind, wrong[i].piece);
    }
}

static void good_lines_are_silent(void **state) {
    (void)state;
    static const char *const good[] = {
        "connection_messages 0 # no",
        "max_qos  1   #x",
        "enable_proxy_protocol 0",
        "proxy_protocol_v2_require_tls false",
        "set_tcp_nodelay true",
        "log_dest stdout unbuffered",
        "log_type internal",
        "log_dest none",
        "user a\xC3\xA9",
        "  max_qos 0",
        "pid_file a#b",
        "connect_timeout 1ms",
        "max_topic_alias 65535",
        "max_packet_size 0",
        "max_packet_size 20",
        "bind_interface eth0",
        "max_connections 0",
        "max_keepalive 65535",
        "clientid_prefixes dev-",
        "clientid_prefixes # secure",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char lines[200];
        snprintf(lines, sizeof lines, OPEN "%s\n", good[i]);
        struct outcome outcome = expect_clean(lines);
        outcome_clear(&outcome);
    }
}

static void the_broker_is_named_once(void **state) {
    (void)state;
    struct outcome outcome =
        expect_good(OPEN "persistence_file x\npersistence 1\nsys_interval 2\npersistence 0\n");
    assert_string_equal(
        outcome.findings.first->text,
        TEST_PATH ":4: for the broker, without effect here: persistence_file, persistence, sys_interval");
    outcome_clear(&outcome);
}

static void a_nul_or_a_mark_is_refused(void **state) {
    (void)state;
    struct findings findings;
    findings_init(&findings);
    assert_null(conf_read_text(TEST_PATH, SPAN_LITERAL("backend h\nuser a\0b\n"), &findings));
    assert_non_null(strstr(findings.first->text, ":2: there is a NUL byte"));
    findings_clear(&findings);
    expect_one("\xEF\xBB\xBF" OPEN, ERROR, ":1: the file begins with a byte order mark");
}

static void all_errors_are_collected(void **state) {
    (void)state;
    struct outcome outcome = outcome_of("nonsense\nmax_qos 9\nlistener x\ncertfile c\n");
    assert_null(outcome.conf);
    assert_int_equal(outcome.findings.error_count, 6); /* also: orphan, keyfile, backend */
    outcome_clear(&outcome);
}

static void only_new_findings_refuse(void **state) {
    (void)state;
    struct findings findings;
    findings_init(&findings);
    findings_add(&findings, ERROR, "other", 1, "an error of somebody else");
    struct conf *conf = conf_read_text(TEST_PATH, SPAN_LITERAL(OPEN), &findings);
    assert_non_null(conf);
    conf_destroy(conf);
    findings_clear(&findings);
}

static void log_words_add_up(void **state) {
    (void)state;
    struct outcome outcome = expect_clean(OPEN "log_dest stdout\nlog_dest syslog\nlog_type all\n");
    assert_int_equal(outcome.conf->log_dest, LOG_DEST_STDOUT | LOG_DEST_SYSLOG);
    assert_int_equal(outcome.conf->log_type, LOG_KINDS_ALL);
    outcome_clear(&outcome);
    outcome = expect_clean(OPEN "log_dest file x\nlog_dest none\nlog_type error\nlog_type none\n");
    assert_int_equal(outcome.conf->log_dest, LOG_DEST_NONE);
    assert_null(outcome.conf->log_file);
    assert_int_equal(outcome.conf->log_type, 0);
    outcome_clear(&outcome);
    outcome = expect_good(OPEN "log_dest topic\n");
    assert_int_equal(outcome.conf->log_dest, LOG_DEST_STDERR);
    outcome_clear(&outcome);
    outcome = expect_good(OPEN "log_dest topic\nlog_dest stdout\n");
    assert_int_equal(outcome.conf->log_dest, LOG_DEST_STDOUT);
    outcome_clear(&outcome);
}

#define CONNECTION "connection c\naddress h\n"
#define SECTION    CONNECTION "topic #\n"

/* Lines without which a keyword is refused. */
static const char *companions_of(const struct conf_row *row) {
    static const struct {
        const char *keyword, *lines;
    } rows[] = {{"address", "connection c\ntopic #\n"},
                {"topic", CONNECTION},
                {"bridge_certfile", SECTION "bridge_keyfile k\nbridge_cafile c\n"},
                {"bridge_keyfile", SECTION "bridge_certfile c\nbridge_cafile c\n"},
                {"bridge_identity", SECTION "bridge_psk ab\n"},
                {"bridge_psk", SECTION "bridge_identity i\n"},
                {"bridge_http_proxy_password_file", SECTION "bridge_http_proxy http://u@p:1\n"},
                {"enable_proxy_protocol", "proxy_protocol_from 192.0.2.1\n"},
                {"backend_cafile", "backend_tls true\n"},
                {"backend_capath", "backend_tls true\n"},
                {"backend_certfile", "backend_tls true\nbackend_keyfile k\n"},
                {"backend_keyfile", "backend_tls true\nbackend_certfile c\n"},
                {"backend_sni", "backend_tls true\n"},
                {"backend_alpn", "backend_tls true\n"},
                {"backend_http_proxy", "backend_tls true\n"},
                {"backend_http_proxy_password_file", "backend_tls true\nbackend_http_proxy http://u@p:1\n"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].keyword, row->keyword) == 0)
            return rows[i].lines;
    return conf_row_home(row) == CONF_HOME_BRIDGE && row->type != CONF_TYPE_STRUCTURE ? SECTION : "";
}

static const void *home_of(const struct conf_row *row, const struct conf *conf) {
    const void *homes[] = {[CONF_HOME_PROGRAM] = conf,
                           [CONF_HOME_LISTENER] = &conf->listeners[0],
                           [CONF_HOME_BRIDGE] = conf->bridges};
    return homes[conf_row_home(row)];
}

/* Every number at 0, 1, its bounds and beyond them: in range it is the value, else it is an error. */
static void every_number_has_its_bounds(void **state) {
    (void)state;
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->kind != CONF_ROW_OPTION || row->type != CONF_TYPE_INT)
            continue;
        const int64_t values[] = {0,
                                  1,
                                  -1,
                                  row->low,
                                  row->low - 1,
                                  row->high,
                                  row->high + 1,
                                  INT32_MIN,
                                  INT32_MAX,
                                  INT32_MIN - 1LL,
                                  INT32_MAX + 1LL};
        for (size_t j = 0; j < sizeof values / sizeof values[0]; j++) {
            char lines[200];
            snprintf(lines, sizeof lines, OPEN "%s%s %lld\n", companions_of(row), row->keyword,
                     (long long)values[j]);
            struct outcome outcome = outcome_of(lines);
            bool is_good =
                values[j] >= row->low && values[j] <= row->high &&
                ((row->option != CONF_max_packet_size && row->option != CONF_bridge_max_packet_size) ||
                 values[j] == 0 || values[j] >= 20);
            if ((outcome.conf != NULL) != is_good)
                fail_msg("%s %lld", row->keyword, (long long)values[j]);
            if (is_good) {
                int32_t value = *(const int32_t *)conf_row_value(row, home_of(row, outcome.conf));
                int64_t least = row->option == CONF_keepalive_interval ? 5
                                : row->option == CONF_threshold        ? 1
                                                                       : -1;
                assert_int_equal(value, values[j] < least ? least : values[j]);
            }
            outcome_clear(&outcome);
        }
    }
}

/* Every row is documented and can be read: with its default, or with a word made for its type. */
static void every_row_is_read(void **state) {
    (void)state;
    size_t options = 0;
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->kind == CONF_ROW_SECTION)
            continue;
        assert_ptr_equal(conf_row_find(span_of_text(row->keyword)), row); /* no keyword twice */
        if (row->kind != CONF_ROW_OPTION)
            continue;
        options++;
        assert_non_null(row->help);
        assert_true(strlen(row->help) > 20 && row->help[strlen(row->help) - 1] == '.');
        assert_non_null(row->argument);
        const char *value = row->initial != NULL ? row->initial
                            : row->type == CONF_TYPE_STRUCTURE
                                ? (row->option == CONF_bind_address ? "192.0.2.1"
                                   : row->option == CONF_host       ? "h.example"
                                                                    : "9")
                            : row->type == CONF_TYPE_BACKEND         ? "other"
                            : row->type == CONF_TYPE_ENDPOINT        ? "127.0.0.1:9344"
                            : row->type == CONF_TYPE_NETWORKS        ? "192.0.2.0/24"
                            : row->type == CONF_TYPE_SOURCE          ? "cn"
                            : row->type == CONF_TYPE_KEEPALIVE       ? "60 10 3"
                            : row->type == CONF_TYPE_PRIORITIES      ? "alarms/# 10"
                            : row->option == CONF_local_cleansession ? "true"
                            : row->option == CONF_bridge_psk         ? "0123abcd"
                            : row->option == CONF_bridge_tls_version ? "tlsv1.3"
                            : row->option == CONF_log_type           ? "debug"
                                                                     : "word";
        if (row->option == CONF_include_dir)
            continue; /* test_files.c */
        char lines[300];
        bool is_backend = row->option == CONF_backend;
        bool takes_tls = strstr("cafile capath crlfile certfile", row->keyword) != NULL ||
                         row->type == CONF_TYPE_SOURCE || row->type == CONF_TYPE_TEXTS;
        snprintf(lines, sizeof lines, "%slistener 8\nallow_anonymous 1\n%s%s%s %s\n",
                 is_backend ? "" : "backend h\n", companions_of(row),
                 takes_tls                  ? "keyfile k\n"
                 : row->option == CONF_host ? "certfile c\nkeyfile k\n"
                                            : "",
                 row->keyword, value);
        if (row->option == CONF_keyfile || (takes_tls && row->option != CONF_certfile))
            strcat(lines, "certfile c\n");
        if (row->option == CONF_psk_hint)
            strcat(lines, "psk_file p\n");
        if (row->option == CONF_connection)
            strcat(lines, "address h\ntopic #\n");
        if (row->type == CONF_TYPE_TEXTS)
            strcat(lines, "cafile a\nrequire_certificate true\n");
        struct outcome outcome = expect_good(lines);
        assert_int_equal(outcome_count(&outcome, ERROR, ""), 0);
        if (row->type != CONF_TYPE_STRUCTURE) {
            enum conf_home home = conf_row_home(row);
            const struct conf_origin *origins = home == CONF_HOME_PROGRAM ? outcome.conf->origins
                                                : home == CONF_HOME_BRIDGE
                                                    ? outcome.conf->bridges[0].origins
                                                    : outcome.conf->listeners[0].origins;
            assert_int_not_equal(origins[row->option].line, 0);
        }
        outcome_clear(&outcome);
    }
    assert_int_equal(options, CONF_OPTION_COUNT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_mosquittos),
        cmocka_unit_test(the_tutorial_is_read),
        cmocka_unit_test(a_rich_file_is_read),
        cmocka_unit_test(shared_values_reach_every_listener),
        cmocka_unit_test(own_keywords_inherit),
        cmocka_unit_test(per_listener_settings_part_the_listeners),
        cmocka_unit_test(the_old_default_listener_is_read),
        cmocka_unit_test(anonymous_depends_on_the_listeners),
        cmocka_unit_test(backends_are_read),
        cmocka_unit_test(wrong_lines_are_named),
        cmocka_unit_test(good_lines_are_silent),
        cmocka_unit_test(the_broker_is_named_once),
        cmocka_unit_test(a_nul_or_a_mark_is_refused),
        cmocka_unit_test(all_errors_are_collected),
        cmocka_unit_test(only_new_findings_refuse),
        cmocka_unit_test(log_words_add_up),
        cmocka_unit_test(every_number_has_its_bounds),
        cmocka_unit_test(every_row_is_read),
    };
    return cmocka_run_group_tests_name("conf/read", tests, NULL, NULL);
}
