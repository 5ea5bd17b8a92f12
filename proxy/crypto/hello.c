/* hello: tells TLS from everything else by the first bytes of a connection, so that OpenSSL sees only what
 * may be a ClientHello and the log says what it was instead. */
#include "crypto/inside.h"

/* Real ones have 200 to 2,000 bytes. OpenSSL would reserve up to 128 KiB for what the header announces. */
#define HELLO_MAX (16 * 1024)

static enum hello_kind refuse(enum tls_trouble *trouble, enum tls_trouble which) {
    *trouble = which;
    return HELLO_REFUSED;
}

/*   16  03 0x  length(2)   01  length(3)
 *   record header          ClientHello         RFC 8446 5.1 and 4, RFC 5246 6.2.1 and 7.4 */
static enum hello_kind look_at_record(struct span first, enum tls_trouble *trouble) {
    if (first.size > 1 && first.at[1] != 3)
        return refuse(trouble, TLS_TROUBLE_NOT_TLS);
    if (first.size > 4 && (first.at[3] << 8 | first.at[4]) < 4)
        return refuse(trouble, TLS_TROUBLE_NOT_TLS); /* allowed, done by nobody, and the length would hide */
    if (first.size > 5 && first.at[5] != 1)
        return refuse(trouble, TLS_TROUBLE_NOT_TLS);
    if (first.size < HELLO_LOOK_SIZE)
        return HELLO_MORE;
    if ((first.at[6] << 16 | first.at[7] << 8 | first.at[8]) > HELLO_MAX)
        return refuse(trouble, TLS_TROUBLE_HELLO_TOO_BIG);
    return HELLO_TLS;
}

static const struct {
    char start[5];
    uint8_t trouble;
} starts[] = {
    {"GET ", TLS_TROUBLE_PLAIN_HTTP},      {"POST", TLS_TROUBLE_PLAIN_HTTP},
    {"HEAD", TLS_TROUBLE_PLAIN_HTTP},      {"PUT ", TLS_TROUBLE_PLAIN_HTTP},
    {"PRI ", TLS_TROUBLE_PLAIN_HTTP},      {"OPTI", TLS_TROUBLE_PLAIN_HTTP},
    {"CONN", TLS_TROUBLE_PLAIN_HTTP},      {"DELE", TLS_TROUBLE_PLAIN_HTTP},
    {"PATC", TLS_TROUBLE_PLAIN_HTTP},      {"PROX", TLS_TROUBLE_PLAIN_PROXY},
    {"\r\n\r\n", TLS_TROUBLE_PLAIN_PROXY},
};

enum hello_kind hello_look(struct span first, enum tls_trouble *trouble) {
    if (first.size == 0)
        return HELLO_MORE;
    if (first.at[0] == 0x16)
        return look_at_record(first, trouble);
    if (first.at[0] == 0x10)
        return refuse(trouble, TLS_TROUBLE_PLAIN_MQTT);
    /* The ClientHello of SSL 2, forbidden by RFC 6176. */
    if ((first.at[0] & 0x80) != 0) {
        if (first.size < 3)
            return HELLO_MORE;
        return refuse(trouble, first.at[2] == 1 ? TLS_TROUBLE_UNSUPPORTED_VERSION : TLS_TROUBLE_NOT_TLS);
    }
    size_t size = first.size < 4 ? first.size : 4;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (memcmp(starts[i].start, first.at, size) == 0)
            return size < 4 ? HELLO_MORE : refuse(trouble, starts[i].trouble);
    return refuse(trouble, TLS_TROUBLE_NOT_TLS);
}
