/* The load: connections with one request outstanding each, in a closed or an open loop. */
#include "load.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { EVENTS = 512, RECEIVE_BYTES = 65536, SAMPLE_BYTES = 160, RETRY_MS = 50 };

typedef struct {
    Transport transport;
    int port;
    Kind *kind; /* of the request under way; NULL: idle */
    uint64_t since; /* when it was due */
    Buffer out, in;
    size_t out_sent;
    uint64_t idle_since;
    uint64_t retry_at; /* if it is not connected */
} Connection;

typedef struct {
    const ClientOptions *options;
    Spec spec;
    Random random;
    Connection *connections;
    int *idle; /* a stack */
    int idle_count, down_count, busy_count;
    int epoll;
    /* the loop that runs now */
    bool measured;
    uint64_t start, end, sent, limit;
    double interval; /* of an open loop, in nanoseconds */
    Histogram *late; /* by how much requests went out after they were due, with a connection free */
    uint64_t refused, wrong, closed, unanswered, last_reply;
    char sample[SAMPLE_BYTES * 2 + 1];
} Load;

/* -- errors ----------------------------------------------------------------------------------- */

static void keep_sample(Load *load, const char *data, size_t length) {
    if (load->sample[0]) return;
    if (length > SAMPLE_BYTES) length = SAMPLE_BYTES;
    for (size_t i = 0; i < length; i++) sprintf(load->sample + 2 * i, "%02x", (uint8_t)data[i]);
}

static void finish(Load *load, Connection *connection, uint64_t now) {
    Kind *kind = connection->kind;
    connection->kind = NULL;
    load->busy_count--;
    if (!load->measured) return;
    kind->requests++;
    histogram_record(&kind->latencies, now - connection->since);
    load->last_reply = now;
}

static void error_of(Load *load, Kind *kind, uint64_t *count) {
    if (!load->measured) return;
    kind->errors++;
    (*count)++;
}

/* -- connections ------------------------------------------------------------------------------ */

static void watch(Load *load, Connection *connection, int how, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(load->epoll, how, connection->transport.fd, &event) < 0) fail("epoll_ctl");
}

static bool open_connection(Load *load, Connection *connection) {
    if (!transport_open(&connection->transport, connection->port, load->options->tls)) return false;
    connection->in.length = 0;
    watch(load, connection, EPOLL_CTL_ADD, EPOLLIN);
    const Buffer *hello = &load->spec.hello;
    return hello->length == 0 ||
           transport_send(&connection->transport, hello->data, hello->length) == (long)hello->length;
}

static void become_idle(Load *load, Connection *connection, uint64_t now) {
    connection->idle_since = now;
    load->idle[load->idle_count++] = (int)(connection - load->connections);
}

/* It has ended, or is of no use any more: an error also where nothing was asked. */
static void lost(Load *load, Connection *connection, uint64_t now, uint64_t *error) {
    transport_close(&connection->transport);
    connection->out.length = connection->out_sent = 0;
    if (connection->kind) {
        error_of(load, connection->kind, error);
        finish(load, connection, now);
    } else {
        if (load->measured) (*error)++;
        for (int i = 0; i < load->idle_count; i++)
            if (load->connections + load->idle[i] == connection)
                load->idle[i--] = load->idle[--load->idle_count];
    }
    connection->retry_at = now + RETRY_MS * 1000000ull;
    load->down_count++;
}

static void open_again(Load *load, uint64_t now) {
    for (int i = 0; i < load->options->connections && load->down_count; i++) {
        Connection *connection = load->connections + i;
        if (connection->transport.fd >= 0 || connection->retry_at > now) continue;
        if (open_connection(load, connection)) {
            load->down_count--;
            become_idle(load, connection, now);
        } else {
            transport_close(&connection->transport);
            connection->retry_at = now + RETRY_MS * 1000000ull;
            if (load->measured) load->closed++;
        }
    }
}

/* -- one request ------------------------------------------------------------------------------ */

