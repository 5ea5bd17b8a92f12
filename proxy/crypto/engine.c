/* States, and what moves them:
 *
 *      SHAKING --handshake whole--> OPEN --close_notify of either side--> CLOSED
 *         |                           |
 *         +---- a TLS error ----------+--> BROKEN
 *
 * CLOSED and BROKEN are final: no SSL_* call that reads or writes follows, not even SSL_shutdown, and what is
 * fed is dropped. */
#include "crypto/inside.h"

#include <openssl/err.h>
#include <stdlib.h>

static struct engine *create(struct tls_context *context) {
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return NULL;
    engine->state = ENGINE_SHAKING;
    engine->context = tls_context_keep(context);
    engine->listener = tls_context_keep(context);
    return engine;
}

/* What costs. False: memory is out. */
static bool equip(struct engine *engine) {
    ERR_clear_error();
    engine->ssl = SSL_new(engine->context->ssl_ctx);
    BIO *bio = engine->ssl == NULL ? NULL : engine_bio_new(engine);
    if (bio == NULL) {
        ERR_clear_error();
        return false;
    }
    SSL_set_bio(engine->ssl, bio, bio);
    SSL_set_app_data(engine->ssl, engine);
    if (engine->context->is_client)
        SSL_set_connect_state(engine->ssl);
    else
        SSL_set_accept_state(engine->ssl);
    return true;
}

static struct engine *create_equipped(struct tls_context *context) {
    struct engine *engine = create(context);
    if (engine == NULL || equip(engine))
        return engine;
    engine_destroy(engine);
    return NULL;
}

struct engine *engine_expect(struct tls_context *context) {
    return create(context);
}

struct engine *engine_accept(struct tls_context *context) {
    return create_equipped(context);
}

struct engine *engine_dial(struct tls_context *context) {
    struct engine *engine = create_equipped(context);
    if (engine == NULL)
        return NULL;
    engine->is_tls = true; /* what the broker says is OpenSSL's to judge */
    if (context->sni != NULL && SSL_set_tlsext_host_name(engine->ssl, context->sni) != 1) {
        engine_destroy(engine);
        return NULL;
    }
    return engine;
}

void engine_destroy(struct engine *engine) {
    if (engine == NULL)
        return;
    SSL_free(engine->ssl);
    ERR_clear_error();
    free(engine->identity);
    tls_context_drop(engine->context);
    tls_context_drop(engine->listener);
    free(engine->host_name);
    free(engine->hello);
    free(engine);
}

/* The only way into a final state. */
static void end(struct engine *engine, enum engine_state state, enum tls_trouble trouble) {
    engine->state = (uint8_t)state;
    engine->trouble = (uint8_t)trouble;
    engine->in = SPAN_NONE;
}

/* After a call of OpenSSL that did not succeed. Wanting to read is the normal case; wanting to write means
 * that the lent room could not take what had to be said. */
static void judge(struct engine *engine, int result) {
    switch (SSL_get_error(engine->ssl, result)) {
    case SSL_ERROR_WANT_READ: return;
    case SSL_ERROR_ZERO_RETURN: end(engine, ENGINE_CLOSED, TLS_TROUBLE_NONE); return;
    case SSL_ERROR_WANT_WRITE: end(engine, ENGINE_BROKEN, TLS_TROUBLE_FLOOD); break;
    default: {
        if (engine->context->is_client)
            engine->dial_trouble = (uint8_t)dial_trouble_of(engine->ssl);
        enum tls_trouble trouble = psk_trouble(engine, trouble_of(engine->ssl));
        end(engine, ENGINE_BROKEN, engine->doubt != TLS_TROUBLE_NONE ? engine->doubt : trouble);
    }
    }
    if (engine->context->is_client && engine->dial_trouble == DIAL_TROUBLE_NONE)
        engine->dial_trouble = DIAL_TROUBLE_OTHER;
}

/* What the handshake needed and nobody asks for again. */
static void settle(struct engine *engine) {
    engine->state = ENGINE_OPEN;
    engine->was_open = true;
    const struct tls_context *context = engine->context;
    if (context->psk_keys != NULL && engine->psk == NULL) { /* never seen; nobody else may come in */
        end(engine, ENGINE_BROKEN, TLS_TROUBLE_PSK_MISSING);
        return;
    }
    if (!context->asks_certificate ||
        (context->certificate_is_optional && SSL_get0_peer_certificate(engine->ssl) == NULL))
        return;
    bool is_out_of_memory;
    engine->identity = peer_identity(engine->ssl, &is_out_of_memory);
    if (is_out_of_memory)
        end(engine, ENGINE_BROKEN, TLS_TROUBLE_OUT_OF_MEMORY);
    else if (engine->identity == NULL) /* never seen; a required certificate is not waived */
        end(engine, ENGINE_BROKEN, TLS_TROUBLE_CERTIFICATE_MISSING);
}

/* OpenSSL says that it wants to read while there are bytes: it stopped between two records. */
static bool is_to_go_on(const struct engine *engine, enum engine_state state, size_t size_before) {
    return engine->state == state && engine->in.size != 0 && engine->in.size != size_before;
}

static void shake(struct engine *engine) {
    size_t before;
    do {
        before = engine->in.size;
        ERR_clear_error();
        int result = SSL_do_handshake(engine->ssl);
        if (result == 1)
            settle(engine);
        else
            judge(engine, result);
    } while (is_to_go_on(engine, ENGINE_SHAKING, before));
}

enum engine_state engine_start(struct engine *engine, struct engine_out *out) {
    engine->out = out;
    shake(engine);
    engine->out = NULL;
    return engine->state;
}

