/* context_own: certfile and keyfile. Most of it is telling people who make their first certificates what went
 * wrong, since OpenSSL only says so to their devices. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/text.h"
#include "crypto/load.h"

#define SOON_S (30 * 24 * 3600)
/* What our flight of a handshake may carry, and clients commonly take. */
#define CHAIN_MAX_COUNT 10
#define CHAIN_MAX_BYTES (32 * 1024)

static void load_chain(struct loading *loading) {
    struct file file;
    if (!file_read(&file, loading, "certfile", loading->own->certfile))
        return;
    int count = file_certificates(&file, loading, loading->own->chain);
    if (count == 0)
        file_say_wrong(&file, loading, "the certificate of the server");
    if (count <= 0)
        sk_X509_pop_free(loading->own->chain, X509_free), loading->own->chain = sk_X509_new_null();
    file_clear(&file);
}

/* Nobody sits there to type a password: it comes from a file, or not at all. */
struct asking {
    struct span password; /* at NULL: none to give */
    bool was_asked;
};

static int on_password_asked(char *room, int size, int purpose, void *user) {
    struct asking *asking = user;
    (void)purpose;
    asking->was_asked = true;
    if (asking->password.at == NULL || asking->password.size > (size_t)size)
        return -1;
    memcpy(room, asking->password.at, asking->password.size);
    return (int)asking->password.size;
}

static EVP_PKEY *decode_key(const struct file *file, struct asking *asking) {
    BIO *bio = BIO_new_mem_buf(file->bytes, (int)file->size);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, on_password_asked, asking);
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

/* Each line of keyfile_password_file is tried. */
static EVP_PKEY *open_key(const struct loading *loading, const struct file *file, struct asking *asking) {
    EVP_PKEY *key = decode_key(file, asking);
    struct span left = span_of(loading->passwords.bytes, loading->passwords.size);
    while (key == NULL && asking->was_asked && left.size != 0) {
        const uint8_t *end = memchr(left.at, '\n', left.size);
        size_t size = end == NULL ? left.size : (size_t)(end - left.at);
        struct span line = span_first(left, size);
        left = span_after(left, end == NULL ? size : size + 1);
        if (line.size != 0 && line.at[line.size - 1] == '\r')
            line.size--;
        if (line.size == 0)
            continue;
        asking->password = line;
        key = decode_key(file, asking);
    }
    return key;
}

static void load_key(struct loading *loading) {
    struct file file;
    if (!file_read(&file, loading, "keyfile", loading->own->keyfile))
        return;
    struct asking asking = {SPAN_NONE, false};
    loading->own->key = open_key(loading, &file, &asking);
    if (loading->own->key == NULL && asking.was_asked && loading->settings->keyfile_password_file != NULL)
        loading_say(loading, FINDING_ERROR,
                    "keyfile %s is encrypted, and no line of keyfile_password_file %s is its password",
                    file.path, loading->settings->keyfile_password_file);
    else if (loading->own->key == NULL && asking.was_asked)
        loading_say(loading, FINDING_ERROR,
                    "keyfile %s is encrypted, and nobody can type its password when the proxy starts: name a "
                    "keyfile_password_file, or write the key without one with openssl pkey -in %s -out "
                    "NEW.key, mode 0600",
                    file.path, file.path);
    else if (loading->own->key == NULL && memmem(file.bytes, file.size, "PRIVATE KEY-----", 16) != NULL)
        loading_say(loading, FINDING_ERROR, "keyfile %s holds a damaged private key; copy the file anew",
                    file.path);
    else if (loading->own->key == NULL)
        file_say_wrong(&file, loading, "the private key of the server");
    else if ((file.mode & S_IRWXO) != 0)
        loading_say(loading, FINDING_WARNING,
                    "keyfile %s may be read by every user of this machine: chmod o= %s", file.path,
                    file.path);
    file_clear(&file);
}

