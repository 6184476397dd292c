// Memory that the core owns: zeroed arenas on huge pages, and read-only mappings of checkpoint files.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

namespace pm {

// Anonymous zeroed memory, 64-byte aligned; large ones on 2 MiB pages where the system grants them.
class Arena {
 public:
  Arena() = default;
  explicit Arena(size_t bytes);
  Arena(Arena&& other) noexcept { swap(other); }
  Arena& operator=(Arena&& other) noexcept { swap(other); return *this; }
  ~Arena();

  template <class T> T* as() const { return static_cast<T*>(start); }
  size_t bytes() const { return size; }

 private:
  void swap(Arena& other) { std::swap(base, other.base); std::swap(mapped, other.mapped); std::swap(start, other.start); std::swap(size, other.size); }
  void* base = nullptr;
  size_t mapped = 0;
  void* start = nullptr;
  size_t size = 0;
};

// A whole file, mapped for reading.
class FileMapping {
 public:
  explicit FileMapping(const std::string& path);
  FileMapping(FileMapping&& other) noexcept
      : path(std::move(other.path)), start(std::exchange(other.start, nullptr)), size(std::exchange(other.size, 0)) {}
  FileMapping(const FileMapping&) = delete;
  ~FileMapping();

  // `length` bytes at `offset`; throws when the file is shorter.
  const void* at(size_t offset, size_t length, const std::string& what) const;

 private:
  std::string path;
  void* start = nullptr;
  size_t size = 0;
};

}  // namespace pm
