#include "memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace pm {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

Arena::Arena(size_t bytes) : size(bytes) {
  if (bytes == 0) return;
  const bool huge = bytes >= kHugePage;
  mapped = huge ? bytes + 2 * kHugePage : bytes;
  base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) {
    base = nullptr;
    throw std::runtime_error("cannot allocate " + std::to_string(bytes >> 20) + " MiB of memory: " + strerror(errno));
  }
  start = base;
  if (huge) {
    const uintptr_t aligned = ((uintptr_t)base + kHugePage - 1) / kHugePage * kHugePage;
    start = (void*)aligned;
#if defined(MADV_HUGEPAGE)
    madvise(start, (bytes + kHugePage - 1) / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  }
}

Arena::~Arena() {
  if (base) munmap(base, mapped);
}

FileMapping::FileMapping(const std::string& file) : path(file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw std::runtime_error("cannot open " + file + ": " + strerror(errno));
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0) {
    close(fd);
    throw std::runtime_error(file + " is not a readable file with content");
  }
  size = (size_t)info.st_size;
  start = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  const int reason = errno;
  close(fd);
  if (start == MAP_FAILED) {
    start = nullptr;
    throw std::runtime_error("cannot map " + file + ": " + strerror(reason));
  }
  madvise(start, size, MADV_WILLNEED);
}

FileMapping::~FileMapping() {
  if (start) munmap(start, size);
}

const void* FileMapping::at(size_t offset, size_t length, const std::string& what) const {
  if (offset > size || length > size - offset)
    throw std::runtime_error(path + " is truncated: " + what + " needs bytes " + std::to_string(offset) + " to " +
                             std::to_string(offset + length) + ", the file has " + std::to_string(size));
  return static_cast<const char*>(start) + offset;
}

}  // namespace pm