static void load_pair(struct loading *loading, const struct tls_pair *pair) {
    struct own *own = loading->own = &loading->owns[loading->own_count++];
    *own = (struct own){pair->certfile, pair->keyfile, sk_X509_new_null(), NULL};
    if (own->certfile == NULL || own->keyfile == NULL) {
        loading_say(loading, FINDING_ERROR, "a TLS listener wants both certfile and keyfile; %s is missing",
                    own->certfile == NULL ? "certfile" : "keyfile");
        return;
    }
    load_chain(loading);
    load_key(loading);
}

void own_load(struct loading *loading) {
    const struct tls_settings *settings = loading->settings;
    const struct tls_pair first = {settings->certfile, settings->keyfile};
    const char *passwords = settings->keyfile_password_file;
    if (passwords != NULL && file_read(&loading->passwords, loading, "keyfile_password_file", passwords) &&
        (loading->passwords.mode & S_IRWXO) != 0)
        loading_say(loading, FINDING_WARNING,
                    "keyfile_password_file %s may be read by every user of this machine: chmod o= %s",
                    passwords, passwords);
    if (settings->more_count >= TLS_PAIRS_MAX) {
        loading_say(loading, FINDING_ERROR,
                    "there are more than %d certfiles; one for each kind of key is enough", TLS_PAIRS_MAX);
        return;
    }
    load_pair(loading, &first);
    for (size_t i = 0; i < settings->more_count; i++)
        load_pair(loading, &settings->more[i]);
}

void own_clear(struct loading *loading) {
    file_clear(&loading->passwords);
    for (size_t i = 0; i < loading->own_count; i++) {
        sk_X509_pop_free(loading->owns[i].chain, X509_free);
        EVP_PKEY_free(loading->owns[i].key);
    }
}

/* Which certificate the key does belong to tells what was mixed up. False when they do not fit. */
static bool check_pair(struct loading *loading) {
    const struct own *pair = loading->own;
    X509 *own = sk_X509_value(loading->own->chain, 0);
    if (X509_check_private_key(own, loading->own->key) == 1)
        return true;
    for (int i = 1; i < sk_X509_num(loading->own->chain); i++)
        if (X509_check_private_key(sk_X509_value(loading->own->chain, i), loading->own->key) == 1) {
            loading_say(
                loading, FINDING_ERROR,
                "certfile %s has its certificates in the wrong order: the one of keyfile %s is number "
                "%d and must be the first, followed by the CA that signed it",
                pair->certfile, pair->keyfile, i + 1);
            return false;
        }
    for (int i = 0; i < sk_X509_num(loading->authorities); i++) {
        X509 *authority = sk_X509_value(loading->authorities, i);
        if (X509_check_private_key(authority, loading->own->key) == 1) {
            loading_say(loading, FINDING_ERROR,
                        "keyfile %s is the key of the CA in cafile: name the key of the server",
                        pair->keyfile);
            return false;
        }
    }
    if (X509_check_ca(own) > 0)
        loading_say(loading, FINDING_ERROR,
                    "certfile %s holds the certificate of a CA, and keyfile %s is not its key: name the "
                    "certificate of the server, signed by that CA",
                    pair->certfile, pair->keyfile);
    else
        loading_say(
            loading, FINDING_ERROR,
            "keyfile %s is not the key of the certificate in certfile %s: both must come from the same "
            "certificate request",
            pair->keyfile, pair->certfile);
    return false;
}

static void check_dates(struct loading *loading, int index) {
    X509 *certificate = sk_X509_value(loading->own->chain, index);
    const char *path = loading->own->certfile;
    int64_t now_s = loading->settings->now_s;
    int64_t from_s = time_s_of(X509_get0_notBefore(certificate));
    int64_t until_s = time_s_of(X509_get0_notAfter(certificate));
    /* Clients forgive an old CA of which they know a newer one, never an old server. */
    enum finding_kind kind = index == 0 ? FINDING_ERROR : FINDING_WARNING;
    struct name_text name = name_of(X509_get_subject_name(certificate));
    if (until_s < now_s)
        loading_say(loading, kind, "certfile %s: the certificate %s expired on %s: make a new one", path,
                    name.text, date_of(until_s).text);
    else if (from_s > now_s)
        loading_say(
            loading, kind,
            "certfile %s: the certificate %s is not valid before %s, and today is %s: check the clock "
            "of this machine and of the one that made it",
            path, name.text, date_of(from_s).text, date_of(now_s).text);
    else if (until_s - now_s < SOON_S)
        loading_say(loading, FINDING_WARNING,
                    "certfile %s: the certificate %s expires on %s, in %lld days: renew it soon", path,
                    name.text, date_of(until_s).text, (long long)((until_s - now_s) / (24 * 3600)));
}

