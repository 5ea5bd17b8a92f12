/* What is made of a CONNECT: who is let in, who is told no and how, and what the broker gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/session/talk.h"

#define BASE                                                                                                 \
    "backend 127.0.0.1:1883\n"                                                                               \
    "max_packet_size 0\n"                                                                                    \
    "listener 1884\n"

struct admit_case {
    const char *name;
    const char *conf; /* behind BASE */
    const char *acl;  /* NULL: none */
    struct mqtt_connect sent;
    uint8_t refused[2];             /* the code before 5.0, and in 5.0; 0: let in */
    bool is_changed;                /* the broker gets `wanted` instead of the device's own packet */
    struct mqtt_connect wanted;     /* version, keep alive and clean start are those of `sent` */
    const char *assigned;           /* what version 5 is told as its client id; NULL: nothing */
    bool is_disguised;              /* rules mean `known`, not what the broker gets */
    struct mqtt_connect known;      /* client id and username */
    enum metric metric;             /* of a refusal; 0: none of its own */
    unsigned only_before_5, only_5; /* 1: this row is not for the other versions */
};

#define TEXT(str) SPAN_LITERAL(str)
#define DEV       .client_id = TEXT("dev"), .clean_start = true, .keep_alive_s = 60
#define ID(str)   .client_id = TEXT(str), .clean_start = true, .keep_alive_s = 60
#define USER(str) .has_username = true, .username = TEXT(str)
#define WILL(str) .has_will = true, .will_topic = TEXT(str), .will_payload = TEXT("gone")
#define UUID      "5A5A5A5A-5A5A-4A5A-9A5A-5A5A5A5A5A5A"
#define ANYBODY   "allow_anonymous true\n"
#define PAIRS     "\x26\0\1a\0\1b\x26\0\1c\0\1d"
#define PROPS     TEXT(PAIRS)
#define USERS     .props.raw = TEXT("\x17\0" PAIRS) /* and NO_WORDS */

