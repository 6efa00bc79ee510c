// The monitor's messages. Each is one line on every console: `[penumbra] text`, and `[penumbra WORD] text`
// from the start of the first guest on, with console_word(), which a guest cannot imitate. The parameter log=
// chooses how much.
#pragma once

#include <arch/types.h>

// LOG_NOTICE: what was asked for or must be known, shown at every level.
enum log_level { LOG_NOTICE = -1, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

// The least important level that is shown; LOG_INFO until it is set.
void log_set_level(enum log_level level);

// `format` as fmt(), without the newline.
void log_message(enum log_level level, const char *format, ...) printf_like(2);

#define log_notice(...) log_message(LOG_NOTICE, __VA_ARGS__)
#define log_error(...)  log_message(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)   log_message(LOG_WARN, __VA_ARGS__)
#define log_info(...)   log_message(LOG_INFO, __VA_ARGS__)
#define log_debug(...)  log_message(LOG_DEBUG, __VA_ARGS__)