/* Why clients would take the certificate for what it is not. False when it is a CA's, whose names and
 * purposes need no more words. */
static bool check_subject(struct loading *loading) {
    X509 *own = sk_X509_value(loading->own->chain, 0);
    const char *path = loading->own->certfile;
    struct name_text name = name_of(X509_get_subject_name(own));
    if (X509_NAME_cmp(X509_get_subject_name(own), X509_get_issuer_name(own)) != 0) {
        if (X509_check_ca(own) == 1)
            loading_say(loading, FINDING_WARNING,
                        "certfile %s holds the certificate of a CA, %s; a server wants one of its own", path,
                        name.text);
        return X509_check_ca(own) != 1;
    }
    EVP_PKEY *key = X509_get0_pubkey(own);
    if (key == NULL || X509_verify(own, key) != 1)
        loading_say(
            loading, FINDING_ERROR,
            "certfile %s: the certificate has the same subject as the CA that signed it, %s, so clients "
            "take it for self-signed and refuse it: make the request again with another common name",
            path, name.text);
    else
        loading_say(
            loading, FINDING_WARNING,
            "certfile %s is self-signed: every client must be given this very file as its CA, and again "
            "when it is renewed; scripts/certs makes a CA and a certificate signed by it",
            path);
    ERR_clear_error();
    return X509_check_ca(own) != 1;
}

static void check_names(struct loading *loading) {
    X509 *own = sk_X509_value(loading->own->chain, 0);
    const char *path = loading->own->certfile;
    GENERAL_NAMES *names = X509_get_ext_d2i(own, NID_subject_alt_name, NULL, NULL);
    bool has_name = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type = sk_GENERAL_NAME_value(names, i)->type;
        has_name = has_name || type == GEN_DNS || type == GEN_IPADD;
    }
    GENERAL_NAMES_free(names);
    if (has_name)
        return;
    char common[256];
    int size = X509_NAME_get_text_by_NID(X509_get_subject_name(own), NID_commonName, common, sizeof common);
    char quoted[TEXT_QUOTED_SIZE];
    if (size > 0)
        loading_say(
            loading, FINDING_WARNING,
            "certfile %s: the certificate has no subjectAltName, so clients can only use the common name "
            "'%s', and many newer ones refuse that: add a subjectAltName with each name and address "
            "that clients connect to",
            path, text_quote(quoted, sizeof quoted, span_of(common, (size_t)size)));
    else
        loading_say(
            loading, FINDING_WARNING,
            "certfile %s: the certificate has neither a subjectAltName nor a common name, so no client "
            "can check whom it talks to: add a subjectAltName",
            path);
}

static void check_purpose(struct loading *loading) {
    if (X509_check_purpose(sk_X509_value(loading->own->chain, 0), X509_PURPOSE_SSL_SERVER, 0) != 1)
        loading_say(loading, FINDING_WARNING,
                    "certfile %s: the certificate is not made for a server (its keyUsage or extendedKeyUsage "
                    "says so), so clients refuse it: make one with extendedKeyUsage serverAuth",
                    loading->own->certfile);
}

