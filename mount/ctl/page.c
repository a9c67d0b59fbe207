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
 *
 * Each connection has a thread: a read from a mount waits until the chunk is computed.
 */
#include "page.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
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
#include "series.h"
#include "utf8.h"

/* page.html, page.js and page.css */
extern const char page_html[], page_script[], page_style[];

enum { TOKEN_NBYTES = 16, TOKEN_HEX = 2 * TOKEN_NBYTES };
enum { TABS_MAX = 32, TAB_NBYTES = 24 };
enum { LINGER_S = 3, SILENCE_S = 200, CONNECTIONS = 16, TIMEOUT_S = 30 };

struct page {
    struct MHD_Daemon *server;
    const char *path, *niivue; /* borrowed */
    char *about;               /* JSON */
    struct series series;      /* fd -1: none */
    char token[TOKEN_HEX + 1], ticket[TOKEN_HEX + 1];
    char hosts[2][32]; /* valid Host headers */
    char url[96], ticket_url[96];
    pthread_mutex_t lock;
    bool used;                       /* guarded by lock: the ticket is used */
    char tabs[TABS_MAX][TAB_NBYTES]; /* guarded by lock: names of tabs, "" for none */
    atomic_llong asked_ns;           /* CLOCK_MONOTONIC of the last request */
    atomic_bool left;                /* the last request closed the last tab */
};

enum content {
    CONTENT_TEXT,
    CONTENT_ABOUT,
    CONTENT_NIIVUE,
    CONTENT_IMAGE,
    CONTENT_VOLUME,
    CONTENT_COURSE,
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
    {"view.css", "text/css; charset=utf-8", CONTENT_TEXT, page_style},
    {"niivue.js", "text/javascript; charset=utf-8", CONTENT_NIIVUE, NULL},
    {"about.json", "application/json", CONTENT_ABOUT, NULL},
    {"image.nii", "application/octet-stream", CONTENT_IMAGE, NULL},
    {"image.nii.gz", "application/octet-stream", CONTENT_IMAGE, NULL},
    {"volume.nii", "application/octet-stream", CONTENT_VOLUME, NULL},
    {"course.json", "application/json", CONTENT_COURSE, NULL},
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
     "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' "
     "data: "
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

/* The argument of the request as a number; -1: there is none. */
static int64_t argument(struct MHD_Connection *c, const char *name)
{
    const char *text = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, name);
    char *end;
    long long value = text && *text ? strtoll(text, &end, 10) : -1;

    return text && *text && *end == '\0' && value >= 0 ? value : -1;
}

/* Volume `t` as a file; NULL: it cannot be read. */
static struct MHD_Response *volume_response(const struct page *p, struct MHD_Connection *c)
{
    struct MHD_Response *response = NULL;
    unsigned char *bytes;
    struct error err;

    if (p->series.fd >= 0 && series_volume(&p->series, argument(c, "t"), &bytes, &err) == 0) {
        response = MHD_create_response_from_buffer(
            p->series.before_nbytes + p->series.volume_nbytes, bytes, MHD_RESPMEM_MUST_FREE);
        if (!response)
            free(bytes);
    }
    return response;
}

/* Some volumes of voxel x, y, z from `from` on, as numbers; null for what is none. */
static struct MHD_Response *course_response(const struct page *p, struct MHD_Connection *c)
{
    enum { VOLUMES = 32 };
    int64_t at[3] = {argument(c, "x"), argument(c, "y"), argument(c, "z")};
    int64_t from = argument(c, "from"), left = p->series.fd >= 0 ? p->series.dim[3] - from : 0;
    size_t n = left < 0 ? 0 : left < VOLUMES ? (size_t)left : VOLUMES;
    struct MHD_Response *response = NULL;
    float values[VOLUMES];
    struct error err;
    json_t *list;
    char *text;

    if (n == 0 || series_course(&p->series, at, from, n, values, &err) < 0)
        return NULL;
    list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list,
                              isfinite(values[i]) ? json_real((double)values[i]) : json_null());
    text = json_dumps(list, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(list);
    if (text)
        response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (!response)
        free(text);
    return response;
}

