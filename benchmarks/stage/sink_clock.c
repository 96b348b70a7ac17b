/* A clock for smtp-sink that runs RATE times as fast, preloaded (`smtp_sink.py` builds it).
 *
 * smtp-sink counts whole seconds. It asks `time` when it has something to do next, and waits for that with
 * `epoll_wait`, in milliseconds of its own clock; both are answered here, and the wait is the kernel's, so that the
 * sink sleeps while it waits: by `epoll_pwait2` (Linux 5.11, glibc 2.35), which counts nanoseconds. */
#define _GNU_SOURCE
#include <sys/epoll.h>
#include <time.h>

static const long long NANOSECOND = 1000000000LL;

time_t time(time_t *also)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t fast = now.tv_sec * RATE + now.tv_nsec / (NANOSECOND / RATE);
    if (also)
        *also = fast;
    return fast;
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int milliseconds)
{
    if (milliseconds < 0)
        return epoll_pwait2(epoll, events, most, NULL, NULL);
    long long wait = milliseconds * (NANOSECOND / 1000) / RATE;
    struct timespec until = {.tv_sec = wait / NANOSECOND, .tv_nsec = wait % NANOSECOND};
    return epoll_pwait2(epoll, events, most, &until, NULL);
}
