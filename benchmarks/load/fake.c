/* A DynamoDB that costs next to nothing: HTTP/1.1 by one thread, answers of fake_answers.c.
 *
 * It prints the port that it listens on, and ends when its parent does. With a median and a 99th
 * percentile each answer is held back for a time of the lognormal distribution that has them. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, REQUEST_BYTES_MAX = 32 << 20, RECEIVE_BYTES = 65536 };
static const double NORMAL_AT_99 = 2.3263478740408408; /* quantile of the normal distribution */

typedef struct Peer {
    int fd;
    Buffer in, out;
    size_t out_sent;
    uint64_t answer_at; /* 0: nothing is held back */
    int place;          /* in the heap */
} Peer;

typedef struct {
    const FakeOptions *options;
    Random random;
    int epoll, listener;
    double mu, sigma;
    Peer **heap; /* those whose answer is held back, the next one first */
    int heap_count, heap_capacity;
    uint64_t requests;
    Buffer answer;
} Fake;

/* -- CRC-32, eight bytes at a time ------------------------------------------------------------ */

static uint32_t crc_tables[8][256];

static void crc_init(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        crc_tables[0][i] = crc;
    }
    for (int table = 1; table < 8; table++)
        for (int i = 0; i < 256; i++) {
            uint32_t before = crc_tables[table - 1][i];
            crc_tables[table][i] = before >> 8 ^ crc_tables[0][before & 255];
        }
}

