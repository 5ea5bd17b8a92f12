#include "crypto/ticket.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/inside.h"
#include "crypto/load.h"

#define NAME_SIZE 16
#define KEY_SIZE  32

struct ticket_key {
    uint8_t name[NAME_SIZE], hmac[KEY_SIZE], aes[KEY_SIZE];
};
_Static_assert(sizeof(struct ticket_key) == TICKET_RECORD_SIZE, "a key is read as it stands in the file");

struct tickets {
    unsigned references; /* atomic */
    bool is_own;
    EVP_CIPHER *cipher; /* fetched once: by name it would be looked up in each handshake */
    int64_t (*now_s)(void);
    pthread_mutex_t lock; /* of what follows, with own keys */
    int64_t since_s;      /* when the current one became it */
    size_t count;
    struct ticket_key keys[TICKET_RECORDS_MAX];
};

/* Goes on while the machine sleeps, and nobody can set it back. */
static int64_t boot_now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec;
}

struct tickets *tickets_create(void) {
    struct tickets *tickets = calloc(1, sizeof *tickets);
    if (tickets == NULL)
        return NULL;
    tickets->references = 1;
    tickets->is_own = true;
    tickets->now_s = boot_now_s;
    tickets->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    pthread_mutex_init(&tickets->lock, NULL);
    if (tickets->cipher != NULL)
        return tickets;
    ERR_clear_error();
    tickets_drop(tickets);
    return NULL;
}

void tickets_set_clock(struct tickets *tickets, int64_t (*now_s)(void)) {
    tickets->now_s = now_s;
}

struct tickets *tickets_keep(struct tickets *tickets) {
    __atomic_add_fetch(&tickets->references, 1, __ATOMIC_RELAXED);
    return tickets;
}

