/* Where a reply ends, and whether it is the one that was expected. */
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* -- CBOR, as much as finds the end of a value (docs/dax-protocol.md, 1) ---------------------- */

enum { CBOR_MORE = 0, CBOR_BROKEN = -1, DEPTH_MAX = 64 };

/* Returns the position behind the value at ``at``, or one of the above. */
static long cbor_skip(const uint8_t *data, size_t size, size_t at, int depth) {
    if (at >= size) return CBOR_MORE;
    if (depth > DEPTH_MAX) return CBOR_BROKEN;
    unsigned major = data[at] >> 5, low = data[at] & 31;
    uint64_t argument = low;
    at++;
    if (low >= 24 && low <= 27) {
        size_t width = (size_t)1 << (low - 24);
        if (size - at < width) return CBOR_MORE;
        argument = 0;
        for (size_t i = 0; i < width; i++) argument = argument << 8 | data[at++];
    } else if (low > 27 && (low != 31 || major < 2 || major > 5)) {
        return CBOR_BROKEN;
    }
    bool open = low == 31;
    long next = (long)at;
    switch (major) {
        case 2:
        case 3:
            if (!open) return argument > size - at ? CBOR_MORE : (long)(at + argument);
            break; /* chunks up to the break */
        case 4: break;
        case 5:
            if (argument > UINT64_MAX / 2) return CBOR_BROKEN;
            argument *= 2;
            break;
        case 6: return cbor_skip(data, size, at, depth + 1);
        default: return next;
    }
    for (uint64_t i = 0; open || i < argument; i++) {
        if (open && (size_t)next < size && data[next] == 0xff) return next + 1;
        next = cbor_skip(data, size, (size_t)next, depth + 1);
        if (next <= 0) return next;
    }
    return next;
}

static Extent dax_extent(int values, const uint8_t *data, size_t size, size_t *length) {
    if (size && data[0] >> 5 != 4) return BROKEN;
    long next = cbor_skip(data, size, 0, 0);
    if (size && data[0] != 0x80) values = 2; /* codes of an error, and what it says */
    for (int i = 0; i < values && next > 0; i++) next = cbor_skip(data, size, (size_t)next, 0);
    if (next == CBOR_MORE) return MORE;
    if (next < 0) return BROKEN;
    *length = (size_t)next;
    return WHOLE;
}

/* -- HTTP/1.1 --------------------------------------------------------------------------------- */

size_t http_head(const uint8_t *data, size_t size) {
    const uint8_t *end = memmem(data, size, "\r\n\r\n", 4);
    return end ? (size_t)(end - data) + 4 : 0;
}

const char *http_header(const char *head, size_t length, const char *name, size_t *value_length) {
    size_t name_length = strlen(name);
    const char *line = head, *end = head + length;
    while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        line++;
        if ((size_t)(end - line) <= name_length) return NULL;
        if (line[name_length] != ':' || strncasecmp(line, name, name_length) != 0) continue;
        const char *value = line + name_length + 1, *stop = memchr(value, '\r', (size_t)(end - value));
        if (stop == NULL) return NULL;
        while (value < stop && *value == ' ') value++;
        *value_length = (size_t)(stop - value);
        return value;
    }
    return NULL;
}

static Extent http_extent(const uint8_t *data, size_t size, size_t *length) {
    size_t head = http_head(data, size), digits;
    if (size >= 5 && memcmp(data, "HTTP/", 5) != 0) return BROKEN;
    if (head == 0) return size > 65536 ? BROKEN : MORE;
    const char *text = http_header((const char *)data, head, "Content-Length", &digits);
    if (text == NULL || digits == 0 || digits > 12) return BROKEN;
    *length = head + strtoull(text, NULL, 10);
    return size >= *length ? WHOLE : MORE;
}

/* -- RESP and memcached's text ---------------------------------------------------------------- */

/* The length of the line at ``data`` with its end; 0 if that is not there yet. */
static size_t line_length(const uint8_t *data, size_t size) {
    const uint8_t *end = memmem(data, size, "\r\n", 2);
    return end ? (size_t)(end - data) + 2 : 0;
}

static Extent resp_extent(const uint8_t *data, size_t size, size_t *length, int depth) {
    size_t line = line_length(data, size);
    if (size && strchr("+-:$*", data[0]) == NULL) return BROKEN;
    if (line == 0) return size > 65536 ? BROKEN : MORE;
    *length = line;
    if (data[0] != '$' && data[0] != '*') return WHOLE;
    long count = strtol((const char *)data + 1, NULL, 10);
    if (count < 0) return WHOLE;
    if (data[0] == '$') {
        *length += (size_t)count + 2;
        return size >= *length ? WHOLE : MORE;
    }
    if (depth > DEPTH_MAX) return BROKEN;
    for (long i = 0; i < count; i++) {
        size_t part;
        Extent extent = resp_extent(data + *length, size - *length, &part, depth + 1);
        if (extent != WHOLE) return extent;
        *length += part;
    }
    return WHOLE;
}

static Extent memcached_extent(const uint8_t *data, size_t size, size_t *length) {
    *length = 0;
    while (size - *length >= 6 && memcmp(data + *length, "VALUE ", 6) == 0) {
        size_t line = line_length(data + *length, size - *length);
        if (line == 0) return MORE;
        const char *text = (const char *)data + *length;
        const char *bytes = memrchr(text, ' ', line); /* VALUE key flags bytes */
        *length += line + strtoull(bytes, NULL, 10) + 2;
        if (size < *length) return MORE;
    }
    size_t line = line_length(data + *length, size - *length);
    if (line == 0) return size - *length > 65536 ? BROKEN : MORE;
    *length += line;
    return WHOLE;
}

/* -- all of them ------------------------------------------------------------------------------ */

Extent reply_extent(Protocol protocol, int values, const uint8_t *data, size_t size, size_t *length) {
    switch (protocol) {
        case DAX: return dax_extent(values, data, size, length);
        case HTTP: return http_extent(data, size, length);
        case RESP: return resp_extent(data, size, length, 0);
        default: return memcached_extent(data, size, length);
    }
}

static bool begins(const uint8_t *data, size_t length, const char *text) {
    return length >= strlen(text) && memcmp(data, text, strlen(text)) == 0;
}

static bool refused(Protocol protocol, const uint8_t *data, size_t length) {
    switch (protocol) {
        case DAX: return data[0] != 0x80;
        case HTTP: return !begins(data, length, "HTTP/1.1 200 ");
        case RESP: return data[0] == '-';
        default:
            return begins(data, length, "ERROR") || begins(data, length, "CLIENT_ERROR") ||
                   begins(data, length, "SERVER_ERROR");
    }
}

Verdict reply_verdict(Protocol protocol, const Kind *kind, const uint8_t *data, size_t length) {
    if (refused(protocol, data, length)) return REFUSED;
    size_t head = protocol == HTTP ? http_head(data, length) : 0;
    size_t counted = length - head;
    if (counted < kind->length_min || counted > kind->length_max) return WRONG;
    const Buffer *prefix = &kind->prefix;
    if (length < prefix->length || (prefix->length && memcmp(data, prefix->data, prefix->length) != 0))
        return WRONG;
    return RIGHT;
}
