/* Connections to 127.0.0.1, plain or with TLS if OpenSSL's headers were there to build with. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef WITH_TLS
#include <openssl/opensslv.h>
#include <openssl/ssl.h>

static SSL_CTX *context;

static bool handshake(Transport *transport) {
    if (context == NULL) {
        context = SSL_CTX_new(TLS_client_method());
        if (context == NULL) fail("OpenSSL has no context");
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL); /* who it is, is not measured */
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    SSL *tls = SSL_new(context);
    transport->tls = tls;
    return tls != NULL && SSL_set_fd(tls, transport->fd) == 1 && SSL_connect(tls) == 1;
}

static long tls_result(SSL *tls, int result) {
    if (result > 0) return result;
    int error = SSL_get_error(tls, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? AGAIN : CLOSED;
}

const char *transport_tls(void) { return OPENSSL_VERSION_TEXT; }
bool transport_has_tls(void) { return true; }
#else
const char *transport_tls(void) { return "it was built without OpenSSL's headers (libssl-dev)"; }
bool transport_has_tls(void) { return false; }
#endif

bool transport_open(Transport *transport, int port, bool tls) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval limit = {.tv_sec = 10};
    int yes = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    transport->tls = NULL;
    transport->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (transport->fd < 0) fail("no more sockets: raise the limit on open files (ulimit -n)");
    setsockopt(transport->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(transport->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(transport->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    bool open = connect(transport->fd, (struct sockaddr *)&address, sizeof address) == 0;
#ifdef WITH_TLS
    if (open && tls) open = handshake(transport);
#else
    (void)tls;
#endif
    if (!open) {
        transport_close(transport);
        return false;
    }
    fcntl(transport->fd, F_SETFL, fcntl(transport->fd, F_GETFL) | O_NONBLOCK);
    return true;
}

void transport_close(Transport *transport) {
#ifdef WITH_TLS
    if (transport->tls) SSL_free(transport->tls);
#endif
    transport->tls = NULL;
    if (transport->fd >= 0) close(transport->fd);
    transport->fd = -1;
}

static long result_of(long result) {
    if (result > 0) return result;
    if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return AGAIN;
    return CLOSED;
}

long transport_send(Transport *transport, const void *data, size_t size) {
#ifdef WITH_TLS
    if (transport->tls) return tls_result(transport->tls, SSL_write(transport->tls, data, (int)size));
#endif
    return result_of(send(transport->fd, data, size, MSG_NOSIGNAL));
}

long transport_receive(Transport *transport, void *data, size_t size) {
#ifdef WITH_TLS
    if (transport->tls) return tls_result(transport->tls, SSL_read(transport->tls, data, (int)size));
#endif
    return result_of(recv(transport->fd, data, size, 0));
}
