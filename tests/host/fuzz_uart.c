// libFuzzer harness for the UART: bytes choose the guest's accesses and the host's input, and a model that
// keeps plain lists says what must come out. test_uart.c runs it too, on random bytes.

// link: hv/devices/uart.c
// max: 4096
#include "hv/devices/uart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)                                          \
    do {                                                            \
        if (!(condition)) {                                         \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
            abort();                                                \
        }                                                           \
    } while (0)

struct model {
    struct uart uart;
    u8 fifo[16], queue[UART_QUEUE_BYTES]; // next byte at [0]
    unsigned fifo_count, queue_count;
    bool fifo_mode, overrun, thre, line, busy, sending;
    u8 ier, lcr, mcr, modem, deltas, trigger;
    unsigned edges, sent, expected_sent;
    u8 last_sent;
};

static bool transmitted(void *context, u8 byte)
{
    struct model *m = context;
    m->sent++;
    m->last_sent = byte;
    return !m->busy;
}

static void line_changed(void *context, bool level)
{
    struct model *m = context;
    REQUIRE(level != m->line);
    m->line = level;
    m->edges += level;
}

static void model_refill(struct model *m)
{
    unsigned room = (m->fifo_mode ? 16 : 1) - m->fifo_count;
    unsigned moved = m->mcr & 0x10 ? 0 : m->queue_count < room ? m->queue_count : room;
    memcpy(m->fifo + m->fifo_count, m->queue, moved);
    memmove(m->queue, m->queue + moved, m->queue_count - moved);
    m->fifo_count += moved;
    m->queue_count -= moved;
}

static u8 model_iir(const struct model *m)
{
    unsigned pending =
        (m->overrun ? 4 : 0) | (m->fifo_count ? 1 : 0) | (m->thre ? 2 : 0) | (m->deltas ? 8 : 0);
    pending &= m->ier;
    u8 high = m->fifo_mode ? 0xc0 : 0;
    u8 data = m->fifo_count >= m->trigger ? 4 : 12;
    return high | (pending & 4 ? 6 : pending & 1 ? data : pending & 2 ? 2 : pending & 8 ? 0 : 1);
}

static void model_loopback(struct model *m, u8 byte)
{
    unsigned size = m->fifo_mode ? 16 : 1;
    if (m->fifo_count == size) {
        m->overrun = true;
        if (!m->fifo_mode)
            m->fifo[0] = byte;
        return;
    }
    m->fifo[m->fifo_count++] = byte;
}

static void model_modem(struct model *m)
{
    static const u8 from[4] = {0x02, 0x01, 0x04, 0x08}; // MCR bits that drive CTS, DSR, RI, DCD in loopback
    u8 lines = 0xb0;
    if (m->mcr & 0x10) {
        lines = 0;
        for (unsigned i = 0; i < 4; i++)
            lines |= m->mcr & from[i] ? 0x10 << i : 0;
    }
    for (unsigned i = 0; i < 4; i++) {
        bool was = m->modem & 0x10 << i, is = lines & 0x10 << i;
        if (i == 2 ? was && !is : was != is)
            m->deltas |= 1 << i;
    }
    m->modem = lines;
}

static void model_fcr(struct model *m, u8 value)
{
    static const u8 levels[4] = {1, 4, 8, 14};
    bool mode = value & 1;
    if (mode != m->fifo_mode || (value & 3) == 3)
        m->fifo_count = 0;
    m->fifo_mode = mode;
    m->trigger = mode ? levels[value >> 6] : 1;
}

static void model_write(struct model *m, unsigned reg, u8 value)
{
    bool dlab = m->lcr & 0x80;
    if (reg == 0 && !dlab) {
        if (m->mcr & 0x10) {
            model_loopback(m, value);
        } else {
            m->expected_sent++;
            m->sending = m->busy;
        }
        m->thre = !m->sending;
    } else if (reg == 1 && !dlab) {
        m->thre |= (value & 2) && !(m->ier & 2) && !m->sending;
        m->ier = value & 0x0f;
    } else if (reg == 2) {
        model_fcr(m, value);
    } else if (reg == 3) {
        m->lcr = value;
    } else if (reg == 4) {
        m->mcr = value & 0x1f;
        model_modem(m);
    }
}