void tickets_drop(struct tickets *tickets) {
    if (tickets == NULL || __atomic_sub_fetch(&tickets->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    EVP_CIPHER_free(tickets->cipher);
    pthread_mutex_destroy(&tickets->lock);
    OPENSSL_cleanse(tickets->keys, sizeof tickets->keys);
    free(tickets);
}

bool tickets_are_own(const struct tickets *tickets) {
    return tickets->is_own;
}

/* ---- a key file ---- */

/* A file that was made but not filled holds zeros or the same byte all over. */
static bool is_random(const uint8_t *key) {
    for (size_t i = 1; i < KEY_SIZE; i++)
        if (key[i] != key[0])
            return true;
    return false;
}

static const char *fault_of(const struct tickets *tickets) {
    for (size_t i = 0; i < tickets->count; i++) {
        const struct ticket_key *key = &tickets->keys[i];
        if (!is_random(key->hmac) || !is_random(key->aes))
            return "holds no random bytes";
        for (size_t j = 0; j < i; j++)
            if (memcmp(tickets->keys[j].name, key->name, NAME_SIZE) == 0)
                return "holds two keys of the same name (the first 16 bytes of a record)";
    }
    return NULL;
}

struct tickets *tickets_load(const char *path, const char *file, unsigned line, struct findings *findings) {
    const struct tls_settings place = {.file = file, .line = line};
    struct loading loading = {.settings = &place, .findings = findings};
    struct file bytes;
    if (!file_read(&bytes, &loading, "ticket_keyfile", path))
        return NULL;
    struct tickets *tickets = tickets_create();
    const char *fault = NULL;
    if (bytes.size % TICKET_RECORD_SIZE != 0 || bytes.size / TICKET_RECORD_SIZE > TICKET_RECORDS_MAX) {
        fault = "does not hold 1 to 32 keys of 80 bytes each";
    } else if (tickets != NULL) {
        tickets->is_own = false;
        tickets->count = bytes.size / TICKET_RECORD_SIZE;
        memcpy(tickets->keys, bytes.bytes, bytes.size);
        fault = fault_of(tickets);
    }
    bool is_open = (bytes.mode & S_IRWXO) != 0;
    file_clear(&bytes);
    if (fault == NULL && tickets != NULL) {
        if (is_open)
            loading_say(&loading, FINDING_WARNING,
                        "ticket_keyfile %s may be read by every user of this machine: chmod o= %s", path,
                        path);
        return tickets;
    }
    tickets_drop(tickets);
    loading_say(&loading, FINDING_ERROR, "ticket_keyfile %s %s; make one: openssl rand -out %s 80", path,
                fault == NULL ? "cannot be loaded, memory is out" : fault, path);
    return NULL;
}

/* ---- at work ---- */

/* Makes the first key, or a new one when the time of the current one is over. The hours are counted from the
 * first key on, so that a key that nobody needed for long does not live on. */
static bool turn(struct tickets *tickets, int64_t rotation_s) {
    int64_t now_s = tickets->now_s();
    int64_t age_s = now_s - tickets->since_s;
    if (!tickets->is_own || (tickets->count != 0 && age_s < rotation_s))
        return true;
    bool is_next = tickets->count != 0 && age_s < 2 * rotation_s;
    if (is_next)
        tickets->keys[1] = tickets->keys[0];
    else
        OPENSSL_cleanse(&tickets->keys[1], sizeof tickets->keys[1]);
    tickets->since_s = is_next ? tickets->since_s + rotation_s : now_s;
    tickets->count = is_next ? 2 : 1;
    if (RAND_priv_bytes((uint8_t *)&tickets->keys[0], sizeof tickets->keys[0]) == 1)
        return true;
    tickets->count = 0;
    return false;
}

/* The key that encrypts (`name` NULL) or the one of the name: its place, or -1. */
static int take(struct tickets *tickets, int64_t rotation_s, const uint8_t *name, struct ticket_key *key) {
    int place = -1;
    pthread_mutex_lock(&tickets->lock);
    if (turn(tickets, rotation_s))
        for (size_t i = 0; i < tickets->count && place < 0; i++)
            if (name == NULL || memcmp(name, tickets->keys[i].name, NAME_SIZE) == 0) {
                *key = tickets->keys[i];
                place = (int)i;
            }
    pthread_mutex_unlock(&tickets->lock);
    return place;
}

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *key) {
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, KEY_SIZE),
                           OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* OpenSSL asks for a key to make a ticket (`encrypts`) or to open one: 1 here it is, 2 here it is and give a
 * new ticket, 0 unknown, -1 trouble. */
static int on_key_wanted(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int encrypts) {
    const struct engine *engine = SSL_get_app_data(ssl);
    struct tickets *tickets = engine->context->tickets;
    struct ticket_key key;
    int place = take(tickets, engine->context->ticket_rotation_s, encrypts ? NULL : name, &key);
    if (place < 0)
        return encrypts ? -1 : 0;
    bool is_good = set_mac(mac, &key);
    if (is_good && encrypts) {
        memcpy(name, key.name, NAME_SIZE);
        is_good = RAND_bytes(iv, EVP_CIPHER_get_iv_length(tickets->cipher)) == 1 &&
                  EVP_EncryptInit_ex2(cipher, tickets->cipher, key.aes, iv, NULL) == 1;
    } else if (is_good) {
        is_good = EVP_DecryptInit_ex2(cipher, tickets->cipher, key.aes, iv, NULL) == 1;
    }
    OPENSSL_cleanse(&key, sizeof key);
    return !is_good ? -1 : encrypts || place == 0 ? 1 : 2;
}

/* RFC 8446 4.6.1. */
#define LIFETIME_MAX_S (7 * 24 * 3600)

bool tickets_use(struct tls_context *context, struct tickets *tickets, int64_t rotation_s) {
    SSL_CTX *ssl_ctx = context->ssl_ctx;
    if (rotation_s <= 0) {
        SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_TICKET);
        return SSL_CTX_set_num_tickets(ssl_ctx, 0) == 1;
    }
    context->tickets = tickets_keep(tickets);
    context->ticket_rotation_s = rotation_s;
    SSL_CTX_set_timeout(ssl_ctx, (long)(rotation_s < LIFETIME_MAX_S ? rotation_s : LIFETIME_MAX_S));
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl_ctx, on_key_wanted) == 1;
}
