/* bio: the two ends of an engine as OpenSSL sees them. One per connection, since OpenSSL links a BIO with its
 * neighbours during the handshake; its callbacks find the spans of the call in progress in the engine. */
#include <pthread.h>
#include <stdlib.h>

#include "crypto/inside.h"

static BIO_METHOD *method;

static int bio_read(BIO *bio, char *room, size_t room_size, size_t *count) {
    struct engine *engine = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (room_size == 0)
        return 0;
    if (engine->first_given < engine->first_count) {
        size_t left = (size_t)(engine->first_count - engine->first_given);
        *count = left < room_size ? left : room_size;
        memcpy(room, engine->first + engine->first_given, *count);
        engine->first_given = (uint8_t)(engine->first_given + *count);
        return 1;
    }
    if (engine->hello != NULL) { /* never empty here: OpenSSL is there when the record is whole */
        size_t left = (size_t)(engine->hello_size - engine->hello_given);
        *count = left < room_size ? left : room_size;
        memcpy(room, engine->hello + engine->hello_given, *count);
        engine->hello_given = (uint16_t)(engine->hello_given + *count);
        if (engine->hello_given == engine->hello_size) {
            free(engine->hello);
            engine->hello = NULL;
        }
        return 1;
    }
    if (engine->in.size == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *count = engine->in.size < room_size ? engine->in.size : room_size;
    memcpy(room, engine->in.at, *count);
    engine->in = span_after(engine->in, *count);
    return 1;
}

/* All or nothing: a record is never torn between two buffers. */
static int bio_write(BIO *bio, const char *bytes, size_t size, size_t *count) {
    struct engine *engine = BIO_get_data(bio);
    struct engine_out *out = engine->out;
    BIO_clear_retry_flags(bio);
    if (out == NULL || out->size - out->filled < size) {
        BIO_set_retry_write(bio);
        return 0;
    }
    memcpy(out->room + out->filled, bytes, size);
    out->filled += size;
    *count = size;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH; /* without this the handshake fails */
}

static void make_method(void) {
    int type = BIO_get_new_index();
    if (type == -1)
        return;
    BIO_METHOD *made = BIO_meth_new(type | BIO_TYPE_SOURCE_SINK, "drawbridge engine");
    if (made != NULL && BIO_meth_set_read_ex(made, bio_read) && BIO_meth_set_write_ex(made, bio_write) &&
        BIO_meth_set_ctrl(made, bio_ctrl))
        method = made;
    else
        BIO_meth_free(made);
}

BIO *engine_bio_new(struct engine *engine) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    BIO *bio = method == NULL ? NULL : BIO_new(method);
    if (bio != NULL) {
        BIO_set_data(bio, engine);
        BIO_set_init(bio, 1);
    }
    return bio;
}
