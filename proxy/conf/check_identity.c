#include "conf/check_identity.h"

#include "conf/rows.h"

#define SAY(findings, kind, listener, option, ...)                                                           \
    do {                                                                                                     \
        struct conf_origin origin_ = conf_listener_origin(listener, option);                                 \
        findings_add(findings, kind, origin_.file, origin_.line, __VA_ARGS__);                               \
    } while (0)

/* An option that speaks of certificates, and whether it is in use. */
struct use {
    enum conf_option option;
    bool is_used;
    uint32_t source; /* enum conf_source_kind; NONE: no name is taken */
    bool would_open; /* without certificates everybody comes in, not nobody */
};

static void check_twice(const struct conf_listener *listener, struct findings *findings) {
    bool is_named = listener->username_from.kind != CONF_SOURCE_NONE;
    bool is_identity = listener->use_identity_as_username, is_subject = listener->use_subject_as_username;
    if (is_named && (is_identity || is_subject))
        SAY(findings, FINDING_ERROR, listener, CONF_username_from,
            "username_from and %s both say what becomes the username; remove one of the two",
            is_identity ? "use_identity_as_username" : "use_subject_as_username");
    if (is_identity && is_subject && listener->require_certificate != CONF_CERTIFICATE_NONE)
        SAY(findings, FINDING_WARNING, listener, CONF_use_subject_as_username,
            "use_subject_as_username has no effect beside use_identity_as_username, which wins; remove one "
            "of the two");
    if (listener->clientid_from.kind != CONF_SOURCE_NONE && listener->use_username_as_clientid)
        SAY(findings, FINDING_ERROR, listener, CONF_clientid_from,
            "clientid_from and use_username_as_clientid both say what becomes the client id; remove one of "
            "the two");
    if (listener->clientid_must_match && listener->clientid_from.kind == CONF_SOURCE_NONE &&
        !listener->use_username_as_clientid)
        SAY(findings, FINDING_ERROR, listener, CONF_clientid_must_match,
            "clientid_must_match has nothing to compare with; add clientid_from or use_username_as_clientid "
            "true");
}

/* A proxy in front, which has checked the certificate, tells its common name and no more. */
static bool is_told(const struct conf_listener *listener, enum conf_option option) {
    return listener->enable_proxy_protocol == 2 &&
           (option == CONF_use_identity_as_username ||
            (option == CONF_username_from && listener->username_from.kind == CONF_SOURCE_CN) ||
            (option == CONF_clientid_from && listener->clientid_from.kind == CONF_SOURCE_CN));
}

/* Without certificates nobody has such a name, and every device is refused. */
static void check_sources(const struct conf_listener *listener, struct findings *findings) {
    uint32_t identity = listener->psk_hint != NULL ? CONF_SOURCE_PSK_IDENTITY : CONF_SOURCE_CN;
    const struct use uses[] = {
        {CONF_use_identity_as_username, listener->use_identity_as_username, identity, false},
        {CONF_use_subject_as_username, listener->use_subject_as_username, CONF_SOURCE_SUBJECT, false},
        {CONF_username_from, listener->username_from.kind != CONF_SOURCE_NONE, listener->username_from.kind,
         false},
        {CONF_clientid_from, listener->clientid_from.kind != CONF_SOURCE_NONE, listener->clientid_from.kind,
         false},
        {CONF_one_session_per_certificate, listener->one_session_per_certificate, CONF_SOURCE_NONE, true},
        {CONF_allow_issuer, listener->allow_issuer != NULL, CONF_SOURCE_NONE, true},
        {CONF_allow_ou, listener->allow_ou != NULL, CONF_SOURCE_NONE, true},
        {CONF_allow_san, listener->allow_san != NULL, CONF_SOURCE_NONE, true},
        {CONF_allow_spki, listener->allow_spki != NULL, CONF_SOURCE_NONE, true},
    };
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
        const char *keyword = conf_row_of(uses[i].option)->keyword;
        if (!uses[i].is_used)
            continue;
        if (!conf_listener_is_tls(listener) && is_told(listener, uses[i].option))
            continue;
        if (!conf_listener_is_tls(listener))
            SAY(findings, FINDING_ERROR, listener, uses[i].option,
                "%s needs TLS; add certfile and keyfile to this listener", keyword);
        else if (listener->psk_hint != NULL && uses[i].source != CONF_SOURCE_PSK_IDENTITY)
            SAY(findings, FINDING_ERROR, listener, uses[i].option,
                "%s wants certificates, and this listener has psk_hint instead%s", keyword,
                uses[i].source == CONF_SOURCE_NONE ? "; remove the line" : "; write psk_identity");
        else if (listener->psk_hint == NULL && uses[i].source == CONF_SOURCE_PSK_IDENTITY)
            SAY(findings, FINDING_ERROR, listener, uses[i].option,
                "%s psk_identity needs pre-shared keys; add psk_hint in place of certfile and keyfile",
                keyword);
        else if (listener->psk_hint != NULL)
            continue; /* it has the identity */
        else if (listener->require_certificate == CONF_CERTIFICATE_NONE && uses[i].would_open)
            SAY(findings, FINDING_ERROR, listener, uses[i].option,
                "%s needs certificates; add require_certificate true", keyword);
        else if (listener->require_certificate == CONF_CERTIFICATE_NONE)
            SAY(findings, FINDING_WARNING, listener, uses[i].option,
                "%s: no device is asked for a certificate, so every device will be refused; add "
                "require_certificate true",
                keyword);
    }
}

void conf_check_identity(const struct conf_listener *listener, struct findings *findings) {
    check_twice(listener, findings);
    bool is_whole = (listener->certfile == NULL) == (listener->keyfile == NULL) &&
                    (listener->psk_hint == NULL || listener->certfile == NULL);
    if (is_whole) /* else that is enough to say */
        check_sources(listener, findings);
}