static const struct admit_case cases[] = {
    {"plain", ANYBODY, NULL, .sent = {DEV}},
    {"with everything", ANYBODY, NULL,
     .sent = {DEV, USER("ann"), .has_password = true, .password = TEXT("pw"), WILL("will/1"), .will_qos = 2,
              .will_retain = true}},
    /* anonymous: without a password_file the broker decides, unless the owner wrote it down */
    {"anonymous not mentioned", "", NULL, .sent = {DEV}},
    {"anonymous forbidden", "allow_anonymous false\n", NULL, .sent = {DEV}, .refused = {5, 0x87}},
    {"anonymous forbidden, empty name", "allow_anonymous false\n", NULL, .sent = {DEV, USER("")},
     .refused = {5, 0x87}},
    {"anonymous forbidden, named", "allow_anonymous false\n", NULL, .sent = {DEV, USER("ann")}},
    /* client ids */
    {"empty, 3.1.1 without clean session", ANYBODY, NULL, .sent = {.client_id = TEXT("")}, .refused = {2, 0},
     .only_before_5 = 1},
    {"empty, forbidden", ANYBODY "allow_zero_length_clientid false\n", NULL, .sent = {.clean_start = true},
     .refused = {2, 0x85}, .metric = METRIC_clientid_missing_refused},
    {"empty, one is made", ANYBODY, NULL, .sent = {.clean_start = true}, .is_changed = true,
     .wanted = {.client_id = TEXT("auto-" UUID)}, .assigned = "auto-" UUID},
    {"empty, with a prefix of its own", ANYBODY "auto_id_prefix x-\n", NULL, .sent = {.clean_start = true},
     .is_changed = true, .wanted = {.client_id = TEXT("x-" UUID)}, .assigned = "x-" UUID},
    /* client id rules */
    {"a slash", ANYBODY, NULL, .sent = {ID("a/b")}, .refused = {2, 0x85},
     .metric = METRIC_clientid_chars_refused},
    {"a slash, allowed", ANYBODY "allow_unsafe_clientid_chars true\n", NULL, .sent = {ID("a/b")}},
    {"a slash in the username that is to be the client id", ANYBODY "use_username_as_clientid true\n", NULL,
     .sent = {DEV, USER("a/b")}, .refused = {2, 0x85}, .metric = METRIC_clientid_chars_refused},
    {"a slash in auto_id_prefix", ANYBODY "auto_id_prefix a/\nmax_clientid_length 3\n", NULL,
     .sent = {.clean_start = true}, .is_changed = true, .wanted = {.client_id = TEXT("a/" UUID)},
     .assigned = "a/" UUID},
    {"length at the limit", ANYBODY "max_clientid_length 3\n", NULL, .sent = {DEV}},
    {"length above the limit", ANYBODY "max_clientid_length 2\n", NULL, .sent = {DEV}, .refused = {2, 0x85},
     .metric = METRIC_clientid_length_refused},
    {"length of a username", ANYBODY "max_clientid_length 2\nuse_username_as_clientid true\n", NULL,
     .sent = {ID("x"), USER("ann")}, .refused = {2, 0x85}, .metric = METRIC_clientid_length_refused},
    {"denied", ANYBODY "clientid_deny d*\n", NULL, .sent = {DEV}, .refused = {5, 0x87},
     .metric = METRIC_clientid_pattern_refused},
    {"not denied", ANYBODY "clientid_deny x*\n", NULL, .sent = {DEV}},
    {"not allowed", ANYBODY "clientid_allow x*\n", NULL, .sent = {DEV}, .refused = {5, 0x87},
     .metric = METRIC_clientid_pattern_refused},
    {"allowed before denied", ANYBODY "clientid_allow de?\nclientid_deny d*\n", NULL, .sent = {DEV}},
    {"denied before allowed", ANYBODY "clientid_deny d*\nclientid_allow de?\n", NULL, .sent = {DEV},
     .refused = {5, 0x87}, .metric = METRIC_clientid_pattern_refused},
    {"a client id that was made is judged", ANYBODY "clientid_deny auto-*\n", NULL,
     .sent = {.clean_start = true}, .refused = {5, 0x87}, .metric = METRIC_clientid_pattern_refused},
    /* what the broker sees */
    {"backend_username", ANYBODY "backend_username proxy\n", NULL,
     .sent = {DEV, USER("ann"), .has_password = true, .password = TEXT("pw")}, .is_changed = true,
     .wanted = {DEV, USER("proxy")}, .is_disguised = true, .known = {DEV, USER("ann")}},
    {"backend_username for nobody", ANYBODY "backend_username proxy\nbackend_password secret\n", NULL,
     .sent = {DEV}, .is_changed = true,
     .wanted = {DEV, USER("proxy"), .has_password = true, .password = TEXT("secret")}, .is_disguised = true,
     .known = {DEV}},
    {"backend_password", ANYBODY "backend_password secret\n", NULL,
     .sent = {DEV, USER("ann"), .has_password = true, .password = TEXT("pw")}, .is_changed = true,
     .wanted = {DEV, USER("ann"), .has_password = true, .password = TEXT("secret")}},
    {"backend_password for nobody", ANYBODY "backend_password secret\n", NULL, .sent = {DEV}},
    {"backend_clientid_prefix", ANYBODY "backend_clientid_prefix p/\n", "pattern write id/%c\n",
     .sent = {DEV, WILL("id/dev")}, .is_changed = true, .wanted = {ID("p/dev"), WILL("id/dev")},
     .is_disguised = true, .known = {DEV}},
    {"backend_clientid_prefix, one is made", ANYBODY "backend_clientid_prefix p-\n", NULL,
     .sent = {.clean_start = true}, .is_changed = true, .wanted = {.client_id = TEXT("p-auto-" UUID)},
     .assigned = "auto-" UUID, .is_disguised = true, .known = {.client_id = TEXT("auto-" UUID)}},
    {"backend_clientid_prefix and username as client id, none sent",
     ANYBODY "backend_clientid_prefix p-\nuse_username_as_clientid true\n", NULL,
     .sent = {.clean_start = true, USER("ann")}, .is_changed = true,
     .wanted = {.client_id = TEXT("p-ann"), USER("ann")}, .assigned = "ann", .is_disguised = true,
     .known = {.client_id = TEXT("ann"), USER("ann")}},
    {"a will that may not be written, and all that is put in",
     ANYBODY "backend_clientid_prefix p-\nbackend_username proxy\nbackend_password secret\n",
     "user ann\ntopic write ok/#\n", .sent = {DEV, USER("ann"), WILL("no/w"), .will_qos = 1},
     .is_changed = true,
     .wanted = {ID("p-dev"), USER("proxy"), .has_password = true, .password = TEXT("secret")},
     .is_disguised = true, .known = {DEV, USER("ann")}},
    {"prefix fits", ANYBODY "clientid_prefixes de\n", NULL, .sent = {DEV}},
    {"prefix does not fit", ANYBODY "clientid_prefixes dex\n", NULL, .sent = {DEV}, .refused = {5, 0x87},
     .metric = METRIC_clientid_prefix_refused},
    {"username as client id", ANYBODY "use_username_as_clientid true\n", NULL, .sent = {DEV, USER("ann")},
     .is_changed = true, .wanted = {.client_id = TEXT("ann"), USER("ann")}},
    {"username as client id, none sent", ANYBODY "use_username_as_clientid true\n", NULL,
     .sent = {.clean_start = true, USER("ann")}, .is_changed = true,
     .wanted = {.client_id = TEXT("ann"), USER("ann")}, .assigned = "ann"},
    {"username as client id, no username", ANYBODY "use_username_as_clientid true\n", NULL, .sent = {DEV},
     .refused = {5, 0x87}},
    {"username as client id, empty username", ANYBODY "use_username_as_clientid true\n", NULL,
     .sent = {DEV, USER("")}, .refused = {5, 0x87}},
    /* wills */
    {"will QoS above max_qos", ANYBODY "max_qos 1\n", NULL, .sent = {DEV, WILL("w"), .will_qos = 2},
     .refused = {5, 0x9B}, .metric = METRIC_will_refused},
    {"will QoS at max_qos", ANYBODY "max_qos 1\n", NULL, .sent = {DEV, WILL("w"), .will_qos = 1}},
    {"retained will against retain_available", ANYBODY "retain_available false\n", NULL,
     .sent = {DEV, WILL("w"), .will_retain = true}, .refused = {5, 0x9A}, .metric = METRIC_will_refused},
    {"wills deny", ANYBODY "wills deny\n", NULL, .sent = {DEV, WILL("w")}, .refused = {5, 0x87},
     .metric = METRIC_will_refused},
    {"wills deny, no will", ANYBODY "wills deny\n", NULL, .sent = {DEV}},
    {"will that may be written", ANYBODY, "topic write ok/#\n", .sent = {DEV, WILL("ok/w")}},
    {"will that may not be written", ANYBODY, "topic write ok/#\n",
     .sent = {DEV, WILL("no/w"), .will_qos = 1, .will_retain = true}, .is_changed = true, .wanted = {DEV}},
    {"will below $SYS", ANYBODY, NULL, .sent = {DEV, WILL("$SYS/w")}, .is_changed = true, .wanted = {DEV}},
    {"will too large", ANYBODY "message_size_limit 3\n", NULL, .sent = {DEV, WILL("w")}, .is_changed = true,
     .wanted = {DEV}},
    {"will for a user", ANYBODY, "user ann\ntopic write ok/#\n", .sent = {DEV, USER("ann"), WILL("ok/w")}},
    {"will for another user", ANYBODY, "user ann\ntopic write ok/#\n",
     .sent = {DEV, USER("bob"), WILL("ok/w")}, .is_changed = true, .wanted = {DEV, USER("bob")}},
    {"will with the client id that was made", ANYBODY, "pattern write id/%c\n",
     .sent = {.clean_start = true, WILL("id/auto-" UUID)}, .is_changed = true,
     .wanted = {.client_id = TEXT("auto-" UUID), WILL("id/auto-" UUID)}, .assigned = "auto-" UUID},
    /* mount_point: of the will too, and before rules are asked; names that lead out of it are refused */
    {"mount point, no will", ANYBODY "mount_point m/\n", NULL, .sent = {DEV}},
    {"mount point, will", ANYBODY "mount_point m/%c/\n", NULL,
     .sent = {DEV, WILL("w/1"), .will_qos = 1, .will_retain = true}, .is_changed = true,
     .wanted = {DEV, WILL("m/dev/w/1"), .will_qos = 1, .will_retain = true}},
    {"mount point, will that may be written", ANYBODY "mount_point ok/\n", "topic write ok/#\n",
     .sent = {DEV, WILL("w")}, .is_changed = true, .wanted = {DEV, WILL("ok/w")}},
    {"mount point, will that may not be written", ANYBODY "mount_point no/\n", "topic write ok/#\n",
     .sent = {DEV, WILL("ok/w")}, .is_changed = true, .wanted = {DEV}},
    {"mount point, $SYS is a topic like others", ANYBODY "mount_point m/\n", NULL,
     .sent = {DEV, WILL("$SYS/w")}, .is_changed = true, .wanted = {DEV, WILL("m/$SYS/w")}},
    {"mount point with a client id that was made", ANYBODY "mount_point %c/\n", NULL,
     .sent = {.clean_start = true, WILL("w")}, .is_changed = true,
     .wanted = {.client_id = TEXT("auto-" UUID), WILL("auto-" UUID "/w")}, .assigned = "auto-" UUID},
    {"mount point with the username as client id", ANYBODY "mount_point %c/\nuse_username_as_clientid true\n",
     NULL, .sent = {DEV, USER("ann"), WILL("w")}, .is_changed = true,
     .wanted = {.client_id = TEXT("ann"), USER("ann"), WILL("ann/w")}},
    {"mount point, no username", ANYBODY "mount_point %u/\n", NULL, .sent = {DEV}, .refused = {5, 0x87}},
    {"mount point, username with a slash", ANYBODY "mount_point %u/\n", NULL, .sent = {DEV, USER("a/b")},
     .refused = {5, 0x87}},
    {"mount point, client id with a wildcard", ANYBODY "mount_point %c/\n", NULL,
     .sent = {.client_id = TEXT("+"), .clean_start = true}, .refused = {2, 0x85}},
    {"mount point that begins with $", ANYBODY "mount_point %u/\n", NULL, .sent = {DEV, USER("$SYS")},
     .refused = {5, 0x87}},
    /* the options about messages */
    {"retained will, retain_policy strip", ANYBODY "retain_policy strip\n", NULL,
     .sent = {DEV, WILL("w"), .will_qos = 1, .will_retain = true}, .is_changed = true,
     .wanted = {DEV, WILL("w"), .will_qos = 1}},
    {"will, retain_policy strip", ANYBODY "retain_policy strip\n", NULL, .sent = {DEV, WILL("w")}},
    {"retained will, retain_policy refuse", ANYBODY "retain_policy refuse\n", NULL,
     .sent = {DEV, WILL("w"), .will_retain = true}, .refused = {5, 0x9A}},
    {"will, retain_policy refuse", ANYBODY "retain_policy refuse\n", NULL, .sent = {DEV, WILL("w")}},
    {"will topic at max_topic_length", ANYBODY "max_topic_length 4\n", NULL, .sent = {DEV, WILL("w/é")}},
    {"will topic too long", ANYBODY "max_topic_length 3\n", NULL, .sent = {DEV, WILL("w/12")},
     .is_changed = true, .wanted = {DEV}},
    {"will topic too deep", ANYBODY "max_topic_levels 2\n", NULL, .sent = {DEV, WILL("w/1/2")},
     .is_changed = true, .wanted = {DEV}},
    {"will topic with a forbidden character", ANYBODY "forbidden_topic_chars .\n", NULL,
     .sent = {DEV, WILL("w.1")}, .is_changed = true, .wanted = {DEV}},
    {"will topic with $", ANYBODY "dollar_topics false\n", NULL, .sent = {DEV, WILL("$x")},
     .is_changed = true, .wanted = {DEV}},
    {"will topic with $ as always", ANYBODY, NULL, .sent = {DEV, WILL("$x")}},
    {"user properties at the limit", ANYBODY "max_user_properties 2\n", NULL, .sent = {DEV, USERS}},
    {"too many user properties", ANYBODY "max_user_properties 1\n", NULL, .sent = {DEV, USERS},
     .refused = {0, 0x97}},
    {"too large user properties", ANYBODY "max_user_properties_size 3\n", NULL, .sent = {DEV, USERS},
     .refused = {0, 0x97}},
    {"too many user properties of a will", ANYBODY "max_user_properties 1\n", NULL,
     .sent = {DEV, WILL("w"), .will_props.raw = PROPS}, .is_changed = true, .wanted = {DEV}, .only_5 = 1},
    {"will with a response topic that may be written", ANYBODY "response_topic_acl true\n",
     "topic write ok/#\n", .sent = {DEV, WILL("ok/w"), .will_props.raw = TEXT("\x08\0\4ok/r")}, .only_5 = 1},
    {"will with a response topic that may not", ANYBODY "response_topic_acl true\n", "topic write ok/#\n",
     .sent = {DEV, WILL("ok/w"), .will_props.raw = TEXT("\x08\0\4no/r")}, .is_changed = true, .wanted = {DEV},
     .only_5 = 1},
    /* keep alive: version 5 is told another one, the others are refused */
    {"keep alive too long", ANYBODY "max_keepalive 59\n", NULL, .sent = {DEV}, .refused = {2, 0},
     .metric = METRIC_keepalive_refused},
    {"keep alive at the limit", ANYBODY "max_keepalive 60\n", NULL, .sent = {DEV}},
    {"no keep alive", ANYBODY "max_keepalive 60\n", NULL, .sent = {.client_id = TEXT("dev")},
     .refused = {2, 0}, .metric = METRIC_keepalive_refused},
    /* versions */
    {"only 3.1.1 and 5", ANYBODY "accept_protocol_versions 4,5\n", NULL, .sent = {DEV}},
    {"only 3.1", ANYBODY "accept_protocol_versions 3\n", NULL, .sent = {DEV}, .refused = {1, 0x84},
     .metric = METRIC_protocol_version_refused},
};

