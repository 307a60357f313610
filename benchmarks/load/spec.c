/* The requests to send, made by whoever knows the protocol: frames as bytes, with holes for keys.
 *
 * A spec is a text file, one statement a line; bytes are in hexadecimal, "-" for none:
 *
 *   protocol dax|http|resp|memcached
 *   hello BYTES                      sent when a connection opens; it has no reply
 *   kind NAME WEIGHT                 begins a kind; the statements below are about it
 *   keys FIRST COUNT uniform|zipf|once
 *   frame BYTES
 *   hole OFFSET DIGITS               where a key's number goes, in decimal with leading zeros
 *   values N                         of a DAX reply, behind its array of errors
 *   expect MIN MAX                   length of the right reply; with HTTP of its body
 *   prefix BYTES                     the right reply begins with them
 *
 * A frame's holes get consecutive numbers, so the keys of a batch differ. ``once`` counts up from
 * FIRST and begins again after COUNT. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double THETA = 0.99; /* of YCSB */

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

static void from_hex(const char *text, Buffer *to) {
    if (strcmp(text, "-") == 0) return;
    size_t length = strlen(text);
    if (length % 2) fail("a spec has half a byte");
    buffer_reserve(to, length / 2);
    for (size_t i = 0; i < length; i += 2) {
        int high = digit(text[i]), low = digit(text[i + 1]);
        if (high < 0 || low < 0) fail("a spec has bytes that are not hexadecimal");
        to->data[to->length++] = (char)(high << 4 | low);
    }
}

static void read_kind_line(Kind *kind, const char *word, const char *rest) {
    char how[16];
    unsigned long long first, second;
    int digits;
    if (strcmp(word, "keys") == 0) {
        if (sscanf(rest, "%llu %llu %15s", &first, &second, how) != 3 || second == 0)
            fail("not understood: keys %s", rest);
        kind->first = first;
        kind->count = second;
        if (strcmp(how, "uniform") == 0) kind->choice = UNIFORM;
        else if (strcmp(how, "once") == 0) kind->choice = ONCE;
        else if (strcmp(how, "zipf") == 0) kind->choice = ZIPF, zipf_init(&kind->zipf, second, THETA);
        else fail("keys are chosen uniform, zipf or once, not %s", how);
    } else if (strcmp(word, "frame") == 0) {
        from_hex(rest, &kind->frame);
    } else if (strcmp(word, "hole") == 0) {
        if (sscanf(rest, "%llu %d", &first, &digits) != 2 || digits < 1 || digits > 19)
            fail("not understood: hole %s", rest);
        kind->holes = realloc(kind->holes, sizeof(Hole) * (size_t)(kind->hole_count + 1));
        if (kind->holes == NULL) fail("out of memory");
        kind->holes[kind->hole_count++] = (Hole){(size_t)first, digits};
    } else if (strcmp(word, "values") == 0) {
        kind->values = atoi(rest);
    } else if (strcmp(word, "expect") == 0) {
        if (sscanf(rest, "%llu %llu", &first, &second) != 2) fail("not understood: expect %s", rest);
        kind->length_min = first;
        kind->length_max = second;
    } else if (strcmp(word, "prefix") == 0) {
        from_hex(rest, &kind->prefix);
    } else {
        fail("a spec has the unknown word %s", word);
    }
}

static void read_line(Spec *spec, char *line) {
    static const char *const names[] = {"dax", "http", "resp", "memcached"};
    line[strcspn(line, "\n")] = 0;
    char *rest = strchr(line, ' ');
    if (rest == NULL) fail("a spec has a line of one word: %.40s", line);
    *rest++ = 0;
    if (strcmp(line, "protocol") == 0) {
        for (int i = 0; i < 4; i++)
            if (strcmp(rest, names[i]) == 0) {
                spec->protocol = (Protocol)i;
                return;
            }
        fail("the protocol %s is unknown", rest);
    }
    if (strcmp(line, "hello") == 0) {
        from_hex(rest, &spec->hello);
    } else if (strcmp(line, "kind") == 0) {
        spec->kinds = realloc(spec->kinds, sizeof(Kind) * (size_t)(spec->kind_count + 1));
        if (spec->kinds == NULL) fail("out of memory");
        Kind *kind = &spec->kinds[spec->kind_count++];
        memset(kind, 0, sizeof *kind);
        kind->count = 1;
        kind->values = 1;
        kind->length_max = UINT64_MAX;
        if (sscanf(rest, "%31s %lf", kind->name, &kind->weight) != 2 || !(kind->weight > 0))
            fail("not understood: kind %s", rest);
        spec->weights += kind->weight;
    } else if (spec->kind_count == 0) {
        fail("a spec has %s before any kind", line);
    } else {
        read_kind_line(&spec->kinds[spec->kind_count - 1], line, rest);
    }
}

void spec_read(Spec *spec, const char *path) {
    FILE *file = fopen(path, "r");
    if (file == NULL) fail("%s cannot be read", path);
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, file) > 0)
        if (line[0] != '\n') read_line(spec, line);
    free(line);
    fclose(file);
    if (spec->kind_count == 0) fail("%s has no kind of request", path);
    for (int i = 0; i < spec->kind_count; i++) {
        const Kind *kind = &spec->kinds[i];
        if (kind->frame.length == 0) fail("kind %s has no frame", kind->name);
        for (int j = 0; j < kind->hole_count; j++)
            if (kind->holes[j].offset + (size_t)kind->holes[j].digits > kind->frame.length)
                fail("kind %s has a hole outside its frame", kind->name);
    }
}

Kind *spec_choose(const Spec *spec, Random *random) {
    if (spec->kind_count == 1) return spec->kinds;
    double at = random_unit(random) * spec->weights;
    int last = spec->kind_count - 1;
    for (int i = 0; i < last; i++)
        if ((at -= spec->kinds[i].weight) < 0) return &spec->kinds[i];
    return &spec->kinds[last];
}

static uint64_t choose_key(Kind *kind, Random *random) {
    switch (kind->choice) {
        case ONCE: {
            uint64_t key = kind->used;
            kind->used += (uint64_t)(kind->hole_count ? kind->hole_count : 1);
            return key;
        }
        case ZIPF: return zipf_next(&kind->zipf, random);
        default: return random_next(random) % kind->count;
    }
}

void spec_request(Kind *kind, Random *random, Buffer *to) {
    to->length = 0;
    buffer_add(to, kind->frame.data, kind->frame.length);
    uint64_t key = choose_key(kind, random);
    for (int i = 0; i < kind->hole_count; i++) {
        uint64_t number = kind->first + (key + (uint64_t)i) % kind->count;
        char *at = to->data + kind->holes[i].offset;
        for (int place = kind->holes[i].digits - 1; place >= 0; place--, number /= 10)
            at[place] = (char)('0' + number % 10);
    }
}
