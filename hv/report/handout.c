// See handout.h.
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/phys.h>
#include <hv/log.h>

#include "handout.h"

#define PAGE_SECONDS 10
#define CODE_SECONDS 4
#define TITLE_ROWS   1

// What is being shown.
struct show {
    struct handout *handout;
    struct codes codes; // count 0: there are none
    unsigned rows, columns;
    unsigned pages;
    u64 tsc_hz;
};

struct handout *handout_make(struct frames *frames)
{
    mfn_t block;
    if (frames_alloc(frames, frames_order(sizeof(struct handout)), FRAME_MONITOR, &block))
        return NULL;
    struct handout *h = mfn_ptr(block);
    h->pages = (struct console_text){.bytes = h->page_bytes, .size = sizeof(h->page_bytes)};
    h->json = (struct console_text){.bytes = h->json_bytes, .size = sizeof(h->json_bytes)};
    return h;
}

// False: a key ended it.
static bool wait(const struct show *s, unsigned seconds)
{
    u64 start = rdtsc();
    while (rdtsc() - start < seconds * s->tsc_hz) {
        if (console_read() >= 0)
            return false;
        pause();
    }
    return true;
}

static size_t text_size(const struct console_text *text)
{
    return text->length < text->size ? text->length : text->size;
}

// Where the page that begins at `start` ends: whole lines, as many as there are rows for. A line breaks
// between words, so it may take a row more than its length would.
static size_t page_end(const struct show *s, size_t start)
{
    const struct console_text *text = &s->handout->pages;
    size_t end = start, size = text_size(text);
    for (unsigned row = TITLE_ROWS; end < size;) {
        size_t line = end;
        while (line < size && text->bytes[line] != '\n')
            line++;
        unsigned length = (unsigned)(line - end);
        row += length <= s->columns ? 1 : length / (s->columns / 2) + 1;
        if (row > s->rows && end > start)
            break;
        end = line < size ? line + 1 : size;
    }
    return end;
}

static unsigned count_pages(const struct show *s)
{
    unsigned count = 0;
    for (size_t at = 0; at < text_size(&s->handout->pages); at = page_end(s, at))
        count++;
    return count;
}

static bool show_pages(const struct show *s)
{
    const struct console_text *text = &s->handout->pages;
    size_t at = 0;
    for (unsigned i = 1; at < text_size(text); i++) {
        char title[80];
        size_t end = page_end(s, at);
        fmt(title, sizeof(title), "Results: page %u of %u, and then %u QR codes for a phone", i, s->pages,
            s->codes.count);
        console_page(title, text->bytes + at, end - at);
        if (!wait(s, PAGE_SECONDS))
            return false;
        at = end;
    }
    return true;
}

static bool show_codes(const struct show *s)
{
    for (unsigned i = 0; i < s->codes.count; i++) {
        struct qr *qr = &s->handout->qr;
        char title[80];
        fmt(title, sizeof(title), "Results: QR code %u of %u. Send the texts of all, in any order.", i + 1,
            s->codes.count);
        codes_make(&s->codes, i, qr);
        console_page(title, "", 0);
        console_picture(&(struct console_picture){qr->dark, qr->side, QR_QUIET}, TITLE_ROWS);
        if (!wait(s, CODE_SECONDS))
            return false;
    }
    return true;
}

// The largest version that this screen has room for; 0: none.
static unsigned version_for_screen(void)
{
    unsigned room = console_picture_room(TITLE_ROWS), version = CODES_VERSION_MAX;
    while (version && QR_SIDE(version) + 2 * QR_QUIET > room)
        version--;
    return version;
}

static void make_codes(struct show *s)
{
    struct handout *h = s->handout;
    unsigned version = version_for_screen();
    size_t size = gzip_pack(&h->gzip, h->json.bytes, text_size(&h->json), h->packed, sizeof(h->packed));
    if (h->json.length > h->json.size)
        log_warn("the results are too long for QR codes: their end is left out there");
    if (!version || size > sizeof(h->packed) || !codes_divide(&s->codes, h->packed, size, version)) {
        log_warn("the results do not fit into QR codes on this screen");
        s->codes.count = 0;
    }
}

void handout_show(struct handout *h, u64 tsc_hz, unsigned rounds)
{
    struct show show = {.handout = h, .tsc_hz = tsc_hz};
    if (!console_screen_size(&show.rows, &show.columns))
        return;
    make_codes(&show);
    show.pages = count_pages(&show);
    log_notice("the screen shows the results in %u pages and %u QR codes; a key on the serial line ends that",
               show.pages, show.codes.count);
    for (unsigned i = 0; !rounds || i < rounds; i++) {
        if (!show_pages(&show) || !show_codes(&show))
            return;
    }
}