static struct span written_connect(struct mqtt_connect connect) {
    struct writer writer = packets_open();
    mqtt_write_connect(&writer, &connect);
    return packets_close(&writer);
}

static void check_case(const struct admit_case *row, enum mqtt_version version) {
    bool is_5 = version == MQTT_VERSION_5;
    char conf[512];
    snprintf(conf, sizeof conf, BASE "%s", row->conf);
    struct generation *generation = generation_of(conf, row->acl, NULL);
    struct talk talk = talk_begin(generation, version);
    generation_drop(generation);
    struct mqtt_connect sent = row->sent, wanted = row->is_changed ? row->wanted : row->sent;
    sent.version = wanted.version = version;
    if (sent.props.raw.size == 0)
        sent.props.raw = NO_WORDS;
    wanted.props.raw = sent.props.raw;
    wanted.keep_alive_s = sent.keep_alive_s;
    wanted.clean_start = sent.clean_start;
    fake_say(talk.device, written_connect(sent));
    uint8_t refused = row->refused[is_5];
    if (refused != 0) {
        if (!span_is_equal(fake_written(talk.device), connack_packet(version, refused, SPAN_NONE))) {
            print_bytes("found", fake_written(talk.device));
            fail_msg("'%s', version %d: not refused with 0x%02x", row->name, version, refused);
        }
        assert_int_equal(talk.world->dials, 0);
        assert_int_equal(world_metric(talk.world, METRIC_connects_refused), 1);
        if (row->metric != 0)
            assert_int_equal(world_metric(talk.world, row->metric), 1);
        talk_end(&talk, SESSION_END_CONNECT_REFUSED);
        return;
    }
    talk.broker = talk.world->dialed;
    if (talk.broker == NULL)
        fail_msg("'%s', version %d: refused", row->name, version);
    fake_open(talk.broker);
    if (!span_is_equal(fake_written(talk.broker), written_connect(wanted))) {
        print_bytes("found ", fake_written(talk.broker));
        print_bytes("wanted", written_connect(wanted));
        fail_msg("'%s', version %d: the broker gets another CONNECT", row->name, version);
    }
    fake_say(talk.broker, talk_connack(&talk, 0));
    assert_state(&talk, SESSION_OPEN);
    struct mqtt_connack connack;
    enum violation violation;
    struct span told = fake_written(talk.device);
    assert_int_equal(mqtt_connack_read(span_after(told, 2), version, &connack, &violation), MQTT_WHOLE);
    bool is_assigned = is_5 && mqtt_props_has(&connack.props, MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER);
    if (is_assigned != (is_5 && row->assigned != NULL))
        fail_msg("'%s', version %d: its client id is %stold", row->name, version, is_assigned ? "" : "not ");
    if (is_assigned)
        assert_bytes(connack.props.text[MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER], span_of_text(row->assigned));
    if (!is_5)
        assert_bytes(told, talk_connack(&talk, 0));
    /* Rules with %c and %u mean what was verified here, which is what the broker was told unless that was
     * disguised. */
    struct mqtt_connect known = row->is_disguised ? row->known : wanted;
    assert_bytes(talk_session(&talk)->inspector.acl.identity.client_id, known.client_id);
    assert_bytes(talk_session(&talk)->inspector.acl.identity.username, known.username);
    assert_int_equal(talk_session(&talk)->inspector.acl.identity.has_username, known.has_username);
    fake_say(talk.device, bye());
    talk_end(&talk, SESSION_END_DEVICE_GOODBYE);
}

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (!cases[i].only_5)
            check_case(&cases[i], MQTT_VERSION_311);
        if (!cases[i].only_before_5)
            check_case(&cases[i], MQTT_VERSION_5);
    }
}