/* Moves the first bytes aside until it is clear what they are. */
static bool is_known_as_tls(struct engine *engine) {
    while (!engine->is_tls) {
        enum tls_trouble trouble = TLS_TROUBLE_NONE;
        enum hello_kind kind = hello_look(span_of(engine->first, engine->first_count), &trouble);
        if (kind == HELLO_REFUSED)
            end(engine, ENGINE_BROKEN, trouble);
        if (kind == HELLO_TLS)
            engine->is_tls = true;
        if (kind != HELLO_MORE || engine->in.size == 0)
            break;
        engine->first[engine->first_count++] = *engine->in.at;
        engine->in = span_after(engine->in, 1);
    }
    return engine->is_tls;
}

/* RFC 8446 5.1: a longer record is wrong, and OpenSSL says so. */
#define RECORD_MAX (16 * 1024)

/* A first record that comes in pieces waits outside of OpenSSL, which would hold 16 KiB and more for it:
 * strangers leave it at that. False: it is not whole yet, or memory is out. */
static bool has_first_record(struct engine *engine) {
    size_t record = (size_t)(engine->first[3] << 8 | engine->first[4]);
    size_t wanted = 5 + record - HELLO_LOOK_SIZE, size = engine->hello_size + engine->in.size;
    if (record > RECORD_MAX || size >= wanted)
        return true;
    if (engine->in.size == 0)
        return false;
    uint8_t *grown = realloc(engine->hello, size);
    if (grown == NULL) {
        end(engine, ENGINE_BROKEN, TLS_TROUBLE_OUT_OF_MEMORY);
        return false;
    }
    memcpy(grown + engine->hello_size, engine->in.at, engine->in.size);
    engine->hello = grown;
    engine->hello_size = (uint16_t)size;
    engine->in = SPAN_NONE;
    return false;
}

enum engine_state engine_feed(struct engine *engine, struct span ciphertext, struct engine_out *out) {
    if (engine->state == ENGINE_CLOSED || engine->state == ENGINE_BROKEN)
        return engine->state;
    if (engine->in.size != 0) { /* the caller did not read to the end: bytes would be lost */
        end(engine, ENGINE_BROKEN, TLS_TROUBLE_OTHER);
        return engine->state;
    }
    engine->in = ciphertext;
    if (engine->state != ENGINE_SHAKING || !is_known_as_tls(engine) ||
        (engine->ssl == NULL && !has_first_record(engine)))
        return engine->state;
    if (engine->ssl == NULL && !equip(engine)) {
        end(engine, ENGINE_BROKEN, TLS_TROUBLE_OUT_OF_MEMORY);
    } else {
        engine->out = out;
        shake(engine);
        engine->out = NULL;
    }
    return engine->state;
}

size_t engine_read(struct engine *engine, uint8_t *room, size_t room_size, struct engine_out *out) {
    size_t filled = 0;
    engine->out = out;
    ERR_clear_error();
    while (engine->state == ENGINE_OPEN && filled < room_size) {
        size_t count = 0;
        int result = SSL_read_ex(engine->ssl, room + filled, room_size - filled, &count);
        if (result != 1) {
            judge(engine, result);
            break;
        }
        filled += count;
        if (engine_is_drained(engine))
            break;
    }
    engine->out = NULL;
    return filled;
}

bool engine_is_drained(const struct engine *engine) {
    return engine->in.size == 0 && SSL_has_pending(engine->ssl) == 0;
}

size_t engine_write(struct engine *engine, struct span plaintext, struct engine_out *out) {
    size_t taken = 0;
    engine->out = out;
    while (engine->state == ENGINE_OPEN && taken < plaintext.size) {
        size_t size = plaintext.size - taken, count = 0;
        if (size > ENGINE_RECORD_SIZE)
            size = ENGINE_RECORD_SIZE;
        if (out->size - out->filled < size + ENGINE_RECORD_OVERHEAD)
            break;
        ERR_clear_error();
        int result = SSL_write_ex(engine->ssl, plaintext.at + taken, size, &count);
        if (result != 1) {
            judge(engine, result);
            break;
        }
        taken += count;
    }
    engine->out = NULL;
    return taken;
}

void engine_close(struct engine *engine, struct engine_out *out) {
    if (engine->was_open && engine->state != ENGINE_BROKEN &&
        (SSL_get_shutdown(engine->ssl) & SSL_SENT_SHUTDOWN) == 0) {
        ERR_clear_error();
        engine->out = out;
        SSL_shutdown(engine->ssl);
        engine->out = NULL;
        ERR_clear_error();
    }
    if (engine->state != ENGINE_BROKEN)
        end(engine, ENGINE_CLOSED, TLS_TROUBLE_NONE);
}

bool engine_is_silent(const struct engine *engine) {
    return engine->first_count == 0;
}

enum engine_state engine_state_of(const struct engine *engine) {
    return engine->state;
}

enum tls_trouble engine_trouble(const struct engine *engine) {
    return engine->trouble;
}

enum dial_trouble engine_dial_trouble(const struct engine *engine) {
    return engine->dial_trouble;
}

const char *engine_version(const struct engine *engine) {
    return SSL_get_version(engine->ssl);
}

const char *engine_cipher(const struct engine *engine) {
    return SSL_get_cipher_name(engine->ssl);
}

bool engine_is_resumed(const struct engine *engine) {
    return engine->psk == NULL && SSL_session_reused(engine->ssl) == 1; /* TLS 1.3 calls both the same */
}
