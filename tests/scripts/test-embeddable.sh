#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What the library leaves alone in a program that embeds it: its end, its
# signals, its standard streams and log, its working directory, locale and
# environment, other processes, and functions whose results threads share. An
# assertion is the one way to end it, and is about our own mistakes.

set -euo pipefail

ends='exit|_exit|_Exit|quick_exit|abort|atexit|on_exit|at_quick_exit'
ends="$ends|err|errx|verr|verrx|g_abort"
signals='signal|bsd_signal|sysv_signal|__sysv_signal|sigaction|sigprocmask'
signals="$signals|sigaltstack|raise|kill|tgkill|alarm|setitimer|timer_create"
prints='stdin|stdout|stderr|(__)?v?f?printf(_chk)?|(__)?v?dprintf(_chk)?'
prints="$prints|f?puts|f?putc|putchar|fwrite|fflush|perror|psignal"
prints="$prints|v?warnx?|error|v?syslog|openlog"
logs='g_print|g_printerr|g_logv?|g_log_[a-z_]+|g_warn_message|g_error'
logs="$logs|g_return_if_fail_warning|g_on_error_query"
places='f?chdir|chroot|umask|setrlimit64?|setlocale|uselocale'
places="$places|setenv|unsetenv|putenv|clearenv|g_setenv|g_unsetenv"
places="$places|g_set_prgname|g_set_application_name|set(e|re|res)?[ug]id"
processes='v?fork|_Fork|clone3?|system|popen|posix_spawnp?|exec[lv]p?e?|execvpe'
processes="$processes|fexecve|g_spawn_[a-z_]+|wait(pid|id|3|4)?"
shared='s?rand(om)?|[de]rand48|strtok|gmtime|localtime|ctime|asctime|strerror'
shared="$shared|setjmp|_setjmp|longjmp|readdir_r|getpwnam|getpwuid|getlogin"
forbidden="^($ends|$signals|$prints|$logs|$places|$processes|$shared)\$"

failed=0
while read -r place name; do
    if [[ $name =~ $forbidden ]]; then
        echo "$place uses $name"
        failed=1
    fi
done < <(nm -uA "$BUILD/libvvfat.a" 2>nm-errors |
    sed -E 's/^[^:]*:([^:]*):.* [Uwv] /\1 /; s/@.*//' >all; cat all)

# Whether this looked at anything: the library does lock and open files.
grep -q ' pthread_mutex_lock$' all
grep -Eq ' open(64)?$' all
for name in printf __fprintf_chk g_log abort chdir sigaction; do
    [[ $name =~ $forbidden ]]
done

exit $failed