/* 3.1 has no empty client ids at all. */
static void test_31_wants_a_client_id(void **state) {
    (void)state;
    const struct admit_case row = {"3.1", ANYBODY, NULL, .sent = {.clean_start = true}, .refused = {2, 0}};
    check_case(&row, MQTT_VERSION_31);
    const struct admit_case refused = {"3.1", ANYBODY "accept_protocol_versions 4,5\n", NULL, .sent = {DEV},
                                       .refused = {1, 0}};
    check_case(&refused, MQTT_VERSION_31);
}

/* A CONNECT that passes is the device's own to the last byte, however odd it is written. */
static void test_own_bytes_pass(void **state) {
    (void)state;
    static const char *const connects[] = {
        /* an over-long length, a bridge, a username that is announced and left out */
        "10 8f 80 00 00 04 4d 51 54 54 04 02 00 3c 00 03 64 65 76",
        "10 0f 00 04 4d 51 54 54 84 02 00 3c 00 03 64 65 76",
        "10 11 00 06 4d 51 49 73 64 70 03 82 00 3c 00 03 64 65 76",
    };
    const enum mqtt_version versions[] = {MQTT_VERSION_311, MQTT_VERSION_311, MQTT_VERSION_31};
    struct generation *generation = generation_of(TALK_CONF, NULL, NULL);
    for (size_t i = 0; i < 3; i++) {
        struct talk talk = talk_begin(generation, versions[i]);
        struct span connect = bytes_of_hex(connects[i]);
        fake_say(talk.device, connect);
        talk.broker = talk.world->dialed;
        assert_non_null(talk.broker);
        fake_open(talk.broker);
        assert_bytes(fake_written(talk.broker), connect);
        fake_end(talk.device, 0);
        talk_end(&talk, SESSION_END_DEVICE_CLOSED);
    }
    generation_drop(generation);
}