static uint32_t crc32_of(const char *text, size_t size) {
    const uint8_t *data = (const uint8_t *)text;
    uint32_t crc = 0xffffffffu;
    for (; size >= 8; size -= 8, data += 8) {
        uint32_t low = crc ^ ((uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
                              (uint32_t)data[3] << 24);
        crc = crc_tables[7][low & 255] ^ crc_tables[6][low >> 8 & 255] ^
              crc_tables[5][low >> 16 & 255] ^ crc_tables[4][low >> 24] ^ crc_tables[3][data[4]] ^
              crc_tables[2][data[5]] ^ crc_tables[1][data[6]] ^ crc_tables[0][data[7]];
    }
    while (size--) crc = crc >> 8 ^ crc_tables[0][(crc ^ *data++) & 255];
    return ~crc;
}

/* -- the heap --------------------------------------------------------------------------------- */

static void place(Fake *fake, Peer *peer, int at) {
    fake->heap[at] = peer;
    peer->place = at;
}

static void sift(Fake *fake, int at) {
    Peer *peer = fake->heap[at];
    for (int up; at > 0 && fake->heap[up = (at - 1) / 2]->answer_at > peer->answer_at; at = up)
        place(fake, fake->heap[up], at);
    for (int down; (down = 2 * at + 1) < fake->heap_count; at = down) {
        if (down + 1 < fake->heap_count &&
            fake->heap[down + 1]->answer_at < fake->heap[down]->answer_at)
            down++;
        if (fake->heap[down]->answer_at >= peer->answer_at) break;
        place(fake, fake->heap[down], at);
    }
    place(fake, peer, at);
}

static void heap_add(Fake *fake, Peer *peer) {
    if (fake->heap_count == fake->heap_capacity) {
        fake->heap_capacity = fake->heap_capacity ? 2 * fake->heap_capacity : 64;
        fake->heap = realloc(fake->heap, sizeof(Peer *) * (size_t)fake->heap_capacity);
        if (fake->heap == NULL) fail("out of memory");
    }
    place(fake, peer, fake->heap_count++);
    sift(fake, peer->place);
}

static void heap_remove(Fake *fake, Peer *peer) {
    int at = peer->place;
    Peer *last = fake->heap[--fake->heap_count];
    peer->answer_at = 0;
    if (at == fake->heap_count) return;
    place(fake, last, at);
    sift(fake, at);
}

/* -- one connection --------------------------------------------------------------------------- */

static void end(Fake *fake, Peer *peer) {
    if (peer->answer_at) heap_remove(fake, peer);
    close(peer->fd);
    free(peer->in.data);
    free(peer->out.data);
    free(peer);
}

/* False if the connection is over. */
static bool push(Fake *fake, Peer *peer) {
    while (peer->out_sent < peer->out.length) {
        ssize_t sent = send(peer->fd, peer->out.data + peer->out_sent,
                            peer->out.length - peer->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN) return false;
        struct epoll_event event = {.events = sent < 0 ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = peer};
        if (sent < 0) return epoll_ctl(fake->epoll, EPOLL_CTL_MOD, peer->fd, &event) == 0;
        peer->out_sent += (size_t)sent;
    }
    peer->out.length = peer->out_sent = 0;
    return true;
}

static void answer(Fake *fake, Peer *peer, size_t head, size_t size) {
    char operation[64] = "";
    size_t length;
    const char *target = http_header(peer->in.data, head, "X-Amz-Target", &length);
    const char *dot = target ? memchr(target, '.', length) : NULL;
    if (dot) {
        length -= (size_t)(dot + 1 - target);
        if (length < sizeof operation) memcpy(operation, dot + 1, length);
    }
    int status = fake_answer(operation, peer->in.data + head, size, &fake->answer);
    const char *reason = status == 200 ? "OK" : "Bad Request";
    buffer_format(&peer->out,
                  "HTTP/1.1 %d %s\r\nServer: fake\r\nContent-Type: application/x-amz-json-1.0\r\n"
                  "x-amzn-RequestId: FAKE%028llX\r\nx-amz-crc32: %u\r\nContent-Length: %zu\r\n\r\n",
                  status, reason, (unsigned long long)++fake->requests,
                  crc32_of(fake->answer.data, fake->answer.length), fake->answer.length);
    buffer_add(&peer->out, fake->answer.data, fake->answer.length);
}

/* Serves the requests that are whole, one at a time. False if the connection is over. */
static bool serve(Fake *fake, Peer *peer) {
    while (peer->answer_at == 0 && peer->out.length == 0) {
        size_t head = http_head((uint8_t *)peer->in.data, peer->in.length), digits;
        if (head == 0) return peer->in.length < RECEIVE_BYTES;
        const char *text = http_header(peer->in.data, head, "Content-Length", &digits);
        size_t size = text ? strtoull(text, NULL, 10) : 0;
        if (size > REQUEST_BYTES_MAX) return false;
        if (peer->in.length < head + size) return true;
        answer(fake, peer, head, size);
        peer->in.length -= head + size;
        memmove(peer->in.data, peer->in.data + head + size, peer->in.length);
        if (fake->options->median_ms > 0) {
            double ms = exp(fake->mu + fake->sigma * random_normal(&fake->random));
            peer->answer_at = now_ns() + (uint64_t)(ms * 1e6);
            heap_add(fake, peer);
        } else if (!push(fake, peer)) {
            return false;
        }
    }
    return true;
}

static bool receive(Fake *fake, Peer *peer) {
    for (;;) {
        buffer_reserve(&peer->in, RECEIVE_BYTES);
        size_t room = peer->in.capacity - peer->in.length;
        ssize_t got = recv(peer->fd, peer->in.data + peer->in.length, room, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return true;
        if (got <= 0) return false;
        peer->in.length += (size_t)got;
        if (!serve(fake, peer)) return false;
        if ((size_t)got < room) return true;
    }
}

/* -- all of them ------------------------------------------------------------------------------ */

static void accept_all(Fake *fake) {
    int fd, yes = 1;
    while ((fd = accept4(fake->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        Peer *peer = allocate(sizeof *peer);
        peer->fd = fd;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
        if (epoll_ctl(fake->epoll, EPOLL_CTL_ADD, fd, &event) < 0) end(fake, peer);
    }
}

static void release_due(Fake *fake) {
    uint64_t now = now_ns();
    while (fake->heap_count && fake->heap[0]->answer_at <= now) {
        Peer *peer = fake->heap[0];
        heap_remove(fake, peer);
        if (!push(fake, peer) || !serve(fake, peer)) end(fake, peer);
    }
}

static void turn(Fake *fake) {
    struct epoll_event events[EVENTS];
    struct pollfd one = {.fd = fake->epoll, .events = POLLIN};
    if (fake->heap_count) {
        uint64_t now = now_ns(), at = fake->heap[0]->answer_at, left = at > now ? at - now : 0;
        struct timespec limit = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
        ppoll(&one, 1, &limit, NULL);
    }
    int count = epoll_wait(fake->epoll, events, EVENTS, fake->heap_count ? 0 : -1);
    for (int i = 0; i < count; i++) {
        Peer *peer = events[i].data.ptr;
        if (peer == NULL) {
            accept_all(fake);
            continue;
        }
        bool alive = true;
        if (events[i].events & EPOLLOUT && peer->answer_at == 0) {
            struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
            alive = epoll_ctl(fake->epoll, EPOLL_CTL_MOD, peer->fd, &event) == 0 &&
                    push(fake, peer) && serve(fake, peer);
        }
        if (alive && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) alive = receive(fake, peer);
        if (!alive) end(fake, peer);
    }
    release_due(fake);
}

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t length = sizeof address;
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 1024) < 0)
        fail("port %d cannot be bound: %s", port, strerror(errno));
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int fake_main(const FakeOptions *options) {
    Fake fake = {.options = options, .random.state = options->seed};
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_TIMERSLACK, 1000ul);
    crc_init();
    if (options->median_ms > 0) {
        fake.mu = log(options->median_ms);
        fake.sigma = log(options->p99_ms / options->median_ms) / NORMAL_AT_99;
    }
    fake.listener = listen_on(options->port);
    fake.epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (fake.epoll < 0 || epoll_ctl(fake.epoll, EPOLL_CTL_ADD, fake.listener, &event) < 0)
        fail("epoll");
    for (;;) turn(&fake);
}
