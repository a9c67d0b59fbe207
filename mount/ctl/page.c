/* SPDX-License-Identifier: MIT
 *
 * The server, on libmicrohttpd.
 *
 * Access: requests need the token (128 random bits, compared in constant time), which only the
 * printed address has. Other users can see the arguments of xdg-open, so it gets a ticket, an
 * address that redirects to the page once. A user who takes it from the process table before the
 * browser does sees the image, and the owner sees that the page is missing. A foreign site whose
 * name points to 127.0.0.1 fails the check of the Host header; a foreign page can neither read nor
 * frame this one (CORP, CSP). The server accepts only GET and HEAD, only the fixed names in
 * `resources`, and builds no path from a request.
 *
 * End: each tab reports under its own name when it opens and closes. A reload closes it too, so the
 * server ends LINGER_S after the last tab closed if no request has come since. A browser that was
 * killed is silent for SILENCE_S; timers of background tabs fire only once a minute.
 */
#include "page.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

#include "ending.h"
#include "monotonic.h"

enum { TOKEN_NBYTES = 16, TOKEN_HEX = 2 * TOKEN_NBYTES };
enum { TABS_MAX = 32, TAB_NBYTES = 24 };
enum { LINGER_S = 3, SILENCE_S = 200, CONNECTIONS = 16, TIMEOUT_S = 30 };

struct page {
    struct MHD_Daemon *server;
    const char *path, *name, *niivue; /* borrowed */
    char token[TOKEN_HEX + 1], ticket[TOKEN_HEX + 1];
    char hosts[2][32]; /* valid Host headers */
    char url[96], ticket_url[96];
    bool used;                       /* the server's thread: the ticket is used */
    char tabs[TABS_MAX][TAB_NBYTES]; /* the server's thread: names of tabs, "" for none */
    atomic_llong asked_ns;           /* CLOCK_MONOTONIC of the last request */
    atomic_bool left;                /* the last request closed the last tab */
};

enum content {
    CONTENT_TEXT,
    CONTENT_NAME,
    CONTENT_NIIVUE,
    CONTENT_IMAGE,
    CONTENT_ALIVE,
    CONTENT_BYE,
};

static const struct {
    const char *name, *type;
    enum content content;
    const char *text; /* CONTENT_TEXT */
} resources[] = {
    {"", "text/html; charset=utf-8", CONTENT_TEXT, page_html},
    {"view.js", "text/javascript; charset=utf-8", CONTENT_TEXT, page_script},
    {"niivue.js", "text/javascript; charset=utf-8", CONTENT_NIIVUE, NULL},
    {"name", "text/plain; charset=utf-8", CONTENT_NAME, NULL},
    {"image.nii", "application/octet-stream", CONTENT_IMAGE, NULL},
    {"image.nii.gz", "application/octet-stream", CONTENT_IMAGE, NULL},
    {"alive", "text/plain", CONTENT_ALIVE, NULL},
    {"bye", "text/plain", CONTENT_BYE, NULL},
};

enum { NRESOURCES = sizeof resources / sizeof *resources };

/* ---- answers ---- */

static const struct {
    const char *name, *value;
} headers[] = {
    {"Cache-Control", "no-store"},
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data: "
     "blob:; "
     "connect-src 'self' data: blob:; worker-src blob:; base-uri 'none'; form-action 'none'; "
     "frame-ancestors 'none'"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Referrer-Policy", "no-referrer"},
    {"X-Content-Type-Options", "nosniff"},
};

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type,
                              struct MHD_Response *response)
{
    enum MHD_Result ret;

    if (!response)
        return MHD_NO; /* ends the connection */
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        MHD_add_response_header(response, headers[i].name, headers[i].value);
    MHD_add_response_header(response, "Content-Type", type);
    ret = MHD_queue_response(c, status, response);
    MHD_destroy_response(response);
    return ret;
}