/* Properties of the CONNECT and of the will survive the rewriting. */
static void test_rewritten_with_properties(void **state) {
    (void)state;
    struct generation *generation = generation_of(TALK_CONF, NULL, NULL);
    struct talk talk = talk_begin(generation, MQTT_VERSION_5);
    generation_drop(generation);
    struct mqtt_connect sent = {.version = MQTT_VERSION_5, .keep_alive_s = 5, WILL("w"), .will_qos = 1};
    sent.props.raw = join(bytes_of_hex("11 00 00 00 09 21 00 0a"), user_prop("a", "b"));
    sent.will_props.raw = join(bytes_of_hex("18 00 00 00 05 01 01"), user_prop("c", "d"));
    fake_say(talk.device, written_connect(sent));
    talk.broker = talk.world->dialed;
    fake_open(talk.broker);
    sent.client_id = TEXT("auto-" UUID);
    assert_bytes(fake_written(talk.broker), written_connect(sent));
    fake_end(talk.device, 0);
    talk_end(&talk, SESSION_END_DEVICE_CLOSED);
}

/* Without randomness no client id is made. */
static void test_no_randomness(void **state) {
    (void)state;
    struct generation *generation = generation_of(TALK_CONF, NULL, NULL);
    struct talk talk = talk_begin(generation, MQTT_VERSION_5);
    generation_drop(generation);
    talk.world->host.random = world_no_random;
    fake_say(talk.device, connect_packet(MQTT_VERSION_5, NO_WORDS, "", 60));
    assert_bytes(fake_written(talk.device), talk_connack(&talk, 0x88));
    talk_end(&talk, SESSION_END_CONNECT_REFUSED);
}

