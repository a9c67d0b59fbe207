/* SPDX-License-Identifier: MIT
 *
 * What an interrupted caller wants, by its pending signals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "wish.h"

/* signal N is bit N - 1 */
#define HUP "0000000000000001"
#define INT "0000000000000002"
#define KILL "0000000000000100"
#define ALRM "0000000000002000"
#define TERM "0000000000004000"
#define CHLD "0000000000010000"
#define STOP "0000000000040000"
#define TSTP "0000000000080000"
#define WINCH "0000000008000000"
#define RT "8000000000000000"
#define NONE "0000000000000000"

static enum caller_wish wish(const char *thread, const char *process, const char *blocked,
                             const char *ignored, const char *handled)
{
    char status[512];

    snprintf(status, sizeof status,
             "Name:\tcat\nSigQ:\t0/7000\nSigPnd:\t%s\nShdPnd:\t%s\nSigBlk:\t%s\nSigIgn:\t%s\n"
             "SigCgt:\t%s\nCapInh:\t0000000000000000\n",
             thread, process, blocked, ignored, handled);
    return caller_wish_of(status);
}

static void a_signal_without_a_handler_kills(void **state)
{
    (void)state;
    assert_int_equal(wish(NONE, TERM, NONE, NONE, NONE), CALLER_DIES);
    assert_int_equal(wish(KILL, NONE, NONE, NONE, NONE), CALLER_DIES);
    assert_int_equal(wish(NONE, ALRM, NONE, NONE, NONE), CALLER_DIES);
    assert_int_equal(wish(RT, NONE, NONE, NONE, NONE), CALLER_DIES);
}

static void a_handler_for_an_ending_signal_returns(void **state)
{
    (void)state;
    assert_int_equal(wish(NONE, INT, NONE, NONE, INT), CALLER_RETURNS);
    assert_int_equal(wish(HUP, NONE, NONE, NONE, HUP), CALLER_RETURNS);
}

static void other_signals_leave_the_caller_waiting(void **state)
{
    (void)state;
    assert_int_equal(wish(NONE, NONE, NONE, NONE, NONE), CALLER_WAITS); /* a debugger */
    assert_int_equal(wish(NONE, ALRM, NONE, NONE, ALRM), CALLER_WAITS);
    assert_int_equal(wish(NONE, CHLD, NONE, NONE, NONE), CALLER_WAITS);
    assert_int_equal(wish(NONE, WINCH, NONE, NONE, NONE), CALLER_WAITS);
    assert_int_equal(wish(STOP, NONE, NONE, NONE, NONE), CALLER_WAITS);
    assert_int_equal(wish(NONE, TSTP, NONE, NONE, NONE), CALLER_WAITS);
    assert_int_equal(wish(NONE, TERM, TERM, NONE, NONE), CALLER_WAITS);
    assert_int_equal(wish(NONE, HUP, NONE, HUP, NONE), CALLER_WAITS);
}

static void who_cannot_be_looked_at_returns(void **state)
{
    (void)state;
    assert_int_equal(caller_wish_of(""), CALLER_RETURNS);
    assert_int_equal(caller_wish_of("Name:\tcat\nSigPnd:\t" TERM "\n"), CALLER_RETURNS);
    assert_int_equal(caller_wish(0), CALLER_RETURNS);
    assert_int_equal(caller_wish(getpid()), CALLER_WAITS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_without_a_handler_kills),
        cmocka_unit_test(a_handler_for_an_ending_signal_returns),
        cmocka_unit_test(other_signals_leave_the_caller_waiting),
        cmocka_unit_test(who_cannot_be_looked_at_returns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