static struct MHD_Response *content_of(const struct page *p, struct MHD_Connection *c, int i)
{
    switch (resources[i].content) {
    case CONTENT_TEXT:
        return text_response(resources[i].text);
    case CONTENT_ABOUT:
        return text_response(p->about);
    case CONTENT_NIIVUE:
        return file_response(p->niivue);
    case CONTENT_IMAGE:
        return file_response(p->path);
    case CONTENT_VOLUME:
        return volume_response(p, c);
    case CONTENT_COURSE:
        return course_response(p, c);
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
    bool taken;

    if (strncmp(url, prefix, strlen(prefix)) != 0 || strlen(ticket) != TOKEN_HEX ||
        !is_token(p->ticket, ticket))
        return false;
    pthread_mutex_lock(&p->lock);
    taken = !p->used;
    p->used = true;
    pthread_mutex_unlock(&p->lock);
    return taken;
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
    bool goes = content == CONTENT_BYE, last = goes;
    int i;

    if (!goes && content != CONTENT_ALIVE)
        return false;
    pthread_mutex_lock(&p->lock);
    if (name && *name && strlen(name) < TAB_NBYTES) {
        i = find_tab(p, name);
        if (i >= 0 && goes)
            p->tabs[i][0] = '\0';
        else if (i < 0 && !goes && (i = find_tab(p, "")) >= 0)
            strcpy(p->tabs[i], name);
    }
    for (i = 0; i < TABS_MAX; i++)
        last = last && !p->tabs[i][0];
    pthread_mutex_unlock(&p->lock);
    return last;
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *body,
                              size_t *body_nbytes, void **state) /* NOLINT(*non-const*): MHD's */
{
    struct page *p = arg;
    bool own_host = is_own_host(p, c);
    struct MHD_Response *response;
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
    response = content_of(p, c, i);
    if (!response)
        return answer(c, MHD_HTTP_NOT_FOUND, "text/plain", text_response("cannot be read\n"));
    return answer(c, MHD_HTTP_OK, resources[i].type, response);
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
    p->server = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL, NULL, handle, p,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_END);
    if (!p->server) {
        error_set(err, EIO, "cannot serve the page on 127.0.0.1: %s", strerror(errno));
        close(fd);
        return -EIO;
    }
    return 0; /* MHD_stop_daemon() closes fd */
}

static bool is_gzip(const char *name)
{
    size_t n = strlen(name);

    return n > 3 && strcmp(name + n - 3, ".gz") == 0;
}

/* What the script has to know: malloced JSON. NULL: out of memory. */
static char *about_text(const struct page *p, const struct page_about *about)
{
    json_t *o =
        json_pack("{s:o, s:o, s:o, s:s, s:I}", "name", utf8_json(about->name), "description",
                  utf8_json(about->description), "unit", utf8_json(about->unit), "file",
                  is_gzip(about->name) ? "image.nii.gz" : "image.nii", "volumes",
                  (json_int_t)(p->series.fd >= 0 ? p->series.dim[3] : 1));
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

    json_decref(o);
    return text;
}

int page_open(const char *path, const struct page_about *about, const char *niivue,
              struct page **out, struct error *err)
{
    struct page *p = calloc(1, sizeof *p);
    int ret;

    if (!p)
        return error_set(err, ENOMEM, "out of memory");
    *p = (struct page){.path = path, .niivue = niivue, .series.fd = -1};
    pthread_mutex_init(&p->lock, NULL);
    atomic_init(&p->asked_ns, monotonic_ns());
    ret = series_open(path, &p->series, err);
    if (ret == -EINVAL || ret == -EIO) /* then it is read as a whole */
        ret = 0;
    p->about = ret == 0 ? about_text(p, about) : NULL;
    if (ret == 0 && !p->about)
        ret = error_set(err, ENOMEM, "out of memory");
    if (ret == 0)
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
    series_close(&p->series);
    pthread_mutex_destroy(&p->lock);
    free(p->about);
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
