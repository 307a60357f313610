/* paceline-load: a load generator, and a DynamoDB that answers at once.
 *
 *   paceline-load run --spec FILE --port P[,P…] --connections N --seconds S
 *       [--rate R] [--requests N] [--warmup S] [--drain S] [--seed N] [--tls] [--wait]
 *   paceline-load fake [--port P] [--median-ms M --p99-ms Q] [--seed N]
 *   paceline-load histogram < nanoseconds, one a line
 *   paceline-load features
 *
 * ``run`` sends the requests of a spec (spec.c) and prints one JSON object. Without ``--rate`` each
 * connection sends its next request when the last one is answered. With it a request is due every
 * 1/R seconds whatever the server does, goes out by the next free connection, and its latency
 * counts from when it was due. ``--requests`` ends it after so many. ``--wait`` prints "ready" once connected and warm, and begins at a
 * line on stdin. Everything is on 127.0.0.1. */
#include "load.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("paceline-load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(2);
}

void *allocate(size_t size) {
    void *memory = calloc(1, size ? size : 1);
    if (memory == NULL) fail("out of memory");
    return memory;
}

void buffer_reserve(Buffer *buffer, size_t more) {
    if (buffer->length + more <= buffer->capacity) return;
    size_t capacity = buffer->capacity ? buffer->capacity : 256;
    while (capacity < buffer->length + more) capacity *= 2;
    buffer->data = realloc(buffer->data, capacity);
    if (buffer->data == NULL) fail("out of memory");
    buffer->capacity = capacity;
}

void buffer_add(Buffer *buffer, const void *data, size_t length) {
    if (length == 0) return;
    buffer_reserve(buffer, length);
    memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
}

void buffer_text(Buffer *buffer, const char *text) { buffer_add(buffer, text, strlen(text)); }

void buffer_format(Buffer *buffer, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof text) fail("a text is too long to be formatted");
    buffer_add(buffer, text, (size_t)length);
}

uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static double number(const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (*text == 0 || *end != 0 || !(value >= least && value <= most))
        fail("%s is no number from %g to %g", text, least, most);
    return value;
}

static void ports(const char *text, ClientOptions *run) {
    char *copy = strdup(text), *rest = NULL;
    for (char *one = strtok_r(copy, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
        if (run->port_count == 64) fail("more than 64 ports");
        run->ports[run->port_count++] = (int)number(one, 1, 65535);
    }
    free(copy);
}

static int histogram_main(void) {
    Histogram *histogram = allocate(sizeof *histogram);
    unsigned long long value;
    while (scanf("%llu", &value) == 1) histogram_record(histogram, value);
    Buffer out = {0};
    buffer_format(&out, "{\"count\": %llu, ", (unsigned long long)histogram->total);
    histogram_json(histogram, &out);
    printf("%.*s}\n", (int)out.length, out.data);
    return 0;
}

int main(int count, char **words) {
    static const struct option options[] = {
        {"spec", required_argument, NULL, 's'},        {"port", required_argument, NULL, 'p'},
        {"connections", required_argument, NULL, 'c'}, {"seconds", required_argument, NULL, 't'},
        {"warmup", required_argument, NULL, 'w'},      {"drain", required_argument, NULL, 'd'},
        {"rate", required_argument, NULL, 'r'},        {"seed", required_argument, NULL, 'n'},
        {"requests", required_argument, NULL, 'a'},    {"tls", no_argument, NULL, 'T'},               {"wait", no_argument, NULL, 'W'},
        {"median-ms", required_argument, NULL, 'm'},   {"p99-ms", required_argument, NULL, 'q'},
        {NULL, 0, NULL, 0},
    };
    ClientOptions run = {.connections = 1, .seconds = 1, .drain = 10, .seed = 1};
    FakeOptions fake = {.seed = 1};
    for (int option; (option = getopt_long(count, words, "", options, NULL)) != -1;) switch (option) {
            case 's': run.spec = optarg; break;
            case 'p': ports(optarg, &run); break;
            case 'c': run.connections = (int)number(optarg, 1, 60000); break;
            case 't': run.seconds = number(optarg, 0.001, 86400); break;
            case 'w': run.warmup = number(optarg, 0, 86400); break;
            case 'd': run.drain = number(optarg, 0, 3600); break;
            case 'r': run.rate = number(optarg, 0.001, 1e7); break;
            case 'n': run.seed = fake.seed = (uint64_t)number(optarg, 0, 9e15); break;
            case 'a': run.requests = (uint64_t)number(optarg, 1, 9e15); break;
            case 'T': run.tls = true; break;
            case 'W': run.wait = true; break;
            case 'm': fake.median_ms = number(optarg, 0, 60000); break;
            case 'q': fake.p99_ms = number(optarg, 0, 60000); break;
            default: return 2;
        }
    const char *mode = optind < count ? words[optind] : "";
    if (strcmp(mode, "run") == 0) {
        if (run.spec == NULL || run.port_count == 0) fail("run needs --spec and --port");
        if (run.tls && !transport_has_tls()) fail("no TLS: %s", transport_tls());
        return client_main(&run);
    }
    if (strcmp(mode, "fake") == 0) {
        if (run.port_count) fake.port = run.ports[0];
        if (fake.median_ms > 0 && fake.p99_ms < fake.median_ms) fail("--p99-ms is below --median-ms");
        return fake_main(&fake);
    }
    if (strcmp(mode, "histogram") == 0) return histogram_main();
    if (strcmp(mode, "features") == 0) {
        printf("{\"tls\": %s, \"library\": \"%s\"}\n", transport_has_tls() ? "true" : "false",
               transport_tls());
        return 0;
    }
    fail("say run, fake, histogram or features");
}
