/* engine: one TLS connection without a socket. Ciphertext comes in as a borrowed span and leaves through a
 * lent buffer of the worker; between calls the engine keeps only what OpenSSL keeps (a partial record).
 *
 *      ciphertext in --engine_feed--> [ SSL through our own BIO ] --engine_read--> plaintext
 *      ciphertext out <-- struct engine_out (one per worker) <-- engine_write, handshake, alerts
 *
 * One BIO per connection, whose callbacks point at the spans of the call in progress. One thread at a time
 * may call; which one it is may change between calls. */
#ifndef DRAWBRIDGE_CRYPTO_ENGINE_H
#define DRAWBRIDGE_CRYPTO_ENGINE_H

#include "base/span.h"
#include "conf/conf.h"
#include "crypto/context.h"
#include "policy/facts.h"

struct engine;

/* Where ciphertext goes: room lent by the worker, one for all its engines. */
struct engine_out {
    uint8_t *room;
    size_t size;   /* at least ENGINE_OUT_SIZE */
    size_t filled; /* the link sends room[0..filled) and sets filled to 0 */
};

/* 64 KiB of plaintext in 16 KiB records, their overhead, and one record more for handshake and alerts. */
#define ENGINE_OUT_SIZE (96 * 1024)
/* Plaintext that one engine_write takes at most for sure when `out` is empty. */
#define ENGINE_WRITE_MAX (64 * 1024)

enum engine_state {
    ENGINE_SHAKING, /* handshake in progress */
    ENGINE_OPEN,
    ENGINE_CLOSED, /* the peer said close_notify, or we did */
    ENGINE_BROKEN, /* a TLS error; engine_trouble tells */
};

/* A server engine; NULL when memory is out. Keeps a reference of the context. */
struct engine *engine_accept(struct tls_context *context);
/* The same, but almost nothing is paid for a peer before the first record of a ClientHello is whole: then
 * memory that is out ends the engine (ENGINE_BROKEN, OUT_OF_MEMORY). Until the handshake is done only
 * engine_feed, _close, _destroy, _state_of, _is_silent and _trouble may be called. */
struct engine *engine_expect(struct tls_context *context);
/* A client engine, with a context of tls_context_load_client; NULL when memory is out. */
struct engine *engine_dial(struct tls_context *context);
/* Its first words into `out`. Everything else is as with engine_accept. */
enum engine_state engine_start(struct engine *engine, struct engine_out *out);
void engine_destroy(struct engine *engine); /* NULL is allowed */

/* Hands in ciphertext (borrowed until engine_read returned 0) and takes the handshake as far as it goes. What
 * the engine wants to say is appended to `out`, an alert after ENGINE_BROKEN too. Afterwards call engine_read
 * until it returns 0: bytes of an earlier call that were not read to the end would be lost, so the next
 * engine_feed ends such an engine (ENGINE_BROKEN, OTHER).
 *
 * Pass engine_feed and engine_read an `out` that was sent before: then 64 KiB of ciphertext never make the
 * engine say more than fits. What does not fit ends it (ENGINE_BROKEN, FLOOD).
 *
 * Bytes that cannot be a ClientHello never reach OpenSSL and are not answered. */
enum engine_state engine_feed(struct engine *engine, struct span ciphertext, struct engine_out *out);

/* Decrypts into `room`, as many records as fit: the bytes written, 0 when there is no more for now (or the
 * state changed: look at engine_state_of; it may have changed behind bytes that are good). All ciphertext
 * that was fed is consumed once 0 came back: nothing waits outside OpenSSL.
 */
size_t engine_read(struct engine *engine, uint8_t *room, size_t room_size, struct engine_out *out);

/* Would engine_read return 0 for sure? Nothing of what was fed is left, in front of OpenSSL or in it, so the
 * question costs less than the answer. False says nothing. */
bool engine_is_drained(const struct engine *engine);

/* Encrypts into `out` as many of the bytes as fit, in records of 16 KiB; returns how many were taken: 0 when
 * the room is too small for the next record or the engine is not ENGINE_OPEN. */
size_t engine_write(struct engine *engine, struct span plaintext, struct engine_out *out);

/* Appends close_notify (once, and only after a handshake); ENGINE_CLOSED unless it was broken. */
void engine_close(struct engine *engine, struct engine_out *out);

enum engine_state engine_state_of(const struct engine *engine);
/* Has the peer not said a byte yet? */
bool engine_is_silent(const struct engine *engine);

/* Why a handshake failed, as a metric label and a sentence for the log. */
enum tls_trouble {
#define TLS_TROUBLE(name, sentence) TLS_TROUBLE_##name,
#include "crypto/troubles.def"
#undef TLS_TROUBLE
    TLS_TROUBLE_COUNT
};
enum tls_trouble engine_trouble(const struct engine *engine);
const char *tls_trouble_name(enum tls_trouble trouble); /* "no_shared_cipher" */
const char *
tls_trouble_sentence(enum tls_trouble trouble); /* "the device offers no cipher that this listener allows" */

/* The same for an engine of engine_dial, which has its own causes. */
enum dial_trouble {
#define DIAL_TROUBLE(name, label, sentence) DIAL_TROUBLE_##name,
#include "crypto/dial_troubles.def"
#undef DIAL_TROUBLE
    DIAL_TROUBLE_COUNT
};
enum dial_trouble engine_dial_trouble(const struct engine *engine);
const char *dial_trouble_label(enum dial_trouble trouble);
const char *dial_trouble_sentence(enum dial_trouble trouble);

/* Facts for the log, after the handshake; static texts of OpenSSL. */
const char *engine_version(const struct engine *engine); /* "TLSv1.3" */
const char *engine_cipher(const struct engine *engine);
struct span engine_host_name(const struct engine *engine); /* that the device asked for; empty: none */
struct span engine_protocol(const struct engine *engine);  /* agreed on by ALPN; empty: none */
bool engine_is_resumed(const struct engine *engine);

bool engine_peer_has_certificate(const struct engine *engine);
/* A name of the verified certificate, borrowed as long as the engine lives. Empty when there is no verified
 * certificate, or the name is missing, holds a NUL or is not UTF-8 (class of CVE-2009-2408). The subject is
 * in RFC 2253 order, as mosquitto's use_subject_as_username; the serial number in upper case, the fingerprint
 * (SHA-256) in lower case hexadecimal digits. */
struct span engine_peer_name(const struct engine *engine, struct conf_source source);
/* Is the device's certificate (with crl_check chain: or a CA above it) revoked by the lists of `now`, a later
 * context of the same listener, though it was not when the device came in? */
bool engine_is_revoked(const struct engine *engine, const struct tls_context *now);
/* Is the pre-shared key that the device came in with another one or gone in `now`? */
bool engine_is_psk_gone(const struct engine *engine, const struct tls_context *now);
/* What rules may speak of, borrowed as long as the engine lives; NULL without a verified certificate. At most
 * PEER_NAMES_MAX SANs and as many OUs are kept, the first ones. */
#define PEER_NAMES_MAX 16
const struct facts *engine_peer_facts(const struct engine *engine);

/* For rehearsals, without any handshake: takes the certificate at the start of `pem` (its chain may follow)
 * for the peer's, if the context of the engine would verify it. NULL when it did, else why not, a static
 * text.
 */
const char *engine_pretend(struct engine *engine, struct span pem);
/* The same for a pre-shared key. */
const char *engine_pretend_psk(struct engine *engine, struct span identity);

#endif
