/* disk: a disk that refuses. SQLite's system calls, and a few of the C library's, pass through here. */
#ifndef DRAWBRIDGE_TEST_BRIDGE_DISK_H
#define DRAWBRIDGE_TEST_BRIDGE_DISK_H

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int disk_errno;             /* what each write fails with; 0: none does */
static atomic_int disk_syncs;             /* how many there were */
static atomic_int disk_is_slow;           /* a sync waits for as long as this is set */
static atomic_llong disk_free_bytes = -1; /* what statvfs says; -1: the truth */

static ssize_t disk_pwrite(int fd, const void *bytes, size_t size, off_t at) {
    if (disk_errno != 0) {
        errno = disk_errno;
        return -1;
    }
    return pwrite(fd, bytes, size, at);
}

static inline void disk_up(void) {
    static const char *const names[] = {"pwrite", "pwrite64"};
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    for (int i = 0; i < 2; i++)
        vfs->xSetSystemCall(vfs, names[i], (sqlite3_syscall_ptr)disk_pwrite);
}

int fdatasync(int fd) {
    while (disk_is_slow)
        usleep(500);
    disk_syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}

int statvfs(const char *path, struct statvfs *is) {
    (void)path;
    memset(is, 0, sizeof *is);
    is->f_frsize = 1;
    is->f_bavail = disk_free_bytes < 0 ? 1ULL << 40 : (fsblkcnt_t)disk_free_bytes;
    return 0;
}

#endif