static void push_out(Load *load, Connection *connection) {
    size_t left = connection->out.length - connection->out_sent;
    while (left) {
        long sent = transport_send(&connection->transport,
                                   connection->out.data + connection->out_sent, left);
        if (sent == CLOSED) {
            lost(load, connection, now_ns(), &load->closed);
            return;
        }
        if (sent == AGAIN) {
            watch(load, connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return;
        }
        connection->out_sent += (size_t)sent;
        left -= (size_t)sent;
    }
}

static void begin(Load *load, Connection *connection, uint64_t due) {
    Kind *kind = spec_choose(&load->spec, &load->random);
    spec_request(kind, &load->random, &connection->out);
    connection->out_sent = 0;
    connection->kind = kind;
    connection->since = due;
    load->sent++;
    load->busy_count++;
    push_out(load, connection);
}

static void judge(Load *load, Connection *connection, size_t length, uint64_t now) {
    Kind *kind = connection->kind;
    Verdict verdict =
        reply_verdict(load->spec.protocol, kind, (uint8_t *)connection->in.data, length);
    if (verdict == RIGHT && connection->in.length > length) verdict = WRONG; /* nobody asked */
    if (verdict != RIGHT) {
        error_of(load, kind, verdict == REFUSED ? &load->refused : &load->wrong);
        keep_sample(load, connection->in.data, connection->in.length);
    }
    finish(load, connection, now);
    connection->in.length = 0;
    become_idle(load, connection, now);
}

static void pull_in(Load *load, Connection *connection) {
    buffer_reserve(&connection->in, RECEIVE_BYTES);
    for (;;) {
        buffer_reserve(&connection->in, RECEIVE_BYTES / 4);
        size_t room = connection->in.capacity - connection->in.length;
        long got = transport_receive(&connection->transport,
                                     connection->in.data + connection->in.length, room);
        if (got == AGAIN) return;
        uint64_t now = now_ns();
        if (got == CLOSED) {
            lost(load, connection, now, &load->closed);
            return;
        }
        connection->in.length += (size_t)got;
        size_t length = 0;
        Kind *kind = connection->kind;
        Extent extent = kind ? reply_extent(load->spec.protocol, kind->values,
                                            (uint8_t *)connection->in.data,
                                            connection->in.length, &length)
                             : BROKEN;
        if (extent == BROKEN) { /* where the next reply begins is not known any more */
            keep_sample(load, connection->in.data, connection->in.length);
            lost(load, connection, now, &load->wrong);
            return;
        }
        if (extent == WHOLE) {
            judge(load, connection, length, now);
            return;
        }
        if (connection->transport.tls == NULL && (size_t)got < room) return; /* no more for now */
    }
}

/* -- the loop --------------------------------------------------------------------------------- */

static uint64_t due_of(const Load *load, uint64_t number) {
    return load->start + (uint64_t)((double)number * load->interval);
}

static bool all_sent(const Load *load, uint64_t now) {
    if (load->limit && load->sent >= load->limit) return true;
    return load->interval > 0 ? due_of(load, load->sent) >= load->end : now >= load->end;
}

/* Sends what is due while connections are free; returns when there is something to do next. */
static uint64_t send_due(Load *load, uint64_t now) {
    bool open = load->interval > 0;
    while (load->idle_count && !all_sent(load, now)) {
        uint64_t due = open ? due_of(load, load->sent) : now;
        if (due > now) return due;
        Connection *connection = load->connections + load->idle[--load->idle_count];
        if (open && load->measured && connection->idle_since <= due)
            histogram_record(load->late, now - due);
        begin(load, connection, due);
        now = now_ns();
    }
    return UINT64_MAX;
}

static void wait_until(Load *load, uint64_t until, uint64_t now) {
    struct epoll_event events[EVENTS];
    uint64_t left = until > now ? until - now : 0;
    /* epoll_wait counts in milliseconds, which is enough for a closed loop alone. */
    bool exact = load->interval > 0;
    int count = epoll_wait(load->epoll, events, EVENTS, exact ? 0 : (int)(left / 1000000u) + 1);
    if (exact && count == 0 && left) {
        struct pollfd one = {.fd = load->epoll, .events = POLLIN};
        struct timespec limit = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
        if (ppoll(&one, 1, &limit, NULL) > 0) count = epoll_wait(load->epoll, events, EVENTS, 0);
    }
    for (int i = 0; i < count; i++) {
        Connection *connection = events[i].data.ptr;
        if (connection->transport.fd < 0) continue;
        if (events[i].events & EPOLLOUT) {
            watch(load, connection, EPOLL_CTL_MOD, EPOLLIN);
            push_out(load, connection);
        }
        if (connection->transport.fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            pull_in(load, connection);
    }
}

/* What was due and has no reply when the time is over: each is an error, as old as it is. */
static void give_up(Load *load, uint64_t now) {
    for (int i = 0; i < load->options->connections; i++) {
        Connection *connection = load->connections + i;
        if (connection->kind == NULL) continue;
        error_of(load, connection->kind, &load->unanswered);
        finish(load, connection, now);
        transport_close(&connection->transport);
        connection->retry_at = 0;
        load->down_count++;
    }
    while (load->interval > 0 && !all_sent(load, now)) {
        Kind *kind = spec_choose(&load->spec, &load->random);
        uint64_t due = due_of(load, load->sent++);
        if (!load->measured) continue;
        error_of(load, kind, &load->unanswered);
        kind->requests++;
        histogram_record(&kind->latencies, now - due);
    }
}

static void run(Load *load, double seconds, bool measured) {
    load->measured = measured;
    load->sent = 0;
    load->limit = measured ? load->options->requests : 0;
    load->interval = load->options->rate > 0 ? 1e9 / load->options->rate : 0;
    load->start = load->last_reply = now_ns();
    load->end = load->start + (uint64_t)(seconds * 1e9);
    uint64_t limit = load->end + (uint64_t)(load->options->drain * 1e9);
    for (uint64_t now = load->start;; now = now_ns()) {
        if (load->down_count) open_again(load, now);
        uint64_t next = now < limit ? send_due(load, now) : UINT64_MAX;
        now = now_ns();
        bool over = load->busy_count == 0 && all_sent(load, now);
        if (over || now >= limit) break;
        if (next > limit) next = limit;
        if (next > load->end && now < load->end) next = load->end;
        if (load->down_count && next > now + RETRY_MS * 1000000ull) next = now + RETRY_MS * 1000000ull;
        wait_until(load, next, now);
    }
    give_up(load, now_ns());
}

/* -- beginning and end ------------------------------------------------------------------------ */

static double processor_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void report(Load *load, double processor) {
    Histogram *all = allocate(sizeof *all);
    uint64_t requests = 0, errors = 0;
    Buffer out = {0};
    for (int i = 0; i < load->spec.kind_count; i++) {
        Kind *kind = &load->spec.kinds[i];
        requests += kind->requests;
        histogram_add(all, &kind->latencies);
    }
    errors = load->refused + load->wrong + load->closed + load->unanswered;
    double seconds = (double)(load->last_reply - load->start) / 1e9;
    buffer_format(&out, "{\"requests\": %llu, \"seconds\": %.6f, \"errors\": %llu, ",
                  (unsigned long long)requests, seconds, (unsigned long long)errors);
    buffer_format(&out,
                  "\"refused\": %llu, \"wrong\": %llu, \"closed\": %llu, \"unanswered\": %llu, ",
                  (unsigned long long)load->refused, (unsigned long long)load->wrong,
                  (unsigned long long)load->closed, (unsigned long long)load->unanswered);
    buffer_format(&out, "\"sample\": \"%s\", ", load->sample);
    buffer_format(&out, "\"generator_cpu_s\": %.6f, \"late_p99_us\": %.3f, \"late_max_us\": %.3f, ",
                  processor, histogram_value(load->late, 0.99) / 1000,
                  (double)load->late->largest / 1000);
    histogram_json(all, &out);
    buffer_text(&out, ", \"kinds\": {");
    for (int i = 0; i < load->spec.kind_count; i++) {
        const Kind *kind = &load->spec.kinds[i];
        buffer_format(&out, "%s\"%s\": {\"requests\": %llu, \"errors\": %llu, ", i ? ", " : "",
                      kind->name, (unsigned long long)kind->requests,
                      (unsigned long long)kind->errors);
        histogram_json(&kind->latencies, &out);
        buffer_text(&out, "}");
    }
    buffer_text(&out, "}}\n");
    fwrite(out.data, 1, out.length, stdout);
    fflush(stdout);
}

int client_main(const ClientOptions *options) {
    Load *load = allocate(sizeof *load);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    prctl(PR_SET_TIMERSLACK, 1000ul); /* else it sleeps 50 us longer than it should */
    load->options = options;
    load->random.state = options->seed;
    spec_read(&load->spec, options->spec);
    load->connections = allocate(sizeof(Connection) * (size_t)options->connections);
    load->idle = allocate(sizeof(int) * (size_t)options->connections);
    load->late = allocate(sizeof(Histogram));
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll < 0) fail("epoll_create1");
    for (int i = 0; i < options->connections; i++) {
        Connection *connection = load->connections + i;
        connection->port = options->ports[i % options->port_count];
        if (!open_connection(load, connection))
            fail("connection %d of %d to port %d was not accepted", i + 1, options->connections,
                 connection->port);
        become_idle(load, connection, now_ns());
    }
    if (options->warmup > 0) run(load, options->warmup, false);
    load->sample[0] = 0;
    if (options->wait) {
        puts("ready");
        fflush(stdout);
        if (getchar() == EOF) return 1;
    }
    double before = processor_s();
    run(load, options->seconds, true);
    report(load, processor_s() - before);
    return 0;
}
