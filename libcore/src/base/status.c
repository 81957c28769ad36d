/* status.c - the thread-local text of the last error, and the ABI number. */
#include <stdarg.h>
#include <stdio.h>

#include "base/base.h"

static _Thread_local char last_error[512];

cpr_status cpr_fail(cpr_status status, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(last_error, sizeof last_error, format, values);
    va_end(values);
    return status;
}

const char *cpr_last_error(void)
{
    return last_error;
}

uint32_t cpr_abi_version(void)
{
    return (uint32_t)CPR_ABI_MAJOR << 16 | CPR_ABI_MINOR;
}
