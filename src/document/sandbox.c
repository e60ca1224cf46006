/* sandbox.c — limits of memory, time and files, and a filter of system calls, for the process itself. No privileges are needed.
 *
 * The limits alone keep a child from using up the machine. The filter (Linux, x86-64 and AArch64) makes forbidden calls fail with
 * EPERM; where the kernel knows no filters, the limits remain: without new file descriptors there are neither files nor sockets.
 * Programs under a sanitizer need files and much address space: there only processor time is limited.
 * SPDX-License-Identifier: Apache-2.0 */
#include "document/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

static void limit(int what, rlim_t n) { setrlimit(what, &(struct rlimit){ n, n }); }

static void limits(int files)
{
    limit(RLIMIT_CPU, SANDBOX_CPU_SECONDS);
    limit(RLIMIT_CORE, 0);
    if (SANITIZED) return;
    limit(RLIMIT_AS, SANDBOX_MEMORY);
    limit(RLIMIT_FSIZE, 0);
    if (files >= 0) limit(RLIMIT_NOFILE, (rlim_t)files);
}

#ifdef ARCHITECTURE
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF_IS(value, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (then), (otherwise))
#define IF_BITS(bits, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bits), (then), (otherwise))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define ALLOW(call) IF_IS((uint32_t)(call), 0, 1), RETURN(SECCOMP_RET_ALLOW)
#define REFUSE(call) IF_IS((uint32_t)(call), 0, 1), RETURN(SECCOMP_RET_ERRNO | EPERM)
/* Another architecture's numbers (32-bit calls, x32) would pass a filter by number: they are refused as a whole. */
#define HEAD LOAD(arch), IF_IS(ARCHITECTURE, 1, 0), RETURN(SECCOMP_RET_KILL_PROCESS), LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1), RETURN(SECCOMP_RET_ERRNO | EPERM)

static void install(struct sock_filter *filter, size_t n)
{
    struct sock_fprog program = { .len = (unsigned short)n, .filter = filter };
    if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
#endif

void sandbox_compute(void)
{
    limits(0);
#ifdef ARCHITECTURE
    if (SANITIZED) return;
    struct sock_filter filter[] = {
        HEAD,
        ALLOW(__NR_read), ALLOW(__NR_write), ALLOW(__NR_writev), ALLOW(__NR_close), ALLOW(__NR_fstat), ALLOW(__NR_newfstatat), ALLOW(__NR_lseek),
        ALLOW(__NR_mmap), ALLOW(__NR_munmap), ALLOW(__NR_mprotect), ALLOW(__NR_mremap), ALLOW(__NR_madvise), ALLOW(__NR_brk),
        ALLOW(__NR_futex), ALLOW(__NR_getrandom), ALLOW(__NR_clock_gettime), ALLOW(__NR_gettid), ALLOW(__NR_getpid), ALLOW(__NR_tgkill),
        ALLOW(__NR_rt_sigaction), ALLOW(__NR_rt_sigprocmask), ALLOW(__NR_rt_sigreturn), ALLOW(__NR_sched_yield),
        ALLOW(__NR_exit), ALLOW(__NR_exit_group),
        RETURN(SECCOMP_RET_ERRNO | EPERM),
    };
    install(filter, sizeof filter / sizeof *filter);
#endif
}

void sandbox_program(void)
{
    limits(64);
#ifdef ARCHITECTURE
    if (SANITIZED) return;
    struct sock_filter filter[] = {
        HEAD,
        REFUSE(__NR_socket), REFUSE(__NR_socketpair), REFUSE(__NR_connect), REFUSE(__NR_bind), REFUSE(__NR_listen), REFUSE(__NR_sendto), REFUSE(__NR_sendmsg),
        REFUSE(__NR_ptrace), REFUSE(__NR_process_vm_readv), REFUSE(__NR_process_vm_writev), REFUSE(__NR_kill), REFUSE(__NR_mount), REFUSE(__NR_bpf),
        REFUSE(__NR_renameat), REFUSE(__NR_renameat2), REFUSE(__NR_unlinkat), REFUSE(__NR_mkdirat), REFUSE(__NR_linkat), REFUSE(__NR_symlinkat),
        REFUSE(__NR_mknodat), REFUSE(__NR_fchmodat), REFUSE(__NR_fchownat), REFUSE(__NR_truncate), REFUSE(__NR_fchmod), REFUSE(__NR_fchown),
        REFUSE(__NR_openat2), REFUSE(__NR_io_uring_setup), REFUSE(__NR_setxattr), REFUSE(__NR_utimensat),
#ifdef __x86_64__
        REFUSE(__NR_creat), REFUSE(__NR_rename), REFUSE(__NR_unlink), REFUSE(__NR_mkdir), REFUSE(__NR_rmdir), REFUSE(__NR_link), REFUSE(__NR_symlink),
        REFUSE(__NR_mknod), REFUSE(__NR_chmod), REFUSE(__NR_chown), REFUSE(__NR_lchown), REFUSE(__NR_utime), REFUSE(__NR_utimes),
        IF_IS(__NR_open, 0, 3), LOAD(args[1]), IF_BITS(O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, 0, 5), RETURN(SECCOMP_RET_ERRNO | EPERM),
#endif
        IF_IS(__NR_openat, 0, 3), LOAD(args[2]), IF_BITS(O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, 0, 1), RETURN(SECCOMP_RET_ERRNO | EPERM),
        RETURN(SECCOMP_RET_ALLOW),
    };
    install(filter, sizeof filter / sizeof *filter);
#endif
}