static struct MHD_Response *text_response(const char *text)
{
    return MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);
}

static struct MHD_Response *file_response(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct MHD_Response *response = NULL;
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0)
        response = MHD_create_response_from_fd64((uint64_t)st.st_size, fd); /* takes fd over */
    if (!response && fd >= 0)
        close(fd);
    return response;
}

static struct MHD_Response *content_of(const struct page *p, int i)
{
    switch (resources[i].content) {
    case CONTENT_TEXT:
        return text_response(resources[i].text);
    case CONTENT_NAME:
        return text_response(p->name);
    case CONTENT_NIIVUE:
        return file_response(p->niivue);
    case CONTENT_IMAGE:
        return file_response(p->path);
    case CONTENT_ALIVE:
    case CONTENT_BYE:
        break;
    }
    return text_response("");
}

static bool is_token(const char *token, const char *text)
{
    unsigned char differ = 0;

    for (int i = 0; i < TOKEN_HEX; i++)
        differ |= (unsigned char)(text[i] ^ token[i]);
    return differ == 0;
}

/* Is this "/open/TICKET", and the ticket not used yet? */
static bool takes_ticket(struct page *p, const char *url)
{
    static const char prefix[] = "/open/";
    const char *ticket = url + strlen(prefix);

    if (p->used || strncmp(url, prefix, strlen(prefix)) != 0 || strlen(ticket) != TOKEN_HEX ||
        !is_token(p->ticket, ticket))
        return false;
    p->used = true;
    return true;
}

static enum MHD_Result redirect_to_page(const struct page *p, struct MHD_Connection *c)
{
    struct MHD_Response *response = text_response("");
    char place[TOKEN_HEX + 3];

    snprintf(place, sizeof place, "/%s/", p->token);
    if (response)
        MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, place);
    return answer(c, MHD_HTTP_SEE_OTHER, "text/plain", response);
}

/* The resource that "/TOKEN/NAME" means, or -1. */
static int find_resource(const struct page *p, const char *url)
{
    if (strlen(url) < TOKEN_HEX + 2 || url[0] != '/' || url[TOKEN_HEX + 1] != '/' ||
        !is_token(p->token, url + 1))
        return -1;
    for (int i = 0; i < NRESOURCES; i++)
        if (strcmp(url + TOKEN_HEX + 2, resources[i].name) == 0)
            return i;
    return -1;
}

static bool is_own_host(const struct page *p, struct MHD_Connection *c)
{
    const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");

    return host && (strcmp(host, p->hosts[0]) == 0 || strcmp(host, p->hosts[1]) == 0);
}

/* The index of the tab, or with "" of a free place; -1: none. */
static int find_tab(const struct page *p, const char *name)
{
    for (int i = 0; i < TABS_MAX; i++)
        if (strcmp(p->tabs[i], name) == 0)
            return i;
    return -1;
}