/* A certificate is to give the name, and there is no TLS: nobody gets in. */
static void test_no_certificate(void **state) {
    (void)state;
    struct generation *generation = generation_of(TALK_CONF, NULL, NULL);
    struct conf_listener *listener = &generation->conf->listeners[0];
    for (int i = 0; i < 2; i++) {
        listener->use_identity_as_username = i == 0;
        listener->use_subject_as_username = i == 1;
        struct talk talk = talk_begin(generation, MQTT_VERSION_311);
        fake_say(talk.device, written_connect((struct mqtt_connect){
                                  .version = MQTT_VERSION_311, DEV, USER("ann"), .has_password = true}));
        assert_bytes(fake_written(talk.device), talk_connack(&talk, 4));
        talk_end(&talk, SESSION_END_CONNECT_REFUSED);
    }
    generation_drop(generation);
}

/* The password_file decides, so an authentication method that it does not know is refused. */
static void test_method_against_password_file(void **state) {
    (void)state;
    struct generation *generation = generation_of(
        TALK_CONF, NULL,
        "ann:$6$yMnKy8zNzs/Q0dLT$"
        "siM2EpznaGYRahtVpA/Zxx4YaOuTvewIgPcpJPcS0DpjP8Ju/1a8CqknlojV81VVsyae7ptCDZdrxjd9wMaSzg==\n");
    struct talk talk = talk_begin(generation, MQTT_VERSION_5);
    generation_drop(generation);
    talk_connect(&talk, bytes_of_hex("15 00 05 53 43 52 41 4d 17 00"), 60);
    assert_bytes(fake_written(talk.device), talk_connack(&talk, 0x8C));
    talk_end(&talk, SESSION_END_CONNECT_REFUSED);
}

static int be_quiet(void **state) {
    (void)state;
    log_to_nowhere();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_31_wants_a_client_id),
        cmocka_unit_test(test_own_bytes_pass),
        cmocka_unit_test(test_rewritten_with_properties),
        cmocka_unit_test(test_no_randomness),
        cmocka_unit_test(test_no_certificate),
        cmocka_unit_test(test_method_against_password_file),
    };
    return cmocka_run_group_tests_name("session/admit", tests, be_quiet, NULL);
}