static void check_chain(struct loading *loading) {
    const char *path = loading->own->certfile;
    int count = sk_X509_num(loading->own->chain), bytes = 0;
    for (int i = 0; i < count; i++) {
        int size = i2d_X509(sk_X509_value(loading->own->chain, i), NULL);
        bytes += size < 0 ? 0 : size;
    }
    if (count > CHAIN_MAX_COUNT || bytes > CHAIN_MAX_BYTES) {
        loading_say(
            loading, FINDING_ERROR,
            "certfile %s holds %d certificates: it must hold the server's, followed by those of the CAs "
            "above it, no more than %d and %d KiB",
            path, count, CHAIN_MAX_COUNT, CHAIN_MAX_BYTES / 1024);
        return;
    }
    for (int i = 0; i + 1 < count; i++)
        if (X509_check_issued(sk_X509_value(loading->own->chain, i + 1),
                              sk_X509_value(loading->own->chain, i)) != X509_V_OK) {
            loading_say(
                loading, FINDING_WARNING,
                "certfile %s: certificate number %d did not sign number %d: the server's comes first, "
                "each one's CA after it",
                path, i + 2, i + 1);
            return;
        }
}

/* A CA that was made anew under its old name: nothing looks wrong until a client checks the signature. */
static void check_signer(struct loading *loading) {
    X509 *own = sk_X509_value(loading->own->chain, 0);
    bool is_named = false;
    if (X509_NAME_cmp(X509_get_subject_name(own), X509_get_issuer_name(own)) == 0)
        return;
    for (int i = 0; i < sk_X509_num(loading->authorities); i++) {
        X509 *authority = sk_X509_value(loading->authorities, i);
        is_named =
            is_named || X509_NAME_cmp(X509_get_subject_name(authority), X509_get_issuer_name(own)) == 0;
    }
    if (is_named && trust_signer_of(loading, own) == NULL)
        loading_say(
            loading, FINDING_WARNING,
            "certfile %s was signed by another CA of the same name as the one in cafile: clients that "
            "are given that cafile refuse it; sign the certificate again with the CA in use",
            loading->own->certfile);
}

/* As mosquitto sends them: intermediate CAs that stand in cafile instead of certfile. Found once, here,
 * not in each handshake. The root is not sent, whoever trusts it has it. */
static void complete_chain(struct loading *loading) {
    while (sk_X509_num(loading->own->chain) < CHAIN_MAX_COUNT) {
        X509 *last = sk_X509_value(loading->own->chain, sk_X509_num(loading->own->chain) - 1);
        if (X509_self_signed(last, 0) != 0)
            break;
        X509 *signer = trust_signer_of(loading, last);
        if (signer == NULL || X509_self_signed(signer, 0) != 0)
            break;
        if (!X509_up_ref(signer) || sk_X509_push(loading->own->chain, signer) == 0)
            break;
    }
    ERR_clear_error();
}

/* OpenSSL keeps one certificate for each kind of key, and the second would silently take the place of the
 * first. */
static bool check_kind(struct loading *loading) {
    for (const struct own *other = loading->owns; other < loading->own; other++)
        if (other->key != NULL && loading->own->key != NULL &&
            EVP_PKEY_is_a(other->key, EVP_PKEY_get0_type_name(loading->own->key))) {
            loading_say(
                loading, FINDING_ERROR,
                "certfile %s and certfile %s both have a key of the kind %s: one for each kind is used, "
                "so remove one of the two",
                other->certfile, loading->own->certfile, EVP_PKEY_get0_type_name(other->key));
            return false;
        }
    return true;
}

static void check_own(struct loading *loading) {
    if (sk_X509_num(loading->own->chain) == 0)
        return;
    if (loading->own->key != NULL && !check_pair(loading))
        return; /* one of the files is the wrong one: nothing else in it matters */
    if (!check_kind(loading))
        return;
    for (int i = 0; i < sk_X509_num(loading->own->chain); i++)
        check_dates(loading, i);
    if (check_subject(loading)) {
        check_names(loading);
        check_purpose(loading);
    }
    check_signer(loading);
    if (sk_X509_num(loading->own->chain) == 1)
        complete_chain(loading);
    check_chain(loading);
    ERR_clear_error();
}

void own_check(struct loading *loading) {
    for (size_t i = 0; i < loading->own_count; i++) {
        loading->own = &loading->owns[i];
        check_own(loading);
    }
}