/* Note that a tab opens or closes. True: the last one closes. */
static bool note_tab(struct page *p, struct MHD_Connection *c, enum content content)
{
    const char *name = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "tab");
    bool goes = content == CONTENT_BYE;
    int i;

    if (!goes && content != CONTENT_ALIVE)
        return false;
    if (name && *name && strlen(name) < TAB_NBYTES) {
        i = find_tab(p, name);
        if (i >= 0 && goes)
            p->tabs[i][0] = '\0';
        else if (i < 0 && !goes && (i = find_tab(p, "")) >= 0)
            strcpy(p->tabs[i], name);
    }
    for (i = 0; i < TABS_MAX; i++)
        if (p->tabs[i][0])
            return false;
    return goes;
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *body,
                              size_t *body_nbytes, void **state) /* NOLINT(*non-const*): MHD's */
{
    struct page *p = arg;
    bool own_host = is_own_host(p, c);
    int i = own_host ? find_resource(p, url) : -1;

    (void)version, (void)body, (void)body_nbytes, (void)state;
    if (own_host && strcmp(method, MHD_HTTP_METHOD_GET) == 0 && takes_ticket(p, url))
        return redirect_to_page(p, c);
    if (i < 0)
        return answer(c, MHD_HTTP_NOT_FOUND, "text/plain", text_response("no such page\n"));
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer(c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", text_response("only GET\n"));
    atomic_store(&p->asked_ns, monotonic_ns());
    atomic_store(&p->left, note_tab(p, c, resources[i].content));
    return answer(c, MHD_HTTP_OK, resources[i].type, content_of(p, i));
}

/* ---- the server ---- */

static int make_token(char token[TOKEN_HEX + 1], struct error *err)
{
    unsigned char bytes[TOKEN_NBYTES];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return error_set(err, EIO, "random numbers: %s", strerror(errno));
    for (int i = 0; i < TOKEN_NBYTES; i++)
        snprintf(token + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

/* A socket that listens on a free port of 127.0.0.1; the port goes to *port. */
static int listen_on_loopback(unsigned *port, struct error *err)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t nbytes = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, CONNECTIONS) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &nbytes) < 0) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return error_set(err, code, "cannot serve the page on 127.0.0.1: %s", strerror(code));
    }
    *port = ntohs(at.sin_port);
    return fd;
}

/* The server's thread reads the page's fields, so they must be complete before it starts. */
static int start_server(struct page *p, struct error *err)
{
    unsigned port = 0;
    int fd = listen_on_loopback(&port, err);

    if (fd < 0)
        return fd;
    snprintf(p->hosts[0], sizeof p->hosts[0], "127.0.0.1:%u", port);
    snprintf(p->hosts[1], sizeof p->hosts[1], "localhost:%u", port);
    snprintf(p->url, sizeof p->url, "http://%s/%s/", p->hosts[0], p->token);
    snprintf(p->ticket_url, sizeof p->ticket_url, "http://%s/open/%s", p->hosts[0], p->ticket);
    p->server = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle, p,
                                 MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                                 (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
                                 (unsigned)TIMEOUT_S, MHD_OPTION_END);
    if (!p->server) {
        error_set(err, EIO, "cannot serve the page on 127.0.0.1: %s", strerror(errno));
        close(fd);
        return -EIO;
    }
    return 0; /* MHD_stop_daemon() closes fd */
}

int page_open(const char *path, const char *name, const char *niivue, struct page **out,
              struct error *err)
{
    struct page *p = calloc(1, sizeof *p);
    int ret;

    if (!p)
        return error_set(err, ENOMEM, "out of memory");
    *p = (struct page){.path = path, .name = name, .niivue = niivue};
    atomic_init(&p->asked_ns, monotonic_ns());
    if (access(path, R_OK) < 0)
        ret = error_set(err, errno, "open %s: %s", path, strerror(errno));
    else
        ret = make_token(p->token, err);
    if (ret == 0)
        ret = make_token(p->ticket, err);
    if (ret == 0)
        ret = start_server(p, err);
    if (ret < 0) {
        page_close(p);
        return ret;
    }
    *out = p;
    return 0;
}

void page_close(struct page *p)
{
    if (p->server)
        MHD_stop_daemon(p->server);
    free(p);
}

const char *page_url(const struct page *p)
{
    return p->url;
}

const char *page_ticket_url(const struct page *p)
{
    return p->ticket_url;
}

void page_wait(struct page *p)
{
    static const struct timespec moment = {.tv_nsec = 200000000};
    struct ending ending;

    ending_catch(&ending);
    while (!ending_signal()) {
        int64_t silent_ns = monotonic_ns() - atomic_load(&p->asked_ns);

        if (silent_ns > (atomic_load(&p->left) ? LINGER_S : SILENCE_S) * INT64_C(1000000000))
            break;
        nanosleep(&moment, NULL);
    }
    ending_release(&ending);
}
