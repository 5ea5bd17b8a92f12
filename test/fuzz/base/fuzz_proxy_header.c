/* The PROXY protocol header: the first byte chooses the version. Read as a connection is read, it never asks
 * for a byte behind its end; every beginning is unfinished or wrong for good; and what it says can be written
 * and read again. */
#include <stdlib.h>

#include "base/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true) {
    if (!is_true)
        abort();
}

/* A piece of memory that ends where the bytes end, so that one byte of over-read is seen. */
static uint8_t *exact(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    require(copy != NULL);
    if (size != 0)
        memcpy(copy, data, size);
    return copy;
}

static void require_within(struct span part, const uint8_t *bytes, size_t size) {
    require(part.size == 0 || (part.at >= bytes && part.size <= size && part.at + part.size <= bytes + size));
}

static void write_again(const struct proxy_header *header) {
    uint8_t room[PROXY_WRITTEN_MAX];
    for (int form = PROXY_FORM_V1; form <= PROXY_FORM_V2_SSL; form++) {
        struct writer writer = writer_of(room, sizeof room);
        struct proxy_header again;
        enum proxy_fault fault;
        proxy_header_write(&writer, (enum proxy_form)form, &header->ends, &header->tls);
        require(!writer.is_full);
        uint8_t *bytes = exact(room, writer_size(&writer));
        unsigned version = form == PROXY_FORM_V1 ? 1 : 2;
        require(proxy_header_read(version, span_of(bytes, writer_size(&writer)), &again, &fault) ==
                PROXY_HEADER_WHOLE);
        require(again.size == writer_size(&writer));
        bool is_ip = header->ends.family == PROXY_V4 || header->ends.family == PROXY_V6;
        if (is_ip && version == 2) {
            require(memcmp(again.ends.source, header->ends.source, sizeof again.ends.source) == 0);
            require(again.ends.source_port == header->ends.source_port);
        }
        free(bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    unsigned version = 1 + (data[0] & 1u);
    data++;
    size--;
    struct proxy_header header;
    enum proxy_fault fault;
    for (size_t taken = 0;;) {
        uint8_t *bytes = exact(data, taken);
        enum proxy_outcome outcome = proxy_header_read(version, span_of(bytes, taken), &header, &fault);
        require((outcome == PROXY_HEADER_WRONG) == (fault != PROXY_FAULT_NONE));
        if (outcome == PROXY_HEADER_WHOLE) {
            require(header.size == taken && taken <= PROXY_HEADER_MAX);
            require_within(header.ends.source_path, bytes, taken);
            require_within(header.tls.common_name, bytes, taken);
            require_within(header.tls.version, bytes, taken);
            require_within(header.tls.cipher, bytes, taken);
            write_again(&header);
        }
        free(bytes);
        if (outcome != PROXY_HEADER_MORE)
            return 0;
        require(header.need != 0 && taken + header.need <= PROXY_HEADER_MAX);
        if (taken + header.need > size)
            return 0;
        taken += header.need;
    }
}