static void check_write(struct model *m, unsigned reg, u8 value)
{
    unsigned sent = m->expected_sent;
    unsigned edges = m->edges;
    uart_write(&m->uart, reg, value);
    model_write(m, reg, value);
    model_refill(m);
    REQUIRE(m->sent == m->expected_sent);
    if (m->sent != sent) {
        REQUIRE(m->last_sent == value);
        // Every byte sent brings a new edge, unless another cause keeps the line up or it is not enabled.
        bool alone = (model_iir(m) & 0x0f) == 2 && !(m->deltas && m->ier & 8);
        REQUIRE(!alone || (m->mcr & 0x18) != 8 || m->edges == edges + 1);
    }
}

static u8 model_read(struct model *m, unsigned reg)
{
    u8 value;
    switch (reg) {
    case 0:
        value = m->fifo_count ? m->fifo[0] : 0;
        m->fifo_count -= m->fifo_count != 0;
        memmove(m->fifo, m->fifo + 1, sizeof(m->fifo) - 1);
        return value;
    case 1:
        return m->ier;
    case 2:
        value = model_iir(m);
        m->thre &= (value & 0x0f) != 2;
        return value;
    case 3:
        return m->lcr;
    case 4:
        return m->mcr;
    case 5:
        value = (m->sending ? 0 : 0x60) | m->overrun << 1 | (m->fifo_count != 0);
        m->overrun = false;
        return value;
    default:
        value = m->modem | m->deltas;
        m->deltas = 0;
        return value;
    }
}

static void check_read(struct model *m, unsigned reg)
{
    unsigned edges = m->edges;
    u8 value = uart_read(&m->uart, reg);
    if (reg == 7 || (reg < 2 && (m->lcr & 0x80)))
        return; // plain storage: test_uart.c
    bool alone = reg == 0 && (m->ier & 1) && !(m->thre && m->ier & 2) && !(m->deltas && m->ier & 8);
    REQUIRE(value == model_read(m, reg));
    model_refill(m);
    // Bytes that are left bring a new edge, unless another cause keeps the line up.
    if (alone && m->fifo_count && !(m->overrun && m->ier & 4) && (m->mcr & 0x18) == 8)
        REQUIRE(m->edges == edges + 1);
}

static void check_receive(struct model *m, u8 byte)
{
    REQUIRE(m->uart.queue_count == m->queue_count);
    uart_receive(&m->uart, byte);
    if (m->queue_count == UART_QUEUE_BYTES)
        m->overrun = true;
    else
        m->queue[m->queue_count++] = byte;
    model_refill(m);
}

static void check_line(struct model *m)
{
    bool expected = (m->mcr & 0x18) == 8 && !(model_iir(m) & 1);
    REQUIRE(m->uart.line == expected);
    REQUIRE(m->line == expected);
}

// What was sent has gone, or does not go at once from now on.
static void check_sent(struct model *m, bool busy)
{
    m->busy = busy;
    if (busy)
        return;
    uart_sent(&m->uart);
    m->thre |= m->sending;
    m->sending = false;
}

// One operation from two bytes: the first chooses, the second is its operand.
static void step(struct model *m, u8 choice, u8 operand)
{
    unsigned reg = choice & 7;
    switch (choice >> 4 & 3) {
    case 0:
        check_write(m, reg, operand);
        break;
    case 1:
        for (unsigned i = 0; i < (choice & 0x80 ? operand % 20u : 1u); i++)
            check_receive(m, (u8)(operand + i));
        break;
    case 2:
        if (choice == 0x28) // rarely: fill the queue
            for (unsigned i = 0; i < operand * 20u; i++)
                check_receive(m, (u8)i);
        check_read(m, reg);
        break;
    default:
        if (choice & 0x40)
            check_sent(m, operand & 1);
        else
            check_read(m, operand & 7);
    }
    check_line(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model m;
    memset(&m, 0, sizeof(m));
    m.lcr = 3;
    m.modem = 0xb0;
    m.trigger = 1;
    uart_init(&m.uart, transmitted, line_changed, &m);
    for (size_t i = 0; i + 1 < size; i += 2)
        step(&m, data[i], data[i + 1]);
    return 0;
}
