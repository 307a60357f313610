/* What the parts of paceline-load share. The program is single-threaded; times are nanoseconds of
 * CLOCK_MONOTONIC. See main.c for what it does and spec.c for the file that it reads. */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* -- memory and time, main.c ------------------------------------------------------------------ */

typedef struct {
    char *data;
    size_t length, capacity;
} Buffer;

void buffer_reserve(Buffer *buffer, size_t more);
void buffer_add(Buffer *buffer, const void *data, size_t length);
void buffer_text(Buffer *buffer, const char *text);
void buffer_format(Buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *allocate(size_t size);
uint64_t now_ns(void);
/* Ends the program with a line on stderr and status 2. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* -- chance, chance.c ------------------------------------------------------------------------- */

typedef struct {
    uint64_t state;
} Random;

uint64_t random_next(Random *random);
double random_unit(Random *random); /* in [0, 1) */
double random_normal(Random *random);

typedef struct {
    double theta, alpha, zeta_n, eta;
    uint64_t count;
} Zipf;

void zipf_init(Zipf *zipf, uint64_t count, double theta);
uint64_t zipf_next(const Zipf *zipf, Random *random); /* in [0, count), 0 the most frequent */

/* -- latencies, histogram.c ------------------------------------------------------------------- */

enum { SUB_BITS = 8, HISTOGRAM_POWERS = 44 };

/* Buckets are linear below 2^SUB_BITS and 2^(SUB_BITS-1) to every power of two above, so a value
 * read from them is off by at most 2^-SUB_BITS of itself. */
typedef struct {
    uint64_t counts[(HISTOGRAM_POWERS + 2) << (SUB_BITS - 1)];
    uint64_t total, largest;
    double sum;
} Histogram;

void histogram_record(Histogram *histogram, uint64_t value);
void histogram_add(Histogram *to, const Histogram *from);
/* The value that a share of all is at most, as its bucket's middle. 0 if nothing was recorded. */
double histogram_value(const Histogram *histogram, double share);
/* "p50_us": …, … "max_us": …, without braces. */
void histogram_json(const Histogram *histogram, Buffer *to);

/* -- what is sent, spec.c --------------------------------------------------------------------- */

typedef enum { DAX, HTTP, RESP, MEMCACHED } Protocol;
typedef enum { UNIFORM, ZIPF, ONCE } Choice;

typedef struct {
    size_t offset;
    int digits;
} Hole;

typedef struct {
    char name[32];
    double weight;
    Buffer frame, prefix;
    Hole *holes;
    int hole_count;
    uint64_t first, count, used;
    Choice choice;
    Zipf zipf;
    int values;                    /* of a DAX reply, behind the array of errors */
    uint64_t length_min, length_max; /* of a reply; of its body with HTTP */
    Histogram latencies;
    uint64_t requests, errors;
} Kind;

typedef struct {
    Protocol protocol;
    Buffer hello;
    Kind *kinds;
    int kind_count;
    double weights;
} Spec;

void spec_read(Spec *spec, const char *path);
Kind *spec_choose(const Spec *spec, Random *random);
/* Replaces ``to`` by a request of this kind. */
void spec_request(Kind *kind, Random *random, Buffer *to);

/* -- what comes back, replies.c --------------------------------------------------------------- */

typedef enum { WHOLE, MORE, BROKEN } Extent;
typedef enum { RIGHT, REFUSED, WRONG } Verdict;

/* Looks for the end of the reply that begins at ``data``; its length comes by ``length``. */
Extent reply_extent(Protocol protocol, int values, const uint8_t *data, size_t size, size_t *length);
/* Of a whole reply: REFUSED if it is an error of its protocol, WRONG if not what was expected. */
Verdict reply_verdict(Protocol protocol, const Kind *kind, const uint8_t *data, size_t length);
size_t http_head(const uint8_t *data, size_t size); /* its length, 0 if it is not all there */
const char *http_header(const char *head, size_t length, const char *name, size_t *value_length);

/* -- sockets, transport.c --------------------------------------------------------------------- */

typedef struct {
    int fd; /* -1: not connected */
    void *tls;
} Transport;

enum { AGAIN = -1, CLOSED = -2 };

bool transport_open(Transport *transport, int port, bool tls); /* waits for connect and handshake */
void transport_close(Transport *transport);
/* Bytes, or AGAIN, or CLOSED. */
long transport_send(Transport *transport, const void *data, size_t size);
long transport_receive(Transport *transport, void *data, size_t size);
const char *transport_tls(void); /* which library, or why there is none */
bool transport_has_tls(void);

/* -- the two programs ------------------------------------------------------------------------- */

typedef struct {
    const char *spec;
    int ports[64], port_count;
    int connections;
    double seconds, warmup, drain, rate; /* rate 0: a closed loop */
    uint64_t requests, seed;             /* requests 0: no limit but the time */
    bool tls, wait;
} ClientOptions;

int client_main(const ClientOptions *options);

typedef struct {
    int port; /* 0: any */
    double median_ms, p99_ms;
    uint64_t seed;
} FakeOptions;

int fake_main(const FakeOptions *options);
/* The JSON answer to one operation, and its HTTP status. */
int fake_answer(const char *operation, const char *body, size_t size, Buffer *to);

#endif
