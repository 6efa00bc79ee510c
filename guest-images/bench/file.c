// Workloads of the page cache: a file in memory (tmpfs, by memfd_create) read by read(), and read and written
// through a fresh mapping each time, so that each page's entry in the page table is made anew. The content is
// known and checked. And write-back, which tmpfs has not: the page cache of a disk that is memory.
#include "bench.h"
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LINE = 64 };

static int file;
static size_t file_bytes;
static uint64_t file_sum; // of the first word of each line
static uint64_t file_buffer[PAGE / sizeof(uint64_t)];

static uint64_t block_sum(const uint64_t *words, size_t bytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes / sizeof *words; i += LINE / sizeof *words)
        sum += words[i];
    return sum;
}

void file_setup(struct workload *own)
{
    file_bytes = own->argument;
    file = memfd_create("bench", 0);
    if (file < 0)
        die("memfd_create");
    for (size_t i = 0; i < file_bytes / PAGE; i++) {
        file_buffer[0] = i * 0x9e3779b97f4a7c15;
        file_buffer[LINE / sizeof *file_buffer] = i;
        file_sum += block_sum(file_buffer, PAGE);
        if (write(file, file_buffer, PAGE) != PAGE)
            die("write");
    }
}

// Only the first line of each page is looked at: the copying is the kernel's.
void read_run(unsigned long iterations)
{
    while (iterations--)
        for (size_t i = 0; i < file_bytes / PAGE; i++)
            if (pread(file, file_buffer, PAGE, (off_t)(i * PAGE)) != PAGE ||
                file_buffer[LINE / sizeof *file_buffer] != i)
                die("read");
}

static uint64_t *file_map(int protection)
{
    uint64_t *words = mmap(NULL, file_bytes, protection, MAP_SHARED, file, 0);
    if (words == MAP_FAILED)
        die("mmap");
    return words;
}

static void file_unmap(uint64_t *words)
{
    if (munmap(words, file_bytes) != 0)
        die("munmap");
}

void mmapread_run(unsigned long iterations)
{
    while (iterations--) {
        uint64_t *words = file_map(PROT_READ);
        if (block_sum(words, file_bytes) != file_sum)
            die("the file's sum is wrong");
        file_unmap(words);
    }
}

// The first access to each page is a write, or the kernel would map the page's neighbours with it. That the
// writes reached the file is seen by reading it.
void mmapwrite_run(unsigned long iterations)
{
    static uint64_t written, last;
    while (iterations--) {
        uint64_t *words = file_map(PROT_READ | PROT_WRITE);
        written++;
        for (size_t i = PAGE / sizeof *words - 1; i < file_bytes / sizeof *words; i += PAGE / sizeof *words)
            words[i] = written;
        file_unmap(words);
        if (pread(file, &last, sizeof last, (off_t)(file_bytes - sizeof last)) != sizeof last ||
            last != written)
            die("a write to the file was lost");
    }
}

static const char DISK[] = "/dev/ram0";
enum { STAMP = PAGE / sizeof(uint64_t) - 1 }; // the word of each page that is written

static uint64_t *disk_words, disk_stamp;

void writeback_setup(struct workload *own)
{
    file_bytes = own->argument;
    file = open(DISK, O_RDWR | O_EXCL);
    if (file < 0)
        fail("needs a disk in memory that nothing is mounted from, %s: MODULES=brd gives one", DISK);
    disk_words = file_map(PROT_READ | PROT_WRITE);
}

// The kernel makes the pages of which it has written read-only again, so that it hears of the next write.
void writeback_run(unsigned long iterations)
{
    while (iterations--) {
        disk_stamp++;
        for (size_t i = 0; i < file_bytes / PAGE; i++)
            disk_words[i * PAGE / sizeof *disk_words + STAMP] = disk_stamp + i;
        if (msync(disk_words, file_bytes, MS_SYNC) != 0)
            die("msync");
    }
}

// What the disk itself has: nothing of it is in the page cache.
void writeback_finish(void)
{
    file_unmap(disk_words);
    if (posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) != 0)
        fail("the page cache of %s stays", DISK);
    for (size_t i = 0; i < file_bytes / PAGE; i++)
        if (pread(file, file_buffer, PAGE, (off_t)(i * PAGE)) != PAGE || file_buffer[STAMP] != disk_stamp + i)
            fail("a write to %s was lost", DISK);
}
